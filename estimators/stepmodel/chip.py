"""One chip as the time model sees it: fitted surfaces set on the numbers of its sheet.

An unseen chip takes its family's surface scaled by its own peak, memory rate, unit count and links. A chip whose power
per peak FLOP is lower than that of the family's reference sustains less of its peak, for the clock follows the power
(roughly P^0.6 below the reference: H100 PCIe and NVL against SXM in hardware.csv).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InputError
from ..facts.surfaces import Collective, LinkSurface
from ..frozen import dataclass, field, replace
from .surface import MatrixRates, matrix_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..facts.records import Accelerator, MeasuredRates
    from ..facts.surfaces import Surfaces

# Families by the catalog's architecture, where the name differs, and who stands in for whom.
_FAMILY = {"NeuronCore-v2": "NeuronCore", "NeuronCore-v3": "NeuronCore", "NeuronCore-v4": "NeuronCore"}
_STAND_IN = {"Pascal": "Volta", "Turing": "Volta", "Xe2": "Xe2"}
_LINK_STAND_IN = {
    "Volta": "Ampere",
    "Pascal": "Ampere",
    "Turing": "PCIe",
    "Ada": "PCIe",
    "Xe2": "PCIe",
    "CDNA2": "Ampere",
    "CDNA3": "Ampere",
    "CDNA4": "Hopper",
}
_WATTS_PER_TFLOPS = {"Ampere": 400 / 312, "Hopper": 700 / 989.4, "Blackwell": 1000 / 2250}
_POWER_EXPONENT = 0.6
_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp8-block": 1.0, "fp4": 0.5625}
_TYPICAL_UNITS = 132.0
_LARGE, _LEAST_SIDE = 0.1, 128  # of the largest product measured; sides below which few rows stream weights
_NETWORK_LATENCY_S = 20e-6  # one crossing of the fabric with its protocol, from EFA and InfiniBand sweeps of 2 nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """Rates in SI. `network_bytes_per_s` is one chip's share of its node's network, one way."""

    id: str
    family: str
    vendor: str
    matrices: dict[str, MatrixRates]  # by format: bf16, fp8, fp8-block, fp4
    attention_flops_per_s: float
    dense_flops_per_s: float  # bf16 (fp16) peak of the sheet
    memory_bytes_per_s: float
    link_bytes_per_s: float
    domain: int
    per_node: int
    network_bytes_per_s: float
    network_latency_s: float
    links: dict[str, LinkSurface]
    is_measured: bool  # products of this family are in the fit, or this very chip was measured
    surface_error: float = 0.0  # median error of the fitted products, as a share
    measured_spread: float | None = None  # of the rates that replaced them by --calibrate
    networks: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  # measured: latency, bytes/s by collective
    point: tuple[float, float] | None = None  # measured: latency, bytes/s of a transfer inside a domain
    link_error: float = 0.0  # median error of the fitted links that were replaced, as a share
    link_spread: float | None = None  # of the measured links that replaced them


def family_of(architecture: str) -> str:
    """Return the family whose surfaces an architecture uses."""
    if architecture.startswith("TPU"):
        return "TPU"
    return _FAMILY.get(architecture, architecture)


def make_chip(accelerator: Accelerator, surfaces: Surfaces) -> Chip:
    """Return `accelerator` with its family's surfaces.

    Raises:
        InputError: the sheet has neither a bf16 nor an fp16 rate, or no memory rate.
    """
    family = family_of(accelerator.architecture)
    if accelerator.id in ("gaudi2", "gaudi3"):
        family = "Gaudi2" if accelerator.id == "gaudi2" else "Gaudi3"
    peaks = accelerator.peak_flops_per_s
    base = peaks.get("bf16") or peaks.get("fp16")
    if not base:
        raise InputError(f"{accelerator.name} has no bf16 or fp16 rate in the catalog; training cannot be timed.")
    key = family if (family, "bf16") in surfaces.matrices else _STAND_IN.get(family, "other")
    if (key, "bf16") not in surfaces.matrices:
        key = "other"
    share = _power_share(accelerator, family, base)
    rates = surfaces.rates.get(family) or surfaces.rates["other"]
    memory = accelerator.memory_bandwidth_bytes_per_s
    units = float(accelerator.compute_units or _TYPICAL_UNITS)
    if family in ("TPU", "NeuronCore", "Gaudi2", "Gaudi3"):
        units = 16.0  # few large units with fine pipelining: next to no wave quantisation
    elif not 16 <= units <= 320:
        units = _TYPICAL_UNITS
    matrices = {}
    for name, bytes_in in _BYTES.items():
        peak = peaks.get({"bf16": "bf16", "fp8": "fp8", "fp8-block": "fp8", "fp4": "fp4"}[name]) or 0.0
        if name == "fp8" and family == "TPU" and not peak:
            peak = peaks.get("int8") or 0.0  # quantised training on TPUs without fp8 runs in int8
        peak = base if name == "bf16" else peak
        surface = surfaces.matrices.get((key, name)) or surfaces.matrices.get(("other", name))
        if not peak or surface is None:
            continue
        convert = surface.convert_passes * (2.0 + bytes_in) / memory if bytes_in < 2 else 0.0
        matrices[name] = MatrixRates(
            peak * surface.peak_fraction * share,
            memory * surface.memory_fraction,
            units,
            surface.startup_inner,
            surface.launch_s,
            surface.quantisation,
            surface.small_tile,
            convert,
            bytes_in,
            2.0,
            surface.tile_bytes,
        )
    has_links = bool(accelerator.link_domain and accelerator.link_domain > 1 and accelerator.link_bytes_per_s)
    link_family = family if (family, Collective.ALL_REDUCE) in surfaces.links else _LINK_STAND_IN.get(family, "Hopper")
    if not has_links:
        link_family = "PCIe"
    per_node = accelerator.accelerators_per_node or 8
    network = accelerator.network_bytes_per_s_per_node or 50e9
    found = Chip(
        id=accelerator.id,
        family=family,
        vendor=accelerator.vendor,
        matrices=matrices,
        attention_flops_per_s=base * rates.attention_fraction * share,
        dense_flops_per_s=base,
        memory_bytes_per_s=memory * rates.memory_fraction,
        link_bytes_per_s=accelerator.link_bytes_per_s or 25e9,
        domain=(accelerator.link_domain or 1) if has_links else per_node,
        per_node=per_node,
        network_bytes_per_s=network / per_node,
        network_latency_s=_NETWORK_LATENCY_S,
        links={kind: surfaces.links[link_family, kind] for kind in Collective},
        is_measured=bool(surfaces.matrices.get((family, "bf16")) and surfaces.matrices[family, "bf16"].is_measured),
        surface_error=surfaces.matrices[key, "bf16"].median_error,
    )
    if accelerator.measured is None:
        return found
    from .measured_links import with_links

    products = _as_measured(found, accelerator.measured) if accelerator.measured.products else found
    return with_links(products, accelerator.measured.collectives)


def _as_measured(chip: Chip, measured: MeasuredRates) -> Chip:
    """Return the chip with its measured rates: surfaces keep their form and take the measured level.

    The level of a format is the geometric mean of expected over measured seconds, over the larger products, where
    launches and tails do not count. Formats that were not measured move with bf16, the others have no evidence.
    """
    levels = {name: product_level(rates, measured, name) for name, rates in chip.matrices.items()}
    usual = levels.get("bf16") or 1.0
    memory = measured.memory_bytes_per_s or chip.memory_bytes_per_s
    share = memory / chip.memory_bytes_per_s
    matrices = {
        name: replace(
            rates,
            flops_per_s=rates.flops_per_s * (levels[name] or usual),
            bytes_per_s=rates.bytes_per_s * share,
            convert_s_per_value=rates.convert_s_per_value / share,
        )
        for name, rates in chip.matrices.items()
    }
    return replace(
        chip,
        matrices=matrices,
        attention_flops_per_s=measured.attention_flops_per_s or chip.attention_flops_per_s * usual,
        memory_bytes_per_s=memory,
        is_measured=True,
        measured_spread=measured.spread,
    )


def product_level(rates: MatrixRates, measured: MeasuredRates, format: str) -> float | None:
    """Return expected over measured seconds of the larger products of a format; None where none was measured."""
    own = [each for each in measured.products if each[0] == format]
    most = max((m * n * k for _, m, n, k, _ in own), default=0.0)
    logs = [
        math.log(matrix_seconds(rates, m, n, k) / seconds)
        for _, m, n, k, seconds in own
        if m * n * k >= _LARGE * most and min(m, n, k) >= _LEAST_SIDE
    ]
    return math.exp(math.fsum(logs) / len(logs)) if logs else None


def measured_levels(accelerator: Accelerator, surfaces: Surfaces, format: str = "bf16") -> tuple[float, float]:
    """Return measured over expected rates of products and of memory; ones where nothing was measured."""
    if accelerator.measured is None:
        return 1.0, 1.0
    expected = make_chip(replace(accelerator, measured=None), surfaces)
    rates = expected.matrices.get(format) or expected.matrices["bf16"]
    level = product_level(rates, accelerator.measured, format) or product_level(
        expected.matrices["bf16"], accelerator.measured, "bf16"
    )
    memory = accelerator.measured.memory_bytes_per_s
    return level or 1.0, memory / expected.memory_bytes_per_s if memory else 1.0


def measured_link_levels(accelerator: Accelerator, surfaces: Surfaces, ranks: int) -> tuple[float, float]:
    """Return measured over expected rate and latency of the all-reduce of `ranks` chips; ones where it was not measured."""
    if accelerator.measured is None or not accelerator.measured.collectives or ranks < 2:
        return 1.0, 1.0
    expected = make_chip(replace(accelerator, measured=None), surfaces)
    found, kind = make_chip(accelerator, surfaces), Collective.ALL_REDUCE
    if ranks > found.domain:
        latency, rate = found.networks.get(kind, (expected.network_latency_s, expected.network_bytes_per_s))
        return rate / expected.network_bytes_per_s, latency / expected.network_latency_s
    ours, theirs = found.links[kind], expected.links[kind]
    return ours.fraction / theirs.fraction, ours.latency_s / theirs.latency_s


def _power_share(accelerator: Accelerator, family: str, peak: float) -> float:
    reference = _WATTS_PER_TFLOPS.get(family)
    if not reference or not accelerator.power_w:
        return 1.0
    return float(min(1.0, (accelerator.power_w / (peak / 1e12) / reference) ** _POWER_EXPONENT))
