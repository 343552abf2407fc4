"""The time of one optimizer step: model FLOPs over what the accelerators really do, and never less than the network.

    T = max( F / (n P u),  bytes on the network of one accelerator / its network rate )

F model FLOPs of the step, n accelerators, P the reference peak and u the MFU, both from `efficiency.py`. The second
term is a lower bound with perfect overlap: it says when a layout cannot be fed, and is silent otherwise. `step_time`
is the seam behind which an operator-level model can stand: callers only see `StepTime`.

Bytes per step (2 per number), P_local being the parameters of one tensor and pipeline rank: without ZeRO-3 gradients
are reduced and parameters gathered once, 2 x 2 P_local; with ZeRO-3 every micro-batch gathers parameters twice and
reduces gradients once, 3 x 2 P_local (arXiv:1910.02054, section 7.2); adapters reduce next to nothing. Inside a link
domain they pass every accelerator's link; between domains they enter each domain once, through the network ports of
the ranks that share them. Domains of a pod's size hold a whole copy each, so that only gradients cross. Experts add
their tokens, 8 b s h per domain reached (dispatch and combine, forward and backward).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import InputError
from ..models.operators import Group
from ..models.parameters import ParameterCount, count_parameters
from ..quantity import Given, Quantity, Step, exact, inverse
from .efficiency import MFU_CONVENTION, Efficiency, Task, efficiency, reference_peak
from .flops import StepFlops, step_flops
from .layout import Adapter, Layout, Recipe, Recompute, Workload, Zero

if TYPE_CHECKING:
    from ..facts.efficiency import MfuFit
    from ..facts.records import Accelerator
    from ..models.shape import ModelShape

POD = 64  # domains of this size and more hold a copy of the model each
_BYTES = 2  # of a number on the network: weights, gradients and activations travel in 16 bits


@dataclass(frozen=True, slots=True)
class TimePart:
    """One share of the step; the shares add up to its middle."""

    name: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One optimizer step. `mfu` and `hfu` refer to `peak_flops_per_s` with causal attention counted half."""

    step_time_s: Quantity
    tokens_per_s: Quantity  # of all accelerators
    tokens_per_s_per_accelerator: Quantity
    mfu: Quantity
    hfu: Quantity
    flops: StepFlops
    peak_flops_per_s: float
    peak_format: str
    parts: tuple[TimePart, ...]
    binding: str  # "compute", "network", "pipeline bubble", "launch of small kernels", ...
    measured_chip: bool
    steps: tuple[Step, ...]


def step_time(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    layout: Layout,
    recipe: Recipe,
    workload: Workload,
    task: Task | None = None,
    fit: MfuFit | None = None,
) -> StepTime:
    """Return the time of one step (s, 80 % band) from the configuration alone.

    `task` defaults to pre-training, or to LoRA or QLoRA where the recipe has an adapter. `fit` replaces the shipped
    efficiency coefficients (validation passes those of a fold).

    Raises:
        InputError: the batch does not divide over the replicas, or the accelerator lacks the precision.
    """
    check_divides(layout, workload)
    flops = flops_of(shape, recipe, workload)
    known = _efficiency(shape, flops, accelerator, layout, recipe, workload, task, fit)
    compute = inverse(known.mfu, "s", flops.model.causal / (layout.accelerators * known.peak_flops_per_s))
    network_s = network_floor_s(shape, accelerator, layout, recipe, workload)
    mid = max(compute.mid, network_s)
    taken = Quantity(
        max(compute.low, network_s),
        mid,
        mid * compute.high / compute.mid,
        "s",
        compute.band,
        compute.basis,
    )
    own_peak = max(accelerator.peak_flops_per_s.get(recipe.precision.value) or 0.0, known.peak_flops_per_s)
    parts = _parts(known, flops, layout, own_peak, taken.mid, network_s)
    return _result(flops, layout, workload, taken, known.peak_flops_per_s, known.peak_format, parts, known)


def step_seconds(
    shape: ModelShape,
    *,
    accelerator: Accelerator,
    layout: Layout,
    recipe: Recipe,
    workload: Workload,
    task: Task | None = None,
) -> float:
    """Return the middle of `step_time` (s) alone, for searches; the batch is taken to divide."""
    flops = flops_of(shape, recipe, workload)
    known = _efficiency(shape, flops, accelerator, layout, recipe, workload, task, None)
    compute_s = flops.model.causal / (layout.accelerators * known.peak_flops_per_s * known.mfu.mid)
    return max(compute_s, network_floor_s(shape, accelerator, layout, recipe, workload))


def _efficiency(
    shape: ModelShape,
    flops: StepFlops,
    accelerator: Accelerator,
    layout: Layout,
    recipe: Recipe,
    workload: Workload,
    task: Task | None,
    fit: MfuFit | None,
) -> Efficiency:
    return efficiency(
        accelerator,
        precision=recipe.precision,
        active_params=active_params(shape),
        accelerators=layout.accelerators,
        task=task or task_of(recipe),
        recompute=recipe.recompute,
        mixture=shape.is_mixture,
        tensor_s=tensor_time_s(shape, accelerator, layout, workload),
        layer_flops=layer_flops(shape, flops, layout, workload),
        bubble=bubble(flops, layout, workload),
        fit=fit,
    )


def step_time_at_mfu(
    shape: ModelShape, *, mfu: float, accelerator: Accelerator, layout: Layout, recipe: Recipe, workload: Workload
) -> StepTime:
    """Return the time of one step at an MFU that the user gives; nothing is estimated.

    Raises:
        InputError: the MFU is 0, or so high that the hardware would run above its peak.
    """
    check_divides(layout, workload)
    flops = flops_of(shape, recipe, workload)
    peak, peak_format = reference_peak(accelerator)
    own = max(accelerator.peak_flops_per_s.get(recipe.precision.value) or 0.0, peak)
    hfu = mfu * flops.hardware.causal / flops.model.causal * peak / own
    if not 0 < hfu <= 1:
        said = "must be more than 0" if mfu <= 0 else f"would need {hfu:.0%} of the {recipe.precision} peak"
        raise InputError(f"an MFU of {mfu:.3g} {said}; an efficient run reaches 0.3 to 0.6 in bf16.")
    time = exact(flops.model.causal / (layout.accelerators * peak * mfu), "s", "at the MFU that was given")
    ideal = flops.model.causal / (layout.accelerators * own)
    parts = (
        TimePart("model FLOPs at peak", ideal, f"{accelerator.name}, dense {recipe.precision}"),
        TimePart("everything else", time.mid - ideal, "the MFU that was given"),
    )
    return _result(flops, layout, workload, time, peak, peak_format, parts, None)


def task_of(recipe: Recipe) -> Task:
    """Return pre-training, or the kind of adapter training that the recipe describes."""
    if recipe.adapter is None:
        return Task.PRETRAIN
    return Task.QLORA if recipe.adapter.base_bits < 16 else Task.LORA


def active_params(shape: ModelShape) -> float:
    """Return the parameters that the matrix products of one token use: 2 FLOPs each forward, attention aside."""
    return float(_counted(shape).active_matmul)


@lru_cache(maxsize=8)
def _counted(shape: ModelShape) -> ParameterCount:
    return count_parameters(shape)


def flops_of(shape: ModelShape, recipe: Recipe, workload: Workload) -> StepFlops:
    """Return the FLOPs of one optimizer step."""
    return _flops(shape, recipe.recompute, recipe.adapter, workload)


@lru_cache(maxsize=32)
def _flops(shape: ModelShape, recompute: Recompute, adapter: Adapter | None, workload: Workload) -> StepFlops:
    return step_flops(
        shape,
        sequence_tokens=workload.sequence_tokens,
        sequences=workload.global_batch,
        recompute=recompute,
        adapter=adapter,
    )


def micro_batches(layout: Layout, workload: Workload) -> int:
    """Return the micro-batches of one replica per step."""
    return max(1, workload.global_batch // (layout.dp * layout.micro_batch))


def check_divides(layout: Layout, workload: Workload) -> None:
    """Check that the accelerators and the batch divide as the layout says.

    Raises:
        InputError: they do not; names the nearest batch that does.
    """
    ranks = layout.tp * layout.pp * layout.cp
    if layout.accelerators % ranks:
        raise InputError(
            f"{layout.accelerators} accelerators cannot be cut into tp {layout.tp} x pp {layout.pp} x cp {layout.cp}; "
            f"take a multiple of {ranks}."
        )
    unit = layout.dp * layout.micro_batch
    if workload.global_batch % unit:
        below = workload.global_batch // unit * unit
        near = f"{below:,} or {below + unit:,}" if below else f"{unit:,}"
        raise InputError(
            f"a global batch of {workload.global_batch:,} sequences does not divide over {layout.dp} replicas x "
            f"micro-batch {layout.micro_batch}; take {near}."
        )


def bubble(flops: StepFlops, layout: Layout, workload: Workload) -> float:
    """Return the idle over the busy time of a mean pipeline stage.

    Filling and draining idle (p - 1) / (m v) (arXiv:2104.04473, section 2.2); all wait for the last stage, which has
    the head on top of its layers: with a share x of the FLOPs in the head it is busy 1 + x (p - 1) times the mean.
    """
    if layout.pp == 1:
        return 0.0
    fill = (layout.pp - 1) / (micro_batches(layout, workload) * layout.interleave)
    head = math.fsum(part.forward.causal for part in flops.groups if part.group is Group.HEAD) / flops.forward.causal
    return (1 + fill) * (1 + head * (layout.pp - 1)) - 1


def layer_flops(shape: ModelShape, flops: StepFlops, layout: Layout, workload: Workload) -> float:
    """Return the model FLOPs of one layer for one micro-batch on one accelerator."""
    share = layout.micro_batch / workload.global_batch / (layout.tp * layout.cp)
    return flops.model.causal / max(shape.layers, 1) * share


def tensor_time_s(shape: ModelShape, accelerator: Accelerator, layout: Layout, workload: Workload) -> float:
    """Return the time (s) of one layer's tensor-parallel all-reduces for one micro-batch at the rate of the link.

    Four all-reduces of the hidden state, two passes each: 16 (t-1)/t b s h bytes (arXiv:1909.08053, section 3).
    """
    if layout.tp == 1:
        return 0.0
    rate = _link(accelerator) if layout.tp <= _domain(accelerator) else _port(accelerator)
    tokens = layout.micro_batch * workload.sequence_tokens / layout.cp
    return 8 * _BYTES * (layout.tp - 1) / layout.tp * tokens * shape.hidden / rate if rate else 0.0


def network_floor_s(
    shape: ModelShape, accelerator: Accelerator, layout: Layout, recipe: Recipe, workload: Workload
) -> float:
    """Return the least time (s) that one step's data needs on the links of one accelerator; see the module text.

    0 where nothing is exchanged or the catalog does not know the rate.
    """
    return _weights_s(shape, accelerator, layout, recipe, workload) + _experts_s(shape, accelerator, layout, workload)


def _weights_s(
    shape: ModelShape, accelerator: Accelerator, layout: Layout, recipe: Recipe, workload: Workload
) -> float:
    """Return the time of gathering parameters and reducing gradients."""
    ranks = layout.dp * layout.cp
    if ranks == 1:
        return 0.0
    local = _counted(shape).total / (layout.tp * layout.pp)
    if shape.is_mixture and layout.ep > 1:
        local /= layout.ep  # nearly all parameters of a mixture are experts
    batches = micro_batches(layout, workload)
    gathers = 2 * batches if layout.zero is Zero.PARAMETERS else 1
    reduces = 0 if recipe.adapter else batches if layout.zero is Zero.PARAMETERS else 1
    if recipe.adapter and layout.zero is not Zero.PARAMETERS:
        gathers = 0
    domain = _domain(accelerator)
    neighbours = max(1, min(ranks, domain // layout.tp))  # ranks of the group in one domain
    inside = _BYTES * local * (gathers + reduces) / _link(accelerator) if neighbours > 1 and _link(accelerator) else 0.0
    if ranks <= neighbours or not _port(accelerator):
        return inside
    hybrid = domain >= POD or (layout.zero_ranks or ranks) <= neighbours
    crossing = min(2, gathers + reduces) if hybrid else gathers + reduces
    return max(inside, _BYTES * local * crossing / (_port(accelerator) * neighbours))


def _experts_s(shape: ModelShape, accelerator: Accelerator, layout: Layout, workload: Workload) -> float:
    """Return the time of sending tokens to experts in other domains, each token once per domain it visits."""
    domain = _domain(accelerator)
    if layout.ep <= domain or not _port(accelerator):
        return 0.0
    visited = min(_active_experts(shape), layout.ep / domain) * (1 - domain / layout.ep)
    tokens = workload.tokens_per_step / (layout.dp * layout.cp * layout.tp)
    return 4 * _BYTES * tokens * shape.hidden * visited * shape.layers / layout.pp / _port(accelerator)


def _domain(accelerator: Accelerator) -> int:
    """Accelerators that reach each other over the fast link."""
    return max(accelerator.link_domain or 1, accelerator.accelerators_per_node or 1)  # cards meet on PCIe


def _link(accelerator: Accelerator) -> float:
    """One-way rate (bytes/s) of one accelerator inside its domain; 0 where unknown."""
    return accelerator.link_bytes_per_s or 0.0


def _port(accelerator: Accelerator) -> float:
    """One accelerator's share of the network of its node, one way (bytes/s); 0 where unknown."""
    return (accelerator.network_bytes_per_s_per_node or 0.0) / (accelerator.accelerators_per_node or 1)


def _active_experts(shape: ModelShape) -> float:
    """Experts that one token visits, as a mean over all layers."""
    visits = sum(count * layer.mixture.active for stack in shape.stacks for count, layer in stack.runs if layer.mixture)
    return visits / max(shape.layers, 1)


def _parts(
    known: Efficiency, flops: StepFlops, layout: Layout, own_peak: float, taken_s: float, network_s: float
) -> tuple[TimePart, ...]:
    """Split the step by undoing the factors one after the other, so that the parts add up by construction."""
    ideal = flops.model.causal / (layout.accelerators * own_peak)
    factors = {factor.name: factor.value for factor in known.factors}
    why = {factor.name: factor.why for factor in known.factors}
    compute_s = flops.model.causal / (layout.accelerators * known.peak_flops_per_s * known.mfu.mid)
    shown = (
        ("recompute", "recomputation", "activations computed twice"),
        ("pipeline bubble", "pipeline bubble", ""),
        ("launch floor", "launch of small kernels", ""),
        ("tensor parallel", "tensor-parallel all-reduces", ""),
    )
    last = math.prod(factors.get(factor, 1.0) for factor, _, _ in shown)
    reached = compute_s * last
    parts = [
        TimePart("model FLOPs at peak", ideal, "forward and backward, nothing lost"),
        TimePart("kernels and communication", reached - ideal, "what measured runs of such chips and sizes lose"),
    ]
    for factor, name, text in shown:
        if factor in factors:
            longer = reached / factors[factor]
            parts.append(TimePart(name, longer - reached, text or why[factor]))
            reached = longer
    if network_s > compute_s:
        parts.append(TimePart("waiting for the network", network_s - compute_s, "gradients and weights on the wire"))
    return (*parts[:-1], _closing(parts, taken_s))


def _closing(parts: list[TimePart], total_s: float) -> TimePart:
    """Return the last part with the rounding of the others taken up, so that the sum is the total."""
    last = parts[-1]
    return TimePart(last.name, total_s - math.fsum(part.seconds for part in parts[:-1]), last.why)


def _result(
    flops: StepFlops,
    layout: Layout,
    workload: Workload,
    time: Quantity,
    peak: float,
    peak_format: str,
    parts: tuple[TimePart, ...],
    known: Efficiency | None,
) -> StepTime:
    n = layout.accelerators
    u = inverse(time, "fraction", flops.model.causal / (n * peak))
    tokens = inverse(time, "tokens_per_s", workload.tokens_per_step)
    lost = max(parts[1:], key=lambda part: part.seconds)
    binding = {
        "waiting for the network": "network",
        "kernels and communication": "compute",
        "everything else": "compute",
    }
    source = "data/efficiency/mfu.yaml" if known else "--mfu"
    steps = (
        Step(
            "model_flops_per_step",
            "forward + backward matrix FLOPs, causal attention counted half",
            (
                Given("forward", flops.forward.causal, "flops", "operator list"),
                Given("backward", flops.backward.causal, "flops", "operator list"),
            ),
            flops.model.causal,
            "flops",
            "estimators/training/flops.py",
        ),
        Step(
            "mfu",
            "product of fitted factors" if known else "given",
            tuple(Given(factor.name, factor.value, "", factor.why) for factor in known.factors) if known else (),
            u.mid,
            "fraction",
            f"{source}; {MFU_CONVENTION}" if known else source,
            f"limited by {lost.name}" if known else "",
        ),
        Step(
            "step_time_s",
            "F / (n P u)" + (", at least the network's time" if known else ""),
            (
                Given("F", flops.model.causal, "flops", "model FLOPs of the step"),
                Given("n", n, "count", "accelerators"),
                Given("P", peak, "flops_per_s", f"catalog, dense {peak_format}"),
                Given("u", u.mid, "fraction", source),
            ),
            time.mid,
            "s",
            "definition of MFU (PaLM, arXiv:2204.02311, appendix B)",
            f"most lost to {lost.name}",
        ),
    )
    return StepTime(
        step_time_s=time,
        tokens_per_s=tokens,
        tokens_per_s_per_accelerator=tokens.scaled(1 / n),
        mfu=u,
        hfu=u.scaled(flops.hardware.causal / flops.model.causal),
        flops=flops,
        peak_flops_per_s=peak,
        peak_format=peak_format,
        parts=parts,
        binding=binding.get(lost.name, lost.name),
        measured_chip=known.measured_chip if known else True,
        steps=steps,
    )
