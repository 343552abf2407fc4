"""A layout for a job: the fastest of the usual ones that fits the memory, and why.

Candidates are what an expert would try: tensor parallelism inside one link domain, pipelines of two layers a stage and more,
full sharding (ZeRO-3) or sharded optimizer state (ZeRO-1) over what is left, experts over ranks, micro-batches of 1 to
16, activations kept or recomputed. They are tried from the fastest on until one fits, so most are never sized. What
the user fixes is not varied. Ties go to the simpler layout: less tensor, then less pipeline parallelism, then the
lesser sharding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from ..errors import DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..units import show_bytes
from .checks import attention_heads, check_experts, check_pipeline, check_product, check_tensor, expert_count
from .efficiency import Task
from .layout import Layout, Recipe, Recompute, Workload, Zero
from .time import StepTime, check_divides, check_precision, step_time, step_time_at_mfu

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..memory.training import TrainingMemory
    from ..models.shape import ModelShape
    from ..stepmodel.clock import StepClock

_T = TypeVar("_T")

SAFE_PROBABILITY = 0.1  # of running out of memory; a run that dies in its first hours costs more than a slower layout
LONG_SEQUENCE_TOKENS = 16_384  # beyond this, splitting the sequence is worth trying
LARGEST_TENSOR = 16
LONGEST_PIPELINE = 32
MICRO_BATCHES = (1, 2, 4, 8, 16)
_EFFORT = {Recompute.NONE: 0, Recompute.SELECTIVE: 1, Recompute.PRODUCTS: 2, Recompute.FULL: 3}


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
    _check_wanted(shape, accelerators, wanted, workload)
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
        simple = (_EFFORT[recompute], layout.tp, layout.pp, layout.cp, layout.zero, layout.ep, layout.micro_batch)
        seconds = clock.seconds(layout, recipes[recompute])
        ranked.append((seconds, simple, layout, recipes[recompute]))
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


def candidates(
    shape: ModelShape, accelerator: Accelerator, accelerators: int, workload: Workload, wanted: Wanted
) -> Iterator[tuple[Layout, Recompute]]:
    """Yield the layouts worth timing; every one divides the accelerators, the heads and the batch."""
    domain = min(accelerator.link_domain or accelerator.accelerators_per_node or 1, LARGEST_TENSOR)
    heads = attention_heads(shape)
    tensor = _free(wanted.tp, [t for t in _powers(domain) if heads % t == 0])
    pipe = _free(wanted.pp, _powers(min(accelerators, LONGEST_PIPELINE, max(1, shape.layers // 2))))
    context = _free(wanted.cp, _powers(8) if workload.sequence_tokens > LONG_SEQUENCE_TOKENS else [1])
    experts = expert_count(shape) or 1
    for tp in tensor:
        for pp in pipe:
            for cp in context:
                if accelerators % (tp * pp * cp):
                    continue
                dp = accelerators // (tp * pp * cp)
                expert = _free(wanted.ep, [e for e in _powers(experts) if experts % e == 0 and (dp * cp) % e == 0])
                for ep in expert:
                    for zero in _free(wanted.zero, _shardings(dp, cp, pp)):
                        yield from _inner(
                            Layout(
                                accelerators=accelerators,
                                tp=tp,
                                pp=pp,
                                cp=cp,
                                ep=ep,
                                zero=zero,
                                sequence_parallel=tp > 1,
                            ),
                            shape,
                            workload,
                            wanted,
                        )


def _inner(layout: Layout, shape: ModelShape, workload: Workload, wanted: Wanted) -> Iterator[tuple[Layout, Recompute]]:
    per_replica, rest = divmod(workload.global_batch, layout.dp)
    if rest:
        return
    for micro_batch in _free(wanted.micro_batch, [m for m in MICRO_BATCHES if per_replica % m == 0]):
        if per_replica % micro_batch:
            continue
        batches = per_replica // micro_batch
        interleave = wanted.interleave or _interleave(shape.layers, layout.pp, batches)
        for recompute in _free(wanted.recompute, [Recompute.NONE, Recompute.PRODUCTS, Recompute.FULL]):
            yield replace(layout, micro_batch=micro_batch, interleave=interleave), recompute


def _shardings(dp: int, cp: int, pp: int) -> list[Zero]:
    if dp * cp == 1:
        return [Zero.NONE]
    return [Zero.OPTIMIZER] if pp > 1 else [Zero.OPTIMIZER, Zero.PARAMETERS]


def _interleave(layers: int, pp: int, batches: int) -> int:
    """Return the virtual stages that Megatron's interleaved schedule allows, at most 4 (arXiv:2104.04473).

    Layers need not divide: the first and last stages hold fewer, as Llama 3's 126 layers over 16 stages
    (arXiv:2407.21783, section 3.3.2), as long as the fullest stage stays as full.
    """
    if pp == 1 or batches % pp:
        return 1
    fullest = -(-layers // pp)
    return max(v for v in (1, 2, 3, 4) if -(-layers // (pp * v)) * v == fullest)


def _powers(most: int) -> list[int]:
    return [2**i for i in range(most.bit_length()) if 2**i <= most]


def _free(fixed: _T | None, choices: list[_T]) -> list[_T]:
    return choices if fixed is None else [fixed]


def _check_wanted(shape: ModelShape, accelerators: int, wanted: Wanted, workload: Workload) -> None:
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
    return "" if probability > 0.95 else f", a {probability:.0%} chance of running out"


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
