"""Read the tabulated training efficiency (`data/efficiency/mfu.yaml`) into frozen records.

The file is written by `benchmarks/fits/mfu.py`; nobody edits it by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import FactsError
from ..frozen import dataclass
from .yamlfile import read

_FOLDER = Path(__file__).parents[2] / "data" / "efficiency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where measured runs lie around the operator model: quantiles of measured / predicted MFU."""

    kind: str  # "pre-training" or "pre-training, new chip"
    low: float  # 10th percentile
    high: float  # 90th percentile
    rows: int
    basis: str


Table = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MfuFit:
    """The tables that `estimators/training/efficiency.py` reads: rows by size, columns by number of accelerators.

    `chips` (with measured training runs) and `unmeasured_chips` hold a table for each precision: "usual" (bf16, or fp16
    where a chip has none), "fp8", "fp4". Residuals are those between the points, against the operator model.
    """

    log_active_params: Sequence[float]
    log_accelerators: Sequence[float]
    chips: Mapping[str, Mapping[str, Table]]
    unmeasured_chips: Mapping[str, Mapping[str, Table]]
    mixture: float  # of a mixture of experts over a dense model of the same active size
    bands: Mapping[str, Band]
    median_residual: float
    p90_residual: float
    fitted_on: str
    source: str


@cache
def load_mfu_fit() -> MfuFit:
    """Return the efficiency fit on all measured rows.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    return read_fit(_read("mfu.yaml"), "mfu.yaml")


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


def read_fit(data: Mapping[str, Any], name: str) -> MfuFit:
    """Return the content of the file as a record.

    Raises:
        FactsError: a field is missing.
    """
    try:
        if not data["chips"]:
            raise KeyError("chips")
        return MfuFit(
            log_active_params=[math.log(size) for size in data["active_params"]],
            log_accelerators=[math.log(count) for count in data["accelerators"]],
            chips=data["chips"],
            unmeasured_chips=data["unmeasured_chips"],
            mixture=data["mixture"],
            bands={kind: Band(kind=kind, **fields) for kind, fields in data["bands"].items()},
            median_residual=data["median_residual"],
            p90_residual=data["p90_residual"],
            fitted_on=str(data["fitted_on"]),
            source=data["source"],
        )
    except (KeyError, TypeError) as error:
        raise FactsError(f"is not a table of benchmarks/fits/mfu.py: {error}", file=f"data/efficiency/{name}") from None
