"""Measured training rows (`data/measured/training_*.csv`, or a user's own): configuration and measurement kept apart.

`read_rows` splits every row at once into `configuration` (what was run) and `measured` (what came out): predictors are
only ever handed the first, so they cannot see the second. `read_settings` turns the configuration into our types with
None for what the row leaves unsaid; filling the gaps "as an expert would" is the business of each validator, and
widens its band. The columns are those of `data/measured/training_memory.csv` and `training_throughput.csv`; unknown
columns are kept as configuration text and ignored.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.models.shape import ModelShape
from ...estimators.training.layout import Adapter, Framework, Offload, Optimizer, Precision, Recompute, Zero
from . import spellings
from .chips import find_accelerator
from .columns import option, shape_from_columns

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator

MEASURED_COLUMNS = frozenset(
    (
        "peak_memory_value",
        "peak_memory_gib",
        "peak_memory_gb_per_gpu",
        "cpu_memory_gb",
        "fits",
        "samples_per_s",
        "step_time_s",
        "tokens_per_s_per_gpu",
        "train_time_s",
        "tflops_per_gpu_reported",
        "mfu_reported",
        "hfu_reported",
        "mfu_peak_assumed_tflops",
        "mfu_bf16_full_calc",
        "mfu_bf16_causal_calc",
        "tflops_model_full_calc",
        "tflops_model_causal_calc",
        "check",
        "model_gflop_per_token_full",
        "model_gflop_per_token_causal",
    )
)


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one row by column name; blank and "nan" are the same: unsaid."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """The cell as text, "" when unsaid."""
        value = (self.values.get(name) or "").strip()
        return "" if value.lower() in ("nan", "none stated", "not stated") else value

    def number(self, name: str) -> float | None:
        """The cell as a number, None when unsaid or not a number."""
        try:
            return float(self.text(name).replace(",", "")) if self.text(name) else None
        except ValueError:
            return None

    def whole(self, name: str) -> int | None:
        """The cell as a whole number, None when unsaid."""
        value = self.number(name)
        return None if value is None else round(value)


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One measured row, split. `source` is the place the row was read from ("owner/name"), used to group scores."""

    id: str
    source: str
    family: str  # source x model x accelerator: rows that must not be split between fitting and testing
    quality: str
    scored: bool
    configuration: Cells
    measured: Cells


def read_rows(path: Path) -> tuple[MeasuredRow, ...]:
    """Read a CSV file of measured rows.

    Raises:
        InputError: the file cannot be read, or has no `model`, `layers` or `n_params` column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            records = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file of measured rows: {error}.") from None
    if not {"model", "layers", "n_params"} & set(columns):
        raise InputError(
            f"{path} has none of the columns model, layers, n_params; "
            "it needs those of data/measured/training_memory.csv or training_throughput.csv."
        )
    return tuple(split_row(record, number) for number, record in enumerate(records, start=2))


def split_row(record: Mapping[str, str | None], line: int = 0) -> MeasuredRow:
    """Split one record of a CSV file into configuration and measurement."""
    clean = {
        name: value or "" for name, value in record.items() if isinstance(name, str) and not isinstance(value, list)
    }
    configuration = Cells({name: value for name, value in clean.items() if name not in MEASURED_COLUMNS})
    measured = Cells({name: value for name, value in clean.items() if name in MEASURED_COLUMNS})
    source = configuration.text("source")
    place = source.split(":")[0].strip() if ":" in source else source
    return MeasuredRow(
        id=configuration.text("id") or f"line {line}",
        source=place or "unnamed",
        family=" | ".join((place, configuration.text("model"), configuration.text("accelerator"))),
        quality=configuration.text("quality") or "?",
        scored=configuration.text("scored").lower() not in ("false", "no", "0"),
        configuration=configuration,
        measured=measured,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a row says about its job; None where it does not say. `filled` names gaps closed in reading the model.

    `accelerator` is None when the chip is unsaid or unknown to the catalog; `memory_bytes` is what the row states.
    `micro_batches` is the number per pipeline and step (gradient accumulation).
    """

    name: str
    task: str
    year: int | None
    framework: Framework | None
    shape: ModelShape
    filled: tuple[str, ...]
    accelerator: Accelerator | None
    accelerator_text: str
    memory_bytes: float | None
    accelerators: int | None
    tp: int | None
    pp: int | None
    dp: int | None
    cp: int | None
    ep: int | None
    interleave: int | None
    zero: Zero | None
    zero_ranks: int | None
    sequence_parallel: bool | None
    micro_batch: int | None
    micro_batches: int | None
    global_batch: int | None
    sequence_tokens: int | None
    sequence_is_maximum: bool  # sequences are shorter than sequence_tokens and are not padded to it
    precision: Precision | None
    pure_weights: bool
    autocast: bool
    optimizer: Optimizer | None
    bf16_moments: bool
    recompute: Recompute | None
    recompute_text: str  # in the row's words
    flash_attention: bool | None
    attention_text: str  # what the row says about attention and software, for its kernels
    compiled: bool | None
    chunked_loss: bool | None
    offload: tuple[Offload, ...]
    adapter: Adapter | None
    notes: str


def read_settings(row: MeasuredRow, catalog: Catalog) -> Settings | None:
    """Return what the row says, None when the model cannot be known from it."""
    cells = row.configuration
    reading = shape_from_columns(dict(cells.values))
    if reading is None:
        return None
    notes = cells.text("notes")
    task = cells.text("task").lower()
    precision_text, zero_text = cells.text("precision"), cells.text("zero_or_fsdp")
    optimizer_text = f"{cells.text('optimizer')} {'8-bit' if '+ 8-bit' in notes or 'step 8: ' in notes else ''}"
    sharding = spellings.sharding(option(notes, "data-parallel-sharding-strategy") or zero_text)
    memory_gb = cells.number("accelerator_mem_gb")
    chunks = cells.whole("vp") or _interleave(notes, reading.shape.layers, cells.whole("pp"))
    return Settings(
        name=cells.text("model"),
        task=task,
        year=cells.whole("year"),
        framework=spellings.framework(f"{cells.text('framework')}") or spellings.framework(row.source),
        shape=reading.shape,
        filled=reading.filled,
        accelerator=find_accelerator(cells.text("accelerator"), memory_gb, catalog),
        accelerator_text=cells.text("accelerator"),
        memory_bytes=memory_gb * 1e9 if memory_gb else None,
        accelerators=cells.whole("accelerator_count"),
        tp=cells.whole("tp"),
        pp=cells.whole("pp"),
        dp=cells.whole("dp"),
        cp=cells.whole("cp"),
        ep=cells.whole("ep"),
        interleave=chunks,
        zero=sharding.zero if sharding else None,
        zero_ranks=sharding.ranks or None if sharding else None,
        sequence_parallel=spellings.yes(cells.text("sequence_parallel")),
        micro_batch=cells.whole("micro_batch"),
        micro_batches=cells.whole("grad_accum"),
        global_batch=cells.whole("global_batch"),
        sequence_tokens=cells.whole("seq_len"),
        sequence_is_maximum=_is_maximum(cells.text("seq_len_kind"), notes),
        precision=spellings.precision(precision_text),
        pure_weights=spellings.is_pure(precision_text),
        autocast=spellings.is_autocast(precision_text),
        optimizer=_optimizer(cells, optimizer_text),
        bf16_moments="bf16 moments" in optimizer_text or "bf16 moments" in notes,
        recompute=_recompute(cells, notes),
        recompute_text=cells.text("recompute"),
        flash_attention=spellings.flash_attention(cells.text("flash_attention")),
        attention_text=f"{cells.text('flash_attention')} {cells.text('framework')}",
        compiled=spellings.yes(cells.text("compile")) or ("liger" in cells.text("framework").lower() or None),
        chunked_loss=True if _is_chunked(notes, cells.text("framework")) else None,
        offload=_offload(cells),
        adapter=_adapter(cells, task),
        notes=notes,
    )


def _optimizer(cells: Cells, text: str) -> Optimizer | None:
    """GaLore (arXiv:2403.03507) keeps moments of low rank, as small as Adafactor's; scripts name it in their path."""
    if "galore" in cells.text("source").lower():
        return Optimizer.ADAFACTOR
    return spellings.optimizer(text) if text.strip() else None


def _recompute(cells: Cells, notes: str) -> Recompute | None:
    """Megatron's selective recompute of modules other than the core attention leaves the scores where they are."""
    modules = option(notes, "recompute-modules")
    if modules and "core_attn" not in modules:
        return Recompute.NONE
    return spellings.recompute(cells.text("recompute"))


def _is_maximum(kind: str, notes: str) -> bool:
    low = kind.lower()
    if "packed" in low or "padded)" in low or "longest example" in low:
        return False
    return "max" in low or "shorter" in low or "baseline unpacked" in notes


def _is_chunked(notes: str, framework: str) -> bool:
    low = f"{notes} {framework}".lower()
    step = low.partition("cumulative step ")[2]
    if step[:1].isdigit():
        return int(step.split(":")[0]) >= 4  # torchtune's cumulative table: chunked loss joins at step 4
    # Axolotl's example recipes switch cut cross-entropy on, LLM Foundry's the fused loss
    words = ("chunked cross", "liger", "unsloth", "fused linear cross", "axolotl", "foundry", "composer")
    return any(word in low for word in words)


def _interleave(notes: str, layers: int, pp: int | None) -> int | None:
    """Virtual stages from Megatron's layers per virtual stage."""
    per_stage = option(notes, "num-layers-per-virtual-pipeline-stage")
    if per_stage.isdigit() and pp:
        return max(1, layers // (pp * int(per_stage)))
    return None


def _offload(cells: Cells) -> tuple[Offload, ...]:
    kinds = spellings.offload(cells.text("cpu_offload"))
    if not kinds and "offload" in cells.text("zero_or_fsdp").lower():
        kinds = (Offload.OPTIMIZER, Offload.PARAMETERS)
    if "offloaded to cpu" in cells.text("recompute").lower() and Offload.ACTIVATIONS not in kinds:
        kinds += (Offload.ACTIVATIONS,)
    return kinds


def _adapter(cells: Cells, task: str) -> Adapter | None:
    method = cells.text("peft_method")
    if "/lisa/" in cells.text("source"):  # LISA (arXiv:2403.17919): embedding, head and a layer or two at a time
        return Adapter(rank=8, trains_embeddings=True)
    rank = cells.number("lora_rank")
    if not ("lora" in task or "adapter" in task or "peft" in task or method or (rank and "full" not in task)):
        return None
    if method.lower() in ("none",) or task.startswith("full") or task == "pretrain":
        return None
    return spellings.adapter(
        method,
        rank,
        cells.text("lora_targets"),
        spellings.frozen_bits(cells.text("quantization"), cells.text("precision"), task),
        trains_embeddings="embedding and output layer also trained" in cells.text("notes"),
        # LitGPT adapts queries and values unless told otherwise, and so does PEFT on its own
        usual_targets=("attention",)
        if re.search(r"litgpt|^hf peft", cells.text("framework").lower())
        else ("attention", "mlp"),
    )


def by_source(rows: Sequence[MeasuredRow]) -> dict[str, list[MeasuredRow]]:
    """Group rows by source, in order of appearance."""
    groups: dict[str, list[MeasuredRow]] = {}
    for row in rows:
        groups.setdefault(row.source, []).append(row)
    return groups


__all__ = [
    "MEASURED_COLUMNS",
    "Cells",
    "MeasuredRow",
    "Settings",
    "by_source",
    "find_accelerator",
    "read_rows",
    "read_settings",
    "split_row",
]
