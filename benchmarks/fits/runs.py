"""Fit what published whole runs took beyond their steps: `data/efficiency/runs.yaml`.

    python -m flopwise.benchmarks.fits.runs [--rows training_runs.csv]

Every scored row of quality A or B whose hours are those of one phase is predicted from its steps alone; of ln(reported
/ predicted) each organisation counts once, by its median, and the factor is the mean of these. Each organisation is
then left out in turn: its rows' errors under the factor of the others are what is quoted, and their scatter, less that
of the step time itself, is the band. Rows that are tokens over a stated speed have no part in it, for no run is in them.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...estimators.errors import FlopwiseError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.run_losses import RunKind
from ...estimators.training.run import cluster_share
from ...estimators.units import HOUR
from ..validation.rows import read_rows
from ..validation.run_cases import Unsupported
from ..validation.runs import HOURS, kind_of, predict_run, worth_scoring
from ..validation.scores import quantile
from .common import measured, write_yaml

_BAND = 1.2816  # standard deviations from the middle to either end of an 80 % band
_LEAST = 0.12  # of ln factor, a guess: a handful of organisations cannot tell it better


@dataclass(frozen=True, slots=True)
class Point:
    """One row: ln(reported / predicted without the factor), as of a large cluster; standard deviation of ln step time."""

    id: str
    kind: RunKind
    organisation: str
    model: str
    excess: float
    step_sigma: float


def points(path: Path) -> tuple[Point, ...]:
    """Return the rows that the fit may see."""
    catalog = load_catalog(use_config_folder=False)
    found = []
    for row in worth_scoring(read_rows(path), every_quality=False):
        try:
            run = predict_run(row, catalog, fitted=False)
        except (FlopwiseError, Unsupported):
            continue
        kind = kind_of(row, run)
        hours = row.measured.number(HOURS)
        alone = run.answer.run.train_s.mid * run.case.accelerators / HOUR
        if kind is None or run.case.is_mixed or not hours:
            continue
        step = run.answer.choice.time.step_time_s
        sigma = math.log(step.high / step.low) / 2 / _BAND
        share = 1.0
        if kind is RunKind.CLUSTER:
            share = cluster_share(run.answer.choice.layout, run.case.job.accelerator)
        excess = math.log(max(0.1, 1.0 + (hours / alone - 1.0) / share))
        found.append(Point(row.id, kind, run.case.organisation, row.configuration.text("model"), excess, sigma))
    return tuple(found)


def factor(rows: Iterable[Point]) -> float:
    """Return ln of the factor: the mean over organisations of each one's median excess."""
    by: dict[str, list[float]] = {}
    for row in rows:
        by.setdefault(row.organisation, []).append(row.excess)
    return statistics.fmean(statistics.median(values) for values in by.values())


def left_out(rows: Sequence[Point]) -> Mapping[str, float]:
    """Return ln of the factor without each organisation."""
    names = dict.fromkeys(row.organisation for row in rows)
    if len(names) < 2:
        return {}
    return {name: factor(row for row in rows if row.organisation != name) for name in names}


def main() -> None:
    """Fit, write, print."""
    parser = argparse.ArgumentParser(description="Fit what whole runs take beyond their steps.")
    parser.add_argument("--rows", type=Path, default=None, help="the table of whole runs")
    every = points(parser.parse_args().rows or measured("training_runs.csv"))
    losses, folds, runs = [], [], []
    for kind in RunKind:
        rows = [row for row in every if row.kind is kind]
        if not rows:
            continue
        middle, folded = factor(rows), left_out(rows)
        residuals = {row.id: row.excess - folded.get(row.organisation, middle) for row in rows}
        by: dict[str, list[float]] = {}
        for row in rows:
            by.setdefault(row.organisation, []).append(residuals[row.id])
        # By the share of rows that should lie inside, for methods that cost several times the usual are not noise.
        spread = statistics.fmean(quantile([abs(value) for value in values], 0.8) for values in by.values()) / _BAND
        own = statistics.fmean(row.step_sigma**2 for row in rows)
        sigma = math.sqrt(max(_LEAST**2, spread**2 - own))
        errors = [abs(math.exp(-residual) - 1) for residual in residuals.values()]
        losses.append(
            {
                "kind": kind.value,
                "low": math.exp(middle - _BAND * sigma),
                "mid": math.exp(middle),
                "high": math.exp(middle + _BAND * sigma),
                "rows": len(rows),
                "organisations": len(by),
                "error": statistics.median(errors),
            }
        )
        folds += [{"kind": kind.value, "left_out": name, "factor": math.exp(value)} for name, value in folded.items()]
        runs += [
            {"id": row.id, "kind": kind.value, "organisation": row.organisation, "model": row.model, "ratio": ratio}
            for row in rows
            for ratio in [math.exp(row.excess)]
        ]
        print(f"{kind}: {math.exp(middle):.3f} of {len(rows)} rows, out of fold {statistics.median(errors):.1%}")
        for name, values in by.items():
            print(f"  {name}: {math.exp(folded.get(name, middle)):.3f}, residuals {[round(v, 2) for v in values]}")
    head = {
        "about": "hours of published whole runs, start-up aside, over those of their steps alone; 80 % bands",
        "command": "python -m flopwise.benchmarks.fits.runs",
        "source": "published runs (shared/data/measured/training_runs.csv), scored, hours of one phase",
        "method": "mean over organisations of each one's median; errors with the organisation left out",
    }
    write_yaml("runs.yaml", head, "losses", losses, lists={"folds": folds, "runs": runs})


if __name__ == "__main__":
    main()
