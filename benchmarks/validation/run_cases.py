"""A row of published whole runs (`data/measured/training_runs.csv`, or a user's own) as a job that can be predicted.

The row gives model, tokens, accelerator, often count, batch, sequence, year and task; the rest is filled in as an
expert would who knows the year and the organisation, and `filled` names it. Nothing here looks at hours, days, speed or
money: those are measurements and are not handed to this room (`RUN_MEASUREMENTS`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...estimators.errors import FlopwiseError
from ...estimators.facts.finetune import load_finetune_defaults
from ...estimators.facts.run_habits import load_run_habits
from ...estimators.models.parameters import count_parameters
from ...estimators.models.resolve import resolve_model
from ...estimators.training.efficiency import Task, reference_peak
from ...estimators.training.job import Job, default_batch, default_sequence
from ...estimators.training.layout import Adapter, Precision, Recipe, Scaling
from . import spellings
from .columns import shape_from_columns
from .rows import Cells, MeasuredRow, find_accelerator

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator
    from ...estimators.facts.run_habits import RunHabits
    from ...estimators.models.shape import ModelShape

RUN_MEASUREMENTS = frozenset(
    (
        "gpu_hours",
        "wall_days",
        "tokens_per_s_per_gpu",
        "mfu_reported",
        "mfu_6nd_calc",
        "total_cost_usd",
        "cost_basis",
        "node_price_usd_per_h",
        "training_flop_reported",
        "check",
    )
)
_PHASES = re.compile(
    r"all training|full training|post-training|long context|whole family|sum of|repeats|upper bound|multimodal",
)
_DISTILLED = re.compile(r"distill|pruned")
_ANOTHER_MODEL = 0.12  # a shape whose count is further from the stated one than this is another model


class Unsupported(Exception):
    """A row that cannot be predicted; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCase:
    """One published run as a job on a number of accelerators; `is_mixed` where its hours cover several phases."""

    job: Job
    accelerators: int
    organisation: str
    data_tokens: float  # tokens of the data, without padding
    is_mixed: bool
    filled: tuple[str, ...]


def is_mixed(row: MeasuredRow) -> bool:
    """Whether the hours that the row reports cover more than one pass over its tokens."""
    said = row.configuration
    kind = f"{said.text('gpu_hours_kind')} {said.text('task')}".lower()
    return bool(_PHASES.search(kind) or "+post" in kind or _DISTILLED.search(said.text("notes").lower()))


def run_case(row: MeasuredRow, catalog: Catalog) -> RunCase:
    """Return the run of a row, with the gaps filled.

    Raises:
        Unsupported: the model, the tokens or the chip cannot be known, or it is no language model's training.
    """
    said, habits = row.configuration, load_run_habits()
    filled: list[str] = []
    task_text = said.text("task").lower()
    if "enc" in said.text("family").lower() or re.search(r"encoder|multimodal|vision|rlhf|dpo|reward", task_text):
        raise Unsupported("only runs of decoders with one loss are predicted")
    shape = _shape(said)
    accelerator = find_accelerator(said.text("accelerator"), None, catalog)
    if accelerator is None:
        raise Unsupported(f"the catalog has no accelerator '{said.text('accelerator')}'")
    year = said.number("year")
    task, adapter = _task(said, habits)
    tokens, sequence, ragged = _tokens(said, shape, task, year, habits, filled)
    recipe = _recipe(row, accelerator, adapter, year, habits, filled)
    count = said.whole("accelerator_count")
    if not count:
        filled.append("accelerators")
        count = _usual_count(shape, tokens, accelerator, habits)
    batch = _batch(said, tokens, sequence, count, task, habits, filled)
    job = Job(
        shape=shape,
        tokens=tokens,
        accelerator=accelerator,
        sequence_tokens=sequence,
        recipe=recipe,
        global_batch=batch,
        ragged=ragged,
        task=task,
    )
    return RunCase(
        job=job,
        accelerators=count,
        organisation=said.text("organisation") or row.source,
        data_tokens=tokens / (load_finetune_defaults().padding.mid if ragged else 1.0),
        is_mixed=is_mixed(row),
        filled=tuple(filled),
    )


def _shape(said: Cells) -> ModelShape:
    """Return the shape: by name where its size is the stated one, else from the columns, else from the size."""
    total, active = said.number("n_params"), said.number("n_active_params")
    found: list[ModelShape] = []
    for candidate in _names(said.text("model")):
        try:
            found.append(resolve_model(candidate).shape)
            break
        except FlopwiseError:
            continue
    columns = dict(said.values)
    is_mixture = bool(total and active and active < 0.8 * total) or said.text("family").lower() == "moe"
    if not is_mixture:
        for gated in ("yes", "no"):
            for tied in ("yes", "no"):
                reading = shape_from_columns({**columns, "gated_mlp": gated, "tied_embeddings": tied})
                if reading and "shape by size" not in reading.filled:
                    found.append(reading.shape)
    if total:
        found = [shape for shape in found if _off(shape, total) <= _ANOTHER_MODEL]
        if not found:
            size = f"{total / 1e9:.4g}B" + (f"-A{active / 1e9:.4g}B" if is_mixture and active else "")
            if is_mixture and not active:
                raise Unsupported("the size of a mixture does not give its shape")
            try:
                found.append(resolve_model(size).shape)
            except FlopwiseError as error:
                raise Unsupported(f"the model cannot be known from the row: {error}") from None
        return min(found, key=lambda shape: round(_off(shape, total), 3))
    if not found:
        raise Unsupported("the model cannot be known from the row")
    return found[0]


def _off(shape: ModelShape, total: float) -> float:
    return abs(count_parameters(shape).total / total - 1)


def _names(text: str) -> tuple[str, ...]:
    """Return the model's name, then without its last words and without endings that do not change a shape."""
    words = re.sub(r"\s*\(.*", "", text).split()
    fewer = [" ".join(words[:count]) for count in range(len(words), 0, -1)]
    plain = [re.sub(r"[-_ ](instruct|chat|base|it|hf|v0\.\d)\b", "", name, flags=re.IGNORECASE) for name in fewer]
    return tuple(dict.fromkeys(name for pair in zip(fewer, plain, strict=True) for name in pair if len(name) > 2))


def _task(said: Cells, habits: RunHabits) -> tuple[Task, Adapter | None]:
    text = said.text("task").lower()
    if re.search(r"lora|peft|adapter", text):
        bits = spellings.NF4_DOUBLE_BITS if "qlora" in text else 16.0
        rank = re.search(r"rank(\d+)", said.text("model").lower())
        adapter = Adapter(rank=int(rank[1]) if rank else habits.adapter_rank, base_bits=bits, targets=("attention",))
        return (Task.QLORA if bits < 16 else Task.LORA), adapter
    if re.search(r"fine|sft|instruct", text):
        return Task.FULL_FINETUNE, None
    return Task.PRETRAIN, None


def _tokens(
    said: Cells, shape: ModelShape, task: Task, year: float | None, habits: RunHabits, filled: list[str]
) -> tuple[float, int, bool]:
    """Return tokens as computed (padding among them), the length of a sequence, and whether lengths differ."""
    tokens, samples = said.number("tokens"), said.number("samples")
    padding = load_finetune_defaults().padding.mid
    longest = said.whole("seq_len")
    if task is Task.PRETRAIN:
        if not tokens:
            raise Unsupported("the number of tokens is unsaid")
        if not longest:
            filled.append("sequence")
            longest = min(default_sequence(shape), habits.sequence(year))
        return tokens, longest, False
    if tokens and samples:
        mean = tokens / samples
        return tokens * padding, max(8, round(mean * padding)), True
    if tokens:  # packed
        return tokens, longest or min(default_sequence(shape), habits.sequence(year)), False
    if not samples:
        raise Unsupported("the number of tokens is unsaid")
    known = habits.example_tokens(said.text("notes"))
    if not known:
        raise Unsupported("the number of tokens is unsaid")
    filled.append("tokens")
    mean = min(known, longest or known)
    return samples * mean * padding, max(8, round(mean * padding)), True


def _recipe(
    row: MeasuredRow,
    accelerator: Accelerator,
    adapter: Adapter | None,
    year: float | None,
    habits: RunHabits,
    filled: list[str],
) -> Recipe:
    said = row.configuration
    text = said.text("precision").lower()
    precision = spellings.precision(text)
    if precision is None:
        filled.append("precision")
        precision = Precision.BF16
    if precision is Precision.BF16 and not accelerator.peak_flops_per_s.get("bf16"):
        precision = Precision.FP16
    framework = spellings.framework(said.text("framework")) or habits.framework(
        f"{said.text('organisation')} {row.source}", year
    )
    if framework is None:
        filled.append("software")
    return Recipe(
        precision=precision,
        adapter=adapter,
        framework=framework,
        flash_attention=(year or 2024) >= habits.flash_attention_year,
        scaling=Scaling.BLOCK if re.search(r"block|mx", text) else Scaling.TENSOR,
        software_year=year,
    )


def _usual_count(shape: ModelShape, tokens: float, accelerator: Accelerator, habits: RunHabits) -> int:
    """Return the accelerators that end such a run after the usual time, a power of two of nodes."""
    peak, _ = reference_peak(accelerator)
    hours = 6.0 * count_parameters(shape).active * tokens / (0.4 * peak) / 3600
    node = accelerator.accelerators_per_node or 8
    nodes = hours / (habits.usual_days * 24) / node
    return int(node * 2 ** max(0, min(11, round(math.log2(max(nodes, 1e-3))))))


def _batch(
    said: Cells, tokens: float, sequence: int, count: int, task: Task, habits: RunHabits, filled: list[str]
) -> int:
    """Return the sequences of one step, near what is said, in whole shares of the accelerators."""
    stated = said.number("global_batch_tokens")
    if not stated:
        filled.append("batch")
        if task is not Task.PRETRAIN:
            return count * (micro_batch_of(said) or habits.finetune_micro_batch)
        return default_batch(tokens, sequence, count)
    sequences = max(1.0, stated / sequence)
    unit = count
    while unit > sequences and unit % 2 == 0:
        unit //= 2
    return max(1, round(sequences / unit)) * unit


def micro_batch_of(said: Cells) -> int | None:
    """Return the micro-batch, or the sequences of a step, that the notes of a fine-tune state."""
    notes = said.text("notes").lower()
    found = re.search(r"micro.?batch (\d+)", notes) or re.search(r"steps of (\d+)", notes)
    return int(found[1]) if found else said.whole("micro_batch")


def without_measurements(row: MeasuredRow) -> MeasuredRow:
    """Return the row with every measured column moved out of its configuration."""
    values = row.configuration.values
    measured = {**row.measured.values, **{name: value for name, value in values.items() if name in RUN_MEASUREMENTS}}
    left = {name: value for name, value in values.items() if name not in RUN_MEASUREMENTS}
    return replace(row, configuration=Cells(left), measured=Cells(measured))
