"""A layout for a job: the fastest of the usual ones that fits the memory, and why.

Candidates are what an expert would try (`candidates.USUAL`); `planning/layouts.py` searches more of them from the same
generator. They are tried from the fastest on until one fits, so most are never sized. What the user fixes is not
varied. Ties go to the simpler layout: less recomputation, then less tensor and pipeline parallelism, then the lesser
sharding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..units import show_bytes
from .candidates import candidates, simplicity
from .checks import check_experts, check_pipeline, check_product, check_tensor
from .efficiency import Task
from .layout import Layout, Recipe, Recompute, Workload, Zero
from .time import StepTime, check_divides, check_precision, step_time, step_time_at_mfu

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..memory.training import TrainingMemory
    from ..models.shape import ModelShape
    from ..stepmodel.clock import StepClock

SAFE_PROBABILITY = 0.1  # of running out of memory; a run that dies in its first hours costs more than a slower layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user fixed of a layout; None is free."""

    tp: int | None = None
    pp: int | None = None
    cp: int | None = None
    ep: int | None = None
    interleave: int | None = None
    zero: Zero | None = None
    micro_batch: int | None = None
    recompute: Recompute | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The layout chosen, what it needs and takes, and why."""

    layout: Layout
    recipe: Recipe
    memory: TrainingMemory
    time: StepTime
    tried: int  # layouts considered
    why: str


class Clock:
    """How long a layout takes: quickly for ranking, in full for the one that is chosen."""

    def __init__(
        self, shape: ModelShape, accelerator: Accelerator, workload: Workload, task: Task | None = None
    ) -> None:
        self.shape, self.accelerator, self.workload, self.task = shape, accelerator, workload, task
        self._steps: StepClock | None = None

    def seconds(self, layout: Layout, recipe: Recipe) -> float:
        """Return the middle of the step time (s); recipes may differ in recomputation only."""
        if self._steps is None:
            from ..facts.software import load_software
            from ..stepmodel.clock import StepClock

            self._steps = StepClock(
                self.shape,
                accelerator=self.accelerator,
                recipe=recipe,
                workload=self.workload,
                values=load_software().values,
            )
        return self._steps.seconds(layout, recipe.recompute)

    def time(self, layout: Layout, recipe: Recipe) -> StepTime:
        """Return the step time with its range and reasons."""
        return step_time(
            self.shape,
            accelerator=self.accelerator,
            layout=layout,
            recipe=recipe,
            workload=self.workload,
            task=self.task,
        )


class GivenClock(Clock):
    """The clock of a user who knows the MFU: layouts are ranked as ever, the one chosen runs at that MFU."""

    def __init__(self, shape: ModelShape, accelerator: Accelerator, workload: Workload, mfu: float) -> None:
        super().__init__(shape, accelerator, workload)
        self.mfu = mfu

    def time(self, layout: Layout, recipe: Recipe) -> StepTime:
        """Return `step_time_at_mfu`."""
        return step_time_at_mfu(
            self.shape,
            mfu=self.mfu,
            accelerator=self.accelerator,
            layout=layout,
            recipe=recipe,
            workload=self.workload,
        )


def choose_layout(*, accelerators: int, recipe: Recipe, wanted: Wanted | None = None, clock: Clock) -> Choice:
    """Return the fastest layout on `accelerators` chips that fits; `clock` knows the model, the chip and the batch.

    Raises:
        InputError: what the user fixed cannot be cut that way.
        DoesNotFit: no candidate fits; says what the best one lacks.
    """
    shape, accelerator, workload = clock.shape, clock.accelerator, clock.workload
    wanted = wanted or Wanted()
    check_wanted(shape, accelerators, wanted, workload)
    check_precision(accelerator, recipe)
    ranked = _ranked(accelerators, recipe, wanted, clock)
    if not ranked:
        raise InputError(_no_candidate(accelerators, workload, wanted))

    sizer = _Sizer(clock, _smallest_batches(ranked))
    for layout, with_recompute in ranked:
        memory = sizer.fitting(layout, with_recompute)
        if memory:
            return Choice(
                layout=layout,
                recipe=with_recompute,
                memory=memory,
                time=clock.time(layout, with_recompute),
                tried=len(ranked),
                why=_why(len(ranked), layout, with_recompute, sizer),
            )
    best = sizer.leanest
    assert best is not None  # one candidate at least was sized
    raise DoesNotFit(
        f"{shape.name} does not fit on {accelerators:,} x {accelerator.name}: the leanest of {len(ranked)} layouts needs "
        f"about {show_bytes(best.needed_bytes)} per accelerator, {show_bytes(best.usable_bytes)} are usable"
        f"{_risk(best.probability_of_running_out)}; take more of them, a shorter --seq, or one with more memory."
    )


def _ranked(accelerators: int, recipe: Recipe, wanted: Wanted, clock: Clock) -> list[tuple[Layout, Recipe]]:
    """Return the candidates from the fastest on; among equals the simplest first."""
    recipes = {recompute: replace(recipe, recompute=recompute) for recompute in Recompute}
    ranked = []
    for layout, recompute in candidates(clock.shape, clock.accelerator, accelerators, clock.workload, wanted):
        seconds = clock.seconds(layout, recipes[recompute])
        ranked.append((seconds, simplicity(layout, recompute), layout, recipes[recompute]))
    ranked.sort(key=lambda item: item[:2])
    return [(layout, with_recompute) for _, _, layout, with_recompute in ranked]


def _smallest_batches(ranked: list[tuple[Layout, Recipe]]) -> dict[_Family, Layout]:
    """Return for each layout, its micro-batch aside, the one with the smallest micro-batch."""
    smallest: dict[_Family, Layout] = {}
    for layout, recipe in ranked:
        family = _family(layout, recipe)
        if family not in smallest or layout.micro_batch < smallest[family].micro_batch:
            smallest[family] = layout
    return smallest


_Family = tuple[int, int, int, int, int, Recompute]


def _family(layout: Layout, recipe: Recipe) -> _Family:
    return (layout.tp, layout.pp, layout.cp, layout.ep, int(layout.zero), recipe.recompute)


class _Sizer:
    """Sizes layouts, asking first whether the smallest micro-batch fits at all: most families end there."""

    def __init__(self, clock: Clock, smallest: dict[_Family, Layout]) -> None:
        self.clock, self.smallest = clock, smallest
        self.hopeless: dict[_Family, bool] = {}
        self.sized: dict[_Family, TrainingMemory] = {}  # at the smallest micro-batch
        self.leanest: TrainingMemory | None = None

    def fitting(self, layout: Layout, recipe: Recipe) -> TrainingMemory | None:
        """Return the memory of a layout that fits, None where it does not."""
        family = _family(layout, recipe)
        least = self.smallest[family]
        if family not in self.sized:
            self.sized[family] = memory = self._memory(least, recipe)
            if self.leanest is None or memory.needed_bytes < self.leanest.needed_bytes:
                self.leanest = memory
        memory = self.sized[family]
        if memory.probability_of_running_out > SAFE_PROBABILITY:
            return None
        if layout.micro_batch > least.micro_batch:
            memory = self._memory(layout, recipe)
        return memory if memory.probability_of_running_out <= SAFE_PROBABILITY else None

    def _memory(self, layout: Layout, recipe: Recipe) -> TrainingMemory:
        from ..memory.training import training_memory

        clock = self.clock
        return training_memory(
            clock.shape, layout=layout, recipe=recipe, workload=clock.workload, accelerator=clock.accelerator
        )


def check_wanted(shape: ModelShape, accelerators: int, wanted: Wanted, workload: Workload) -> None:
    """Refuse what cannot be cut that way, naming the flag and what would work."""
    tp, pp, cp = wanted.tp or 1, wanted.pp or 1, wanted.cp or 1
    check_tensor(shape, tp)
    if wanted.pp:
        check_pipeline(shape, pp, wanted.interleave or 1)
    check_product(accelerators, tp=tp, pp=pp, cp=cp)
    check_experts(shape, wanted.ep or 1)
    if wanted.tp and wanted.pp and wanted.cp and wanted.micro_batch:
        layout = Layout(accelerators=accelerators, tp=tp, pp=pp, cp=cp, micro_batch=wanted.micro_batch)
        check_divides(layout, workload)


def _no_candidate(accelerators: int, workload: Workload, wanted: Wanted) -> str:
    replicas = accelerators // ((wanted.tp or 1) * (wanted.pp or 1) * (wanted.cp or 1)) * (wanted.micro_batch or 1)
    below = workload.global_batch // replicas * replicas
    near = f"{below:,} or {below + replicas:,}" if below else f"{replicas:,}"
    return (
        f"--global-batch: {workload.global_batch:,} sequences do not divide over {accelerators:,} accelerators in any "
        f"layout; take {near}."
    )


def _risk(probability: float) -> str:
    """Say how likely it runs out, where that is not plain from the bytes."""
    return "" if probability > 0.95 else f", with {probability:.0%} chance of running out"


def _why(tried: int, layout: Layout, recipe: Recipe, sizer: _Sizer) -> str:
    """Say what decided, by what the next simpler layout would have needed."""
    if tried == 1:
        return "as you asked"
    chosen = f"the fastest of {tried} layouts that fits"
    lesser = [
        ("without recomputation", replace(recipe, recompute=Recompute.NONE), layout),
        ("with only the optimizer state sharded", recipe, replace(layout, zero=Zero.OPTIMIZER)),
        ("without tensor parallelism", recipe, replace(layout, tp=1, sequence_parallel=False)),
        ("without a pipeline", recipe, replace(layout, pp=1, interleave=1)),
    ]
    for words, other_recipe, other in lesser:
        memory = sizer.sized.get(_family(other, other_recipe))
        changed = _family(other, other_recipe) != _family(layout, recipe)
        if changed and memory and memory.probability_of_running_out > SAFE_PROBABILITY:
            return (
                f"{chosen}; {words} it needs about {show_bytes(memory.needed_bytes)} of "
                f"{show_bytes(memory.usable_bytes)}{_risk(memory.probability_of_running_out)}"
            )
    return chosen
