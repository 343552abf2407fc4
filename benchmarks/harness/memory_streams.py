"""Memory bandwidth: copy, scale, add and triad (McCalpin's STREAM) over sizes from inside the cache to far beyond it.

Bytes are those the program names (two arrays for copy and scale, three for add and triad); the read of a line before it
is written (write-allocate) is not counted, as in STREAM. Sizes are per array; a stream is called cold when its arrays
together are at least four times the last cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench

SUITE = "bandwidth"
_ARRAYS = {"copy": 2, "scale": 2, "add": 3, "triad": 3}
_FACTOR = 0.4


def trials(scope: Scope) -> Iterator[Trial]:
    """Yield the four streams beyond the cache, and copies of growing size."""
    cache = scope.cache_bytes or 32 * 2**20
    large = int(min(max(4 * cache / 2, 64 * 2**20), 2**30 if not scope.is_cpu else 2**27))
    for kernel in _ARRAYS:
        yield _trial(kernel, large, cache)
    sizes = [2**16, 2**20, 2**23] if scope.is_quick else [2**k for k in range(14, 28)]
    for size in sizes:
        if size < large:
            yield _trial("triad", size, cache)


def _trial(kernel: str, size: int, cache: float) -> Trial:
    arrays = _ARRAYS[kernel]
    is_cold = arrays * size >= 4 * cache or size >= 64 * 2**20
    return Trial(
        suite=SUITE,
        name=f"{kernel}/{size // 1024}KiB",
        what={"kernel": kernel, "array_bytes": size, "cache": "cold" if is_cold else "warm", "arrays": arrays},
        bytes=float(arrays * size),
        needs_bytes=float(arrays * size),
        share=0.5,
        rank=0 if kernel == "triad" else 1,
        build=lambda bench: _build(bench, kernel, size),
    )


def _build(bench: Bench, kernel: str, size: int) -> Built:
    torch = bench.torch
    if kernel == "copy" and bench.kind == "xla":
        raise Unsupported("XLA makes a copy another name for the same memory")
    count = size // 4
    a, b, c = (bench.random(count) for _ in range(3))
    run: Callable[[], Any]
    if kernel == "copy":
        run = lambda: a.copy_(b)
    elif kernel == "scale":
        run = lambda: torch.mul(b, _FACTOR, out=a)
    elif kernel == "add":
        run = lambda: torch.add(b, c, out=a)
    else:
        run = lambda: torch.add(b, c, alpha=_FACTOR, out=a)

    def check() -> float:
        run()
        # Metal and many Intel chips have no double precision: the host has.
        found, first, second = (t.double() if bench.kind in ("cpu", "cuda") else t.cpu().double() for t in (a, b, c))
        sums = {"copy": first, "scale": _FACTOR * first, "add": first + second}
        expected = sums.get(kernel, first + _FACTOR * second)
        return float((found - expected).abs().max() / expected.abs().max())

    return Built(run=run, check=check, tolerance=1e-6)
