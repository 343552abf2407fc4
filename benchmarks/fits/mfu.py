"""Tabulate what training reaches, by chip, precision, size and count, from the operator model; write `mfu.yaml`.

    python -m flopwise.benchmarks.fits.mfu --rows training_throughput.csv [--output data/efficiency]

The planner sizes thousands of jobs before it looks at one closely. What it sizes with must agree with what is shown in
the end, so the table holds what `estimators/training/job.py` answers: every chip of the catalog, models of 0.1B to 500B
on 20 tokens per parameter, 1 to 8,192 accelerators, the layout chosen for each. Jobs that do not fit, or that the batch
cannot feed, take the nearest count that does. Mixtures get one factor. Bands are those of the operator model. `--rows`
only says which chips have measured training runs. The run ends with jobs between the grid points, to say how far off
the table is there.
"""

from __future__ import annotations

import argparse
import datetime
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...estimators.errors import FlopwiseError
from ...estimators.facts.catalog import Catalog, load_catalog
from ...estimators.facts.efficiency import MfuFit, read_fit
from ...estimators.facts.records import Accelerator
from ...estimators.facts.software import load_software
from ...estimators.models.resolve import resolve_model
from ...estimators.models.shape import ModelShape
from ...estimators.training.efficiency import efficiency
from ...estimators.training.job import Job, answer, default_sequence, usual_precision
from ...estimators.training.layout import Precision, Recipe
from ...estimators.training.time import active_params
from ..validation.rows import find_accelerator, read_rows

SIZES = ("125M", "350M", "1.3B", "3B", "8B", "20B", "70B", "180B", "500B")
BETWEEN = ("700M", "5B", "13B", "34B")  # sizes for the check
MIXTURES = ("mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v2")
COUNTS = (1, 2, 8, 32, 128, 512, 2048, 8192)
TOKENS_PER_PARAM = 20
LOW = (Precision.FP8, Precision.FP4)
HIDDEN = ("Groq", "Cerebras")  # sold for inference, or no usual layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One job worked out by the operator model."""

    chip: str
    precision: str
    mixture: bool
    active: float
    accelerators: int
    mfu: float


def points(chips: list[Accelerator], shapes: list[ModelShape], *, low: bool = True) -> list[Point]:
    """Return every job that fits and that its batch can feed; `low` adds fp8 and fp4."""
    found = []
    for chip in chips:
        usual = usual_precision(chip)
        formats = [usual, *(each for each in LOW if low and chip.peak_flops_per_s.get(each))]
        for shape in shapes:
            for precision in formats:
                found += _points(chip, shape, precision, usual)
    return found


def _points(chip: Accelerator, shape: ModelShape, precision: Precision, usual: Precision) -> list[Point]:
    found = []
    active = active_params(shape)
    for count in COUNTS:
        job = Job(
            shape=shape,
            tokens=TOKENS_PER_PARAM * active,
            accelerator=chip,
            sequence_tokens=default_sequence(shape),
            recipe=Recipe(precision=precision),
        )
        try:
            done = answer(job, count)
        except FlopwiseError:
            continue
        if done.workload.global_batch < count / 8:  # nobody spreads a job that thin
            continue
        found.append(
            Point(
                chip=chip.id,
                precision="usual" if precision is usual else str(precision),
                mixture=shape.is_mixture,
                active=active,
                accelerators=count,
                mfu=done.choice.time.mfu.mid,
            )
        )
    return found


def tables(found: list[Point], sizes: list[float]) -> dict[str, dict[str, list[list[float]]]]:
    """Return MFU by chip, precision, size and count; gaps take the nearest count of the size, else the nearest size."""
    known: dict[str, dict[str, list[list[float]]]] = {}
    cells = {(p.chip, p.precision, sizes.index(p.active), COUNTS.index(p.accelerators)): p.mfu for p in found}
    for chip, precision in sorted({(p.chip, p.precision) for p in found}):
        rows = []
        for i in range(len(sizes)):
            at = {j: cells[chip, precision, i, j] for j in range(len(COUNTS)) if (chip, precision, i, j) in cells}
            rows.append([at[min(at, key=lambda k: abs(k - j))] for j in range(len(COUNTS))] if at else [])
        filled = [i for i, row in enumerate(rows) if row]
        whole = [rows[min(filled, key=lambda k: abs(k - i))] for i in range(len(rows))]
        known.setdefault(chip, {})[precision] = [[round(value, 3) for value in row] for row in whole]
    return known


def main() -> None:
    """Work the jobs out, write the table, check it between its points."""
    parser = argparse.ArgumentParser(description="Tabulate the efficiency of training from the operator model.")
    parser.add_argument("--rows", type=Path, required=True, help="training_throughput.csv")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[2] / "data" / "efficiency")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date written into the file")
    options = parser.parse_args()

    catalog = load_catalog(use_config_folder=False)
    chips = [
        chip
        for chip in catalog.accelerators.values()
        if chip.vendor not in HIDDEN and (chip.peak_flops_per_s.get("bf16") or chip.peak_flops_per_s.get("fp16"))
    ]
    shapes = [resolve_model(name).shape for name in SIZES]
    sizes = [active_params(shape) for shape in shapes]
    known = tables(points(chips, shapes), sizes)
    measured = _measured(options.rows, catalog)
    bands = load_software().bands
    kinds = {"pre-training": "undecided software", "pre-training, new chip": "new family"}
    content: dict[str, Any] = {
        "source": "benchmarks/fits/mfu.py: answers of the operator model of estimators/stepmodel",
        "fitted_on": options.date,
        "active_params": sizes,
        "accelerators": list(COUNTS),
        "mixture": 1.0,
        "median_residual": 0.0,
        "p90_residual": 0.0,
        "bands": {
            kind: {
                "low": round(1 / bands[name].high, 4),
                "high": round(1 / bands[name].low, 4),
                "rows": bands[name].rows,
                "basis": bands[name].basis,
            }
            for kind, name in kinds.items()
        },
        "chips": {chip: table for chip, table in known.items() if chip in measured},
        "unmeasured_chips": {chip: table for chip, table in known.items() if chip not in measured},
    }
    fit = read_fit(content, "mfu.yaml")
    some = [catalog.accelerators[chip] for chip in measured if chip in known]
    off = residuals(points(some, [resolve_model(name).shape for name in BETWEEN], low=False), catalog, fit)
    mixed = residuals(points(some, [resolve_model(name).shape for name in MIXTURES], low=False), catalog, fit)
    content["mixture"] = round(math.exp(statistics.median(mixed)), 3)
    sizes_off = sorted(abs(math.expm1(each)) for each in off)
    content["median_residual"] = round(statistics.median(sizes_off), 4)
    content["p90_residual"] = round(sizes_off[int(0.9 * len(sizes_off))], 4)
    print(f"{len(off)} jobs between the points: {content['median_residual']:.1%} off in the median, ", end="")
    print(f"{content['p90_residual']:.1%} at the 90th percentile; mixtures reach {content['mixture']} of a dense model")

    import yaml

    head = "# Written by benchmarks/fits/mfu.py; do not edit. Tables are MFU, rows by active_params, columns by accelerators.\n"
    text = yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None)
    (options.output / "mfu.yaml").write_text(head + text, encoding="utf-8")


def residuals(found: list[Point], catalog: Catalog, fit: MfuFit) -> list[float]:
    """Return ln(operator model / table) of the jobs."""
    return [
        math.log(
            p.mfu
            / efficiency(
                catalog.accelerators[p.chip],
                precision=usual_precision(catalog.accelerators[p.chip]),
                active_params=p.active,
                accelerators=p.accelerators,
                fit=fit,
            ).mfu.mid
        )
        for p in found
    ]


def _measured(rows: Path, catalog: Catalog) -> list[str]:
    """Return the chips that the measured rows are about."""
    found = set()
    for row in read_rows(rows):
        memory_gb = row.configuration.number("accelerator_mem_gb")
        chip = find_accelerator(row.configuration.text("accelerator"), memory_gb, catalog)
        if chip:
            found.add(chip.id)
    return sorted(found)


if __name__ == "__main__":
    main()
