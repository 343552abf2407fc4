"""Why a serving answer is what it is: inputs, assumptions with their flags, warnings, the chain of formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...estimators.facts.serving_defaults import load_serving_defaults
from ...estimators.quantity import Given, Step
from ...estimators.units import show, show_percent
from .document import Assumption
from .serving_parts import Asked

if TYPE_CHECKING:
    from ...estimators.facts.serving_fit import ServingFit
    from ...estimators.serving.sizing import Sized


def asked_inputs(asked: Asked) -> Mapping[str, object]:
    """Return what was asked as data."""
    demand = asked.demand
    return {
        "model": asked.name,
        "requests_per_s": None if asked.job_tokens or demand.in_flight else demand.requests_per_s,
        "in_flight": demand.in_flight or None,
        "users": asked.users,
        "input_tokens": demand.traffic.input_tokens,
        "output_tokens": demand.traffic.output_tokens,
        "cached_share": demand.traffic.cached_share,
        "first_token_s": demand.first_s,
        "time_per_token_s": demand.token_s,
        "headroom": demand.headroom,
        "peak_over_mean": asked.peak_over_mean,
        "job_tokens": asked.job_tokens,
        "draft_tokens": demand.tricks.draft_tokens,
        "disaggregated": demand.tricks.disaggregated,
    }


def assumptions(asked: Asked, best: Sized) -> tuple[Assumption, ...]:
    """Return what was taken for granted, with the flag that changes it."""
    demand, defaults = asked.demand, load_serving_defaults()
    listed = [Assumption(asked.resolved.how, "--model")]
    if asked.why_weights:
        listed.append(Assumption(asked.why_weights, "--quant"))
    listed.append(Assumption(f"{best.setup.engine.name} with a {best.setup.cache_bits:g}-bit cache", "--engine"))
    if not asked.lengths_are_given:
        listed.append(
            Assumption(
                f"requests of {demand.traffic.input_tokens:,.0f} input and {demand.traffic.output_tokens:,.0f} output tokens",
                "--input-tokens",
            )
        )
    if asked.users:
        seconds = defaults["seconds_between_requests"].value
        listed.append(
            Assumption(f"an active user sends a request every {seconds:g} s (a guess)", "--requests-per-second")
        )
    elif not asked.load_is_given and not asked.job_tokens:
        listed.append(Assumption("one request per second at the peak", "--requests-per-second"))
    if not asked.targets_are_given and not asked.job_tokens:
        listed.append(
            Assumption(
                f"90 % of requests wait at most {show(demand.first_s or 0.0, 's')} for the first token and "
                f"{show(demand.token_s or 0.0, 's')} for each further one",
                "--ttft",
            )
        )
    if not asked.job_tokens:
        listed.append(
            Assumption(f"the peak uses at most {show_percent(demand.headroom)} of the capacity", "--headroom")
        )
    if demand.tricks.draft_tokens:
        share = show_percent(demand.tricks.draft_share)
        listed.append(Assumption(f"a draft token takes {share} of a step (a guess)", "--draft-tokens"))
    if best.quote:
        listed.append(Assumption(f"{best.quote.plan} prices; traffic, storage and staff are not in it", "--plan"))
    return tuple(listed)


def warnings(asked: Asked, best: Sized, fit: ServingFit) -> tuple[str, ...]:
    """Return what to be careful about."""
    from ..clock import today

    chip = best.setup.accelerator
    listed = []
    if chip.id not in fit.chips:
        listed.append(f"No measured row ran on {chip.name}: its rates are those of its generation, with a wider range.")
    if best.quote:
        listed.extend(best.quote.notes(today()))
    elif best.usd_per_hour is None:
        listed.append(f"{chip.name} has no price; give one with --price.")
    if asked.is_quant_given and best.setup.weights.bits < 6:
        listed.append(f"{best.setup.weights.name} weights can change answers; measure the quality of yours.")
    return tuple(listed)


def steps(asked: Asked, best: Sized, fit: ServingFit) -> tuple[Step, ...]:
    """Return the chain of formulas, for --explain."""
    replica = best.replica
    machine, load = replica.machine, best.at_load
    model, chip, rates = machine.model, machine.chip, machine.rates
    source = f"data/efficiency/serving.yaml, fitted on {fit.rows:,} figures of {fit.cells} cells ({fit.as_of})"
    sheet = "catalog"
    weights = model.attention_bytes + model.dense_bytes + model.head_bytes + model.expert_bytes
    return (
        Step(
            "step_s",
            "joined(W / (n bandwidth e_w), B F / (n peak e_c)) + cache / (bandwidth e_kv) + collectives + overheads",
            (
                Given("W", weights, "bytes", "operator list"),
                Given("n", machine.group.ways, "", "chips of a replica"),
                Given("bandwidth", chip.bandwidth, "bytes_per_s", sheet),
                Given("e_w", rates.weight_bandwidth, "fraction", source),
                Given("B", load.batch, "", "sequences at the load"),
                Given("peak", chip.linear_flops, "flops_per_s", sheet),
                Given("e_c", rates.decode_compute, "fraction", source),
                Given("e_kv", rates.kv_bandwidth, "fraction", source),
                Given("per layer", rates.layer_s, "s", source),
                Given("per step", rates.step_s, "s", source),
            ),
            load.step_s,
            "s",
            "estimators/serving/equations.py",
            load.binding,
        ),
        Step(
            "prefill_s",
            "joined(F / (n peak e_p), W / (n bandwidth e_w)) + attention + collectives + overheads",
            (
                Given("tokens", asked.demand.traffic.input_tokens, "tokens", "--input-tokens"),
                Given("e_p", rates.prefill_compute, "fraction", source),
                Given("peak", chip.linear_flops, "flops_per_s", sheet),
            ),
            load.prefill_s,
            "s",
            "estimators/serving/equations.py",
        ),
        Step(
            "token_s",
            "step + interference x prefill x (B - 1) / output tokens",
            (
                Given("interference", rates.interference, "", source),
                Given("prefill", load.prefill_s, "s", "above"),
                Given("B", load.batch, "", "Little's law"),
                Given("output tokens", asked.demand.traffic.output_tokens, "tokens", "--output-tokens"),
            ),
            load.token.mean,
            "s",
            "prompts of others hold a sequence up once per request",
        ),
        Step(
            "first_s",
            "prefill + wait_steps x step + rho T (1 + c2) / (2 (1 - rho))",
            (
                Given("wait_steps", machine.loads.wait_steps, "", source),
                Given("rho", load.prefill_busy, "fraction", "arrivals x prefill"),
                Given("c2", asked.demand.traffic.arrival_spread, "", "data/serving_defaults.yaml"),
            ),
            load.first.mean,
            "s",
            "M/G/1 queue, Pollaczek-Khinchine",
        ),
    )
