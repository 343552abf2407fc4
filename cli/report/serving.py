"""The documents of `flopwise serve`: one chip, the ranking of all, and the batch job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.facts.other_prices import load_other_prices
from ...estimators.facts.serving_defaults import load_serving_defaults
from ...estimators.facts.serving_fit import load_serving_fit
from ...estimators.frozen import dataclass
from ...estimators.quantity import Given, Quantity, Step, inverse
from ...estimators.serving.memory import serving_memory
from ...estimators.serving.money import (
    AgainstApi,
    TokenCost,
    against_api,
    curve,
    day_profile,
    offline,
    speed_factor,
    token_cost,
)
from ...estimators.serving.performance import Latency
from ...estimators.units import HOUR, MONTH, show, show_count, show_percent
from .document import Assumption, Cell, Column, Document, Facts, Table, Value
from .training import mid_and_range

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.serving_fit import ServingFit
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.serving.sizing import Demand, Sized

RANKED = 12  # chips shown on the screen
APIS = 6
_VOLUMES = (0.01, 0.1, 0.5, 1.0, 2.0, 10.0)  # times the volume asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked, and what we chose where nothing was said."""

    resolved: ResolvedModel
    why_weights: str
    demand: Demand
    peak_over_mean: float
    api: tuple[str, ...]
    is_quant_given: bool
    users: float | None
    job_tokens: float | None
    load_is_given: bool
    lengths_are_given: bool
    targets_are_given: bool

    @property
    def name(self) -> str:
        """The model's name."""
        return self.resolved.shape.name


def serve_document(asked: Asked, options: Sequence[Sized], catalog: Catalog) -> Document:
    """Return the answer for one chip: the best cut, its latencies, memory, money, day, APIs, and the other cuts."""
    best, fit = options[0], load_serving_fit()
    mean_rate = best.requests_per_s / asked.peak_over_mean
    cost = token_cost(best, asked.demand, fit, mean_rate)
    apis = _apis(asked, best, fit)
    sections: list[Table | Facts] = [
        _facts(asked, best, cost, fit),
        _latency_table(asked, best, fit),
        _memory_table(best),
    ]
    if apis:
        sections.append(_api_table(asked, apis))
        sections.append(_curve_table(asked, best, apis[0]))
    if asked.peak_over_mean > 1:
        sections.append(_day_table(asked, best))
    if len(options) > 1:
        sections.append(_options_table("alternatives", "Other cuts", options[1:5]))
    return Document(
        verb="serve",
        headline=_headline(asked, best, cost),
        inputs=_inputs(asked),
        result={**_result(asked, best, cost, fit), "apis": [_api_result(each) for each in apis],
            "curve": [
                {"requests_per_month": requests, "own_usd_per_month": own, "api_usd_per_month": theirs}
                for requests, own, theirs in (_curve(asked, best, apis[0]) if apis else ())
            ],
                "day": [_hour(each) for each in day_profile(best, asked.demand, asked.peak_over_mean)],
                "alternatives": [_row_result(each) for each in options[1:]]},
        sections=tuple(sections),
        assumptions=_assumptions(asked, best),
        warnings=_warnings(asked, best, fit),
        steps=_steps(asked, best, fit),
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
        ranked = sorted(ranked, key=lambda each: _offline_usd(each, fit, asked.job_tokens or 1.0))
        best = ranked[0]
    cost = token_cost(best, asked.demand, fit, best.requests_per_s / asked.peak_over_mean)
    table = (
        _offline_table(ranked[:RANKED], fit, asked.job_tokens)
        if asked.job_tokens
        else _options_table(
            "ranking", f"The {min(RANKED, len(ranked))} cheapest of {len(ranked)} chips", ranked[:RANKED]
        )
    )
    chip = best.setup.accelerator
    result: dict[str, object] = {
        "best": _result(asked, best, cost, fit),
        "ranking": [_row_result(each) for each in ranked],
        "left_out": [{"accelerator": name, "reason": reason} for name, reason in left_out],
    }
    if asked.job_tokens:
        result["ranking"] = [_offline_result(each, fit, asked.job_tokens) for each in ranked]
        del result["best"]
    headline = (
        f"{chip.name} is the cheapest of {len(ranked)} chips for {show_count(asked.job_tokens)} tokens of {asked.name}: "
        f"{mid_and_range(_offline_of(best, fit, asked.job_tokens))}."
        if asked.job_tokens
        else _headline(asked, best, cost)
    )
    sections: tuple[Table | Facts, ...] = (table,)
    if not asked.job_tokens:
        sections = (table, _facts(asked, best, cost, fit), _latency_table(asked, best, fit))
    return Document(
        verb="serve",
        headline=headline,
        inputs=_inputs(asked),
        result=result,
        sections=sections,
        assumptions=_assumptions(asked, best),
        warnings=_warnings(asked, best, fit),
        steps=_steps(asked, best, fit),
        catalog=catalog.stamp(),
        next_commands=(f"flopwise serve --model {asked.name} --on {chip.id}",),
    )


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
        items.insert(1, ("cost_usd", "Cost", found.usd, _price_remark(best)))
        items.append(("usd_per_million_output", "Per million output", found.usd_per_million, "prompts included"))
    money = f" and costs {mid_and_range(found.usd)}" if found.usd else ""
    return Document(
        verb="serve",
        headline=(
            f"Writing {show_count(tokens)} tokens with {asked.name} takes {mid_and_range(found.wall_s)} on "
            f"{found.chips} x {best.setup.accelerator.name}{money}."
        ),
        inputs=_inputs(asked),
        result={
            "wall_s": found.wall_s,
            "accelerator_hours": found.chip_hours,
            "cost_usd": found.usd,
            "usd_per_million_output": found.usd_per_million,
            "output_tokens_per_s_per_chip": found.output_per_s_per_chip,
            "chips": found.chips,
            "batch": best.replica.most,
            "memory_per_chip": _memory_result(best),
            **_cut(best),
        },
        sections=(Facts("job", tuple(items)), _memory_table(best)),
        assumptions=_assumptions(asked, best),
        warnings=_warnings(asked, best, fit),
        catalog=catalog.stamp(),
    )


# --- parts ----------------------------------------------------------------------------------------------------------


def _headline(asked: Asked, best: Sized, cost: TokenCost | None) -> str:
    chip = best.setup.accelerator
    load = (
        f"{asked.demand.in_flight:g} requests in flight"
        if asked.demand.in_flight
        else f"{best.requests_per_s:.3g} requests/s"
    )
    text = (
        f"{asked.name} under {load} needs {best.chips} x {chip.name} ({best.replicas} replica{'' if best.replicas == 1 else 's'} of "
        f"{best.setup.tensor * best.setup.pipeline}); {show_percent(best.utilisation)} of their capacity is used at the peak."
    )
    if best.usd_per_hour and cost:
        month = best.usd_per_hour.scaled(MONTH / HOUR, "usd")
        text += (
            f" {mid_and_range(month)} a month: {show(cost.input_usd.mid, 'usd')} per million input and "
            f"{show(cost.output_usd.mid, 'usd')} per million output tokens."
        )
    return text


def _facts(asked: Asked, best: Sized, cost: TokenCost | None, fit: ServingFit) -> Facts:
    load, traffic = best.at_load, asked.demand.traffic
    speed = speed_factor(fit, best.setup.accelerator.id)
    items: list[tuple[str, str, Cell, str]] = [
        ("chips", "Chips", best.chips, f"{best.replicas} replica{'' if best.replicas == 1 else 's'}, {_cut_text(best)}"),
        (
            "output_tokens_per_s", "Output at the load",
            Value(best.requests_per_s * traffic.output_tokens, "tokens_per_s"), f"{best.requests_per_s:.3g} requests/s",
        ),
        (
            "capacity_requests_per_s", "Capacity", speed.scaled(best.at_capacity.requests_per_s * best.replicas, "count"),
            "requests/s inside the targets, all replicas",
        ),
        ("utilisation", "Utilisation", Value(best.utilisation, "fraction"), "at the peak; --headroom sets the most"),
        ("batch", "Sequences at once", Value(load.batch, "count"), f"per replica; the cache holds {best.replica.room:,.0f}"),
        ("binding", "Bound by", load.binding, f"prompts take {show_percent(load.prefill_busy)} of the time"),
    ]  # fmt: skip
    if best.usd_per_hour and cost:
        items += [
            ("usd_per_hour", "Cost an hour", best.usd_per_hour, _price_remark(best)),
            ("usd_per_month", "Cost a month", best.usd_per_hour.scaled(MONTH / HOUR, "usd"), "730.5 hours"),
            ("usd_per_million_input", "Per million input", cost.input_usd, "at this load, idle time included"),
            ("usd_per_million_output", "Per million output", cost.output_usd, "at this load, idle time included"),
            ("full_usd_per_million_output", "... with replicas full", cost.full_output_usd, "per million output"),
        ]
    return Facts("serving", tuple(items))


def _latency_table(asked: Asked, best: Sized, fit: ServingFit) -> Table:
    columns = (
        Column("what", "At this load"),
        Column("mean", "Mean", right=True),
        Column("p50", "50 %", right=True),
        Column("p90", "90 %", right=True),
        Column("p99", "99 %", right=True),
        Column("target", "Target", right=True),
    )
    demand = asked.demand
    slow, first = _token_factor(best, fit), _first_factor(best, fit)

    def row(name: str, latency: Latency, factor: Quantity, target: float | None) -> tuple[Cell, ...]:
        return (
            name, factor.scaled(latency.mean, "s"), Value(latency.p50, "s"), Value(latency.p90, "s"),
            Value(latency.p99, "s"), None if target is None else Value(target, "s"),
        )  # fmt: skip

    return Table(
        "latency",
        columns,
        (
            row("to the first token", best.at_load.first, first, demand.first_s),
            row("per output token", best.at_load.token, slow, demand.token_s),
        ),
        caption="Latency under Poisson arrivals; targets hold at 90 %",
    )


def _memory_table(best: Sized) -> Table:
    memory = serving_memory(best.setup)
    rows: list[tuple[Cell, ...]] = [
        ("weights", Value(memory.weights, "bytes"), Value(memory.weights / memory.total, "fraction")),
        ("runtime, activations", Value(memory.reserve, "bytes"), Value(memory.reserve / memory.total, "fraction")),
        ("cache", Value(memory.cache, "bytes"), Value(memory.cache / memory.total, "fraction")),
        ("kept free", Value(memory.unused, "bytes"), Value(memory.unused / memory.total, "fraction")),
        ("usable", Value(memory.total, "bytes"), Value(1.0, "fraction")),
    ]
    return Table(
        "memory",
        (Column("part", "Memory per chip"), Column("bytes", "Size", right=True), Column("share", "Share", right=True)),
        tuple(rows),
        caption=f"A replica's cache holds {memory.cache_tokens:,.0f} tokens",
        total_rows=1,
    )


def _options_table(name: str, caption: str, options: Sequence[Sized]) -> Table:
    columns = (
        Column("accelerator", "Accelerator"),
        Column("cut", "Replica", right=True),
        Column("chips", "Chips", right=True),
        Column("usd_per_month", "A month", right=True),
        Column("first_p90_s", "First, 90 %", right=True),
        Column("token_p90_s", "Token, 90 %", right=True),
        Column("utilisation", "Used", right=True),
        Column("binding", "Bound by", wide_only=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.setup.accelerator.id,
            _short_cut(each),
            each.chips,
            each.usd_per_hour.scaled(MONTH / HOUR, "usd") if each.usd_per_hour else None,
            Value(each.at_load.first.p90, "s"),
            Value(each.at_load.token.p90, "s"),
            Value(each.utilisation, "fraction"),
            each.at_load.binding,
        )
        for each in options
    )
    return Table(name, columns, body, caption=caption)


def _offline_table(ranked: Sequence[Sized], fit: ServingFit, tokens: float) -> Table:
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
        rows.append((each.setup.accelerator.id, _short_cut(each), job.output_per_s_per_chip, job.chip_hours, job.usd))
    return Table("ranking", columns, tuple(rows), caption=f"The {len(rows)} cheapest")


def _offline_of(each: Sized, fit: ServingFit, tokens: float) -> Quantity:
    per_chip = each.quote.usd_per_hour if each.quote else None
    job = offline(each, fit, tokens, each.setup.tensor * each.setup.pipeline, per_chip)
    return job.usd or job.chip_hours


def _offline_usd(each: Sized, fit: ServingFit, tokens: float) -> float:
    return _offline_of(each, fit, tokens).mid


def _offline_result(each: Sized, fit: ServingFit, tokens: float) -> dict[str, object]:
    per_chip = each.quote.usd_per_hour if each.quote else None
    job = offline(each, fit, tokens, each.setup.tensor * each.setup.pipeline, per_chip)
    return {
        **_cut(each),
        "output_tokens_per_s_per_chip": job.output_per_s_per_chip,
        "accelerator_hours": job.chip_hours,
        "cost_usd": job.usd,
        "usd_per_million_output": job.usd_per_million,
    }


def _apis(asked: Asked, best: Sized, fit: ServingFit) -> tuple[AgainstApi, ...]:
    if best.usd_per_hour is None:
        if asked.api:
            raise InputError(f"--api: {best.setup.accelerator.name} has no price; give one with --price.")
        return ()
    prices = load_other_prices()
    wanted = [prices.token_price(name) for name in asked.api] or list(prices.tokens)
    volume = best.requests_per_s / asked.peak_over_mean * MONTH
    found = [against_api(best, asked.demand, price, volume, fit) for price in wanted]
    found.sort(key=lambda each: each.usd_per_request)
    return tuple(found if asked.api else found[:APIS])


def _api_table(asked: Asked, apis: Sequence[AgainstApi]) -> Table:
    columns = (
        Column("model", "API"),
        Column("date", "Price of", right=True),
        Column("api_month", "API, a month", right=True),
        Column("own_month", "Own, a month", right=True),
        Column("break_even", "Break-even, requests a month", right=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.price.model,
            each.price.date,
            Value(each.api_usd_per_month, "usd"),
            Value(each.own_usd_per_month.mid, "usd"),
            each.break_even if each.break_even else "never",
        )
        for each in apis
    )
    chosen = "" if asked.api else f"the {len(apis)} cheapest of our table, --api names others; "
    return Table("apis", columns, body, caption=f"Or call an API ({chosen}other models answer differently)")


def _curve(asked: Asked, best: Sized, api: AgainstApi) -> tuple[tuple[float, float, float], ...]:
    volume = best.requests_per_s / asked.peak_over_mean * MONTH
    return curve(best, asked.demand, api.price, tuple(volume * factor for factor in _VOLUMES))


def _curve_table(asked: Asked, best: Sized, api: AgainstApi) -> Table:
    columns = (
        Column("requests", "Requests a month", right=True),
        Column("own", "Own", right=True),
        Column("api", api.price.model, right=True),
        Column("cheaper", "Cheaper"),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (Value(requests, "count"), Value(own, "usd"), Value(theirs, "usd"), "own" if own < theirs else "API")
        for requests, own, theirs in _curve(asked, best, api)
    )
    return Table(
        "curve", columns, body, caption="The bill over volume: replicas by the staircase, the API by the token"
    )


def _day_table(asked: Asked, best: Sized) -> Table:
    hours = day_profile(best, asked.demand, asked.peak_over_mean)
    columns = (
        Column("hour", "Hour", right=True),
        Column("requests_per_s", "Requests/s", right=True),
        Column("replicas", "Replicas needed", right=True),
        Column("utilisation", "Used of all", right=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (f"{each.hour:02d}:00", Value(each.requests_per_s, "count"), each.replicas, Value(each.utilisation, "fraction"))
        for each in hours
        if each.hour % 3 == 0
    )
    mean = sum(each.replicas for each in hours) / len(hours)
    return Table(
        "day", columns, body, caption=f"A day; scaling with the load would need {mean:.2g} replicas on average"
    )


def _assumptions(asked: Asked, best: Sized) -> tuple[Assumption, ...]:
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


def _warnings(asked: Asked, best: Sized, fit: ServingFit) -> tuple[str, ...]:
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


def _steps(asked: Asked, best: Sized, fit: ServingFit) -> tuple[Step, ...]:
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


def _inputs(asked: Asked) -> Mapping[str, object]:
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


def _result(asked: Asked, best: Sized, cost: TokenCost | None, fit: ServingFit) -> dict[str, object]:
    load, memory = best.at_load, serving_memory(best.setup)
    speed = speed_factor(fit, best.setup.accelerator.id)
    traffic = asked.demand.traffic
    return {
        **_row_result(best),
        "requests_per_s": best.requests_per_s,
        "output_tokens_per_s": best.requests_per_s * traffic.output_tokens,
        "capacity_requests_per_s": speed.scaled(best.at_capacity.requests_per_s * best.replicas, "count"),
        "first_token_s": _latency(load.first, _first_factor(best, fit)),
        "time_per_token_s": _latency(load.token, _token_factor(best, fit)),
        "prefill_s": load.prefill_s,
        "step_s": load.step_s,
        "prefill_busy": load.prefill_busy,
        "usd_per_million_input": cost.input_usd if cost else None,
        "usd_per_million_output": cost.output_usd if cost else None,
        "full_usd_per_million_input": cost.full_input_usd if cost else None,
        "full_usd_per_million_output": cost.full_output_usd if cost else None,
        "memory_per_chip": _memory_result(best),
        "cache_tokens_per_replica": memory.cache_tokens,
    }


def _latency(latency: Latency, factor: Quantity) -> dict[str, object]:
    return {"mean": factor.scaled(latency.mean, "s"), "p50": latency.p50, "p90": latency.p90, "p99": latency.p99}


def _token_factor(best: Sized, fit: ServingFit) -> Quantity:
    """Seconds per token are the inverse of a speed; the bands are kept as measured over predicted speed."""
    return inverse(speed_factor(fit, best.setup.accelerator.id), "s")


def _first_factor(best: Sized, fit: ServingFit) -> Quantity:
    return speed_factor(fit, best.setup.accelerator.id, "first token").scaled(1.0, "s")


def _memory_result(best: Sized) -> dict[str, object]:
    memory = serving_memory(best.setup)
    parts = {"weights": memory.weights, "reserve": memory.reserve, "cache": memory.cache, "unused": memory.unused}
    made: dict[str, object] = {f"{name}_bytes": value for name, value in parts.items()}
    made["usable_bytes"] = memory.total
    made["shares"] = {name: value / memory.total for name, value in parts.items()}
    return made


def _cut(each: Sized) -> dict[str, object]:
    return {
        "accelerator": each.setup.accelerator.id,
        "engine": each.setup.engine.id,
        "weights": each.setup.weights.name,
        "tensor_parallel": each.setup.tensor,
        "pipeline_stages": each.setup.pipeline,
        "attention_copies": each.setup.attention_copies,
    }


def _row_result(each: Sized) -> dict[str, object]:
    return {
        **_cut(each),
        "replicas": each.replicas,
        "chips": each.chips,
        "utilisation": each.utilisation,
        "batch": each.at_load.batch,
        "first_token_p90_s": each.at_load.first.p90,
        "time_per_token_p90_s": each.at_load.token.p90,
        "binding": each.at_load.binding,
        "usd_per_hour": each.usd_per_hour,
        "usd_per_month": each.usd_per_hour.scaled(MONTH / HOUR, "usd") if each.usd_per_hour else None,
    }


def _api_result(each: AgainstApi) -> dict[str, object]:
    return {
        "model": each.price.model,
        "input_usd_per_million": each.price.input_usd,
        "output_usd_per_million": each.price.output_usd,
        "price_date": each.price.date,
        "source": each.price.source,
        "api_usd_per_month": each.api_usd_per_month,
        "own_usd_per_month": each.own_usd_per_month,
        "break_even_requests_per_month": each.break_even,
        "cheaper": each.cheaper,
    }


def _hour(each: object) -> dict[str, object]:
    return {name: getattr(each, name) for name in ("hour", "load", "requests_per_s", "replicas", "utilisation")}


def _cut_text(each: Sized) -> str:
    parts = [f"{each.setup.tensor}-way tensor parallel" if each.setup.tensor > 1 else "one chip each"]
    if each.setup.pipeline > 1:
        parts.append(f"{each.setup.pipeline} stages")
    if each.setup.attention_copies > 1:
        parts.append("data-parallel attention")
    if each.prompt_chips:
        parts.append(f"{each.prompt_chips} chips for prompts")
    return ", ".join(parts)


def _short_cut(each: Sized) -> str:
    stages = f" x {each.setup.pipeline}" if each.setup.pipeline > 1 else ""
    return f"{each.setup.tensor}{stages}" + (" dp" if each.setup.attention_copies > 1 else "")


def _price_remark(best: Sized) -> str:
    if best.quote:
        return f"{best.quote.plan}, {len(best.quote.clouds)} clouds, {best.quote.oldest} to {best.quote.newest}"
    return "your price"
