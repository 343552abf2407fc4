"""How much of its peak an accelerator reaches in training: MFU from measured runs, with its band.

MFU here is model FLOPs per second over the DENSE bf16 peak of the catalog (fp16 where a chip has no bf16), with the
attention of causal models counted half and recomputation not counted. fp8 and fp4 runs use the same bf16 peak, so
theirs may exceed 1. LoRA counts what LoRA needs: no weight gradient of the frozen base.

    ln MFU = b0 + chip + b_n ln(n/64) + b_N ln(N/1e10) + precision + task + mixture
             - b_r ln(1 + r) - ln(1 + bubble) - ln(1 + (t0 + c t_tp) P / F_layer)

n accelerators, N active parameters, P the peak, F_layer the model FLOPs of one layer for one micro-batch on one
accelerator: t0 is what launches and small kernels cost per layer, t_tp the time that tensor parallelism's all-reduces
of the layer take at the rate of the link, so little work per layer is slow on a fast chip. r is the share of model
FLOPs that recomputation repeats. `chip` adds a vendor, an
architecture and a chip offset, each shrunk to zero (a mixed model, Gelman and Hill 2007, chapter 12), so that an unseen
chip gets the mean of its relatives. Coefficients: `data/efficiency/mfu.yaml`, written by `benchmarks/fits/mfu.py` from
published measurements. `bubble` is the idle over the busy time of a pipeline (arXiv:2104.04473, section 2.2).

The band holds 80 % of measured runs predicted without their source; it is kept as shifts of ln(u / (c - u)), c being
0.9 of the rate of the precision, so that an efficient run is not promised more than a chip can do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from ..errors import InputError
from ..facts.efficiency import MfuFit, load_mfu_fit
from ..facts.records import Accelerator
from ..frozen import dataclass
from ..quantity import Quantity
from .layout import Precision, Recompute

MFU_CONVENTION = "model FLOPs, causal attention counted half, over the dense bf16 peak"
REPEATED = {  # share of the model FLOPs that runs twice; of attention's scores alone it is too little to see
    Recompute.FULL: (1 / 3, "one more forward pass"),
    Recompute.PRODUCTS: (1 / 6, "every second matrix product runs twice"),
}
_TYPICAL_TOKENS = 8192  # per micro-batch and accelerator, where the caller does not know the layer's work


class Task(StrEnum):
    """What kind of training it is; fine-tunes run with shorter, ragged batches."""

    PRETRAIN = "pretrain"
    FULL_FINETUNE = "full-finetune"
    LORA = "lora"
    QLORA = "qlora"


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the MFU and what it stands for."""

    name: str
    value: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """`mfu` with its band, the factors whose product is its middle, and the peak it refers to."""

    mfu: Quantity
    factors: tuple[Factor, ...]
    peak_flops_per_s: float
    peak_format: str
    measured_chip: bool  # whether measured runs of this very chip are in the fit


def reference_peak(accelerator: Accelerator) -> tuple[float, str]:
    """Return the dense rate (FLOP/s) that MFU refers to and its format: bf16, else fp16, else fp32.

    Raises:
        InputError: the accelerator has none of them.
    """
    for name in ("bf16", "fp16", "fp32"):
        peak = accelerator.peak_flops_per_s.get(name)
        if peak:
            return peak, name
    raise InputError(f"{accelerator.name} has no bf16, fp16 or fp32 rate in the catalog; training cannot be timed.")


def mfu(
    accelerator: Accelerator,
    *,
    precision: Precision = Precision.BF16,
    active_params: float,
    accelerators: int,
    task: Task = Task.PRETRAIN,
    recompute: Recompute = Recompute.NONE,
    mixture: bool = False,
    tensor_s: float = 0.0,
    layer_flops: float | None = None,
    bubble: float = 0.0,
    fit: MfuFit | None = None,
) -> Quantity:
    """Return the model FLOPs utilization (fraction of the dense bf16 peak, 80 % band) of `efficiency`."""
    return efficiency(
        accelerator,
        precision=precision,
        active_params=active_params,
        accelerators=accelerators,
        task=task,
        recompute=recompute,
        mixture=mixture,
        tensor_s=tensor_s,
        layer_flops=layer_flops,
        bubble=bubble,
        fit=fit,
    ).mfu


def efficiency(
    accelerator: Accelerator,
    *,
    precision: Precision = Precision.BF16,
    active_params: float,
    accelerators: int,
    task: Task = Task.PRETRAIN,
    recompute: Recompute = Recompute.NONE,
    mixture: bool = False,
    tensor_s: float = 0.0,
    layer_flops: float | None = None,
    bubble: float = 0.0,
    fit: MfuFit | None = None,
) -> Efficiency:
    """Return the fitted MFU with the factors that make it.

    `active_params` are those one token uses (all of them in a dense model); `layer_flops` the model FLOPs, forward and
    backward, of one layer for one micro-batch on one accelerator (None: a layer of a usual model of that size at 8,192
    tokens); `tensor_s` the time of one layer's
    tensor-parallel all-reduces for one micro-batch at the rate of the link; `bubble` the idle time of the pipeline over its busy time. `fit` replaces the shipped
    coefficients (validation passes those of a fold).

    Raises:
        InputError: the accelerator has no peak rate to refer to, or not the one `precision` needs.
    """
    fit = fit or load_mfu_fit()
    peak, peak_format = reference_peak(accelerator)
    b = fit.coefficients
    if layer_flops is None:
        layer_flops = 6 * active_params / typical_layers(active_params) * _TYPICAL_TOKENS

    logs = [("base", b["base"], "fitted mean at 64 accelerators and 10B active parameters")]
    chip = fit.chips.get(accelerator.id)
    relatives = fit.vendors.get(accelerator.vendor, 0.0) + fit.architectures.get(accelerator.architecture, 0.0)
    what = accelerator.name if chip is not None else f"no measured {accelerator.name}: {_relatives(accelerator, fit)}"
    logs.append(("chip", relatives + (chip or 0.0), what))
    logs.append(("scale", b["ln_accelerators"] * math.log(accelerators / 64), f"{accelerators} accelerators"))
    logs.append(("size", b["ln_active_params"] * math.log(active_params / 1e10), "active parameters"))
    logs.append(("precision", _precision_log(precision, accelerator, active_params, b), str(precision)))
    if task is not Task.PRETRAIN:
        logs.append(("task", b[task.value.replace("-", "_")], str(task)))
    if mixture:
        logs.append(("mixture of experts", b["mixture"], "routing and expert all-to-all"))
    if recompute in REPEATED:
        share, why = REPEATED[recompute]
        logs.append(("recompute", -b["recompute"] * math.log1p(share), why))
    if bubble > 0:
        logs.append(("pipeline bubble", -math.log1p(bubble), f"idle/busy {bubble:.3f}"))
    ideal_s = layer_flops / peak
    waits = {"launch floor": b["layer_floor_s"] / ideal_s, "tensor parallel": b["tensor_exposed"] * tensor_s / ideal_s}
    waiting = 0.0
    for name, share in waits.items():
        if share > 0:
            log = math.log1p(waiting) - math.log1p(waiting + share)
            logs.append((name, log, f"{ideal_s * 1e3:.3g} ms of ideal work per layer and micro-batch"))
            waiting += share

    ceiling = fit.ceiling * max(1.0, (accelerator.peak_flops_per_s.get(precision) or 0.0) / peak)
    mid = math.exp(math.fsum(log for _, log, _ in logs))
    if mid > 0.98 * ceiling:
        logs.append(("ceiling", math.log(0.98 * ceiling / mid), "no training step has been seen above it"))
        mid = 0.98 * ceiling
    band = fit.bands[_band_kind(task, chip is not None)]
    low, high = spread(mid, ceiling, band.low), spread(mid, ceiling, band.high)
    quantity = Quantity(low, mid, high, "fraction", "80 %", band.basis)
    factors = tuple(Factor(name, math.exp(log), why) for name, log, why in logs)
    return Efficiency(
        mfu=quantity,
        factors=factors,
        peak_flops_per_s=peak,
        peak_format=peak_format,
        measured_chip=chip is not None,
    )


def spread(mfu: float, ceiling: float, shift: float) -> float:
    """Return the MFU shifted on the scale ln(u / (ceiling - u)): a factor where it is small, never over the ceiling."""
    odds = mfu / (ceiling - mfu) * math.exp(shift)
    return ceiling * odds / (1 + odds)


def typical_layers(active_params: float) -> float:
    """Return the number of layers a modern dense model of this size has: 32 at 8e9, growing with the cube root."""
    return float(max(2.0, 32 * (active_params / 8e9) ** (1 / 3)))


def _precision_log(
    precision: Precision, accelerator: Accelerator, active_params: float, b: Mapping[str, float]
) -> float:
    peak, _ = reference_peak(accelerator)
    own = accelerator.peak_flops_per_s.get(precision.value)
    if not own:
        known = ", ".join(name for name, rate in accelerator.peak_flops_per_s.items() if rate)
        raise InputError(f"{accelerator.name} has no {precision} rate in the catalog; it has {known}.")
    if precision in (Precision.BF16, Precision.FP16):
        return 0.0
    if precision in (Precision.FP32, Precision.TF32):
        return float(math.log(min(1.0, own / peak)))  # the same share of a lower peak; no measured rows
    size = b["fp8_ln_active_params"] * math.log(active_params / 1e10)
    return float(b[precision.value] + size)


def _band_kind(task: Task, measured: bool) -> str:
    if task is not Task.PRETRAIN:
        return "fine-tune" if measured else "fine-tune, new chip"
    return "pre-training" if measured else "pre-training, new chip"


def _relatives(accelerator: Accelerator, fit: MfuFit) -> str:
    if accelerator.architecture in fit.architectures:
        return f"mean of measured {accelerator.architecture} chips"
    if accelerator.vendor in fit.vendors:
        return f"mean of measured {accelerator.vendor} chips"
    return "mean of all measured chips"
