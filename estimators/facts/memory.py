"""Read the memory habits of training software (`data/efficiency/memory.yaml`) into frozen records.

`conventions` of a framework are read from its documentation and code and edited by hand; `fitted` factors, overheads
and bands are written by `benchmarks/fits/memory.py`. `memory_folds.yaml` holds the fitted factors with one tenth of
the measured families left out each time, so that `flopwise validate` predicts a shipped row from a fit that never saw
its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import FactsError
from ..frozen import dataclass
from .yamlfile import read

_FOLDER = Path(__file__).parents[2] / "data" / "efficiency"
NAME = "data/efficiency/memory.yaml"


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
    keeps_whole: bool  # ZeRO-3 leaves weights and gradients whole from the first micro-batch to the step (no_sync)
    step_bytes: float  # per parameter of the shard, temporaries of the optimizer step
    stage3_step_bytes: float  # the same under ZeRO-3
    workspace_bytes: float  # matrix libraries' workspaces, which the allocator counts
    fp32_adapters: bool  # adapter weights in 32 bits beside a 16-bit base
    quantised_extra_bits: float  # per frozen quantised weight, beside its own bits (bitsandbytes; not GPTQ, AWQ)
    fused: bool  # elementwise chains keep their inputs only
    keeps_fused_qkv: bool  # values are a view of the joint projection, which keeps queries and keys before rotation too
    unties_embeddings: bool  # keeps a copy of a tied table for the head
    expands_kv: bool  # keys and values are repeated for all heads before attention (not with FlashAttention kernels)
    loss_bytes_per_logit: float  # live at once around the loss
    chunked_loss_bytes_per_logit: float  # the same when the loss runs in chunks
    gathered_layers: float  # layers whose whole weights are there at once under ZeRO-3
    live_parameters: float  # weights that ZeRO-3 keeps gathered at most, when that is a setting (DeepSpeed); else 0
    buffer_bytes: float  # communication buckets and workspaces, fixed
    whole_buckets: bool  # buckets have their full size however little is trained (DeepSpeed)
    gathers_ends: bool  # ZeRO-3 keeps embedding and head gathered from forward to the end of backward (FSDP's root)
    peft_ends: bool  # embedding and head are in 32 bits beside NF4 weights, kept frozen beside a copy that is trained
    keeps_expert_outputs: bool  # routing weights multiply experts' outputs, else what stands before their last matrix
    cache_share: float  # what the allocator keeps beyond live tensors, as a share of activations and temporaries
    ragged_cache_share: float  # the same when batches differ in length
    state_cache_share: float  # as a share of states
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBand:
    """How far measured peaks lay from predictions that had not seen their family: log quantiles and scatter."""

    low_log: float  # 10th percentile of log(measured / predicted)
    high_log: float  # 90th
    rows: int
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """Everything that the memory model takes from data."""

    profiles: Mapping[str, MemoryProfile]
    context_bytes: Mapping[str, float]  # by vendor
    communicator_bytes: float
    cache_needed_share: float  # of the allocator's cache, what it cannot give back when memory is short
    bands: Mapping[str, MemoryBand]  # by framework, and "unknown" for software that is not told
    unsaid_log: float  # added (as variance) for each setting that had to be guessed
    as_of: str
    source: str


@cache
def load_memory_facts() -> MemoryFacts:
    """Return the memory facts.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    return memory_facts(_read("memory.yaml"))


@cache
def load_memory_folds() -> tuple[MemoryFacts, ...]:
    """Return the facts with one fold of families left out each (see `efficiency.fold_of`).

    Raises:
        FactsError: a file is missing or lacks a field.
    """
    whole = _read("memory.yaml")
    return tuple(memory_facts(whole, fold) for fold in _read("memory_folds.yaml")["folds"])


def _read(name: str) -> Mapping[str, Any]:
    file = read(_FOLDER / name, name=f"data/efficiency/{name}")
    if not isinstance(file.data, dict):
        raise file.error("must be a mapping; run benchmarks/fits/memory.py again")
    return file.data


def memory_facts(data: Mapping[str, Any], fold: Mapping[str, Any] | None = None) -> MemoryFacts:
    """Return the facts in `data`, fitted factors replaced by those of `fold` where it has them."""
    fold = fold or {}
    try:
        profiles = {}
        for name, entry in data["frameworks"].items():
            fitted = {**entry["fitted"], **fold.get("frameworks", {}).get(name, {})}
            fields = {**entry["conventions"], **fitted}
            fields["scheme"] = StateScheme(fields["scheme"])
            profiles[name] = MemoryProfile(name=name, source=entry["source"], **fields)
        overheads = {**data["overheads"], **fold.get("overheads", {})}
        return MemoryFacts(
            profiles=profiles,
            context_bytes=overheads["context_bytes"],
            communicator_bytes=overheads["communicator_bytes"],
            cache_needed_share=overheads["cache_needed_share"],
            bands={name: MemoryBand(**band) for name, band in data["bands"].items()},
            unsaid_log=data["unsaid_log"],
            as_of=str(data["as_of"]),
            source=data["source"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FactsError(f"is not what benchmarks/fits/memory.py writes: {error}", file=NAME) from None
