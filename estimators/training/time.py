"""The time of one optimizer step, with its range, its reasons and what it says about MFU.

`step_time` is the seam behind which the operator-level model of `estimators/stepmodel` stands: callers only see
`StepTime`. `step_time_at_mfu` is for users who know their MFU.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import InputError
from ..frozen import dataclass
from ..models.parameters import ParameterCount, count_parameters
from ..quantity import Given, Quantity, Step, exact, inverse
from .efficiency import MFU_CONVENTION, Task, reference_peak
from .flops import StepFlops, step_flops
from .layout import Adapter, Layout, Recipe, Recompute, Workload

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..facts.software import SoftwareFit, TimeBand
    from ..models.shape import ModelShape
    from ..stepmodel.estimate import StepEstimate


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
    fit: SoftwareFit | None = None,
) -> StepTime:
    """Return the time of one step (s, 80 % band) from the configuration alone.

    `task` defaults to pre-training, or to LoRA or QLoRA where the recipe has an adapter. `fit` replaces the shipped
    software factors (validation passes those of a fold).

    Raises:
        InputError: the batch does not divide over the replicas, or the accelerator lacks the precision.
    """
    from ..facts.software import load_software
    from ..stepmodel.estimate import estimate_step

    check_divides(layout, workload)
    check_precision(accelerator, recipe)
    fit = fit or load_software()
    found = estimate_step(
        shape, accelerator=accelerator, layout=layout, recipe=recipe, workload=workload, values=fit.values
    )
    band = band_of(fit, recipe, task or task_of(recipe), is_measured=found.chip.is_measured)
    if found.chip.measured_spread is not None:
        band = calibrated_band(band, found.chip.surface_error, found.chip.measured_spread)
    if found.chip.link_spread is not None:
        share = link_share(found)
        band = calibrated_band(band, share * found.chip.link_error, share * found.chip.link_spread, "links")
    basis = f"{band.basis}; {band.rows:,} runs"
    mid = found.seconds
    time = Quantity(mid * band.low, mid, mid * band.high, "s", "80 %", basis)
    parts = tuple(TimePart(*part) for part in found.parts)
    peak, peak_format = reference_peak(accelerator)
    return _result(flops_of(shape, recipe, workload), layout, workload, time, peak, peak_format, parts, found)


def band_of(fit: SoftwareFit, recipe: Recipe, task: Task, *, is_measured: bool) -> TimeBand:
    """Return the band of runs of this kind: fine-tunes scatter more, and so does software that is not decided."""
    if task is not Task.PRETRAIN:
        return fit.bands["fine-tune"]
    if not is_measured:
        return fit.bands["new family"]
    return fit.bands["undecided software" if recipe.framework is None else "measured family"]


_EIGHTY = 1.28  # standard deviations on either side of 80 %


def link_share(found: StepEstimate) -> float:
    """Return the share of the step that collectives inside a domain take; where nodes mix, only what surely is inside."""
    from ..stepmodel.measured_links import COMMUNICATION

    inside = found.job.accelerators <= found.chip.domain
    named = COMMUNICATION if inside else COMMUNICATION[-1:] if found.job.tp <= found.chip.domain else ()
    return math.fsum(seconds for name, seconds, _ in found.parts if name in named) / found.seconds


def calibrated_band(band: TimeBand, surface_error: float, measured_spread: float, what: str = "products") -> TimeBand:
    """Return the band with the error of the fitted products (or links) replaced by that of the measured ones.

    Both are taken as independent of what else makes runs differ, so variances of logarithms subtract and add; a median
    error is 0.674 standard deviations, 80 % are 1.28 on either side. At least half of the width stays.
    """
    from ..frozen import replace

    gone, come = surface_error / 0.674 * _EIGHTY, measured_spread * _EIGHTY

    def narrowed(edge: float) -> float:
        width = math.log(edge)
        square = max(width**2 - gone**2 + come**2, (0.5 * width) ** 2)
        return math.exp(math.copysign(min(math.sqrt(square), abs(width)), width))

    basis = f"{band.basis}, with the {what} of the chip measured"
    return replace(band, low=narrowed(band.low), high=narrowed(band.high), basis=basis)


def check_precision(accelerator: Accelerator, recipe: Recipe) -> None:
    """Check that the accelerator has products in the recipe's format.

    Raises:
        InputError: it has not; names the formats that it has.
    """
    name = recipe.precision.value
    rates = accelerator.peak_flops_per_s
    if name in ("bf16", "fp16", "fp32", "tf32") or rates.get(name):
        return
    if name == "fp8" and accelerator.vendor == "Google" and rates.get("int8"):
        return  # quantised training on TPUs without fp8 runs in int8
    known = ", ".join(rates)
    raise InputError(f"{accelerator.name} has no {name} rate in the catalog; it has {known}.")


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
        raise InputError(f"--mfu: {mfu:.3g} {said}; an efficient run reaches 0.3 to 0.6 in bf16.")
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


_LIMITS = {
    "matrix products": "compute",
    "experts' products": "compute",
    "attention": "compute",
    "recomputation": "compute",
    "conversion to low precision": "compute",
    "model FLOPs at peak": "compute",
    "everything else": "compute",
    "elementwise, norms, loss": "memory traffic",
    "score matrices": "memory traffic",
    "routing": "memory traffic",
    "optimizer": "memory traffic",
    "launch of kernels": "launch of kernels",
    "fixed time of a step": "launch of kernels",
    "pipeline bubble": "pipeline bubble",
}


def _binding(parts: tuple[TimePart, ...]) -> str:
    """Return what takes most of the step: compute, memory traffic, launch of kernels, pipeline bubble or network."""
    sums: dict[str, float] = {}
    for part in parts:
        limit = _LIMITS.get(part.name, "network")
        sums[limit] = sums.get(limit, 0.0) + part.seconds
    return max(sums, key=lambda name: sums[name])


def _result(
    flops: StepFlops,
    layout: Layout,
    workload: Workload,
    time: Quantity,
    peak: float,
    peak_format: str,
    parts: tuple[TimePart, ...],
    known: StepEstimate | None,
) -> StepTime:
    n = layout.accelerators
    u = inverse(time, "fraction", flops.model.causal / (n * peak))
    tokens = inverse(time, "tokens_per_s", workload.tokens_per_step)
    lost = max(parts[1:], key=lambda part: part.seconds, default=parts[0])
    source = "data/efficiency/software.yaml" if known else "--mfu"
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
            "step_time_s",
            " + ".join(part.name for part in parts),
            tuple(Given(part.name, part.seconds, "s", part.why) for part in parts),
            time.mid,
            "s",
            f"operator list at the surfaces of data/efficiency, {source}" if known else source,
            f"most lost to {lost.name}",
        ),
        Step(
            "mfu",
            "F / (n P T)",
            (
                Given("F", flops.model.causal, "flops", "model FLOPs of the step"),
                Given("n", n, "count", "accelerators"),
                Given("P", peak, "flops_per_s", f"catalog, dense {peak_format}"),
                Given("T", time.mid, "s", "step time"),
            ),
            u.mid,
            "fraction",
            f"definition of MFU (PaLM, arXiv:2204.02311, appendix B); {MFU_CONVENTION}",
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
        binding=_binding(parts),
        measured_chip=known.chip.is_measured if known else True,
        steps=steps,
    )
