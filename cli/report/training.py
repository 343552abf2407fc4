"""The sections of an answer about one training job: shared by `train` and `finetune`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...estimators.quantity import Quantity
from ...estimators.training.layout import Zero
from ...estimators.units import show, show_bytes, show_count, show_percent
from .document import Column, Facts, Table, Value
from .text import range_text

if TYPE_CHECKING:
    from ...estimators.pricing.quote import Quote
    from ...estimators.training.job import JobAnswer

CAUSAL, FULL = "causal", "full"
SHARDING = {
    Zero.NONE: "nothing sharded",
    Zero.OPTIMIZER: "ZeRO-1: optimizer state sharded",
    Zero.GRADIENTS: "ZeRO-2: optimizer state and gradients sharded",
    Zero.PARAMETERS: "ZeRO-3 / FSDP: everything sharded",
}


def per_convention(found: JobAnswer, attention: str) -> tuple[float, Quantity, Quantity]:
    """Return model FLOPs of the run, MFU and HFU with causal attention counted half or in full."""
    run, time = found.run, found.choice.time
    if attention == CAUSAL:
        return run.model_flops, time.mfu, time.hfu
    mfu = time.mfu.scaled(time.flops.model.full / time.flops.model.causal)
    return run.model_flops_full, mfu, mfu.scaled(time.flops.hardware.full / time.flops.model.full)


def mid_and_range(quantity: Quantity) -> str:
    """Return "18.4 days (14.2 to 25)", the range only where there is one."""
    text = show(quantity.mid, quantity.unit)
    return text if quantity.is_exact else f"{text} ({range_text(quantity)})"


def run_facts(found: JobAnswer, quote: Quote | None, attention: str) -> Facts:
    """Return time, money and speed of the run."""
    run, time = found.run, found.choice.time
    flops, mfu, hfu = per_convention(found, attention)
    lost = max(run.losses, key=lambda loss: loss.seconds.mid)
    items: list[tuple[str, str, Any, str]] = [
        ("wall_s", "Time", run.wall_s, f"{run.optimizer_steps:,} steps; goodput {show_percent(run.goodput.mid, 3)}"),
        ("accelerator_hours", "Accelerator-hours", run.accelerator_hours.scaled(1.0, "count"), ""),
        ("cost_usd", "Cost", run.cost_usd, price_text(quote, found.job.usd_per_hour)),
        ("tokens_per_s", "Speed", time.tokens_per_s, f"{_per_chip(found)} per accelerator"),
        ("step_time_s", "Step time", time.step_time_s, batch_text(found)),
        ("mfu", "MFU", mfu, f"attention counted {'half, as causal' if attention == CAUSAL else 'in full'}"),
        ("binding", "Bound by", time.binding, ""),
        ("model_flops", "Model FLOPs", Value(flops, "flops"), ""),
        ("goodput", "Goodput", run.goodput, f"most lost to {lost.name}; {_failures(found)}"),
    ]
    if time.hfu.mid > time.mfu.mid * 1.001:
        items.insert(6, ("hfu", "HFU", hfu, "recomputation counted"))
    if run.energy_wh:
        items.append(("energy_wh", "Energy", run.energy_wh, "whole site"))
    return Facts("run", tuple(items), caption="Run")


def _per_chip(found: JobAnswer) -> str:
    return show(found.choice.time.tokens_per_s_per_accelerator.mid, "tokens_per_s")


def _failures(found: JobAnswer) -> str:
    expected = round(found.run.failures.mid)
    return f"about {expected:,} interruption{'s' * (expected > 1)}" if expected else "an interruption is unlikely"


def batch_text(found: JobAnswer) -> str:
    """Return the batch in words."""
    work = found.workload
    return f"{work.global_batch:,} sequences of {work.sequence_tokens:,} = {show_count(work.tokens_per_step)} tokens a step"


def price_text(quote: Quote | None, usd_per_hour: Quantity | None) -> str:
    """Return the price per hour, its terms and dates."""
    if usd_per_hour is None:
        return "no price in the catalog; give one with --price"
    hourly = f"{show(usd_per_hour.mid, 'usd')}/hour each"
    if quote is None:
        return f"{hourly}, as given"
    dates = quote.oldest if quote.oldest == quote.newest else f"{quote.oldest} to {quote.newest}"
    sellers = f"middle of {len(quote.clouds)} clouds" if len(quote.clouds) > 1 else quote.clouds[0].cloud
    return f"{hourly}, {sellers}, {dates}"


def layout_facts(found: JobAnswer) -> Facts:
    """Return how the job is cut and why."""
    layout, recipe, work = found.choice.layout, found.choice.recipe, found.workload
    cuts = [f"data parallel {layout.dp}"]
    for name, size in (("tensor", layout.tp), ("pipeline", layout.pp), ("context", layout.cp), ("expert", layout.ep)):
        if size > 1:
            cuts.append(f"{name} {size}")
    if layout.interleave > 1:
        cuts.append(f"{layout.interleave} stages interleaved")
    batches = work.global_batch // (layout.dp * layout.micro_batch)
    items: list[tuple[str, str, Any, str]] = [
        ("parallelism", "Parallelism", ", ".join(cuts), SHARDING[layout.zero]),
        ("micro_batch", "Micro-batch", layout.micro_batch, f"{batches:,} per step and replica"),
        ("recompute", "Recompute", str(recipe.recompute), ""),
        ("precision", "Precision", f"{recipe.precision}, {recipe.optimizer}", _states(found)),
        ("why", "Why", found.choice.why, ""),
    ]
    return Facts("layout", tuple(items), caption="Layout")


def _states(found: JobAnswer) -> str:
    recipe = found.choice.recipe
    kept = {part.name for part in found.choice.memory.parts}
    if recipe.adapter:
        return f"base frozen at {recipe.adapter.base_bits:g} bits, adapters of rank {recipe.adapter.rank}"
    return "fp32 copy of the weights" if "fp32 copy of weights" in kept else ""


def time_table(found: JobAnswer) -> Table:
    """Return where the time of a step goes; the rows add up."""
    time = found.choice.time
    rows = [
        (part.name, Value(part.seconds, "s"), Value(part.seconds / time.step_time_s.mid, "fraction"), part.why)
        for part in time.parts
    ]
    rows.append(("step", Value(time.step_time_s.mid, "s"), Value(1.0, "fraction"), ""))
    return Table(
        "step",
        (
            Column("part", "Where a step goes"),
            Column("seconds", "Time", right=True),
            Column("share", "Share", right=True),
            Column("why", "What it is"),
        ),
        tuple(rows),
        total_rows=1,
    )


def alternatives_table(found: JobAnswer, others: Sequence[JobAnswer]) -> Table:
    """Return the job beside the same job on other counts."""
    every = sorted((found, *others), key=lambda each: each.accelerators)
    return Table(
        "alternatives",
        (
            Column("accelerators", "Accelerators", right=True),
            Column("wall_s", "Time", right=True),
            Column("cost_usd", "Cost", right=True),
            Column("mfu", "MFU", right=True, wide_only=True),
            Column("layout", "Layout"),
        ),
        tuple(
            (
                each.accelerators,
                each.run.wall_s,
                None if each.run.cost_usd is None else Value(each.run.cost_usd.mid, "usd"),
                Value(each.choice.time.mfu.mid, "fraction"),
                layout_text(each),
            )
            for each in every
        ),
        caption="On half and twice the accelerators, at the same price",
    )


def layout_text(found: JobAnswer) -> str:
    """Return the layout in a few signs: "dp 64, ZeRO-1, micro-batch 2"."""
    layout = found.choice.layout
    cuts = [f"dp {layout.dp}"]
    for name, size in (("tp", layout.tp), ("pp", layout.pp), ("cp", layout.cp), ("ep", layout.ep)):
        if size > 1:
            cuts.append(f"{name} {size}")
    cuts.append(f"ZeRO-{int(layout.zero)}" if layout.zero else "no ZeRO")
    cuts.append(f"micro-batch {layout.micro_batch}")
    if found.choice.recipe.recompute != "none":
        cuts.append(f"{found.choice.recipe.recompute} recompute")
    return ", ".join(cuts)


def job_result(found: JobAnswer, quote: Quote | None, attention: str) -> dict[str, object]:
    """Return the JSON twin of one answer."""
    run, time, layout = found.run, found.choice.time, found.choice.layout
    flops, mfu, hfu = per_convention(found, attention)
    return {
        "accelerators": found.accelerators,
        "run": {
            "tokens": run.tokens,
            "optimizer_steps": run.optimizer_steps,
            "model_flops": flops,
            "hardware_flops": run.hardware_flops,
            "attention_flops": attention,
            "train_s": run.train_s,
            "losses": [{"name": each.name, "seconds": each.seconds, "why": each.why} for each in run.losses],
            "wall_s": run.wall_s,
            "goodput": run.goodput,
            "whole_run_factor": run.beyond.factor if run.beyond else None,
            "accelerator_hours": run.accelerator_hours,
            "cost_usd": run.cost_usd,
            "energy_wh": run.energy_wh,
            "failures": run.failures,
            "checkpoint_every_s": run.checkpoint_every_s,
        },
        "step": {
            "step_time_s": time.step_time_s,
            "tokens_per_s": time.tokens_per_s,
            "tokens_per_s_per_accelerator": time.tokens_per_s_per_accelerator,
            "mfu": mfu,
            "hfu": hfu,
            "peak_flops_per_s": time.peak_flops_per_s,
            "peak_format": time.peak_format,
            "binding": time.binding,
            "parts": [
                {
                    "name": each.name,
                    "seconds": each.seconds,
                    "share": each.seconds / time.step_time_s.mid,
                    "why": each.why,
                }
                for each in time.parts
            ],
        },
        "layout": {
            "dp": layout.dp,
            "tp": layout.tp,
            "pp": layout.pp,
            "cp": layout.cp,
            "ep": layout.ep,
            "interleave": layout.interleave,
            "zero": int(layout.zero),
            "micro_batch": layout.micro_batch,
            "global_batch": found.workload.global_batch,
            "sequence_tokens": found.workload.sequence_tokens,
            "recompute": str(found.choice.recipe.recompute),
            "tried": found.choice.tried,
            "why": found.choice.why,
        },
        "memory": memory_result(found),
        "price": price_result(quote, found.job.usd_per_hour),
    }


def price_result(quote: Quote | None, usd_per_hour: Quantity | None) -> Mapping[str, object] | None:
    """Return the price and where it comes from."""
    if usd_per_hour is None:
        return None
    if quote is None:
        return {"usd_per_hour": usd_per_hour, "offers": 0, "oldest": None, "newest": None}
    return {
        "usd_per_hour": usd_per_hour,
        "offers": len(quote.prices),
        "oldest": quote.oldest,
        "newest": quote.newest,
    }


def memory_table(found: JobAnswer) -> Table:
    """Return what fills the memory of the fullest accelerator; the rows add up to the peak."""
    memory = found.choice.memory
    rows: list[tuple[Any, ...]] = [
        (part.name, Value(part.bytes, "bytes"), Value(part.bytes / memory.usable_bytes, "fraction"))
        for part in memory.parts
    ]
    rows.append(("peak", memory.peak, Value(memory.peak.mid / memory.usable_bytes, "fraction")))
    return Table(
        "memory",
        (
            Column("part", "Memory of one accelerator"),
            Column("bytes", "Amount", right=True),
            Column("share", "Share", right=True),
        ),
        tuple(rows),
        total_rows=1,
        caption=f"Peak at the {memory.peak_instant.name}, of {show_bytes(memory.usable_bytes)} usable; chance of running "
        f"out {risk_text(memory.probability_of_running_out)}",
    )


def risk_text(probability: float) -> str:
    """Return a chance as a person says it."""
    return "under 1 %" if probability < 0.01 else "over 99 %" if probability > 0.99 else show_percent(probability, 1)


def memory_result(found: JobAnswer) -> dict[str, object]:
    """Return the JSON twin of the memory table."""
    memory = found.choice.memory
    return {
        "peak_bytes": memory.peak,
        "usable_bytes": memory.usable_bytes,
        "probability_of_running_out": memory.probability_of_running_out,
        "instant": memory.peak_instant.name,
        "share_of_usable": memory.peak.mid / memory.usable_bytes,
        "parts": [
            {"name": part.name, "bytes": part.bytes, "share_of_usable": part.bytes / memory.usable_bytes}
            for part in memory.parts
        ],
    }
