"""Replays measured peaks of training memory through `estimators/memory` and scores them (`flopwise validate memory`).

Each row is predicted from its configuration alone. What it leaves unsaid is filled as an expert would, and each such
gap widens the range. A row that names its tool (allocated, reserved, nvidia-smi) is predicted as that tool counts; a
reserved or device figure cannot exceed the card, so the prediction is cut there. Rows that ran out of memory have no
peak: the chance of running out must exceed one half. Rows that give the longest context which fits a card are
boundaries: what the job needs there is compared with the card.

Shipped rows are predicted with the factors of a fit that left their family out (`memory_folds.yaml`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...estimators.errors import FlopwiseError
from ...estimators.facts.efficiency import fold_of
from ...estimators.facts.memory import MemoryFacts, load_memory_facts, load_memory_folds
from ...estimators.facts.records import Accelerator
from ...estimators.memory.overhead import MemoryKind
from ...estimators.memory.training import TrainingMemory, training_memory
from ...estimators.models.shape import ModelShape
from ...estimators.training.layout import (
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
from ...estimators.units import GIB
from .rows import MeasuredRow, Settings, read_rows, read_settings

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog

SHIPPED = Path(__file__).parents[2] / "data" / "measured" / "training_memory.csv"
SHORT_EXAMPLE_TOKENS = 512  # the longest of a few hundred instruction examples; a guess (all of Alpaca: 1,304)
RELEASE_TEST_ACCELERATORS = 128  # Megatron's release tests do not state theirs; a guess
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryResult:
    """One row scored. Bytes; `error` is predicted / measured - 1, None where there is no measured peak."""

    id: str
    source: str
    model: str
    quality: str
    counts: bool  # whether it enters the summary (scored rows with a measured peak)
    measured: float | None
    predicted: float | None
    low: float | None
    high: float | None
    probability_of_running_out: float | None
    ran_out: bool
    is_boundary: bool
    guessed: tuple[str, ...]
    states_only: float | None  # a common rule of thumb: weights, gradients and optimizer, nothing else
    reason: str = ""

    @property
    def status(self) -> str:
        """Whether the row could be predicted."""
        return "unsupported" if self.predicted is None else "scored"

    @property
    def error(self) -> float | None:
        """Signed relative error."""
        return self.predicted / self.measured - 1 if self.predicted and self.measured else None

    @property
    def inside(self) -> bool | None:
        """Whether the measured peak lies in the range."""
        if self.measured is None or self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySummary:
    """Errors of one source, or over all of them. Fractions; None where no row counts."""

    source: str
    rows: int
    unsupported: int
    median: float | None
    p90: float | None
    bias: float | None
    coverage: float | None
    width: float | None  # median of high / low
    states_only_median: float | None
    ran_out: int
    ran_out_called_safe: int
    fits: int
    fits_called_impossible: int


def replay(rows: Iterable[MeasuredRow], catalog: Catalog, *, folds: bool = False) -> tuple[MemoryResult, ...]:
    """Return every row scored; with `folds` each from a fit that left its family out."""
    facts = load_memory_facts()
    by_fold = load_memory_folds() if folds else ()
    results = []
    for row in rows:
        chosen = by_fold[fold_of_row(row, len(by_fold))] if by_fold else facts
        results.append(score(row, catalog, chosen))
    return tuple(results)


def replay_file(path: Path | None, catalog: Catalog) -> tuple[MemoryResult, ...]:
    """Return the scored rows of a CSV file, by default of the shipped one (those out of fold).

    Raises:
        InputError: the file cannot be read.
    """
    return replay(read_rows(path or SHIPPED), catalog, folds=path is None)


def fold_of_row(row: MeasuredRow, folds: int) -> int:
    """Return the fold whose fit has not seen the row's family."""
    return fold_of(row.family, folds)


def score(row: MeasuredRow, catalog: Catalog, facts: MemoryFacts) -> MemoryResult:
    """Predict one row and compare."""
    gib = row.measured.number("peak_memory_gib") or row.measured.number("peak_memory_gb_per_gpu")
    measured = gib * GIB if gib else None
    ran_out = row.measured.text("fits").lower().startswith("no")
    common = {
        "id": row.id,
        "source": row.source,
        "model": row.configuration.text("model"),
        "quality": row.quality,
        "measured": None if ran_out else measured,
        "ran_out": ran_out,
    }
    try:
        case = complete(row, catalog)
        memory = predict(case, facts) if isinstance(case, MemoryCase) else None
        reason = "" if memory else str(case)
    except FlopwiseError as error:
        case, memory, reason = None, None, str(error)
    if memory is None or not isinstance(case, MemoryCase):
        return MemoryResult(
            **common,  # type: ignore[arg-type]
            counts=False,
            predicted=None,
            low=None,
            high=None,
            probability_of_running_out=None,
            is_boundary=False,
            guessed=(),
            states_only=None,
            reason=reason,
        )
    low, mid, high = memory.peak.low, memory.peak.mid, memory.peak.high
    if case.is_boundary:  # what it needs, against the card
        low, mid, high = (memory.needed_bytes / mid * value for value in (low, mid, high))
    elif case.kind is not MemoryKind.ALLOCATED:
        card = case.accelerator.usable_memory_bytes
        low, mid, high = min(low, card), min(mid, card), min(high, card)
    return MemoryResult(
        **common,  # type: ignore[arg-type]
        counts=row.scored and measured is not None and not ran_out and not case.is_boundary,
        predicted=mid,
        low=low,
        high=high,
        probability_of_running_out=memory.probability_of_running_out,
        is_boundary=case.is_boundary,
        guessed=case.guessed,
        states_only=_states_only(memory),
    )


def predict(case: MemoryCase, facts: MemoryFacts) -> TrainingMemory:
    """Ask the estimator."""
    return training_memory(
        case.shape,
        layout=case.layout,
        recipe=case.recipe,
        workload=case.workload,
        accelerator=case.accelerator,
        kind=case.kind,
        unsaid=len(case.guessed),
        facts=facts,
        only_last_stage=case.only_last_stage,
    )


def _states_only(memory: TrainingMemory) -> float:
    names = {"weights", "frozen weights", "adapters", "gradients", "fp32 copy of weights", "optimizer moments"}
    return sum(part.bytes for part in memory.parts if part.name in names)


# --- making a row whole -----------------------------------------------------------------------------------------------


def complete(row: MeasuredRow, catalog: Catalog) -> MemoryCase | str:
    """Fill what the row leaves unsaid; a sentence when the model cannot be known."""
    settings = read_settings(row, catalog)
    if settings is None:
        return _unknown(row)
    guessed: list[str] = [what for what in settings.filled if what != "shape by name"]
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
        sequence = tp > 1 and framework in (Framework.MEGATRON, Framework.FSDP, Framework.INTERNEVO)
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
    recompute = settings.recompute
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
    text = settings.attention_text.upper()
    return Recipe(
        precision=settings.precision or Precision.BF16,
        optimizer=optimizer or Optimizer.ADAMW,
        recompute=recompute,
        flash_attention=_keeps_no_scores(settings),
        adapter=settings.adapter,
        fp32_weights=not settings.pure_weights,
        autocast=settings.autocast,
        bf16_moments=settings.bf16_moments,
        offload=settings.offload,
        framework=framework,
        compiled=bool(settings.compiled),
        step_in_backward=step_in_backward,
        chunked_loss=chunked,
        dropout=_has_dropout(settings),
        grouped_kernel="FA" in text or "FLASHATTENTION" in text,
    )


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
    return replace(
        model, id="unnamed", name=settings.accelerator_text, memory_bytes=size, usable_memory_bytes=size * share
    )


# --- summary ----------------------------------------------------------------------------------------------------------


def summarise(results: Sequence[MemoryResult]) -> tuple[MemorySummary, ...]:
    """Return one summary per source, then "mean over sources" of their errors, then "all rows"."""
    sources = list(dict.fromkeys(result.source for result in results))
    each = [_summary(source, [r for r in results if r.source == source]) for source in sources]
    counted = [summary for summary in each if summary.median is not None]
    pooled = _summary("all rows", results)
    if not counted:
        return (*each, pooled)

    def mean(name: str) -> float:
        return math.fsum(getattr(summary, name) for summary in counted) / len(counted)

    average = replace(
        pooled,
        source="mean over sources",
        median=mean("median"),
        p90=mean("p90"),
        bias=mean("bias"),
        coverage=mean("coverage"),
        width=mean("width"),
        states_only_median=mean("states_only_median"),
    )
    return (*each, average, pooled)


def _summary(source: str, results: Sequence[MemoryResult]) -> MemorySummary:
    counted = [r for r in results if r.counts and r.error is not None]
    errors = sorted(abs(r.error) for r in counted if r.error is not None)
    signed = sorted(r.error for r in counted if r.error is not None)
    rough = sorted(abs(r.states_only / r.measured - 1) for r in counted if r.states_only is not None and r.measured)
    widths = sorted(r.high / r.low for r in counted if r.high and r.low)
    out = [r for r in results if r.ran_out and r.predicted is not None]
    fits = [r for r in counted if r.probability_of_running_out is not None]
    return MemorySummary(
        source=source,
        rows=len(counted),
        unsupported=sum(r.status == "unsupported" for r in results),
        median=quantile(errors, 0.5),
        p90=quantile(errors, 0.9),
        bias=quantile(signed, 0.5),
        coverage=sum(bool(r.inside) for r in counted) / len(counted) if counted else None,
        width=quantile(widths, 0.5),
        states_only_median=quantile(rough, 0.5),
        ran_out=len(out),
        ran_out_called_safe=sum((r.probability_of_running_out or 0) <= 0.5 for r in out),
        fits=len(fits),
        fits_called_impossible=sum((r.probability_of_running_out or 0) > 0.5 for r in fits),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return a quantile of sorted values, interpolated; None of nothing."""
    if not values:
        return None
    position = share * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return values[low] + (position - low) * (values[high] - values[low])


__all__ = [
    "MemoryCase",
    "MemoryResult",
    "MemorySummary",
    "Offload",
    "complete",
    "predict",
    "replay",
    "replay_file",
    "score",
    "summarise",
]
