"""Published timings of single kernels (`data/measured/kernels.csv`), to put a local measurement beside.

`kind` is product (one shape m x n x k), weights (bytes per second of weights in products of at most four rows), attention
(fused, causal, forward, 4,096 tokens and more, masked pairs not counted) or stream (a copy in memory, both ways counted).
The last three are medians over many shapes.
"""

from __future__ import annotations

from functools import cache

from ..errors import FactsError
from ..frozen import dataclass
from .folders import package_folder

NAME = "data/measured/kernels.csv"
PRODUCT, WEIGHTS, ATTENTION, STREAM = "product", "weights", "attention", "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKernel:
    """One row. `accelerator` is a chip of the catalog; sides of 0 stand for many shapes."""

    id: str
    accelerator: str
    kind: str
    format: str
    m: int
    n: int
    k: int
    value: float
    unit: str  # flops_per_s or bytes_per_s
    source: str
    note: str  # software and version

    @property
    def flops(self) -> float:
        """Of the product."""
        return 2.0 * self.m * self.n * self.k


@cache
def load_kernels() -> tuple[PublishedKernel, ...]:
    """Return all rows.

    Raises:
        FactsError: the file is missing or a row is damaged.
    """
    import csv

    try:
        with (package_folder() / NAME).open(encoding="utf-8", newline="") as lines:
            return tuple(_row(row) for row in csv.DictReader(lines))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FactsError(f"cannot be read: {error}", file=NAME) from None


def _row(row: dict[str, str]) -> PublishedKernel:
    return PublishedKernel(
        id=row["id"],
        accelerator=row["accelerator"],
        kind=row["kind"],
        format=row["format"],
        m=int(row["m"] or 0),
        n=int(row["n"] or 0),
        k=int(row["k"] or 0),
        value=float(row["value"]),
        unit=row["unit"],
        source=row["source"],
        note=row["note"],
    )
