"""Runs trials one after the other within a time budget and keeps what is done, whatever happens.

A trial that does not fit the memory, that the device cannot do, that fails or that computes wrong numbers becomes a case
with that status; the run goes on. Ctrl-C, a signal to end, or a dead rank stop the run; the cases so far are kept. The
time left is shared out over the trials left, so that a quick run ends on time on a slow or busy machine too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
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
_STUDENT = {2: 4.0, 3: 4.30, 4: 3.18, 5: 2.78}  # 97.5 %; of two bursts four ranges, their t of 12.7 says nothing
# What one process cannot see of itself: where its memory lies. A guess, set after a few repeated runs on one machine.
_LEAST_HALF = 0.025
# The same for a trial that was timed in one stretch only. A guess, and too narrow: of 111 cases of two runs in a row on
# one machine 13 did not overlap, 11 of them without a verdict.
_SINGLE_HALF = 0.075
_APART = 0.05  # between bursts of one trial from which they are called different
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
    """One run. `cases` grows; `stopped` says why it ended early."""

    def __init__(
        self,
        bench: Bench,
        budget: Budget,
        *,
        on_case: Callable[[Case], object] = lambda case: None,
        on_start: Callable[[Trial], object] = lambda trial: None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.bench, self.budget = bench, budget
        self.cases: list[Case] = []
        self.stopped = ""
        self._on_case, self._on_start, self._now = on_case, on_start, now
        self._began = now()
        self._rates: dict[str, float] = {}  # FLOP/s of the last trial of a kind
        self._bursts: dict[str, list[Case]] = {}
        self._clock: Clock | None = None

    def again(self, trials: Sequence[Trial], reserve: float = 0.0) -> bool:
        """Measure trials that were measured once more and join the bursts; return whether time was left for all.

        Raises:
            KeyboardInterrupt, Stopped: as they came, `stopped` set; bursts that are complete count.
        """
        place = {case.id: index for index, case in enumerate(self.cases) if case.is_measured}
        left = [trial for trial in trials if trial.id in place]
        try:
            while left:
                if self.time_left() - reserve <= 0:
                    return False
                trial = left.pop(0)
                self._on_start(trial)
                case = self._one(trial, self._seconds(trial, left, reserve))
                if case.is_measured:
                    bursts = self._bursts.setdefault(case.id, [self.cases[place[case.id]]])
                    bursts.append(case)
                    self.cases[place[case.id]] = merged(bursts)
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            raise
        except Stopped as error:
            self.stopped = str(error)
            raise
        finally:
            self.bench.free()
        return True

    def with_clock(self, clock: Clock) -> Session:
        """Return a session on `clock`, without an end, that adds to the same cases."""
        budget = Budget(seconds=None, trial_s=self.budget.trial_s)
        other = Session(self.bench, budget, on_case=self._on_case, on_start=self._on_start, now=self._now)
        other.cases, other._clock = self.cases, clock
        return other

    def run(self, trials: Iterable[Trial], reserve: float = 0.0) -> None:
        """Run trials until they or the time are used up; `reserve` seconds are left for what comes later.

        Raises:
            KeyboardInterrupt, Stopped: as they came, `stopped` set.
        """
        left = list(trials)
        try:
            while left:
                trial = left.pop(0)
                self._on_start(trial)
                case = self._one(trial, self._seconds(trial, left, reserve))
                self.cases.append(case)
                self._on_case(case)
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            raise
        except Stopped as error:
            self.stopped = str(error)
            raise
        finally:
            self.bench.free()

    def time_left(self) -> float:
        """Return the seconds that are left; a year where there is no end."""
        if self.budget.seconds is None:
            return 3.15e7
        return self.budget.seconds - (self._now() - self._began)

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
            low_s=min(spread.low, spread.median * math.exp(-_LEAST_HALF)),
            high_s=max(spread.high, spread.median * math.exp(_LEAST_HALF)),
            best_s=spread.best,
            iqr=spread.iqr,
            samples=found.samples,
            waited=found.waited,
            inner=found.inner,
            is_corrected=found.is_corrected,
            verdict=found.verdict,
            relative_error=error,
            conditions=dict(watch.after),
        )


def merged(bursts: Sequence[Case]) -> Case:
    """Return several bursts of one trial as one case.

    What a run sees in one stretch says nothing of clocks, neighbours and memory a minute later. The middle is the
    geometric mean of the bursts' medians; its interval is the wider of theirs (over the root of their number) and of
    Student's t over the medians, on logarithms.
    """
    if len(bursts) == 1:
        only = bursts[0]
        return replace(
            only,
            low_s=min(only.low_s, only.median_s * math.exp(-_SINGLE_HALF)),
            high_s=max(only.high_s, only.median_s * math.exp(_SINGLE_HALF)),
        )
    logs = [math.log(burst.median_s) for burst in bursts]
    n = len(bursts)
    middle = math.fsum(logs) / n
    deviation = math.sqrt(math.fsum((each - middle) ** 2 for each in logs) / (n - 1))
    inside = max(math.log(burst.high_s / burst.low_s) / 2 for burst in bursts)
    half = max(max(inside, _STUDENT.get(n, 2.6) * deviation) / math.sqrt(n), _LEAST_HALF)
    most = max(bursts, key=lambda burst: len(burst.verdict))
    apart = math.exp(max(logs) - min(logs)) - 1.0
    verdict = most.verdict
    if apart > _APART:
        verdict = (*verdict, f"{n} bursts some time apart differ by {apart:.0%}")
    errors = [burst.relative_error for burst in bursts if burst.relative_error is not None]
    return replace(
        most,
        median_s=math.exp(middle),
        low_s=math.exp(middle - half),
        high_s=math.exp(middle + half),
        best_s=min(burst.best_s for burst in bursts),
        iqr=sorted(burst.iqr for burst in bursts)[n // 2],
        samples=tuple(sample for burst in bursts for sample in burst.samples),
        waited=tuple(share for burst in bursts for share in burst.waited),
        is_corrected=any(burst.is_corrected for burst in bursts),
        verdict=verdict,
        relative_error=max(errors) if errors else None,
        conditions=bursts[-1].conditions,
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
