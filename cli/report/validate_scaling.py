"""The document of `flopwise validate scaling`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.scaling import ScalingRow
from ...benchmarks.validation.scores import Score, ScoredRow, scores
from .document import Cell, Column, Document, Facts, Table, Value
from .validate_common import error_result

ROUNDING = 1e-9  # relative; below it only the last bits of floating point differ


def scaling_document(rows: Sequence[ScalingRow], inputs: Mapping[str, object], *, show_all: bool) -> Document:
    """Return the summary and the rows: those outside their tolerance, or all of them."""
    each, overall = scores(_scored(row) for row in rows)
    checked = [row for row in rows if row.within is not None]
    met = [row for row in checked if row.within]
    verified = [row for row in checked if row.trust == "verified"]
    misses = [row for row in checked if not row.within]
    headline = (
        f"{len(met)} of {len(checked)} published values are met within their tolerance, "
        f"{sum(bool(row.within) for row in verified)} of {len(verified)} of those read in the source."
        if checked
        else f"{overall.rows} runs forecast from their size and tokens alone."
    )
    shown = [row for row in rows if show_all or row.within is not True]
    sections: list[Table | Facts] = [_score_table((*each, overall), rows)]
    if shown:
        caption = "" if show_all or not checked else "Outside the tolerance (--all shows every row)"
        sections.append(_row_table(shown, caption))
    return Document(
        verb="validate.scaling",
        headline=headline,
        inputs=inputs,
        result={
            "rows": [_row(row) for row in rows],
            "summary": {
                "checked": len(checked),
                "met": len(met),
                "verified": len(verified),
                "verified_met": sum(bool(row.within) for row in verified),
                "missed": [row.id for row in misses],
                "overall": error_result(overall),
                "sources": [error_result(score) for score in each],
            },
        },
        sections=tuple(sections),
    )


def _scored(row: ScalingRow) -> ScoredRow:
    return ScoredRow(
        id=row.id,
        source=row.law if row.within is not None else row.source,
        status=row.status,
        reason=row.reason,
        measured=row.measured,
        predicted=row.predicted,
        low=row.low,
        high=row.high,
    )


def _score_table(each: Sequence[Score], rows: Sequence[ScalingRow]) -> Table:
    met: dict[str, list[bool]] = {}
    for row in rows:
        if row.within is not None:
            met.setdefault(row.law, []).append(row.within)
    columns = (
        Column("source", "Law" if met else "Source"),
        Column("rows", "Rows", right=True),
        Column("met", "Met", right=True) if met else Column("coverage", "In the band", right=True),
        Column("median", "Median error", right=True),
        Column("p90", "90th percentile", right=True),
    )
    all_met = sum(map(sum, met.values()))
    body = tuple(
        (
            score.source,
            score.rows,
            (sum(met[score.source]) if score.source in met else all_met) if met else _share(score.coverage),
            _share(score.median),
            _share(score.p90),
        )
        for score in each
    )
    return Table("scores", columns, body, total_rows=1)


def _row_table(rows: Sequence[ScalingRow], caption: str) -> Table:
    columns = (
        Column("id", "Row"),
        Column("law", "Law"),
        Column("quantity", "Quantity"),
        Column("inputs", "Inputs", wide_only=True),
        Column("measured", "Published", right=True),
        Column("predicted", "Ours", right=True),
        Column("error", "Error", right=True),
        Column("trust", "Trust", wide_only=True),
        Column("reason", "Why", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            row.id,
            row.law,
            row.quantity,
            row.inputs,
            row.measured,
            row.predicted,
            _share(row.error),
            row.trust,
            row.reason,
        )
        for row in rows
    )
    return Table("rows", columns, body, caption=caption)


def _share(value: float | None) -> Value | None:
    if value is None:
        return None
    return Value(value if abs(value) > ROUNDING else 0.0, "fraction")


def _row(row: ScalingRow) -> dict[str, object]:
    return {
        "id": row.id,
        "source": row.source,
        "law": row.law,
        "quantity": row.quantity,
        "inputs": row.inputs,
        "unit": row.unit,
        "trust": row.trust,
        "measured": row.measured,
        "predicted": row.predicted,
        "low": row.low,
        "high": row.high,
        "error": row.error,
        "within_tolerance": row.within,
        "status": row.status,
        "reason": row.reason,
    }
