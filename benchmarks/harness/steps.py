"""Whole pieces of a model: one layer forward and backward (eager and compiled), a training step, a decode step.

Small tensors on purpose where the host's time per layer is wanted: a layer of width 32 costs what its Python and its
launches cost. The other sizes tie single kernels to what a step made of them really takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .trials import Built, Scope, Trial, Unsupported

if TYPE_CHECKING:
    from .device import Bench
    from .models import Size

LAYER, STEP, DECODE = "layer", "training step", "decode step"


def layer_trials(scope: Scope) -> Iterator[Trial]:
    """Yield one layer of each kind, forward and forward with backward, and compiled where time allows."""
    from .models import size

    widths: tuple[tuple[int, int], ...] = ((512, 512),) if scope.is_cpu else ((4096, 4096),)
    if not scope.is_quick:
        widths += ((256, 256), (1024, 512)) if scope.is_cpu else ((2048, 2048), (8192, 4096))
    for hidden, tokens in widths:
        for kind in ("gpt", "llama"):
            dims = size(kind, 1, hidden, 128, head_dim=64 if scope.is_cpu else 128)
            for mode in ("eager", "compiled"):
                if mode == "compiled" and ((scope.is_cpu and not scope.is_full) or scope.is_quick):
                    continue  # the compiler alone takes longer than a quick run
                for direction in ("forward", "forward+backward"):
                    yield _layer(dims, tokens, direction, mode, scope)


def step_trials(scope: Scope) -> Iterator[Trial]:
    """Yield training steps: a tiny model for the host's time per layer, small ones for everything together."""
    from .models import size

    if scope.is_cpu:
        models = [(size("gpt", 8, 32, 64, head_dim=16), 16), (size("llama", 8, 32, 64, head_dim=16), 16)]
        models += [(size("gpt", 3, 320, 6144), 256), (size("llama", 3, 448, 6144), 256)]
        models += [(size("gpt", 4, 448, 12288), 64)]  # many parameters, few tokens: what they cost by themselves
        models += [] if scope.is_quick else [(size("gpt", 4, 640, 16384), 512), (size("llama", 6, 576, 16384), 384)]
    else:
        models = [(size("gpt", 16, 64, 64), 16), (size("llama", 16, 64, 64), 16)]
        models += [(size("gpt", 12, 1024, 32768), 1024), (size("llama", 12, 1280, 32768), 1024)]
        models += [(size("gpt", 16, 1280, 32768), 128)]
    for dims, tokens in models:
        yield _step(dims, tokens, scope)


def decode_trials(scope: Scope) -> Iterator[Trial]:
    """Yield decode steps."""
    from .models import size

    if scope.is_cpu:
        models = [(size("gpt", 8, 32, 64, head_dim=16), 8), (size("llama", 8, 32, 64, head_dim=16), 8)]
        models += [
            (size("gpt", 4, 384, 8192), 128),
            (size("llama", 5, 896, 16384), 256),
            (size("llama", 8, 256, 4096), 64),
        ]
    else:
        models = [(size("gpt", 16, 64, 64), 8), (size("llama", 16, 64, 64), 8)]
        models += [
            (size("llama", 16, 2048, 32768), 512),
            (size("gpt", 24, 1024, 32768), 128),
            (size("llama", 32, 512, 8192), 64),
        ]
    for dims, context in models:
        yield _decode(dims, context, scope)


def _facts(dims: Size, tokens: int, format: str) -> dict[str, float | str]:
    return {
        "kind": dims.kind,
        "layers": dims.layers,
        "hidden": dims.hidden,
        "heads": dims.heads,
        "kv_heads": dims.kv_heads,
        "width": dims.width,
        "vocab": dims.vocab,
        "tokens": tokens,
        "sequences": 1,
        "format": format,
    }


def _format(scope: Scope) -> str:
    return "fp32" if scope.is_cpu else "bf16"


def _layer(dims: Size, tokens: int, direction: str, mode: str, scope: Scope) -> Trial:
    format = _format(scope)
    params = dims.hidden * (2 * dims.hidden + 2 * dims.kv_heads * dims.head_dim)
    params += dims.hidden * dims.width * (2 if dims.kind == "gpt" else 3)
    flops = 2.0 * params * tokens + 2.0 * tokens * tokens * dims.hidden
    return Trial(
        suite=LAYER,
        name=f"{dims.kind}-{dims.hidden}/s{tokens}/{format}/{mode}/{direction}",
        what=_facts(dims, tokens, format) | {"mode": mode, "direction": direction},
        flops=flops * (3 if "backward" in direction else 1),
        needs_bytes=params * 12.0 + 200.0 * tokens * dims.hidden,
        rank=1 if mode == "compiled" and not scope.is_cpu else 0,  # each waits for a compiler
        build=lambda bench: _build_layer(bench, dims, tokens, direction, mode),
    )


def _build_layer(bench: Bench, dims: Size, tokens: int, direction: str, mode: str) -> Built:
    from .models import Layer

    torch = bench.torch
    dtype = torch.float32 if bench.is_cpu else torch.bfloat16
    with _made_on(bench):
        layer: Any = Layer(dims).to(bench.device, dtype)
    x = bench.random(1, tokens, dims.hidden, dtype=dtype).requires_grad_()
    cos = sin = None
    if dims.kind == "llama":
        cos, sin = (bench.random(tokens, dims.head_dim, dtype=dtype) for _ in range(2))
    rotary = (cos, sin) if dims.kind == "llama" else None
    if mode == "compiled":
        # All layers are of one class: without a fresh start the compiler would take their sizes for one that varies, and
        # give up after eight.
        torch.compiler.reset()
        layer = torch.compile(layer, dynamic=False)
    gradient = torch.randn_like(x)

    def forward() -> Any:
        with torch.no_grad():
            return layer(x, rotary)

    def both() -> None:
        layer(x, rotary).backward(gradient)

    run = both if "backward" in direction else forward
    try:
        run()
    except Exception as error:  # a compiler fails in many ways; out of memory is the runner's
        if mode == "eager" or bench.is_out_of_memory(error):
            raise
        raise Unsupported(f"torch.compile: {str(error).strip().partition(chr(10))[0][:140]}") from None
    return Built(run=run, uses_host_clock=True)


def _made_on(bench: Bench) -> Any:
    """Return a context in which parameters begin on the device: a host fills a billion in ten seconds or more."""
    if bench.kind in ("cuda", "xpu", "mps"):
        return bench.device
    return contextlib.nullcontext()


def training_step(bench: Bench, dims: Size, tokens: int, sequences: int = 1, format: str = "fp32") -> Callable[[], Any]:
    """Return a function that trains a fresh model for one step on fresh random words."""
    from .models import Model

    torch = bench.torch
    dtype = torch.float32 if format == "fp32" else torch.bfloat16
    torch.manual_seed(1)
    with _made_on(bench):
        model = Model(dims).to(bench.device, dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> Any:
        words = torch.randint(0, dims.vocab, (sequences, tokens + 1), device=bench.device)
        optimizer.zero_grad(set_to_none=True)
        loss = model(words[:, :-1], words[:, 1:])
        loss.backward()
        optimizer.step()
        return loss

    return step


def decode_step(bench: Bench, dims: Size, context: int, sequences: int = 1, format: str = "fp32") -> Callable[[], Any]:
    """Return a function that makes one token behind `context` - 1 cached ones."""
    from .models import Model

    torch = bench.torch
    dtype = torch.float32 if format == "fp32" else torch.bfloat16
    torch.manual_seed(1)
    with _made_on(bench):
        model = Model(dims).to(bench.device, dtype).eval()
    caches = model.caches(sequences, context)
    for cache in caches:
        cache.normal_()
    word = torch.randint(0, dims.vocab, (sequences, 1), device=bench.device)

    def step() -> Any:
        with torch.no_grad():
            return model(word, caches=caches, at=context - 1)

    return step


def _step(dims: Size, tokens: int, scope: Scope) -> Trial:
    from ...estimators.models.parameters import count_parameters
    from ...estimators.training.flops import step_flops
    from .models import name_of, shape_of

    shape, format = shape_of(dims), _format(scope)
    return Trial(
        suite=STEP,
        name=f"{name_of(dims)}/s{tokens}/{format}",
        what=_facts(dims, tokens, format),
        flops=step_flops(shape, sequence_tokens=tokens).model.causal,
        needs_bytes=16.0 * count_parameters(shape).total + 400.0 * tokens * dims.hidden * dims.layers,
        share=2.0,
        build=lambda bench: Built(run=training_step(bench, dims, tokens, format=format), uses_host_clock=True),
    )


def _decode(dims: Size, context: int, scope: Scope) -> Trial:
    from ...estimators.models.parameters import count_parameters
    from .models import name_of, shape_of

    format = _format(scope)
    params = count_parameters(shape_of(dims)).total
    return Trial(
        suite=DECODE,
        name=f"{name_of(dims)}/c{context}/{format}",
        what=_facts(dims, context, format),
        bytes=params * (4.0 if format == "fp32" else 2.0),
        flops=2.0 * params,
        needs_bytes=params * 6.0,
        build=lambda bench: Built(run=decode_step(bench, dims, context, format=format), uses_host_clock=True),
    )
