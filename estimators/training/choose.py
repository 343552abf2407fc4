"""A layout for a job: the fastest of the usual ones that fits the memory, and why.

Candidates are what an expert would try: tensor parallelism inside one link domain, pipelines that divide the layers,
full sharding (ZeRO-3) or sharded optimizer state (ZeRO-1) over what is left, experts over ranks, micro-batches of 1 to
16, activations kept or recomputed. They are tried from the fastest on until one fits, so most are never sized. What
the user fixes is not varied. Ties go to the simpler layout: less tensor, then less pipeline parallelism, then the
lesser sharding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..errors import DoesNotFit, InputError
from ..units import show_bytes
from .efficiency import Task
from .layout import Layout, Recipe, Recompute, Workload, Zero
from .time import StepTime, check_divides, step_time

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..memory.training import TrainingMemory
    from ..models.shape import ModelShape

_T = TypeVar("_T")

SAFE_PROBABILITY = 0.1  # of running out of memory; a run that dies in its first hours costs more than a slower layout
LONG_SEQUENCE_TOKENS = 16_384  # beyond this, splitting the sequence is worth trying
LARGEST_TENSOR = 16
LONGEST_PIPELINE = 32
MICRO_BATCHES = (1, 2, 4, 8, 16)


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


@dataclass(frozen=True, slots=True)
class Rejected:
    """A faster layout that did not fit."""

    layout: Layout
    recompute: Recompute
    needs_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The layout chosen, what it needs and takes, and the faster ones that lost."""

    layout: Layout
    recipe: Recipe
    memory: TrainingMemory
    time: StepTime
    tried: int  # layouts considered
    rejected: tuple[Rejected, ...]
    why: str


Timer = Callable[[Layout, Recipe], StepTime]


def choose_layout(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    accelerators: int,
    recipe: Recipe,
    workload: Workload,
    wanted: Wanted | None = None,
    task: Task | None = None,
    timer: Timer | None = None,
) -> Choice:
    """Return the fastest layout on `accelerators` chips that fits.

    `timer` replaces `step_time` (for a given MFU).

    Raises:
        InputError: what the user fixed cannot be cut that way.
        DoesNotFit: no candidate fits; says what the best one lacks.
    """
    from ..memory.training import training_memory

    wanted = wanted or Wanted()
    _check_wanted(shape, accelerators, wanted, workload)

    def timed(layout: Layout, recipe: Recipe) -> StepTime:
        return step_time(shape, accelerator=accelerator, layout=layout, recipe=recipe, workload=workload, task=task)

    measure = timer or timed
    found: list[tuple[float, tuple[int, ...], Layout, Recipe, StepTime]] = []
    for layout, recompute in candidates(shape, accelerator, accelerators, workload, wanted):
        with_recompute = replace(recipe, recompute=recompute)
        time = measure(layout, with_recompute)
        order = (layout.tp, layout.pp, layout.cp, int(layout.zero), layout.ep, layout.micro_batch)
        found.append((time.step_time_s.mid, order, layout, with_recompute, time))
    if not found:
        raise InputError(_no_candidate(accelerators, workload, wanted))
    found.sort(key=lambda item: item[:2])
    rejected: list[Rejected] = []
    nearest: tuple[float, TrainingMemory] | None = None
    for _, _, layout, with_recompute, time in found:
        memory = training_memory(
            shape, layout=layout, recipe=with_recompute, workload=workload, accelerator=accelerator
        )
        risk = memory.probability_of_running_out
        if risk <= SAFE_PROBABILITY:
            why = _why(len(found), layout, rejected, memory)
            return Choice(
                layout=layout,
                recipe=with_recompute,
                memory=memory,
                time=time,
                tried=len(found),
                rejected=tuple(rejected),
                why=why,
            )
        rejected.append(Rejected(layout, with_recompute.recompute, memory.peak.mid))
        if nearest is None or memory.peak.mid < nearest[0]:
            nearest = (memory.peak.mid, memory)
    assert nearest is not None  # one candidate at least was sized
    needs, memory = nearest
    raise DoesNotFit(
        f"{shape.name} does not fit on {accelerators} x {accelerator.name}: the leanest of {len(found)} layouts needs "
        f"{show_bytes(needs)} per accelerator ({memory.probability_of_running_out:.0%} chance of running out) and "
        f"{show_bytes(memory.usable_bytes)} are usable."
    )


def candidates(
    shape: ModelShape, accelerator: Accelerator, accelerators: int, workload: Workload, wanted: Wanted
) -> Iterator[tuple[Layout, Recompute]]:
    """Yield the layouts worth timing; every one divides the accelerators, the layers, the heads and the batch."""
    domain = min(accelerator.link_domain or accelerator.accelerators_per_node or 1, LARGEST_TENSOR)
    heads = _heads(shape)
    tensor = _free(wanted.tp, [t for t in _powers(domain) if heads % t == 0])
    pipe = _free(wanted.pp, [p for p in _powers(min(accelerators, LONGEST_PIPELINE)) if shape.layers % p == 0])
    context = _free(wanted.cp, _powers(8) if workload.sequence_tokens > LONG_SEQUENCE_TOKENS else [1])
    experts = max((layer.mixture.experts for s in shape.stacks for _, layer in s.runs if layer.mixture), default=1)
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
        for recompute in _free(wanted.recompute, [Recompute.NONE, Recompute.FULL]):
            yield replace(layout, micro_batch=micro_batch, interleave=interleave), recompute


def _shardings(dp: int, cp: int, pp: int) -> list[Zero]:
    if dp * cp == 1:
        return [Zero.NONE]
    return [Zero.OPTIMIZER] if pp > 1 else [Zero.OPTIMIZER, Zero.PARAMETERS]


def _interleave(layers: int, pp: int, batches: int) -> int:
    """Return the virtual stages that Megatron's interleaved schedule allows, at most 4 (arXiv:2104.04473)."""
    if pp == 1 or batches % pp:
        return 1
    return max(v for v in (1, 2, 3, 4) if layers % (pp * v) == 0)


def _heads(shape: ModelShape) -> int:
    """Return the greatest common divisor of the heads of all layers (0 without attention: any number divides it)."""
    from math import gcd

    common = 0
    for stack in shape.stacks:
        for _, layer in stack.runs:
            if layer.attention:
                common = gcd(common, layer.attention.heads)
    return common


def _powers(most: int) -> list[int]:
    return [2**i for i in range(most.bit_length()) if 2**i <= most]


def _free(fixed: _T | None, choices: list[_T]) -> list[_T]:
    return choices if fixed is None else [fixed]


def _check_wanted(shape: ModelShape, accelerators: int, wanted: Wanted, workload: Workload) -> None:
    """Refuse what cannot be cut that way, naming the flag and what would work."""
    tp, pp, cp = wanted.tp or 1, wanted.pp or 1, wanted.cp or 1
    heads = _heads(shape)
    if wanted.tp and heads % wanted.tp:
        raise InputError(f"--tp {tp}: {shape.name} has {heads} attention heads, which {tp} does not divide.")
    if wanted.pp and pp * (wanted.interleave or 1) > shape.layers:
        raise InputError(f"--pp {pp}: {shape.name} has {shape.layers} layers, fewer than the stages asked for.")
    if wanted.pp and shape.layers % (pp * (wanted.interleave or 1)):
        raise InputError(f"--pp {pp}: {shape.name} has {shape.layers} layers, which {pp} stages do not divide.")
    if accelerators % (tp * pp * cp):
        raise InputError(
            f"--tp {tp} x --pp {pp} x --cp {cp} = {tp * pp * cp} does not divide {accelerators} accelerators."
        )
    if wanted.ep and wanted.ep > 1:
        experts = [layer.mixture.experts for s in shape.stacks for _, layer in s.runs if layer.mixture]
        if not experts:
            raise InputError(f"--ep {wanted.ep}: {shape.name} has no experts; leave it out.")
        if experts[0] % wanted.ep:
            raise InputError(f"--ep {wanted.ep}: {shape.name} has {experts[0]} experts, which it does not divide.")
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


def _why(tried: int, layout: Layout, rejected: list[Rejected], memory: TrainingMemory) -> str:
    kind = {
        Zero.NONE: "one copy of the model",
        Zero.OPTIMIZER: "optimizer state sharded (ZeRO-1)",
        Zero.GRADIENTS: "optimizer state and gradients sharded (ZeRO-2)",
        Zero.PARAMETERS: "everything sharded (ZeRO-3, FSDP)",
    }[layout.zero]
    if tried == 1:
        return f"as you asked; {kind}"
    if not rejected:
        return f"the fastest of {tried} layouts and the simplest of the equally fast; {kind}"
    first = rejected[0]
    return (
        f"the fastest of {tried} layouts that fits; {kind}; the fastest of all needs "
        f"{show_bytes(first.needs_bytes)} of {show_bytes(memory.usable_bytes)}"
    )
