"""Matrix products over shapes and formats, and the search for the fastest shape a device can do.

Operands are random and rotate through copies that together exceed the last cache, so that each call reads fresh numbers
from memory; every result is checked on a few rows against float64. The shapes cover what models do (few rows: decode;
tall and flat ones: projections, heads and their gradients) besides the squares of spec sheets.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench

SUITE = "matmul"
FORMATS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8")
_BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}
_TOLERANCE = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 2e-2, "fp16": 4e-3, "fp8": 2e-2, "int8": 0.0}
_FAST_TOLERANCE = 5e-2  # of fp8 whose sums keep about 14 bits on Hopper (DeepSeek-V3 report, section 3.3.2)
_TF32_SHOWS = 3e-5  # relative difference between tf32 and fp32 products below which both are fp32
_MOST_COPIES, _MOST_COPIES_ON_CHIP = 16, 256
_CHECKED_ROWS, _CHECKED_COLUMNS = 8, 512
_Product = tuple[int, int, int, str]

# m x k times k x n; layout "nt": the second operand is stored transposed, as a linear layer stores its weight;
# "nn" and "tn" are the products of its backward pass.
_CPU_QUICK: tuple[_Product, ...] = (
    (256, 256, 256, "nn"),
    (512, 512, 512, "nn"),
    (1024, 1024, 1024, "nn"),
    (128, 512, 2048, "nt"),
    (128, 2048, 512, "nn"),
    (2048, 128, 512, "tn"),
    (384, 512, 2048, "nt"),
    (384, 2048, 512, "nn"),
    (1536, 384, 512, "tn"),
    (256, 384, 8192, "nt"),
    (8192, 256, 384, "tn"),
    (1, 512, 512, "nt"),
    (1, 2048, 2048, "nt"),
    (1, 2048, 8192, "nt"),
)
_CPU_MORE: tuple[_Product, ...] = (
    (128, 128, 128, "nn"),
    (64, 1024, 1024, "nt"),
    (8, 2048, 2048, "nt"),
    (512, 768, 3072, "nt"),
    (512, 3072, 768, "nn"),
    (3072, 512, 768, "tn"),
    (1536, 1536, 1536, "nn"),
    (2048, 2048, 2048, "nn"),
    (512, 768, 32768, "nt"),
)
_GPU_QUICK: tuple[_Product, ...] = (
    (512, 512, 512, "nn"),
    (1024, 1024, 1024, "nn"),
    (2048, 2048, 2048, "nt"),
    (4096, 4096, 4096, "nt"),
    (8192, 8192, 8192, "nt"),
    (2048, 4096, 11008, "nt"),
    (8192, 4096, 14336, "nt"),
    (4096, 8192, 4096, "tn"),
    (16, 4096, 4096, "nt"),
    (1, 8192, 8192, "nt"),
    (1, 8192, 28672, "nt"),
)
_GPU_MORE: tuple[_Product, ...] = (
    (128, 4096, 4096, "nt"),
    (256, 8192, 8192, "nt"),
    (512, 4096, 32000, "nt"),
    (1024, 4096, 4096, "nt"),
    (4096, 4096, 128256, "nt"),
    (4096, 14336, 4096, "nt"),
    (14336, 8192, 4096, "tn"),
    (16384, 8192, 8192, "nt"),
    (16384, 16384, 16384, "nt"),
    (8192, 8192, 10240, "nt"),
    (8192, 8192, 57344, "nt"),
)


def trials(scope: Scope) -> Iterator[Trial]:
    """Yield the products of a scope, small ones first within each format."""
    shapes = _CPU_QUICK if scope.is_cpu else _GPU_QUICK
    if not scope.is_quick:
        shapes += _CPU_MORE if scope.is_cpu else _GPU_MORE
    formats = scope.formats or FORMATS
    for name in formats:
        if name == "tf32" and scope.is_cpu:
            continue
        chosen = shapes
        if scope.is_cpu and name != "fp32":
            squares = tuple(shape for shape in shapes if shape[0] == shape[1] == shape[2])
            chosen = squares[:1] if name in ("fp16", "fp8") and scope.is_quick else squares
        for m, k, n, layout in sorted(chosen, key=lambda s: s[0] * s[1] * s[2]):
            yield trial(name, m, k, n, "nt" if name == "fp8" else layout)  # scaled products take no other


def trial(format: str, m: int, k: int, n: int, layout: str = "nn", share: float = 1.0) -> Trial:
    """Return the trial of one product."""
    width = _BYTES[format]
    out = 4 if format in ("fp32", "tf32", "int8") else 2
    traffic = (m * k + k * n) * width + m * n * out
    return Trial(
        suite=SUITE,
        name=f"{format}/{m}x{k}x{n}{layout}",
        what={"format": format, "m": m, "k": k, "n": n, "layout": layout, "cache": "cold"},
        flops=2.0 * m * k * n,
        bytes=float(traffic),
        needs_bytes=3.0 * traffic,
        share=share,
        rank=0 if format in ("fp32", "bf16") else 1,
        rate_key=f"{SUITE}/{format}",
        build=lambda bench: _build(bench, format, m, k, n, layout),
    )


def neighbours(best: Trial) -> Iterator[Trial]:
    """Yield shapes around the fastest one so far: each side half as long again, or two thirds, in multiples of 64."""
    what = best.what
    sides = [int(what[side]) for side in ("m", "k", "n")]
    seen = {tuple(sides)}
    for index, (up, down) in itertools.product(range(3), ((3, 2), (2, 3))):
        changed = list(sides)
        changed[index] = max(64, round(sides[index] * up / down / 64) * 64)
        if tuple(changed) not in seen:
            seen.add(tuple(changed))
            m, k, n = changed
            yield trial(str(what["format"]), m, k, n, str(what["layout"]))


def _build(bench: Bench, format: str, m: int, k: int, n: int, layout: str) -> Built:
    torch = bench.torch
    dtype = _dtype(bench, format)
    per_set = (m * k + k * n) * _BYTES[format]
    most = _MOST_COPIES if bench.is_cpu else _MOST_COPIES_ON_CHIP  # a chip's last cache holds many small ones
    copies = max(1, min(most, round(bench.flush_bytes / per_set)))
    if per_set * copies > 0.4 * bench.room_bytes():
        copies = 1
    with _unsupported(bench):
        first = [_operand(bench, m, k, format, dtype, layout[0]) for _ in range(copies)]
        second = [_operand(bench, k, n, format, dtype, layout[1]) for _ in range(copies)]
    turn = itertools.cycle(range(copies))
    # How the chip reaches its rate, and what training libraries use forward; other vendors sum in full.
    is_fast = format == "fp8" and bench.kind == "cuda" and not bench.is_amd
    if format == "fp8":
        scale = torch.ones((), device=bench.device, dtype=torch.float32)
        named = {"scale_a": scale, "scale_b": scale, "out_dtype": torch.bfloat16}
        if is_fast:
            named["use_fast_accum"] = True

        def product(i: int) -> Any:
            return torch._scaled_mm(first[i], second[i], **named)

    elif format == "int8":

        def product(i: int) -> Any:
            return torch._int_mm(first[i], second[i])

    else:

        def product(i: int) -> Any:
            return torch.mm(first[i], second[i])

    def run() -> Any:
        return product(next(turn))

    def check() -> float:
        # Slices, which every format can be copied in; an accelerator's large matrices are not brought over whole.
        rows = torch.linspace(0, m - 1, min(m, _CHECKED_ROWS), dtype=torch.long).tolist()
        step = 1 if bench.is_cpu else max(1, n // _CHECKED_COLUMNS)
        out = product(0)
        found = torch.stack([out[row, ::step].cpu().double() for row in rows])
        left = torch.stack([first[0][row].cpu().double() for row in rows])
        wanted = left @ second[0][:, ::step].cpu().double()
        return float((found - wanted).abs().max() / wanted.abs().max())

    with _unsupported(bench):
        if format == "tf32":
            _set_tf32(bench, False)
            exact = product(0)
            _set_tf32(bench, True)
            apart = product(0).sub(exact).abs().max() / exact.abs().max()
            if float(apart) < _TF32_SHOWS:
                raise Unsupported("tf32 changes nothing here: products are those of fp32")
        else:
            _set_tf32(bench, False)
        run()
    return Built(run=run, check=check, tolerance=_FAST_TOLERANCE if is_fast else _TOLERANCE[format])


@contextlib.contextmanager
def _unsupported(bench: Bench) -> Iterator[None]:
    """Turn what a back end says of formats and shapes that it does not know into `Unsupported`."""
    try:
        yield
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        # A fault of the device (since 2.8) is none of this: every later call fails as well.
        if bench.is_out_of_memory(error) or type(error).__name__ == "AcceleratorError":
            raise
        raise Unsupported(str(error).strip().partition("\n")[0][:160]) from None


def _operand(bench: Bench, rows: int, columns: int, format: str, dtype: Any, order: str) -> Any:
    """Return a random rows x columns matrix; order "t" is stored column by column."""
    shape = (columns, rows) if order == "t" else (rows, columns)
    made = bench.random(*shape, dtype=bench.torch.int8 if format == "int8" else None)
    made = made.to(dtype)
    return made.t() if order == "t" else made


def _dtype(bench: Bench, format: str) -> Any:
    torch = bench.torch
    names = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}
    # The MI300 has fp8 without negative zero; its successors have everybody's.
    fp8 = "float8_e4m3fnuz" if bench.facts.architecture.startswith("gfx942") else "float8_e4m3fn"
    name = names.get(format, fp8)
    if not hasattr(torch, name):
        raise Unsupported(f"this PyTorch has no {name}")
    return getattr(torch, name)


def _set_tf32(bench: Bench, allow: bool) -> None:
    """Allow or forbid tf32, by the switch that all releases have: one that is set both ways cannot be read any more."""
    backends = bench.torch.backends
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 2.9 and later recommend `fp32_precision`
        if bench.kind == "cuda":
            backends.cuda.matmul.allow_tf32 = allow
        elif bench.kind == "xpu":
            with contextlib.suppress(AttributeError):  # since 2.8
                backends.mkldnn.allow_tf32 = allow
