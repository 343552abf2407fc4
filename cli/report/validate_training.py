"""The document of `flopwise validate training`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.scores import Score, ScoredRow, scores
from .document import Cell, Column, Document, Table
from .validate_common import count, reason_table, row_result, score_result, score_table, share, worst

WORST = 10  # rows shown where not all are


def training_document(
    rows: Sequence[ScoredRow], inputs: Mapping[str, object], *, show_all: bool, held_out: bool
) -> Document:
    """Return the scores by source and overall, and the worst rows or all; `held_out` says how they were predicted."""
    each, overall = scores(rows)
    shown = rows if show_all else worst(rows, WORST)
    caption = "Every row" if show_all else f"The {len(shown)} rows with the largest errors (--all shows every row)"
    sections = [score_table((*each, overall), "Rows", with_baseline_p90=True)]
    if shown:
        sections.append(_row_table(shown, caption))
    unsupported = [row for row in rows if row.status != "scored"]
    if unsupported and not show_all:
        sections.append(reason_table((row.reason for row in unsupported), "Rows"))
    return Document(
        verb="validate.training",
        headline=_headline(overall, each, held_out=held_out),
        inputs=inputs,
        result={
            "rows": [row_result(row) for row in rows],
            "summary": {
                "metric": "tokens/s per accelerator",
                "held_out": held_out,
                "overall": score_result(overall),
                "sources": [score_result(score) for score in each],
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
            count(row.measured),
            count(row.predicted),
            count(row.low),
            count(row.high),
            share(row.error),
            row.source,
            row.reason,
        )
        for row in rows
    )
    return Table("rows", columns, body, caption=caption)
