"""Does the model rank layouts as the clock does? Jobs that were measured under many layouts, replayed.

A job is a source, a model with its depth, a chip and their number, a global batch, a sequence length, a precision, a
framework and its year; its layouts differ in how it is cut and in the micro-batch. `order` is the share of pairs of
layouts, measured more than 5 % apart, that the prediction puts in the right order; `regret` how much slower the layout
that we would pick was measured than the best one. Predictions come from the fold that left the job's family out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

from ...estimators.frozen import dataclass
from .rows import MeasuredRow
from .scores import ScoredRow

LEAST_LAYOUTS = 10
CLOSE = math.log(1.05)  # pairs nearer than this are within the noise of repeated runs
GOOD_ORDER, GOOD_REGRET = 0.85, 0.03

_JOB = ("model", "layers", "accelerator", "accelerator_count", "global_batch", "seq_len", "precision", "framework")
_LAYOUT = ("tp", "pp", "dp", "ep", "cp", "vp", "micro_batch", "zero_or_fsdp", "recompute", "compile")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedJob:
    """One job under many layouts; `pick` and `best` are (id, measured tokens/s per accelerator)."""

    source: str
    job: str
    layouts: int
    pairs: int  # measured more than 5 % apart
    order: float | None
    regret: float
    pick: tuple[str, float]
    best: tuple[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSummary:
    """Means over jobs; `ordered` and `near` are the shares of jobs that reach 85 % of pairs and 3 % of the best."""

    jobs: int
    order: float
    ordered: float
    regret: float
    worst_regret: float
    near: float


def rank_jobs(rows: Sequence[MeasuredRow], scored: Sequence[ScoredRow]) -> tuple[RankedJob, ...]:
    """Return the jobs of `rows` that were measured under ten layouts or more, ranked by prediction and by clock.

    `scored` are the same rows predicted (`validate_training`), in any order; unsupported ones are left out.
    """
    by_id = {row.id: row for row in scored if row.predicted and row.measured}
    jobs: dict[tuple[str, ...], list[MeasuredRow]] = {}
    for row in rows:
        if row.id in by_id:
            said = row.configuration
            jobs.setdefault((row.source, *(said.text(name) for name in (*_JOB, "year"))), []).append(row)
    ranked = []
    for key, members in jobs.items():
        layouts = {tuple(row.configuration.text(name) for name in _LAYOUT) for row in members}
        if len(layouts) >= LEAST_LAYOUTS:
            source, model, layers, chip, count, batch, *_ = key
            name = f"{model}, {_whole(layers)} layers, batch {_whole(batch)}, {_whole(count)} {chip}"
            ranked.append(_rank(source, name, len(layouts), [by_id[row.id] for row in members]))
    return tuple(ranked)


def summarise(jobs: Sequence[RankedJob]) -> LayoutSummary | None:
    """Return the means over jobs, None where no job has enough layouts."""
    orders = [job.order for job in jobs if job.order is not None]
    if not orders:
        return None
    regrets = [job.regret for job in jobs]
    return LayoutSummary(
        jobs=len(jobs),
        order=statistics.fmean(orders),
        ordered=sum(order >= GOOD_ORDER for order in orders) / len(orders),
        regret=statistics.fmean(regrets),
        worst_regret=max(regrets),
        near=sum(regret <= GOOD_REGRET for regret in regrets) / len(regrets),
    )


def _rank(source: str, name: str, layouts: int, members: Sequence[ScoredRow]) -> RankedJob:
    speeds = [(row.id, row.measured or 0.0, row.predicted or 0.0) for row in members]
    right = pairs = 0
    for (_, clock_a, ours_a), (_, clock_b, ours_b) in combinations(speeds, 2):
        apart = math.log(clock_a / clock_b)
        if abs(apart) > CLOSE:
            pairs += 1
            right += apart * math.log(ours_a / ours_b) > 0
    pick = max(speeds, key=lambda each: each[2])
    best = max(speeds, key=lambda each: each[1])
    return RankedJob(
        source=source,
        job=name,
        layouts=layouts,
        pairs=pairs,
        order=right / pairs if pairs else None,
        regret=best[1] / pick[1] - 1,
        pick=pick[:2],
        best=best[:2],
    )


def _whole(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text or "?"
