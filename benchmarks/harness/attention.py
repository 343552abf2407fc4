"""Attention as models call it: `scaled_dot_product_attention`, forward and backward, causal and not, over head sizes.

FLOPs count the pairs that the mask keeps (causal: half); backward is counted as twice the forward, as model FLOPs are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench

SUITE = "attention"
_CHECKED_QUERIES = 256


def trials(scope: Scope) -> Iterator[Trial]:
    """Yield forward and backward trials."""
    if scope.is_cpu:
        shapes = [(2, 8, 128, 64), (1, 8, 512, 64), (1, 4, 1024, 64), (1, 4, 256, 128)]
        shapes += [] if scope.is_quick else [(1, 8, 1024, 32), (1, 8, 2048, 64)]
        format = "fp32"
    else:
        shapes = [(8, 16, 1024, 128), (2, 16, 4096, 128), (4, 16, 2048, 64)]
        shapes += [] if scope.is_quick else [(16, 16, 512, 128), (1, 16, 16384, 128), (8, 16, 4096, 64)]
        format = "bf16"
    for batch, heads, tokens, dim in shapes:
        masks = (True,) if scope.is_quick and (tokens, dim) != (shapes[1][2], shapes[1][3]) else (True, False)
        for is_causal in masks:
            for direction in ("forward", "backward"):
                yield _trial(format, batch, heads, tokens, dim, is_causal, direction)


def _trial(format: str, batch: int, heads: int, tokens: int, dim: int, is_causal: bool, direction: str) -> Trial:
    pairs = tokens * (tokens + 1) / 2 if is_causal else tokens * tokens
    flops = 4.0 * batch * heads * pairs * dim * (2 if direction == "backward" else 1)
    mask = "causal" if is_causal else "full"
    return Trial(
        suite=SUITE,
        name=f"{format}/{mask}/{direction}/b{batch}h{heads}s{tokens}d{dim}",
        what={
            "format": format,
            "mask": mask,
            "direction": direction,
            "batch": batch,
            "heads": heads,
            "tokens": tokens,
            "head_dim": dim,
        },
        flops=flops,
        bytes=4.0 * batch * heads * tokens * dim * (4 if format == "fp32" else 2),
        needs_bytes=12.0 * batch * heads * tokens * dim * 4,
        share=0.6,
        rank=0 if is_causal else 1,
        rate_key=f"{SUITE}/{format}",
        build=lambda bench: _build(bench, format, batch, heads, tokens, dim, is_causal, direction),
    )


def _build(
    bench: Bench, format: str, batch: int, heads: int, tokens: int, dim: int, is_causal: bool, direction: str
) -> Built:
    torch = bench.torch
    functional = torch.nn.functional
    dtype = torch.float32 if format == "fp32" else torch.bfloat16

    def forward() -> Any:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)

    try:
        q, k, v = (bench.random(batch, heads, tokens, dim, dtype=dtype).requires_grad_() for _ in range(3))
        out = forward()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        if bench.is_out_of_memory(error):
            raise
        raise Unsupported(str(error).partition("\n")[0][:160]) from None
    gradient = torch.randn_like(out)

    def backward() -> Any:
        return torch.autograd.grad(out, (q, k, v), gradient, retain_graph=True)

    def check() -> float:
        # A row of the output, and the gradient of its query, need that query only: some will do for long sequences.
        step = 1 if bench.is_cpu else max(1, tokens // _CHECKED_QUERIES)
        one = [t[:1, :1].detach().cpu().double() for t in (q, k, v)]
        one[0] = one[0][:, :, ::step].clone().requires_grad_()
        scores = one[0] @ one[1].transpose(-1, -2) / dim**0.5
        if is_causal:
            places = torch.arange(tokens)
            hidden = places[None, :] > places[::step, None]
            scores = scores.masked_fill(hidden, float("-inf"))
        wanted = scores.softmax(-1) @ one[2]
        if direction == "forward":
            found = forward()[:1, :1, ::step].detach().cpu().double()
        else:
            found = backward()[0][:1, :1, ::step].cpu().double()
            wanted = torch.autograd.grad(wanted, one[0], gradient[:1, :1, ::step].cpu().double())[0]
        return float(((found - wanted).abs().max() / wanted.abs().max()).detach())

    def run_forward() -> Any:
        with torch.no_grad():
            return forward()

    return Built(
        run=backward if direction == "backward" else run_forward,
        check=check,
        tolerance=1e-4 if format == "fp32" else 3e-2,
    )
