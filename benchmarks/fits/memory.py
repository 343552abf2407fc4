"""Fit the memory factors that no paper gives and write `data/efficiency/memory.yaml` and `memory_folds.yaml`.

    python -m flopwise.benchmarks.fits.memory [--rows training_memory.csv]

The conventions of each framework in the file are kept; only the fields named in `FREE` are fitted, each with a prior
(the value in `PRIORS`, and how far it may go): bytes around the loss, what the allocator keeps, communication buffers,
and for two frameworks the copies of gradients whose count is not documented. Rows: scored, with a measured peak, not a
boundary. Every source weighs as the square root of its rows, and inside a source every family (source x model x
accelerator) the same. The loss is the absolute log error, rounded off below 2 %, plus the priors; the search goes
through one factor after another.

Errors and bands come from predictions that have not seen the row's family: a tenth of the families is left out at a
time. Nothing here reads the measured value of a row that it predicts.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.memory import MemoryFacts, memory_facts
from ...estimators.memory.overhead import MemoryKind
from ...estimators.units import GIB
from ..validation.memory import fold_of_row, predict, quantile
from ..validation.memory_cases import MemoryCase, complete
from ..validation.rows import MeasuredRow, read_rows
from .common import ROOT, measured

FOLDS = 10
SWEEPS = 3
SIGMAS_80 = 1.2816

# (center, standard deviation, logarithmic): what a factor is before any measured row is seen
Prior = tuple[float, float, bool]
PRIORS: Mapping[str, Prior] = {
    "loss_bytes_per_logit": (14.0, 0.1, True),
    "cache_share": (0.06, 0.03, False),
    "ragged_cache_share": (0.2, 0.15, False),
    "state_cache_share": (0.02, 0.03, False),
    "buffer_bytes": (2.0e9, 0.7, True),
    "shard_gradient_bytes": (8.0, 0.5, True),
    "quantised_extra_bits": (2.0, 2.0, False),
    "chunked_loss_bytes_per_logit": (2.0, 0.5, True),
    "stage3_step_bytes": (6.0, 2.0, False),  # fp32 gradients of the shard and what they are made from
    "live_parameters": (2.0e9, 0.5, True),  # stage3_max_live_parameters and the reuse distance, 1e9 each
}
# Around the loss Transformers holds an fp32 copy of the logits, a shifted copy, their log-softmax and its gradient
# (14 to 16 bytes); Megatron's vocabulary-parallel loss works in place on one fp32 copy beside the 16-bit logits (6);
# DeepSpeed's fp16 engine runs without autocast, and copies stay in 16 bits; ms-swift keeps logits once more for token accuracy.
LOSS_PRIORS: Mapping[str, Prior] = {
    "megatron": (6.3, 0.05, True),
    "megatron-deepspeed": (10.0, 0.2, True),
    "ms-swift": (28.0, 0.3, True),
    "hf-deepspeed-fp16": (9.0, 0.3, True),
    "hf-deepspeed": (14.0, 0.2, True),
}
# InternEvo keeps the 16-bit gradients and a flat copy, makes fp32 ones of them (4) and AdamW's temporaries (4).
SHARD_PRIORS: Mapping[str, Prior] = {"internevo": (12.0, 0.3, True)}
COMPLETE = ("A", "B")  # rows with at most one setting assumed; others weigh a quarter
FREE: Mapping[str, tuple[str, ...]] = {
    "megatron": ("loss_bytes_per_logit", "cache_share", "ragged_cache_share"),
    "megatron-deepspeed": ("cache_share", "buffer_bytes"),
    "megatron-deepspeed-fp16": ("cache_share", "buffer_bytes", "shard_gradient_bytes"),
    "fsdp": ("loss_bytes_per_logit", "cache_share"),
    "torchtune": ("loss_bytes_per_logit", "chunked_loss_bytes_per_logit"),
    "hugging-face": ("loss_bytes_per_logit", "cache_share", "ragged_cache_share"),
    "ms-swift": ("loss_bytes_per_logit", "ragged_cache_share"),
    "hf-deepspeed-fp16": ("loss_bytes_per_logit", "cache_share", "buffer_bytes"),
    "hf-deepspeed": (
        "loss_bytes_per_logit",
        "cache_share",
        "buffer_bytes",
        "state_cache_share",
        "stage3_step_bytes",
        "live_parameters",
    ),
    "litgpt": ("loss_bytes_per_logit", "quantised_extra_bits"),
    "internevo": ("shard_gradient_bytes", "buffer_bytes"),
    "unsloth": ("cache_share",),
}
OVERHEADS: Mapping[str, Prior] = {
    "context_bytes": (7.0e8, 0.15, True),  # NVIDIA; other vendors keep theirs
    "communicator_bytes": (3.0e8, 0.5, True),
}


class Sample:
    """A row ready to be predicted again and again."""

    def __init__(self, row: MeasuredRow, case: MemoryCase, peak: float) -> None:
        self.row, self.case, self.peak = row, case, peak
        self.fold = fold_of_row(row, FOLDS)
        self.weight = 0.0

    def error(self, facts: MemoryFacts) -> float:
        """log(predicted / measured)."""
        mid = predict(self.case, facts).peak.mid
        if self.case.kind is not MemoryKind.ALLOCATED:
            mid = min(mid, self.case.accelerator.usable_memory_bytes)
        return math.log(mid / self.peak)

    @property
    def framework(self) -> str:
        """The profile that predicts it."""
        precision = self.case.recipe.precision
        name = str(self.case.recipe.framework)
        return f"{name}-fp16" if f"{name}-fp16" in FREE and precision == "fp16" else name


def read_samples(path: Path) -> list[Sample]:
    """Read the rows that can be fitted, with weights."""
    catalog = load_catalog(use_config_folder=False)
    samples = []
    for row in read_rows(path):
        gib = row.measured.number("peak_memory_gib")
        if not row.scored or not gib or row.measured.text("fits").lower().startswith("no"):
            continue
        case = complete(row, catalog)
        if isinstance(case, MemoryCase) and not case.is_boundary:
            samples.append(Sample(row, case, gib * GIB))
    by_source = Counter(sample.row.source for sample in samples)
    families = defaultdict(set)
    by_family = Counter(sample.row.family for sample in samples)
    for sample in samples:
        families[sample.row.source].add(sample.row.family)
    for sample in samples:
        source = sample.row.source
        sample.weight = math.sqrt(by_source[source]) / len(families[source]) / by_family[sample.row.family]
        sample.weight *= 1.0 if sample.row.quality in COMPLETE else 0.25
    return samples


def loss(samples: Iterable[Sample], facts: MemoryFacts) -> float:
    """Weighted absolute log error, rounded off near zero."""
    return math.fsum(s.weight * math.sqrt(s.error(facts) ** 2 + 0.02**2) for s in samples)


def penalty(value: float, prior: Prior) -> float:
    """Half the squared distance from the prior, in its own measure, on the scale of one family of errors."""
    center, width, logarithmic = prior
    distance = math.log(max(value, 1e-9) / center) if logarithmic else value - center
    return 0.05 * (distance / width) ** 2 / 2


def fit(data: Mapping[str, Any], samples: Sequence[Sample]) -> dict[str, Any]:
    """Return `data` with the free factors fitted on `samples`."""
    fitted: dict[str, Any] = copy.deepcopy(dict(data))
    for name, fields in FREE.items():  # start from the priors, so that a fold does not remember the whole
        for field in fields:
            fitted["frameworks"][name]["fitted"][field] = prior_of(name, field)[0]
    for field, prior in OVERHEADS.items():
        _set_overhead(fitted, field, prior[0])
    by_framework: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_framework[sample.framework].append(sample)
    on_device = [s for s in samples if s.case.kind is MemoryKind.DEVICE]
    for _ in range(SWEEPS):
        for name, fields in FREE.items():
            for field in fields:
                put = partial(fitted["frameworks"][name]["fitted"].__setitem__, field)
                _search(fitted, by_framework[name], prior_of(name, field), put)
        for field, prior in OVERHEADS.items():
            _search(fitted, on_device, prior, partial(_set_overhead, fitted, field))
    return fitted


def prior_of(framework: str, field: str) -> Prior:
    """Return what a factor is before any row is seen."""
    special = {"loss_bytes_per_logit": LOSS_PRIORS, "shard_gradient_bytes": SHARD_PRIORS}.get(field, {})
    return special.get(framework, PRIORS[field])


def _set_overhead(data: dict[str, Any], field: str, value: float) -> None:
    if field == "context_bytes":
        data["overheads"]["context_bytes"]["NVIDIA"] = value
    else:
        data["overheads"][field] = value


def _search(data: Mapping[str, Any], samples: Sequence[Sample], prior: Prior, put: Callable[[float], object]) -> None:
    """Move one factor to where loss plus prior is least: a grid over the prior, then a finer one around the best."""
    center, width, logarithmic = prior

    def at(step: float) -> float:
        return center * math.exp(step * width) if logarithmic else max(0.0, center + step * width)

    def cost(step: float) -> float:
        put(at(step))
        return loss(samples, memory_facts(data)) + penalty(at(step), prior)

    if not samples:
        put(center)
        return
    steps = [-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]
    best = min(steps, key=cost)
    for width_of_step in (0.3, 0.1):
        best = min((best - width_of_step, best, best + width_of_step), key=cost)
    put(at(best))


def write(data: Mapping[str, Any], name: str, comment: str) -> None:
    """Write YAML with numbers as people and PyYAML read them alike."""
    lines = [f"# {line}" for line in comment.strip().splitlines()]
    _lines(data, 0, lines)
    (ROOT / "data" / "efficiency" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(value: Mapping[str, Any], depth: int, lines: list[str]) -> None:
    for key, entry in value.items():
        pad = "  " * depth
        if isinstance(entry, dict):
            lines.append(f"{pad}{key}:")
            _lines(entry, depth + 1, lines)
        elif isinstance(entry, list):
            lines.append(f"{pad}{key}:")
            for item in entry:
                nested: list[str] = []
                _lines(item, depth + 2, nested)
                nested[0] = f"{pad}  - {nested[0].strip()}"
                lines.extend(nested)
        else:
            lines.append(f"{pad}{key}: {_scalar(entry)}")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and (abs(value) >= 1e6 or 0 < abs(value) < 1e-3):
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{mantissa}e{exponent}"
    if isinstance(value, float):
        return repr(round(value, 4))
    return str(value) if isinstance(value, int) else '"' + str(value).replace('"', "'") + '"'


def bands(pairs: Sequence[tuple[Sample, float]], unsaid_log: float) -> dict[str, dict[str, Any]]:
    """Return the range of each framework from errors out of fold: the width whose range covers 80 % of its rows.

    Every source weighs the same, for the next job comes from a source that is not here; incomplete rows weigh half. A
    guessed setting adds `unsaid_log` squared to the variance; the rest is the framework's own. One source of a
    framework weighs as much as all sources together; frameworks without rows and software that is not told take the
    pooled width, a half wider.
    """

    def width(some: Sequence[tuple[Sample, float]], side: int) -> float:
        rows = Counter(sample.row.source for sample, _ in some)
        own = []
        for sample, error in some:
            guessed = len(sample.case.guessed) * (unsaid_log * SIGMAS_80) ** 2
            rest = math.copysign(math.sqrt(max(error**2 - guessed, 0.0)), -error)
            weight = 1.0 if sample.row.quality in COMPLETE else 0.5
            own.append((rest, weight / max(rows[sample.row.source], 3)))  # a single row is no source
        return max(0.02, side * weighted_quantile(own, 0.9 if side > 0 else 0.1))

    basis = "published peaks predicted without their family; 10th to 90th percentile of measured / predicted"
    pooled = (width(pairs, -1), width(pairs, 1))
    found: dict[str, dict[str, Any]] = {}
    for name in [*FREE, "colossal-ai", "jax", "neuron", "habana"]:
        own = [(s, e) for s, e in pairs if s.framework == name]
        sources = len({sample.row.source for sample, _ in own})
        share = sources / (sources + 1)
        low = share * width(own, -1) + (1 - share) * pooled[0] if own else 1.5 * pooled[0]
        high = share * width(own, 1) + (1 - share) * pooled[1] if own else 1.5 * pooled[1]
        note = basis if own else "no measured rows of this software; half wider than all others together"
        found[name] = {"low_log": -low, "high_log": high, "rows": len(own), "basis": note}
    found["unknown"] = {
        "low_log": -1.5 * pooled[0],
        "high_log": 1.5 * pooled[1],
        "rows": len(pairs),
        "basis": f"software not told: half wider than {basis}",
    }
    return found


def weighted_quantile(values: Sequence[tuple[float, float]], share: float) -> float:
    """Return the quantile of (value, weight) pairs: the first value up to which `share` of the weight lies."""
    ordered = sorted(values)
    total = math.fsum(weight for _, weight in ordered)
    reached = 0.0
    for value, weight in ordered:
        reached += weight
        if reached >= share * total:
            return value
    return ordered[-1][0] if ordered else 0.0


def main(path: Path) -> None:
    """Fit, cross-validate, write both files and print the errors."""
    source = ROOT / "data" / "efficiency" / "memory.yaml"
    text = source.read_text(encoding="utf-8")
    comment = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    data = yaml.safe_load(text)
    samples = read_samples(path)
    folds, pairs = [], []
    for fold in range(FOLDS):
        fitted = fit(data, [s for s in samples if s.fold != fold])
        facts = memory_facts(fitted)
        pairs += [(s, s.error(facts)) for s in samples if s.fold == fold]
        folds.append(
            {
                "frameworks": {name: {f: fitted["frameworks"][name]["fitted"][f] for f in FREE[name]} for name in FREE},
                "overheads": {
                    "context_bytes": fitted["overheads"]["context_bytes"],
                    "communicator_bytes": fitted["overheads"]["communicator_bytes"],
                },
            }
        )
    whole = fit(data, samples)
    whole["as_of"] = datetime.date.today().isoformat()
    facts = memory_facts(whole)
    print("fitted on all rows")
    report([(s, s.error(facts)) for s in samples])
    print("out of fold")
    whole["bands"] = bands(pairs, whole["unsaid_log"])
    whole["fit"] = report(pairs)
    write(whole, "memory.yaml", comment)
    write({"folds": folds}, "memory_folds.yaml", "Written by benchmarks/fits/memory.py; do not edit. One fit per fold.")


def report(pairs: Sequence[tuple[Sample, float]]) -> dict[str, Any]:
    """Errors out of fold per source, printed and kept."""
    by_source: dict[str, list[float]] = defaultdict(list)
    for sample, error in pairs:
        by_source[sample.row.source].append(math.expm1(error))
    kept: dict[str, Any] = {"rows": len(pairs), "folds": FOLDS, "sources": {}}
    medians, nineties = [], []
    for source, errors in by_source.items():
        sizes = sorted(abs(error) for error in errors)
        median, ninety = quantile(sizes, 0.5) or 0.0, quantile(sizes, 0.9) or 0.0
        medians.append(median)
        nineties.append(ninety)
        print(f"{source:45s} {len(errors):4d} rows  median {median:6.1%}  p90 {ninety:6.1%}")
        kept["sources"][source] = {"rows": len(errors), "median": median, "p90": ninety}
    kept["mean_of_medians"] = math.fsum(medians) / len(medians)
    kept["mean_of_p90s"] = math.fsum(nineties) / len(nineties)
    print(f"{'mean over sources':45s} {len(pairs):4d} rows  median {kept['mean_of_medians']:6.1%}", end="")
    print(f"  p90 {kept['mean_of_p90s']:6.1%}")
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path)
    main(parser.parse_args().rows or measured("training_memory.csv"))
