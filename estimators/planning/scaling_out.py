"""One job on several numbers of accelerators: time, money, efficiency, and the knee.

Every count keeps the batch of the answer, so that nothing but the count differs, and gets the layout that `train` would
choose for it. Time and money are those of the whole run. The knee is the count of largest distance below the chord of
log accelerator-hours against log time, both scaled to the unit interval (the "kneedle" construction, Satopaa et al.
2011), from the count of fewest accelerator-hours to the fastest; so neither axis needs a unit, and no price is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..quantity import Given, Step
from ..training.job import MOST_ACCELERATORS, JobAnswer, answer

if TYPE_CHECKING:
    from ..facts.records import Accelerator

HALVINGS = 3  # and as many doublings
FREE_LOG = 0.02  # accelerator-hours that rise by no more over the whole curve make speed free
LEAST_DISTANCE = 0.05  # below the chord, in the unit square; a curve that bends less has no knee worth a name
SOURCE = "Satopaa et al. 2011, Finding a 'Kneedle' in a Haystack, doi:10.1109/ICDCSW.2011.20"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPoint:
    """The job on one count; `efficiency` is the accelerator-hours of the smallest count over those of this one."""

    found: JobAnswer
    efficiency: float

    @property
    def accelerators(self) -> int:
        """How many."""
        return self.found.accelerators


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A count on which the job does not run, and why."""

    accelerators: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stride:
    """From one count to a larger one: how many times as fast, for how many times the accelerator-hours."""

    start: int
    end: int
    times_as_fast: float
    times_the_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where the curve bends: the stride to it is cheap, the one beyond dear. `distance` is that below the chord, in the
    unit square.
    """

    accelerators: int
    distance: float
    before: Stride
    after: Stride


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingCurve:
    """Points by rising count; `knee` is None where there is none, and `why_no_knee` says why."""

    points: tuple[ScalingPoint, ...]
    left_out: tuple[LeftOut, ...]
    knee: Knee | None
    why_no_knee: str
    steps: tuple[Step, ...]


def counts_around(accelerators: int, accelerator: Accelerator) -> tuple[int, ...]:
    """Return the count with its halvings and doublings, as far as they are whole nodes or parts of one."""
    node = accelerator.accelerators_per_node or 8
    halves = [accelerators >> k for k in range(1, HALVINGS + 1) if accelerators % (1 << k) == 0]
    doubles = [accelerators << k for k in range(1, HALVINGS + 1)]
    whole = [n for n in halves + doubles if (n % node == 0 or node % n == 0) and n <= MOST_ACCELERATORS]
    return tuple(sorted({accelerators, *whole}))


def scaling_curve(found: JobAnswer, counts: Iterable[int]) -> ScalingCurve:
    """Return the job on every count, the efficiency relative to the smallest that runs, and the knee.

    Raises:
        DoesNotFit: no count works; says why the largest does not.
    """
    job = replace(found.job, global_batch=found.workload.global_batch)
    points: list[ScalingPoint] = []
    left_out: list[LeftOut] = []
    for count in sorted(set(counts)):
        try:
            each = found if count == found.accelerators else answer(job, count, found.clock)
        except (InputError, DoesNotFit) as error:
            left_out.append(LeftOut(accelerators=count, reason=str(error)))
            continue
        least = points[0].found if points else each
        efficiency = least.run.accelerator_hours.mid / each.run.accelerator_hours.mid
        points.append(ScalingPoint(found=each, efficiency=efficiency))
    if not points:
        raise DoesNotFit(f"{job.shape.name} runs on none of these counts: {left_out[-1].reason}")
    knee, why = _knee(points)
    return ScalingCurve(
        points=tuple(points),
        left_out=tuple(left_out),
        knee=knee,
        why_no_knee=why,
        steps=(_efficiency_step(points), *((_knee_step(points, knee),) if knee else ())),
    )


def _knee(points: Sequence[ScalingPoint]) -> tuple[Knee | None, str]:
    """Return the knee, or None and why there is none.

    The trade is between the count of fewest accelerator-hours and the fastest: outside of these, more is worse in both.
    """
    cheapest, fastest = _ends(points)
    trade = points[cheapest : fastest + 1]
    if len(trade) < 3:
        return None, "three counts on which speed has its price are needed to see where it bends"
    time, hours = _logs(trade)
    span_t, span_h = time[0] - time[-1], hours[-1] - hours[0]
    if span_h <= FREE_LOG:
        return None, f"up to {trade[-1].accelerators:,}, speed costs next to nothing more"
    below = [(time[0] - t) / span_t - (h - hours[0]) / span_h for t, h in zip(time, hours, strict=True)]
    best = max(range(len(below)), key=lambda i: below[i])
    if below[best] < LEAST_DISTANCE:
        if min(below) < -LEAST_DISTANCE:
            return None, "no count stands out: the first steps to more cost most, later ones little"
        return None, "no count stands out: every step to more costs about as much more as the last"
    knee = Knee(
        accelerators=trade[best].accelerators,
        distance=below[best],
        before=_between(trade[best - 1], trade[best]),
        after=_between(trade[best], trade[best + 1]),
    )
    return knee, ""


def _ends(points: Sequence[ScalingPoint]) -> tuple[int, int]:
    """Return the indices of the count of fewest accelerator-hours and of the fastest at or above it."""
    runs = [point.found.run for point in points]
    cheapest = min(range(len(runs)), key=lambda i: runs[i].accelerator_hours.mid)
    return cheapest, min(range(cheapest, len(runs)), key=lambda i: runs[i].wall_s.mid)


def _logs(points: Sequence[ScalingPoint]) -> tuple[list[float], list[float]]:
    """Return log of time and of accelerator-hours."""
    runs = [point.found.run for point in points]
    return [math.log(run.wall_s.mid) for run in runs], [math.log(run.accelerator_hours.mid) for run in runs]


def _between(low: ScalingPoint, high: ScalingPoint) -> Stride:
    return Stride(
        start=low.accelerators,
        end=high.accelerators,
        times_as_fast=low.found.run.wall_s.mid / high.found.run.wall_s.mid,
        times_the_hours=high.found.run.accelerator_hours.mid / low.found.run.accelerator_hours.mid,
    )


def _efficiency_step(points: Sequence[ScalingPoint]) -> Step:
    first, last = points[0], points[-1]
    return Step(
        "scaling efficiency",
        f"accelerator-hours on {first.accelerators:,} / accelerator-hours on {last.accelerators:,}",
        tuple(
            Given(f"on {each.accelerators:,}", each.found.run.accelerator_hours.mid, "count", "whole run")
            for each in (first, last)[: len(points)]
        ),
        last.efficiency,
        "fraction",
        "the same batch on every count (strong scaling)",
    )


def _knee_step(points: Sequence[ScalingPoint], knee: Knee) -> Step:
    cheapest, fastest = _ends(points)
    at_knee = next(point for point in points if point.accelerators == knee.accelerators)
    given = []
    for where, point in (("cheapest", points[cheapest]), ("knee", at_knee), ("fastest", points[fastest])):
        run = point.found.run
        given.append(Given(f"T {where}", run.wall_s.mid, "s", f"{point.accelerators:,} accelerators"))
        given.append(Given(f"H {where}", run.accelerator_hours.mid, "count", "accelerator-hours"))
    return Step(
        "knee",
        "the count of largest log(T cheapest / T) / log(T cheapest / T fastest) - log(H / H cheapest) / "
        "log(H fastest / H cheapest)",
        (*given, Given("distance below the chord", knee.distance, "fraction", "")),
        knee.accelerators,
        "count",
        SOURCE,
    )
