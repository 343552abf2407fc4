"""`bench verify`: does the calibration predict whole models on this device?

Small GPTs and Llamas that no measurement of the record used. The predictions (training step, decode step, peak memory)
are written to a file before the first model is built; then all are run, in several rounds some time apart, and the file
is completed. A time is the middle round's median; peak memory is the allocator's own count, from `max_memory_allocated`
or, on a CPU, from the allocation events of torch's profiler.

A machine that others share is faster in one minute than in the next. Each round therefore begins with the fastest
product and the fastest memory stream of the record, and their speed over that of the record, the pace, is reported
beside the errors. Nothing is corrected by it.
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
ROUNDS = 3
_SEQUENCES = (128, 512)
_APART = 0.10  # between rounds from which they are called different
_PACE_S = 0.3  # seconds for each of the two trials of a pace
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
class Pace:
    """Speed of the machine at the beginning of a round over that in the record; None where the record has no trial."""

    products: float | None
    memory: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Predictions with what was measured, the file that holds them, and the pace of each round."""

    predictions: tuple[Prediction, ...]
    file: Path
    paces: tuple[Pace, ...]


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
) -> Verified:
    """Predict, write the predictions, run everything in rounds and complete the file.

    `seconds` of sampling for each time over all rounds; `on_done` hears of every time that was measured in a round, and
    of every peak: `parts` says how many there will be.
    """
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
    paces: list[Pace] = []
    _write(file, record, started, predictions, paces, is_done=False)
    dims_of = {name_of(dims): dims for dims in models}
    times: dict[int, list[Measured]] = {}
    for number in range(ROUNDS):
        paces.append(pace(bench, record))
        for index, each in enumerate(predictions):
            if each.what == MEMORY or each.reason:
                continue
            make = steps.training_step if each.what == TRAIN else steps.decode_step
            step: Any = None
            try:
                step = make(bench, dims_of[each.model], each.tokens, format=format)
                times.setdefault(index, []).append(_timed(bench, step, seconds / ROUNDS))
                predictions[index] = with_times(each, times[index])
                if each.what == TRAIN and number == 0:
                    spot = _memory_of(predictions, each)
                    if spot is not None:
                        peak = peak_bytes(bench, step)
                        reason = "" if peak else "this device counts no peak"
                        predictions[spot] = replace(predictions[spot], measured=peak, reason=reason)
                        on_done(predictions[spot])
            except Exception as error:
                if not bench.is_out_of_memory(error):
                    raise
                predictions[index] = replace(each, reason="out of memory")
            finally:
                step = None
                bench.free()
            on_done(predictions[index])
        _write(file, record, started, predictions, paces, is_done=False)
    _write(file, record, started, predictions, paces, is_done=True)
    return Verified(predictions=tuple(predictions), file=file, paces=tuple(paces))


def parts(models: Sequence[Size]) -> int:
    """Return how many times and peaks a run measures."""
    return len(models) * len(_SEQUENCES) * (2 * ROUNDS + 1)


def _memory_of(predictions: Sequence[Prediction], step: Prediction) -> int | None:
    """Return where the peak of a training step stands."""
    wanted = (step.model, step.tokens, MEMORY)
    return next((i for i, each in enumerate(predictions) if (each.model, each.tokens, each.what) == wanted), None)


def with_times(prediction: Prediction, rounds: Sequence[Measured]) -> Prediction:
    """Return a prediction with the rounds measured so far: the middle one (of two the faster), and their range."""
    ordered = sorted(rounds, key=lambda found: found.spread.median)
    middle = ordered[(len(ordered) - 1) // 2]
    first, last = ordered[0].spread, ordered[-1].spread
    apart = last.median / first.median - 1.0
    return replace(
        prediction,
        measured=middle.spread.median,
        measured_low=first.median if len(ordered) > 1 else first.low,
        measured_high=last.median if len(ordered) > 1 else last.high,
        verdict=(*middle.verdict, f"{len(ordered)} rounds differ by {apart:.0%}") if apart > _APART else middle.verdict,
    )


def pace(bench: Bench, record: Record) -> Pace:
    """Time the fastest product and the fastest stream of a record now; return their speed over the record's."""
    from . import matmul, memory_streams
    from .runner import Budget, Session
    from .trials import Scope

    product = max(record.best_flops.values(), key=lambda case: case.flops_per_s, default=None)
    stream = record.best_bandwidth
    trials = []
    if product:
        m, k, n = (int(product.number(side)) for side in ("m", "k", "n"))
        trials.append(matmul.trial(product.text("format"), m, k, n, product.text("layout")))
    if stream:
        level = str(record.settings.get("level", "quick"))
        scope = Scope(
            level=level,
            is_cpu=bench.is_cpu,
            memory_bytes=record.device.memory_bytes,
            cache_bytes=record.device.cache_bytes,
        )
        trials += [trial for trial in memory_streams.trials(scope) if trial.id == stream.id]
    session = Session(bench, Budget(seconds=None, trial_s=_PACE_S))
    session.run(trials)
    now = {case.id: case.median_s for case in session.cases if case.is_measured}
    ratios = [case.median_s / now[case.id] if case and case.id in now else None for case in (product, stream)]
    return Pace(products=ratios[0], memory=ratios[1])


def _timed(bench: Bench, step: Callable[[], object], seconds: float) -> Measured:
    return measure(
        step,
        clock=bench.clock(host=True),
        effort=Effort(seconds=seconds, warm_up_s=0.3 * seconds, least=2, most=60),
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


def _write(
    file: Path,
    record: Record,
    started: str,
    predictions: Sequence[Prediction],
    paces: Sequence[Pace],
    *,
    is_done: bool,
) -> None:
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
        "paces": [{"products": each.products, "memory": each.memory} for each in paces],
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
