"""Stages that train: pre-training, fine-tuning and experiments, with the job model of `train` and `finetune`.

A failed attempt costs its share of a good one. A run on spot machines loses, at every interruption of one of its
machines, the work since the last checkpoint and the restart on all of them:

    hours on spot = hours x (1 + machines x interruptions per hour x hours lost)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from .. import units
from ..errors import InputError
from ..facts.budget_records import HoursWork, Renting, ShareWork, Stage, Terms, TrainingWork, TuningWork
from ..facts.records import Accelerator
from ..quantity import Quantity, exact, product
from ..training.choose import Wanted
from ..training.job import Job, JobAnswer, answer, default_sequence, usual_precision
from ..training.layout import Optimizer, Precision, Recipe, Recompute, Zero
from ..units import MONTH, show_count, show_duration, show_percent
from .context import ACCELERATOR_HOUR, HOURS_PER_MONTH, Context, Demand, Worked
from .lines import Category, Draft

USUAL_TERM_MONTHS = 12

_T = TypeVar("_T")


def train(stage: Stage, work: TrainingWork, context: Context) -> Worked:
    """Return a stage of training runs.

    Raises:
        FactsError: a model, an accelerator or an option that does not exist.
        DoesNotFit: no layout fits the memory.
    """
    with context.naming(*stage.where, "model"):
        shape = context.model(work.model).shape
    accelerator, count = accelerators(stage, work.on, context)
    options = _Options(stage, work.options, context)
    sequence = options.get("seq", units.read_whole) or default_sequence(shape)
    job = Job(
        shape=shape,
        tokens=work.tokens,
        accelerator=accelerator,
        sequence_tokens=int(sequence),
        recipe=Recipe(
            precision=options.get("precision", Precision) or usual_precision(accelerator),
            optimizer=options.get("optimizer", Optimizer) or Optimizer.ADAMW,
        ),
        global_batch=options.get("global_batch", units.read_whole),
        wanted=options.wanted(),
        mfu=options.get("mfu", units.read_fraction),
    )
    with context.naming(*stage.where, "on"):
        found = answer(job, count or 1)
    return _worked(
        stage, found, runs=work.runs, failed=work.failed, renting=work.renting, context=context, what=work.model
    )


def tune(stage: Stage, work: TuningWork, context: Context) -> Worked:
    """Return a stage of fine-tuning runs.

    Raises:
        FactsError: a model, an accelerator or an option that does not exist.
        DoesNotFit: it does not fit.
    """
    from ..errors import DoesNotFit
    from ..facts.finetune import load_finetune_defaults
    from ..training.finetune import Method, Tuning, answer_method, can_tune, data_of, job_of, smallest_gpu

    with context.naming(*stage.where, "model"):
        shape = context.model(work.model).shape
    options, defaults, method = _Options(stage, work.options, context), load_finetune_defaults(), Method(work.method)
    packed = work.options.get("packed", False)
    rank, targets = options.get("rank", units.read_whole), options.get("targets", str)
    with context.naming(*stage.where, "seq"):
        data = data_of(
            tokens=work.tokens,
            examples=work.examples,
            tokens_per_example=work.tokens_per_example,
            epochs=options.get("epochs", units.read_count) or defaults.epochs,
            sequence_tokens=options.get("seq", units.read_whole),
            packed=bool(packed),
            longest=shape.max_tokens,
        )
    tuning = Tuning(
        shape=shape,
        data=data,
        rank=rank or defaults.rank,
        targets=tuple(word.strip() for word in targets.split(",")) if targets else ("attention", "mlp"),
        precision=options.get("precision", Precision) or Precision.BF16,
        optimizer=Optimizer.ADAMW,
        global_batch=options.get("global_batch", units.read_whole),
        wanted=options.wanted(),
        usd_per_hour=None,
    )
    accelerator: Accelerator | None
    count: int | None
    if work.on:
        accelerator, count = accelerators(stage, work.on, context)
    else:
        gpus = [context.catalog.accelerators[name] for name in context.catalog.priced]
        gpus = [gpu for gpu in gpus if can_tune(gpu, tuning.precision)]
        accelerator, count = smallest_gpu(job_of(tuning, method, gpus[0], 1), gpus), 1
        if accelerator is None:
            with context.naming(*stage.where, "method"):
                raise DoesNotFit(f"no single GPU holds {method} tuning of {shape.name}; name several with on:")
    with context.naming(*stage.where, "on" if work.on else "model"):
        if "precision" not in work.options and usual_precision(accelerator) is not Precision.BF16:
            raise InputError(f"{accelerator.name} has no bf16; write precision: {usual_precision(accelerator)}")
        answered = answer_method(tuning, method, accelerator, count or 1, ())
        if answered.found is None:
            raise DoesNotFit(answered.trouble)
    what = f"{method} of {work.model}"
    return _worked(
        stage,
        answered.found,
        runs=work.runs,
        failed=work.failed,
        renting=work.renting,
        context=context,
        what=what,
    )


def hours(stage: Stage, work: HoursWork, context: Context) -> Worked:
    """Return a stage of accelerator-hours that were counted already."""
    accelerator, count = accelerators(stage, work.on, context)
    known = exact(work.hours, ACCELERATOR_HOUR, "given in the budget")
    drafts, lost = hour_drafts(stage, known, accelerator, count or 1, work.renting, context, Category.TRAINING)
    months = max(1, math.ceil(work.hours / (count or 1) / HOURS_PER_MONTH)) if count else None
    return Worked(
        drafts=drafts,
        lasts=stage.months or months or 1,
        notes=(f"{show_count(work.hours)} accelerator-hours of {accelerator.name}{lost}",),
        demand=Demand(accelerator=accelerator, count=count or 1, hours=known, weights=None, serves=False),
        renting=work.renting,
        commitment_months=contract_months(work.renting),
    )


def share(stage: Stage, work: ShareWork, other: Worked | None, context: Context) -> Worked:
    """Return a share of the accelerator-hours of another stage, at its price."""
    if other is None or other.demand is None or other.renting is None:
        raise context.budget.file.error(
            f"'{work.of}' trains nothing on accelerators, so nothing can be a share of it", *stage.where, "of"
        )
    demand = other.demand
    taken = demand.hours.scaled(work.share)
    renting = other.renting
    if renting.plan is Terms.RESERVED:
        raise context.budget.file.error(
            f"'{work.of}' runs on a contract; say with hours and on what '{stage.name}' adds to it", *stage.where, "of"
        )
    drafts, lost = hour_drafts(
        stage, taken, demand.accelerator, demand.count, renting, context, Category.TRAINING, driver=work.of
    )
    months = max(1, math.ceil(taken.mid / demand.count / HOURS_PER_MONTH))
    return Worked(
        drafts=drafts,
        lasts=max(months, stage.months or 1),
        notes=(f"{show_percent(work.share)} of the accelerator-hours of '{work.of}'{lost}",),
        demand=Demand(accelerator=demand.accelerator, count=demand.count, hours=taken, weights=None, serves=False),
        renting=renting,
    )


def contract_months(renting: Renting) -> int | None:
    """Return the term of a contract, None where nothing is reserved."""
    return (renting.term_months or USUAL_TERM_MONTHS) if renting.plan is Terms.RESERVED else None


def accelerators(stage: Stage, on: str, context: Context) -> tuple[Accelerator, int | None]:
    """Return the accelerator that `on` names and how many."""
    with context.naming(*stage.where, "on"):
        name, count = units.read_accelerators(on)
        return context.catalog.find(name), count


def hour_drafts(
    stage: Stage,
    hours: Quantity,
    accelerator: Accelerator,
    count: float,
    renting: Renting,
    context: Context,
    category: Category,
    *,
    driver: str | None = None,
    weights: tuple[float, ...] | None = None,
    months: int | None = None,
) -> tuple[tuple[Draft, ...], str]:
    """Return the lines that pay for accelerator-hours on the terms of a stage, and what the terms add, in words."""
    price = context.hour_price(stage, renting, accelerator)
    moved_by = f"speed of '{driver or stage.name}'"
    said = ""
    if renting.plan is Terms.SPOT:
        extra = spot_factor(count, accelerator, context)
        hours = product(ACCELERATOR_HOUR, (hours, extra), basis=hours.basis)
        said = f"; interruptions of spot machines add {show_percent(extra.mid - 1, 2)}"
    elif renting.plan is Terms.RESERVED:
        term = contract_months(renting)
        hours = exact(math.ceil(count) * HOURS_PER_MONTH, ACCELERATOR_HOUR, "a month of contract, used or not")
        moved_by = f"contract of '{stage.name}'"
        said = f"; {math.ceil(count):,} reserved for {term} months, used or not"
    item = f"{accelerator.name.partition(' (')[0]} hours"
    return (Draft(item=item, category=category, amount=hours, price=price, driver=moved_by, weights=weights),), said


def spot_factor(count: float, accelerator: Accelerator, context: Context) -> Quantity:
    """Return paid hours over useful hours on spot machines, at most 3."""
    rate, lost = context.default("spot_interruptions_per_hour"), context.default("spot_work_lost_hours")
    machines = max(1.0, count / (accelerator.accelerators_per_node or 8))
    share = product("", (rate, lost)).scaled(machines)
    low, mid, high = (min(1 + value, 3.0) for value in (share.low, share.mid, share.high))
    return Quantity(low, mid, high, "", "80 %", share.basis)


def _worked(
    stage: Stage, found: JobAnswer, *, runs: float, failed: float, renting: Renting, context: Context, what: str
) -> Worked:
    run, accelerator, count = found.run, found.job.accelerator, found.accelerators
    times = runs * (1 + failed)
    needed = run.accelerator_hours.scaled(times, ACCELERATOR_HOUR)
    wall_s = run.wall_s.mid * times
    months = max(1, math.ceil(wall_s / MONTH - 1e-9))
    drafts, lost = hour_drafts(stage, needed, accelerator, count, renting, context, Category.TRAINING)
    note = f"{what} on {show_count(run.tokens)} tokens, {count:,} x {accelerator.name}: {show_duration(run.wall_s.mid)}"
    if runs != 1:
        note += f", {runs:g} times"
    if failed:
        note += f", and {show_percent(failed)} for failed attempts"
    warnings = []
    if run.wall_s.high * times / MONTH > months + 0.5:
        warnings.append(
            f"'{stage.name}' could take {run.wall_s.high * times / MONTH:.1f} months at the slow end; it is planned in "
            f"{months}."
        )
    term = contract_months(renting)
    if term and (stage.months or months) < term:
        warnings.append(f"'{stage.name}' reserves for {term} months and runs {wall_s / MONTH:.1f} of them.")
    return Worked(
        drafts=drafts,
        lasts=months,
        notes=(note + lost,),
        warnings=tuple(warnings),
        demand=Demand(
            accelerator=accelerator,
            count=count,
            hours=needed,
            weights=None,
            serves=False,
        ),
        renting=renting,
        commitment_months=contract_months(renting),
    )


class _Options:
    """Options of a job as typed in the file, read with the readers of the command line."""

    def __init__(self, stage: Stage, typed: Mapping[str, object], context: Context) -> None:
        self.stage, self.typed, self.context = stage, typed, context

    def get(self, key: str, reader: Callable[[str], _T]) -> _T | None:
        """Return one option, None where it is not given."""
        value = self.typed.get(key)
        if value is None:
            return None
        path = (*self.stage.where, key)
        text = f"{value:.15g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        with self.context.naming(*path):
            try:
                return reader(text)
            except ValueError:
                choices = ", ".join(str(each) for each in reader) if isinstance(reader, type) else ""  # type: ignore[attr-defined]
                raise InputError(f"{key} is '{text}', which is not a choice; choose one of {choices}") from None

    def wanted(self) -> Wanted:
        """Return what the user fixed of the layout."""
        zero = self.get("zero", lambda text: Zero(int(text)))
        return Wanted(
            tp=self.get("tp", units.read_whole),
            pp=self.get("pp", units.read_whole),
            cp=self.get("cp", units.read_whole),
            ep=self.get("ep", units.read_whole),
            zero=zero,
            micro_batch=self.get("micro_batch", units.read_whole),
            recompute=self.get("recompute", Recompute),
        )
