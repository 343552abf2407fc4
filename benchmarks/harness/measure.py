"""How one thing is timed: warm up, repeat until the median is known well enough, say whether to believe it.

    warm-up   until the time is steady (three in a row within 5 %) and a least time has passed: clocks rise, caches and
              allocators fill, lazy libraries load
    sample    `prepare` (fresh data, flushed cache) outside the clock, then `inner` calls inside it; cold caches mean one
              call per sample, warm ones as many as a readable sample needs
    stop      when the 95 % interval of the median is within `target` of it, or time or repeats are used up
    waiting   on Linux the scheduler says how long our threads stood in the run queue behind others. Samples that waited
              little are used; where there are too few, the share waited is taken off the time and the verdict says so
    verdict   quiet, or the reasons why not: spread, drift, throttling, others on the device, too few repeats

Nothing here imports torch: tests run it on a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ...estimators.frozen import dataclass
from .statistics import DRIFT, NOISY_SPREAD, Spread, drift, spread

_STEADY = 0.05
_DISTURBED = 0.02  # share of a sample spent behind others from which it is left out
_LEAST_CLEAN = 5
_ALWAYS_NOISY = 0.5  # share of time waited from which even corrected samples are called rough


@dataclass(frozen=True, slots=True)
class Timing:
    """One sample: seconds of all its calls as the clock saw them, and the share of that spent waiting for others."""

    seconds: float
    waited: float = 0.0


class Clock(Protocol):
    """Times `inner` calls of a function; `now` is for budgets, never for results."""

    def now(self) -> float:
        """Return seconds that only grow."""

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the time of `inner` calls, finished on the device too."""


class Watch(Protocol):
    """What goes on around a measurement."""

    def begin(self) -> None:
        """Note the state before."""

    def end(self) -> tuple[str, ...]:
        """Return why the samples since `begin` may be wrong: throttling, other processes. Empty: nothing seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much time one case may take."""

    seconds: float = 1.0  # of sampling
    warm_up_s: float = 0.1
    target: float = 0.02  # half-width of the confidence interval over the median
    least: int = 5
    most: int = 500
    least_sample_s: float = 1e-3  # shorter calls are repeated inside a sample when the cache is warm


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds per call: all samples in order, the statistics of those that count, and the verdict."""

    samples: tuple[float, ...]  # as the clock saw them
    waited: tuple[float, ...]  # share of each sample that the machine gave to others
    spread: Spread  # of the samples that count, corrected where they had to be
    inner: int
    warm_up_calls: int
    is_corrected: bool
    verdict: tuple[str, ...]  # empty: quiet

    @property
    def is_quiet(self) -> bool:
        """Whether nothing speaks against the number."""
        return not self.verdict


def measure(
    run: Callable[[], object],
    *,
    clock: Clock,
    effort: Effort,
    prepare: Callable[[], object] | None = None,
    watch: Watch | None = None,
    is_cold: bool = False,
) -> Measured:
    """Return the seconds of one call of `run`.

    `prepare` runs before every sample, outside the clock. `is_cold` says that it empties the caches, so that only one
    call per sample is cold.
    """
    calls, last = _warm_up(run, clock, effort, prepare)
    inner = 1 if is_cold else max(1, min(10_000, round(effort.least_sample_s / last + 0.49))) if last > 0 else 1
    if watch:
        watch.begin()
    timings: list[Timing] = []
    start = clock.now()
    while True:
        if prepare:
            prepare()
        found = clock.sample(run, inner)
        timings.append(Timing(found.seconds / inner, found.waited))
        enough = len(timings) >= effort.least
        if enough and (clock.now() - start >= effort.seconds or len(timings) >= effort.most):
            break
        if len(timings) % 4 == 0 and enough and _is_known(timings, effort.target):
            break
        if clock.now() - start >= 4 * effort.seconds:  # a case far slower than it was planned for
            break
    seen = watch.end() if watch else ()
    kept, is_corrected = _kept(timings)
    return Measured(
        samples=tuple(timing.seconds for timing in timings),
        waited=tuple(timing.waited for timing in timings),
        spread=spread(kept),
        inner=inner,
        warm_up_calls=calls,
        is_corrected=is_corrected,
        verdict=_verdict(timings, kept, is_corrected, effort, seen),
    )


def _warm_up(
    run: Callable[[], object], clock: Clock, effort: Effort, prepare: Callable[[], object] | None
) -> tuple[int, float]:
    start, calls = clock.now(), 0
    recent: list[float] = []
    while True:
        if prepare:
            prepare()
        found = clock.sample(run, 1)
        recent = [*recent[-2:], found.seconds * (1 - found.waited)]
        calls += 1
        passed = clock.now() - start
        steady = len(recent) == 3 and max(recent) <= min(recent) * (1 + _STEADY)
        if calls > 1 and ((passed >= effort.warm_up_s and steady) or passed >= 3 * effort.warm_up_s or calls >= 1000):
            return calls, min(recent)


def _kept(timings: Sequence[Timing]) -> tuple[list[float], bool]:
    """Return the samples that nobody disturbed; all of them, less their waiting, where those are too few."""
    clean = [timing.seconds for timing in timings if timing.waited <= _DISTURBED]
    if len(clean) >= min(_LEAST_CLEAN, len(timings)):
        return clean, False
    return [timing.seconds * (1 - timing.waited) for timing in timings], True


def _is_known(timings: Sequence[Timing], target: float) -> bool:
    kept, _ = _kept(timings)
    return len(kept) >= 6 and spread(kept).half_width <= target


def _verdict(
    timings: Sequence[Timing], kept: Sequence[float], is_corrected: bool, effort: Effort, seen: tuple[str, ...]
) -> tuple[str, ...]:
    found = spread(kept)
    reasons = list(seen)
    if is_corrected:
        share = sum(timing.waited for timing in timings) / len(timings)
        rough = "; rough" if share > _ALWAYS_NOISY else ""
        reasons.append(f"waited for other processes {share:.0%} of the time, which is taken off{rough}")
    if found.iqr > NOISY_SPREAD:
        reasons.append(f"samples spread by {found.iqr:.0%} of the median")
    if found.half_width > 2 * effort.target:
        reasons.append(f"median known to ±{found.half_width:.0%} after {found.count} samples")
    moved = drift(kept)
    if moved > DRIFT:
        reasons.append(f"got {moved:.0%} slower while measuring")
    elif moved < -DRIFT:
        reasons.append(f"got {-moved:.0%} faster while measuring")
    return tuple(reasons)
