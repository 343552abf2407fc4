"""The document of `flopwise validate memory`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.memory import MemoryResult, MemorySummary, summarise
from .document import Cell, Column, Document, Table, Value
from .validate_common import reason_table, share, worst

WORST = 10  # rows shown where not all are


def memory_document(
    rows: Sequence[MemoryResult], inputs: Mapping[str, object], *, show_all: bool, held_out: bool
) -> Document:
    """Return the scores by source and overall, and the worst rows or all; `held_out` says how they were predicted."""
    summaries = summarise(rows)
    shown = rows if show_all else worst((row for row in rows if row.counts), WORST)
    caption = "Every row" if show_all else f"The {len(shown)} rows with the largest errors (--all shows every row)"
    sections = [_summary_table(summaries)]
    if shown:
        sections.append(_row_table(shown, caption))
    unsupported = [row for row in rows if row.status != "scored"]
    if unsupported and not show_all:
        sections.append(reason_table((row.reason for row in unsupported), "Rows"))
    return Document(
        verb="validate.memory",
        headline=_headline(summaries, held_out=held_out),
        inputs=inputs,
        result={
            "rows": [_row(row) for row in rows],
            "summary": {
                "metric": "peak bytes per accelerator",
                "held_out": held_out,
                "overall": _summary(summaries[-2] if len(summaries) > 1 else summaries[-1]),
                "all_rows": _summary(summaries[-1]),
                "sources": [_summary(summary) for summary in summaries[:-2]],
            },
        },
        sections=tuple(sections),
    )


def _headline(summaries: Sequence[MemorySummary], *, held_out: bool) -> str:
    pooled = summaries[-1]
    if pooled.median is None or len(summaries) < 2:
        return f"None of {pooled.unsupported} rows has a measured peak that can be predicted."
    mean = summaries[-2]
    seen = "its kind of run left out of the fit" if held_out else "all measured runs in the fit"
    out = pooled.ran_out - pooled.ran_out_called_safe
    ran_out = f" Of {pooled.ran_out} runs that ran out of memory {out} are called." if pooled.ran_out else ""
    return (
        f"Peak memory of {pooled.rows:,} measured runs, each predicted from its configuration alone with {seen}: "
        f"{mean.median or 0:.1%} off in the median, {mean.p90 or 0:.0%} in the 90th percentile, {mean.coverage or 0:.0%} "
        f"inside the 80 % band (means over sources); over all rows {pooled.median:.1%}. Weights and optimizer alone are "
        f"{mean.states_only_median or 0:.0%} off.{ran_out}"
    )


def _summary_table(summaries: Sequence[MemorySummary]) -> Table:
    columns = (
        Column("source", "Source"),
        Column("rows", "Rows", right=True),
        Column("median", "Median error", right=True),
        Column("p90", "90th perc.", right=True),
        Column("coverage", "In band", right=True),
        Column("states_only", "States only", right=True),
        Column("width", "High/low", right=True, wide_only=True),
        Column("bias", "Bias", right=True, wide_only=True),
        Column("unsupported", "Unsupp.", right=True, wide_only=True),
        Column("ran_out", "Ran out", right=True, wide_only=True),
        Column("ran_out_called_safe", "called safe", right=True, wide_only=True),
        Column("fits_called_impossible", "fit called impossible", right=True, wide_only=True),
    )
    body = tuple(
        (
            summary.source,
            summary.rows,
            share(summary.median),
            share(summary.p90),
            share(summary.coverage),
            share(summary.states_only_median),
            None if summary.width is None else Value(summary.width, ""),
            share(summary.bias),
            summary.unsupported,
            summary.ran_out,
            summary.ran_out_called_safe,
            summary.fits_called_impossible,
        )
        for summary in summaries
        if summary.rows or summary.unsupported or summary.ran_out
    )
    return Table("scores", columns, body, total_rows=2)


def _row_table(rows: Sequence[MemoryResult], caption: str) -> Table:
    columns = (
        Column("id", "Row"),
        Column("model", "Model"),
        Column("measured", "Measured", right=True),
        Column("predicted", "Predicted", right=True),
        Column("error", "Error", right=True),
        Column("low", "Low", right=True, wide_only=True),
        Column("high", "High", right=True, wide_only=True),
        Column("risk", "Runs out", right=True, wide_only=True),
        Column("source", "Source", wide_only=True),
        Column("guessed", "Guessed", wide_only=True),
        Column("reason", "Why not", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.id,
            row.model,
            _bytes(row.measured),
            _bytes(row.predicted),
            share(row.error),
            _bytes(row.low),
            _bytes(row.high),
            share(row.probability_of_running_out),
            row.source,
            ", ".join(row.guessed),
            row.reason,
        )
        for row in rows
    )
    return Table("rows", columns, body, caption=caption)


def _bytes(value: float | None) -> Value | None:
    return None if value is None else Value(value, "bytes")


def _row(row: MemoryResult) -> dict[str, object]:
    """One row as data: peaks in GiB, the unit of the measured column."""

    def gib(value: float | None) -> float | None:
        return None if value is None else value / 2**30

    return {
        "id": row.id,
        "source": row.source,
        "measured": gib(row.measured),
        "predicted": gib(row.predicted),
        "low": gib(row.low),
        "high": gib(row.high),
        "unit": "GiB",
        "error": row.error,
        "probability_of_running_out": row.probability_of_running_out,
        "ran_out": row.ran_out,
        "boundary": row.is_boundary,
        "counts": row.counts,
        "guessed": list(row.guessed),
        "status": row.status,
        "reason": row.reason,
    }


def _summary(summary: MemorySummary) -> dict[str, object]:
    return {
        "source": summary.source,
        "rows": summary.rows,
        "unsupported": summary.unsupported,
        "median_error": summary.median,
        "p90_error": summary.p90,
        "bias": summary.bias,
        "coverage": summary.coverage,
        "median_high_over_low": summary.width,
        "states_only_median_error": summary.states_only_median,
        "ran_out": summary.ran_out,
        "ran_out_called_safe": summary.ran_out_called_safe,
        "fits": summary.fits,
        "fits_called_impossible": summary.fits_called_impossible,
    }
