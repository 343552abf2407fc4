"""Further rounds of a run, each in a process of its own, so that the intervals hold for another run too.

What a process cannot see of itself: how its heap lies in memory and in the caches, the seed of its hashes, the clocks a
minute later. Two runs of one program therefore differ by more than the samples of either say (Kalibera and Jones,
"Rigorous benchmarking in reasonable time", ISMM 2013, sections 3 and 5: repeat at the highest level that varies).
The first round, with the search, runs in the process that was started; each further one starts Python again, opens the
same device and measures the same trials. The job goes down a pipe as JSON; what was measured comes back line by line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ...estimators.facts.bench_records import Case, case_data, case_from
from . import matmul
from .runner import Budget, Session
from .trials import Scope, Trial

if TYPE_CHECKING:
    from .device import Bench

_LEAST_ROUND_S = 4.0  # a process and its PyTorch take a second or two to start
_END_S = 5.0  # that a process has to end when it is told to
_ALONE = ("xla",)  # one process holds such a device


class RoundFailed(Exception):
    """A round gave nothing; the message says why."""


def further(
    bench: Bench,
    session: Session,
    scope: Scope,
    rounds: int,
    *,
    make: Callable[[Scope], Sequence[Trial]],
    on_round: Callable[[int], object] = lambda count: None,
) -> tuple[str, ...]:
    """Measure what `session` has measured again in up to `rounds` more processes, which it counts; return warnings.

    `make` gives the planned trials of a scope, for devices that one process holds: these are measured again in this
    process. `on_round` hears how many trials a round has.

    Raises:
        KeyboardInterrupt, Stopped: as they came; what is complete counts.
    """
    said: tuple[str, ...] = ()
    for number in range(rounds):
        seconds = session.time_left() / (rounds - number) if session.budget.seconds is not None else None
        if seconds is not None and seconds < _LEAST_ROUND_S:
            break
        again = [case for case in session.cases if case.is_measured]
        on_round(len(again))
        if bench.kind not in _ALONE and not said:
            bench.free()
            try:
                _round(bench, session, scope, again, seconds)
            except RoundFailed as error:
                said = (f"Another process could not measure ({error}); all rounds ran in one.",)
            else:
                continue
        if not session.again(_trials_of(again, make(scope))):
            break
    if bench.kind in _ALONE:
        said = ("One process holds this device; another run may differ by more than the intervals say.",)
    return said


def _round(bench: Bench, session: Session, scope: Scope, again: Sequence[Case], seconds: float | None) -> None:
    job = {
        "kind": bench.kind,
        "index": bench.index,
        "threads": bench.torch.get_num_threads(),
        "scope": {
            "level": scope.level,
            "is_cpu": scope.is_cpu,
            "memory_bytes": scope.memory_bytes,
            "cache_bytes": scope.cache_bytes,
            "formats": list(scope.formats),
        },
        "trial_s": session.budget.trial_s,
        "ends": None if seconds is None else time.time() + seconds,
        "parent": os.getpid(),
        "cases": [case_data(case) | {"samples": [], "waited": []} for case in again],
    }
    known = {case.id for case in again}
    count = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: a folder of that name where we stand is not us
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
        )
        try:
            assert child.stdin and child.stdout  # they are pipes
            try:
                json.dump(job, child.stdin)
                child.stdin.close()
            except BrokenPipeError:
                pass  # it ended before it read; what it said is below
            for line in child.stdout:
                case = _case_in(line)
                if case and case.id in known:
                    session.processes += not count
                    count += 1
                    session.join(case)
            child.wait()
        except BaseException as error:
            session.stopped = session.stopped or str(error) or "interrupted"
            raise
        finally:
            _end(child)
        if not count:
            said.seek(0)
            lines = said.read().strip().splitlines()
            raise RoundFailed(lines[-1][:160] if lines else f"it ended with code {child.returncode}")


def _case_in(line: str) -> Case | None:
    """Return the case in a line; None where it is something else, or was cut short."""
    try:
        return case_from(json.loads(line))
    except (ValueError, TypeError, KeyError):
        return None


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()


def _trials_of(cases: Sequence[Case], planned: Sequence[Trial]) -> list[Trial]:
    """Return the trials of cases: the planned ones, and the products that the search found."""
    known = {trial.id: trial for trial in planned}
    found = []
    for case in cases:
        if case.id in known:
            found.append(known[case.id])
        elif case.suite == matmul.SUITE:
            m, k, n = (int(case.number(side)) for side in ("m", "k", "n"))
            found.append(matmul.trial(case.text("format"), m, k, n, case.text("layout")))
    return found


def measure_job(job: dict[str, Any], out: TextIO) -> None:
    """Measure the trials of a job on its device and write each case as a line of JSON."""
    from .device import Bench
    from .suite import Asked, planned
    from .torch_needed import need_torch

    scope = Scope(**job["scope"] | {"formats": tuple(job["scope"]["formats"])})
    bench = Bench(need_torch(), job["kind"], job["index"], job["threads"])
    bench.sensors.relatives = (job["parent"],)
    cases = [case_from(case) for case in job["cases"]]
    suites = tuple(dict.fromkeys(case.suite for case in cases))
    trials = _trials_of(cases, planned(scope, Asked(level=scope.level, only=suites, formats=scope.formats)))
    seconds = None if job["ends"] is None else job["ends"] - time.time()

    def write(case: Case) -> None:
        out.write(json.dumps(case_data(case)) + "\n")
        out.flush()

    if seconds is None or seconds > 0:
        Session(bench, Budget(seconds=seconds, trial_s=job["trial_s"]), on_case=write).run(trials)


def main() -> None:
    """Read a job from standard input; keep standard output for its cases, whatever libraries print."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    measure_job(json.load(sys.stdin), out)


if __name__ == "__main__":
    main()
