"""From the collectives of a record to lines that can stand for the links of a chip, or the reason why they cannot.

The harness fits t = latency + size / bandwidth through each collective of one group of ranks. Such a line says something
about the links of a chip only if every rank had a chip of its own and the transport was that of the chip (NCCL, RCCL, XCCL;
Gloo on CPUs). Across nodes it says something about a chip's share of the network only if whole nodes took part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .calibration_rules import rule
from .records import MeasuredCollective

if TYPE_CHECKING:
    from .bench_records import Case, Record

POINT_TO_POINT = "p2p"
_NO_SLOPE = 1e17  # bytes per second; the harness writes more where size did not matter


def measured_collectives(
    record: Record, per_node: int | None = None
) -> tuple[tuple[MeasuredCollective, ...], tuple[str, ...]]:
    """Return the lines of a record that can be used, and one sentence for each reason why others cannot.

    `per_node` is how many of these chips a node of the plan has; the machine's own count where it is not known.
    """
    found: list[MeasuredCollective] = []
    refused: dict[str, list[str]] = {}
    for case in record.of("collectives", fit="line"):
        ranks, nodes = int(case.number("ranks")), nodes_of(case, record)
        why = _unusable(case, record, ranks, nodes, per_node or record.device.count)
        if why:
            refused.setdefault(why, []).append(case.text("kind").replace("_", "-"))
            continue
        points = _points(case, record)
        found.append(
            MeasuredCollective(
                kind=case.text("kind"),
                ranks=ranks,
                # Pairs of neighbours lie within a node where each node has an even number of ranks.
                nodes=1 if case.text("kind") == POINT_TO_POINT and ranks // nodes > 1 else nodes,
                backend=case.text("backend"),
                latency_s=case.number("latency_s"),
                bytes_per_s=case.number("bandwidth_bytes_per_s"),
                spread=_spread(case, points),
                points=tuple((each.number("size_bytes"), each.median_s) for each in points),
            )
        )
    reasons = tuple(f"{', '.join(kinds)}: {why}" for why, kinds in refused.items())
    return tuple(found), reasons


def nodes_of(case: Case, record: Record) -> int:
    """Return over how many nodes the ranks were spread; 0 where the record does not say (it then cannot be one)."""
    if nodes := int(case.number("nodes")):
        return nodes
    return 1 if case.number("ranks") <= record.device.count else 0


def _unusable(case: Case, record: Record, ranks: int, nodes: int, per_node: int) -> str:
    device, backend = record.device, case.text("backend")
    if ranks < 2:
        return "there was one rank"
    if backend == "gloo" and device.kind != "cpu":
        return "Gloo goes through the host's memory, not over the links of the chips"
    if device.kind == "cpu" and nodes == 1 and ranks > device.count:
        return f"{ranks} ranks of {backend.title()} shared one CPU, so no link was crossed"
    if nodes == 0:
        return f"the record does not say over how many nodes its {ranks} ranks were spread"
    if ranks % nodes:
        return f"its {ranks} ranks do not divide over {nodes} nodes"
    local = ranks // nodes
    if local > device.count:
        return f"{local} ranks shared {device.count} chips of a node"
    if nodes > 1 and local != per_node:
        return f"{local} ranks ran on each node of {per_node} chips, so a chip's share of the network was another"
    if case.text("kind") == POINT_TO_POINT and nodes > 1 and local % 2 and local > 1:
        return "some of its pairs lay within a node and some across"
    if not 0 < case.number("bandwidth_bytes_per_s") < _NO_SLOPE:
        return "its time does not grow with the size of the message"
    return ""


def _points(line: Case, record: Record) -> list[Case]:
    cases = record.of("collectives", kind=line.text("kind"))
    return [case for case in cases if not case.text("fit") and case.number("size_bytes")]


def _spread(line: Case, points: list[Case]) -> float:
    """Return the standard deviation of the logarithm: of the points around the line, or of the samples of a point."""
    latency, bandwidth = line.number("latency_s"), line.number("bandwidth_bytes_per_s")
    errors = sorted(abs((latency + c.number("size_bytes") / bandwidth) / c.median_s - 1.0) for c in points)
    spreads = sorted(c.iqr for c in points)
    middle = len(points) // 2
    least = rule("least_spread")
    return max(least, errors[middle] / 0.674, spreads[middle] / 1.349) if points else least
