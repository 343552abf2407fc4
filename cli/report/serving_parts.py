"""The parts that the answers of `flopwise serve` share: what was asked, headline, facts, tables, and their twins as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.frozen import dataclass
from ...estimators.quantity import Quantity, inverse
from ...estimators.serving.memory import serving_memory
from ...estimators.serving.money import (
    TokenCost,
    day_profile,
    speed_factor,
)
from ...estimators.serving.performance import Latency
from ...estimators.units import HOUR, MONTH, show, show_percent
from .document import Cell, Column, Facts, Table, Value
from .training import mid_and_range

if TYPE_CHECKING:
    from ...estimators.facts.serving_fit import ServingFit
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.serving.sizing import Demand, Sized


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


def headline(asked: Asked, best: Sized, cost: TokenCost | None) -> str:
    """Return the sentence a person reads first."""
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


def facts(asked: Asked, best: Sized, cost: TokenCost | None, fit: ServingFit) -> Facts:
    """Return what the load needs and costs."""
    load, traffic = best.at_load, asked.demand.traffic
    speed = speed_factor(fit, best.setup.accelerator.id, model=best.setup.architecture_key)
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
            ("usd_per_hour", "Cost an hour", best.usd_per_hour, price_remark(best)),
            ("usd_per_month", "Cost a month", best.usd_per_hour.scaled(MONTH / HOUR, "usd"), "730.5 hours"),
            ("usd_per_million_input", "Per million input", cost.input_usd, "at this load, idle time included"),
            ("usd_per_million_output", "Per million output", cost.output_usd, "at this load, idle time included"),
            ("full_usd_per_million_output", "... with replicas full", cost.full_output_usd, "per million output"),
        ]
    return Facts("serving", tuple(items))


def latency_table(asked: Asked, best: Sized, fit: ServingFit) -> Table:
    """Return the latencies with percentiles."""
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


def memory_table(best: Sized) -> Table:
    """Return where a chip's memory goes."""
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


def options_table(name: str, caption: str, options: Sequence[Sized]) -> Table:
    """Return cuts or chips, one a line."""
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
            short_cut(each),
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


def day_table(asked: Asked, best: Sized) -> Table:
    """Return the load over a day."""
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


def answer_result(asked: Asked, best: Sized, cost: TokenCost | None, fit: ServingFit) -> dict[str, object]:
    """Return the answer as data."""
    load, memory = best.at_load, serving_memory(best.setup)
    speed = speed_factor(fit, best.setup.accelerator.id, model=best.setup.architecture_key)
    traffic = asked.demand.traffic
    return {
        **row_result(best),
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
        "memory_per_chip": memory_result(best),
        "cache_tokens_per_replica": memory.cache_tokens,
    }


def _latency(latency: Latency, factor: Quantity) -> dict[str, object]:
    return {"mean": factor.scaled(latency.mean, "s"), "p50": latency.p50, "p90": latency.p90, "p99": latency.p99}


def _token_factor(best: Sized, fit: ServingFit) -> Quantity:
    """Seconds per token are the inverse of a speed; the bands are kept as measured over predicted speed."""
    return inverse(speed_factor(fit, best.setup.accelerator.id, model=best.setup.architecture_key), "s")


def _first_factor(best: Sized, fit: ServingFit) -> Quantity:
    return speed_factor(fit, best.setup.accelerator.id, "first token", model=best.setup.architecture_key).scaled(
        1.0, "s"
    )


def memory_result(best: Sized) -> dict[str, object]:
    """Return the memory as data."""
    memory = serving_memory(best.setup)
    parts = {"weights": memory.weights, "reserve": memory.reserve, "cache": memory.cache, "unused": memory.unused}
    made: dict[str, object] = {f"{name}_bytes": value for name, value in parts.items()}
    made["usable_bytes"] = memory.total
    made["shares"] = {name: value / memory.total for name, value in parts.items()}
    return made


def cut(each: Sized) -> dict[str, object]:
    """Return chip, engine, format and cut as data."""
    return {
        "accelerator": each.setup.accelerator.id,
        "engine": each.setup.engine.id,
        "weights": each.setup.weights.name,
        "tensor_parallel": each.setup.tensor,
        "pipeline_stages": each.setup.pipeline,
        "attention_copies": each.setup.attention_copies,
    }


def row_result(each: Sized) -> dict[str, object]:
    """Return one option as data."""
    return {
        **cut(each),
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


def hour(each: object) -> dict[str, object]:
    """Return one hour of the day as data."""
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


def short_cut(each: Sized) -> str:
    """Return the cut in a few signs."""
    stages = f" x {each.setup.pipeline}" if each.setup.pipeline > 1 else ""
    return f"{each.setup.tensor}{stages}" + (" dp" if each.setup.attention_copies > 1 else "")


def price_remark(best: Sized) -> str:
    """Return the terms and the dates of the price."""
    if best.quote:
        return f"{best.quote.plan}, {len(best.quote.clouds)} clouds, {best.quote.oldest} to {best.quote.newest}"
    return "your price"
