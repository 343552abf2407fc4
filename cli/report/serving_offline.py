"""The batch job of `flopwise serve --offline`: on one chip, and the parts of its ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.facts.serving_fit import load_serving_fit
from ...estimators.quantity import Quantity
from ...estimators.serving.money import (
    offline,
)
from ...estimators.units import show_count
from .document import Cell, Column, Document, Facts, Table, Value
from .serving_parts import Asked, cut, memory_result, memory_table, price_remark, short_cut
from .serving_reasons import asked_inputs, assumptions, warnings
from .training import mid_and_range

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.serving_fit import ServingFit
    from ...estimators.serving.sizing import Sized


def offline_document(
    asked: Asked, options: Sequence[Sized], chips: int | None, usd_per_hour: Quantity | None, catalog: Catalog
) -> Document:
    """Return time and money of a batch job on one chip."""
    fit = load_serving_fit()
    tokens = asked.job_tokens or 1.0
    best = options[0]
    own = best.setup.tensor * best.setup.pipeline
    if chips is not None and chips < own:
        raise InputError(f"--on: {chips} are too few; one replica takes {own} {best.setup.accelerator.name}.")
    found = offline(best, fit, tokens, chips or own, usd_per_hour)
    items: list[tuple[str, str, Cell, str]] = [
        ("wall_s", "Time", found.wall_s, f"on {found.chips} x {best.setup.accelerator.name}"),
        ("accelerator_hours", "Accelerator-hours", found.chip_hours, ""),
        ("output_tokens_per_s", "Speed", found.output_per_s_per_chip, "output tokens per chip"),
        ("batch", "Sequences at once", Value(best.replica.most, "count"), f"per replica of {own}"),
    ]
    if found.usd:
        items.insert(1, ("cost_usd", "Cost", found.usd, price_remark(best)))
        items.append(("usd_per_million_output", "Per million output", found.usd_per_million, "prompts included"))
    money = f" and costs {mid_and_range(found.usd)}" if found.usd else ""
    return Document(
        verb="serve",
        headline=(
            f"Writing {show_count(tokens)} tokens with {asked.name} takes {mid_and_range(found.wall_s)} on "
            f"{found.chips} x {best.setup.accelerator.name}{money}."
        ),
        inputs=asked_inputs(asked),
        result={
            "wall_s": found.wall_s,
            "accelerator_hours": found.chip_hours,
            "cost_usd": found.usd,
            "usd_per_million_output": found.usd_per_million,
            "output_tokens_per_s_per_chip": found.output_per_s_per_chip,
            "chips": found.chips,
            "batch": best.replica.most,
            "memory_per_chip": memory_result(best),
            **cut(best),
        },
        sections=(Facts("job", tuple(items)), memory_table(best)),
        assumptions=assumptions(asked, best),
        warnings=warnings(asked, best, fit),
        catalog=catalog.stamp(),
    )


def offline_table(ranked: Sequence[Sized], fit: ServingFit, tokens: float) -> Table:
    """Return the chips by the bill of the batch job."""
    columns = (
        Column("accelerator", "Accelerator"),
        Column("cut", "Replica", right=True),
        Column("tokens_per_s", "Output/s per chip", right=True),
        Column("hours", "Chip-hours", right=True),
        Column("usd", "Cost", right=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in ranked:
        per_chip = each.quote.usd_per_hour if each.quote else None
        job = offline(each, fit, tokens, each.setup.tensor * each.setup.pipeline, per_chip)
        rows.append((each.setup.accelerator.id, short_cut(each), job.output_per_s_per_chip, job.chip_hours, job.usd))
    return Table("ranking", columns, tuple(rows), caption=f"The {len(rows)} cheapest")


def offline_of(each: Sized, fit: ServingFit, tokens: float) -> Quantity:
    """Return the bill, or the accelerator-hours where there is no price."""
    per_chip = each.quote.usd_per_hour if each.quote else None
    job = offline(each, fit, tokens, each.setup.tensor * each.setup.pipeline, per_chip)
    return job.usd or job.chip_hours


def offline_usd(each: Sized, fit: ServingFit, tokens: float) -> float:
    """Return the number that ranks a chip."""
    return offline_of(each, fit, tokens).mid


def offline_result(each: Sized, fit: ServingFit, tokens: float) -> dict[str, object]:
    """Return one chip as data."""
    per_chip = each.quote.usd_per_hour if each.quote else None
    job = offline(each, fit, tokens, each.setup.tensor * each.setup.pipeline, per_chip)
    return {
        **cut(each),
        "output_tokens_per_s_per_chip": job.output_per_s_per_chip,
        "accelerator_hours": job.chip_hours,
        "cost_usd": job.usd,
        "usd_per_million_output": job.usd_per_million,
    }
