"""From a question about one training job to its answer: batch, layout, step, run, neighbours, deadline.

The default batch is Step Law's (arXiv:2503.04715), rounded to what divides over the accelerators; the default sequence
is what the model was made for, at most 8,192 tokens, at which pre-training is usually done.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import AnswerIsNo, DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..quantity import Quantity
from .choose import Choice, Clock, GivenClock, Wanted, choose_layout
from .efficiency import Task
from .layout import Layout, Precision, Recipe, Workload
from .run import TrainingRun, loss_of, training_run

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..models.shape import ModelShape
    from .time import StepTime

USUAL_SEQUENCE_TOKENS = 8192
MOST_ACCELERATORS = 65_536  # beyond what anybody rents as one job


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training job as asked. `global_batch` (sequences) None means the default for the tokens."""

    shape: ModelShape
    tokens: float
    accelerator: Accelerator
    sequence_tokens: int
    recipe: Recipe
    global_batch: int | None = None
    ragged: bool = False  # sequences differ in length
    wanted: Wanted | None = None
    task: Task = Task.PRETRAIN
    mfu: float | None = None
    usd_per_hour: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer:
    """The job on a number of accelerators."""

    job: Job
    accelerators: int
    workload: Workload
    choice: Choice
    run: TrainingRun
    clock: Clock  # knows what layouts share; other counts with the same batch reuse it


def answer(job: Job, accelerators: int, clock: Clock | None = None) -> JobAnswer:
    """Return layout, step and run of the job on `accelerators` chips; `clock` is that of the same job on another count.

    Raises:
        InputError: the batch or what the user fixed cannot be cut that way.
        DoesNotFit: no layout fits the memory.
    """
    workload = Workload(
        sequence_tokens=job.sequence_tokens,
        global_batch=job.global_batch or default_batch(job.tokens, job.sequence_tokens, accelerators),
        ragged=job.ragged,
    )
    if clock and clock.workload == workload:
        pass
    elif job.mfu is None:
        clock = Clock(job.shape, job.accelerator, workload, job.task)
    else:
        clock = GivenClock(job.shape, job.accelerator, workload, job.mfu)
    choice = choose_layout(accelerators=accelerators, recipe=job.recipe, wanted=job.wanted, clock=clock)
    run = run_of(job, workload, choice.layout, choice.time)
    return JobAnswer(job=job, accelerators=accelerators, workload=workload, choice=choice, run=run, clock=clock)


def run_of(job: Job, workload: Workload, layout: Layout, time: StepTime) -> TrainingRun:
    """Return the whole run of the job in a layout that takes `time` for a step."""
    return training_run(
        time,
        tokens=job.tokens,
        accelerator=job.accelerator,
        layout=layout,
        workload=workload,
        state_bytes=checkpoint_bytes(job),
        usd_per_hour=job.usd_per_hour,
        beyond=None if job.mfu is not None else loss_of(layout, workload, job.accelerator),
    )


def neighbours(found: JobAnswer) -> tuple[JobAnswer, ...]:
    """Return the same job on half and on twice as many accelerators, where it can be cut and fits."""
    answers = []
    for count in (found.accelerators / 2, found.accelerators * 2):
        if count < 1 or count != int(count) or count > MOST_ACCELERATORS:
            continue
        try:
            answers.append(answer(_with_batch(found), int(count), found.clock))
        except (InputError, DoesNotFit):
            continue
    return tuple(answers)


def smallest_count(job: Job, deadline_s: float) -> JobAnswer:
    """Return the answer on the fewest accelerators whose middle estimate meets the deadline.

    Counts are whole nodes, or parts of one. Time falls with the count, so the search halves the list.

    Raises:
        AnswerIsNo: even the largest count that the batch can feed is too slow.
        DoesNotFit: no count fits the memory.
    """
    counts = [n for n in usual_counts(job.accelerator) if not job.global_batch or job.global_batch % _odd(n) == 0]
    last: JobAnswer | None = None
    trouble: Exception | None = None
    low, high = 0, len(counts) - 1
    best: JobAnswer | None = None
    while low <= high:
        middle = (low + high) // 2
        try:
            found = answer(job, counts[middle], last.clock if last else None)
        except DoesNotFit as error:  # fewer do not fit either
            trouble, low = error, middle + 1
            continue
        except InputError as error:  # more than the batch can feed
            if not job.global_batch or counts[middle] <= job.global_batch:
                raise
            trouble, high = error, middle - 1
            continue
        last = found
        if found.run.wall_s.mid <= deadline_s:
            best, high = found, middle - 1
        else:
            low = middle + 1
    if best:
        return best
    if last is None and trouble is not None:
        raise trouble
    raise AnswerIsNo(_too_slow(job, deadline_s, last))


def usual_counts(accelerator: Accelerator) -> tuple[int, ...]:
    """Return the counts worth asking about: powers of two inside a node, then nodes in steps of at most a third."""
    node = accelerator.accelerators_per_node or 8
    inside = [2**i for i in range(node.bit_length()) if 2**i < node]
    nodes = {share << power for power in range(14) for share in (1, 3, 5, 7)}
    return tuple(inside + sorted(node * n for n in nodes if node * n <= MOST_ACCELERATORS))


def _odd(count: int) -> int:
    """Return the odd part of a count: what no power-of-two split of the model can take up."""
    return count // (count & -count)


def default_batch(tokens: float, sequence_tokens: int, accelerators: int) -> int:
    """Return the global batch in sequences: Step Law's, rounded by powers of two to a multiple of the accelerators.

    Where there are more accelerators than sequences, the multiple is of the largest power-of-two share of them.
    """
    from ..scaling.hyperparameters import step_law_batch_tokens

    sequences = max(1.0, step_law_batch_tokens(tokens) / sequence_tokens)
    power = round(math.log2(sequences / accelerators))
    if power >= 0:
        return int(accelerators * 2**power)
    while power < 0 and accelerators % 2 == 0:
        accelerators, power = accelerators // 2, power + 1
    return accelerators


def default_sequence(shape: ModelShape) -> int:
    """Return the sequence length (tokens) to train with: what the model was made for, at most the usual 8,192."""
    return min(shape.max_tokens or 4096, USUAL_SEQUENCE_TOKENS)


def usual_precision(accelerator: Accelerator) -> Precision:
    """Return the precision most train in on this chip: bf16, or fp16 where it has none."""
    rates = accelerator.peak_flops_per_s
    return Precision.BF16 if rates.get("bf16") or not rates.get("fp16") else Precision.FP16


def causal_mfu(job: Job, mfu: float) -> float:
    """Return an MFU that counts causal attention in full, counted half."""
    from .flops import step_flops

    model = step_flops(job.shape, sequence_tokens=job.sequence_tokens, sequences=1, adapter=job.recipe.adapter).model
    return mfu * model.causal / model.full


def checkpoint_bytes(job: Job) -> float:
    """Return the bytes of a checkpoint: trained weights and their optimizer state.

    14 bytes per parameter with Adam (bf16 weights, fp32 copy and two fp32 moments); adapters keep only theirs.
    """
    from ..models.parameters import adapter_parameters, count_parameters

    adapter = job.recipe.adapter
    if adapter:
        return 14.0 * adapter_parameters(job.shape, adapter.rank, adapter.targets)
    return 14.0 * count_parameters(job.shape).total


def _with_batch(found: JobAnswer) -> Job:
    """Return the job with the batch of the answer, so that neighbours differ in the count alone."""
    return replace(found.job, global_batch=found.workload.global_batch)


def _too_slow(job: Job, deadline_s: float, last: JobAnswer | None) -> str:
    from ..units import show_duration

    if last is None:
        return f"no number of {job.accelerator.name} trains {job.shape.name} within {show_duration(deadline_s)}."
    return (
        f"no number of {job.accelerator.name} trains {job.shape.name} on these tokens within "
        f"{show_duration(deadline_s)}: {last.accelerators:,} of them take {show_duration(last.run.wall_s.mid)}, and a "
        f"batch of {last.workload.global_batch:,} sequences feeds no more."
    )
