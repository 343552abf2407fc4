"""Fit the training efficiency of `estimators/training/efficiency.py` and write `data/efficiency/mfu*.yaml`.

    python -m flopwise.benchmarks.fits.mfu --rows training_throughput.csv [--output data/efficiency]

Which rows: quality A and B, scored, with tokens/s and FLOPs per token. Every family (source x model x accelerator)
weighs the same, so a sweep of a thousand rows counts as its seven models. Offsets of vendor, architecture, chip and
source are shrunk to zero (ridge = normal priors); the source offset soaks up what one laboratory's software and
reporting do to all its rows, and is left out when predicting, for the user's stack is nobody's. Residuals are
Student-t (4 degrees of freedom) by reweighting. The one non-linear coefficient, the launch floor, is scanned.

Errors and bands are out of sample: bands from predictions with the whole source left out (a user is a new source) and,
for chips without measured rows, with the whole chip left out; the folds file from tenths of the families.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.efficiency import fold_of

FOLDS = 10
FLOORS_S = (0.0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1.2e-3, 1.5e-3, 2e-3)
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
    "ln_tp": (0.0, 0.2),
    "recompute": (1.0, 0.2),
    "derated": (0.0, 0.3),  # a chip sold below its catalog power (torchtitan's 500 W H100); not used in predictions
}
LEVELS = {"vendor": 0.2, "architecture": 0.2, "chip": 0.1, "source": 0.2}  # prior standard deviations
BASES = {
    "pre-training": "published runs predicted without their source; 10th to 90th percentile of measured / predicted",
    "pre-training, new chip": "published runs predicted without any run of their chip; 10th to 90th percentile",
    "fine-tune": "published fine-tunes predicted without their source; short or ragged batches spread widely",
    "fine-tune, new chip": "published fine-tunes predicted without their source, widened as for a new chip",
}
# how the measured files write chips, and the catalog's id
CHIPS = {
    "A100": "a100-sxm-80gb",
    "A100-40GB": "a100-sxm-40gb",
    "A6000": "rtx-a6000",
    "A800": "a100-sxm-80gb",
    "B200": "b200-sxm",
    "B300": "b300-sxm",
    "GB200": "gb200",
    "GB300": "gb300",
    "H100": "h100-sxm-80gb",
    "H100-96GB-HBM2e-500W": "h100-sxm-80gb",
    "H200": "h200-sxm-141gb",
    "MI300X": "mi300x",
    "RTX4090": "rtx-4090",
    "TPU-v5e": "tpu-v5e",
    "TPU-v5p": "tpu-v5p",
    "TPU-v6e": "tpu-v6e",
    "Trn1": "trainium1",
    "V100": "v100-sxm2-32gb",
}
DERATED = {"H100-96GB-HBM2e-500W"}
Vector = Any  # a numpy array of floats


def read_rows(path: Path) -> pd.DataFrame:
    """Return one row per measurement with the columns that the formula needs; see the module text for which rows."""
    rows = pd.read_csv(path, low_memory=False)
    known = rows.tokens_per_s_per_gpu.notna() & rows.model_gflop_per_token_causal.notna() & rows.layers.notna()
    rows = rows[rows.scored & rows.quality.isin(["A", "B"]) & known & rows.accelerator.isin(CHIPS)].copy()
    catalog = load_catalog(use_config_folder=False)
    chips = rows.accelerator.map(CHIPS)
    rows["chip"] = chips
    rows["vendor"] = chips.map({key: chip.vendor for key, chip in catalog.accelerators.items()})
    rows["architecture"] = chips.map({key: chip.architecture for key, chip in catalog.accelerators.items()})
    rows["source_name"] = rows.id.str.split("-").str[0]
    rows["family_key"] = rows.source_name + "|" + rows.model + "|" + rows.accelerator
    rows["fold"] = [
        fold_of(source, model, chip, FOLDS)
        for source, model, chip in zip(rows.source_name, rows.model, rows.accelerator, strict=True)
    ]
    adapter = rows.task.isin(["lora", "qlora"])
    # LoRA needs no weight gradient of the frozen base: forward 2, activation gradient 2 of the usual 6 per parameter.
    flops_per_token = rows.model_gflop_per_token_causal * 1e9 * np.where(adapter, 2 / 3, 1.0)
    peak = rows.peak_bf16_tflops * 1e12
    rows["mfu"] = rows.tokens_per_s_per_gpu * flops_per_token / peak
    tp, pp, cp = (rows[name].fillna(1).clip(lower=1) for name in ("tp", "pp", "cp"))
    micro_batch = rows.micro_batch.fillna(1)
    dp = (rows.accelerator_count / tp / pp / cp).clip(lower=1)
    micro_batches = (rows.global_batch / (dp * micro_batch)).fillna(8).clip(lower=1)
    rows["bubble"] = (pp - 1) / (micro_batches * rows.vp.fillna(1).clip(lower=1))
    rows["tp"] = tp
    rows["ideal_layer_s"] = micro_batch * rows.seq_len / cp / tp * flops_per_token / rows.layers / peak
    rows["active"] = rows.n_active_params.fillna(rows.n_params)
    return rows.reset_index(drop=True)


def design(rows: pd.DataFrame) -> tuple[Vector, Vector, Vector, list[tuple[str, str]]]:
    """Return the design matrix, the prior means and precisions, and for each column its level and name."""
    size = np.log(rows.active / 1e10)
    low = rows.precision.str.contains("fp8") & ~rows.precision.str.contains("README|ambiguous|int8")
    four = rows.precision.str.contains("nvfp4|mxfp4")
    columns: dict[tuple[str, str], Any] = {
        ("", "base"): np.ones(len(rows)),
        ("", "ln_accelerators"): np.log(rows.accelerator_count / 64),
        ("", "ln_active_params"): size,
        ("", "fp8"): low,
        ("", "fp4"): four,
        ("", "fp8_ln_active_params"): (low | four) * size,
        ("", "full_finetune"): rows.task.eq("full-finetune"),
        ("", "lora"): rows.task.eq("lora"),
        ("", "qlora"): rows.task.eq("qlora"),
        ("", "mixture"): rows.family.eq("moe"),
        ("", "ln_tp"): np.log(rows.tp),
        ("", "recompute"): -rows.recompute.fillna("").str.startswith("full") * np.log(4 / 3),
        ("", "derated"): rows.accelerator.isin(DERATED),
    }
    for level in LEVELS:
        name = "source_name" if level == "source" else level
        columns |= {(level, value): rows[name].eq(value) for value in sorted(rows[name].unique())}
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
        self.weight = 1 / rows.groupby("family_key").family_key.transform("size").to_numpy(float)
        self.weight /= self.weight.mean()
        # Offsets that a prediction does not know: whose software it is, and that a machine runs below its power.
        self.hidden = np.array([level == "source" or name == "derated" for level, name in self.keys])

    def fixed(self, floor_s: float) -> Vector:
        """Return the part of ln MFU without linear coefficients: bubble and launch floor."""
        return -self.bubble - np.log1p(floor_s / self.ideal_layer_s)

    def fit(self, train: Vector, floor_s: float) -> tuple[Vector, float]:
        """Return the coefficients on the rows `train` and their penalized loss."""
        x, y = self.x[train], (self.log_mfu - self.fixed(floor_s))[train]
        weight = self.weight[train].copy()
        for _ in range(12):
            normal = (x * weight[:, None]).T @ x / SIGMA**2 + np.diag(self.prior_precision)
            right = (x * weight[:, None]).T @ y / SIGMA**2 + self.prior_precision * self.prior_mean
            b = np.linalg.solve(normal, right)
            residual = (y - x @ b) / SIGMA
            weight = self.weight[train] * 5 / (4 + residual**2)
        penalty = self.prior_precision @ (b - self.prior_mean) ** 2
        return b, float(self.weight[train] @ (5 * np.log1p(residual**2 / 4)) + penalty)

    def best(self, train: Vector) -> tuple[Vector, float]:
        """Return the coefficients and the launch floor (s) with the least loss."""
        fits = [(self.fit(train, floor), floor) for floor in FLOORS_S]
        (b, _), floor = min(fits, key=lambda item: item[0][1])
        return b, floor

    def predict(self, b: Vector, floor_s: float, rows: Vector) -> Vector:
        """Return ln MFU for the rows without the offsets of sources."""
        return self.x[rows] @ np.where(self.hidden, 0.0, b) + self.fixed(floor_s)[rows]

    def held_out(self, groups: Vector) -> Vector:
        """Return ln MFU of every row, predicted from a fit without the rows of its group."""
        predicted = np.empty(len(self.rows))
        for group in np.unique(groups):
            rows = groups == group
            b, floor = self.best(~rows)
            predicted[rows] = self.predict(b, floor, rows)
        return predicted


def errors_by_source(model: Model, predicted: Vector) -> pd.DataFrame:
    """Return rows, median and 90th percentile of |predicted / measured - 1| of throughput for each source."""
    error = np.abs(np.exp(predicted - model.log_mfu) - 1)
    groups = pd.Series(error).groupby(model.rows.source_name.to_numpy())
    return pd.DataFrame({"rows": groups.size(), "median": groups.median(), "p90": groups.quantile(0.9)})


def band(ratio: Vector, sources: Vector) -> tuple[float, float]:
    """Return the 10th and 90th percentile of `ratio` with every source weighing the same."""
    weight = pd.Series(1.0, index=range(len(ratio))) / pd.Series(sources).map(pd.Series(sources).value_counts())
    order = np.argsort(ratio)
    share = np.cumsum(weight.to_numpy()[order]) / weight.sum()
    return float(np.interp(0.1, share, ratio[order])), float(np.interp(0.9, share, ratio[order]))


def coefficients(model: Model, b: Vector, floor_s: float) -> dict[str, Any]:
    """Return the named coefficients as they stand in the file."""
    named: dict[str, Any] = {"coefficients": {}, "chips": {}, "architectures": {}, "vendors": {}}
    where = {"": "coefficients", "chip": "chips", "architecture": "architectures", "vendor": "vendors"}
    for (level, name), value in zip(model.keys, b, strict=True):
        if level != "source" and name != "derated":
            named[where[level]][name] = round(float(value), 4)
    named["coefficients"]["layer_floor_s"] = floor_s
    return named


def bands(model: Model, by_source: Vector, by_chip: Vector) -> dict[str, Any]:
    """Return the four bands of `BASES` from predictions without the source, and without the chip."""
    tune = model.rows.task.ne("pretrain").to_numpy()
    sources = model.rows.source_name.to_numpy()
    ratio, ratio_chip = np.exp(model.log_mfu - by_source), np.exp(model.log_mfu - by_chip)
    seen = band(ratio[~tune], sources[~tune])
    new = band(ratio_chip[~tune], sources[~tune])
    new = (min(new[0], seen[0]), max(new[1], seen[1]))
    tuned = band(ratio[tune], sources[tune])
    tuned_new = (tuned[0] * new[0] / seen[0], tuned[1] * new[1] / seen[1])
    counts = (int((~tune).sum()), int((~tune).sum()), int(tune.sum()), int(tune.sum()))
    return {
        kind: {
            "low": round(min(low, 1.0), 3),
            "high": round(max(high, 1.0), 3),
            "rows": rows,
            "basis": text,
        }
        for (kind, text), (low, high), rows in zip(BASES.items(), (seen, new, tuned, tuned_new), counts, strict=True)
    }


def main() -> None:
    """Fit, print the errors, write the two files."""
    parser = argparse.ArgumentParser(description="Fit training efficiency on measured rows.")
    parser.add_argument("--rows", type=Path, required=True, help="training_throughput.csv")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "data" / "efficiency")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date written into the files")
    options = parser.parse_args()

    model = Model(read_rows(options.rows))
    everything = np.ones(len(model.rows), bool)
    b, floor = model.best(everything)
    by_family = model.held_out(model.rows.fold.to_numpy())
    by_source = model.held_out(model.rows.source_name.to_numpy())
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
        "families": int(model.rows.family_key.nunique()),
        "sources": int(model.rows.source_name.nunique()),
        "formula": "estimators/training/efficiency.py",
        **coefficients(model, b, floor),
        "bands": bands(model, by_source, by_chip),
        "errors": {
            name: {"median": round(float(table["median"].mean()), 3), "p90": round(float(table.p90.mean()), 3)}
            for name, table in tables.items()
        },
    }
    head = "# Written by benchmarks/fits/mfu.py; do not edit. Log offsets and slopes of the training efficiency.\n"
    folds = []
    for fold in range(FOLDS):
        b, floor = model.best(model.rows.fold.to_numpy() != fold)
        folds.append(coefficients(model, b, floor))
    for name, data in (("mfu.yaml", content), ("mfu_folds.yaml", {"folds": folds})):
        text = yaml.safe_dump(data, sort_keys=False, width=120)
        (options.output / name).write_text(head + text, encoding="utf-8")


if __name__ == "__main__":
    main()
