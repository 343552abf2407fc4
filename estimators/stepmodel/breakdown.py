"""Where the milliseconds of a step go: causes that overlap are charged so that the parts add up to the step.

A cause is charged what the step would lose without it, one after the other in a fixed order: what is left when all are
gone is the time of the matrix products alone. `combine` is evaluated once for each cause.
"""

from __future__ import annotations

from ..frozen import replace
from .step import Factors, Parts, combine

_CAUSES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("waiting for the slowest rank", "ranks differ; grows with the number of nodes", ("straggle",)),
    ("fixed time of a step", "data, logging, scaler, optimizer launches", ("fixed_s",)),
    ("optimizer", "memory traffic of states", ("optimizer",)),
    ("gradient reduction", "what does not hide behind backward", ("reduce",)),
    ("pipeline bubble", "(pp - 1) / v micro-batches of fill and drain", ("fill",)),
    ("transfers between stages", "activations and their gradients", ("boundary",)),
    ("gathers of sharded parameters", "ZeRO-3: what compute does not hide, and what it costs compute", ("gather",)),
    ("expert all-to-all", "tokens to their experts and back", ("expert",)),
    ("context-parallel ring", "keys and values round the ranks of a sequence", ("context",)),
    ("tensor-parallel collectives", "two all-reduces forward and backward per layer", ("tensor", "sync_s")),
    ("launch of kernels", "the host cannot issue work as fast as the device does it", ("launch_s", "call_s", "hook_s")),
    ("elementwise, norms, loss", "memory traffic", ("traffic",)),
    ("score matrices", "attention that writes its scores", ("scores",)),
    ("routing", "permutation of tokens to experts", ("routing",)),
    ("conversion to low precision", "amax, scaling and casts, expansion of quantised weights", ("convert",)),
    ("attention", "fused kernel, forward and backward", ("attention",)),
    ("experts' products", "grouped products of routed experts", ("experts",)),
)

_LEAST = 1e-3  # smaller causes go with the next one


def breakdown(parts: Parts, factors: Factors) -> tuple[tuple[str, float, str], ...]:
    """Return (name, seconds, why), largest causes as they stand, ending with the matrix products; zeros are left out."""
    whole = left = float(combine(parts, factors)[0])
    found = []
    again = (parts.again_matrix, parts.again_attention, parts.again_traffic, parts.again_tensor)
    for name, why, zeroed in _CAUSES:
        factors = replace(factors, **dict.fromkeys(zeroed, 0.0))
        seconds = float(combine(parts, factors)[0])
        if left - seconds > _LEAST * whole:
            found.append((name, left - seconds, why))
            left = seconds
    if any(again):
        once = replace(parts, again_matrix=0.0, again_attention=0.0, again_traffic=0.0, again_tensor=0.0)
        seconds = float(combine(once, factors)[0])
        found.append(("recomputation", left - seconds, "products of the forward pass run again in backward"))
        left = seconds
    found.append(("matrix products", left, "forward and backward at the fitted surfaces"))
    return tuple(reversed(found))
