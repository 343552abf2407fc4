"""Which software a job runs on, as far as it decides time, and the fitted factors that go with it.

A stack is known by seven kinds, each with a few levels, because few sources measure each stack and levels shared between
stacks can be checked against more of them:

    software   the stack itself: an overhead on device time
    family     the chip's family: what a run loses to clock and power against a benchmark of single kernels
    attention  the generation of the attention kernel: FlashAttention 1, 2, cuDNN, XLA
    fusion     whether elementwise chains are fused (compiled, Transformer Engine, XLA) or run one by one
    host       what feeds the device: Megatron before 2023, Megatron-Core, PyTorch eager, XLA
    format     the format of the layers' products: how conversions are scaled and fused
    mixture    mixtures of experts on Megatron-Core since mid 2026 run routing, dispatch and grouped products fused
               and whole iterations as graphs

A level that no measured row has counts as 1: the mean of its kind under the fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..frozen import dataclass
from ..training.layout import AttentionKernel, Framework, Recipe
from .step import Factors

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from .chip import Chip

CURRENT_YEAR = 2026.9
FUSED_MIXTURE_YEAR = 2026.4  # NeMo container 26.06
XLA_GPU_YEAR = 2024  # XLA on GPUs gained its latency-hiding scheduler and fused attention
CUDNN_YEAR = 2025  # Transformer Engine before it mostly dispatched to FlashAttention 2
FIRST_FLASH_YEAR = 2023  # PyTorch stacks of this year and before ran FlashAttention 1 (Triton or CUDA)
MEGATRON_CORE_YEAR = 2023  # before it: Megatron-LM without sequence parallelism overlap and fused attention
_FACTORS = Factors.__match_args__
_FUSED = ("fsdp-compiled", "torchtune", "megatron", "jax-gpu", "jax-gpu-2023", "jax-tpu", "neuron", "rocm")
_HOST = {"megatron-old": "old", "megatron": "megatron", "rocm": "megatron", "jax-gpu": "xla", "jax-tpu": "xla"}
_HOST |= {"neuron": "xla", "jax-gpu-2023": "xla"}
_RELATIVE = {"Blackwell Ultra": "Blackwell", "CDNA4": "CDNA3", "CDNA2": "CDNA3"}  # by generation of the board
_DEEPSPEED = (Framework.HF_DEEPSPEED, Framework.HUGGING_FACE, Framework.UNSLOTH, Framework.COLOSSAL)


@dataclass(frozen=True, slots=True)
class Stack:
    """The levels of a job's software."""

    software: str
    family: str
    attention: str
    fusion: str
    host: str
    format: str
    mixture: str


def stack_of(recipe: Recipe, accelerator: Accelerator, chip: Chip, *, low: str = "", is_mixture: bool = False) -> Stack:
    """Return the stack of a job; an undecided framework is the usual one of the chip's vendor."""
    software = _software(recipe, accelerator)
    return Stack(
        software=software,
        family=_RELATIVE.get(chip.family, chip.family),
        attention=_attention(software, recipe, chip),
        fusion="fused" if software in _FUSED else "eager",
        host=_HOST.get(software, "torch"),
        format=low or "bf16",
        mixture=_mixture(software, recipe) if is_mixture else "none",
    )


def _mixture(software: str, recipe: Recipe) -> str:
    is_new = software == "megatron" and (recipe.software_year or CURRENT_YEAR) >= FUSED_MIXTURE_YEAR
    return "fused" if is_new else "plain"


def _software(recipe: Recipe, accelerator: Accelerator) -> str:
    framework, year = recipe.framework, recipe.software_year or CURRENT_YEAR
    if accelerator.vendor == "AMD":
        return "rocm"
    if framework is None:
        vendors = {"Google": Framework.JAX, "AWS": Framework.NEURON, "Amazon": Framework.NEURON}
        framework = vendors.get(accelerator.vendor, Framework.MEGATRON)
    if framework is Framework.MEGATRON_DEEPSPEED or (framework is Framework.MEGATRON and year < MEGATRON_CORE_YEAR):
        return "megatron-old"
    if framework in (Framework.FSDP, Framework.LITGPT):
        return "fsdp-compiled" if recipe.compiled else "fsdp"
    if framework in _DEEPSPEED:
        return "hf"
    if framework is Framework.JAX:
        if accelerator.vendor == "Google":
            return "jax-tpu"
        return "jax-gpu" if year >= XLA_GPU_YEAR else "jax-gpu-2023"
    return framework.value


def _attention(software: str, recipe: Recipe, chip: Chip) -> str:
    if chip.family in ("TPU", "NeuronCore"):
        return "xla"
    is_old = chip.family in ("Ampere", "Volta", "Turing", "Ada")
    kernel = recipe.attention_kernel
    if kernel is AttentionKernel.FLASH_3:
        return "ampere" if is_old else "fa3"
    if kernel is AttentionKernel.FLASH_2:
        return "ampere" if is_old else "fa2"
    if software.startswith("fsdp") and (recipe.software_year or CURRENT_YEAR) < FIRST_FLASH_YEAR + 1:
        return "fa1-ampere" if is_old else "fa1-hopper"
    if is_old:
        return "ampere"
    if software == "megatron" and (recipe.software_year or CURRENT_YEAR) < CUDNN_YEAR:
        return "te-2024"
    return "cudnn" if software in ("megatron", "jax-gpu", "jax-gpu-2023", "rocm") else "fa2"


# The kinds whose levels each factor knows.
KINDS: Mapping[str, tuple[str, ...]] = {
    "overhead": ("software", "family", "mixture"),
    "low": ("format",),
    "convert": ("format",),
    "attention": ("attention",),
    "traffic": ("fusion",),
    "launch_s": ("host",),
    "tensor": ("host",),
    "gather": ("host",),
}


def factors_of(stack: Stack, values: Mapping[str, float]) -> Factors:
    """Return the factors of a stack from fitted values by name."""
    return Factors(**{name: _factor(name, stack, values) for name in _FACTORS})


def levels_of(name: str, stack: Stack) -> Iterable[str]:
    """Yield the names of the level values that multiply factor `name`."""
    for kind in KINDS.get(name, ()):
        yield f"{name}@{getattr(stack, kind)}"


def _factor(name: str, stack: Stack, values: Mapping[str, float]) -> float:
    value = values[name]
    for level in levels_of(name, stack):
        value *= values.get(level, 1.0)
    return value
