"""The documents of `flopwise serve`: one chip, and the ranking of all. The batch job is in serving_offline.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.facts.serving_fit import load_serving_fit
from ...estimators.serving.money import (
    day_profile,
    token_cost,
)
from ...estimators.units import show_count
from .document import Document, Facts, Table
from .serving_apis import api_curve, api_result, api_table, compared_apis, curve_table
from .serving_offline import offline_of, offline_result, offline_table, offline_usd
from .serving_parts import (
    Asked,
    answer_result,
    day_table,
    facts,
    headline,
    hour,
    latency_table,
    memory_table,
    options_table,
    row_result,
)
from .serving_reasons import asked_inputs, assumptions, steps, warnings
from .training import mid_and_range

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.serving.sizing import Sized

RANKED = 12  # chips shown on the screen


def serve_document(asked: Asked, options: Sequence[Sized], catalog: Catalog) -> Document:
    """Return the answer for one chip: the best cut, its latencies, memory, money, day, APIs, and the other cuts."""
    best, fit = options[0], load_serving_fit()
    mean_rate = best.requests_per_s / asked.peak_over_mean
    cost = token_cost(best, asked.demand, fit, mean_rate)
    apis = compared_apis(asked, best, fit)
    sections: list[Table | Facts] = [
        facts(asked, best, cost, fit),
        latency_table(asked, best, fit),
        memory_table(best),
    ]
    if apis:
        sections.append(api_table(asked, apis))
        sections.append(curve_table(asked, best, apis[0]))
    if asked.peak_over_mean > 1:
        sections.append(day_table(asked, best))
    if len(options) > 1:
        sections.append(options_table("alternatives", "Other cuts", options[1:5]))
    return Document(
        verb="serve",
        headline=headline(asked, best, cost),
        inputs=asked_inputs(asked),
        result={**answer_result(asked, best, cost, fit), "apis": [api_result(each) for each in apis],
            "curve": [
                {"requests_per_month": requests, "own_usd_per_month": own, "api_usd_per_month": theirs}
                for requests, own, theirs in (api_curve(asked, best, apis[0]) if apis else ())
            ],
                "day": [hour(each) for each in day_profile(best, asked.demand, asked.peak_over_mean)],
                "alternatives": [row_result(each) for each in options[1:]]},
        sections=tuple(sections),
        assumptions=assumptions(asked, best),
        warnings=warnings(asked, best, fit),
        steps=steps(asked, best, fit),
        catalog=catalog.stamp(),
        next_commands=(f"flopwise serve --model {asked.name} --offline --tokens 1B --on {best.setup.accelerator.id}",),
    )  # fmt: skip


def ranking_document(
    asked: Asked, ranked: Sequence[Sized], left_out: Sequence[tuple[str, str]], catalog: Catalog
) -> Document:
    """Return every priced chip by the bill, with the best in detail.

    Raises:
        InputError: no chip serves the load.
    """
    if not ranked:
        reason = left_out[0][1] if left_out else "no chip has a price."
        raise InputError(f"no priced chip serves {asked.name} so: {reason}")
    fit = load_serving_fit()
    best = ranked[0]
    if asked.job_tokens:
        ranked = sorted(ranked, key=lambda each: offline_usd(each, fit, asked.job_tokens or 1.0))
        best = ranked[0]
    cost = token_cost(best, asked.demand, fit, best.requests_per_s / asked.peak_over_mean)
    table = (
        offline_table(ranked[:RANKED], fit, asked.job_tokens)
        if asked.job_tokens
        else options_table(
            "ranking", f"The {min(RANKED, len(ranked))} cheapest of {len(ranked)} chips", ranked[:RANKED]
        )
    )
    chip = best.setup.accelerator
    result: dict[str, object] = {
        "best": answer_result(asked, best, cost, fit),
        "ranking": [row_result(each) for each in ranked],
        "left_out": [{"accelerator": name, "reason": reason} for name, reason in left_out],
    }
    if asked.job_tokens:
        result["ranking"] = [offline_result(each, fit, asked.job_tokens) for each in ranked]
        del result["best"]
    sentence = (
        f"{chip.name} is the cheapest of {len(ranked)} chips for {show_count(asked.job_tokens)} tokens of {asked.name}: "
        f"{mid_and_range(offline_of(best, fit, asked.job_tokens))}."
        if asked.job_tokens
        else headline(asked, best, cost)
    )
    sections: tuple[Table | Facts, ...] = (table,)
    if not asked.job_tokens:
        sections = (table, facts(asked, best, cost, fit), latency_table(asked, best, fit))
    return Document(
        verb="serve",
        headline=sentence,
        inputs=asked_inputs(asked),
        result=result,
        sections=sections,
        assumptions=assumptions(asked, best),
        warnings=warnings(asked, best, fit),
        steps=steps(asked, best, fit),
        catalog=catalog.stamp(),
        next_commands=(f"flopwise serve --model {asked.name} --on {chip.id}",),
    )
