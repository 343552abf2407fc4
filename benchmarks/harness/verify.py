"""`bench verify`: does the calibration predict whole models on this device?

Small GPTs and Llamas that no measurement of the record used. The predictions (training step, decode step, peak memory)
are written to a file before the first model is built; then each is run and the file is completed. Times are measured as
everything else here; peak memory is the allocator's own count, from `max_memory_allocated` or, on a CPU, from the
allocation events of torch's profiler.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Record, bench_folder
from ...estimators.facts.calibration import calibration_from
from ...estimators.frozen import dataclass, replace
from ...estimators.stepmodel.local import decode_seconds, train_memory, train_seconds
from .measure import Effort, Measured, measure
from .sensors import DeviceWatch

if TYPE_CHECKING:
    from .device import Bench
    from .models import Size

TRAIN, DECODE, MEMORY = "training step", "decode step", "peak memory"
_SEQUENCES = (128, 512)
_SCHEMA = "flopwise.verify/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One number: predicted with its range, and measured once that is done. Seconds, or bytes for memory."""

    model: str
    what: str
    tokens: int
    params: float
    predicted: float
    low: float
    high: float
    unit: str
    measured: float | None = None
    measured_low: float | None = None
    measured_high: float | None = None
    verdict: tuple[str, ...] = ()
    reason: str = ""

    @property
    def error(self) -> float | None:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1.0 if self.measured else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of one kind of prediction."""

    what: str
    count: int
    median: float
    worst: float
    covered: int  # measured values inside the predicted range


def sizes(*, is_cpu: bool, is_quick: bool) -> tuple[Size, ...]:
    """Return the models: 5M to 150M parameters on a CPU, 50M to 1.5B on an accelerator."""
    from .models import size

    if is_cpu:
        found: tuple[Size, ...] = (
            size("gpt", 4, 256, 8192),
            size("llama", 6, 384, 8192),
            size("gpt", 8, 512, 16384),
            size("llama", 8, 640, 16384),
            size("gpt", 12, 768, 16384),
            size("llama", 11, 896, 24576),
        )
    else:
        found = (
            size("gpt", 8, 512, 32768),
            size("llama", 12, 768, 32768),
            size("gpt", 12, 1024, 32768),
            size("llama", 16, 1536, 32768),
            size("gpt", 24, 1536, 32768),
            size("llama", 24, 2048, 32768),
        )
    return found[:3] if is_quick else found


def predict(record: Record, models: Sequence[Size], format: str) -> tuple[Prediction, ...]:
    """Return the predictions for all models from the calibration alone.

    Raises:
        InputError: the record lacks a part that is needed.
    """
    from ...estimators.models.parameters import count_parameters
    from .models import name_of, shape_of

    calibration = calibration_from(record)
    found = []
    width = 4.0 if format == "fp32" else 2.0
    for dims in models:
        shape = shape_of(dims)
        params = float(count_parameters(shape).total)
        for tokens in _SEQUENCES:
            time = train_seconds(shape, calibration, sequence_tokens=tokens, format=format)
            found.append(_prediction(name_of(dims), TRAIN, tokens, params, time.seconds, time.low, time.high, "s"))
            memory = train_memory(shape, sequence_tokens=tokens, bytes_per_value=width)
            peak = memory.peak
            found.append(_prediction(name_of(dims), MEMORY, tokens, params, peak, 0.9 * peak, 1.1 * peak, "bytes"))
            time = decode_seconds(shape, calibration, context_tokens=tokens, format=format)
            found.append(_prediction(name_of(dims), DECODE, tokens, params, time.seconds, time.low, time.high, "s"))
    return tuple(found)


def _prediction(
    model: str, what: str, tokens: int, params: float, mid: float, low: float, high: float, unit: str
) -> Prediction:
    return Prediction(
        model=model, what=what, tokens=tokens, params=params, predicted=mid, low=low, high=high, unit=unit
    )


def check_same_device(bench: Bench, record: Record) -> None:
    """Refuse a calibration of another device or of another number of threads.

    Raises:
        InputError: they differ; names both.
    """
    there, here = record.device, bench.facts
    if (there.kind, there.name) != (here.kind, here.name):
        raise InputError(
            f"--calibrate: the measurement {record.id} is of {there.name} ({there.kind}), this is {here.name} "
            f"({here.kind}); measure here with `flopwise bench run`."
        )


def run(
    bench: Bench,
    record: Record,
    *,
    is_quick: bool = False,
    seconds: float = 2.0,
    on_done: Callable[[Prediction], object] = lambda prediction: None,
    path: Path | None = None,
) -> tuple[tuple[Prediction, ...], Path]:
    """Predict, write the predictions, run everything, complete the file; returns both."""
    from . import steps
    from .models import name_of

    check_same_device(bench, record)
    format = "fp32" if bench.is_cpu else "bf16"
    models = sizes(is_cpu=bench.is_cpu, is_quick=is_quick)
    predictions = list(predict(record, models, format))
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file = (
        path or bench_folder() / "verify" / f"{started[:19].replace('-', '').replace(':', '').replace('T', '-')}.json"
    )
    _write(file, record, started, predictions, is_done=False)
    for dims in models:
        for tokens in _SEQUENCES:
            step: Any = None
            for index, each in enumerate(predictions):
                if each.model != name_of(dims) or each.tokens != tokens or each.what == MEMORY:
                    continue
                make = steps.training_step if each.what == TRAIN else steps.decode_step
                try:
                    step = make(bench, dims, tokens, format=format)
                    found = _timed(bench, step, seconds)
                    done = replace(
                        each,
                        measured=found.spread.median,
                        measured_low=found.spread.low,
                        measured_high=found.spread.high,
                        verdict=found.verdict,
                    )
                    predictions[index] = done
                    on_done(done)
                    if each.what == TRAIN:
                        wanted = (each.model, tokens, MEMORY)
                        for spot, other in enumerate(predictions):
                            if (other.model, other.tokens, other.what) == wanted:
                                peak = peak_bytes(bench, step)
                                reason = "" if peak else "this device counts no peak"
                                predictions[spot] = replace(other, measured=peak, reason=reason)
                                on_done(predictions[spot])
                except Exception as error:
                    if not bench.is_out_of_memory(error):
                        raise
                    predictions[index] = replace(each, reason="out of memory")
                    on_done(predictions[index])
                finally:
                    step = None
                    bench.free()
            _write(file, record, started, predictions, is_done=False)
    _write(file, record, started, predictions, is_done=True)
    return tuple(predictions), file


def _timed(bench: Bench, step: Callable[[], object], seconds: float) -> Measured:
    return measure(
        step,
        clock=bench.clock(host=True),
        effort=Effort(seconds=seconds, warm_up_s=0.3 * seconds, least=3, most=60),
        watch=DeviceWatch(bench.sensors),
    )


def peak_bytes(bench: Bench, step: Callable[[], object]) -> float | None:
    """Return the most bytes that the allocator of the device had handed out during one step; None: it does not say."""
    torch = bench.torch
    bench.synchronize()
    if bench.kind in ("cuda", "xpu"):
        module = bench.module
        module.reset_peak_memory_stats()
        step()
        module.synchronize()
        return float(module.max_memory_allocated())
    if not bench.is_cpu:
        return None  # Metal and XLA say what is in use between steps, or the most since the process began
    return _peak_on_host(torch, step)


def _peak_on_host(torch: Any, step: Callable[[], object]) -> float:
    """Add up the CPU allocator's events over a step, on top of what lives before it."""
    import gc

    gc.collect()
    tensors = [each for each in gc.get_objects() if _is_tensor(torch, each) and each.device.type == "cpu"]
    for each in tensors:
        if each.is_leaf and each.requires_grad:
            each.grad = None  # the profiler would not see them go
    del tensors, each
    gc.collect()
    tensors = [each for each in gc.get_objects() if _is_tensor(torch, each) and each.device.type == "cpu"]
    alive = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    del tensors
    before = float(sum(alive.values()))
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        step()
    now = most = 0.0
    events = (e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]")
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return before + most


def _is_tensor(torch: Any, each: Any) -> bool:
    try:
        return issubclass(type(each), torch.Tensor) and each.layout is torch.strided
    except (ReferenceError, RuntimeError):  # a weak proxy whose object has gone
        return False


def scores(predictions: Sequence[Prediction]) -> tuple[Score, ...]:
    """Return the errors by kind, those that were measured."""
    found = []
    for what in (TRAIN, DECODE, MEMORY):
        own = [p for p in predictions if p.what == what and p.measured]
        if own:
            errors = sorted(abs(p.error or 0.0) for p in own)
            covered = sum(p.low <= (p.measured or math.nan) <= p.high for p in own)
            middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
            found.append(Score(what=what, count=len(own), median=middle, worst=errors[-1], covered=covered))
    return tuple(found)


def _write(file: Path, record: Record, started: str, predictions: Sequence[Prediction], *, is_done: bool) -> None:
    """Write the predictions, with what has been measured so far."""
    import os
    import tempfile

    rows = []
    for each in predictions:
        row: dict[str, Any] = {name: getattr(each, name) for name in _FIELDS}
        row["verdict"], row["error"] = list(each.verdict), each.error
        rows.append(row)
    data = {
        "schema": _SCHEMA,
        "record": record.id,
        "predicted_at": started,
        "finished": is_done,
        "device": record.device.name,
        "rows": rows,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(data, out, indent=1)
            out.write("\n")
        os.replace(name, file)
    except OSError as error:
        raise InputError(f"cannot write '{file}': {(error.strerror or str(error)).lower()}.") from None


_FIELDS = (
    "model",
    "what",
    "tokens",
    "params",
    "predicted",
    "low",
    "high",
    "unit",
    "measured",
    "measured_low",
    "measured_high",
    "reason",
)
