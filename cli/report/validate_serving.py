"""The document of `flopwise validate serving`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.serving import ServingResult, ServingSummary, summarise
from .document import Cell, Column, Document, Table, Value

WORST = 10  # figures shown where not all are


def serving_document(results: Sequence[ServingResult], inputs: Mapping[str, object], *, show_all: bool) -> Document:
    """Return the scores by group and source, and the worst figures or all."""
    summaries = summarise(results)
    overall = [summary for summary in summaries if summary.source == "all cells"]
    shown = results if show_all else _worst(results)
    caption = (
        "Every figure" if show_all else f"The {len(shown)} figures with the largest errors (--all shows every one)"
    )
    sections = [_score_table(summaries)]
    if shown:
        sections.append(_row_table(shown, caption))
    unsupported = [result for result in results if result.status != "scored"]
    if unsupported and not show_all:
        sections.append(_unsupported_table(unsupported))
    return Document(
        verb="validate.serving",
        headline=_headline(overall),
        inputs=inputs,
        result={
            "rows": [_row(result) for result in results],
            "summary": {
                "counted": "median of each cell (source x model x accelerator x precision), then over cells",
                "overall": [_summary(summary) for summary in overall],
                "sources": [_summary(summary) for summary in summaries if summary not in overall],
            },
        },
        sections=tuple(sections),
    )


def _headline(overall: Sequence[ServingSummary]) -> str:
    known = [each for each in overall if each.median is not None]
    if not known:
        return "None of the rows can be predicted."
    parts = [
        f"{each.group} {each.median:.1%} off in the median of {each.cells} cells"
        + (f", {each.p90:.0%} in the 90th percentile" if each.p90 is not None else "")
        + (f", {each.coverage:.0%} in the 80 % band" if each.coverage is not None else "")
        for each in known
    ]
    flat = next((each.roofline_median for each in known if each.roofline_median is not None), None)
    tail = f" The data sheet's roofline is {flat:.0%} off." if flat is not None else ""
    return f"Serving, each row predicted from its configuration alone: {'; '.join(parts)}.{tail}"


def _score_table(summaries: Sequence[ServingSummary]) -> Table:
    columns = (
        Column("source", "Source"),
        Column("group", "Figure"),
        Column("cells", "Cells", right=True),
        Column("median", "Median error", right=True),
        Column("p90", "90th perc.", right=True),
        Column("coverage", "In band", right=True),
        Column("roofline", "Roofline", right=True, wide_only=True),
        Column("unsupported", "Unsupp.", right=True, wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.source,
            each.group,
            each.cells,
            _share(each.median),
            _share(each.p90),
            _share(each.coverage),
            _share(each.roofline_median),
            each.unsupported_cells,
        )
        for each in summaries
    )
    return Table("scores", columns, body)


def _worst(results: Sequence[ServingResult]) -> list[ServingResult]:
    scored = [result for result in results if result.error is not None]
    return sorted(scored, key=lambda result: -abs(result.error or 0.0))[:WORST]


def _row_table(results: Sequence[ServingResult], caption: str) -> Table:
    columns = (
        Column("id", "Row"),
        Column("unit", "Unit"),
        Column("measured", "Measured", right=True),
        Column("predicted", "Predicted", right=True),
        Column("low", "Low", right=True),
        Column("high", "High", right=True),
        Column("error", "Error", right=True),
        Column("cell", "Cell", wide_only=True),
        Column("reason", "Why not", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            result.id,
            result.unit,
            _number(result.measured),
            _number(result.predicted),
            _number(result.low),
            _number(result.high),
            _share(result.error),
            result.cell,
            result.reason,
        )
        for result in results
    )
    return Table("rows", columns, body, caption=caption)


def _unsupported_table(results: Sequence[ServingResult]) -> Table:
    reasons: dict[str, int] = {}
    for result in results:
        reasons[result.reason] = reasons.get(result.reason, 0) + 1
    body = tuple((count, reason) for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
    return Table("unsupported", (Column("count", "Rows", right=True), Column("reason", "Not predicted because")), body)


def _share(value: float | None) -> Value | None:
    return None if value is None else Value(value, "fraction")


def _number(value: float | None) -> Value | None:
    return None if value is None else Value(value, "count")


def _row(result: ServingResult) -> dict[str, object]:
    return {
        "id": result.id,
        "source": result.source,
        "cell": result.cell,
        "group": result.group,
        "metric": result.metric,
        "unit": result.unit,
        "measured": result.measured,
        "predicted": result.predicted,
        "low": result.low,
        "high": result.high,
        "error": result.error,
        "roofline": result.roofline,
        "status": result.status,
        "reason": result.reason,
        "filled": list(result.filled),
    }


def _summary(each: ServingSummary) -> dict[str, object]:
    return {
        "source": each.source,
        "group": each.group,
        "rows": each.rows,
        "cells": each.cells,
        "unsupported_cells": each.unsupported_cells,
        "median_error": each.median,
        "p90_error": each.p90,
        "coverage": each.coverage,
        "roofline_median_error": each.roofline_median,
    }
