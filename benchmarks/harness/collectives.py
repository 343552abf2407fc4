"""Collectives between ranks under torchrun: NCCL (RCCL) on accelerators, Gloo on CPUs, one node or several.

All-reduce, all-gather, reduce-scatter, all-to-all and point to point over message sizes. `size_bytes` is what nccl-tests
calls the size: the buffer that is reduced, gathered into, scattered from or exchanged. Algorithm bandwidth is size over
time; bus bandwidth is what crossed the slowest link: 2 (n-1)/n of it for all-reduce, (n-1)/n for the next three, all of
it point to point. Times are the slowest rank's. Every result is checked number by number. A line t = latency +
size / bandwidth is fitted through each collective (least relative error), and stands in the record as a case of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...estimators.errors import InputError
from .measure import Clock, Timing
from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from ...estimators.facts.bench_records import Case
    from .device import Bench
    from .runner import Session

SUITE = "collectives"
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "alltoall", "p2p")
_BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl"}
_TIMEOUT = timedelta(seconds=60)
# Of the size of a message, what a trial holds at once: buffers, what is expected, and whole numbers of 8 bytes.
_HELD = 12.0
_ROOM = 0.8  # of the free memory of the rank that has the least


def group_size() -> int:
    """Return the number of ranks that torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_rank() -> bool:
    """Whether this process writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def local_rank() -> int:
    """Return which of the devices of this machine is ours."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def node_count(ranks: int) -> int:
    """Return over how many nodes torchrun spread the ranks; 0 where it was not torchrun that started them."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    return -(-ranks // local) if local else 0


def bus_factor(kind: str, ranks: int) -> float:
    """Return bus over algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md)."""
    if kind == "all_reduce":
        return 2.0 * (ranks - 1) / ranks
    return 1.0 if kind == "p2p" else (ranks - 1) / ranks


def run(session: Session, scope: Scope) -> None:
    """Measure all collectives in the group that torchrun started, and add the fitted lines."""
    from ...estimators.facts.bench_records import MEASURED, Case
    from .runner import Stopped

    bench = session.bench
    distributed = bench.torch.distributed
    backend = _BACKENDS.get(bench.kind)
    if backend is None:
        raise InputError(f"collectives cannot be measured on {bench.kind}; they are on {', '.join(_BACKENDS)}.")
    if not distributed.is_initialized():
        try:
            if bench.is_cpu:
                distributed.init_process_group(backend, timeout=_TIMEOUT)
            else:  # the device is named so that ranks connect now, and the barrier knows it
                bench.module.set_device(bench.index)
                distributed.init_process_group(backend, timeout=_TIMEOUT, device_id=bench.device)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"the ranks cannot join ({backend}): {str(error).partition(chr(10))[0]}") from None
    ranks = distributed.get_world_size()
    sizes = [2**k for k in (range(10, 25, 3) if scope.is_cpu else range(10, 29, 3))]
    if not scope.is_quick:
        sizes = [2**k for k in (range(10, 27, 2) if scope.is_cpu else range(10, 31, 2))]
    room = _least_room_bytes(bench)  # all ranks must leave out the same ones, or they would wait for each other
    sizes = [size for size in sizes if _HELD * size <= _ROOM * room]
    group = session.with_clock(GroupClock(bench, bench.clock(host=True)))
    for kind in KINDS:
        start = len(session.cases)
        group.run([_trial(kind, size, ranks, backend) for size in sizes])
        own = [case for case in session.cases[start:] if case.is_measured]
        line = fit_line([(case.number("size_bytes"), case.median_s) for case in own])
        if line:
            latency, bandwidth = line
            case = Case(
                id=f"{SUITE}/{kind}/line",
                suite=SUITE,
                what={
                    "kind": kind,
                    "ranks": ranks,
                    "nodes": node_count(ranks),
                    "backend": backend,
                    "fit": "line",
                    "latency_s": latency,
                    "bandwidth_bytes_per_s": bandwidth,
                    "bus_bytes_per_s": bandwidth * bus_factor(kind, ranks),
                },
                status=MEASURED,
                median_s=max(latency, 1e-9),
                low_s=max(latency, 1e-9),
                high_s=max(latency, 1e-9),
            )
            session.cases.append(case)
    try:
        distributed.barrier()
        distributed.destroy_process_group()
    except RuntimeError as error:
        raise Stopped(f"another rank is gone at the end ({type(error).__name__})") from None


def fit_line(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return latency (s) and bandwidth (bytes/s) of t = latency + size / bandwidth, least relative squares.

    Both are kept positive; None with fewer than three points.
    """
    if len(points) < 3:
        return None
    # Weighted by 1 / t squared: relative errors count alike for small and large messages.
    w = [1.0 / t**2 for _, t in points]
    a = sum(w)
    b = sum(wi * s for wi, (s, _) in zip(w, points, strict=True))
    c = sum(wi * s * s for wi, (s, _) in zip(w, points, strict=True))
    d = sum(wi * t for wi, (_, t) in zip(w, points, strict=True))
    e = sum(wi * s * t for wi, (s, t) in zip(w, points, strict=True))
    determinant = a * c - b * b
    slope = (a * e - b * d) / determinant if determinant else 0.0
    latency = (d - slope * b) / a
    if slope <= 0:
        latency, slope = d / a, 0.0
    if latency < 0:
        latency, slope = 0.0, e / c
    return latency, 1.0 / slope if slope > 0 else float("1e18")


def _trial(kind: str, size: int, ranks: int, backend: str) -> Trial:
    return Trial(
        suite=SUITE,
        name=f"{kind}/{size // 1024}KiB/{ranks}",
        what={
            "kind": kind,
            "size_bytes": size,
            "ranks": ranks,
            "backend": backend,
            "bus_factor": bus_factor(kind, ranks),
        },
        bytes=float(size),
        share=0.4,
        build=lambda bench: _build(bench, kind, size),
    )


def _build(bench: Bench, kind: str, size: int) -> Built:
    torch, distributed = bench.torch, bench.torch.distributed
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    count = max(ranks, size // 4 // ranks * ranks)
    part = count // ranks
    # Newer releases call these two by other names.
    gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
    scatter = getattr(distributed, "reduce_scatter_single", None) or distributed.reduce_scatter_tensor
    # Whole numbers, so that sums are exact in any order.
    mine = _numbers(bench, rank, count)
    out = torch.empty(count, device=bench.device)
    small = torch.empty(part, device=bench.device)
    total = sum((_numbers(bench, other, count) for other in range(ranks)), torch.zeros(count, device=bench.device))
    wanted: Any
    if kind == "all_reduce":

        def once() -> Any:
            out.copy_(mine)
            distributed.all_reduce(out)
            return out

        wanted = total
        run: Callable[[], Any] = lambda: distributed.all_reduce(out)
    elif kind == "all_gather":
        chunk = mine[:part].clone()

        def once() -> Any:
            gather(out, chunk)
            return out

        wanted = torch.cat([_numbers(bench, other, count)[:part] for other in range(ranks)])
        run = once
    elif kind == "reduce_scatter":

        def once() -> Any:
            scatter(small, mine)
            return small

        wanted = total[rank * part : (rank + 1) * part]
        run = once
    elif kind == "alltoall":

        def once() -> Any:
            distributed.all_to_all_single(out, mine)
            return out

        wanted = torch.cat([_numbers(bench, other, count)[rank * part : (rank + 1) * part] for other in range(ranks)])
        run = once
    else:

        def once() -> Any:
            # Even ranks send to the next one, odd ranks receive; the last of an odd number stands by.
            partner = rank + 1 if rank % 2 == 0 else rank - 1
            if partner >= ranks:
                return mine
            if rank % 2 == 0:
                distributed.send(mine, partner)
                return mine
            distributed.recv(out, partner)
            return out

        receives = rank % 2 == 1
        wanted = _numbers(bench, rank - 1, count) if receives else mine
        run = once

    try:
        once()
    except (RuntimeError, NotImplementedError) as error:
        if "not supported" in str(error).lower() or "not implemented" in str(error).lower():
            raise Unsupported(str(error).partition("\n")[0][:160]) from None
        raise
    out_of = torch.zeros(1, device=bench.device)

    def check() -> float:
        found = once()
        out_of.fill_(float((found - wanted).abs().max()))
        distributed.all_reduce(out_of, op=distributed.ReduceOp.MAX)
        return float(out_of)

    if kind == "all_reduce":
        out.zero_()  # sums of sums would overflow
    return Built(run=run, check=check, tolerance=0.0, uses_host_clock=True)


class GroupClock:
    """The slowest rank's time, the same number on every rank; so all take the same decisions and make the same calls.

    `now` is the sum of those times: a rank's own clock would let one stop before the others.
    """

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self._bench, self._clock, self._passed = bench, clock, 0.0

    def now(self) -> float:
        """Return the seconds sampled so far."""
        return self._passed

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        """Return the slowest rank's time."""
        torch = self._bench.torch
        torch.distributed.barrier()
        own = self._clock.sample(run, inner)
        shared = torch.tensor([own.seconds, own.waited], dtype=_exact(self._bench), device=self._bench.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        seconds, waited = shared.tolist()
        self._passed += seconds
        return Timing(seconds, waited)


def _exact(bench: Bench) -> Any:
    """Return the widest type of numbers that the device surely has."""
    return bench.torch.float64 if bench.kind in ("cpu", "cuda") else bench.torch.float32


def _least_room_bytes(bench: Bench) -> float:
    """Return the free memory of the rank that has the least; ranks on one CPU share it."""
    distributed = bench.torch.distributed
    share = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if bench.is_cpu else 1
    room = bench.torch.tensor([bench.room_bytes() / share], dtype=_exact(bench), device=bench.device)
    distributed.all_reduce(room, op=distributed.ReduceOp.MIN)
    return float(room)


def _numbers(bench: Bench, rank: int, count: int) -> Any:
    """Return whole numbers that differ by rank and place: any mix-up shows."""
    torch = bench.torch
    return ((torch.arange(count, device=bench.device) * 7 + rank * 13) % 101).float()


def bus_bytes_per_s(case: Case) -> float:
    """Return the bus bandwidth of a case."""
    return case.bytes_per_s * case.number("bus_factor")
