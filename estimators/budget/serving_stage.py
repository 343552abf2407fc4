"""Stages that serve a model: own accelerators sized for the busiest hour of each month, or a public API.

    requests per second in month m = requests a day / 86,400 x (1 + growth)^m
    replicas = that x peak x headroom / what one replica carries, rounded up        (estimators/serving)
    hours    = replicas x accelerators of a replica x hours of the month

Own machines are paid whether busy or not: nothing here is switched off at night. The cut of the model over
accelerators is chosen once, the cheapest over all months.
"""

from __future__ import annotations

import math

from .. import units
from ..errors import DoesNotFit, InputError
from ..facts.budget_records import ServingWork, Stage, Terms
from ..facts.serving import load_serving_rules
from ..facts.serving_fit import load_serving_fit
from ..quantity import Quantity, exact, inverse, product
from ..serving.money import speed_factor
from ..serving.performance import Traffic, Tricks
from ..serving.sizing import Choice, Sized, size, usual_weights
from ..serving.sizing import Demand as Load
from ..units import DAY, MONTH, show_count
from .context import ACCELERATOR_HOUR, HOURS_PER_MONTH, Context, Demand, Worked
from .lines import Category
from .training_stages import accelerators, contract_months, hour_drafts

LEAST_TOKEN_S, LEAST_FIRST_S = 0.1, 5.0  # slower than people read, and than they wait; where no time is asked for


def serve(stage: Stage, work: ServingWork, context: Context, months: int) -> Worked:
    """Return a stage that serves for `months`.

    Raises:
        FactsError: a model, accelerator or API that does not exist, or a load that cannot be met.
        DoesNotFit: no cut of the model fits.
    """
    growth = [(1 + work.growth) ** month for month in range(months)]
    requests = [work.requests_per_day * factor * MONTH / DAY for factor in growth]
    tokens = (sum(requests) * work.input_tokens, sum(requests) * work.output_tokens)
    demand = _demand(stage, context)
    if work.api:
        from .data_stages import token_drafts

        drafts = token_drafts(
            stage,
            work.api,
            *tokens,
            context,
            driver=f"demand of '{stage.name}'",
            weights=tuple(requests),
            demand=demand,
        )
        note = f"{_load(work, growth)} to {work.api}"
        return Worked(drafts=drafts, lasts=None, notes=(note,), api_tokens=tokens)
    assert work.model and work.on
    with context.naming(*stage.where, "model"):
        shape = context.model(work.model).shape
    accelerator, most = accelerators(stage, work.on, context)
    rules = load_serving_rules()
    with context.naming(*stage.where, "weights"):
        weights = rules.format(work.weights) if work.weights else usual_weights(shape, rules)[0]
    headroom = context.default("serving_headroom")
    last_per_s = requests[-1] / MONTH * work.peak
    traffic = Traffic(input_tokens=work.input_tokens, output_tokens=work.output_tokens)
    load = Load(
        requests_per_s=last_per_s,
        traffic=traffic,
        tricks=Tricks(),
        token_s=work.time_per_token_s or LEAST_TOKEN_S,
        first_s=LEAST_FIRST_S,
        headroom=1 / headroom.mid,
    )
    with context.naming(*stage.where, "on"):
        try:
            cuts = size(shape, accelerator, load, Choice(weights=weights))
        except InputError as error:
            raise InputError(str(error).replace("--quant", "weights")) from None
        except DoesNotFit as error:
            raise DoesNotFit(str(error).replace("--quant", "weights")) from None
    rates_per_s = [rate / MONTH * work.peak * headroom.mid for rate in requests]
    best = min(cuts, key=lambda cut: sum(_counts(cut, rates_per_s)))
    each, counts = best.setup.tensor * best.setup.pipeline, _counts(best, rates_per_s)
    if most is not None and counts[-1] > most:
        month = next(index for index, count in enumerate(counts) if count > most)
        with context.naming(*stage.where, "on"):
            raise InputError(
                f"{most} {accelerator.name} cannot carry the load from month {month + 1} of the stage on; "
                f"write on: {units.read_accelerators(work.on)[0]}:{counts[-1]}, or no count for as many as it takes"
            )
    hours = _hours(best, demand, headroom, sum(counts) * HOURS_PER_MONTH)
    profile = tuple(float(count) for count in counts)
    fixed = work.renting.plan is Terms.RESERVED
    drafts, said = hour_drafts(
        stage,
        hours,
        accelerator,
        max(counts),
        work.renting,
        context,
        Category.SERVING,
        weights=None if fixed else profile,
    )
    warnings = []
    if work.renting.plan is Terms.SPOT:
        warnings.append(f"'{stage.name}' serves on spot machines: users notice every interruption.")
    note = (
        f"{_load(work, growth)} of {work.model} in {weights.name}: {counts[0]:,} to {counts[-1]:,} x {accelerator.name}"
        f", {each} to a replica of {show_count(best.at_capacity.requests_per_s)} requests/s{said}"
    )
    return Worked(
        drafts=drafts,
        lasts=None,
        notes=(note,),
        warnings=tuple(warnings),
        demand=Demand(accelerator=accelerator, count=max(counts), hours=hours, weights=profile, serves=True),
        renting=work.renting,
        commitment_months=contract_months(work.renting),
        api_tokens=tokens,
    )


def _counts(cut: Sized, rates_per_s: list[float]) -> list[int]:
    """Return the accelerators of each month: whole replicas, at least one."""
    each, carried = cut.setup.tensor * cut.setup.pipeline, cut.at_capacity.requests_per_s
    return [each * max(1, math.ceil(rate / carried - 1e-9)) for rate in rates_per_s]


def _hours(best: Sized, demand: Quantity, headroom: Quantity, hours: float) -> Quantity:
    """Return the accelerator-hours with their range: of the speed, the headroom and the demand."""
    speed = inverse(speed_factor(load_serving_fit(), best.setup.accelerator.id, model=best.setup.architecture_key), "")
    slack = headroom.scaled(1 / headroom.mid)
    ranged = product(ACCELERATOR_HOUR, (speed, slack, demand))
    return ranged.scaled(hours, ACCELERATOR_HOUR)


def _demand(stage: Stage, context: Context) -> Quantity:
    if stage.uncertainty is not None:  # the user's own; applied to the whole stage
        return exact(1.0, "", "uncertainty of the stage")
    return context.default("demand")


def _load(work: ServingWork, growth: list[float]) -> str:
    first, last = work.requests_per_day, work.requests_per_day * growth[-1]
    return (
        f"{show_count(first)} to {show_count(last)} requests a day"
        if work.growth
        else f"{show_count(first)} requests a day"
    )
