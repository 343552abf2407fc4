"""A chip whose links were measured: lines of collectives from one group of ranks, carried to groups of other sizes.

The record gives t = a + S / B for a group of n0 ranks. The planner's own laws (links.py) carry it to n ranks; the record
sets their level, so that at n0 ranks the law gives the measured line back:

    inside a domain     wire share   w(n) = c (n-1)/n, c = 2 for an all-reduce, else 1
                        latency      a (l0 + l1 (n-1)) / (l0 + l1 (n0-1))    l0, l1: start-up and step of the family
                        stream       S w(n) / b(n),  b(n) = B w(n0) (1 + s/n0) / (1 + s/n)    s: loss of small groups
    between domains     crossing     x(d) = c/r (d-1)/d of S for d nodes of r ranks (all-to-all: (d-1)/d)
                        latency      a g(d) / g(d0),  g = c (1 + log2 d)      (all-to-all: 1 + (d-1)/4)
                        stream       S x(d) / N,  N = B x(d0)
    between stages      a + S / B, inside a node or across as it was measured

The ramp of the protocol between small and large messages is part of the measured line and is not added again. Inside a
domain the family's own curve, ramp included, with its latency and its rate scaled to the points of the record, replaces
the line where it passes nearer to them (on NCCL it does: a line misses its own points by 11 % in the median). Across
nodes the whole time is charged to the network, for in large messages the stages inside nodes overlap with it. Factors of
software are fitted against the network rate of the sheet, of which NCCL's sweeps reach a share
(`network_reached` of data/calibration.yaml): N is divided by it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..facts.calibration import non_negative
from ..facts.calibration_rules import rule
from ..facts.measured_links import POINT_TO_POINT
from ..facts.surfaces import Collective
from ..frozen import dataclass, replace
from .links import POINT_LATENCY_S, POINT_SHARE, crossing_share, domain_seconds, network_steps

if TYPE_CHECKING:
    from ..facts.records import MeasuredCollective
    from ..facts.surfaces import LinkSurface
    from .chip import Chip

_LEAST_POINTS = 4  # for two unknowns
INSIDE, ACROSS = "inside a node", "between nodes"
COMMUNICATION = (
    "gradient reduction",
    "transfers between stages",
    "gathers of sharded parameters",
    "expert all-to-all",
    "context-parallel ring",
    "tensor-parallel collectives",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """One line of the record beside what the planner took before, for the group that was measured.

    Rates are bus bandwidths (nccl-tests): bytes per second over the slowest link of a rank.
    """

    kind: str
    scope: str
    ranks: int
    nodes: int
    backend: str
    latency_s: float
    bus_bytes_per_s: float
    before_latency_s: float
    before_bus_bytes_per_s: float


def with_links(chip: Chip, measured: tuple[MeasuredCollective, ...]) -> Chip:
    """Return the chip with its links at the measured level."""
    links, networks, point = dict(chip.links), dict(chip.networks), chip.point
    least, reached = rule("least_spread"), rule("network_reached")
    errors = []
    for each in measured:
        scope = scope_of(chip, each)
        if each.kind == POINT_TO_POINT:
            if scope == INSIDE:
                point = (each.latency_s, each.bytes_per_s)
            elif scope == ACROSS:
                networks[POINT_TO_POINT] = (each.latency_s, each.bytes_per_s / reached)
        elif scope == INSIDE:
            kind = Collective(each.kind)
            before, n = links[kind], each.ranks
            level = each.latency_s / (before.latency_s + before.latency_per_rank_s * (n - 1))
            bus = each.bytes_per_s * _wire(kind, n) * (1 + before.small_group / n)
            line = replace(
                before,
                latency_s=level * before.latency_s,
                latency_per_rank_s=level * before.latency_per_rank_s,
                fraction=bus / chip.link_bytes_per_s,
                ramp=0.0,
                is_measured=True,
            )
            curves = [(_miss(curve, chip, each), curve) for curve in (line, _scaled(before, chip, each)) if curve]
            miss, links[kind] = min(curves, key=lambda curve: curve[0])
            errors.append((before.median_error, max(least, miss / 0.674) if each.points else each.spread))
        elif scope == ACROSS:
            kind, local = Collective(each.kind), each.ranks // each.nodes
            networks[kind] = (
                each.latency_s / network_steps(kind, each.nodes),
                each.bytes_per_s * crossing_share(kind, local, each.nodes) / reached,
            )
    count = len(errors) or 1
    return replace(
        chip,
        links=links,
        networks=networks,
        point=point,
        link_error=math.fsum(e for e, _ in errors) / count,
        link_spread=math.fsum(s for _, s in errors) / count if errors else None,
    )


def scope_of(chip: Chip, each: MeasuredCollective) -> str:
    """Return whether a group measured the links inside a domain or the network; "" where it mixes both."""
    if each.ranks <= chip.domain and (each.nodes == 1 or chip.domain > chip.per_node):
        return INSIDE
    return ACROSS if each.nodes > 1 and each.ranks // each.nodes <= chip.domain <= chip.per_node else ""


def replaced(chip: Chip, measured: tuple[MeasuredCollective, ...]) -> tuple[Replaced, ...]:
    """Return each line that `with_links` puts on `chip` (as it was before) beside the planner's own."""
    found = []
    reached = rule("network_reached")
    for each in measured:
        scope, n, share = scope_of(chip, each), each.ranks, 1.0
        if not scope:
            continue
        if each.kind == POINT_TO_POINT:
            latency, rate = POINT_LATENCY_S, POINT_SHARE * chip.link_bytes_per_s
            if scope == ACROSS:
                latency, rate = chip.network_latency_s, reached * chip.network_bytes_per_s
        else:
            kind = Collective(each.kind)
            share = _wire(kind, n)
            if scope == INSIDE:
                link = chip.links[kind]
                latency = link.latency_s + link.latency_per_rank_s * (n - 1)
                rate = link.fraction * chip.link_bytes_per_s / (1 + link.small_group / n)
            else:
                latency = chip.network_latency_s * network_steps(kind, each.nodes)
                crossing = crossing_share(kind, n // each.nodes, each.nodes)
                rate = reached * chip.network_bytes_per_s / crossing * share
        found.append(
            Replaced(
                kind=each.kind,
                scope=scope,
                ranks=n,
                nodes=each.nodes,
                backend=each.backend,
                latency_s=each.latency_s,
                bus_bytes_per_s=each.bytes_per_s * share,
                before_latency_s=latency,
                before_bus_bytes_per_s=rate,
            )
        )
    return tuple(found)


def _scaled(before: LinkSurface, chip: Chip, each: MeasuredCollective) -> LinkSurface | None:
    """Return the family's curve with the latency and the rate that pass nearest to the points, in relative squares."""
    n, link = each.ranks, chip.link_bytes_per_s
    fixed = before.latency_s + before.latency_per_rank_s * (n - 1)
    rows = [
        (fixed / seconds, (domain_seconds(before, link, size, n, root=math.sqrt) - fixed) / seconds)
        for size, seconds in each.points
    ]
    if len(rows) < _LEAST_POINTS:
        return None
    latency, slower = non_negative(rows, [1.0] * len(rows))
    if slower <= 0:
        return None
    return replace(
        before,
        latency_s=latency * before.latency_s,
        latency_per_rank_s=latency * before.latency_per_rank_s,
        fraction=before.fraction / slower,
        ramp=before.ramp * slower,
        is_measured=True,
    )


def _miss(curve: LinkSurface, chip: Chip, each: MeasuredCollective) -> float:
    """Return the median error on the points of the record; a line without points is taken as it is."""
    if len(each.points) < _LEAST_POINTS:
        return 0.0
    link = chip.link_bytes_per_s
    errors = sorted(
        abs(domain_seconds(curve, link, size, each.ranks, root=math.sqrt) / seconds - 1.0)
        for size, seconds in each.points
    )
    return float(errors[len(errors) // 2])


def _wire(kind: Collective, ranks: int) -> float:
    return (2.0 if kind is Collective.ALL_REDUCE else 1.0) * (ranks - 1) / ranks
