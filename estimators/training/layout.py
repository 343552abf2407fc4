"""How a training job is cut over accelerators, and the numerical recipe it follows.

Terms are Megatron's and DeepSpeed's: tensor (tp), pipeline (pp), context (cp) and expert (ep) parallel; data parallel
(dp) is what is left; ZeRO stages 1 to 3 (arXiv:1910.02054), FSDP full shard being stage 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Zero(IntEnum):
    """What data-parallel ranks split: nothing, optimizer state, and gradients, and parameters."""

    NONE = 0
    OPTIMIZER = 1
    GRADIENTS = 2
    PARAMETERS = 3  # ZeRO-3, FSDP full shard


class Recompute(StrEnum):
    """Which activations are recomputed in backward."""

    NONE = "none"
    SELECTIVE = "selective"  # attention scores and softmax only (arXiv:2205.05198, section 5)
    FULL = "full"  # only layer inputs are kept


class Precision(StrEnum):
    """The mixed-precision recipe: the format of the large matrix products. States follow the recipe (see recipe.py)."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    FP4 = "fp4"


class Optimizer(StrEnum):
    """Optimizers whose state we know."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"  # with momentum
    LION = "lion"
    MUON = "muon"  # momentum on matrices, AdamW on embeddings, head and vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """accelerators = tp * pp * cp * dp; ep divides dp * cp (expert parallel ranks are taken from them).

    `interleave` is the number of virtual pipeline stages per rank; `sequence_parallel` divides norms and dropouts over
    tp ranks.
    """

    accelerators: int
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    interleave: int = 1
    zero: Zero = Zero.NONE
    sequence_parallel: bool = False
    micro_batch: int = 1  # sequences per data-parallel rank per forward pass

    @property
    def dp(self) -> int:
        """Data-parallel replicas."""
        return self.accelerators // (self.tp * self.pp * self.cp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA (arXiv:2106.09685): `rank` on the named operators' matrices; QLoRA when `base_bits` is 4 (or 8)."""

    rank: int
    targets: tuple[str, ...] = ("attention", "mlp")  # groups of matrices: attention, mlp, head; or "all"
    base_bits: float = 16  # bits per frozen weight; 4 + 0.127 for NF4 with double quantisation (arXiv:2305.14314)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one optimizer step works on."""

    sequence_tokens: int
    global_batch: int  # sequences per optimizer step

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step."""
        return self.sequence_tokens * self.global_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the numbers are kept and which work is repeated."""

    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW
    recompute: Recompute = Recompute.NONE
    flash_attention: bool = True
    adapter: Adapter | None = None
    fp32_gradients: bool = True  # gradients accumulate in fp32 (Megatron); False: in the weights' format
