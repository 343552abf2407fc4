"""How long one operator takes on one chip: matrix products, attention, memory traffic.

A matrix product of m x k by k x n is cut into output tiles; tiles run in waves over the compute units (NVIDIA, "Matrix
Multiplication Background User's Guide": tile and wave quantization); each tile pays a start-up worth `startup_inner`
columns of k before the pipeline is full; small outputs choose smaller, less efficient tiles; the memory traffic of the
operands bounds the product from below; low-precision products first convert their input (`convert_passes` reads and
writes of it). Every constant is fitted on measured products (data/efficiency/gemm.yaml, benchmarks/fits/gemm.py).

The arithmetic is written with operators only (`-(-a // b)` rounds up), so that the fit runs the same lines on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..frozen import dataclass

# Output tiles (rows, columns, steps down in efficiency from the largest one) that libraries choose among.
TILES = ((256.0, 128.0, 0), (128.0, 128.0, 1), (128.0, 64.0, 2))


@dataclass(frozen=True, slots=True)
class MatrixRates:
    """A surface set on one chip: rates in SI, ready for `matrix_seconds`."""

    flops_per_s: float  # dense peak x peak_fraction
    bytes_per_s: float
    units: float
    startup_inner: float
    launch_s: float
    quantisation: float
    small_tile: float
    convert_s_per_value: float
    bytes_in: float
    bytes_out: float
    tile_bytes: float = 0.0  # operand bytes read again per multiply-add


def matrix_seconds(
    rates: MatrixRates, m: Any, n: Any, k: Any, batch: Any = 1.0, *, least: Callable[[Any, Any], Any] = min
) -> Any:
    """Return the seconds of `batch` equal products of m x k by k x n, launched together.

    `least` is the elementwise smaller of two (`min`, or `numpy.minimum` for arrays).
    """
    best: Any = None
    for rows, columns, steps in TILES:
        waves = batch * (-(-m // rows)) * (-(-n // columns)) / rates.units
        whole = -(-waves // 1.0)
        # A partial first wave leaves units idle but still takes the time of one tile.
        cost = rates.quantisation * whole + (1.0 - rates.quantisation) * _at_least_one(waves)
        work = 2.0 * rows * columns * (k + rates.startup_inner) * rates.units
        seconds = cost * work / (rates.flops_per_s * rates.small_tile**steps)
        best = seconds if best is None else least(best, seconds)
    traffic = (
        batch
        * ((m * k + n * k) * rates.bytes_in + m * n * rates.bytes_out + rates.tile_bytes * m * n * k)
        / rates.bytes_per_s
    )
    # A cubic norm: a smooth maximum, 26 % above the larger of two equal terms.
    return rates.launch_s + (best**3 + traffic**3) ** (1 / 3) + rates.convert_s_per_value * batch * m * k


def _at_least_one(waves: Any) -> Any:
    return (waves + 1.0 + abs(waves - 1.0)) * 0.5
