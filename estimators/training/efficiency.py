"""How much of its peak an accelerator reaches in training, in microseconds: a table for the planner's first look.

The planner sizes thousands of jobs with it; what is shown in the end comes from the operator model of
`estimators/stepmodel`, whose answers the table holds (`benchmarks/fits/mfu.py`), so that the two agree within a few
percent. Between its points the table is read linearly in ln N and ln n (N active parameters, n accelerators); beyond
its ends the last value stands. MFU here is model FLOPs per second over the DENSE bf16 peak of the catalog (fp16 where a
chip has no bf16), with the attention of causal models counted half and recomputation not counted. fp8 and fp4 runs use
the same bf16 peak, so theirs may exceed 1.

A chip that the table does not know (a user's own) takes the mean of its architecture, else of its vendor, else of all.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import InputError
from ..facts.efficiency import MfuFit, load_mfu_fit
from ..frozen import dataclass
from ..quantity import Quantity
from .layout import Precision

if TYPE_CHECKING:
    from ..facts.records import Accelerator

MFU_CONVENTION = "model FLOPs, causal attention counted half, over the dense bf16 peak"


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
    measured_chip: bool  # whether training runs of this very chip were measured


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
    mixture: bool = False,
) -> Quantity:
    """Return the model FLOPs utilization (fraction of the dense bf16 peak, 80 % band) of `efficiency`."""
    return efficiency(
        accelerator,
        precision=precision,
        active_params=active_params,
        accelerators=accelerators,
        mixture=mixture,
    ).mfu


def efficiency(
    accelerator: Accelerator,
    *,
    precision: Precision = Precision.BF16,
    active_params: float,
    accelerators: int,
    mixture: bool = False,
    fit: MfuFit | None = None,
) -> Efficiency:
    """Return the MFU that a pre-training job of this size reaches, with the factors that make it.

    `active_params` are those one token uses (all of them in a dense model). `fit` replaces the shipped table.

    Raises:
        InputError: the accelerator has no peak rate to refer to, or not the one `precision` needs.
    """
    fit = fit or load_mfu_fit()
    peak, peak_format = reference_peak(accelerator)
    table, share, why = _table(accelerator, precision, fit)
    reached = _between(table, active_params, accelerators, fit)
    factors = [Factor("chip, size and count", reached, why)]
    if share != 1:
        factors.append(Factor("precision", share, f"{precision}, the same share of another peak"))
    if mixture:
        factors.append(Factor("mixture of experts", fit.mixture, "routing and all-to-all"))
    ceiling = max(1.0, (accelerator.peak_flops_per_s.get(precision) or 0.0) / peak)
    mid = min(math.prod(factor.value for factor in factors), ceiling)
    is_measured = accelerator.id in fit.chips
    band = fit.bands["pre-training" if is_measured else "pre-training, new chip"]
    quantity = Quantity(mid * band.low, mid, min(mid * band.high, ceiling), "fraction", "80 %", band.basis)
    return Efficiency(
        mfu=quantity,
        factors=tuple(factors),
        peak_flops_per_s=peak,
        peak_format=peak_format,
        measured_chip=is_measured,
    )


def _between(table: Sequence[Sequence[float]], active_params: float, accelerators: int, fit: MfuFit) -> float:
    """Return the table at a size and a count, linear in the logarithms of both."""
    i, down = _place(fit.log_active_params, math.log(active_params))
    j, right = _place(fit.log_accelerators, math.log(accelerators))
    upper = table[i][j] + right * (table[i][j + 1] - table[i][j])
    lower = table[i + 1][j] + right * (table[i + 1][j + 1] - table[i + 1][j])
    return upper + down * (lower - upper)


def _place(points: Sequence[float], value: float) -> tuple[int, float]:
    """Return the interval of ascending points that holds `value` and how far along it, 0 to 1."""
    i = min(max(bisect(points, value) - 1, 0), len(points) - 2)
    return i, min(max((value - points[i]) / (points[i + 1] - points[i]), 0.0), 1.0)


def _table(accelerator: Accelerator, precision: Precision, fit: MfuFit) -> tuple[Sequence[Sequence[float]], float, str]:
    """Return the MFU table of a chip in a precision, a factor on it, and where it is from."""
    rates = accelerator.peak_flops_per_s
    if not rates.get(precision):
        known = ", ".join(name for name, rate in rates.items() if rate)
        raise InputError(f"{accelerator.name} has no {precision} rate in the catalog; it has {known}.")
    tables, where = fit.chips.get(accelerator.id) or fit.unmeasured_chips.get(accelerator.id), accelerator.name
    if tables is None:
        tables, where = _relatives(accelerator.architecture, accelerator.vendor)
    if precision in tables:
        return tables[precision], 1.0, where
    peak, _ = reference_peak(accelerator)
    usual = precision in (Precision.BF16, Precision.FP16)
    return tables["usual"], 1.0 if usual else rates[precision] / peak, where


@lru_cache(maxsize=16)
def _relatives(architecture: str, vendor: str) -> tuple[Mapping[str, Sequence[Sequence[float]]], str]:
    """Return the mean tables of the chips most like one that the shipped table does not know."""
    from ..facts.catalog import load_catalog

    fit = load_mfu_fit()
    known = {**fit.chips, **fit.unmeasured_chips}
    ours = load_catalog(use_config_folder=False).accelerators
    for what, like in (
        (architecture, [t for chip, t in known.items() if chip in ours and ours[chip].architecture == architecture]),
        (vendor, [t for chip, t in known.items() if chip in ours and ours[chip].vendor == vendor]),
        ("all", list(known.values())),
    ):
        if like:
            formats = {name for tables in like for name in tables}
            mean = {name: _mean([tables[name] for tables in like if name in tables]) for name in formats}
            return mean, f"mean of {what} chips"
    raise AssertionError("the table knows no chip")  # the reader refuses such a file


def _mean(tables: Sequence[Sequence[Sequence[float]]]) -> Sequence[Sequence[float]]:
    """Return the mean of equal tables, cell by cell."""
    return [[math.fsum(cells) / len(tables) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]
