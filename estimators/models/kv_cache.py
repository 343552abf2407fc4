"""Bytes that decoding keeps per sequence: keys and values, latents, windows and state-space states.

A layer keeps `AttentionShape.kv_cache_values_per_token` numbers for each token it may still look at: all of them, or a
window. Cross attention keeps the source once; a Mamba mixer keeps a state that does not grow.

Check values (arXiv:2505.09343, table 1, bf16): DeepSeek-V3 70.272 kB a token, Llama-3.1-405B 516.096, Qwen2.5-72B
327.680.
"""

from __future__ import annotations

from ..frozen import dataclass
from .shape import LayerShape, ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheValues:
    """Numbers kept for one sequence: growing with its tokens, for its source, and fixed."""

    tokens: float
    source: float
    state: float


def cache_values(shape: ModelShape, *, tokens: float, source_tokens: float | None = None) -> CacheValues:
    """Return the numbers that one sequence of `tokens` keeps, over all layers that generate.

    `source_tokens` are those of an encoder (by default as many; a stack with a fixed number keeps it).
    """
    source = shape.stacks[0].tokens or (tokens if source_tokens is None else source_tokens)
    growing = crossing = state = 0.0
    for count, layer in shape.stacks[-1].runs:
        attention = layer.attention
        if attention:
            seen = tokens if attention.window_tokens is None else min(tokens, attention.window_tokens)
            growing += count * seen * attention.kv_cache_values_per_token
        if layer.cross_attention:
            crossing += count * source * layer.cross_attention.kv_cache_values_per_token
        state += count * _state_values(layer)
    return CacheValues(tokens=growing, source=crossing, state=state)


def kv_cache_bytes(
    shape: ModelShape,
    tokens: float,
    sequences: float = 1,
    bits: float = 16,
    *,
    source_tokens: float | None = None,
    state_bits: float = 32,
) -> float:
    """Return the bytes that `sequences` sequences of `tokens` tokens keep at `bits` a number, states at `state_bits`."""
    kept = cache_values(shape, tokens=tokens, source_tokens=source_tokens)
    return sequences * ((kept.tokens + kept.source) * bits + kept.state * state_bits) / 8


def _state_values(layer: LayerShape) -> int:
    """Return the state and the last inputs of the convolution (arXiv:2312.00752, section 3)."""
    mixer = layer.state_space
    if not mixer:
        return 0
    mixed = mixer.inner + (2 * mixer.groups * mixer.state if mixer.version == 2 else 0)
    return mixer.inner * mixer.state + mixed * (mixer.conv - 1)
