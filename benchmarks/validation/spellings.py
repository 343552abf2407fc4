"""Free text of measured rows into our enums: `distributed optimizer (zero1)`, `fsdp within slice`, `bf16-true`.

Sources spell settings as they like and new ones will appear, so every reader here looks for the words that decide,
returns None for "does not say", and never fails: what cannot be understood is unsaid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...estimators.training.layout import Adapter, Framework, Offload, Optimizer, Precision, Recompute, Zero

NF4_BITS = 4.5  # 4 bits and one fp32 scale per block of 64 (arXiv:2305.14314, section 3)
NF4_DOUBLE_BITS = 4.127  # the scales quantised again
INT4_GROUP_BITS = 4.25  # GPTQ or AWQ: 4 bits, a 16-bit scale and packed zero point per group of 128
INT8_BITS = 8.0

_FRAMEWORKS: tuple[tuple[str, Framework], ...] = (
    (r"unsloth", Framework.UNSLOTH),
    (r"litgpt|lit-gpt|lit_gpt", Framework.LITGPT),
    (r"internevo|internlm/internevo", Framework.INTERNEVO),
    (r"colossal", Framework.COLOSSAL),
    (r"neuron", Framework.NEURON),
    (r"habana|gaudi", Framework.HABANA),
    (r"maxtext|paxml|\bpax\b|levanter|\bjax\b|pathways|tensorflow|mesh", Framework.JAX),
    (r"megatron-deepspeed|megatron-lm/deepspeed|gpt-neox", Framework.MEGATRON_DEEPSPEED),
    (r"automodel", Framework.FSDP),  # NeMo AutoModel is PyTorch FSDP, no Megatron
    (r"ms-swift megatron", Framework.MEGATRON),
    (r"swift", Framework.MS_SWIFT),
    (r"megatron|nemo|primus|bridge|simumax|transformer ?engine|\bngc\b|nvidia release", Framework.MEGATRON),
    (r"deepspeed|xtuner|qwen", Framework.HF_DEEPSPEED),
    (r"torchtune", Framework.TORCHTUNE),
    (r"torchtitan|fsdp|composer|foundry|lightning|nanotron", Framework.FSDP),
    (r"hf|hugging|transformers|peft|axolotl|llama-?factory|trl|accelerate", Framework.HUGGING_FACE),
    (r"pytorch|torch", Framework.FSDP),
)


def framework(text: str) -> Framework | None:
    """Return the framework that the text names, None when none is known."""
    low = text.lower()
    return next((found for pattern, found in _FRAMEWORKS if re.search(pattern, low)), None)


@dataclass(frozen=True, slots=True)
class Sharding:
    """The ZeRO stage and, for hybrid sharding, how many ranks split one copy (0: all of them)."""

    zero: Zero
    ranks: int = 0


def sharding(text: str) -> Sharding | None:
    """Read "zero2(dp8)", "fsdp-grad-op (zero2)", "distributed optimizer", "none/ddp", "zero1 within 8 GPUs (hybrid)"."""
    low = text.lower().strip()
    if not low or low in ("nan", "not stated", "unknown", "?"):
        return None
    stage = re.search(r"(?:zero|stage)[-_ ]?([0-3])", low)
    full = re.search(r"fsdp|fully.?shard|full.?shard|optim_grads_params", low)
    if re.search(r"grad.?op|no re-gather|reshard_after_forward=false|optim_grads\b", low):
        zero = Zero.GRADIENTS
    elif low.startswith("none or"):
        zero = Zero.NONE
    elif stage:
        zero = Zero(int(stage[1]))
    elif full or "hsdp" in low:
        zero = Zero.PARAMETERS
    elif ("distributed" in low and "optim" in low) or "distopt" in low:
        zero = Zero.OPTIMIZER
    elif re.search(r"none|ddp|no\b|data.?parallel|replicat|pure dp|device_map", low):
        zero = Zero.NONE
    else:
        return None
    group = re.search(r"(?:within|group|fsdp)\s+(\d+)|\((\d+)-way\)", low)
    return Sharding(zero, int(group[1] or group[2]) if group else 0)


def recompute(text: str) -> Recompute | None:
    """Read how activations are recomputed; "none stated" says nothing."""
    low = text.lower().strip()
    if not low or "stated" in low or low in ("nan", "unknown"):
        return None
    if re.fullmatch(r"(none|no|false|off|0)\b.*", low):
        return Recompute.NONE
    if "(op" in low or "op)" in low:
        return Recompute.PRODUCTS
    if re.search(r"select|partial|custom|minimal|save_|offload(?!ed to cpu)|every other|attention|core", low):
        return Recompute.SELECTIVE
    if re.search(r"full|yes|true|remat|check|uniform|block|on\b", low):
        return Recompute.FULL
    return None


def precision(text: str) -> Precision | None:
    """Read the format of the matrix products."""
    low = text.lower()
    if low.startswith("bf16"):  # "bf16 (README also mentions fp8)"
        return Precision.BF16
    for pattern, found in (
        (r"fp4|nvfp4|mxfp4", Precision.FP4),
        (r"(?<!ti)fp8|float8|int8\+|int8/fp8|mxfp8", Precision.FP8),
        (r"bf16|bfloat16", Precision.BF16),
        (r"fp16|float16|half", Precision.FP16),
        (r"tf32", Precision.TF32),
        (r"fp32|float32|single|full", Precision.FP32),
    ):
        if re.search(pattern, low):
            if found is Precision.FP4 and re.search(r"nf4|int4|bnb", low) and "nvfp4" not in low:
                continue
            return found
    return None


def is_pure(precision_text: str) -> bool:
    """Whether weights themselves are trained in the low format, without an fp32 copy (`bf16-true`)."""
    return bool(re.search(r"true|pure|stochastic", precision_text.lower()))


def is_autocast(precision_text: str) -> bool:
    """Whether weights stay in fp32 and are cast where they are used ("fp16/bf16 mixed")."""
    return "mixed" in precision_text.lower()


def optimizer(text: str) -> Optimizer | None:
    """Read the optimizer's name; "see recipe config" says nothing."""
    low = text.lower()
    for pattern, found in (
        (r"8.?bit|bnb", Optimizer.ADAMW_8BIT),
        (r"adafactor", Optimizer.ADAFACTOR),
        (r"adamw|adam\b|adam[^a-z]|lora-fa", Optimizer.ADAMW),
        (r"lion", Optimizer.LION),
        (r"muon", Optimizer.MUON),
        (r"sgd|momentum", Optimizer.SGD),
        (r"adam|lamb", Optimizer.ADAMW),
    ):
        if re.search(pattern, low):
            return found
    return None


def flash_attention(text: str) -> bool | None:
    """Whether scores are never written out whole."""
    low = text.lower().strip()
    if not low or low in ("nan", "unknown"):
        return None
    return not re.match(r"no\b|false|unfused|local|eager|naive", low)


def yes(text: str) -> bool | None:
    """Read yes or no in its many spellings."""
    low = text.lower().strip()
    if low in ("yes", "true", "1", "1.0", "on"):
        return True
    if low in ("no", "false", "0", "0.0", "off", "none"):
        return False
    return None


def offload(text: str) -> tuple[Offload, ...]:
    """Read what is kept in host memory."""
    low = text.lower()
    found = []
    if re.search(r"optim", low):
        found.append(Offload.OPTIMIZER)
    if re.search(r"param", low):
        found.append(Offload.PARAMETERS)
    if re.search(r"activ", low):
        found.append(Offload.ACTIVATIONS)
    return tuple(found)


def frozen_bits(quantization: str, precision_text: str, task: str) -> float:
    """Bits per frozen weight of an adapted model: 16 unless a quantisation is named."""
    low = f"{quantization} {precision_text}".lower()
    if not re.search(r"nf4|int4|int8|gptq|awq|\b[248] ?-?bit|\bbnb|^[48]\b", low):
        return NF4_BITS if "qlora" in task.lower() else 16.0
    if re.search(r"int8|8 ?-?bit", low):
        return INT8_BITS
    if re.search(r"-dq|double", low):
        return NF4_DOUBLE_BITS
    if re.search(r"gptq|awq", low) and not re.search(r"nf4 weights", low):
        return INT4_GROUP_BITS
    return NF4_BITS


_TARGET_WORDS: tuple[tuple[str, str], ...] = (
    (r"all|\['?gate_proj|linear", "all"),
    (r"gate|up_proj|down_proj|mlp|fc|feed", "mlp"),
    (r"q_proj|k_proj|v_proj|o_proj|attn|query|value|attention", "attention"),
    (r"lm_head|\bhead\b", "head"),
)


def adapter(
    method: str,
    rank: float | None,
    targets: str,
    base_bits: float,
    *,
    trains_embeddings: bool = False,
    usual_targets: tuple[str, ...] = ("attention", "mlp"),
) -> Adapter:
    """Read an adapter. Other methods than LoRA count as one of small rank: their memory is that of the frozen model.

    `usual_targets` are those of the software where the row names none.
    """
    low = targets.lower()
    everything = bool(re.search(r"all", low)) or len(re.findall(r"[qkvo]_proj|gate_proj|up_proj|down_proj", low)) >= 6
    if everything:
        names: tuple[str, ...] = ("attention", "mlp")
    elif not low:
        names = usual_targets
    else:
        names = tuple(name for pattern, name in _TARGET_WORDS[1:] if re.search(pattern, low)) or ("attention",)
    plain = re.search(r"lora|^$|nan", method.lower()) is not None
    scales = "adapter_v2" in method.lower()
    if re.fullmatch(r"adapter|.*(prompt|prefix|p_tuning|ln_tuning).*", method.lower()):
        names = ()  # beside the matrices, not on them
    if scales:
        names = ("attention", "mlp", "head")
    return Adapter(
        rank=int(rank) if rank and plain else 8,
        targets=names,
        base_bits=base_bits,
        trains_embeddings=trains_embeddings,
        scales_outputs=scales,
    )
