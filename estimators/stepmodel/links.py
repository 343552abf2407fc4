"""How long a collective takes: latency, start-up of the pipeline, and bytes over the slowest link it crosses.

Inside a link domain (NVLink, Infinity Fabric, a TPU torus), for n ranks and a full message of S bytes:

    wire = S (n-1)/n, twice that for an all-reduce                            (bytes each rank sends)
    t    = latency + latency_per_rank (n-1) + wire (1 + small_group/n) / (fraction L) + ramp sqrt(1e-6 wire / L)

L is the one-way link rate of one chip; the square root is the ramp of the protocol between small and large messages.
Constants are fitted on measured NCCL sweeps (data/efficiency/collectives.yaml, benchmarks/fits/collectives.py).

Across nodes the message is cut over the r ranks of each node (hierarchical or rail-aligned rings): each rank's network
share N/g carries the part of S/r that crosses nodes; the stages inside and between nodes overlap in large messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Collective(StrEnum):
    """The collectives of training."""

    ALL_REDUCE = "all_reduce"
    ALL_GATHER = "all_gather"  # S is the gathered size
    REDUCE_SCATTER = "reduce_scatter"  # S is the size before scattering
    ALL_TO_ALL = "alltoall"  # S is what one rank holds


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSurface:
    """Fitted constants of one collective inside one link domain of one family."""

    family: str
    collective: str
    latency_s: float
    latency_per_rank_s: float
    fraction: float
    small_group: float
    ramp: float
    measured_on: str
    rows: int
    median_error: float
    is_measured: bool
    basis: str


@dataclass(frozen=True, slots=True)
class Fabric:
    """The links of one chip: one-way bytes per second inside a domain, and its share of the node's network."""

    link_bytes_per_s: float
    domain: int
    network_bytes_per_s: float
    network_latency_s: float
    surfaces: dict[str, LinkSurface]


def domain_seconds(
    surface: LinkSurface, link_bytes_per_s: Any, message_bytes: Any, ranks: Any, *, root: Callable[[Any], Any]
) -> Any:
    """Return the seconds of one collective of `ranks` chips inside a domain; `root` is the square root to use."""
    twice = 2.0 if surface.collective == Collective.ALL_REDUCE else 1.0
    wire = message_bytes * (ranks - 1) / ranks * twice
    latency = surface.latency_s + surface.latency_per_rank_s * (ranks - 1)
    stream = wire * (1 + surface.small_group / ranks) / (surface.fraction * link_bytes_per_s)
    return latency + stream + surface.ramp * root(1e-6 * wire / link_bytes_per_s)
