"""`bench run`: which trials a run has, in which order, and the record that comes out of it."""

from __future__ import annotations

import datetime
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Case, Record
from ...estimators.facts.bench_spread import run_spread
from ...estimators.frozen import dataclass
from . import attention, matmul, memory_streams, pointwise, transfers
from .device import Bench, software
from .runner import Budget, Session, Stopped
from .store import new_id, write_record
from .trials import Scope, Trial

SUITES = (
    "matmul",
    "bandwidth",
    "pointwise",
    "attention",
    "launch",
    "training step",
    "decode step",
    "layer",
    "copies",
    "collectives",
)
_BUDGETS = {  # seconds of a run on a CPU and on an accelerator, seconds of a trial
    "quick": (70.0, 48.0, 0.75),
    "normal": (420.0, 240.0, 2.0),
    "full": (None, None, 5.0),
}
_SEARCH_SHARE = 0.15  # of a run's time for the search for the fastest shape
_SEARCH_ROUNDS = {"quick": 1, "normal": 3, "full": 8}
_ROUNDS = {"quick": 3, "normal": 4, "full": 5}  # each in a process of its own, as far as time allows
_FIRST_SHARE = 0.45  # of a run's time for the first of them
_SAVE_EVERY_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asked for: the level, the suites (none: all), the formats (none: all)."""

    level: str = "normal"
    only: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()


@dataclass(slots=True)
class Progress:
    """What the screen is told: a trial begins, a case is done, so many are planned."""

    plan: Callable[[int], object] = lambda count: None
    start: Callable[[Trial], object] = lambda trial: None
    done: Callable[[Case], object] = lambda case: None


def named_suites(asked: str) -> tuple[str, ...]:
    """Return the suites in "matmul,bandwidth".

    Raises:
        InputError: one is not known.
    """
    from ...estimators.names import nearest

    found = []
    for word in (part.strip().lower().replace("-", " ").replace("_", " ") for part in asked.split(",")):
        matches = [suite for suite in SUITES if suite == word or (word and suite.startswith(word))]
        if len(matches) != 1:
            close = nearest(word, SUITES, 1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; choose from {', '.join(SUITES)}."
            raise InputError(f"--only: '{word}' is not a suite{hint}")
        found.append(matches[0])
    return tuple(dict.fromkeys(found))


def named_formats(asked: str) -> tuple[str, ...]:
    """Return the formats in "bf16,fp8"."""
    names = tuple(dict.fromkeys(part.strip().lower() for part in asked.split(",")))
    for name in names:
        if name not in matmul.FORMATS:
            raise InputError(f"--formats: '{name}' is not measured; choose from {', '.join(matmul.FORMATS)}.")
    return names


def planned(scope: Scope, asked: Asked) -> list[Trial]:
    """Return the trials of a run, without the search and the collectives."""
    from . import steps

    makers: Mapping[str, Callable[[Scope], Iterator[Trial]]] = {
        "matmul": matmul.trials,
        "bandwidth": memory_streams.trials,
        "pointwise": pointwise.trials,
        "attention": attention.trials,
        "launch": transfers.launch_trials,
        "training step": steps.step_trials,
        "decode step": steps.decode_trials,
        "layer": steps.layer_trials,
        "copies": transfers.copy_trials,
    }
    wanted = asked.only or tuple(makers)
    found = [trial for name in SUITES if name in wanted and name in makers for trial in makers[name](scope)]
    return sorted(found, key=lambda trial: trial.rank)


def run(
    bench: Bench,
    asked: Asked,
    path: Path | Callable[[str], Path],
    progress: Progress | None = None,
    now: Callable[[], float] = time.perf_counter,
) -> tuple[Record, BaseException | None]:
    """Measure, write the record again and again while cases come in, and return it.

    `path` is the file, or makes one of the record's id. The second value is what ended the run early, if anything.
    """
    from . import collectives, rounds

    progress = progress or Progress()
    started = datetime.datetime.now(datetime.UTC)
    scope = Scope(
        level=asked.level,
        is_cpu=bench.is_cpu,
        memory_bytes=bench.facts.memory_bytes,
        cache_bytes=bench.facts.cache_bytes,
        formats=asked.formats,
    )
    on_cpu, on_chip, trial_s = _BUDGETS[asked.level]
    total = on_cpu if bench.is_cpu else on_chip
    record_id = new_id(started.isoformat(timespec="seconds"), bench.facts.name)
    file = path if isinstance(path, Path) else path(record_id)
    before = {**bench.sensors.conditions(), "throttled_by": list(bench.sensors.throttling())}
    foreigners = list(bench.sensors.foreigners())
    begun = now()
    saved = [begun]
    checks: dict[str, float] = {}
    said: list[str] = []

    def record(finished: bool = False) -> Record:
        warnings = (*_warnings(session.cases, foreigners), *said)
        return Record(
            id=record_id,
            started=started.isoformat(timespec="seconds"),
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=now() - begun,
            flopwise_version=_version(),
            device=bench.facts,
            software=software(bench.torch),
            settings={
                "level": asked.level,
                "only": list(asked.only),
                "formats": list(asked.formats),
                "seconds_per_trial": trial_s,
                "rounds": _ROUNDS[asked.level],
                "processes": session.processes,
                "flush_bytes": bench.flush_bytes,
                "threads": bench.torch.get_num_threads(),
            },
            conditions={"before": before, "after": dict(bench.sensors.conditions()), "foreign": foreigners},
            cases=tuple(session.cases),
            stopped=session.stopped or ("" if finished else "not finished"),
            warnings=warnings,
            checks=checks,
        )

    def on_case(case: Case) -> None:
        progress.done(case)
        if len(case.rounds) > 1:
            return  # another process is measuring: nothing else may run; what was kept before the round is whole
        if now() - saved[0] > _SAVE_EVERY_S or case.suite == collectives.SUITE:
            write(record())
            saved[0] = now()

    def on_round(count: int) -> None:
        write(record())
        progress.plan(count)

    def write(kept: Record) -> None:
        if collectives.is_first_rank():
            write_record(kept, file)

    session = Session(
        bench,
        Budget(seconds=total, trial_s=trial_s / _ROUNDS[asked.level]),
        on_case=on_case,
        on_start=progress.start,
        now=now,
        run_spread=lambda suite: run_spread(bench.kind, suite).deviation,
    )
    ended: BaseException | None = None
    try:
        with _ended_by_signal():
            wants_search = not asked.only or "matmul" in asked.only
            later = 1.0 - _FIRST_SHARE
            reserve = (total or 0.0) * (later if wants_search else later - _SEARCH_SHARE)
            alone = collectives.group_size() == 1
            trials = planned(scope, asked) if alone or asked.only != (collectives.SUITE,) else []
            progress.plan(len(trials))
            if trials:
                session.run(trials, reserve)
                if wants_search:
                    _search(session, asked.level)
                    checks.update(cross_check(bench, session.cases))
                warned = rounds.further(
                    bench,
                    session,
                    scope,
                    _ROUNDS[asked.level] - 1,
                    make=lambda scope: planned(scope, asked),
                    on_round=on_round,
                )
                said.extend(warned)
                session.settle()
            if not alone and (not asked.only or collectives.SUITE in asked.only):
                said.append("Collectives were timed in one start of the ranks; another may differ by more.")
                collectives.run(session, scope)
    except (KeyboardInterrupt, Stopped) as error:
        session.settle()
        session.stopped = session.stopped or str(error) or "interrupted"
        ended = error
    done = record(finished=ended is None)
    if done.cases or ended is None:
        write(done)
    return done, ended


def _search(session: Session, level: str) -> None:
    """Climb from the fastest product of each format to faster neighbours."""
    until = session.time_left() * (1.0 - _SEARCH_SHARE / (1.0 - _FIRST_SHARE))
    for format in dict.fromkeys(case.text("format") for case in session.cases if case.suite == matmul.SUITE):
        for _ in range(_SEARCH_ROUNDS[level]):
            best = _best(session.cases, format)
            if best is None or session.time_left() < max(2.0, until):
                break
            layout = best.text("layout")
            m, k, n = (int(best.number(side)) for side in ("m", "k", "n"))
            known = {case.id for case in session.cases}
            wanted = [t for t in matmul.neighbours(matmul.trial(format, m, k, n, layout)) if t.id not in known]
            session.run(wanted, reserve=max(1.0, until))
            after = _best(session.cases, format)
            if after is None or after.flops_per_s < 1.01 * best.flops_per_s:
                break


def _best(cases: list[Case], format: str) -> Case | None:
    found = [c for c in cases if c.suite == matmul.SUITE and c.is_measured and c.text("format") == format]
    return max(found, key=lambda case: case.flops_per_s, default=None)


def cross_check(bench: Bench, cases: list[Case]) -> dict[str, float]:
    """Time the fastest product of the main format with `torch.utils.benchmark` too; FLOP/s of its best and median.

    Nothing on a TPU, for which that timer does not wait.
    """
    import torch.utils.benchmark as second

    format = "fp32" if bench.is_cpu else "bf16"
    best = _best(cases, format)
    if best is None or bench.kind == "xla":
        return {}
    what = best.what
    built = matmul.trial(format, int(what["m"]), int(what["k"]), int(what["n"]), str(what["layout"])).build(bench)
    timer = second.Timer("run()", globals={"run": built.run}, num_threads=bench.torch.get_num_threads())
    times = timer.blocked_autorange(min_run_time=min(1.0, max(0.2, 20 * best.median_s))).times
    return {
        "ours_flops_per_s": best.flops_per_s,
        "torch_best_flops_per_s": best.flops / min(times),
        "torch_median_flops_per_s": best.flops / sorted(times)[len(times) // 2],
    }


def _warnings(cases: list[Case], foreigners: list[str]) -> tuple[str, ...]:
    listed = [f"Before the run {each}." for each in foreigners]
    measured = [case for case in cases if case.is_measured]
    noisy = [case for case in measured if case.verdict]
    if measured and len(noisy) > 0.2 * len(measured):
        listed.append(f"{len(noisy)} of {len(measured)} measurements are noisy; `bench show --all` says why for each.")
    wrong = [case.id for case in cases if case.status == "wrong"]
    if wrong:
        listed.append(f"Wrong results: {', '.join(wrong[:4])}{' ...' if len(wrong) > 4 else ''}.")
    return tuple(listed)


def _version() -> str:
    from ... import __version__

    return __version__


class _ended_by_signal:
    """Turns SIGTERM (torchrun ends the ranks that are left when one dies) into `Stopped` while a run goes on."""

    def __enter__(self) -> None:
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _stop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._before is not None:
            # A run that was ended has its record to write and its reason to say before it goes.
            signal.signal(signal.SIGTERM, signal.SIG_IGN if kind is Stopped else self._before)


def _stop(number: int, frame: object) -> None:
    raise Stopped("the system asked the process to end, as torchrun does when another rank has died")
