"""What holds a job: the leanest layout on a number of accelerators, and for every accelerator the fewest that hold it.

Leanest means least memory, not least time: layers are recomputed whole, everything is sharded over all ranks, one
sequence at a time. If that does not fit, nothing simple does. A layout for speed is `training/choose.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import InputError
from ..facts.records import Accelerator
from ..frozen import dataclass, replace
from ..models.shape import ModelShape
from ..training.checks import attention_heads, check_layout, expert_count
from ..training.layout import Layout, Precision, Recipe, Recompute, Workload, Zero
from .training import TrainingMemory, training_memory

SAFE_PROBABILITY = 0.1  # of running out, as in training/choose.py
LARGEST_TENSOR = 8
MOST_ACCELERATORS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A layout with the memory it takes."""

    accelerator: Accelerator
    layout: Layout
    recipe: Recipe
    memory: TrainingMemory

    @property
    def is_safe(self) -> bool:
        """Whether it is unlikely to run out."""
        return self.memory.probability_of_running_out <= SAFE_PROBABILITY


def leanest(
    shape: ModelShape,
    accelerator: Accelerator,
    accelerators: int,
    recipe: Recipe,
    workload: Workload,
    *,
    fixed: Layout | None = None,
) -> Fitting:
    """Return the layout with the least memory on `accelerators` chips; degrees other than 1 in `fixed` are kept.

    Raises:
        InputError: `fixed` cannot be cut that way.
    """
    if fixed:
        check_layout(shape, fixed)
    best: Fitting | None = None
    full = recipe if recipe.recompute is not Recompute.NONE else replace(recipe, recompute=Recompute.FULL)
    for layout in _layouts(shape, accelerator, accelerators, fixed):
        memory = training_memory(shape, layout=layout, recipe=full, workload=workload, accelerator=accelerator)
        if best is None or memory.needed_bytes < best.memory.needed_bytes:
            best = Fitting(accelerator=accelerator, layout=layout, recipe=full, memory=memory)
    if best is None:
        raise InputError(f"{accelerators} accelerators cannot be cut as asked.")
    return best


def _layouts(shape: ModelShape, accelerator: Accelerator, count: int, fixed: Layout | None) -> Iterator[Layout]:
    """Tensor parallelism inside a link domain, full sharding over the rest, experts over as many ranks as divide."""
    domain = min(accelerator.link_domain or accelerator.accelerators_per_node or 1, LARGEST_TENSOR)
    heads, experts = attention_heads(shape), expert_count(shape)
    pp, cp = (fixed.pp, fixed.cp) if fixed else (1, 1)
    degrees = [fixed.tp] if fixed and fixed.tp > 1 else [2**power for power in range(domain.bit_length())]
    for tp in degrees:
        if tp > count or (heads and heads % tp) or count % (tp * pp * cp):
            continue
        replicas = count // (tp * pp * cp) * cp
        ep = fixed.ep if fixed else 1
        if experts and ep == 1:
            ep = max(degree for degree in range(1, replicas + 1) if replicas % degree == 0 and experts % degree == 0)
        zero = Zero.PARAMETERS if replicas > 1 else Zero.NONE
        if fixed and fixed.zero is not Zero.NONE:
            zero = fixed.zero
        yield Layout(
            accelerators=count,
            tp=tp,
            pp=pp,
            cp=cp,
            ep=ep,
            zero=zero,
            sequence_parallel=tp > 1,
            micro_batch=fixed.micro_batch if fixed else 1,
            interleave=fixed.interleave if fixed else 1,
        )


def holders(
    shape: ModelShape, accelerators: Iterable[Accelerator], recipe: Recipe, workload: Workload
) -> tuple[Fitting, ...]:
    """Return for every accelerator the fewest (a power of two) that hold the job safely, least memory in all first.

    Chips that cannot compute in the recipe's format, or of which 1,024 are too few, are left out.
    """
    found = []
    for accelerator in accelerators:
        if not can_train(accelerator, recipe):
            continue
        fewest = _fewest(shape, accelerator, recipe, workload)
        if fewest:
            found.append(fewest)
    found.sort(key=lambda each: (each.layout.accelerators * each.accelerator.usable_memory_bytes, each.accelerator.id))
    return tuple(found)


def can_train(accelerator: Accelerator, recipe: Recipe) -> bool:
    """Whether a chip computes in the recipe's format and is more than a note in the catalog."""
    rates = accelerator.peak_flops_per_s
    wanted = {Precision.FP32: ("fp32",), Precision.TF32: ("tf32",), Precision.FP16: ("fp16",)}
    formats = wanted.get(recipe.precision, (str(recipe.precision),))
    return "note only" not in accelerator.name and any(rates.get(name) for name in formats)


def _fewest(shape: ModelShape, accelerator: Accelerator, recipe: Recipe, workload: Workload) -> Fitting | None:
    count = 1
    while count <= MOST_ACCELERATORS:
        batch = replace(workload, global_batch=max(workload.global_batch, count))
        fitting = leanest(shape, accelerator, count, recipe, batch)
        if fitting.is_safe:
            return fitting
        # full sharding at best halves the need when the count doubles: skip counts that cannot be enough
        short = fitting.memory.needed_bytes / accelerator.usable_memory_bytes
        count *= 2
        while short > 4 and count < MOST_ACCELERATORS:
            count, short = count * 2, short / 2
    return None
