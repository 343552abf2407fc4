"""The document of `flopwise compare`: the ranked rows, and what became of the other combinations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators import units
from ...estimators.planning.sweep import Order, Row, Sweep, Swept
from ...estimators.units import show_count
from ..clock import today
from .document import Assumption, Cell, Column, Document, Table, Value

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog


def size_text(params: float) -> str:
    """Return "1.2B": a size with at most four digits, as people type it."""
    for scale, letter in ((1e9, "B"), (1e6, "M")):
        if params >= scale:
            return f"{params / scale:.4g}{letter}"
    return f"{params:.0f}"


def line(row: Row) -> str:
    """Return one combination in a few words."""
    chips = f"{row.accelerators:,} x {row.accelerator.id}"
    return (
        f"{row.model} on {show_count(row.tokens)} tokens, {chips}, {row.seller}: "
        f"{units.show_duration(row.seconds.mid)}, {units.show_usd(row.usd.mid)}"
    )


def compare_document(asked: Sweep, found: Swept, skipped: list[str], facts: Catalog, on: str) -> Document:
    """Return the ranked rows as a document."""
    best = found.rows[0]
    what = {Order.COST: "cheapest", Order.TIME: "fastest", Order.LOSS: "lowest loss"}[asked.order]
    left = found.configurations - found.too_large - found.over
    headline = f"The {what} of {found.configurations:,} combinations: {line(best)}."
    if found.too_large or found.over:
        headline += f" {left:,} will do"
        reasons = [f"{found.too_large:,} do not fit the memory"] if found.too_large else []
        reasons += [f"{found.over:,} are over the limits"] if found.over else []
        headline += f"; {' and '.join(reasons)}."
    several = len(asked.precisions) > 1
    warnings = []
    if skipped:
        more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        warnings.append(f"No price on these terms for {', '.join(skipped[:5])}{more}; left out.")
    if found.no_format:
        warnings.append(f"Without the format, left out: {', '.join(found.no_format[:5])}.")
    return Document(
        verb="compare",
        headline=headline,
        inputs={
            "models": [name for name, _ in asked.models],
            "tokens": list(asked.tokens),
            "on": on,
            "accelerators": list(asked.counts),
            "precisions": [str(each) for each in asked.precisions],
            "budget_usd": asked.budget_usd,
            "deadline_s": asked.deadline_s,
            "rank": str(asked.order),
            "date": today().isoformat(),
        },
        result={
            "configurations": found.configurations,
            "too_large": found.too_large,
            "over_limits": found.over,
            "rows": [
                {
                    "model": row.model,
                    "params": row.params,
                    "tokens": row.tokens,
                    "accelerator": row.accelerator.id,
                    "accelerators": row.accelerators,
                    "seller": row.seller,
                    "precision": str(row.precision),
                    "usd_per_hour": row.usd_per_hour,
                    "wall_s": row.seconds,
                    "cost_usd": row.usd,
                    "mfu": row.mfu,
                    "loss": row.loss,
                }
                for row in found.rows
            ],
        },
        sections=(_table(found, several),),
        assumptions=(
            Assumption(
                "a first look by the planner's table, a few percent off `train`; memory by 18 bytes a parameter"
            ),
            Assumption("losses by the default law, comparable with each other only"),
        ),
        warnings=tuple(warnings),
        catalog=facts.stamp(),
        next_commands=(
            f"flopwise train --model {best.model} --tokens {size_text(best.tokens)} --on {best.accelerator.id}:{best.accelerators}",
        ),
    )


def _table(found: Swept, several: bool) -> Table:
    columns = [
        Column("model", "Model"),
        Column("tokens", "Tokens", right=True),
        Column("accelerator", "Accelerators"),
        Column("seller", "Seller"),
        Column("wall_s", "Time", right=True),
        Column("cost_usd", "Cost", right=True),
        Column("loss", "Loss", right=True),
        Column("usd_per_hour", "Price/h", right=True, wide_only=True),
        Column("mfu", "MFU", right=True, wide_only=True),
    ]
    rows: list[tuple[Cell, ...]] = []
    for row in found.rows:
        chips = f"{row.accelerators:,} x {row.accelerator.id}" + (f", {row.precision}" if several else "")
        rows.append(
            (
                row.model,
                Value(row.tokens, "tokens"),
                chips,
                row.seller,
                Value(row.seconds.mid, "s"),
                row.usd,
                Value(row.loss, ""),
                Value(row.usd_per_hour, "usd"),
                Value(row.mfu, "fraction"),
            )
        )
    return Table("combinations", tuple(columns), tuple(rows), caption="Best first")
