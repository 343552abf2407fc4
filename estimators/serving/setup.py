"""One way to serve a model: chip, engine, formats and the cut over chips; and the levels by which rates were fitted.

`chip_rates` reads the data sheet in the formats in use. `levels` names the fitted offsets that apply; the fit program
and the estimator call the same function, so they cannot disagree on what a level means. `rates_of` adds the offsets up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import InputError
from ..facts.records import Accelerator
from ..facts.serving import Engine, WeightFormat
from ..facts.serving_fit import ServingFit
from ..frozen import dataclass
from ..models.shape import ModelShape
from .counts import count_model
from .covariates import covariates
from .equations import ChipRates, Group, ModelCounts, Rates

_PCIE_BYTES_PER_S = {"3.0": 15.75e9, "4.0": 31.5e9, "5.0": 63e9, "6.0": 126e9}  # x16, one way
_DEFAULT_LINK = 31.5e9  # PCIe 4.0 x16
_NETWORK_PER_CHIP = 25e9  # 200 Gbit/s per chip, where the card says nothing
_EXTRA = ("pipelining", "queue", "burst", "wait_steps", "server_share", "excess", "occupancy", "limit_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A model on accelerators with an engine. `chips` = tensor x pipeline x replicas; experts share the tensor group.

    `level` is the engine's level of the fit where it is more exact than the engine's own (a version).
    """

    shape: ModelShape
    accelerator: Accelerator
    engine: Engine
    weights: WeightFormat
    cache_bits: float
    tensor: int = 1
    pipeline: int = 1
    replicas: float = 1
    attention_copies: int = 1  # data-parallel attention: ranks of the group that each keep all of attention
    is_expert_parallel: bool = False
    is_pcie: bool | None = None  # None: as the card says
    level: str | None = None
    mode: str = "closed"

    @property
    def chips(self) -> float:
        """Accelerators in use."""
        return self.tensor * self.pipeline * self.replicas

    @property
    def engine_level(self) -> str:
        """The engine's level of the fit."""
        return self.engine.level if self.level is None else self.level

    def counts(self) -> ModelCounts:
        """Return the counts of the model in these formats."""
        return count_model(self.shape, self.weights, self.cache_bits, self.engine.absorbed_prefill)

    @property
    def architecture_key(self) -> str:
        """Layers, width, cached heads and experts: tunes and quantised copies of one model share it."""
        counts = self.counts()
        return f"{counts.layers:.0f}x{counts.hidden:.0f}x{counts.kv_shards:.0f}x{counts.experts:.0f}"

    def group(self) -> Group:
        """Return the cut of one replica."""
        return Group(
            ways=float(self.tensor),
            attention_ways=self.tensor / self.attention_copies,
            stages=float(self.pipeline),
            is_expert_parallel=float(self.is_expert_parallel),
        )


def peak_flops_per_s(chip: Accelerator, names: tuple[str, ...]) -> float:
    """Return the first of the named rates that the chip has.

    Raises:
        InputError: it has none of them.
    """
    for name in names:
        if rate := chip.peak_flops_per_s.get(name):
            return rate
    have = ", ".join(chip.peak_flops_per_s) or "none"
    raise InputError(f"{chip.name} has no rate for {' or '.join(names)} in the catalog (it has: {have}).")


def chip_rates(setup: Setup) -> ChipRates:
    """Return the data sheet rates in the formats in use.

    Raises:
        InputError: the chip has no rate for these formats.
    """
    chip = setup.accelerator
    doubled = 2.0 if setup.engine.fp16_accumulate and "GeForce RTX" in chip.name else 1.0
    products, memory, link, collective = 1.0, 1.0, 1.0, 1.0
    if chip.measured:  # by --calibrate: by how much this chip differs from its family
        from ..facts.surfaces import load_surfaces
        from ..stepmodel.chip import measured_levels, measured_link_levels

        format = next((name for name in setup.weights.peaks if name in chip.peak_flops_per_s), "bf16")
        products, memory = measured_levels(chip, load_surfaces(), format)
        link, collective = measured_link_levels(chip, load_surfaces(), setup.tensor)
    return ChipRates(
        bandwidth=memory * chip.memory_bandwidth_bytes_per_s,
        linear_flops=products * doubled * peak_flops_per_s(chip, setup.weights.peaks),
        attention_flops=products * doubled * peak_flops_per_s(chip, ("bf16", "fp16", "fp32")),
        link=link * link_bytes_per_s(setup),
        collective=collective,
    )


def uses_pcie(setup: Setup) -> bool:
    """Whether the chips of a group talk over PCIe: no link, or a bridge that joins fewer than the group."""
    if setup.is_pcie is not None:
        return setup.is_pcie
    chip = setup.accelerator
    if not chip.link_bytes_per_s or chip.link.startswith("PCIe"):
        return True
    return "bridge" in chip.link


def link_bytes_per_s(setup: Setup) -> float:
    """Return one chip's rate to the others of its group, one way; a group wider than a node is held by the network."""
    chip = setup.accelerator
    if uses_pcie(setup):
        rate = _PCIE_BYTES_PER_S.get(chip.pcie.split()[0], _DEFAULT_LINK) if chip.pcie else _DEFAULT_LINK
        return min(rate, chip.link_bytes_per_s) if chip.link_bytes_per_s else rate
    rate = chip.link_bytes_per_s or _DEFAULT_LINK
    if chip.link_domain and setup.tensor > chip.link_domain:
        per_node = chip.network_bytes_per_s_per_node
        return min(rate, per_node / (chip.accelerators_per_node or 8) if per_node else _NETWORK_PER_CHIP)
    return rate


def generation(chip: Accelerator) -> str:
    """Return the chip's generation for the fit: the architecture, graphics cards apart from data center parts."""
    architecture = "Blackwell" if chip.architecture == "Blackwell Ultra" else chip.architecture
    return f"{architecture}-rtx" if "RTX" in chip.name or "GeForce" in chip.name else architecture


def memory_class(chip: Accelerator) -> str:
    """Return what a chip's memory makes of it: a data center part (HBM), a card (GDDR) or a laptop part (unified)."""
    for name in ("HBM", "GDDR", "unified"):
        if name in chip.memory_type:
            return name
    return "other"


def levels(setup: Setup) -> Mapping[str, str]:
    """Return the keys of the fitted offsets that apply to a setup, by level."""
    chip = setup.accelerator
    made, engine, kind = generation(chip), setup.engine_level, setup.weights.kind
    link = "pcie" if uses_pcie(setup) else "nvlink" if chip.vendor == "NVIDIA" else chip.vendor
    return {
        "generation": made,
        "class": f"{chip.vendor} {memory_class(chip)}",
        "chip": chip.id,
        "engine": engine,
        "format": kind,
        "engine, format": f"{engine}|{kind}",
        "generation, format": f"{made}|{kind}",
        "engine, generation": f"{engine}|{made}",
        "link": link,
        "mode": setup.mode,
        "engine, mode": f"{engine}|{setup.mode}",
    }


def slopes(setup: Setup) -> Mapping[str, float]:
    """Return the numbers that the fitted slopes multiply (`covariates.py` says what each stands for)."""
    return covariates(
        setup.accelerator,
        setup.counts(),
        ways=float(setup.tensor),
        copies=float(setup.attention_copies),
        weight_bits=setup.weights.bits,
        cache_bits=setup.cache_bits,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRates:
    """Fitted numbers that describe queues rather than kernels."""

    pipelining: float  # exponent of the gain from pipelining micro-batches of one prompt over stages
    queue: float  # prefill-utilisation part of the wait for the first token, in prefills
    burst: float  # share of all clients' prefills that a client waits for (they start together)
    wait_steps: float  # steps until a prompt is admitted and its first token is out
    server_share: float  # of the offline rate that a random load can use
    excess: float  # requests beyond the slots, in service times per slot
    occupancy: float  # of the cache that is full of live sequences
    limit_share: float  # of a latency limit on the 99th percentile that the mean can take


def rates_of(setup: Setup, fit: ServingFit, suite: str = "") -> tuple[Rates, LoadRates]:
    """Return the fitted rates for a setup; `suite` adds the level of a benchmark's latency limit."""
    keys, numbers = {**levels(setup), "suite": suite}, slopes(setup)
    values = {name: parameter_value(fit, name, keys, numbers) for name in fit.parameters}
    loads = LoadRates(**{name: values.pop(name) for name in _EXTRA})
    return Rates(**values), loads


def parameter_value(fit: ServingFit, name: str, keys: Mapping[str, str], numbers: Mapping[str, float]) -> float:
    """Return one parameter: its base and offsets, squashed to (0, 1) for a fraction, exponentiated otherwise."""
    parameter = fit.parameters[name]
    total = parameter.base
    for level, offsets in parameter.offsets.items():
        total += offsets.get(keys.get(level, ""), 0.0)
    for number, slope in parameter.slopes.items():
        low, high = fit.ranges.get(number, (-math.inf, math.inf))
        total += slope * min(max(numbers.get(number, 0.0), low), high)
    return 1.0 / (1.0 + math.exp(-total)) if parameter.is_fraction else math.exp(total)
