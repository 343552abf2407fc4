"""What training software does with memory besides the arithmetic of its papers: conventions and fitted factors.

A `MemoryProfile` names the conventions of one framework (where the 32-bit copy lives, in what format gradients wait,
how the loss is computed) and the few factors that no paper gives and that are fitted on measured peaks (loss buffers,
communication buffers, what the allocator keeps, how far rows scatter). They are data: `data/efficiency/memory.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MemoryKind(StrEnum):
    """Which peak is meant: tools report three, 5 to 45 % apart."""

    ALLOCATED = "allocated"  # live tensors (torch.cuda.max_memory_allocated)
    RESERVED = "reserved"  # with what the allocator caches (max_memory_reserved)
    DEVICE = "device"  # with context and libraries, what nvidia-smi shows; this decides whether a job fits


class StateScheme(StrEnum):
    """Where trained weights and their 32-bit copies live."""

    MASTER_COPY = "master copy"  # 16-bit weights on every rank, a 32-bit copy with the optimizer (arXiv:1710.03740)
    FP32_SHARDS = "fp32 shards"  # 32-bit weights; 16-bit casts exist only while in use (FSDP, autocast, JAX)
    PURE = "pure"  # weights, gradients and moments in one 16-bit format


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProfile:
    """Conventions and fitted factors of one framework. Bytes "per parameter" are per trained parameter of the rank."""

    name: str
    scheme: StateScheme
    gradient_bytes: float  # per parameter, whole on each rank below ZeRO-2
    shard_gradient_bytes: float  # per parameter of the optimizer's shard, besides (fp32 copies)
    gradients_persist: bool  # buffers that live from step to step; else freed after the optimizer step
    whole_between_syncs: bool  # accumulating under ZeRO-3 keeps whole weights and gradients until the last micro-batch
    step_bytes: float  # per parameter of the shard, temporaries of the optimizer step
    fp32_adapters: bool  # adapter weights in 32 bits beside a 16-bit base
    quantised_extra_bits: float  # per frozen quantised weight, beside its own bits (bitsandbytes; not GPTQ, AWQ)
    fused: bool  # elementwise chains keep their inputs only
    expands_kv: bool  # keys and values are repeated for all heads before attention (not with FlashAttention kernels)
    loss_bytes_per_logit: float  # live at once around the loss
    chunked_loss_bytes_per_logit: float  # the same when the loss runs in chunks
    gathered_layers: float  # layers whose whole weights are there at once under ZeRO-3
    live_parameters: float  # weights that ZeRO-3 keeps gathered at most, when that is a setting (DeepSpeed); else 0
    buffer_bytes: float  # communication buckets and workspaces, fixed
    cache_share: float  # what the allocator keeps beyond live tensors, as a share of activations and temporaries
    ragged_cache_share: float  # the same when batches differ in length
    state_cache_share: float  # as a share of states
    source: str
