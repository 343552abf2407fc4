"""What a fact is: frozen records of accelerators and prices, in base units, each with its source and date.

The readers in this folder fill them from `catalog.yaml`, `data/` and the user's overlays; estimators only see these
records. Rates are dense. A missing number is None and is never guessed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..frozen import dataclass


class CloudClass(StrEnum):
    """Who sells: prices of one chip differ 2 to 5 times between these."""

    HYPERSCALER = "hyperscaler"
    GPU_CLOUD = "gpu-cloud"
    MARKETPLACE = "marketplace"


class PricePlan(StrEnum):
    """On which terms."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCollective:
    """One collective as measured: t = latency_s + size / bytes_per_s over `ranks` chips of `nodes` nodes.

    The size is that of nccl-tests; `kind` all_reduce, all_gather, reduce_scatter, alltoall or p2p.
    """

    kind: str
    ranks: int
    nodes: int
    backend: str
    latency_s: float
    bytes_per_s: float
    spread: float  # standard deviation of the logarithm of the time
    points: tuple[tuple[float, float], ...] = ()  # (size, seconds) behind the line


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRates:
    """What `flopwise bench run` measured on a chip, put in place of fitted rates by --calibrate.

    `products` are (format, m, n, k, seconds); rates of 0 were not measured. `not_used` says why collectives are left out.
    """

    record: str
    products: tuple[tuple[str, float, float, float, float], ...]
    memory_bytes_per_s: float
    attention_flops_per_s: float = 0.0  # causal, forward, masked pairs not counted
    spread: float = 0.05  # standard deviation of the logarithm of these rates between runs
    collectives: tuple[MeasuredCollective, ...] = ()
    not_used: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One accelerator variant. `peak_flops_per_s` maps a number format (fp64, fp32, tf32, bf16, fp16, fp8, fp4, int8)
    to its dense rate; `link_bytes_per_s` is one way, per accelerator, inside a domain of `link_domain` accelerators;
    `network_bytes_per_s_per_node` is one way, per node of `accelerators_per_node`.
    """

    id: str
    name: str
    vendor: str
    architecture: str
    release_date: str
    memory_bytes: float  # as sold
    usable_memory_bytes: float  # what a program can allocate before its own overhead
    usable_memory_source: str
    memory_type: str
    memory_bandwidth_bytes_per_s: float
    peak_flops_per_s: Mapping[str, float]
    power_w: float | None = None
    link: str = ""
    link_bytes_per_s: float | None = None
    link_domain: int | None = None
    accelerators_per_node: int | None = None
    pcie: str = ""
    network_bytes_per_s_per_node: float | None = None
    compute_units: int | None = None
    l2_bytes: float | None = None
    list_price_usd: float | None = None
    price_basis: str = ""
    confidence: str = "medium"
    sources: tuple[str, ...] = ()
    note: str = ""
    aliases: tuple[str, ...] = ()
    origin: str = "catalog.yaml"  # the file that defined it, or the overlay that changed it last
    seen_memory_bytes: float | None = None  # what the driver prints (nvidia-smi)
    compute_unit: str = ""  # what compute_units counts, where it is not SMs, CUs or GPU cores
    datasheet_prints: str = ""  # dense, sparse or both: what the vendor's headline rates mean
    measured: MeasuredRates | None = None  # by --calibrate
    unverified: tuple[str, ...] = ()  # keys of the card that rest on memory alone ("power_w", "dense_tflops.fp8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for one accelerator for one hour: the lowest and (where known) the median of `points` offers."""

    accelerator: str
    cloud: str
    cloud_class: CloudClass
    plan: PricePlan
    terms: str  # the plan in the seller's words
    usd_per_hour: float
    median_usd_per_hour: float | None
    points: int | None
    region: str
    instance: str
    accelerators_per_instance: int | None
    covers: str
    date: str  # ISO date, month or bracket "2025-09..2026-08"
    date_basis: str
    source: str  # a code of the catalog's sources, or the user's own words
    note: str = ""
    origin: str = "catalog.yaml"
    averaged: bool = False  # a mean over listings, which can mix variants and terms
    trend: bool = False  # too old to quote where the seller has newer prices

    @property
    def date_from(self) -> str:
        """First day that the price can be of: of a bracket its start, unless it is known to be near the end."""
        first, _, last = self.date.partition("..")
        return last if last and "late" in self.date_basis else first


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Who sells. `seller` ties the brands of one company (RunPod Secure and RunPod Community)."""

    name: str
    cloud_class: CloudClass
    seller: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where numbers come from: `reuse` says whether the licence lets us redistribute them."""

    code: str
    name: str
    read: str  # version or day read
    licence: str
    reuse: str
    note: str = ""  # holds for every price of this source that has no note of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableRule:
    """Which fraction of the memory as sold (or as the driver prints it) a program can use."""

    name: str
    fraction: float
    source: str
