"""The documents of `flopwise bench verify` and `flopwise bench trace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import Record
from ...estimators.quantity import Quantity
from ...estimators.units import show_bytes, show_count, show_flops, show_percent
from .document import Cell, Column, Document, Facts, Table, Value

if TYPE_CHECKING:
    from ...benchmarks.harness.planning import PassSeconds
    from ...benchmarks.harness.trace import Traced
    from ...benchmarks.harness.verify import Pace, Verified
    from ...estimators.facts.records import Accelerator


_STEADY = 0.07  # of a pace around 1 from which the machine is called another one than in the record


def verify_document(record: Record, verified: Verified) -> Document:
    """Return predicted beside measured, with the errors by kind and the pace of the machine."""
    from ...benchmarks.harness.verify import scores

    predictions = verified.predictions
    columns = (
        Column("model", "model"),
        Column("what", "what"),
        Column("tokens", "tokens", right=True),
        Column("predicted", "predicted", right=True),
        Column("measured", "measured", right=True),
        Column("error", "error", right=True),
        Column("noise", "noise", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            each.model,
            each.what,
            each.tokens,
            Quantity(each.low, each.predicted, each.high, each.unit, "80 %", f"calibration {record.id}"),
            Value(each.measured, each.unit) if each.measured else each.reason or None,
            f"{each.error:+.1%}" if each.error is not None else None,
            "; ".join(each.verdict),
        )
        for each in predictions
    ]
    found = scores(predictions)
    summary: list[tuple[str, str, Cell, str]] = [
        (
            score.what.replace(" ", "_"),
            score.what,
            Value(score.median, "fraction"),
            f"in the median, {show_percent(score.worst)} at worst; {score.covered} of {score.count} inside the range",
        )
        for score in found
    ]
    summary += _pace_items(verified.paces)
    step = next((score for score in found if score.what == "training step"), None)
    headline = "Nothing was measured."
    if step:
        headline = (
            f"Training steps of {len({p.model for p in predictions})} models that were not in the calibration are "
            f"predicted within {show_percent(step.median)} in the median and {show_percent(step.worst)} at worst."
        )
    return Document(
        verb="bench.verify",
        headline=headline,
        inputs={"record": record.id, "device": record.device.name},
        result={
            "rows": [
                {
                    "model": each.model,
                    "what": each.what,
                    "tokens": each.tokens,
                    "parameters": each.params,
                    "predicted": Quantity(each.low, each.predicted, each.high, each.unit, "80 %", "calibration"),
                    "measured": each.measured,
                    "error": each.error,
                    "verdict": list(each.verdict),
                    "reason": each.reason or None,
                }
                for each in predictions
            ],
            "summary": [
                {
                    "what": score.what,
                    "count": score.count,
                    "median_error": score.median,
                    "worst_error": score.worst,
                    "covered": score.covered,
                }
                for score in found
            ],
            "paces": [{"products": each.products, "memory": each.memory} for each in verified.paces],
            "predictions_file": str(verified.file),
        },
        sections=(Facts("summary", tuple(summary), caption="Errors"), Table("rows", columns, tuple(rows))),
        warnings=_pace_warnings(verified.paces),
    )


def _paces(paces: Sequence[Pace]) -> dict[str, list[float]]:
    """Return what was measured of the pace, by kind."""
    listed = {"products": [each.products for each in paces], "memory": [each.memory for each in paces]}
    kept = {kind: [each for each in ratios if each is not None] for kind, ratios in listed.items()}
    return {kind: ratios for kind, ratios in kept.items() if ratios}


def _pace_items(paces: Sequence[Pace]) -> list[tuple[str, str, Cell, str]]:
    items: list[tuple[str, str, Cell, str]] = []
    for kind, ratios in _paces(paces).items():
        each = ", ".join(show_percent(ratio) for ratio in ratios)
        middle = sorted(ratios)[(len(ratios) - 1) // 2]
        items.append((f"pace_{kind}", f"pace, {kind}", Value(middle, "fraction"), f"of the record's speed; {each}"))
    return items


def _pace_warnings(paces: Sequence[Pace]) -> tuple[str, ...]:
    off = [ratio for ratios in _paces(paces).values() for ratio in ratios if abs(ratio - 1.0) > _STEADY]
    if not off:
        return ()
    far = max(off, key=lambda ratio: abs(ratio - 1.0))
    said = (
        f"While this ran the machine did not keep the speed of the record ({show_percent(far)} of it at one time): part "
        "of the errors is that. Measure with `flopwise bench run` and verify at once, with nothing else running."
    )
    return (said,)


def trace_document(
    traced: Traced,
    inputs: Sequence[tuple[tuple[int, ...], str]],
    chip: Accelerator | None,
    times: PassSeconds | None,
) -> Document:
    """Return the counts of a traced module."""
    items: list[tuple[str, str, Cell, str]] = [
        ("parameters", "parameters", Value(traced.parameters, "params"), f"{show_count(traced.trainable)} trainable"),
        ("forward_flops", "forward", Value(traced.forward_flops, "flops"), "multiply and add as two, all pairs"),
        ("forward_bytes", "bytes moved", Value(traced.forward_bytes, "bytes"), "read and written, nothing fused"),
    ]
    if traced.has_backward:
        items += [
            ("backward_flops", "backward", Value(traced.backward_flops, "flops"), "flash attention scores run again"),
            ("backward_bytes", "bytes moved back", Value(traced.backward_bytes, "bytes"), ""),
            ("saved_bytes", "kept for backward", Value(traced.saved_bytes, "bytes"), "activations"),
            ("peak_bytes", "peak memory", Value(traced.peak_bytes, "bytes"), "weights, gradients, activations"),
        ]
    if chip and times:
        said = f"one {chip.name}, bf16, eager" + ("" if times.is_measured else "; no measured relative")
        items.append(("forward_s", "time forward", Value(times.forward_s, "s"), said))
        if traced.has_backward:
            items.append(("backward_s", "time backward", Value(times.backward_s, "s"), "without the optimizer"))
    sections: tuple[Table | Facts, ...] = (Facts("trace", tuple(items)),)
    if traced.by_module:
        columns = (Column("module", "part"), Column("flops", "FLOPs", right=True))
        sections += (
            Table(
                "modules",
                columns,
                tuple((name, Value(flops, "flops")) for name, flops in traced.by_module),
                caption="By part, forward and backward",
            ),
        )
    shapes = ["x".join(map(str, shape)) + (f":{kind}" if kind else "") for shape, kind in inputs]
    return Document(
        verb="bench.trace",
        headline=f"{traced.name} on {', '.join(shapes)}: {show_count(traced.parameters)} parameters, "
        f"{show_flops(traced.forward_flops)} forward, {show_bytes(traced.saved_bytes)} kept for backward.",
        inputs={"target": traced.name, "inputs": shapes, "accelerator": chip.id if chip else None},
        result={
            "parameters": traced.parameters,
            "trainable": traced.trainable,
            "parameter_bytes": traced.parameter_bytes,
            "forward_flops": traced.forward_flops,
            "backward_flops": traced.backward_flops if traced.has_backward else None,
            "forward_bytes": traced.forward_bytes,
            "backward_bytes": traced.backward_bytes if traced.has_backward else None,
            "saved_bytes": traced.saved_bytes if traced.has_backward else None,
            "peak_bytes": traced.peak_bytes if traced.has_backward else None,
            "forward_s": times.forward_s if times else None,
            "backward_s": times.backward_s if times and traced.has_backward else None,
            "output": traced.output,
            "modules": [{"module": name, "flops": flops} for name, flops in traced.by_module],
            "operators": [
                {
                    "name": op.name.partition("#")[0],
                    "kind": str(op.kind),
                    "rows": op.rows,
                    "columns": op.columns,
                    "inner": op.inner,
                    "batch": op.batch,
                    "flops": op.forward_flops_full,
                }
                for op in traced.operators
            ],
        },
        sections=sections,
    )
