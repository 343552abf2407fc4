"""Read the fitted training efficiency (`data/efficiency/mfu.yaml`) into frozen records.

The file is written by `benchmarks/fits/mfu.py`; nobody edits it by hand. `mfu_folds.yaml` holds the same coefficients
fitted with one tenth of the measured families left out each time, so that `flopwise validate` can predict a shipped
row from a fit that never saw its family.
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
class Band:
    """Where measured rows lay around predictions that had not seen them, as shifts of ln(u / (ceiling - u))."""

    kind: str  # "pre-training", "pre-training, new chip", "fine-tune", "fine-tune, new chip"
    low: float  # 10th percentile
    high: float  # 90th percentile
    rows: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MfuFit:
    """Coefficients of the efficiency formula in `estimators/training/efficiency.py`.

    `chips`, `architectures` and `vendors` are log offsets that add up; a level that no measured row has is absent and
    counts as zero, which is its mean under the fit.
    """

    coefficients: Mapping[str, float]
    chips: Mapping[str, float]
    architectures: Mapping[str, float]
    vendors: Mapping[str, float]
    bands: Mapping[str, Band]
    ceiling: float  # share of the dense rate that no training step exceeds
    rows: int
    families: int
    sources: int
    fitted_on: str
    source: str


@cache
def load_mfu_fit() -> MfuFit:
    """Return the efficiency fit on all measured rows.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    return _fit(_read("mfu.yaml"), "mfu.yaml")


@cache
def load_mfu_folds() -> tuple[MfuFit, ...]:
    """Return the fits with one fold of families left out each; fold i leaves out the families that `fold_of` maps to i.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    whole = _read("mfu.yaml")
    return tuple(_fit({**whole, **fold}, "mfu_folds.yaml") for fold in _read("mfu_folds.yaml")["folds"])


def fold_of(family: str, folds: int) -> int:
    """Return the fold that leaves out a family ("source | model | accelerator", as `MeasuredRow.family` writes it).

    A checksum decides, so that the fitting program and the validation agree without a list.
    """
    from zlib import crc32

    return crc32(family.encode()) % folds


def _read(name: str) -> Mapping[str, Any]:
    file = read(_FOLDER / name, name=f"data/efficiency/{name}")
    if not isinstance(file.data, dict):
        raise file.error("must be a mapping; run benchmarks/fits/mfu.py again")
    return file.data


def _fit(data: Mapping[str, Any], name: str) -> MfuFit:
    try:
        return MfuFit(
            coefficients=data["coefficients"],
            chips=data["chips"],
            architectures=data["architectures"],
            vendors=data["vendors"],
            bands={kind: Band(kind=kind, **fields) for kind, fields in data["bands"].items()},
            ceiling=data["ceiling"],
            rows=data["rows"],
            families=data["families"],
            sources=data["sources"],
            fitted_on=str(data["fitted_on"]),
            source=data["source"],
        )
    except (KeyError, TypeError) as error:
        raise FactsError(f"is not a fit of benchmarks/fits/mfu.py: {error}", file=f"data/efficiency/{name}") from None
