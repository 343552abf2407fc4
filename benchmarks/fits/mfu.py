"""Fit the training efficiency of `estimators/training/efficiency.py` and write `data/efficiency/mfu*.yaml`.

    python -m flopwise.benchmarks.fits.mfu --rows training_throughput.csv [--output data/efficiency]

Which rows: quality A and B, scored, those that `flopwise validate training` can predict. What a row says becomes the
formula's inputs by the very functions that the estimate uses. Every family (source x model x accelerator) weighs the
same, so a sweep of a thousand rows counts as its seven models. Offsets of vendor, architecture, chip and source are
shrunk to zero (ridge = normal priors); the source offset soaks up what one laboratory's software and reporting do to
all its rows, and is left out when predicting, for the user's stack is nobody's. Residuals are Student-t (4 degrees of
freedom) by reweighting. The two non-linear coefficients are scanned.

Errors and bands are out of sample: bands from predictions with the whole source left out (a user is a new source) and,
for chips without measured rows, with the whole chip left out; the folds file from tenths of the families.
"""

from __future__ import annotations

import argparse
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...estimators.errors import FlopwiseError
from ...estimators.facts.catalog import Catalog, load_catalog
from ...estimators.facts.efficiency import fold_of
from ...estimators.training.efficiency import REPEATED, Task, reference_peak
from ...estimators.training.flops import step_flops
from ...estimators.training.layout import Precision
from ...estimators.training.time import active_params, bubble, layer_flops, tensor_time_s
from ..validation.rows import MeasuredRow, read_rows
from ..validation.training import Unsupported, case_of, measured_speed

FOLDS = 10
FLOORS_S = (4e-4, 7e-4, 1e-3, 1.3e-3, 1.6e-3, 2e-3, 2.5e-3)  # launches and small kernels per layer and micro-batch
EXPOSED = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # time of tensor-parallel all-reduces over that at the rate of the link
CEILING = 0.9  # of the dense rate of the precision: no training step has been seen above it; only shapes the bands
SIGMA = 0.2  # residual scale that the priors below are weighed against
# name of the coefficient: (prior mean, prior standard deviation), all in log units
PRIORS = {
    "base": (0.0, 1e3),
    "ln_accelerators": (0.0, 0.1),
    "ln_active_params": (0.0, 0.2),
    "fp8": (0.0, 0.5),
    "fp4": (0.0, 0.5),
    "fp8_ln_active_params": (0.0, 0.2),
    "full_finetune": (0.0, 0.5),
    "lora": (0.0, 0.5),
    "qlora": (0.0, 0.5),
    "mixture": (0.0, 0.5),
    "recompute": (1.0, 0.2),
    "derated": (0.0, 0.3),  # a chip sold below its catalog power (torchtitan's 500 W H100); not used in predictions
}
LEVELS = {"vendor": 0.2, "architecture": 0.2, "chip": 0.1, "source": 0.2}  # prior standard deviations
BASES = {
    "pre-training": "published runs predicted without their source; 10th to 90th percentile",
    "pre-training, new chip": "published runs predicted without any run of their chip; 10th to 90th percentile",
    "fine-tune": "published fine-tunes predicted without their source; short or ragged batches spread widely",
    "fine-tune, new chip": "published fine-tunes predicted without their source, widened as for a new chip",
}
DERATED = {"H100-96GB-HBM2e-500W"}
Vector = Any  # a numpy array of floats
Scanned = tuple[float, float]  # launch floor (s) and exposed share of tensor-parallel time


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One measured row as inputs of the formula, and the MFU it reached."""

    source: str
    family: str
    accelerator_text: str
    chip: str
    architecture: str
    vendor: str
    accelerators: int
    active: float
    precision: Precision
    task: Task
    mixture: bool
    repeated: float
    bubble: float
    ideal_layer_s: float
    tensor_s: float
    ceiling: float  # the rate of the row's own precision over the reference peak
    mfu: float


def observe(row: MeasuredRow, catalog: Catalog) -> Observation | None:
    """Return the row as inputs of the formula, None where it is not scored or cannot be predicted."""
    speed = measured_speed(row)
    if not (row.scored and row.quality in ("A", "B") and speed):
        return None
    try:
        case = case_of(row, catalog)
        flops = step_flops(
            case.shape,
            sequence_tokens=case.workload.sequence_tokens,
            sequences=case.workload.global_batch,
            adapter=case.recipe.adapter,
        )
        peak, _ = reference_peak(case.accelerator)
    except (FlopwiseError, Unsupported):
        return None
    return Observation(
        source=row.source,
        family=row.family,
        accelerator_text=row.configuration.text("accelerator"),
        chip=case.accelerator.id,
        architecture=case.accelerator.architecture,
        vendor=case.accelerator.vendor,
        accelerators=case.layout.accelerators,
        active=active_params(case.shape),
        precision=case.recipe.precision,
        task=case.task,
        mixture=case.shape.is_mixture,
        repeated=REPEATED.get(case.recipe.recompute, (0.0, ""))[0],
        bubble=bubble(flops, case.layout, case.workload),
        ideal_layer_s=layer_flops(case.shape, flops, case.layout, case.workload) / peak,
        tensor_s=tensor_time_s(case.shape, case.accelerator, case.layout, case.workload),
        ceiling=max(1.0, (case.accelerator.peak_flops_per_s.get(case.recipe.precision) or 0.0) / peak),
        mfu=speed * flops.model.causal / case.workload.tokens_per_step / peak,
    )


def design(rows: pd.DataFrame) -> tuple[Vector, Vector, Vector, list[tuple[str, str]]]:
    """Return the design matrix, the prior means and precisions, and for each column its level and name."""
    size = np.log(rows.active / 1e10)
    low = rows.precision.eq(Precision.FP8)
    four = rows.precision.eq(Precision.FP4)
    columns: dict[tuple[str, str], Any] = {
        ("", "base"): np.ones(len(rows)),
        ("", "ln_accelerators"): np.log(rows.accelerators / 64),
        ("", "ln_active_params"): size,
        ("", "fp8"): low,
        ("", "fp4"): four,
        ("", "fp8_ln_active_params"): (low | four) * size,
        ("", "full_finetune"): rows.task.eq(Task.FULL_FINETUNE),
        ("", "lora"): rows.task.eq(Task.LORA),
        ("", "qlora"): rows.task.eq(Task.QLORA),
        ("", "mixture"): rows.mixture,
        ("", "recompute"): -np.log1p(rows.repeated),
        ("", "derated"): rows.accelerator_text.isin(DERATED),
    }
    for level in LEVELS:
        columns |= {(level, value): rows[level].eq(value) for value in sorted(rows[level].unique())}
    keys = list(columns)
    mean = np.array([0.0 if level else PRIORS[name][0] for level, name in keys])
    spread = np.array([LEVELS[level] if level else PRIORS[name][1] for level, name in keys])
    return np.column_stack([np.asarray(columns[key], float) for key in keys]), mean, 1 / spread**2, keys


class Model:
    """The rows as arrays, and the fit on any subset of them."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.x, self.prior_mean, self.prior_precision, self.keys = design(rows)
        self.log_mfu = np.log(rows.mfu.to_numpy(float))
        self.bubble = np.log1p(rows.bubble.to_numpy(float))
        self.ideal_layer_s = rows.ideal_layer_s.to_numpy(float)
        self.tensor_s = rows.tensor_s.to_numpy(float)
        self.weight = 1 / rows.groupby("family").family.transform("size").to_numpy(float)
        self.weight /= self.weight.mean()
        self.fold = np.array([fold_of(family, FOLDS) for family in rows.family])
        # Offsets that a prediction does not know: whose software it is, and that a machine runs below its power.
        self.hidden = np.array([level == "source" or name == "derated" for level, name in self.keys])

    def fixed(self, scanned: Scanned) -> Vector:
        """Return the part of ln MFU without linear coefficients: bubble, launches, tensor parallelism."""
        floor_s, exposed = scanned
        return -self.bubble - np.log1p((floor_s + exposed * self.tensor_s) / self.ideal_layer_s)

    def fit(self, train: Vector, scanned: Scanned) -> tuple[Vector, float]:
        """Return the coefficients on the rows `train` and their penalized loss."""
        x, y = self.x[train], (self.log_mfu - self.fixed(scanned))[train]
        weight = self.weight[train].copy()
        for _ in range(12):
            normal = (x * weight[:, None]).T @ x / SIGMA**2 + np.diag(self.prior_precision)
            right = (x * weight[:, None]).T @ y / SIGMA**2 + self.prior_precision * self.prior_mean
            b = np.linalg.solve(normal, right)
            residual = (y - x @ b) / SIGMA
            weight = self.weight[train] * 5 / (4 + residual**2)
        penalty = self.prior_precision @ (b - self.prior_mean) ** 2
        return b, float(self.weight[train] @ (5 * np.log1p(residual**2 / 4)) + penalty)

    def best(self, train: Vector) -> tuple[Vector, Scanned]:
        """Return the linear coefficients and the scanned ones with the least loss."""
        fits = [(self.fit(train, scanned), scanned) for scanned in ((f, c) for f in FLOORS_S for c in EXPOSED)]
        (b, _), scanned = min(fits, key=lambda item: item[0][1])
        return b, scanned

    def predict(self, b: Vector, scanned: Scanned, rows: Vector) -> Vector:
        """Return ln MFU for the rows without the offsets of sources."""
        return self.x[rows] @ np.where(self.hidden, 0.0, b) + self.fixed(scanned)[rows]

    def held_out(self, groups: Vector) -> Vector:
        """Return ln MFU of every row, predicted from a fit without the rows of its group."""
        predicted = np.empty(len(self.rows))
        for group in np.unique(groups):
            rows = groups == group
            predicted[rows] = self.predict(*self.best(~rows), rows)
        return predicted


def errors_by_source(model: Model, predicted: Vector) -> pd.DataFrame:
    """Return rows, median and 90th percentile of |predicted / measured - 1| of throughput for each source."""
    error = np.abs(np.exp(predicted - model.log_mfu) - 1)
    groups = pd.Series(error).groupby(model.rows.source.to_numpy())
    return pd.DataFrame({"rows": groups.size(), "median": groups.median(), "p90": groups.quantile(0.9)})


def band(shift: Vector, sources: Vector) -> tuple[float, float]:
    """Return the 10th and 90th percentile of `shift` with every source weighing the same."""
    weight = pd.Series(1.0, index=range(len(shift))) / pd.Series(sources).map(pd.Series(sources).value_counts())
    order = np.argsort(shift)
    share = np.cumsum(weight.to_numpy()[order]) / weight.sum()
    return float(np.interp(0.1, share, shift[order])), float(np.interp(0.9, share, shift[order]))


def shifts(model: Model, predicted: Vector) -> Vector:
    """Return measured minus predicted on the scale where the ceiling is far away (see `efficiency.spread`)."""
    ceiling = CEILING * model.rows.ceiling.to_numpy(float)
    measured = np.clip(np.exp(model.log_mfu) / ceiling, None, 0.98)
    expected = np.clip(np.exp(predicted) / ceiling, None, 0.98)
    return np.log(measured / (1 - measured)) - np.log(expected / (1 - expected))


def coefficients(model: Model, train: Vector) -> dict[str, Any]:
    """Return the named coefficients fitted on the rows `train`, as they stand in the file."""
    b, scanned = model.best(train)
    seen = model.x[train].any(axis=0)  # a level without rows is absent, so that it counts as unmeasured
    named: dict[str, Any] = {"coefficients": {}, "chips": {}, "architectures": {}, "vendors": {}}
    where = {"": "coefficients", "chip": "chips", "architecture": "architectures", "vendor": "vendors"}
    for (level, name), value, known in zip(model.keys, b, seen, strict=True):
        if level != "source" and name != "derated" and (known or not level):
            named[where[level]][name] = round(float(value), 4)
    named["coefficients"]["layer_floor_s"], named["coefficients"]["tensor_exposed"] = scanned
    return named


def bands(model: Model, by_source: Vector, by_chip: Vector) -> dict[str, Any]:
    """Return the four bands of `BASES` from predictions without the source, and without the chip."""
    tune = model.rows.task.ne(Task.PRETRAIN).to_numpy()
    sources = model.rows.source.to_numpy()
    seen = band(shifts(model, by_source)[~tune], sources[~tune])
    new = band(shifts(model, by_chip)[~tune], sources[~tune])
    new = (min(new[0], seen[0]), max(new[1], seen[1]))
    tuned = band(shifts(model, by_source)[tune], sources[tune])
    tuned_new = (tuned[0] + new[0] - seen[0], tuned[1] + new[1] - seen[1])
    counts = (int((~tune).sum()), int((~tune).sum()), int(tune.sum()), int(tune.sum()))
    return {
        kind: {"low": round(min(low, 0.0), 3), "high": round(max(high, 0.0), 3), "rows": rows, "basis": text}
        for (kind, text), (low, high), rows in zip(BASES.items(), (seen, new, tuned, tuned_new), counts, strict=True)
    }


def main() -> None:
    """Fit, print the errors, write the two files."""
    parser = argparse.ArgumentParser(description="Fit training efficiency on measured rows.")
    parser.add_argument("--rows", type=Path, required=True, help="training_throughput.csv")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "data" / "efficiency")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date written into the files")
    options = parser.parse_args()

    catalog = load_catalog(use_config_folder=False)
    observed = [observe(row, catalog) for row in read_rows(options.rows)]
    model = Model(pd.DataFrame([each for each in observed if each]))
    everything = np.ones(len(model.rows), bool)
    by_family = model.held_out(model.fold)
    by_source = model.held_out(model.rows.source.to_numpy())
    by_chip = model.held_out(model.rows.chip.to_numpy())
    tables = {
        "family_left_out": errors_by_source(model, by_family),
        "source_left_out": errors_by_source(model, by_source),
        "chip_left_out": errors_by_source(model, by_chip),
        "flat_40_percent": errors_by_source(model, np.full(len(model.rows), np.log(0.4))),
    }
    for name, table in tables.items():
        print(f"\n{name}: mean over sources of median {table['median'].mean():.3f}, of p90 {table.p90.mean():.3f}")
        print(table.round(3).to_string())

    import yaml

    content = {
        "source": "fitted by benchmarks/fits/mfu.py on published training throughput; see docs/accuracy.md",
        "fitted_on": options.date,
        "rows": len(model.rows),
        "families": int(model.rows.family.nunique()),
        "sources": int(model.rows.source.nunique()),
        "formula": "estimators/training/efficiency.py",
        **coefficients(model, everything),
        "ceiling": CEILING,
        "bands": bands(model, by_source, by_chip),
        "errors": {
            name: {"median": round(float(table["median"].mean()), 3), "p90": round(float(table.p90.mean()), 3)}
            for name, table in tables.items()
        },
    }
    head = "# Written by benchmarks/fits/mfu.py; do not edit. Log offsets and slopes of the training efficiency.\n"
    folds = [coefficients(model, model.fold != fold) for fold in range(FOLDS)]
    for name, data in (("mfu.yaml", content), ("mfu_folds.yaml", {"folds": folds})):
        text = yaml.safe_dump(data, sort_keys=False, width=120)
        (options.output / name).write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    main()
