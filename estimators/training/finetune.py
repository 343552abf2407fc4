"""Fine-tuning: the three methods on one data set, what each needs, and the smallest accelerator that holds it.

Full tuning trains every parameter. LoRA (arXiv:2106.09685) freezes the base and trains matrices of low rank beside it:
the backward pass needs no weight gradients of the base, 4 instead of 6 FLOPs per parameter and token. QLoRA
(arXiv:2305.14314) keeps the frozen base in 4 bits and computes in 16.

Examples that share a batch are padded to the longest of it; packing joins them into full sequences instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, InputError
from ..facts.finetune import FinetuneDefaults, load_finetune_defaults
from ..frozen import dataclass, replace
from ..quantity import Quantity, product
from .choose import SAFE_PROBABILITY, Wanted
from .efficiency import Task
from .job import Job, JobAnswer, answer, checkpoint_bytes
from .layout import Adapter, Layout, Optimizer, Precision, Recipe, Recompute, Workload
from .run import loss_of, training_run

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..memory.training import TrainingMemory
    from ..models.shape import ModelShape

GPU_VENDORS = ("NVIDIA", "AMD")
MOST_TO_TRY = 64  # accelerators, when looking for a count that fits


class Method(StrEnum):
    """What is trained."""

    FULL = "full"
    LORA = "lora"
    QLORA = "qlora"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningData:
    """The data as the accelerators see it: `tokens` (of the data, all epochs) in sequences of `sequence_tokens`.

    `padding` is tokens computed over `tokens`, as a range; exactly 1 when packed.
    """

    tokens: float
    epochs: float
    sequence_tokens: int
    padding: Quantity
    packed: bool
    sequences: float  # per epoch
    said: str  # "50k examples of 500 tokens, 3 epochs"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodAnswer:
    """One method on the accelerators asked for; `found` is None where it does not fit, then `trouble` says why."""

    method: Method
    trainable_params: int
    found: JobAnswer | None
    trouble: str
    alone: Quantity  # memory (bytes) on a single accelerator of this kind, one sequence at a time with recomputation
    smallest: Accelerator | None  # the single GPU with the least memory that holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What is asked, whatever the method."""

    shape: ModelShape
    data: TuningData
    rank: int
    targets: tuple[str, ...]
    precision: Precision
    optimizer: Optimizer
    global_batch: int | None
    wanted: Wanted
    usd_per_hour: Quantity | None


def job_of(tuning: Tuning, method: Method, accelerator: Accelerator, accelerators: int) -> Job:
    """Return the training job of a method."""
    data = tuning.data
    batch = tuning.global_batch or usual_batch(data.sequence_tokens, data.sequences, accelerators)
    return Job(
        shape=tuning.shape,
        tokens=data.tokens * data.padding.mid,
        accelerator=accelerator,
        sequence_tokens=data.sequence_tokens,
        recipe=Recipe(
            precision=tuning.precision,
            optimizer=tuning.optimizer,
            adapter=adapter_of(method, tuning.rank, tuning.targets),
        ),
        global_batch=batch,
        ragged=not data.padding.is_exact,
        wanted=tuning.wanted,
        task={Method.FULL: Task.FULL_FINETUNE, Method.LORA: Task.LORA, Method.QLORA: Task.QLORA}[method],
        usd_per_hour=tuning.usd_per_hour,
    )


def answer_method(
    tuning: Tuning, method: Method, accelerator: Accelerator, accelerators: int, gpus: Iterable[Accelerator]
) -> MethodAnswer:
    """Return one method on `accelerators` chips, and the smallest of `gpus` that holds it alone.

    Raises:
        InputError: what the user fixed cannot be cut that way.
    """
    job = job_of(tuning, method, accelerator, accelerators)
    found: JobAnswer | None = None
    trouble = ""
    try:
        found = _padded(answer(job, accelerators), tuning.data)
    except DoesNotFit as error:
        trouble = str(error)
    return MethodAnswer(
        method=method,
        trainable_params=trainable_params(job),
        found=found,
        trouble=trouble,
        alone=memory_alone(job, accelerator).peak,
        smallest=smallest_gpu(job, gpus),
    )


def enough(tuning: Tuning, method: Method, accelerator: Accelerator, more_than: int) -> int | None:
    """Return the fewest accelerators (a power of two over `more_than`) on which a method fits, None where none."""
    count = 1 << more_than.bit_length()  # the next power of two
    while count <= MOST_TO_TRY:
        try:
            answer(replace(job_of(tuning, method, accelerator, count), wanted=None), count)
        except (DoesNotFit, InputError):
            count *= 2
            continue
        return count
    return None


def smallest_gpu(job: Job, gpus: Iterable[Accelerator]) -> Accelerator | None:
    """Return the GPU with the least memory that holds the job alone, one sequence at a time with recomputation."""
    for gpu in sorted(gpus, key=lambda each: (each.usable_memory_bytes, each.id)):
        if memory_alone(job, gpu).probability_of_running_out <= SAFE_PROBABILITY:
            return gpu
    return None


def memory_alone(job: Job, accelerator: Accelerator) -> TrainingMemory:
    """Return the least that the job needs on one accelerator: one sequence at a time with recomputation."""
    from ..memory.training import training_memory

    return training_memory(
        job.shape,
        layout=Layout(accelerators=1),
        recipe=replace(job.recipe, recompute=Recompute.FULL),
        workload=Workload(sequence_tokens=job.sequence_tokens, global_batch=1, ragged=job.ragged),
        accelerator=accelerator,
    )


def can_tune(gpu: Accelerator, precision: Precision) -> bool:
    """Whether fine-tuning software runs on it as one device: a GPU with products in the precision."""
    whole = gpu.id not in load_finetune_defaults().several_devices
    return whole and gpu.vendor in GPU_VENDORS and bool(gpu.peak_flops_per_s.get(precision.value))


def trainable_params(job: Job) -> int:
    """Return how many numbers are trained."""
    from ..models.parameters import adapter_parameters, count_parameters

    adapter = job.recipe.adapter
    if adapter is None:
        return count_parameters(job.shape).total
    return adapter_parameters(job.shape, adapter.rank, adapter.targets)


def adapter_of(method: Method, rank: int, targets: tuple[str, ...]) -> Adapter | None:
    """Return the adapter of a method, None for full tuning."""
    if method is Method.FULL:
        return None
    bits = load_finetune_defaults().quantized_base_bits if method is Method.QLORA else 16.0
    return Adapter(rank=rank, targets=targets, base_bits=bits)


def usual_batch(sequence_tokens: int, sequences: float, accelerators: int) -> int:
    """Return sequences per step: a power of two near the usual tokens, at most a tenth of an epoch, fed to all."""
    wanted = load_finetune_defaults().batch_tokens / sequence_tokens
    most = max(1.0, sequences / 10)
    power = 1 << max(0, round(math.log2(min(wanted, most))))
    return max(1, math.ceil(power / accelerators)) * accelerators


def data_of(
    *,
    tokens: float | None,
    examples: float | None,
    tokens_per_example: float | None,
    epochs: float,
    sequence_tokens: int | None,
    packed: bool,
    longest: int | None,
) -> TuningData:
    """Return the data as the accelerators see it.

    Tokens alone are packed. Examples are padded, to `sequence_tokens` where that is given, unless `packed`.

    Raises:
        InputError: sequences shorter than an example.
    """
    from ..units import show_count

    defaults = load_finetune_defaults()
    times = f", {epochs:g} epoch{'s' * (epochs != 1)}"
    if examples is None or tokens_per_example is None:
        assert tokens is not None  # the command has refused anything else
        length = _packed_length(defaults, sequence_tokens, longest)
        return TuningData(
            tokens=tokens * epochs,
            epochs=epochs,
            sequence_tokens=length,
            padding=_none(),
            packed=True,
            sequences=tokens / length,
            said=f"{show_count(tokens)} tokens{times}",
        )
    said = f"{show_count(examples)} examples of {tokens_per_example:,.0f} tokens{times}"
    total = examples * tokens_per_example
    if packed:
        length = _packed_length(defaults, sequence_tokens, longest)
        padding, sequences = _none(), total / length
    elif sequence_tokens:
        if sequence_tokens < tokens_per_example:
            raise InputError(
                f"--seq: sequences of {sequence_tokens:,} tokens cannot hold examples of {tokens_per_example:,.0f}."
            )
        share = sequence_tokens / tokens_per_example
        length, sequences = sequence_tokens, examples
        padding = Quantity(share, share, share, "", "exact", "--seq: every example is padded to it")
    else:
        padding, sequences = defaults.padding, examples
        length = math.ceil(tokens_per_example * padding.mid)
    return TuningData(
        tokens=total * epochs,
        epochs=epochs,
        sequence_tokens=length,
        padding=padding,
        packed=packed,
        sequences=sequences,
        said=said,
    )


def _packed_length(defaults: FinetuneDefaults, sequence_tokens: int | None, longest: int | None) -> int:
    return sequence_tokens or min(defaults.packed_sequence_tokens, longest or defaults.packed_sequence_tokens)


def _none() -> Quantity:
    return Quantity(1.0, 1.0, 1.0, "", "exact", "packed")


def _padded(found: JobAnswer, data: TuningData) -> JobAnswer:
    """Widen the run by how far padding may be off; its middle is in the sequence length already."""
    if data.padding.is_exact:
        return found
    spread = data.padding.scaled(1 / data.padding.mid)
    time = found.choice.time
    wider = replace(time, step_time_s=product("s", (time.step_time_s, spread)))
    run = training_run(
        wider,
        tokens=found.run.tokens,
        accelerator=found.job.accelerator,
        layout=found.choice.layout,
        workload=found.workload,
        state_bytes=checkpoint_bytes(found.job),
        usd_per_hour=found.job.usd_per_hour,
        beyond=loss_of(found.choice.layout, found.workload, found.job.accelerator),
    )
    return replace(found, run=run, choice=replace(found.choice, time=wider))
