"""Read the fitted surfaces (`data/efficiency/{gemm,collectives,rates}.yaml`) into frozen records.

The files are written by `benchmarks/fits/`; nobody edits them by hand. A family is the accelerator's architecture in
the catalog; one that has no surface of its own takes that of a stand-in (`estimators/stepmodel/chip.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import FactsError
from ..frozen import dataclass
from .yamlfile import read

_FOLDER = Path(__file__).parents[2] / "data" / "efficiency"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSurface:
    """Fitted constants of matrix products of one family in one number format.

    `peak_fraction` of the dense peak is what an endless product reaches; `memory_fraction` of the memory rate what
    operands stream at; `quantisation` from 0 (partial waves cost their share) to 1 (they cost a whole wave);
    `small_tile` the efficiency lost at each step to a smaller tile.
    """

    family: str
    format: str
    peak_fraction: float
    startup_inner: float
    launch_s: float
    memory_fraction: float
    quantisation: float
    small_tile: float
    convert_passes: float
    tile_bytes: float  # operand bytes read again per multiply-add, where tiles live in a scratchpad
    measured_on: str
    rows: int
    median_error: float
    is_measured: bool
    basis: str


class Collective(StrEnum):
    """The collectives of training."""

    ALL_REDUCE = "all_reduce"
    ALL_GATHER = "all_gather"  # S is the gathered size
    REDUCE_SCATTER = "reduce_scatter"  # S is the size before scattering
    ALL_TO_ALL = "alltoall"  # S is what one rank holds


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSurface:
    """Fitted constants of one collective inside one link domain of one family."""

    family: str
    collective: str
    latency_s: float
    latency_per_rank_s: float
    fraction: float
    small_group: float
    ramp: float
    measured_on: str
    rows: int
    median_error: float
    is_measured: bool
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRates:
    """Shares of the sheet that fused attention (forward) and streaming memory reach."""

    family: str
    attention_fraction: float
    attention_rows: int
    attention_spread: float
    memory_fraction: float
    memory_rows: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """All fitted surfaces: matrices by (family, format), links by (family, collective), rates by family."""

    matrices: Mapping[tuple[str, str], MatrixSurface]
    links: Mapping[tuple[str, str], LinkSurface]
    rates: Mapping[str, FamilyRates]


@cache
def load_surfaces() -> Surfaces:
    """Return the shipped surfaces.

    Raises:
        FactsError: a file is missing or lacks a field.
    """
    return Surfaces(
        matrices={(s.family, s.format): s for s in _records("gemm.yaml", "surfaces", MatrixSurface)},
        links={(s.family, s.collective): s for s in _records("collectives.yaml", "surfaces", LinkSurface)},
        rates={r.family: r for r in _records("rates.yaml", "rates", FamilyRates)},
    )


def _records(name: str, key: str, kind: type[Any]) -> list[Any]:
    data = read(_FOLDER / name, name=f"data/efficiency/{name}").data
    wanted = {field.name for field in fields(kind)}
    try:
        return [kind(**{k: v for k, v in record.items() if k in wanted}) for record in data[key]]  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise FactsError(f"is not a file of benchmarks/fits: {error}", file=f"data/efficiency/{name}") from None
