"""The document of `flopwise validate params`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.params import NEAR, ParamsRow, ParamsSummary
from ...estimators.units import show_percent
from .document import Cell, Column, Document, Facts, Table, Value


def params_document(
    rows: Sequence[ParamsRow], found: ParamsSummary, inputs: Mapping[str, object], *, show_all: bool
) -> Document:
    """Return the summary and the rows: those that do not match to the unit, or all of them."""
    columns = (
        Column("id", "model"),
        Column("measured", "published", right=True),
        Column("predicted", "ours", right=True),
        Column("error", "difference", right=True),
        Column("agreement", "agreement"),
        Column("reason", "why", wide_only=True),
    )
    shown = [row for row in rows if show_all or row.agreement != "exact"]
    table_rows: list[tuple[Cell, ...]] = [
        (
            row.id,
            row.measured,
            row.predicted,
            Value(row.error, "fraction") if row.error is not None else None,
            row.agreement or row.status,
            row.reason or row.explanation,
        )
        for row in shown
    ]
    items: list[tuple[str, str, Cell, str]] = [
        ("exact_matched", "match to the unit", found.exact_matched, f"of {found.exact_published} exact counts"),
        ("near", f"within {show_percent(NEAR)}", found.near, f"of {found.nominal} rounded figures"),
        ("explained", "explained", found.explained, "the rounded figures that differ by more"),
        ("differs", "differ", len(found.differs), ", ".join(found.differs)),
        ("unsupported", "not supported", found.unsupported, ""),
    ]
    headline = f"{found.exact_matched} of {found.exact_published} exact counts match to the unit; "
    if found.differs:
        headline += f"{len(found.differs)} rows differ without an explanation."
    else:
        headline += "every other difference is within 0.5 % or explained."
    caption = "" if show_all else "Those that are not the same to the unit (--all shows every row)"
    sections: tuple[Table | Facts, ...] = (Facts("summary", tuple(items)),)
    if table_rows:
        sections += (Table("rows", columns, tuple(table_rows), caption=caption),)
    return Document(
        verb="validate.params",
        headline=headline,
        inputs=inputs,
        result={"rows": [_row(row) for row in rows], "summary": _summary(found)},
        sections=sections,
    )


def _row(row: ParamsRow) -> dict[str, object]:
    return {
        "id": row.id,
        "source": row.source,
        "published_as": row.how,
        "measured": row.measured,
        "predicted": row.predicted,
        "low": row.predicted,
        "high": row.predicted,
        "error": row.error,
        "agreement": row.agreement,
        "status": row.status,
        "reason": row.reason or row.explanation,
    }


def _summary(found: ParamsSummary) -> dict[str, object]:
    return {
        "rows": found.rows,
        "unsupported": found.unsupported,
        "exact_published": found.exact_published,
        "exact_matched": found.exact_matched,
        "nominal": found.nominal,
        "near": found.near,
        "explained": found.explained,
        "differs": list(found.differs),
        "median_error": found.median,
        "p90_error": found.p90,
        "worst_error": found.worst,
    }
