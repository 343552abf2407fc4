"""Replay published whole runs: accelerator-hours from the configuration alone, scored against what was reported.

`predict_run` answers the job of a row (`run_cases.py`) as `flopwise train` would, with the software and the habits of
its year; what the run took beyond its steps comes, for a run that the fit saw, from the fit that left its organisation out. The hours of a
row that are tokens over a stated speed hold no run, so only steps are counted; start-up is never in reported hours.
Rows whose hours cover several phases are predicted and marked, and not scored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...estimators.errors import FlopwiseError
from ...estimators.facts.run_losses import RunKind, RunLoss
from ...estimators.models.parameters import count_parameters
from ...estimators.quantity import Quantity
from ...estimators.training.efficiency import reference_peak
from ...estimators.training.job import JobAnswer, answer, checkpoint_bytes
from ...estimators.training.run import START_UP, TrainingRun, loss_of, run_kind, training_run
from ...estimators.units import HOUR
from .run_cases import RunCase, Unsupported, run_case, without_measurements
from .scores import ScoredRow
from .training import FLAT_MFU

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from .rows import MeasuredRow

HOURS = "gpu_hours"
MIXED = "its hours cover several phases"
# Hours computed from a step time or a speed, or planned; published totals are counted.
_FROM_SPEED = re.compile(r"step time|throughput|tokens ?/|per (trillion|[\d.]+ ?[bt])\b|\(plan\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRun:
    """A row's job, its answer and its accelerator-hours; `beyond` is what the hours hold beside the steps."""

    case: RunCase
    answer: JobAnswer
    beyond: RunLoss | None
    hours: Quantity


def worth_scoring(rows: Iterable[MeasuredRow], *, every_quality: bool) -> tuple[MeasuredRow, ...]:
    """Return the rows with reported hours that are not marked as traps, their measurements set apart.

    Of our own rows those of quality A and B; of a user's rows all.
    """
    kept = (row for row in rows if row.scored and (every_quality or row.quality in ("A", "B")))
    apart = (without_measurements(row) for row in kept)
    return tuple(row for row in apart if row.measured.number(HOURS))


def validate_runs(rows: Iterable[MeasuredRow], catalog: Catalog) -> tuple[ScoredRow, ...]:
    """Return every row predicted and scored, in order."""
    return tuple(score_run(row, catalog) for row in rows)


def score_run(row: MeasuredRow, catalog: Catalog) -> ScoredRow:
    """Return one row predicted and scored; one whose hours mix phases has a prediction and is not scored."""
    name = row.configuration.text("model")
    try:
        found = predict_run(row, catalog)
    except (FlopwiseError, Unsupported) as error:
        return ScoredRow(id=row.id, source=row.source, name=name, status="unsupported", reason=str(error))
    job = found.case.job
    peak, _ = reference_peak(job.accelerator)
    per_token = (4.0 if job.recipe.adapter else 6.0) * count_parameters(job.shape).active
    return ScoredRow(
        id=row.id,
        source=row.source,
        name=name,
        status="mixed" if found.case.is_mixed else "scored",
        reason=MIXED if found.case.is_mixed else "",
        measured=row.measured.number(HOURS),
        predicted=found.hours.mid,
        low=found.hours.low,
        high=found.hours.high,
        # The flat guess knows the usual 6 FLOPs per parameter and token (4 where weights are frozen), and no more.
        baseline=per_token * found.case.data_tokens / (FLAT_MFU * peak) / HOUR,
    )


def predict_run(row: MeasuredRow, catalog: Catalog, *, fitted: bool = True) -> PredictedRun:
    """Return the prediction of a row, by the fit that left its organisation out; unless `fitted`, by none at all.

    Raises:
        Unsupported: the row says too little.
        FlopwiseError: the job cannot be run that way.
    """
    case = run_case(row, catalog)
    found = answer(case.job, case.accelerators)
    beyond = None
    is_run = not _FROM_SPEED.search(row.configuration.text("gpu_hours_kind").lower())
    if fitted and is_run:
        seen = (case.organisation, row.configuration.text("model"))
        beyond = loss_of(found.choice.layout, found.workload, case.job.accelerator, unseen=seen)
    run = training_run(
        found.choice.time,
        tokens=case.job.tokens,
        accelerator=case.job.accelerator,
        layout=found.choice.layout,
        workload=found.workload,
        state_bytes=checkpoint_bytes(case.job),
        usd_per_hour=None,
        beyond=beyond,
    )
    return PredictedRun(case=case, answer=found, beyond=beyond, hours=_hours(run, case.accelerators, is_run=is_run))


def kind_of(row: MeasuredRow, found: PredictedRun) -> RunKind | None:
    """Return which factor the reported hours of a row hold, None where they hold none."""
    if _FROM_SPEED.search(row.configuration.text("gpu_hours_kind").lower()):
        return None
    return run_kind(found.answer.choice.layout, found.answer.workload, found.case.job.accelerator)


def _hours(run: TrainingRun, accelerators: int, *, is_run: bool) -> Quantity:
    """Return the accelerator-hours that such a report counts: the wall without start-up, or the steps alone."""
    per_s = accelerators / HOUR
    if not is_run:
        return run.train_s.scaled(per_s, "accelerator_hours")
    startup = next(loss.seconds for loss in run.losses if loss.name == START_UP)
    wall = run.wall_s
    mid = wall.mid - startup.mid
    # Start-up goes out of the middle and, in quadrature, out of the range.
    down = math.sqrt(max(0.0, (wall.mid - wall.low) ** 2 - (startup.mid - startup.low) ** 2))
    up = math.sqrt(max(0.0, (wall.high - wall.mid) ** 2 - (startup.high - startup.mid) ** 2))
    return Quantity(max(0.0, mid - down), mid, mid + up, "s", wall.band, wall.basis).scaled(per_s, "accelerator_hours")
