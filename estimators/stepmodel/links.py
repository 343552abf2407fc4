"""How long a collective takes: latency, start-up of the pipeline, and bytes over the slowest link it crosses.

Inside a link domain (NVLink, Infinity Fabric, a TPU torus), for n ranks and a full message of S bytes:

    wire = S (n-1)/n, twice that for an all-reduce                            (bytes each rank sends)
    t    = latency + latency_per_rank (n-1) + wire (1 + small_group/n) / (fraction L) + ramp sqrt(1e-6 wire / L)

L is the one-way link rate of one chip; the square root is the ramp of the protocol between small and large messages.
Constants are fitted on measured NCCL sweeps (data/efficiency/collectives.yaml, benchmarks/fits/collectives.py).

`--calibrate` sets the level of these laws to what was measured (measured_links.py).

Across nodes the message is cut over the r ranks of each node (hierarchical or rail-aligned rings): each rank's network
share N/g carries the part of S/r that crosses nodes; the stages inside and between nodes overlap in large messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..facts.surfaces import Collective, LinkSurface

if TYPE_CHECKING:
    from .chip import Chip


POINT_LATENCY_S, POINT_SHARE = 5e-6, 0.8  # of a transfer between two chips of a domain; share of the link's rate


def domain_seconds(
    surface: LinkSurface, link_bytes_per_s: Any, message_bytes: Any, ranks: Any, *, root: Callable[[Any], Any]
) -> Any:
    """Return the seconds of one collective of `ranks` chips inside a domain; `root` is the square root to use."""
    twice = 2.0 if surface.collective == Collective.ALL_REDUCE else 1.0
    wire = message_bytes * (ranks - 1) / ranks * twice
    latency = surface.latency_s + surface.latency_per_rank_s * (ranks - 1)
    stream = wire * (1 + surface.small_group / ranks) / (surface.fraction * link_bytes_per_s)
    return latency + stream + surface.ramp * root(1e-6 * wire / link_bytes_per_s)


def collective_seconds(
    chip: Chip, kind: Collective, message_bytes: float, ranks: int, stride: int = 1
) -> tuple[float, float]:
    """Return the seconds that a collective over `ranks` chips, `stride` apart, takes inside domains and between them.

    Ranks are numbered through domains; the group has r = domain / stride of them in each domain it touches, and the
    other groups of the domain run the same collective at the same time over the same network cards.
    """
    if ranks <= 1 or message_bytes <= 0:
        return 0.0, 0.0
    inside = min(ranks, max(1, chip.domain // stride))
    domains = -(-ranks // inside)
    seconds = 0.0
    if inside > 1:
        seconds = domain_seconds(chip.links[kind], chip.link_bytes_per_s, message_bytes, inside, root=math.sqrt)
    if domains == 1:
        return seconds, 0.0
    latency, rate = chip.networks.get(kind, (chip.network_latency_s, chip.network_bytes_per_s))
    crossing = message_bytes * crossing_share(kind, inside, domains)
    return seconds, latency * network_steps(kind, domains) + crossing / rate


def crossing_share(kind: Collective, inside: int, domains: int) -> float:
    """Return the share of the message that one rank's share of the network carries."""
    away = (domains - 1) / domains
    if kind == Collective.ALL_TO_ALL:
        return away
    return (2.0 if kind == Collective.ALL_REDUCE else 1.0) / inside * away


def network_steps(kind: Collective, domains: int) -> float:
    """Return how many latencies of the network pass one after the other."""
    if kind == Collective.ALL_TO_ALL:
        return 1.0 + 0.25 * (domains - 1)
    # Trees and rings mixed: latency grows with the logarithm of the number of domains.
    return (2.0 if kind == Collective.ALL_REDUCE else 1.0) * (1.0 + math.log2(domains))


def transfer_seconds(chip: Chip, message_bytes: float, *, is_across: bool) -> float:
    """Return the seconds of one transfer between two chips, inside a domain or across the network."""
    if is_across:
        latency, rate = chip.networks.get("p2p", (chip.network_latency_s, chip.network_bytes_per_s))
    else:
        latency, rate = chip.point or (POINT_LATENCY_S, POINT_SHARE * chip.link_bytes_per_s)
    return latency + message_bytes / rate
