"""Runs trials one after the other within a time budget and keeps what is done, whatever happens.

A trial that does not fit the memory, that the device cannot do, that fails or that computes wrong numbers becomes a case
with that status; the run goes on. Ctrl-C, a signal to end, or a dead rank stop the run; the cases so far are kept. The
time left is shared out over the trials left, so that a quick run ends on time on a slow or busy machine too.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import (
    FAILED,
    MEASURED,
    OUT_OF_MEMORY,
    SKIPPED,
    UNSUPPORTED,
    WRONG,
    Case,
)
from ...estimators.frozen import dataclass, replace
from ...estimators.units import show_bytes, show_duration
from .measure import Clock, Effort, measure
from .sensors import DeviceWatch
from .trials import Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench

_ROOM = 0.8  # of the free memory that a trial may want
_STUDENT = {2: 4.0, 3: 4.30, 4: 3.18, 5: 2.78}  # 97.5 %; of two rounds four ranges, their t of 12.7 says nothing
_SIGMAS = 1.96  # of a 95 % interval
_APART = 0.05  # between rounds of one trial from which they are called different
_ONE_ROUND = "measured in one round only: by how much another run would differ is not known"
_SHORT = 0.25  # seconds for a trial below which three samples must do
_HOPELESS = 5.0  # times the budget of a trial that a single call may take


class Stopped(Exception):
    """The run must end now: the system asked for it or another rank is gone. The message is kept in the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """`seconds` of a whole run (None: no end) and of one trial."""

    seconds: float | None
    trial_s: float
    least_trial_s: float = 0.05


class Session:
    """One run. `cases` grows; `stopped` says why it ended early.

    `run_spread` gives for a suite the standard deviation between runs of the logarithm of a time, beyond what the rounds
    of one run see of it (`data/bench_spread.yaml`).
    """

    def __init__(
        self,
        bench: Bench,
        budget: Budget,
        *,
        on_case: Callable[[Case], object] = lambda case: None,
        on_start: Callable[[Trial], object] = lambda trial: None,
        now: Callable[[], float] = time.perf_counter,
        run_spread: Callable[[str], float] = lambda suite: 0.0,
    ) -> None:
        self.bench, self.budget = bench, budget
        self._run_spread = run_spread
        self.cases: list[Case] = []
        self.stopped = ""
        self.processes = 1  # in which rounds ran
        self._on_case, self._on_start, self._now = on_case, on_start, now
        self._began = now()
        self._rates: dict[str, float] = {}  # FLOP/s of the last trial of a kind
        self._rounds: dict[str, list[Case]] = {}
        self._clock: Clock | None = None

    def join(self, case: Case) -> None:
        """Add a further round of a trial that was measured before; a wrong result in any round stays."""
        if case.status not in (MEASURED, WRONG):
            return
        for index, before in enumerate(self.cases):
            if before.id == case.id and before.is_measured:
                self.cases[index] = self._merged(case) if case.is_measured else case
                self._on_case(self.cases[index])

    def again(self, trials: Sequence[Trial]) -> bool:
        """Measure trials that were measured once more and join the rounds; return whether time was left for all.

        Raises:
            KeyboardInterrupt, Stopped: as they came, `stopped` set; rounds that are complete count.
        """
        known = {case.id for case in self.cases if case.is_measured}
        left = [trial for trial in trials if trial.id in known]
        with self._kept():
            while left:
                if self.time_left() <= 0:
                    return False
                trial = left.pop(0)
                self._on_start(trial)
                self.join(self._one(trial, self._seconds(trial, left, 0.0)))
        return True

    def _merged(self, case: Case) -> Case:
        """Return all rounds of a trial so far, of which `case` is the last, as one case."""
        rounds = self._rounds.setdefault(case.id, [])
        rounds.append(case)
        return merged(rounds, self._run_spread(case.suite))

    def settle(self) -> None:
        """Say of each measured trial that had one round only that it had."""
        for index, case in enumerate(self.cases):
            if case.is_measured and len(case.rounds) < 2 and _ONE_ROUND not in case.verdict:
                self.cases[index] = replace(case, verdict=(*case.verdict, _ONE_ROUND))

    def with_clock(self, clock: Clock) -> Session:
        """Return a session on `clock`, without an end, that adds to the same cases."""
        budget = Budget(seconds=None, trial_s=self.budget.trial_s)
        other = Session(self.bench, budget, on_case=self._on_case, on_start=self._on_start, now=self._now)
        other._run_spread = self._run_spread
        other.cases, other._clock = self.cases, clock
        return other

    def run(self, trials: Iterable[Trial], reserve: float = 0.0) -> None:
        """Run trials until they or the time are used up; `reserve` seconds are left for what comes later.

        Raises:
            KeyboardInterrupt, Stopped: as they came, `stopped` set.
        """
        left = list(trials)
        with self._kept():
            while left:
                trial = left.pop(0)
                self._on_start(trial)
                case = self._one(trial, self._seconds(trial, left, reserve))
                self.cases.append(self._merged(case) if case.is_measured else case)
                self._on_case(self.cases[-1])

    def time_left(self) -> float:
        """Return the seconds that are left; a year where there is no end."""
        if self.budget.seconds is None:
            return 3.15e7
        return self.budget.seconds - (self._now() - self._began)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Note why a run ended early, and give memory back in any case."""
        try:
            yield
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            raise
        except Stopped as error:
            self.stopped = str(error)
            raise
        finally:
            self.bench.free()

    def _seconds(self, trial: Trial, later: Sequence[Trial], reserve: float) -> float:
        """Return the seconds for sampling of a trial, 0 when time is up."""
        left = self.time_left() - reserve
        if left <= 0:
            return 0.0
        shares = trial.share + sum(each.share for each in later)
        fair = 0.6 * left * trial.share / shares  # warm-up, data and checks take the rest
        return max(self.budget.least_trial_s, min(self.budget.trial_s * trial.share, fair))

    def _one(self, trial: Trial, seconds: float) -> Case:
        if seconds <= 0:
            return _without(trial, SKIPPED, "no time was left")
        room = self.bench.room_bytes()
        if trial.needs_bytes > _ROOM * room:
            said = f"needs about {show_bytes(trial.needs_bytes)}, {show_bytes(room)} are free"
            return _without(trial, OUT_OF_MEMORY, said)
        rate = self._rates.get(trial.rate_key)
        if rate and trial.flops / rate > _HOPELESS * max(seconds, 0.2):
            took = show_duration(trial.flops / rate)
            return _without(trial, SKIPPED, f"one call would take about {took} at the rate of the one before")
        try:
            return self._measured(trial, seconds)
        except Unsupported as error:
            return _without(trial, UNSUPPORTED, str(error))
        except (KeyboardInterrupt, Stopped):
            raise
        except Exception as error:  # noqa: BLE001  one trial must not end the run
            if self.bench.is_out_of_memory(error):
                self.bench.free()
                return _without(trial, OUT_OF_MEMORY, "the allocator gave up")
            if sign := _lost_rank(error):
                raise Stopped(f"another rank is gone during {trial.id} ({sign})") from None
            return _without(trial, FAILED, _first_line(error))

    def _measured(self, trial: Trial, seconds: float) -> Case:
        bench = self.bench
        built = trial.build(bench)
        watch = DeviceWatch(bench.sensors)
        found = measure(
            built.run,
            clock=self._clock or bench.clock(host=built.uses_host_clock),
            effort=Effort(seconds=seconds, warm_up_s=0.2 * seconds, least=5 if seconds >= _SHORT else 3),
            prepare=built.prepare,
            watch=watch,
            is_cold=built.is_cold,
        )
        error = built.check() if built.check else None
        spread = found.spread
        if trial.rate_key and trial.flops:
            self._rates[trial.rate_key] = trial.flops / spread.median
        is_wrong = error is not None and not error <= built.tolerance  # a NaN is wrong too
        return Case(
            id=trial.id,
            suite=trial.suite,
            what=trial.what,
            status=WRONG if is_wrong else MEASURED,
            reason=f"differs by {error:.2g} from a higher precision, {built.tolerance:.2g} allowed" if is_wrong else "",
            flops=trial.flops,
            bytes=trial.bytes,
            median_s=spread.median,
            low_s=spread.low,
            high_s=spread.high,
            best_s=spread.best,
            iqr=spread.iqr,
            samples=found.samples,
            waited=found.waited,
            rounds=(spread.median,),
            inner=found.inner,
            is_corrected=found.is_corrected,
            verdict=found.verdict,
            relative_error=error,
            conditions=dict(watch.after),
        )


def merged(rounds: Sequence[Case], run_spread: float = 0.0) -> Case:
    """Return the rounds of one trial as one case.

    What a process sees says nothing of another one, of clocks, neighbours and memory a minute later. The middle is the
    geometric mean of the rounds' medians. Its interval is the wider of theirs (over the root of their number) and of
    Student's t over the medians, on logarithms; to it comes what no run sees of itself, `run_spread`, a standard
    deviation between runs of the logarithm of the time.
    """
    logs = [math.log(each.median_s) for each in rounds]
    n = len(rounds)
    middle = math.fsum(logs) / n
    median = math.exp(middle) if n > 1 else rounds[0].median_s  # one round keeps its number to the bit
    squares = math.fsum((each - middle) ** 2 for each in logs)
    seen = _STUDENT.get(n, 2.6) * math.sqrt(squares / (n - 1)) if n > 1 else 0.0
    low, high = (
        math.hypot(max(inside, seen) / math.sqrt(n), _SIGMAS * run_spread)
        for inside in (
            max(math.log(each.median_s / each.low_s) for each in rounds),
            max(math.log(each.high_s / each.median_s) for each in rounds),
        )
    )
    most = max(rounds, key=lambda each: len(each.verdict))
    apart = math.exp(max(logs) - min(logs)) - 1.0
    verdict = most.verdict
    if apart > _APART:
        verdict = (*verdict, f"{n} rounds differ by {apart:.0%}")
    errors = [each.relative_error for each in rounds if each.relative_error is not None]
    return replace(
        most,
        median_s=median,
        low_s=median * math.exp(-low),
        high_s=median * math.exp(high),
        best_s=min(each.best_s for each in rounds),
        iqr=sorted(each.iqr for each in rounds)[n // 2],
        samples=tuple(sample for each in rounds for sample in each.samples),
        waited=tuple(share for each in rounds for share in each.waited),
        rounds=tuple(each.median_s for each in rounds),
        is_corrected=any(each.is_corrected for each in rounds),
        verdict=verdict,
        relative_error=max(errors) if errors else None,
        conditions=rounds[-1].conditions,
    )


def _without(trial: Trial, status: str, reason: str) -> Case:
    return Case(
        id=trial.id,
        suite=trial.suite,
        what=trial.what,
        status=status,
        reason=reason,
        flops=trial.flops,
        bytes=trial.bytes,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


def _lost_rank(error: BaseException) -> str:
    """Return the sign in an error of a collective that another process of the group has gone, "" without one."""
    text = f"{type(error).__name__} {error}".lower()
    signs: tuple[str, ...] = (
        "connection closed by peer",
        "connection reset by peer",
        "connection refused",
        "broken pipe",
    )
    signs += ("distbackenderror", "distnetworkerror", "nccl communicator was aborted", "remote process exited")
    signs += ("timed out waiting", "socket timeout", "application timeout")
    return next((sign for sign in signs if sign in text), "")
