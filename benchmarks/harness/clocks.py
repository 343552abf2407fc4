"""Clocks: the host's for CPUs and whole steps, device events for kernels; and how long our threads waited for others."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Timing

_TASKS = Path("/proc/self/task")
_MOST_WAITED = 0.98  # share beyond which nothing is left to measure
_MOST_REPEATS = 1000
_AHEAD = 1.2  # times the host's own time that a device is held back
_LONGEST_HOLD_S = 0.02


class RunQueue:
    """Reads how long the threads of this process ran and how long they stood ready behind others (Linux schedstat).

    With r seconds run and w seconds waited over all threads, a share w / (r + w) of the wall-clock time was given away:
    each thread that was ready at all got r / (r + w) of it.
    """

    def __init__(self) -> None:
        self.is_known = _TASKS.is_dir() and self.read() is not None

    def read(self) -> tuple[int, int] | None:
        """Return nanoseconds run and waited, over all threads; None where the system does not say."""
        waited = 0
        try:
            for task in os.scandir(_TASKS):
                with open(f"{task.path}/schedstat", "rb") as file:
                    waited += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        # The time run comes from the process's own clock: the scheduler's file lags by up to a tick.
        return time.process_time_ns(), waited


class HostClock:
    """Wall-clock time around the calls, the device synchronised before and after.

    With `least_s`, a sample that would be shorter is repeated that many times inside one pair of synchronisations, and
    the mean returned: where waiting for the device takes long, short samples would time the waiting.
    """

    def __init__(
        self,
        synchronize: Callable[[], object] | None = None,
        queue: RunQueue | None = None,
        least_s: float = 0.0,
    ) -> None:
        self._synchronize = synchronize
        self._least_s = least_s
        self._queue = queue if queue and queue.is_known else None

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.perf_counter()

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls."""
        found = self._once(run, inner)
        if found.seconds >= self._least_s:
            return found
        repeats = min(_MOST_REPEATS, math.ceil(self._least_s / max(found.seconds, 1e-9)))
        longer = self._once(run, inner * repeats)
        return Timing(longer.seconds / repeats, longer.waited)

    def _once(self, run: Callable[[], object], inner: int) -> Timing:
        if self._synchronize:
            self._synchronize()
        before = self._queue.read() if self._queue else None
        start = time.perf_counter()
        for _ in range(inner):
            run()
        if self._synchronize:
            self._synchronize()
        seconds = time.perf_counter() - start
        after = self._queue.read() if self._queue else None
        if before and after:
            ran, waited = after[0] - before[0], after[1] - before[1]
            return Timing(seconds, min(_MOST_WAITED, waited / (ran + waited)) if waited > 0 else 0.0)
        return Timing(seconds)


class EventClock:
    """Device time between two events on the current stream; the host only enqueues.

    A kernel shorter than its launch would be timed by the launches. `hold` keeps the device busy before the first event
    for about as long as the host needs to enqueue, so that the device then works without gaps.
    """

    def __init__(
        self,
        make_event: Callable[[], Any],
        synchronize: Callable[[], object],
        hold: Callable[[float], object] | None = None,
    ) -> None:
        self._make_event, self._synchronize, self._hold = make_event, synchronize, hold
        self._enqueue_s = math.inf  # of one call, the fastest so far

    def now(self) -> float:
        """Return the monotonic clock of the host."""
        return time.perf_counter()

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls."""
        first, last = self._make_event(), self._make_event()
        self._synchronize()
        if self._hold and math.isfinite(self._enqueue_s):
            self._hold(min(_LONGEST_HOLD_S, _AHEAD * inner * self._enqueue_s))
        first.record()
        start = time.perf_counter()
        for _ in range(inner):
            run()
        self._enqueue_s = min(self._enqueue_s, (time.perf_counter() - start) / inner)
        last.record()
        self._synchronize()
        seconds = first.elapsed_time(last) / 1e3  # milliseconds on every back end
        # Some Intel runtimes stamp short intervals backwards: the host's time is an upper bound then.
        return Timing(seconds if seconds > 0.0 else time.perf_counter() - start)


class LazyClock:
    """Wall-clock time on a device that notes calls down and runs them later (XLA).

    What nobody holds when the graph is cut is never computed, so each result is kept until then. One graph a call: the
    same one each time, compiled while warming up.
    """

    def __init__(self, launch: Callable[[], object], synchronize: Callable[[], object]) -> None:
        self._launch, self._synchronize = launch, synchronize

    def now(self) -> float:
        """Return the monotonic clock of the host."""
        return time.perf_counter()

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls."""
        self._synchronize()
        start = time.perf_counter()
        for _ in range(inner):
            kept = run()
            self._launch()
            del kept
        self._synchronize()
        return Timing(time.perf_counter() - start)
