"""What a model costs to serve, counted from the operator list: bytes and FLOPs by part, at given weight and cache bits.

One decode step of one sequence is expanded once (`expand_decode`) at a context no window reaches, so that windowed
layers show: they see fewer keys than the context. From that list come the parts of `ModelCounts`, in which every
quantity is per token, per key or per step, so that any batch and context follow by multiplication.
"""

from __future__ import annotations

from functools import lru_cache

from ..facts.serving import WeightFormat
from ..frozen import dataclass
from ..models.expansion import expand_decode, expand_prefill
from ..models.operators import Group, Operator, OperatorKind
from ..models.shape import ModelShape
from .equations import ModelCounts

_FAR = 2**24  # keys; no window reaches it
NO_WINDOW = 1e12  # tokens
_STATE_BYTES = 2 * 2  # a recurrent state is read and written in 16 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBytes:
    """Bytes of the weights by part; `total` is what a server loads."""

    attention: float
    dense: float
    experts: float
    head: float
    embedding: float
    other: float  # norms, biases and other vectors, in 16 bits

    @property
    def total(self) -> float:
        """All of them."""
        return self.attention + self.dense + self.experts + self.head + self.embedding + self.other


@lru_cache(maxsize=1024)
def count_model(
    shape: ModelShape, weights: WeightFormat, cache_bits: float, absorbed_prefill: bool = False
) -> ModelCounts:
    """Return the counts of a decoder at a weight format and `cache_bits` per cached number.

    `absorbed_prefill` is for engines that keep latent attention in its absorbed form in prefill too.

    Raises:
        InputError: the shape cannot be expanded, or does not generate text.
    """
    operators = expand_decode(shape, context_tokens=_FAR)
    prefill = _cores(expand_prefill(shape, prompt_tokens=2))
    part = weight_bytes(shape, weights)
    flops = {"attention": 0.0, "dense": 0.0, "experts": 0.0, "head": 0.0}
    mixture_layers, experts, active, state = 0, 1.0, 1.0, 0.0
    for operator in operators:
        name = _part(operator)
        if operator.kind in (OperatorKind.MATMUL, OperatorKind.CONVOLUTION) and name in flops:
            flops[name] += 2.0 * operator.matrix_values * operator.active_share * operator.repeats
        if operator.kind is OperatorKind.SCAN:
            state += operator.cache_values * operator.repeats * _STATE_BYTES
            flops["attention"] += operator.forward_flops
        if operator.group is Group.EXPERTS and operator.kind is OperatorKind.MATMUL:
            experts, active = float(operator.batch), operator.batch * operator.active_share
            mixture_layers += operator.repeats if operator.name.endswith(".up") else 0
    full_kv = window_kv = full_pair = window_pair = full_first = window_first = 0.0
    window, shards = NO_WINDOW, 1.0
    for index, core in enumerate(_cores(operators)):
        per_pair = 2.0 * core.heads * (core.head_dim + core.value_dim) * core.repeats
        first = prefill[index] if index < len(prefill) else core
        per_first = 2.0 * first.heads * (first.head_dim + first.value_dim) * first.repeats
        per_first = per_pair if absorbed_prefill else per_first
        kept = core.cache_values / core.pairs * core.repeats * cache_bits / 8
        shards = max(shards, float(core.kv_heads))
        if core.pairs < _FAR:
            window = core.pairs
            window_kv, window_pair, window_first = window_kv + kept, window_pair + per_pair, window_first + per_first
        else:
            full_kv, full_pair, full_first = full_kv + kept, full_pair + per_pair, full_first + per_first
    return ModelCounts(
        layers=float(shape.stacks[-1].layers),
        mixture_layers=float(mixture_layers),
        hidden=float(shape.hidden),
        attention_bytes=part.attention,
        dense_bytes=part.dense,
        expert_bytes=part.experts,
        head_bytes=part.head,
        experts=experts,
        active_experts=active,
        attention_flops=flops["attention"],
        dense_flops=flops["dense"],
        expert_flops=flops["experts"],
        head_flops=flops["head"],
        full_kv_bytes=full_kv,
        window_kv_bytes=window_kv,
        window_tokens=float(window),
        state_bytes=state,
        decode_pair_flops=full_pair,
        decode_window_pair_flops=window_pair,
        prefill_pair_flops=full_first,
        prefill_window_pair_flops=window_first,
        kv_shards=shards,
    )


@lru_cache(maxsize=1024)
def weight_bytes(shape: ModelShape, weights: WeightFormat) -> WeightBytes:
    """Return the bytes of all weights at a format, by part; a tied embedding is stored once, at the head's bits."""
    bits = {"attention": 0.0, "dense": 0.0, "experts": 0.0, "head": 0.0, "embedding": 0.0, "other": 0.0}
    operators = expand_decode(shape, context_tokens=2)
    values = {core.run: core.kv_heads * core.value_dim for core in _cores(operators)}
    for operator in operators:
        name = _part(operator)
        if operator.kind in (OperatorKind.MATMUL, OperatorKind.CONVOLUTION) and name != "embedding":
            bits[name] += operator.matrix_values * operator.repeats * _bits(operator, weights, values)
        elif operator.kind is OperatorKind.EMBEDDING:
            if not shape.tied_embeddings:  # the head is counted where it is multiplied
                bits["embedding"] += operator.weight_params * operator.repeats * weights.embedding_bits
        else:
            bits["other"] += operator.weight_params * operator.repeats * 16.0
    return WeightBytes(**{name: value / 8 for name, value in bits.items()})


def _cores(operators: tuple[Operator, ...]) -> list[Operator]:
    return [op for op in operators if op.kind is OperatorKind.ATTENTION and op.group is Group.ATTENTION and op.pairs]


def _part(operator: Operator) -> str:
    if operator.group is Group.EXPERTS:
        return "experts"
    if operator.group is Group.HEAD:
        return "head"
    if operator.group is Group.EMBEDDING:
        return "embedding"
    if operator.group in (Group.ATTENTION, Group.CROSS_ATTENTION, Group.STATE_SPACE):
        return "attention"
    return "dense"


def _bits(operator: Operator, weights: WeightFormat, values: dict[int, int]) -> float:
    """Return the mean bits per weight of one product; mixed recipes give some matrices more.

    `values` holds the columns of the value projection by run of layers.
    """
    if operator.group is Group.HEAD:
        return weights.head_bits
    if operator.group is Group.EXPERTS:
        return weights.down_bits if operator.name.endswith("down") else weights.bits
    if weights.dense_bits != weights.bits:
        return weights.dense_bits
    if operator.name.endswith("down"):
        return weights.down_bits
    if operator.group is Group.ATTENTION and operator.matrices == 3:  # query, key and value in one product
        return weights.bits + (weights.value_bits - weights.bits) * values.get(operator.run, 0) / operator.columns
    return weights.bits
