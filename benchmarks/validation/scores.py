"""Scoring of predictions against measurements: per row, per source and overall.

Errors are |predicted / measured - 1|. Sources differ in size by a hundred times, so the overall figures are means over
sources of each source's median and 90th percentile; pooled figures would be those of the largest sweep.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """One row. `status` is "scored" or "unsupported" (then `reason` says why and the numbers are None).

    Whole runs have a third: "mixed", predicted but not scored, for the reported hours are not those of what is predicted.
    """

    id: str
    source: str
    status: str
    reason: str = ""
    measured: float | None = None
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None  # what a flat guess predicts
    name: str = ""  # of the model, where rows have names that people know

    @property
    def error(self) -> float | None:
        """Predicted over measured minus one, signed."""
        if self.predicted is None or not self.measured:
            return None
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Figures of one source, or of all (then means over sources; `rows` and `unsupported` are sums)."""

    source: str
    rows: int
    unsupported: int
    median: float | None
    p90: float | None
    coverage: float | None  # share of rows inside the band
    width: float | None  # median of high / low
    baseline_median: float | None
    baseline_p90: float | None


def scores(rows: Iterable[ScoredRow]) -> tuple[tuple[Score, ...], Score]:
    """Return the score of every source, in order of appearance, and the overall score."""
    groups: dict[str, list[ScoredRow]] = {}
    for row in rows:
        groups.setdefault(row.source, []).append(row)
    each = tuple(_score(source, members) for source, members in groups.items())
    return each, _mean(each)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of values, interpolated between neighbours; nan of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _score(source: str, rows: list[ScoredRow]) -> Score:
    scored = [row for row in rows if row.status == "scored"]
    errors = [abs(row.error) for row in scored if row.error is not None]
    flat = [abs(row.baseline / row.measured - 1) for row in scored if row.baseline is not None and row.measured]
    banded = [row for row in scored if row.low is not None and row.high is not None and row.measured is not None]
    inside = [row.low <= row.measured <= row.high for row in banded]  # type: ignore[operator]
    widths = [row.high / row.low for row in banded if row.low]  # type: ignore[operator]
    return Score(
        source=source,
        rows=len(scored),
        unsupported=len(rows) - len(scored),
        median=statistics.median(errors) if errors else None,
        p90=quantile(errors, 0.9) if errors else None,
        coverage=sum(inside) / len(inside) if inside else None,
        width=statistics.median(widths) if widths else None,
        baseline_median=statistics.median(flat) if flat else None,
        baseline_p90=quantile(flat, 0.9) if flat else None,
    )


def _mean(each: Sequence[Score]) -> Score:
    def mean(name: str) -> float | None:
        values = [getattr(score, name) for score in each if getattr(score, name) is not None]
        return statistics.fmean(values) if values else None

    return Score(
        source="mean over sources",
        rows=sum(score.rows for score in each),
        unsupported=sum(score.unsupported for score in each),
        median=mean("median"),
        p90=mean("p90"),
        coverage=mean("coverage"),
        width=mean("width"),
        baseline_median=mean("baseline_median"),
        baseline_p90=mean("baseline_p90"),
    )
