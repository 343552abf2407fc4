"""What fits: weights per chip, what the engine keeps for itself, and how much cache is left.

vLLM and SGLang fill a share of all memory; TensorRT-LLM a share of what weights and runtime leave (`of_free`).
"""

from __future__ import annotations

from ..frozen import dataclass
from .counts import weight_bytes
from .setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemory:
    """Bytes per chip of one replica, and the cache of the whole replica."""

    weights: float
    reserve: float  # runtime, activations, graphs
    cache: float  # room for keys and values
    unused: float  # kept free by the engine's own limit
    total: float  # of the device
    cache_tokens: float  # tokens of context that the replica's cache holds
    bytes_per_token: float  # of one token in the replica's cache, copies counted

    @property
    def fits(self) -> bool:
        """Whether the weights leave room for at least one token."""
        return self.cache > 0


def weights_per_chip(setup: Setup) -> float:
    """Return the bytes of weights on each chip of a replica; data-parallel attention keeps a copy per rank."""
    weights = weight_bytes(setup.shape, setup.weights)
    chips = setup.tensor * setup.pipeline
    copied = (weights.attention + weights.embedding + weights.head) * (setup.attention_copies - 1)
    return (weights.total + copied) / chips


def cache_bytes_per_token(setup: Setup) -> float:
    """Return the bytes that one token of one sequence takes in a replica, over all its chips.

    Tensor parallelism beyond the number of KV heads copies them; a latent cache is copied on every rank.
    """
    model = setup.counts()
    shards = min(setup.tensor / setup.attention_copies, model.kv_shards)
    copies = setup.tensor / setup.attention_copies / shards
    return (model.full_kv_bytes + (0.0 if model.full_kv_bytes else model.window_kv_bytes)) * copies


def sequence_bytes(setup: Setup, tokens: float) -> float:
    """Return the bytes of one sequence of `tokens` tokens in a replica: cache, windows and recurrent state."""
    model = setup.counts()
    shards = min(setup.tensor / setup.attention_copies, model.kv_shards)
    copies = setup.tensor / setup.attention_copies / shards
    seen = min(tokens, model.window_tokens)
    return (tokens * model.full_kv_bytes + seen * model.window_kv_bytes) * copies + model.state_bytes / 2


def serving_memory(setup: Setup) -> ServingMemory:
    """Return what lies where on a chip of one replica; `cache` is 0 where the weights do not fit."""
    device = setup.accelerator.usable_memory_bytes
    seen = setup.accelerator.seen_memory_bytes or device
    weights, reserve = weights_per_chip(setup), setup.engine.reserve_bytes
    share = setup.engine.memory_share
    if setup.engine.is_share_of_free:
        room = share * (seen - weights - reserve)
    else:
        room = share * seen - weights - reserve
    room = max(0.0, min(room, device - weights))
    per_token = cache_bytes_per_token(setup)
    chips = setup.tensor * setup.pipeline
    return ServingMemory(
        weights=weights,
        reserve=reserve,
        cache=room,
        unused=max(0.0, device - weights - reserve - room),
        total=device,
        cache_tokens=room * chips / per_token if per_token else 0.0,
        bytes_per_token=per_token,
    )


def room_sequences(setup: Setup, tokens: float) -> float:
    """Return how many sequences of `tokens` tokens one replica's cache holds."""
    memory = serving_memory(setup)
    each = sequence_bytes(setup, tokens)
    return memory.cache * setup.tensor * setup.pipeline / each if each else 1e6
