"""Copies between host and device, and the latency of a kernel launch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench

COPIES, LAUNCH = "copies", "launch"
_BLOCK = 2**20 - 3


def copy_trials(scope: Scope) -> Iterator[Trial]:
    """Yield copies to and from the device, from pinned and from pageable memory; a CPU has none."""
    if scope.is_cpu:
        return
    sizes = (2**16, 2**22, 2**28) if scope.is_quick else (2**12, 2**16, 2**20, 2**24, 2**28, 2**30)
    for direction in ("to device", "to host"):
        for memory in ("pinned", "pageable"):
            for size in sizes:
                yield Trial(
                    suite=COPIES,
                    name=f"{direction.replace(' ', '-')}/{memory}/{size // 1024}KiB",
                    what={"direction": direction, "memory": memory, "size_bytes": size},
                    bytes=float(size),
                    needs_bytes=float(size),
                    share=0.5,
                    build=lambda bench, d=direction, m=memory, s=size: _build(bench, d, m, s),  # type: ignore[misc]
                )


def launch_trials(scope: Scope) -> Iterator[Trial]:
    """Yield an addition of one number: what the host pays for a kernel, alone and in a row of 100."""
    for row in (1, 100):
        yield Trial(
            suite=LAUNCH,
            name=f"add-1/{row}-in-a-row",
            what={"kernel": "add", "row": row},
            share=0.5,
            build=lambda bench, n=row: _build_launch(bench, n),  # type: ignore[misc]
        )


def _build(bench: Bench, direction: str, memory: str, size: int) -> Built:
    torch = bench.torch
    host = torch.empty(size, dtype=torch.uint8)
    if memory == "pinned":
        try:
            host = host.pin_memory()
        except (RuntimeError, NotImplementedError) as error:
            if bench.is_out_of_memory(error):
                raise
            raise Unsupported(str(error).strip().partition("\n")[0][:160]) from None
    # A block again and again, of a length that fits no page: what is copied to the wrong place differs.
    block = torch.randint(0, 256, (min(size, _BLOCK),), dtype=torch.uint8)
    for start in range(0, size, _BLOCK):
        host[start : start + _BLOCK] = block[: size - start]
    device = torch.empty(size, dtype=torch.uint8, device=bench.device)
    target, source = (device, host) if direction == "to device" else (host, device)
    device.copy_(host)
    is_async = memory == "pinned"

    def check() -> float:
        target.copy_(source, non_blocking=is_async)
        bench.synchronize()
        return float((target.cpu() != source.cpu()).sum())

    return Built(run=lambda: target.copy_(source, non_blocking=is_async), check=check, tolerance=0.0)


def _build_launch(bench: Bench, row: int) -> Built:
    torch = bench.torch
    if row > 1 and bench.kind == "xla":
        raise Unsupported("XLA makes one kernel of the whole row")
    x = torch.zeros(1, device=bench.device)

    def run() -> None:
        for _ in range(row):
            x.add_(1.0)

    return Built(run=run, uses_host_clock=True)
