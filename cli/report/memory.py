"""The document of `flopwise memory`: what fills one accelerator, when, and what would hold the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.memory.fit import Fitting
from ...estimators.memory.training import TrainingMemory
from ...estimators.training.layout import Adapter, Layout, Recipe, Workload
from ...estimators.units import show_bytes
from .document import Cell, Column, Facts, Table, Value
from .training import risk_text

_SHOWN = 12


def layout_words(layout: Layout, recipe: Recipe) -> str:
    """Return a layout as one reads it: "TP 8, full sharding over 8, micro-batch 1, full recompute"."""
    degrees = [("TP", layout.tp), ("PP", layout.pp), ("CP", layout.cp), ("EP", layout.ep)]
    words = [f"{name} {degree}" for name, degree in degrees if degree > 1]
    if layout.interleave > 1:
        words.append(f"{layout.interleave} virtual stages")
    if layout.dp * layout.cp > 1:
        names = {0: "replicas", 1: "ZeRO-1", 2: "ZeRO-2", 3: "full sharding"}
        words.append(f"{names[int(layout.zero)]} over {layout.dp * layout.cp}")
    words.append(f"micro-batch {layout.micro_batch}")
    words.append(f"{recipe.recompute} recompute" if str(recipe.recompute) != "none" else "no recompute")
    return ", ".join(words)


def adapter_words(adapter: Adapter | None) -> str:
    """Return how the model is trained."""
    if adapter is None:
        return "all weights"
    base = f"{adapter.base_bits:g}-bit base" if adapter.base_bits < 16 else "16-bit base"
    return f"LoRA rank {adapter.rank} on {', '.join(adapter.targets)}; {base}"


def parts_table(memory: TrainingMemory) -> Table:
    """Return what is there at the peak; the rows add up to it."""
    rows: list[tuple[Cell, ...]] = [
        (part.name, Value(part.bytes, "bytes"), Value(part.bytes / memory.usable_bytes, "fraction"))
        for part in memory.parts
    ]
    rows.append(("peak", memory.peak, Value(memory.peak.mid / memory.usable_bytes, "fraction")))
    return Table(
        "parts",
        (Column("part", "At the peak"), Column("bytes", "Amount", right=True), Column("share", "Share", right=True)),
        tuple(rows),
        caption=f"One accelerator at the {memory.peak_instant.name}; {show_bytes(memory.usable_bytes)} are usable",
        total_rows=1,
    )


def instants_table(memory: TrainingMemory) -> Table:
    """Return the instants of a step with their live tensors, and the part that is largest at each."""
    rows = []
    for instant in memory.instants:
        largest = max(instant.parts, key=lambda part: part.bytes, default=None)
        share = f"{largest.name} {largest.bytes / instant.bytes:.0%}" if largest and instant.bytes else ""
        rows.append((instant.name, Value(instant.bytes, "bytes"), share))
    stage = f" on pipeline stage {memory.stage + 1}, the fullest" if memory.pipeline_stages > 1 else ""
    return Table(
        "instants",
        (Column("instant", "Instant"), Column("bytes", "Live tensors", right=True), Column("largest", "Largest part")),
        tuple(rows),
        caption=f"Instants of a step{stage}",
    )


def holders_table(found: Sequence[Fitting], *, every: bool) -> Table:
    """Return accelerators and counts that hold the job, least memory in all first."""
    shown = found if every else found[:_SHOWN]
    rows: list[tuple[Cell, ...]] = [
        (
            fitting.accelerator.id,
            fitting.layout.accelerators,
            fitting.memory.peak,
            Value(fitting.memory.usable_bytes, "bytes"),
            risk_text(fitting.memory.probability_of_running_out),
            layout_words(fitting.layout, fitting.recipe),
        )
        for fitting in shown
    ]
    more = f"; {len(found) - len(shown)} more with --all" if len(shown) < len(found) else ""
    return Table(
        "holders",
        (
            Column("accelerator", "Accelerator"),
            Column("count", "Count", right=True),
            Column("peak", "Peak of each", right=True),
            Column("usable", "Usable", right=True),
            Column("risk", "Runs out", right=True),
            Column("layout", "Layout", wide_only=True),
        ),
        tuple(rows),
        caption=f"The fewest of each (a power of two) that hold it, least memory in all first{more}",
    )


def cache_facts(sizes: Mapping[str, float], *, context: int, batch: int) -> Facts:
    """Return the inference side: weights and the key-value cache."""
    sequence = f"{context:,} tokens"
    items: tuple[tuple[str, str, Cell, str], ...] = (
        ("weights_bytes", "Weights", Value(sizes["weights"], "bytes"), "16-bit, all on one accelerator"),
        ("per_token_bytes", "Cache per token", Value(sizes["per_token"], "bytes"), f"mean over {sequence}, 16-bit"),
        ("per_sequence_bytes", "Cache per sequence", Value(sizes["per_sequence"], "bytes"), sequence),
        ("cache_bytes", "Cache", Value(sizes["cache"], "bytes"), f"{batch:,} sequences"),
        ("total_bytes", "Weights and cache", Value(sizes["total"], "bytes"), ""),
    )
    return Facts("inference", items, caption="Inference")


def memory_result(memory: TrainingMemory) -> dict[str, object]:
    """Return the JSON twin of parts, instants and verdict."""
    return {
        "kind": str(memory.kind),
        "framework": memory.framework,
        "peak_bytes": memory.peak,
        "needed_bytes": memory.needed_bytes,
        "usable_bytes": memory.usable_bytes,
        "headroom_bytes": memory.usable_bytes - memory.peak.mid,
        "fits": memory.fits,
        "probability_of_running_out": memory.probability_of_running_out,
        "peak_instant": memory.peak_instant.name,
        "stage": memory.stage,
        "share_of_usable": memory.peak.mid / memory.usable_bytes,
        "parts": [
            {"name": part.name, "bytes": part.bytes, "share_of_usable": part.bytes / memory.usable_bytes}
            for part in memory.parts
        ],
        "instants": [
            {
                "name": instant.name,
                "bytes": instant.bytes,
                "parts": [{"name": part.name, "bytes": part.bytes} for part in instant.parts],
            }
            for instant in memory.instants
        ],
    }


def layout_result(layout: Layout, recipe: Recipe, workload: Workload) -> dict[str, object]:
    """Return the layout as data."""
    return {
        "accelerators": layout.accelerators,
        "tp": layout.tp,
        "pp": layout.pp,
        "cp": layout.cp,
        "ep": layout.ep,
        "dp": layout.dp,
        "interleave": layout.interleave,
        "zero": int(layout.zero),
        "micro_batch": layout.micro_batch,
        "global_batch": workload.global_batch,
        "sequence_tokens": workload.sequence_tokens,
        "recompute": str(recipe.recompute),
        "precision": str(recipe.precision),
        "optimizer": str(recipe.optimizer),
    }


def holder_result(fitting: Fitting) -> dict[str, object]:
    """Return one accelerator that holds a job, as data."""
    return {
        "accelerator": fitting.accelerator.id,
        "accelerators": fitting.layout.accelerators,
        "peak_bytes": fitting.memory.peak,
        "usable_bytes": fitting.memory.usable_bytes,
        "probability_of_running_out": fitting.memory.probability_of_running_out,
        "layout": layout_words(fitting.layout, fitting.recipe),
    }
