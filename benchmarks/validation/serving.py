"""`flopwise validate serving`: measured serving rows, each predicted from its configuration alone.

A row of the table that the fit was made on is predicted by a fold's fit that never saw its family (source x model x
accelerator); any other row by the fit on everything. Rows with several figures (a rate and a time to the first token)
give one result per figure. The summary counts cells (source x model x accelerator x precision): the median error of
each, then over cells. Memory rows (files with a `kind` column) are in `serving_memory.py`.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...estimators.errors import FlopwiseError, InputError
from ...estimators.facts.catalog import Catalog
from ...estimators.facts.serving import ServingRules, load_serving_rules
from ...estimators.facts.serving_fit import ServingFit, band_of, load_serving_fit, load_serving_folds
from ...estimators.serving import loops
from ...estimators.serving.equations import larger, smaller
from ...estimators.serving.loops import Machine, Speeds, Work
from ...estimators.serving.setup import chip_rates, rates_of
from .scores import quantile
from .serving_rows import Case, Metric, Scenario, read_case, split
from .serving_software import Unsupported

SPEED, PROMPT, MEMORY, RUNTIME = "speed", "prompt", "memory", "runtime memory"
UNITS = {
    Metric.OUTPUT: "output tokens/s",
    Metric.TOKEN: "ms per output token",
    Metric.FIRST: "ms to the first token",
    Metric.PROMPT: "prompt tokens/s",
    Metric.LATENCY: "ms per request",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """One figure of one row. `group` is what the bars speak of: speed, prompt, memory, runtime memory."""

    id: str
    source: str
    cell: str
    group: str
    metric: str
    unit: str
    measured: float | None = None
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    roofline: float | None = None  # what the data sheet alone would give
    reason: str = ""
    filled: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """Whether the figure could be predicted."""
        return "unsupported" if self.predicted is None else "scored"

    @property
    def error(self) -> float | None:
        """Predicted over measured minus one."""
        return self.predicted / self.measured - 1 if self.predicted and self.measured else None

    @property
    def inside(self) -> bool | None:
        """Whether the measured figure lies in the range."""
        if not self.measured or self.low is None or self.high is None:
            return None
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSummary:
    """Errors over the cells of one group (and one source, or all)."""

    source: str
    group: str
    rows: int
    cells: int
    unsupported_cells: int
    median: float | None
    p90: float | None
    coverage: float | None
    roofline_median: float | None


def figures(scenario: Scenario, machine: Machine, work: Work, replicas: Any, single: Any) -> dict[Metric, Any]:
    """Return every figure that a scenario predicts, for the whole system, in the rows' units; columns pass too."""
    prompt_rate = loops.prompt_rate_per_s(machine, work)
    made: Speeds
    if scenario is Scenario.STATIC:
        made = loops.static(machine, work)
    elif scenario is Scenario.WHOLE:
        made = loops.static_whole(machine, work)
    elif scenario is Scenario.QUEUED:
        made = loops.queued(machine, work)
    elif scenario is Scenario.STEPS:
        made = loops.static(machine, _decode_pool(machine, work))
    elif scenario is Scenario.BURST:
        made = loops.burst(machine, work)
    elif scenario is Scenario.CLOSED:
        made = loops.closed_loop(machine, work)
    elif scenario is Scenario.LIMITED:
        made = loops.limited(machine, work)
    else:
        return {Metric.PROMPT: prompt_rate * replicas, Metric.FIRST: 1e3 * work.prompt / prompt_rate}
    alone = machine.prompt_s(work.prompt * 0.0 + 1.0, work.prompt)
    first = single * alone + (1.0 - single) * made.first_token_s
    return {
        Metric.OUTPUT: made.output_per_s * replicas,
        Metric.TOKEN: 1e3 * made.token_s,
        Metric.FIRST: 1e3 * first,
        Metric.PROMPT: prompt_rate * replicas,
        Metric.LATENCY: 1e3 * (first + (work.output - 1.0) * made.token_s),
    }


def _decode_pool(machine: Machine, work: Work) -> Work:
    batch = larger(smaller(work.cap, work.room * machine.loads.occupancy), 1.0)
    return replace(work, batch=batch)


def machine_of(case: Case, fit: ServingFit) -> Machine:
    """Return the machine of one replica of a case."""
    rates, loads = rates_of(case.setup, fit, case.suite)
    return Machine(
        model=case.setup.counts(), chip=chip_rates(case.setup), group=case.setup.group(), rates=rates, loads=loads
    )


def ideal(machine: Machine) -> Machine:
    """Return the machine of the data sheet: every fraction 1, no overhead, no queue."""
    perfect = replace(
        machine.rates,
        weight_bandwidth=1.0, decode_compute=1.0, prefill_compute=1.0, kv_bandwidth=1.0, attention_compute=1.0,
        expert_compute=1.0, expert_bandwidth=1.0, layer_s=0.0, mixture_layer_s=0.0, step_s=0.0, sequence_s=0.0,
        prefill_s=0.0, collective_s=0.0, link_fraction=1.0, interference=0.0, norm=64.0,
    )  # fmt: skip
    loads = replace(
        machine.loads, pipelining=1.0, queue=0.0, burst=0.0, wait_steps=0.0, server_share=1.0, excess=0.0,
        occupancy=1.0, limit_share=1.0,
    )  # fmt: skip
    return replace(machine, rates=perfect, loads=loads)


def replay(records: Iterable[Mapping[str, str]], catalog: Catalog) -> tuple[ServingResult, ...]:
    """Return the results of rows, in their order."""
    rules = load_serving_rules()
    results: list[ServingResult] = []
    for record in records:
        if record.get("kind"):
            from .serving_memory import replay_memory

            results.extend(replay_memory(record, catalog, rules))
        else:
            results.extend(_results(record, catalog, rules))
    return tuple(results)


def read_records(path: Path) -> tuple[Mapping[str, str], ...]:
    """Return the rows of a CSV file with the columns of serving.csv or serving_memory.csv.

    Raises:
        InputError: it cannot be read, or lacks the columns that decide.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            records = tuple(
                {name: value or "" for name, value in row.items() if isinstance(name, str)} for row in reader
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file of measured rows: {error}.") from None
    missing = [name for name in ("model",) if name not in columns]
    if missing or not {"scenario", "kind", "accelerator"} & columns:
        raise InputError(
            f"{path} lacks the columns of serving rows (model, accelerator, scenario, ...); "
            "write them as in data/measured/serving.csv."
        )
    return records


def _results(record: Mapping[str, str], catalog: Catalog, rules: ServingRules) -> list[ServingResult]:
    cells, _ = split(record)
    named: dict[str, Any] = {
        "id": cells.text("id"),
        "source": cells.text("source") or "unnamed",
        "cell": " | ".join(cells.text(name) for name in ("source", "model", "accelerator", "weight_prec")),
    }
    try:
        case = read_case(record, catalog, rules)
        fit = fit_for(case.family)
        machine = machine_of(case, fit)
        predicted = figures(case.scenario, machine, case.work, case.replicas, float(case.single_prompt))
        bound = figures(case.scenario, ideal(machine), case.work, case.replicas, float(case.single_prompt))
    except (Unsupported, FlopwiseError, ArithmeticError) as error:
        return [ServingResult(**named, group=SPEED, metric="", unit="", reason=str(error) or "cannot be predicted")]
    made = []
    for metric, measured in case.measured.items():
        value = predicted.get(metric)
        if value is None or not math.isfinite(value) or value <= 0:
            made.append(
                ServingResult(**named, group=SPEED, metric=metric.value, unit=UNITS[metric], reason="no such figure")
            )
            continue
        low, high = band(fit, metric, case.setup.accelerator.id, case.setup.architecture_key)
        made.append(
            ServingResult(
                **named,
                group=SPEED if metric.is_speed else PROMPT,
                metric=metric.value,
                unit=UNITS[metric],
                measured=measured or None,
                predicted=value,
                low=value * low,
                high=value * high,
                roofline=bound.get(metric),
                filled=case.filled,
            )
        )
    return made


def band(fit: ServingFit, metric: Metric, accelerator_id: str, model: str) -> tuple[float, float]:
    """Return measured over predicted at the 10th and 90th percentile."""
    kind = "speed" if metric.is_speed else "first token" if metric is Metric.FIRST else "prompt rate"
    chosen = band_of(fit, kind, accelerator_id, model)
    if metric in (Metric.TOKEN, Metric.LATENCY):  # the band is one of rates
        return 1 / chosen.high, 1 / chosen.low
    return chosen.low, chosen.high


def fit_for(family: str) -> ServingFit:
    """Return the fit that may predict a family: one that never saw it."""
    folds, families = load_serving_folds()
    from .serving_folds import family_key

    fold = families.get(family_key(family))
    return load_serving_fit() if fold is None else folds[fold]


def summarise(results: Sequence[ServingResult]) -> tuple[ServingSummary, ...]:
    """Return the summary of every group over all sources, then of every source and group."""
    made = []
    groups = [group for group in (SPEED, PROMPT, MEMORY, RUNTIME) if any(r.group == group for r in results)]
    for group in groups:
        made.append(_summary("all cells", group, [r for r in results if r.group == group]))
    by_source: dict[tuple[str, str], list[ServingResult]] = defaultdict(list)
    for result in results:
        by_source[result.source.partition(" (closed")[0], result.group].append(result)
    made += [_summary(source, group, members) for (source, group), members in by_source.items()]
    return tuple(made)


def _summary(source: str, group: str, results: Sequence[ServingResult]) -> ServingSummary:
    errors: dict[str, list[float]] = defaultdict(list)
    flat: dict[str, list[float]] = defaultdict(list)
    inside: dict[str, list[bool]] = defaultdict(list)
    lost = {r.cell for r in results if r.status == "unsupported"}
    for r in results:
        if r.error is not None and r.measured:
            errors[r.cell].append(abs(r.error))
            if r.roofline:
                flat[r.cell].append(abs(r.roofline / r.measured - 1))
            if r.inside is not None:
                inside[r.cell].append(r.inside)
    medians = [statistics.median(values) for values in errors.values()]
    return ServingSummary(
        source=source,
        group=group,
        rows=len(results),
        cells=len(medians),
        unsupported_cells=len(lost - set(errors)),
        median=statistics.median(medians) if medians else None,
        p90=quantile(medians, 0.9) if medians else None,
        coverage=statistics.fmean(statistics.fmean(each) for each in inside.values()) if inside else None,
        roofline_median=statistics.median([statistics.median(v) for v in flat.values()]) if flat else None,
    )
