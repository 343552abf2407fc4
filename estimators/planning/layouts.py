"""Search over layouts: every feasible cut of a job, the Pareto front of time and memory, why each loser lost, and how
the job scales over the number of accelerators.

All layouts are timed (`StepClock`: tens of thousands per CPU-second); memory, some fifty times dearer, is worked out
from the fastest on, and a family of layouts that does not fit at its smallest micro-batch is not asked again. Costs
differ from times by one price on a fixed number of accelerators; between numbers they do not, and the scaling curve
shows both. Its knee is the count of largest distance below the chord of log cost against log time (the "kneedle"
construction, Satopaa et al. 2011), so neither axis needs a unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, InputError
from ..facts.software import load_software
from ..frozen import dataclass, replace
from ..stepmodel.clock import StepClock
from ..stepmodel.estimate import estimate_step
from ..training.checks import attention_heads, expert_count
from ..training.layout import Layout, Recipe, Recompute, Workload, Zero
from ..units import show_bytes

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..models.shape import ModelShape

SAFE_PROBABILITY = 0.1  # of running out of memory
MOST_SIZED = 3000  # layouts whose memory is worked out; the front is complete long before in practice
SHOWN_LOSERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be tried. Tensor, pipeline and context degrees that do not divide the model are left out."""

    tp: tuple[int, ...] = (1, 2, 4, 8, 16)
    pp: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32)
    cp: tuple[int, ...] = (1,)
    ep: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    zero: tuple[Zero, ...] = (Zero.OPTIMIZER, Zero.PARAMETERS)
    micro_batch: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    interleave: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12)
    recompute: tuple[Recompute, ...] = (Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOption:
    """One layout that fits: seconds of a step, bytes it needs, and the chance that it runs out of them."""

    layout: Layout
    recompute: Recompute
    seconds: float
    needed_bytes: float
    probability_of_running_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLayout:
    """A layout that was not taken; `reason` is one sentence. `seconds` is what it would take."""

    layout: Layout
    recompute: Recompute
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSearch:
    """The answer: the front from the fastest to the leanest, the best losers, and how many were looked at."""

    front: tuple[LayoutOption, ...]
    losers: tuple[LostLayout, ...]
    timed: int
    sized: int

    @property
    def fastest(self) -> LayoutOption:
        """The fastest layout that fits."""
        return self.front[0]

    @property
    def leanest(self) -> LayoutOption:
        """The layout of the front that needs least memory."""
        return self.front[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPoint:
    """The best layout on one number of accelerators. `efficiency` is speed per accelerator over that of the first."""

    accelerators: int
    best: LayoutOption
    tokens_per_s: float
    efficiency: float
    accelerator_hours_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingCurve:
    """Points by rising count; `knee` is the count beyond which speed costs more than before, None below 3 points."""

    points: tuple[ScalingPoint, ...]
    knee: int | None


def layouts_of(
    shape: ModelShape, accelerator: Accelerator, accelerators: int, workload: Workload, space: Space
) -> Iterator[Layout]:
    """Yield every layout of the space that divides accelerators, heads, layers, experts and batch."""
    domain = max(accelerator.link_domain or 1, accelerator.accelerators_per_node or 1)
    heads = attention_heads(shape)
    experts = expert_count(shape) or 1
    for tp in space.tp:
        if tp > domain or heads % tp:
            continue
        for pp in space.pp:
            if shape.layers % pp:
                continue
            for cp in space.cp:
                if accelerators % (tp * pp * cp):
                    continue
                dp = accelerators // (tp * pp * cp)
                per_replica, rest = divmod(workload.global_batch, dp)
                if rest or not per_replica:
                    continue
                degrees = [e for e in space.ep if experts % e == 0 and (dp * cp) % e == 0] if experts > 1 else [1]
                for micro_batch in space.micro_batch:
                    if per_replica % micro_batch:
                        continue
                    for chunks in _chunks(space, shape.layers, pp, per_replica // micro_batch):
                        for ep in degrees:
                            for zero in space.zero if dp * cp > 1 else (Zero.NONE,):
                                if pp > 1 and zero is Zero.PARAMETERS:
                                    continue  # every micro-batch would gather each stage again
                                yield Layout(
                                    accelerators=accelerators,
                                    tp=tp,
                                    pp=pp,
                                    cp=cp,
                                    ep=ep,
                                    interleave=chunks,
                                    zero=zero,
                                    sequence_parallel=tp > 1,
                                    micro_batch=micro_batch,
                                )


def search_layouts(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    accelerators: int,
    recipe: Recipe,
    workload: Workload,
    space: Space | None = None,
) -> LayoutSearch:
    """Return the Pareto front of step time and memory over the space, and why the best of the others lost.

    Raises:
        InputError: nothing in the space divides the job.
        DoesNotFit: nothing fits the memory.
    """
    space = space or Space()
    clock = StepClock(shape, accelerator=accelerator, recipe=recipe, workload=workload, values=load_software().values)
    timed = [
        (clock.seconds(layout, recompute), index, layout, recompute)
        for index, layout in enumerate(layouts_of(shape, accelerator, accelerators, workload, space))
        for recompute in space.recompute
    ]
    if not timed:
        raise InputError(
            f"{shape.name} with a batch of {workload.global_batch:,} sequences cannot be cut over "
            f"{accelerators:,} accelerators; take a batch or a count with more divisors."
        )
    timed.sort(key=lambda item: item[:2])
    return _front(shape, accelerator, recipe, workload, timed)


def scaling_curve(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    counts: Iterable[int],
    recipe: Recipe,
    workload: Workload,
    space: Space | None = None,
) -> ScalingCurve:
    """Return the fastest layout for each count, the efficiency relative to the smallest, and the knee.

    Counts that the batch cannot feed or that do not fit are left out.

    Raises:
        DoesNotFit: no count works.
    """
    points: list[ScalingPoint] = []
    for count in sorted(set(counts)):
        try:
            best = search_layouts(
                shape, accelerator=accelerator, accelerators=count, recipe=recipe, workload=workload, space=space
            ).fastest
        except (InputError, DoesNotFit):
            continue
        speed = workload.tokens_per_step / best.seconds
        first = points[0] if points else None
        base = first.tokens_per_s / first.accelerators if first else speed / count
        points.append(
            ScalingPoint(
                accelerators=count,
                best=best,
                tokens_per_s=speed,
                efficiency=speed / count / base,
                accelerator_hours_per_token=count / speed / 3600.0,
            )
        )
    if not points:
        raise DoesNotFit(f"{shape.name} fits none of the numbers of {accelerator.name} that were asked about.")
    return ScalingCurve(points=tuple(points), knee=_knee(points))


def _front(
    shape: ModelShape,
    accelerator: Accelerator,
    recipe: Recipe,
    workload: Workload,
    timed: Sequence[tuple[float, int, Layout, Recompute]],
) -> LayoutSearch:
    """Walk from the fastest on; a layout joins the front when it needs less memory than all faster ones that fit."""
    from ..memory.training import training_memory

    front: list[LayoutOption] = []
    losers: list[LostLayout] = []
    hopeless: dict[tuple[object, ...], int] = {}  # family: smallest micro-batch known not to fit
    sized, closest = 0, math.inf
    usable = 0.0
    for seconds, _, layout, recompute in timed:
        family = (layout.tp, layout.pp, layout.cp, layout.ep, layout.zero, layout.interleave, recompute)
        if layout.micro_batch >= hopeless.get(family, 1 << 30):
            continue
        if sized >= MOST_SIZED:
            break
        memory = training_memory(
            shape,
            layout=layout,
            recipe=replace(recipe, recompute=recompute),
            workload=workload,
            accelerator=accelerator,
        )
        sized += 1
        usable = memory.usable_bytes
        if memory.probability_of_running_out > SAFE_PROBABILITY:
            hopeless[family] = layout.micro_batch
            closest = min(closest, memory.needed_bytes)
            if not front and len(losers) < SHOWN_LOSERS:
                reason = (
                    f"does not fit: needs {show_bytes(memory.needed_bytes)} of {show_bytes(memory.usable_bytes)} "
                    f"({memory.probability_of_running_out:.0%} chance of running out)"
                )
                losers.append(LostLayout(layout=layout, recompute=recompute, seconds=seconds, reason=reason))
            continue
        if front and memory.needed_bytes >= front[-1].needed_bytes:
            if len(losers) < 2 * SHOWN_LOSERS:
                losers.append(_slower(shape, accelerator, recipe, workload, front[0], layout, recompute, seconds))
            continue
        front.append(
            LayoutOption(
                layout=layout,
                recompute=recompute,
                seconds=seconds,
                needed_bytes=memory.needed_bytes,
                probability_of_running_out=memory.probability_of_running_out,
            )
        )
    if not front:
        raise DoesNotFit(
            f"{shape.name} does not fit on {timed[0][2].accelerators:,} x {accelerator.name}: the leanest of "
            f"{len(timed):,} layouts needs about {show_bytes(closest)} of {show_bytes(usable)} usable."
        )
    return LayoutSearch(front=tuple(front), losers=tuple(losers), timed=len(timed), sized=sized)


def _slower(
    shape: ModelShape,
    accelerator: Accelerator,
    recipe: Recipe,
    workload: Workload,
    winner: LayoutOption,
    layout: Layout,
    recompute: Recompute,
    seconds: float,
) -> LostLayout:
    """Say how much slower a layout is than the winner and which part of the step makes the difference."""
    parts = []
    for cut, again in ((winner.layout, winner.recompute), (layout, recompute)):
        found = estimate_step(
            shape,
            accelerator=accelerator,
            layout=cut,
            recipe=replace(recipe, recompute=again),
            workload=workload,
            values=load_software().values,
        )
        parts.append({name: spent for name, spent, _ in found.parts})
    more = {name: spent - parts[0].get(name, 0.0) for name, spent in parts[1].items()}
    worst = max(more, key=lambda name: more[name])
    share = seconds / winner.seconds - 1
    reason = f"{share:.1%} slower than the fastest and no leaner: {more[worst] * 1e3:+,.0f} ms of {worst}"
    return LostLayout(layout=layout, recompute=recompute, seconds=seconds, reason=reason)


def _knee(points: Sequence[ScalingPoint]) -> int | None:
    """Return the count farthest below the chord of log cost over log time."""
    if len(points) < 3:
        return None
    time = [-math.log(point.tokens_per_s) for point in points]
    cost = [math.log(point.accelerator_hours_per_token) for point in points]
    span_t, span_c = time[0] - time[-1], cost[-1] - cost[0]
    if span_t <= 0 or span_c <= 0.02:
        return points[-1].accelerators  # speed is free all the way
    below = [(cost[0] + span_c * (time[0] - t) / span_t - c) / span_c for t, c in zip(time, cost, strict=True)]
    best = max(range(len(points)), key=lambda i: below[i])
    return points[best].accelerators


def _chunks(space: Space, layers: int, pp: int, batches: int) -> list[int]:
    """Return the virtual stages that the interleaved schedule allows (arXiv:2104.04473, section 2.2)."""
    if pp == 1:
        return [1]
    return [v for v in space.interleave if layers % (pp * v) == 0 and (v == 1 or batches % pp == 0)]
