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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...estimators import frozen
from ...estimators.errors import FlopwiseError
from ...estimators.facts.efficiency import fold_of
from ...estimators.facts.memory import MemoryFacts, load_memory_facts, load_memory_folds
from ...estimators.memory.overhead import MemoryKind
from ...estimators.memory.training import TrainingMemory, training_memory
from ...estimators.training.layout import Recompute
from ...estimators.units import GIB
from .memory_cases import MemoryCase, complete
from .rows import MeasuredRow, read_rows

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog

FILLED_SHARE = 0.9  # of the card that a job fills whose recomputation was tuned to fit; a guess
SHIPPED = Path(__file__).parents[2] / "data" / "measured" / "training_memory.csv"


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
    memory, low, mid, high = _as_run(case, memory, facts)
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


def _as_run(case: MemoryCase, memory: TrainingMemory, facts: MemoryFacts) -> tuple[TrainingMemory, float, float, float]:
    """Return memory and range of the job as an expert would run it: recomputing until it fits, where that is unsaid."""
    peak = memory.peak
    if not case.may_recompute or memory.fits:
        return memory, peak.low, peak.mid, peak.high
    lean = predict(replace(case, recipe=frozen.replace(case.recipe, recompute=Recompute.FULL)), facts)
    if not lean.fits:
        return lean, lean.peak.low, lean.peak.mid, lean.peak.high
    filled = max(lean.peak.mid, FILLED_SHARE * lean.usable_bytes)  # as few layers as are needed are recomputed
    return lean, lean.peak.low, filled, lean.usable_bytes


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
