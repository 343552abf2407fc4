"""Clocks: the host's for CPUs and whole steps, device events for kernels; and how long our threads waited for others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Timing

_TASKS = Path("/proc/self/task")
_MOST_WAITED = 0.98  # share beyond which nothing is left to measure


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
    """Wall-clock time around the calls, the device synchronised before and after."""

    def __init__(self, synchronize: Callable[[], object] | None = None, queue: RunQueue | None = None) -> None:
        self._synchronize = synchronize
        self._queue = queue if queue and queue.is_known else None

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.perf_counter()

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls."""
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
    """Device time between two events on the current stream; the host only enqueues."""

    def __init__(self, make_event: Callable[[], Any], synchronize: Callable[[], object]) -> None:
        self._make_event, self._synchronize = make_event, synchronize

    def now(self) -> float:
        """Return the monotonic clock of the host."""
        return time.perf_counter()

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls."""
        first, last = self._make_event(), self._make_event()
        self._synchronize()
        first.record()
        for _ in range(inner):
            run()
        last.record()
        self._synchronize()
        return Timing(first.elapsed_time(last) / 1e3)
