"""What the documents of `flopwise validate` share: tables of scores and reasons, the worst rows, cells, twins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from ...benchmarks.validation.scores import Score, ScoredRow
from .document import Column, Table, Value


def score_table(each: Sequence[Score], rows: str, *, with_baseline_p90: bool) -> Table:
    """Return the scores by source, overall last; `rows` is what one row is called in the heading."""
    baseline = [Column("baseline_median", "Flat 40 %", right=True)]
    if with_baseline_p90:
        baseline.append(Column("baseline_p90", "its 90th", right=True, wide_only=True))
    columns = (
        Column("source", "Source"),
        Column("rows", rows, right=True),
        Column("median", "Median error", right=True),
        Column("p90", "90th perc.", right=True),
        Column("coverage", "In band", right=True),
        Column("width", "High/low", right=True, wide_only=True),
        *baseline,
        Column("unsupported", "Unsupp.", right=True, wide_only=True),
    )
    body = tuple(
        (
            score.source,
            score.rows,
            share(score.median),
            share(score.p90),
            share(score.coverage),
            None if score.width is None else Value(score.width, ""),
            share(score.baseline_median),
            *((share(score.baseline_p90),) if with_baseline_p90 else ()),
            score.unsupported,
        )
        for score in each
    )
    return Table("scores", columns, body, total_rows=1)


class _Predicted(Protocol):
    @property
    def error(self) -> float | None: ...


_Row = TypeVar("_Row", bound=_Predicted)


def worst(rows: Iterable[_Row], most: int) -> list[_Row]:
    """Return the rows with the largest errors, at most so many; what has no error is left out."""
    known = [row for row in rows if row.error is not None]
    return sorted(known, key=lambda row: -abs(row.error or 0.0))[:most]


def reason_table(reasons: Iterable[str], rows: str) -> Table:
    """Return how many rows were left out for which reason, the most frequent first."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    body = tuple((count, reason) for reason, count in sorted(counts.items(), key=lambda item: -item[1]))
    columns = (Column("count", rows, right=True), Column("reason", "Not predicted because"))
    return Table("unsupported", columns, body)


def share(value: float | None) -> Value | None:
    """Return a cell in percent."""
    return None if value is None else Value(value, "fraction")


def count(value: float | None) -> Value | None:
    """Return a cell with a plain number."""
    return None if value is None else Value(value, "count")


def row_result(row: ScoredRow) -> dict[str, object]:
    """Return a row as data, beside what a flat 40 % MFU says."""
    return {
        "id": row.id,
        "source": row.source,
        "measured": row.measured,
        "predicted": row.predicted,
        "low": row.low,
        "high": row.high,
        "error": row.error,
        "flat_mfu": row.baseline,
        "status": row.status,
        "reason": row.reason,
    }


def error_result(score: Score) -> dict[str, object]:
    """Return the errors of a source as data."""
    return {
        "source": score.source,
        "rows": score.rows,
        "unsupported": score.unsupported,
        "median_error": score.median,
        "p90_error": score.p90,
        "coverage": score.coverage,
    }


def score_result(score: Score) -> dict[str, object]:
    """Return the errors of a source as data, beside those of a flat 40 % MFU."""
    return {
        **error_result(score),
        "median_high_over_low": score.width,
        "flat_mfu_median_error": score.baseline_median,
        "flat_mfu_p90_error": score.baseline_p90,
    }
