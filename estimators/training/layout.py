"""How a training job is cut over accelerators, and the numerical recipe it follows.

Terms are Megatron's and DeepSpeed's: tensor (tp), pipeline (pp), context (cp) and expert (ep) parallel; data parallel
(dp) is what is left; ZeRO stages 1 to 3 (arXiv:1910.02054), FSDP full shard being stage 3.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from ..frozen import dataclass


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
    PRODUCTS = "products"  # attention's output and every second matrix product's are kept (torchtitan "selective op")


class Precision(StrEnum):
    """The mixed-precision recipe: the format of the large matrix products. States follow the recipe (see recipe.py)."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    FP4 = "fp4"


class AttentionKernel(StrEnum):
    """The generation of the fused attention kernel, where it is known; DEFAULT is that of the stack and its year."""

    DEFAULT = "default"
    FLASH_2 = "flash-2"  # FlashAttention 2 and PyTorch's SDPA (arXiv:2307.08691)
    FLASH_3 = "flash-3"  # FlashAttention 3 and 4 (arXiv:2407.08608)


class Scaling(StrEnum):
    """How low-precision products are scaled: one factor for a tensor, or one for each small block of it."""

    TENSOR = "tensor"  # delayed, current or row-wise scaling
    BLOCK = "block"  # 1 x 128 and 128 x 128 blocks (DeepSeek-V3) or blocks of 32 (mxfp8)


class Optimizer(StrEnum):
    """Optimizers whose state we know."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"  # with momentum
    LION = "lion"
    MUON = "muon"  # momentum on matrices, AdamW on embeddings, head and vectors


class Framework(StrEnum):
    """Training software, as far as its habits decide memory and time; releases and forks count to the nearest."""

    MEGATRON = "megatron"  # Megatron-LM/Core, NeMo, Megatron-Bridge, Primus
    MEGATRON_DEEPSPEED = "megatron-deepspeed"  # fp16/bf16 optimizer of DeepSpeed under Megatron's parallel layers
    FSDP = "fsdp"  # PyTorch FSDP with its own trainer: torchtitan, LLM Foundry, fms-fsdp
    TORCHTUNE = "torchtune"  # one device or FSDP, weights in pure bf16
    HUGGING_FACE = "hugging-face"  # Transformers and its trainers: PEFT, Axolotl, LLaMA-Factory
    MS_SWIFT = "ms-swift"  # Transformers with token accuracy taken from kept logits
    HF_DEEPSPEED = "hf-deepspeed"  # Transformers on DeepSpeed ZeRO: XTuner, Qwen's recipes
    LITGPT = "litgpt"
    UNSLOTH = "unsloth"
    INTERNEVO = "internevo"
    COLOSSAL = "colossal-ai"
    JAX = "jax"  # MaxText, Pax, Levanter
    NEURON = "neuron"  # AWS NeuronX on Trainium
    HABANA = "habana"  # Optimum Habana on Gaudi


class Offload(StrEnum):
    """What lives in host memory between uses."""

    OPTIMIZER = "optimizer"
    PARAMETERS = "parameters"
    ACTIVATIONS = "activations"


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
    zero_ranks: int | None = None  # ranks that split one copy (hybrid sharding); None: all of dp x cp
    expert_tp: int | None = None  # tensor parallel degree inside an expert; None: tp

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
    trains_embeddings: bool = False  # embedding and head are trained in full besides the adapters
    plain_ends: bool = False  # embedding and head stay in 16 bits beside NF4 weights (Axolotl, LLaMA-Factory)
    scales_outputs: bool = False  # a learned scale on outputs, which backward then keeps (adapter v2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one optimizer step works on."""

    sequence_tokens: int
    global_batch: int  # sequences per optimizer step
    ragged: bool = (
        False  # sequences differ in length and sequence_tokens is the longest: buffers are cut anew each step
    )

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
    fp32_weights: bool = True  # an fp32 copy of trained weights is kept; False: pure bf16, states in bf16 too
    autocast: bool = False  # weights, frozen ones too, are kept in fp32 and cast where they are used (torch autocast)
    bf16_moments: bool = False  # Adam's moments in bf16 although weights have an fp32 copy (DeepSeek-V3)
    offload: tuple[Offload, ...] = ()
    framework: Framework | None = None  # None: not decided; the band covers the usual ones
    dropout: bool = False  # the GPT recipe's dropout, whose masks wait for backward
    grouped_kernel: bool = False  # attention reads grouped keys and values as they are (FlashAttention 2 and later)
    compiled: bool = False  # torch.compile or the like fuses elementwise work
    scaling: Scaling = Scaling.TENSOR  # of fp8 products
    attention_kernel: AttentionKernel = AttentionKernel.DEFAULT
    software_year: float | None = None  # when the software was released (2026.4: end of May 2026); None: current
    step_in_backward: bool = False  # each weight is stepped as soon as its gradient is there; none waits
    chunked_loss: bool = False  # cross-entropy by chunks or fused with the head: logits never exist whole
