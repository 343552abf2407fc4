"""Fit the efficiency of serving on measured rows and write `data/efficiency/serving.yaml` and `serving_folds.yaml`.

    python -m flopwise.benchmarks.fits.serving            fit, score out of fold, write
    python -m flopwise.benchmarks.fits.serving --score    score only: folds, leave one source out, shuffle test

The model is that of `estimators/serving` (the same functions, with columns of rows for numbers). Each of its few
parameters is a base plus offsets by level (generation, chip, engine, format, ...), each offset drawn to zero by its own
width (`SPEC`), so that a level with one row barely moves and an unknown level is the mean. Residuals are logs of
predicted over measured, with a pseudo-Huber loss; a cell (source x model x accelerator x precision) of n rows weighs
n**0.3. Gauss-Newton with damping; the Jacobian has one column block per parameter, since offsets add up.

Out of fold means: whole families (source x model x accelerator; MLPerf partners are one source) are left out. Bands
are quantiles of out-of-fold residuals, cells weighing alike; chips and models that no row has take theirs from fits that
left whole chips and whole architectures out. Slopes (`estimators/serving/covariates.py`) carry over to those.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.serving import load_serving_rules
from ..validation.serving_folds import family_key, fold_of
from ..validation.serving_rows import Case, Metric, read_case
from ..validation.serving_software import Unsupported
from .common import ROOT, measured
from .serving_problem import SPEC, Array, Problem

FOLDS = 5
STRENGTH = 0.1  # weight of the widths of `SPEC` against the residuals
KNEE = 0.15  # log residual where the loss turns from square to straight
STEP = 1e-3
NEGLIGIBLE = 0.004  # offsets below this are not written


def fit(problem: Problem, kept: NDArray[np.bool_], *, rounds: int = 15, measured_log: Array | None = None) -> Array:
    """Return the coefficients fitted on the targets `kept`.

    `measured_log` replaces log(measured) (the shuffle test).
    """
    from scipy.linalg import cho_factor, cho_solve  # a development dependency
    from scipy.sparse import csr_matrix

    rows = np.flatnonzero(kept)
    prior = (STRENGTH / problem.width) ** 2
    shift = 0.0 if measured_log is None else np.log(problem.measured) - measured_log

    def cost(r: Array, x: Array) -> float:
        own, w = r[rows], problem.weight[rows]
        loss = 2 * KNEE**2 * (np.sqrt(1 + (own / KNEE) ** 2) - 1)
        return float((w**2 * loss).sum() + (prior * (x - problem.start) ** 2).sum())

    x = problem.start.copy()
    values = problem.values(x)
    r = problem.residuals(values) + shift
    best, damping = cost(r, x), 1e-3
    for _ in range(rounds):
        places: list[NDArray[Any]] = []
        slope: list[Array] = []
        for name, parts in problem.columns.items():
            moved = dict(values)
            moved[name] = values[name] + STEP
            gradient = (problem.residuals(moved) + shift - r) / STEP
            for position, factor in parts:
                own = gradient if factor is None else gradient * factor[problem.row]
                places.append(position[problem.row][rows])
                slope.append(own[rows])
        jacobian = csr_matrix(
            (
                np.stack(slope, axis=1).ravel(),
                np.stack(places, axis=1).ravel(),
                np.arange(0, len(rows) * len(slope) + 1, len(slope)),
            ),
            shape=(len(rows), len(x)),
        )
        weight = problem.weight[rows] ** 2 / np.sqrt(1 + (r[rows] / KNEE) ** 2)
        normal = (jacobian.T @ jacobian.multiply(weight[:, None]).tocsr()).toarray()
        gradient = jacobian.T @ (weight * r[rows]) + prior * (x - problem.start)
        for _ in range(7):
            damped = normal + np.diag(prior + damping * np.diag(normal) + 1e-9)
            change = -cho_solve(cho_factor(damped, overwrite_a=True), gradient)
            tried = x + np.clip(change, -1.5, 1.5)
            tried_values = problem.values(tried)
            tried_r = problem.residuals(tried_values) + shift
            found = cost(tried_r, tried)
            if np.isfinite(found) and found < best:
                damping = max(damping / 4, 1e-6)
                break
            damping *= 8
        else:
            break
        gain = best - found
        x, values, r, best = tried, tried_values, tried_r, found
        if gain < 5e-4 * best:
            break
    return x


def cell_errors(problem: Problem, r: Array) -> dict[str, Array]:
    """Return the median |error| of every cell, for speeds and for prompts; targets without a residual are left out."""
    error = np.abs(np.expm1(r))
    known = np.isfinite(error)
    made = {}
    for name, chosen in (("speed", problem.is_speed & known), ("prompt", ~problem.is_speed & known)):
        made[name] = np.array([np.median(error[(problem.cell == c) & chosen]) for c in np.unique(problem.cell[chosen])])
    return made


def report(problem: Problem, r: Array, title: str) -> None:
    """Print median and 90th percentile over cells."""
    for name, errors in cell_errors(problem, r).items():
        print(
            f"{title:34s} {name:7s} {len(errors):4d} cells: median {np.median(errors):.1%}, "
            f"90th percentile {np.quantile(errors, 0.9):.1%}"
        )


def out_of_fold(problem: Problem, group: NDArray[np.int64]) -> tuple[Array, list[Array]]:
    """Return residuals of targets whose group the fit left out, and the fits."""
    r = np.zeros(len(problem.row))
    fits = []
    for value in np.unique(group):
        x = fit(problem, group != value)
        fits.append(x)
        out = group == value
        r[out] = problem.residuals(problem.values(x))[out]
    return r, fits


def bands(problem: Problem, r: Array, ending: str = "") -> dict[str, dict[str, Any]]:
    """Return 10th and 90th percentiles of measured / predicted by kind; rows of a cell share one vote.

    "speed" is in rates (a time per token is inverted), "first token" in times. `ending` is added to each kind.
    """
    metric = problem.metric
    is_time = (metric == Metric.TOKEN.value) | (metric == Metric.LATENCY.value)  # speeds are counted as rates
    made = {}
    for name, chosen in (
        ("speed", problem.is_speed),
        ("first token", metric == Metric.FIRST.value),
        ("prompt rate", metric == Metric.PROMPT.value),
    ):
        ratio = np.exp(-r[chosen] * np.where(is_time[chosen], -1.0, 1.0))
        vote = 1.0 / np.bincount(problem.cell)[problem.cell[chosen]]
        order = np.argsort(ratio)
        share = (np.cumsum(vote[order]) - vote[order] / 2) / vote.sum()
        low, high = np.interp([0.1, 0.9], share, ratio[order])
        made[name + ending] = {
            "low": round(float(low), 3),
            "high": round(float(high), 3),
            "rows": int(chosen.sum()),
            "cells": len(np.unique(problem.cell[chosen])),
        }
    return made


def parameters_of(problem: Problem, x: Array) -> dict[str, Any]:
    """Return the fit as the records that `estimators/facts/serving_fit.py` reads."""
    made: dict[str, Any] = {}
    for (name, level, key), value in zip(problem.names, x, strict=True):
        entry = made.setdefault(name, {"fraction": SPEC[name][0], "base": 0.0})
        if level == "base":
            entry["base"] = round(float(value), 4)
        elif level == "slope":
            entry.setdefault("slopes", {})[key] = round(float(value), 4)
        elif key and abs(value) >= NEGLIGIBLE:
            entry.setdefault("offsets", {}).setdefault(level, {})[key] = round(float(value), 3)
    return made


def write(name: str, data: Mapping[str, Any]) -> None:
    """Write a fit file."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, width=120, default_flow_style=None)
    head = "# Written by benchmarks/fits/serving.py; do not edit.\n"
    (ROOT / "data" / "efficiency" / name).write_text(head + text, encoding="utf-8")


def load_cases() -> list[Case]:
    """Return every case of the measured table that can be predicted."""
    catalog, rules = load_catalog(use_config_folder=False), load_serving_rules()
    cases = []
    with measured("serving.csv").open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            if (record.get("quality") or "") in ("D",):
                continue
            try:
                cases.append(read_case(record, catalog, rules))
            except Unsupported:
                continue
    return cases


def by_source(problem: Problem, r: Array) -> None:
    """Print the errors by source."""
    error = np.abs(np.expm1(r))
    rows: dict[tuple[bool, str], list[float]] = defaultdict(list)
    for cell in np.unique(problem.cell):
        chosen = problem.cell == cell
        first = np.flatnonzero(chosen)[0]
        rows[bool(problem.is_speed[first]), problem.sources[problem.source[first]]].append(
            float(np.median(error[chosen]))
        )
    for (is_speed, source), values in sorted(rows.items()):
        print(f"  {'speed ' if is_speed else 'prompt'} {source[:64]:64s} {len(values):4d} {np.median(values):7.1%}")


def main(arguments: Iterable[str] | None = None) -> None:
    """Fit, score and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--score", action="store_true", help="print every score and write nothing")
    asked = parser.parse_args(list(arguments) if arguments is not None else None)
    began = time.process_time()
    problem = Problem(load_cases())
    everything = np.ones(len(problem.row), bool)
    x = fit(problem, everything)
    report(problem, problem.residuals(problem.values(x)), "in sample")
    fold = np.array([fold_of(str(problem.families[f]), FOLDS) for f in problem.family])
    r, fold_fits = out_of_fold(problem, fold)
    report(problem, r, f"families left out ({FOLDS} folds)")
    setups = [problem.cases[i].setup for i in problem.row]
    chips = np.array([setup.accelerator.id for setup in setups])
    models = np.array([setup.architecture_key for setup in setups])
    chip_r, _ = out_of_fold(problem, np.array([fold_of(chip, FOLDS) for chip in chips]))
    report(problem, chip_r, f"chips left out ({FOLDS} folds)")
    model_r, _ = out_of_fold(problem, np.array([fold_of(model, FOLDS) for model in models]))
    report(problem, model_r, f"architectures left out ({FOLDS} folds)")
    by_source(problem, r)
    if asked.score:
        source_r, _ = out_of_fold(problem, problem.source)
        report(problem, source_r, "one source left out")
        names = np.array([setup.shape.name for setup in setups])
        name_r, _ = out_of_fold(problem, np.array([fold_of(name, FOLDS) for name in names]))
        report(problem, name_r, f"models by name left out ({FOLDS} folds)")
        random = np.random.default_rng(0)
        shuffled = np.log(problem.measured).copy()
        for metric in np.unique(problem.metric):
            chosen = np.flatnonzero(problem.metric == metric)
            shuffled[chosen] = shuffled[random.permutation(chosen)]
        false = fit(problem, fold != 0, measured_log=shuffled)
        left_out = np.where(fold == 0, problem.residuals(problem.values(false)), np.nan)
        report(problem, left_out, "fitted on shuffled measurements")
        sys.exit()
    made = {
        **bands(problem, r),
        **bands(problem, chip_r, ", new chip"),
        **bands(problem, model_r, ", new model"),
    }
    errors = cell_errors(problem, r)
    head = {
        "fitted_on": "shared/data/measured/serving.csv",
        "as_of": time.strftime("%Y-%m-%d"),
        "rows": len(problem.row),
        "cells": len(problem.cell_names),
        "out_of_fold": {
            name: {
                "median": round(float(np.median(e)), 4),
                "p90": round(float(np.quantile(e, 0.9)), 4),
                "cells": len(e),
            }
            for name, e in errors.items()
        },
    }
    known = {
        "chips": sorted(set(chips.tolist())),
        "engines": sorted({c.setup.engine_level for c in problem.cases}),
        "models": sorted(set(models.tolist())),
        "ranges": {name: [round(low, 4), round(high, 4)] for name, (low, high) in problem.ranges.items()},
    }
    write("serving.yaml", {**head, "bands": made, **known, "parameters": parameters_of(problem, x)})
    write(
        "serving_folds.yaml",
        {
            "families": {family_key(f): fold_of(f, FOLDS) for f in sorted({str(name) for name in problem.families})},
            "folds": [
                {**head, "bands": made, **known, "parameters": parameters_of(problem, each)} for each in fold_fits
            ],
        },
    )
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
