"""The document of `flopwise validate training`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.scores import Score, ScoredRow, scores
from .document import Cell, Column, Document, Table, Value

WORST = 10  # rows shown where not all are


def training_document(
    rows: Sequence[ScoredRow], inputs: Mapping[str, object], *, show_all: bool, held_out: bool
) -> Document:
    """Return the scores by source and overall, and the worst rows or all; `held_out` says how they were predicted."""
    each, overall = scores(rows)
    shown = rows if show_all else _worst(rows)
    caption = "Every row" if show_all else f"The {len(shown)} rows with the largest errors (--all shows every row)"
    sections = [_score_table((*each, overall))]
    if shown:
        sections.append(_row_table(shown, caption))
    unsupported = [row for row in rows if row.status != "scored"]
    if unsupported and not show_all:
        sections.append(_unsupported_table(unsupported))
    return Document(
        verb="validate.training",
        headline=_headline(overall, each, held_out=held_out),
        inputs=inputs,
        result={
            "rows": [_row(row) for row in rows],
            "summary": {
                "metric": "tokens/s per accelerator",
                "held_out": held_out,
                "overall": _score(overall),
                "sources": [_score(score) for score in each],
            },
        },
        sections=tuple(sections),
    )


def _headline(overall: Score, each: Sequence[Score], *, held_out: bool) -> str:
    if overall.median is None:
        return f"None of {overall.unsupported} rows can be predicted."
    seen = "its kind of run left out of the fit" if held_out else "all measured runs in the fit"
    flat = "" if overall.baseline_median is None else f" A flat 40 % MFU is {overall.baseline_median:.0%} off."
    return (
        f"Training speed of {overall.rows:,} measured runs from {len(each)} sources, each predicted from its "
        f"configuration alone with {seen}: {overall.median:.1%} off in the median, {overall.p90:.0%} in the 90th "
        f"percentile, {overall.coverage or 0:.0%} inside the 80 % band (means over sources).{flat}"
    )


def _score_table(each: Sequence[Score]) -> Table:
    columns = (
        Column("source", "Source"),
        Column("rows", "Rows", right=True),
        Column("median", "Median error", right=True),
        Column("p90", "90th perc.", right=True),
        Column("coverage", "In band", right=True),
        Column("width", "High/low", right=True, wide_only=True),
        Column("baseline_median", "Flat 40 %", right=True),
        Column("baseline_p90", "its 90th", right=True, wide_only=True),
        Column("unsupported", "Unsupp.", right=True, wide_only=True),
    )
    body = tuple(
        (
            score.source,
            score.rows,
            _share(score.median),
            _share(score.p90),
            _share(score.coverage),
            None if score.width is None else Value(score.width, ""),
            _share(score.baseline_median),
            _share(score.baseline_p90),
            score.unsupported,
        )
        for score in each
    )
    return Table("scores", columns, body, total_rows=1)


def _worst(rows: Sequence[ScoredRow]) -> list[ScoredRow]:
    scored = [row for row in rows if row.error is not None]
    return sorted(scored, key=lambda row: -abs(row.error or 0.0))[:WORST]


def _row_table(rows: Sequence[ScoredRow], caption: str) -> Table:
    columns = (
        Column("id", "Row"),
        Column("measured", "Measured", right=True),
        Column("predicted", "Predicted", right=True),
        Column("low", "Low", right=True),
        Column("high", "High", right=True),
        Column("error", "Error", right=True),
        Column("source", "Source", wide_only=True),
        Column("reason", "Why not", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.id,
            _speed(row.measured),
            _speed(row.predicted),
            _speed(row.low),
            _speed(row.high),
            _share(row.error),
            row.source,
            row.reason,
        )
        for row in rows
    )
    return Table("rows", columns, body, caption=caption)


def _unsupported_table(rows: Sequence[ScoredRow]) -> Table:
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    body = tuple((count, reason) for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
    columns = (Column("count", "Rows", right=True), Column("reason", "Not predicted because"))
    return Table("unsupported", columns, body)


def _share(value: float | None) -> Value | None:
    return None if value is None else Value(value, "fraction")


def _speed(value: float | None) -> Value | None:
    return None if value is None else Value(value, "count")


def _row(row: ScoredRow) -> dict[str, object]:
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


def _score(score: Score) -> dict[str, object]:
    return {
        "source": score.source,
        "rows": score.rows,
        "unsupported": score.unsupported,
        "median_error": score.median,
        "p90_error": score.p90,
        "coverage": score.coverage,
        "median_high_over_low": score.width,
        "flat_mfu_median_error": score.baseline_median,
        "flat_mfu_p90_error": score.baseline_p90,
    }
