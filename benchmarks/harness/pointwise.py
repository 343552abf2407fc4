"""What stands between matrix products: norms, activation functions, residual sums, rotary, loss, embedding, optimizer.

Each is run as eager PyTorch runs it, forward and backward apart, on arrays inside the cache and beyond it. `values` is
the number of elements that the operator list counts for it (rows x columns), so that seconds per value can be carried
over; for the optimizer they are parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .trials import Built, Scope, Trial

if TYPE_CHECKING:
    from .device import Bench

SUITE = "pointwise"
TABLE_ROWS = 8192
# What a reader of the record may take as bytes: arrays read and written once, forward and backward.
_ARRAYS = {
    "layer_norm": (2, 4),
    "rms_norm": (2, 4),
    "gelu": (2, 3),
    "silu_gate": (3, 5),
    "add": (3, 0),
    "rotary": (4, 4),
    "cross_entropy": (3, 3),
    "embedding": (2, 3),
}


def trials(scope: Scope) -> Iterator[Trial]:
    """Yield forward and backward of each kind at two or more sizes."""
    format = "fp32" if scope.is_cpu else "bf16"
    width = 512 if scope.is_cpu else 4096
    rows = [(256, 0), (2048, 0)] if scope.is_cpu else [(512, 0), (16384, 0)]
    if not scope.is_quick:
        more = [64, 1024, 8192] if scope.is_cpu else [128, 2048, 8192]
        rows += [(count, 1) for count in more]
    for kind in _ARRAYS:
        seen: set[int] = set()
        for count, rank in rows:
            columns = 16 * width if kind == "cross_entropy" else width
            if kind == "cross_entropy":
                count = min(count, 2**26 // columns) // (4 if scope.is_cpu else 1)
            if count in seen:  # the limit makes large ones equal
                continue
            seen.add(count)
            for direction in ("forward", "backward"):
                if _ARRAYS[kind][direction == "backward"]:
                    yield _trial(kind, format, count, columns, direction, rank)
    sizes = (2**20, 2**23) if scope.is_cpu else (2**20, 2**26)
    for params in sizes:
        yield _optimizer(params)


def _trial(kind: str, format: str, rows: int, columns: int, direction: str, rank: int) -> Trial:
    width = 4 if format == "fp32" else 2
    # The gradient of a table is written whole: its values count with those that were looked up.
    values = rows * columns + (TABLE_ROWS * columns if kind == "embedding" and direction == "backward" else 0)
    return Trial(
        suite=SUITE,
        name=f"{kind}/{format}/{direction}/{rows}x{columns}",
        what={
            "kind": kind,
            "format": format,
            "direction": direction,
            "rows": rows,
            "columns": columns,
            "values": values,
        },
        bytes=float(_ARRAYS[kind][direction == "backward"] * width * values),
        needs_bytes=8.0 * 4 * values,
        share=0.4,
        rank=rank,
        build=lambda bench: _build(bench, kind, format, rows, columns, direction),
    )


def _build(bench: Bench, kind: str, format: str, rows: int, columns: int, direction: str) -> Built:
    torch = bench.torch
    f = torch.nn.functional
    dtype = torch.float32 if format == "fp32" else torch.bfloat16
    x = bench.random(rows, columns, dtype=dtype).requires_grad_()
    y = bench.random(rows, columns, dtype=dtype).requires_grad_()
    weight = bench.random(columns, dtype=dtype).requires_grad_()
    bias = bench.random(columns, dtype=dtype).requires_grad_()
    inputs: tuple[Any, ...] = (x,)
    if kind == "layer_norm":
        inputs = (x, weight, bias)
        forward: Callable[[], Any] = lambda: f.layer_norm(x, (columns,), weight, bias)
    elif kind == "rms_norm":
        inputs = (x, weight)
        forward = lambda: f.rms_norm(x, (columns,), weight, 1e-5)
    elif kind == "gelu":
        forward = lambda: f.gelu(x, approximate="tanh")
    elif kind == "silu_gate":
        inputs = (x, y)
        forward = lambda: f.silu(x) * y
    elif kind == "add":
        forward = lambda: x + y
    elif kind == "rotary":
        from .models import rotate

        heads = max(1, columns // 64)
        cos, sin = (bench.random(rows, 64, dtype=dtype) for _ in range(2))
        forward = lambda: rotate(x.view(1, rows, heads, 64).transpose(1, 2), cos, sin)
    elif kind == "cross_entropy":
        labels = torch.randint(0, columns, (rows,), device=bench.device)
        forward = lambda: f.cross_entropy(x.float(), labels)
    else:
        table = bench.random(TABLE_ROWS, columns, dtype=dtype).requires_grad_()
        words = torch.randint(0, TABLE_ROWS, (rows,), device=bench.device)
        inputs = (table,)
        forward = lambda: f.embedding(words, table)
    if direction == "forward":

        def run_forward() -> Any:
            with torch.no_grad():
                return forward()

        return Built(run=run_forward)
    out = forward()
    gradient = torch.randn_like(out)
    return Built(run=lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True))


def _optimizer(params: int) -> Trial:
    return Trial(
        suite=SUITE,
        name=f"adamw/fp32/step/{params}",
        what={"kind": "adamw", "format": "fp32", "direction": "step", "values": params},
        bytes=28.0 * params,
        needs_bytes=24.0 * params,
        share=0.6,
        build=lambda bench: _build_optimizer(bench, params),
    )


def _build_optimizer(bench: Bench, params: int) -> Built:
    torch = bench.torch
    # Eight tensors of equal size: what a layer's matrices are.
    tensors = [torch.nn.Parameter(bench.random(params // 8)) for _ in range(8)]
    optimizer = torch.optim.AdamW(tensors, lr=1e-5)
    for tensor in tensors:
        tensor.grad = torch.randn_like(tensor)
    return Built(run=optimizer.step, uses_host_clock=True)
