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
from dataclasses import dataclass

from ..training.layout import Adapter, Layout, Offload, Optimizer, Precision, Recipe, Zero
from .profile import MemoryProfile, StateScheme

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
    pure = profile.scheme is StateScheme.PURE or not recipe.fp32_weights or size == 4.0
    master = profile.scheme is StateScheme.MASTER_COPY and not pure
    weight = size if pure or master else 4.0
    gradient = size if pure else profile.gradient_bytes if recipe.fp32_gradients else size
    # trained: the model, or what an adapter adds (with copies of embedding and head where these are trained too)
    if adapter is None:
        base = (params.dense + params.ends, params.expert)
        added = (0.0, 0.0)
    else:
        base = (params.ends if adapter.trains_embeddings else 0.0, 0.0)
        added = (params.adapter, params.adapter_expert)
    trained = (base[0] + added[0], base[1] + added[1])
    shard = split(*trained, Zero.OPTIMIZER)
    keeps_weights = Offload.PARAMETERS not in recipe.offload
    keeps_optimizer = Offload.OPTIMIZER not in recipe.offload
    gathered = 0.0
    if layout.zero is Zero.PARAMETERS and (dense_ranks > 1 or not keeps_weights):
        gathered = max(profile.gathered_layers * params.layer, params.end + params.layer) * size
    return StateBytes(
        weights=weight * split(*base, Zero.PARAMETERS) * keeps_weights,
        frozen_weights=_frozen_bytes(params, adapter, split, size) * keeps_weights if adapter else 0.0,
        adapters=weight * split(*added, Zero.PARAMETERS),
        gradients=gradient * split(*trained, Zero.GRADIENTS) + (0.0 if pure else profile.shard_gradient_bytes * shard),
        master_weights=4.0 * shard * keeps_optimizer * master,
        moments=moment_bytes(recipe.optimizer, bf16=size < 4 and (pure or recipe.bf16_moments)) * shard * keeps_optimizer,
        step_temporaries=profile.step_bytes * shard * keeps_optimizer,
        gathered=gathered,
        trained=sum(trained),
    )


def _frozen_bytes(
    params: RankParameters, adapter: Adapter, split: Callable[[float, float, Zero], float], size: float
) -> float:
    """Quantisation covers the matrices of the layers; embedding and head stay in the compute format."""
    layers = split(params.dense, params.expert, Zero.PARAMETERS)
    ends = split(params.ends, 0.0, Zero.PARAMETERS)
    return layers * (adapter.base_bits / 8 if adapter.base_bits < 16 else size) + ends * size
