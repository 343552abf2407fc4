"""Fit data/efficiency/software.yaml on measured steps: `python -m flopwise.benchmarks.fits.software [--report]`.

Some sixty factors, each with a physical meaning and a prior (a normal in the log): `PRIORS` for the factors themselves,
`LEVEL_PRIORS` for what is known of single levels, and a shrink of every level towards its kind. Rows: quality A and B,
scored, those that `flopwise validate training` can predict, through the very `case_of` that it uses.

A source of n rows weighs n^0.35, so that a sweep of a thousand rows counts as about eleven rows of others. The loss is
soft L1 on the log error over 0.12. Folds: tenths of the families (source x model x accelerator) as `fold_of` cuts them.
`--report` prints leave-one-source-out and leave-family-out figures beside a flat 40 % MFU, and the shuffle test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from ...estimators.errors import FlopwiseError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.efficiency import fold_of
from ...estimators.stepmodel.estimate import job_of, operators_of
from ...estimators.stepmodel.software import KINDS, Stack, levels_of
from ...estimators.stepmodel.step import WORK, Factors, Parts, combine, parts_from
from ...estimators.training.flops import step_flops
from ..validation.rows import read_rows
from ..validation.training import Unsupported, case_of, measured_speed
from .common import ROOT, measured, write_yaml

Vector = Any
FOLDS = 10
SCALE = 0.12
SOURCE_POWER = 0.65
PRIOR_WIDTH = 0.7  # times the deviations below; 0.6 to 1.6 change the errors left out by half a point
# factor: (prior, standard deviation of its log, standard deviation of its levels). See estimators/stepmodel/step.py.
PRIORS: dict[str, tuple[float, float, float]] = {
    "matrix": (1.05, 0.15, 0.0),
    "low": (1.1, 0.2, 0.1),
    "experts": (1.2, 0.3, 0.0),
    "convert": (0.6, 0.5, 0.3),
    "attention": (1.0, 0.25, 0.15),
    "attention_b": (1.1, 0.2, 0.0),
    "traffic": (1.0, 0.4, 0.24),
    "scores": (1.0, 0.4, 0.0),
    "routing": (1.5, 0.6, 0.0),
    "network": (1.3, 0.4, 0.0),
    "straggle": (0.01, 0.7, 0.0),
    "optimizer": (1.3, 0.4, 0.0),
    "context": (0.4, 0.6, 0.0),
    "expert": (1.2, 0.5, 0.0),
    "overhead": (1.05, 0.2, 0.12),
    "launch_s": (8e-6, 0.8, 0.48),
    "call_s": (15e-6, 0.8, 0.0),
    "hook_s": (1e-3, 1.0, 0.0),
    "tensor": (0.8, 0.5, 0.3),
    "reduce": (1.0, 0.5, 0.0),
    "window": (0.4, 0.7, 0.0),
    "gather": (1.0, 0.3, 0.18),
    "fixed_s": (0.01, 0.5, 0.0),
    "fill": (1.0, 0.1, 0.0),
    "boundary": (0.7, 0.5, 0.0),
    "contention": (0.2, 0.7, 0.0),
    "cover": (0.7, 0.7, 0.0),
    "sync_s": (5e-6, 1.0, 0.0),
}
# FlashAttention 2 doubled 1 (arXiv:2307.08691); on Hopper 2 reaches 35 to 40 % of the peak and 3 up to 75 %
# (arXiv:2407.08608), the kernels of the surface 56 %. XLA launches whole graphs; fused chains pass memory once.
LEVEL_PRIORS = {
    "attention@fa1-ampere": 1.5,
    "attention@fa1-hopper": 2.0,
    "attention@fa2": 1.3,
    "attention@fa3": 0.75,
    "attention@te-2024": 1.2,
    "traffic@fused": 0.8,
    "launch_s@xla": 0.3,
}


@dataclass
class Rows:
    """All rows as arrays: parts of the model, the stack of each, the measured step (s), and how rows group."""

    parts: pd.DataFrame
    stacks: list[Stack]
    steps: Vector
    flat: Vector  # the step at 40 % MFU
    about: pd.DataFrame  # id, source, family, prefix, kind


def collect(only: Sequence[str] = ()) -> Rows:
    """Read and expand every row that can be predicted; `only` keeps rows whose id starts so."""
    catalog = load_catalog()
    parts, stacks, steps, flat, about = [], [], [], [], []
    for row in read_rows(measured("training_throughput.csv")):
        speed = measured_speed(row)
        if not (row.scored and row.quality in ("A", "B") and speed):
            continue
        if only and row.id.split("-")[0] not in only:
            continue
        try:
            case = case_of(row, catalog)
            job, stack = job_of(
                case.shape,
                accelerator=case.accelerator,
                layout=case.layout,
                recipe=case.recipe,
                workload=case.workload,
            )
            flops = step_flops(
                case.shape, sequence_tokens=case.workload.sequence_tokens, sequences=case.workload.global_batch
            )
        except (FlopwiseError, Unsupported):
            continue
        parts.append(flatten(parts_from(job, operators_of(case.shape, job.sequence_tokens, job.micro_batch))))
        stacks.append(stack)
        steps.append(case.workload.tokens_per_step / (speed * job.accelerators))
        flat.append(flops.model.causal / (0.4 * job.chip.dense_flops_per_s * job.accelerators))
        about.append(
            {
                "id": row.id,
                "source": row.source,
                "family": row.family,
                "prefix": row.id.split("-")[0],
                "model": case.shape.name,
                "kind": band_kind(str(case.task), job.chip.is_measured),
            }
        )
    return Rows(pd.DataFrame(parts), stacks, np.array(steps), np.array(flat), pd.DataFrame(about))


def band_kind(task: str, is_measured: bool) -> str:
    """Return the kind of band of a row: how far its like scatter."""
    if task != "pretrain":
        return "fine-tune"
    return "measured family" if is_measured else "new family"


def flatten(parts: Parts) -> dict[str, float]:
    """Return the numbers of the parts by dotted name."""
    flat = {f"{part}.{name}": getattr(getattr(parts, part), name) for part in ("body", "ends") for name in WORK}
    flat |= {f"states.{f.name}": getattr(parts.states, f.name) for f in fields(parts.states)}
    return flat | {f.name: getattr(parts, f.name) for f in fields(Parts) if f.name not in ("body", "ends", "states")}


class Model:
    """The formula over all rows: factor names, priors, and prediction from the logs of the factors."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        levels = sorted({level for name in KINDS for stack in rows.stacks for level in levels_of(name, stack)})
        self.names = [*PRIORS, *levels]
        self.place = {name: index for index, name in enumerate(self.names)}
        means = [PRIORS[n][0] if n in PRIORS else LEVEL_PRIORS.get(n, 1.0) for n in self.names]
        self.start = np.log(means)
        spread = [PRIORS[n][1] if n in PRIORS else PRIORS[n.split("@")[0]][2] for n in self.names]
        self.spread = PRIOR_WIDTH * np.array(spread)
        # Which entries multiply into each factor, by row.
        self.members: dict[str, list[Any]] = {
            name: [self.place[name]]
            + [
                np.array([self.place[list(levels_of(name, stack))[position]] for stack in rows.stacks])
                for position in range(len(KINDS.get(name, ())))
            ]
            for name in PRIORS
        }

    def predict(self, logs: Vector, index: Vector) -> Vector:
        """Return the seconds of the rows at `index`."""
        factors = Factors()
        for name, members in self.members.items():
            log = logs[members[0]] + sum(logs[member[index]] for member in members[1:])
            setattr(factors, name, np.exp(log))
        return combine(self._parts(index), factors)[0]

    def _parts(self, index: Vector) -> Any:
        table: Any = self.rows.parts.iloc[index]
        whole = SimpleNamespace(body=SimpleNamespace(), ends=SimpleNamespace(), states=SimpleNamespace())
        for name in table.columns:
            owner, _, last = name.rpartition(".")
            setattr(getattr(whole, owner) if owner else whole, last, table[name].to_numpy(float))
        return whole

    def fit(self, index: Vector, steps: Vector | None = None, tries: int = 40, start: Vector | None = None) -> Vector:
        """Return the logs of the factors that fit the rows at `index`."""
        wanted = np.log(self.rows.steps[index] if steps is None else steps)
        prefix = self.rows.about.prefix.iloc[index]
        weight = 3.0 * np.sqrt(prefix.map(prefix.value_counts()).to_numpy(float) ** -SOURCE_POWER)
        parts = self._parts(index)
        held = {
            name: [m if isinstance(m, int) else m[index] for m in members] for name, members in self.members.items()
        }

        def residuals(logs: Vector) -> Vector:
            factors = Factors()
            for name, members in held.items():
                setattr(factors, name, np.exp(sum(logs[member] for member in members)))
            r = (np.log(combine(parts, factors)[0]) - wanted) / SCALE
            soft = np.sign(r) * np.sqrt(2.0 * (np.sqrt(1.0 + r * r) - 1.0))
            return np.concatenate([soft * weight, (logs - self.start) / self.spread])

        first = self.start if start is None else start
        return least_squares(residuals, first.copy(), max_nfev=tries, xtol=1e-4, ftol=1e-4).x

    def left_out(self, groups: Sequence[Any], start: Vector) -> Vector:
        """Return predictions of every row from a fit without its group."""
        labels = np.asarray(groups)
        out = np.zeros(len(labels))
        for group in dict.fromkeys(labels.tolist()):
            test = np.flatnonzero(labels == group)
            logs = self.fit(np.flatnonzero(labels != group), tries=12, start=start)
            out[test] = self.predict(logs, test)
        return out


def figures(rows: Rows, seconds: Vector, by: str = "source") -> pd.DataFrame:
    """Return median and 90th percentile of |tokens/s error| per group."""
    table = rows.about.assign(error=np.abs(rows.steps / seconds - 1))
    grouped = table.groupby(by).error
    return pd.DataFrame({"rows": grouped.size(), "median": grouped.median(), "p90": grouped.quantile(0.9)})


def bands(rows: Rows, by_family: Vector, by_source: Vector) -> list[dict[str, object]]:
    """Return the 10th and 90th percentile of measured / predicted time by kind; every source weighs the same.

    A user's stack is at times one that we have seen and at times a new one: residuals with the family left out and
    with the source left out count half each. Where the software is undecided, only the latter count. A chip of a
    family without measured products gets at least the band of the others, widened by a tenth each way.
    """
    each = 1.0 / rows.about.prefix.map(rows.about.prefix.value_counts()).to_numpy(float)
    kinds = rows.about.kind.to_numpy()
    both = np.concatenate([rows.steps / by_family, rows.steps / by_source])
    found: list[dict[str, object]] = []
    for kind in ("measured family", "new family", "fine-tune", "undecided software"):
        mask = np.ones(len(kinds), bool) if kind == "undecided software" else kinds == kind
        ratio, weight = both[np.tile(mask, 2)], np.tile(each[mask], 2)
        basis = "measured / predicted of published runs with their family or their source left out of the fit"
        if kind == "undecided software":
            ratio, weight = (rows.steps / by_source)[mask], each[mask]
            basis = "measured / predicted of published runs with their source left out of the fit"
        order = np.argsort(ratio)
        cumulated = np.cumsum(weight[order]) / weight.sum()
        low, high = (float(ratio[order][np.searchsorted(cumulated, q)]) for q in (0.1, 0.9))
        if kind == "new family":
            low, high = min(low, float(found[0]["low"]) / 1.1), max(high, float(found[0]["high"]) * 1.1)  # type: ignore[arg-type]
        found.append({"kind": kind, "low": low, "high": high, "rows": int(mask.sum()), "basis": basis})
    return found


def report(name: str, rows: Rows, seconds: Vector, show: Callable[[str], None] = print) -> None:
    """Print figures by prefix and their means."""
    table = figures(rows, seconds, "prefix")
    show(f"{name}\n{table.round(3).to_string()}")
    show(f"{name}: mean of medians {table['median'].mean():.3f}, mean of p90 {table['p90'].mean():.3f}")


def main() -> None:
    """Fit, write, and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    rows = collect()
    model = Model(rows)
    everything = np.arange(len(rows.steps))
    logs = model.fit(everything)
    fold = np.array([fold_of(family, FOLDS) for family in rows.about.family])
    folds = [model.fit(np.flatnonzero(fold != f), tries=12, start=logs) for f in range(FOLDS)]
    by_source = model.left_out(rows.about.prefix.tolist(), logs)
    head = {
        "about": "what software does to a step: factors of estimators/stepmodel/step.py, levels of software.py there",
        "command": "python -m flopwise.benchmarks.fits.software",
        "source": "published training measurements, quality A and B (shared/data/measured/training_throughput.csv)",
        "rows": len(rows.steps),
        "families": int(rows.about.family.nunique()),
        "sources": int(rows.about.source.nunique()),
        "left_source_out_median": float(figures(rows, by_source, "prefix")["median"].mean()),
        "left_source_out_p90": float(figures(rows, by_source, "prefix")["p90"].mean()),
    }
    values = {name: float(np.exp(log)) for name, log in zip(model.names, logs, strict=True)}
    by_fold = np.zeros(len(rows.steps))
    for f, found in enumerate(folds):
        test = np.flatnonzero(fold == f)
        by_fold[test] = model.predict(found, test)
    write_yaml("software.yaml", head, "bands", bands(rows, by_fold, by_source), {"factors": values})
    _write_folds(model, folds)
    report("in sample", rows, model.predict(logs, everything))
    report("left family out", rows, by_fold)
    report("left source out", rows, by_source)
    if options.report:
        report("flat 40 % MFU", rows, rows.flat)
        shuffled = np.random.default_rng(0).permutation(rows.steps)
        broken = model.fit(everything, steps=shuffled)
        report("shuffled measurements", rows, model.predict(broken, everything))


def _write_folds(model: Model, folds: list[Vector]) -> None:
    lines = ["about: factors of software.yaml, fitted with one tenth of the families left out each", "folds:"]
    for logs in folds:
        for position, (name, log) in enumerate(zip(model.names, logs, strict=True)):
            text = f"{np.exp(log):.4g}"
            text = text.replace("e", ".0e") if "e" in text and "." not in text else text
            text = text if "." in text else f"{text}.0"
            lines.append(f"{'  - ' if position == 0 else '    '}{name}: {text}")
    (ROOT / "data" / "efficiency" / "software_folds.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
