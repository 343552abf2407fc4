"""A measured row made whole: what it leaves unsaid is filled as an expert would, and every such gap is named.

The row's own words come first; then what its software does unless told otherwise (Transformers recomputes when it
fine-tunes, Megatron shards the optimizer), then what most people run. Sequences that are only known by their maximum
are taken as long as the data lets them be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...estimators import frozen
from ...estimators.facts.records import Accelerator
from ...estimators.memory.overhead import MemoryKind
from ...estimators.models.shape import ModelShape
from ...estimators.training.layout import (
    Adapter,
    Framework,
    Layout,
    Offload,
    Optimizer,
    Precision,
    Recipe,
    Recompute,
    Workload,
    Zero,
)
from .rows import MeasuredRow, Settings, read_settings

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog

SHORT_EXAMPLE_TOKENS = 512  # the longest of a few hundred instruction examples; a guess (all of Alpaca: 1,304)
RELEASE_TEST_ACCELERATORS = 128  # Megatron's release tests do not state theirs; a guess
_FINE_TUNING = (Framework.LITGPT, Framework.HUGGING_FACE, Framework.MS_SWIFT, Framework.UNSLOTH, Framework.TORCHTUNE)
_CHECKPOINTING = (
    Framework.HUGGING_FACE,
    Framework.MS_SWIFT,
    Framework.HF_DEEPSPEED,
    Framework.TORCHTUNE,
    Framework.UNSLOTH,
    Framework.COLOSSAL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCase:
    """A row made whole: what to ask the estimator, and which settings were guessed."""

    shape: ModelShape
    layout: Layout
    recipe: Recipe
    workload: Workload
    accelerator: Accelerator
    kind: MemoryKind
    only_last_stage: bool
    is_boundary: bool
    guessed: tuple[str, ...]

    @property
    def may_recompute(self) -> bool:
        """Whether recomputation is unsaid where people switch it on as memory asks for it: pre-training at scale."""
        unsaid = "recompute" in self.guessed and self.recipe.recompute is Recompute.NONE
        return unsaid and self.recipe.framework not in _FINE_TUNING


def complete(row: MeasuredRow, catalog: Catalog) -> MemoryCase | str:
    """Fill what the row leaves unsaid; a sentence when the model cannot be known."""
    settings = read_settings(row, catalog)
    if settings is None:
        return _unknown(row)
    guessed: list[str] = [what for what in settings.filled if what != "shape by name"]
    if _is_script_default(settings):
        settings = replace(settings, zero=Zero.NONE)
    names_deepspeed = settings.framework is Framework.HF_DEEPSPEED and "deepspeed" in settings.attention_text.lower()
    if settings.zero is None and names_deepspeed:
        settings = replace(settings, zero=Zero.GRADIENTS)  # as most published configurations of DeepSpeed
    settings = replace(settings, framework=_framework(settings))
    framework = settings.framework
    layout = _layout(row, settings, guessed)
    recipe = _recipe(settings, layout, guessed)
    workload = _workload(row, settings, layout, guessed)
    kind_text = row.configuration.text("memory_kind").lower()
    if framework is None:
        guessed.append("framework")
    return MemoryCase(
        shape=settings.shape,
        layout=layout,
        recipe=recipe,
        workload=workload,
        accelerator=settings.accelerator or _unnamed_card(settings, catalog),
        kind=kind_of(kind_text),
        only_last_stage="last pipeline stage" in kind_text,
        is_boundary="boundary" in kind_text,
        guessed=tuple(guessed),
    )


def _unknown(row: MeasuredRow) -> str:
    """Say why the model of a row cannot be known."""
    cells = row.configuration
    name = cells.text("model")
    if cells.text("family") == "hybrid" or re.search(r"hybrid|nemotron.?(3|h\b)", name.lower()):
        return "a hybrid of attention and state-space layers whose pattern the row does not give"
    return f"the row gives no layers and hidden width, and no preset is called '{name}'"


def _framework(settings: Settings) -> Framework | None:
    """Transformers without ZeRO is Transformers; ms-swift stopped keeping logits with its third version (2025)."""
    is_plain = settings.framework is Framework.HF_DEEPSPEED and not settings.zero
    is_later_swift = settings.framework is Framework.MS_SWIFT and (settings.year or 0) >= 2025
    return Framework.HUGGING_FACE if is_plain or is_later_swift else settings.framework


def _is_script_default(settings: Settings) -> bool:
    """Whether a ZeRO stage is only what scripts for many GPUs set: scripts for one GPU train adapters without DeepSpeed.

    (Qwen's finetune_lora_single_gpu.sh; those in fp16 do use it.)
    """
    is_single = settings.accelerators == 1 and settings.adapter is not None and settings.precision is Precision.BF16
    return is_single and settings.zero in (Zero.OPTIMIZER, Zero.GRADIENTS) and "script default" in settings.notes


def kind_of(text: str) -> MemoryKind:
    """Return which peak a row's `memory_kind` means; what does not say is taken as the device's."""
    low = text.lower()
    if re.search(r"accelerator memory max|max.?reserved|memory_reserved", low):
        return MemoryKind.RESERVED
    if "allocated" in low or "active" in low:
        return MemoryKind.ALLOCATED
    return MemoryKind.RESERVED if re.search(r"\breserved\b(?! by the process)", low) else MemoryKind.DEVICE


def _layout(row: MeasuredRow, settings: Settings, guessed: list[str]) -> Layout:
    framework = settings.framework
    tp, cp = settings.tp or 1, settings.cp or 1
    pp, ep = settings.pp or 1, settings.ep or 1
    stated = settings.accelerators
    if stated and "device_map" in row.configuration.text("zero_or_fsdp"):
        pp = stated  # layers dealt over the devices, one batch at a time
    model_parallel = tp * pp * cp
    count = stated or model_parallel * (settings.dp or 1)
    if not stated and not settings.dp and framework is Framework.MEGATRON:
        count = max(count, RELEASE_TEST_ACCELERATORS)
        guessed.append("accelerators")
    if stated and count < model_parallel:
        guessed.append("layout contradicts the accelerator count")
    replicas = max(1, count // model_parallel)
    zero = settings.zero
    if zero is None:
        zero = Zero.NONE
        if framework is Framework.MEGATRON:
            zero = Zero.OPTIMIZER
        elif framework in (Framework.FSDP, Framework.JAX) and replicas > 1:
            zero = Zero.PARAMETERS
        if replicas > 1:
            guessed.append("zero")
    sequence = settings.sequence_parallel
    if sequence is None:
        # Recipes switch it on. A test's configuration is complete: what it leaves out is off, but mixtures need it.
        plain = "functional test" in settings.attention_text.lower() and not settings.shape.is_mixture
        sequence = tp > 1 and not plain and framework in (Framework.MEGATRON, Framework.FSDP, Framework.INTERNEVO)
    micro_batch = settings.micro_batch
    if micro_batch is None:
        said = re.search(r'"batch size per DP" column (\d+)', settings.notes)
        micro_batch = int(said[1]) if said and pp == 1 else 1  # with pipelines it is accumulated
        guessed.append("micro_batch")
    whole_experts = re.search(r"expert-tensor-parallel-size=1\b", settings.notes) or ep > replicas * cp
    expert_tp = 1 if whole_experts else None
    return Layout(
        accelerators=replicas * model_parallel,
        tp=tp,
        pp=pp,
        cp=cp,
        ep=ep,
        interleave=settings.interleave or 1,
        zero=zero,
        sequence_parallel=sequence,
        micro_batch=micro_batch,
        zero_ranks=settings.zero_ranks,
        expert_tp=expert_tp,
    )


def _recipe(settings: Settings, layout: Layout, guessed: list[str]) -> Recipe:
    framework = settings.framework
    recompute, offload = _said_recompute(settings)
    if recompute is None:
        checkpoints = framework in _CHECKPOINTING or (framework is Framework.LITGPT and layout.zero is Zero.PARAMETERS)
        recompute = Recompute.FULL if checkpoints else Recompute.NONE
        guessed.append("recompute")
    optimizer = settings.optimizer
    step_in_backward = False
    if framework is Framework.TORCHTUNE and settings.adapter is None:
        step = re.search(r"cumulative step (\d+)", settings.notes)
        step_in_backward = layout.accelerators == 1 and (step is None or int(step[1]) >= 6)
        if optimizer is None and step is None and layout.accelerators == 1:
            optimizer = Optimizer.ADAMW_8BIT  # the single-device recipes' default
    chunked = settings.chunked_loss
    if chunked is None:
        chunked = framework is Framework.TORCHTUNE and not re.search(r"cumulative|older table", settings.notes)
        if framework is Framework.FSDP and settings.compiled and "torchtitan" in settings.attention_text.lower():
            chunked = (settings.year or 2025) >= 2025  # torchtitan compiles the loss with the model (pull request 1033)
    text = settings.attention_text.upper()
    return Recipe(
        precision=settings.precision or Precision.BF16,
        optimizer=optimizer or Optimizer.ADAMW,
        recompute=recompute,
        flash_attention=_keeps_no_scores(settings),
        adapter=_adapter(settings),
        fp32_weights=not settings.pure_weights,
        autocast=settings.autocast,
        bf16_moments=settings.bf16_moments,
        offload=offload,
        framework=framework,
        compiled=bool(settings.compiled),
        step_in_backward=step_in_backward,
        chunked_loss=chunked,
        dropout=_has_dropout(settings),
        grouped_kernel="FA" in text or "FLASHATTENTION" in text,
    )


def _said_recompute(settings: Settings) -> tuple[Recompute | None, tuple[Offload, ...]]:
    """What is recomputed as far as memory goes: tensors that go to the host are as good as not kept."""
    text = settings.recompute_text.lower()
    if "offload" in text:
        return Recompute.FULL, tuple({*settings.offload, Offload.ACTIVATIONS})
    if "every other" in text:  # half of the layers: near to half of each layer
        return Recompute.PRODUCTS, settings.offload
    return settings.recompute, settings.offload


def _adapter(settings: Settings) -> Adapter | None:
    """Under an fp8 recipe the frozen base is kept in fp8. Axolotl and LLaMA-Factory undo PEFT's cast of the ends."""
    adapter = settings.adapter
    if adapter and re.search(r"axolotl|llama-?factory", settings.attention_text.lower()):
        return frozen.replace(adapter, plain_ends=True)
    if adapter and adapter.base_bits == 16 and settings.precision is Precision.FP8:
        return frozen.replace(adapter, base_bits=8.0)
    return adapter


def _keeps_no_scores(settings: Settings) -> bool:
    """Transformers falls back to PyTorch's fused attention since 2024 where FlashAttention is off."""
    modern = settings.framework is Framework.HUGGING_FACE and (settings.year or 0) >= 2025
    return True if settings.flash_attention is None or modern else settings.flash_attention


def _has_dropout(settings: Settings) -> bool:
    """GPT's kind of layer (ungated) is pre-trained with dropout by Megatron unless told otherwise."""
    if settings.framework not in (Framework.MEGATRON, Framework.MEGATRON_DEEPSPEED) or settings.task != "pretrain":
        return False
    layers = [layer for stack in settings.shape.stacks for _, layer in stack.runs]
    return all(layer.feed_forward and not layer.feed_forward.gated for layer in layers)


def _workload(row: MeasuredRow, settings: Settings, layout: Layout, guessed: list[str]) -> Workload:
    tokens = settings.sequence_tokens
    if tokens is None:
        tokens = 2048
        guessed.append("sequence length")
    kind = row.configuration.text("seq_len_kind").lower()
    if settings.sequence_is_maximum:
        guessed.append("lengths of sequences")
        spread = re.search(r"mean (\d+) tokens \(std (\d+)\)", kind)
        if spread:  # few examples are longer than that, whatever the limit
            tokens = min(tokens, int(spread[1]) + int(spread[2]))
        if "data shorter" in kind or "baseline unpacked" in settings.notes:
            tokens = min(tokens, SHORT_EXAMPLE_TOKENS)
    one_pass = layout.dp * layout.micro_batch
    if settings.global_batch:
        batch = settings.global_batch
    elif settings.micro_batches:
        batch = settings.micro_batches * one_pass
    else:
        batch = one_pass * (4 * layout.pp if layout.pp > 1 else 1)
    if "device_map" in row.configuration.text("zero_or_fsdp"):
        batch = one_pass
    buckets = "bucket" in kind or "sorted" in kind
    return Workload(
        sequence_tokens=tokens,
        global_batch=max(batch, one_pass),
        ragged=settings.sequence_is_maximum and not buckets,
    )


def _unnamed_card(settings: Settings, catalog: Catalog) -> Accelerator:
    """An NVIDIA card known by its memory alone; 80 GB where even that is unsaid."""
    model = catalog.accelerators["a100-sxm-80gb"]
    size = settings.memory_bytes or model.memory_bytes
    share = model.usable_memory_bytes / model.memory_bytes
    return frozen.replace(
        model, id="unnamed", name=settings.accelerator_text, memory_bytes=size, usable_memory_bytes=size * share
    )
