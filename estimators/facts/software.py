"""Read what software does to a training step (`data/efficiency/software.yaml`, `software_folds.yaml`).

The files are written by `benchmarks/fits/software.py`; nobody edits them by hand. A factor has one value, or one value
times one for each level of a kind: `overhead` times `overhead@megatron`. The folds hold the same factors fitted with a
tenth of the measured families left out each, so that `flopwise validate` never predicts a row from a fit that saw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import FactsError
from ..frozen import dataclass
from .yamlfile import read

_FOLDER = Path(__file__).parents[2] / "data" / "efficiency"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBand:
    """What measured steps did around predictions that had not seen their source: quantiles of measured / predicted."""

    kind: str
    low: float  # 10th percentile of the time
    high: float  # 90th percentile
    rows: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareFit:
    """Fitted factors by name ("matrix", "overhead@megatron") and the bands around what they predict."""

    values: Mapping[str, float]
    bands: Mapping[str, TimeBand]
    rows: int
    families: int
    sources: int
    as_of: str
    source: str


@cache
def load_software() -> SoftwareFit:
    """Return the factors fitted on all measured rows.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    data = _read("software.yaml")
    return _fit(data, data["factors"], "software.yaml")


@cache
def load_software_folds() -> tuple[SoftwareFit, ...]:
    """Return the fits with one fold of families left out each, in the order of `fold_of`.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    data = _read("software.yaml")
    return tuple(_fit(data, fold, "software_folds.yaml") for fold in _read("software_folds.yaml")["folds"])


def _read(name: str) -> dict[str, Any]:
    data = read(_FOLDER / name, name=f"data/efficiency/{name}").data
    if not isinstance(data, dict):
        raise FactsError("must be a mapping", file=f"data/efficiency/{name}")
    return data


def _fit(data: Mapping[str, Any], factors: Mapping[str, float], name: str) -> SoftwareFit:
    try:
        return SoftwareFit(
            values=factors,
            bands={band["kind"]: TimeBand(**band) for band in data["bands"]},
            rows=data["rows"],
            families=data["families"],
            sources=data["sources"],
            as_of=str(data["as_of"]),
            source=data["source"],
        )
    except (KeyError, TypeError) as error:
        raise FactsError(
            f"is not a fit of benchmarks/fits/software.py: {error}", file=f"data/efficiency/{name}"
        ) from None
