"""From shape, chip, layout, recipe and workload to a job of the time model, and to the seconds of its step.

This is where conventions of frameworks become numbers: which format the layers' products use, in how many bytes
gradients travel, what an adapter trains, whether a ring balances the causal mask.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..facts.surfaces import load_surfaces
from ..frozen import dataclass
from ..models.expansion import expand
from ..training.layout import Framework, Layout, Offload, Precision, Recipe, Scaling, Workload, Zero
from .chip import Chip, make_chip
from .software import Stack, factors_of, stack_of
from .step import Factors, Job, Parts, combine, parts_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..facts.records import Accelerator
    from ..models.operators import Operator
    from ..models.shape import ModelShape

# Gradients travel in 16 bits where the stack keeps them so; Megatron-Core and FSDP reduce in fp32.
_HALF_GRADIENTS = ("megatron-old", "hf", "internevo", "jax-gpu", "jax-gpu-2023", "jax-tpu", "neuron", "torchtune")
_INT4_GROUP_BITS = 4.25  # GPTQ, whose PyTorch kernels expand weights operator by operator
_EXPAND_BYTES_FUSED, _EXPAND_BYTES_UNFUSED = 5.0, 30.0  # traffic of expanding one quantised weight


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEstimate:
    """Seconds of one optimizer step and what they are made of; the parts add up to `seconds`."""

    seconds: float
    parts: tuple[tuple[str, float, str], ...]  # name, seconds, why
    stack: Stack
    chip: Chip
    job: Job


_CHIPS: dict[tuple[object, ...], Chip] = {}


def chip_of(accelerator: Accelerator) -> Chip:
    """Return the accelerator as the time model sees it (kept: it only depends on the sheet)."""
    key = (
        accelerator.id,
        accelerator.power_w,
        accelerator.memory_bandwidth_bytes_per_s,
        accelerator.link_bytes_per_s,
        accelerator.link_domain,
        accelerator.network_bytes_per_s_per_node,
        accelerator.accelerators_per_node,
        accelerator.compute_units,
        tuple(sorted(accelerator.peak_flops_per_s.items())),
        accelerator.measured,
    )
    if key not in _CHIPS:
        _CHIPS[key] = make_chip(accelerator, load_surfaces())
    return _CHIPS[key]


@lru_cache(maxsize=256)
def operators_of(shape: ModelShape, sequence_tokens: int, sequences: float) -> tuple[Operator, ...]:
    """Return the operators of one micro-batch (kept, for a search asks again and again)."""
    return expand(shape, sequence_tokens=sequence_tokens, sequences=sequences)


def low_format(recipe: Recipe, chip: Chip) -> str:
    """Return the format of the layers' products, "" for 16 bit (also where the chip has no such products)."""
    if recipe.precision is Precision.FP4:
        wanted: tuple[str, ...] = ("fp4", "fp8-block", "fp8")
    elif recipe.precision is Precision.FP8:
        wanted = ("fp8-block", "fp8") if recipe.scaling is Scaling.BLOCK else ("fp8", "fp8-block")
    else:
        return ""
    return next((name for name in wanted if name in chip.matrices), "")


@lru_cache(maxsize=64)
def _adapted_share(shape: ModelShape, rank: int, targets: tuple[str, ...], trains_embeddings: bool) -> float:
    from ..models.parameters import adapter_parameters, count_parameters

    total = count_parameters(shape).total
    trained = float(adapter_parameters(shape, rank, targets))
    if trains_embeddings:
        trained += 2.0 * shape.vocab * shape.hidden
    return min(0.5, trained / total)


def job_of(
    shape: ModelShape, *, accelerator: Accelerator, layout: Layout, recipe: Recipe, workload: Workload
) -> tuple[Job, Stack]:
    """Return the job and the stack it runs on."""
    chip = chip_of(accelerator)
    low = low_format(recipe, chip)
    stack = stack_of(recipe, accelerator, chip, low=low, is_mixture=shape.is_mixture)
    adapter = recipe.adapter
    bits = adapter.base_bits if adapter else 16.0
    half = stack.software in _HALF_GRADIENTS or not recipe.fp32_gradients or not recipe.fp32_weights
    job = Job(
        shape=shape,
        chip=chip,
        accelerators=layout.accelerators,
        sequence_tokens=workload.sequence_tokens,
        micro_batch=layout.micro_batch,
        micro_batches=max(1, workload.global_batch // (layout.dp * layout.micro_batch)),
        tp=layout.tp,
        pp=layout.pp,
        cp=layout.cp,
        ep=layout.ep,
        interleave=layout.interleave,
        zero=layout.zero,
        zero_ranks=layout.zero_ranks,
        sequence_parallel=layout.sequence_parallel,
        recompute=recipe.recompute,
        flash=recipe.flash_attention,
        low=low,
        optimizer=recipe.optimizer,
        gradient_bytes=2.0 if half else 4.0,
        trained_share=(
            _adapted_share(shape, adapter.rank, adapter.targets, adapter.trains_embeddings) if adapter else 1.0
        ),
        frozen_bytes=bits / 8,
        expand_bytes=_EXPAND_BYTES_UNFUSED if bits == _INT4_GROUP_BITS else _EXPAND_BYTES_FUSED,
        adapter_rank=adapter.rank if adapter else 0,
        offload=Offload.OPTIMIZER in recipe.offload,
        adapter_targets=adapter.targets if adapter else (),
        hooked=recipe.framework is Framework.HF_DEEPSPEED and layout.zero is Zero.PARAMETERS,
        ring_unbalanced=stack.software.startswith("fsdp"),
    )
    return job, stack


def estimate_step(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    layout: Layout,
    recipe: Recipe,
    workload: Workload,
    values: Mapping[str, float],
) -> StepEstimate:
    """Return the seconds of one step under fitted factors `values`, with its parts."""
    job, stack = job_of(shape, accelerator=accelerator, layout=layout, recipe=recipe, workload=workload)
    parts = parts_from(job, operators_of(shape, job.sequence_tokens, job.micro_batch))
    factors = factors_of(stack, values)
    return StepEstimate(
        seconds=float(combine(parts, factors)[0]), parts=explain(parts, factors), stack=stack, chip=job.chip, job=job
    )


def explain(parts: Parts, factors: Factors) -> tuple[tuple[str, float, str], ...]:
    """Return (name, seconds, why) of what makes up the step, largest causes apart; they add up to the step.

    Causes that overlap are charged one after the other: a cause is what the step would lose without it.
    """
    from .breakdown import breakdown

    return breakdown(parts, factors)
