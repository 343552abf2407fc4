"""Bytes of weights, gradients and optimizer states on one rank, by scheme, optimizer and ZeRO stage.

With P parameters on the rank after tensor, expert and pipeline cuts, and N ranks that split one copy:

    master copy    weights 2 P, gradients g P, optimizer (4 + k) P       (arXiv:1910.02054, section 3.1: K = 12 for Adam)
    fp32 shards    weights 4 P, gradients g P, optimizer k P
    pure           weights 2 P, gradients 2 P, optimizer k P / 2

where stage 1 divides the optimizer by N, stage 2 also gradients, stage 3 also weights. k is 8 for Adam in fp32.
Experts have N / ep ranks. A frozen base (LoRA) has weights only, at `base_bits` when quantised.
"""

from __future__ import annotations

from collections.abc import Callable

from ..facts.memory import MemoryProfile, StateScheme
from ..frozen import dataclass
from ..training.layout import Adapter, Layout, Offload, Optimizer, Precision, Recipe, Zero

# Bytes of optimizer state per parameter beside the fp32 copy, in fp32: two moments or one. 8-bit Adam keeps a byte
# per moment and one fp32 scale per block of 256 (arXiv:2110.02861, section 2). Adafactor keeps row and column sums.
_STATE_BYTES = {
    Optimizer.ADAMW: 8.0,
    Optimizer.ADAMW_8BIT: 2.0 + 8.0 / 256,
    Optimizer.ADAFACTOR: 0.02,
    Optimizer.SGD: 4.0,
    Optimizer.LION: 4.0,
    Optimizer.MUON: 4.0,
}

NORMAL_FLOAT_BITS = (4.5, 4.127)  # NF4 with one scale per 64 weights, and with the scales quantised (arXiv:2305.14314)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankParameters:
    """Parameters on one rank by how they are trained and split; `ends` are embedding and head."""

    dense: float = 0.0
    expert: float = 0.0
    ends: float = 0.0
    adapter: float = 0.0
    adapter_expert: float = 0.0
    layer: float = 0.0  # the largest layer, of which ZeRO-3 gathers some at once
    end: float = 0.0  # embedding or head, whichever is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class StateBytes:
    """What outlives a micro-batch, and what the step needs besides."""

    weights: float
    frozen_weights: float
    adapters: float  # their weights
    gradients: float
    master_weights: float
    moments: float
    step_temporaries: float
    gathered: float  # whole layers under ZeRO-3, in the compute format
    trained: float  # parameters trained on this rank, before sharding


def moment_bytes(optimizer: Optimizer, *, bf16: bool) -> float:
    """Return bytes of optimizer state per parameter beside the weights' own copies."""
    size = _STATE_BYTES[optimizer]
    return size / 2 if bf16 and optimizer is not Optimizer.ADAMW_8BIT else size


def compute_bytes(precision: Precision) -> float:
    """Bytes of a weight as the matrix products read it; fp8 and fp4 recipes keep 16-bit weights and cast on the fly."""
    return 4.0 if precision in (Precision.FP32, Precision.TF32) else 2.0


def shard_ranks(layout: Layout) -> tuple[int, int]:
    """Return over how many ranks dense and expert states of one copy are split."""
    replicas = layout.dp * layout.cp
    dense = min(layout.zero_ranks or replicas, replicas)
    inside = layout.expert_tp or layout.tp
    expert = max(1, replicas * layout.tp // (layout.ep * inside))
    return max(1, dense), min(expert, dense) if layout.zero_ranks else expert


def state_bytes(params: RankParameters, layout: Layout, recipe: Recipe, profile: MemoryProfile) -> StateBytes:
    """Return the bytes of one rank's states."""
    dense_ranks, expert_ranks = shard_ranks(layout)

    def split(dense: float, expert: float, stage: Zero) -> float:
        if layout.zero < stage:
            return dense + expert
        return dense / dense_ranks + expert / expert_ranks

    adapter, size = recipe.adapter, compute_bytes(recipe.precision)
    pure = not recipe.autocast and (profile.scheme is StateScheme.PURE or not recipe.fp32_weights or size == 4.0)
    master = profile.scheme is StateScheme.MASTER_COPY and not pure and not recipe.autocast
    weight = size if pure or master else 4.0
    gradient = size if pure else 4.0 if recipe.autocast else profile.gradient_bytes if recipe.fp32_gradients else size
    moments = moment_bytes(recipe.optimizer, bf16=size < 4 and (pure or recipe.bf16_moments))
    # trained: the model, or what an adapter adds (embedding and head besides where these are trained too)
    trains_ends = adapter is None or adapter.trains_embeddings
    base = (params.ends * trains_ends + (params.dense if adapter is None else 0.0), params.expert * (adapter is None))
    added = (params.adapter, params.adapter_expert) if adapter else (0.0, 0.0)
    added_weight = 4.0 if profile.fp32_adapters else weight
    keeps_weights = Offload.PARAMETERS not in recipe.offload
    keeps_optimizer = Offload.OPTIMIZER not in recipe.offload
    gradients = gradient * split(*base, Zero.GRADIENTS) + _fp32_if(profile, gradient) * split(*added, Zero.GRADIENTS)
    shard, added_shard = split(*base, Zero.OPTIMIZER), split(*added, Zero.OPTIMIZER)
    if not pure and layout.zero is not Zero.NONE:
        gradients += profile.shard_gradient_bytes * (shard + added_shard)
    step = profile.stage3_step_bytes if layout.zero is Zero.PARAMETERS else profile.step_bytes
    weights, frozen = weight * split(*base, Zero.PARAMETERS), 0.0
    if adapter:
        frozen = _frozen_bytes(params, adapter, split, 4.0 if recipe.autocast else size, profile)
    gathered = 0.0
    whole = layout.zero is Zero.PARAMETERS and (profile.keeps_whole or layout.pp > 1)
    if layout.zero is Zero.PARAMETERS and (dense_ranks > 1 or not keeps_weights):
        gathered = _gathered_bytes(params, adapter, profile, size, whole=whole)
        if whole:  # gradients wait whole, in 32 bits under pipelines (reduced once per step), else as computed
            gradients += (4.0 if layout.pp > 1 and not pure else size) * sum(base)
    return StateBytes(
        weights=weights * keeps_weights,
        frozen_weights=frozen * keeps_weights,
        adapters=added_weight * split(*added, Zero.PARAMETERS),
        gradients=gradients * keeps_weights * (not recipe.step_in_backward),
        master_weights=4.0 * (shard + added_shard) * keeps_optimizer * master,
        moments=(moments * shard + (moments if not (pure and profile.fp32_adapters) else 2 * moments) * added_shard)
        * keeps_optimizer,
        step_temporaries=step * (shard + added_shard) * keeps_optimizer,
        gathered=gathered,
        trained=sum(base) + sum(added),
    )


def _fp32_if(profile: MemoryProfile, gradient: float) -> float:
    return 4.0 if profile.fp32_adapters else gradient


def _gathered_bytes(
    params: RankParameters, adapter: Adapter | None, profile: MemoryProfile, size: float, *, whole: bool
) -> float:
    """Whole weights that are there at once under ZeRO-3: a few layers, a set number of parameters, or all."""
    bits = size if adapter is None or adapter.base_bits >= 16 else adapter.base_bits / 8
    everything = (params.dense + params.expert) * bits + params.ends * size
    if whole:
        return everything
    layers = max(profile.gathered_layers * params.layer * bits, params.end * size + params.layer * bits)
    if profile.gathers_ends:
        layers = profile.gathered_layers * params.layer * bits + params.ends * size
    if profile.live_parameters:
        layers = max(layers, profile.live_parameters * size)
    return min(everything, layers)


def _frozen_bytes(
    params: RankParameters,
    adapter: Adapter,
    split: Callable[[float, float, Zero], float],
    size: float,
    profile: MemoryProfile,
) -> float:
    """Quantisation covers the matrices of the layers; embedding and head stay in the compute format.

    Embedding and head that are trained are counted with the trained weights; PEFT trains copies (modules_to_save).
    """
    bits = adapter.base_bits
    if bits in NORMAL_FLOAT_BITS:
        bits += profile.quantised_extra_bits
        if profile.peft_ends and not adapter.plain_ends:  # prepare_model_for_kbit_training
            size = 4.0
    layers = split(params.dense, params.expert, Zero.PARAMETERS)
    kept = profile.peft_ends or not adapter.trains_embeddings
    ends = split(params.ends, 0.0, Zero.PARAMETERS) if kept else 0.0
    return layers * (bits / 8 if bits < 16 else size) + ends * size
