"""The document of `flopwise validate runs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.scores import Score, ScoredRow, scores
from .document import Cell, Column, Document, Table
from .validate_common import count, reason_table, row_result, score_result, score_table, share, worst

WORST = 12  # rows shown where not all are


def runs_document(rows: Sequence[ScoredRow], inputs: Mapping[str, object], *, show_all: bool) -> Document:
    """Return the scores by source and overall, and the worst rows or all."""
    predicted = [row for row in rows if row.status != "mixed"]
    each, overall = scores(predicted)
    shown = rows if show_all else worst(predicted, WORST)
    caption = "Every run" if show_all else f"The {len(shown)} runs with the largest errors (--all shows every run)"
    sections = [score_table((*each, overall), "Runs", with_baseline_p90=False)]
    if shown:
        sections.append(_row_table(shown, caption))
    left = [row for row in rows if row.status == "unsupported"]
    if left and not show_all:
        sections.append(reason_table((row.reason for row in left), "Runs"))
    mixed = sum(row.status == "mixed" for row in rows)
    return Document(
        verb="validate.runs",
        headline=_headline(overall, each, mixed),
        inputs=inputs,
        result={
            "rows": [{"id": row.id, "source": row.source, "model": row.name, **row_result(row)} for row in rows],
            "summary": {
                "metric": "accelerator-hours",
                "held_out": True,
                "mixed": mixed,
                "pooled_median_error": _pooled(predicted),
                "overall": score_result(overall),
                "sources": [score_result(score) for score in each],
            },
        },
        sections=tuple(sections),
    )


def _headline(overall: Score, each: Sequence[Score], mixed: int) -> str:
    if overall.median is None or overall.p90 is None:
        return f"None of {overall.unsupported} runs can be predicted."
    flat = "" if overall.baseline_median is None else f" A flat 40 % MFU is {overall.baseline_median:.0%} off."
    apart = f" {mixed} more have hours of several phases and are not scored." if mixed else ""
    return (
        f"Accelerator-hours of {overall.rows:,} published runs from {len(each)} sources, each predicted from its "
        f"configuration alone with its organisation left out of the fit: {overall.median:.1%} off in the median, "
        f"{overall.p90:.0%} in the 90th percentile, {overall.coverage or 0:.0%} inside the 80 % band (means over "
        f"sources).{flat}{apart}"
    )


def _pooled(rows: Sequence[ScoredRow]) -> float | None:
    from statistics import median

    errors = [abs(row.error) for row in rows if row.error is not None]
    return median(errors) if errors else None


def _row_table(rows: Sequence[ScoredRow], caption: str) -> Table:
    columns = (
        Column("id", "Row", wide_only=True),
        Column("name", "Run"),
        Column("measured", "Hours", right=True),
        Column("predicted", "Predicted", right=True),
        Column("low", "Low", right=True),
        Column("high", "High", right=True),
        Column("error", "Error", right=True),
        Column("flat_mfu", "Flat 40 %", right=True, wide_only=True),
        Column("status", "Status", wide_only=True),
        Column("reason", "Why not", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.id,
            row.name or row.id,
            count(row.measured),
            count(row.predicted),
            count(row.low),
            count(row.high),
            share(row.error),
            count(row.baseline),
            row.status,
            row.reason,
        )
        for row in rows
    )
    return Table("rows", columns, body, caption=caption)
