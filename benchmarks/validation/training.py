"""Replay measured training runs: tokens/s per accelerator from the configuration alone, scored against the measurement.

`case_of` turns what a row says into the arguments of `step_time`, filling gaps as an expert would: one micro-batch per
replica where nothing is said, ZeRO-1 between replicas, no recomputation, bf16 (fp16 where a chip has none). The
prediction of a row whose family was fitted comes from the fold that left the family out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...estimators.errors import FlopwiseError
from ...estimators.facts.efficiency import fold_of
from ...estimators.facts.software import SoftwareFit, load_software_folds
from ...estimators.training.efficiency import Task, reference_peak
from ...estimators.training.layout import Layout, Optimizer, Precision, Recipe, Workload
from ...estimators.training.time import step_time
from . import filling
from .rows import MeasuredRow, Settings, read_settings
from .scores import ScoredRow

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator
    from ...estimators.models.shape import ModelShape

FLAT_MFU = 0.4  # the guess that every prediction is compared with
_SELLS_CORES = ("Google", "AWS", "Amazon")  # chips of several cores that software counts as devices
UNSAID_BATCHES = 8  # micro-batches per replica where the row gives no batch at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row as arguments of `step_time`; `filled` names what the row left unsaid."""

    shape: ModelShape
    accelerator: Accelerator
    layout: Layout
    recipe: Recipe
    workload: Workload
    task: Task
    filled: tuple[str, ...]


class Unsupported(Exception):
    """A row that cannot be predicted; the message says why."""


def validate_training(rows: Iterable[MeasuredRow], catalog: Catalog) -> tuple[ScoredRow, ...]:
    """Return every row that has a measured speed, predicted and scored, in order."""
    folds = load_software_folds()
    return tuple(score_row(row, catalog, folds) for row in rows if measured_speed(row) is not None)


def score_row(row: MeasuredRow, catalog: Catalog, folds: tuple[SoftwareFit, ...]) -> ScoredRow:
    """Return one row predicted and scored."""
    try:
        case = case_of(row, catalog)
        fit = folds[fold_of(row.family, len(folds))]
        time = step_time(
            case.shape,
            accelerator=case.accelerator,
            layout=case.layout,
            recipe=case.recipe,
            workload=case.workload,
            task=case.task,
            fit=fit,
        )
    except (FlopwiseError, Unsupported) as error:
        return ScoredRow(id=row.id, source=row.source, status="unsupported", reason=str(error))
    speed = time.tokens_per_s_per_accelerator
    # The flat guess knows the usual 6 FLOPs per parameter and token, and no more.
    peak, _ = reference_peak(case.accelerator)
    per_token = time.flops.model.causal / case.workload.tokens_per_step
    return ScoredRow(
        id=row.id,
        source=row.source,
        status="scored",
        measured=measured_speed(row),
        predicted=speed.mid,
        low=speed.low,
        high=speed.high,
        baseline=FLAT_MFU * peak / per_token,
    )


def measured_speed(row: MeasuredRow) -> float | None:
    """Return the measured tokens/s per accelerator, None where the row has none."""
    return row.measured.number("tokens_per_s_per_gpu")


def case_of(row: MeasuredRow, catalog: Catalog) -> Case:
    """Return what the row ran, with the gaps filled.

    Raises:
        Unsupported: the model, the chip or the number of chips cannot be known.
    """
    said = read_settings(row, catalog)
    if said is None:
        raise Unsupported("the model cannot be known from the row")
    if said.accelerator is None:
        raise Unsupported(f"the catalog has no accelerator '{said.accelerator_text}'")
    if not said.accelerators:
        raise Unsupported("the number of accelerators is unsaid")
    if said.sequence_is_maximum:
        raise Unsupported("sequences are shorter than the row's length and not padded to it")
    filled = list(said.filled)
    layout, workload = _cut(row, said, said.accelerators, filled)
    return Case(
        shape=said.shape,
        accelerator=filling.stated_accelerator(row, said.accelerator),
        layout=layout,
        recipe=_recipe(row, said, said.accelerator, layout, filled),
        workload=workload,
        task=_task(said),
        filled=tuple(filled),
    )


def _cut(row: MeasuredRow, said: Settings, accelerators: int, filled: list[str]) -> tuple[Layout, Workload]:
    tp, pp, cp = said.tp or 1, said.pp or 1, said.cp or 1
    product, devices = tp * pp * cp * (said.dp or 1), 1
    is_cores = said.accelerator is not None and said.accelerator.vendor in _SELLS_CORES
    if said.dp and is_cores and product > accelerators and product % accelerators == 0:
        # Trainium and TPU v7x rows count cores, several to a chip: a cut inside a chip is no cut of ours, and replicas
        # inside a chip are one replica with a larger micro-batch.
        inside = product // accelerators
        devices = max(1, inside // tp)
        tp = max(1, tp // inside)
    while accelerators % (tp * pp * cp):
        tp, pp, cp = (1, pp, cp) if tp > 1 else (1, 1, cp) if pp > 1 else (1, 1, 1)
        filled.append("layout")
    dp = accelerators // (tp * pp * cp)
    micro_batch = said.micro_batch * devices if said.micro_batch else None
    while said.global_batch and dp % 2 == 0 and dp * (micro_batch or 1) > said.global_batch:
        dp, cp = dp // 2, cp * 2  # fewer sequences than replicas: the rest of them split the sequence
        filled.append("context parallelism")
    per_replica = said.global_batch / dp if said.global_batch else None
    if micro_batch is None:
        filled.append("micro-batch")
        micro_batch = (
            max(1, round(per_replica / (said.micro_batches or 1))) if per_replica and said.micro_batches else 1
        )
    if per_replica is None:
        if not said.micro_batches:
            filled.append("batch")
        per_replica = micro_batch * (said.micro_batches or UNSAID_BATCHES)
    batches = max(1, round(per_replica / micro_batch))
    ep = max(1, (said.ep or 1) // devices)
    if ep > 1 and (dp * cp * tp) % ep:
        ep = 1
        filled.append("expert parallelism")
    zero = filling.sharding(row, said, dp * cp)
    if said.zero is None:
        filled.append("sharding")
    layout = Layout(
        accelerators=accelerators,
        tp=tp,
        pp=pp,
        cp=cp,
        ep=ep,
        interleave=filling.interleave(row, said, pp),
        zero=zero,
        zero_ranks=said.zero_ranks,
        sequence_parallel=filling.sequence_parallel(row, said, tp),
        micro_batch=micro_batch,
    )
    sequence = said.sequence_tokens
    if sequence is None:
        filled.append("sequence")
        sequence = min(said.shape.max_tokens or 2048, 2048)
    return layout, Workload(sequence_tokens=sequence, global_batch=dp * micro_batch * batches)


def _recipe(row: MeasuredRow, said: Settings, accelerator: Accelerator, layout: Layout, filled: list[str]) -> Recipe:
    precision = filling.precision(row, said)
    if precision is None or (precision is Precision.BF16 and not accelerator.peak_flops_per_s.get("bf16")):
        filled.append("precision")
        precision = Precision.BF16 if accelerator.peak_flops_per_s.get("bf16") else Precision.FP16
    if said.recompute is None:
        filled.append("recompute")
    return Recipe(
        precision=precision,
        optimizer=said.optimizer or Optimizer.ADAMW,
        recompute=filling.recompute(row, said, layout.tp, layout.pp, layout.micro_batch, layout.dp * layout.cp),
        flash_attention=filling.flash_attention(row, said),
        adapter=said.adapter,
        fp32_weights=not said.pure_weights,
        bf16_moments=said.bf16_moments,
        offload=said.offload,
        framework=filling.framework(row, said),
        compiled=bool(said.compiled),
        chunked_loss=bool(said.chunked_loss),
        scaling=filling.scaling(row),
        attention_kernel=filling.attention_kernel(row),
        software_year=filling.software_year(row, said),
    )


def _task(said: Settings) -> Task:
    if said.adapter:
        return Task.QLORA if said.adapter.base_bits < 16 else Task.LORA
    return Task.FULL_FINETUNE if "fine" in said.task or "sft" in said.task else Task.PRETRAIN
