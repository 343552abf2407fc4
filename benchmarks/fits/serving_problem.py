"""The fit of serving as a problem: measured rows as columns, parameters as offsets by level, residuals as logs.

`SPEC` says which parameters there are and how far their offsets may move; `serving.py` finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators.serving.equations import ChipRates, Group, ModelCounts, Rates
from ...estimators.serving.loops import Machine, Work
from ...estimators.serving.setup import LoadRates, chip_rates, levels, slopes
from ..validation.serving import figures
from ..validation.serving_rows import Case, Metric, Scenario

Array = NDArray[np.float64]
PROMPT_WEIGHT = 0.7
CELL_POWER = -0.35  # weight of a row in a cell of n rows: n**-0.35, so n**0.3 for the cell

# parameter: is a fraction, start, widths of its offsets by level (in logits or logs), widths of its slopes. Widths were
# chosen by scores with families, chips and models left out; offsets by engine and generation together are narrow, for
# they say least about the next chip.
SPEC: Mapping[str, tuple[bool, float, Mapping[str, float], Mapping[str, float]]] = {
    "weight_bandwidth": (
        True,
        0.75,
        {
            "class": 0.3,
            "generation": 0.3,
            "chip": 0.2,
            "engine": 0.5,
            "engine, format": 0.3,
            "engine, generation": 0.15,
        },
        {"bandwidth": 0.3, "ridge": 0.3, "ways": 0.3},
    ),
    "decode_compute": (
        True,
        0.5,
        {"generation": 0.3, "engine": 0.5, "generation, format": 0.3},
        {"flops per watt": 1.0, "slice": 0.5},
    ),
    "prefill_compute": (
        True,
        0.4,
        {
            "class": 0.4,
            "generation": 0.4,
            "chip": 0.3,
            "engine": 0.5,
            "generation, format": 0.4,
            "engine, generation": 0.2,
        },
        {"flops per watt": 0.7, "slice": 0.5, "bits": 0.3},
    ),
    "kv_bandwidth": (True, 0.5, {"class": 0.3, "generation": 0.3, "engine": 0.5}, {"group": 0.5}),
    "attention_compute": (True, 0.3, {"generation": 0.4, "engine": 0.5}, {"group": 0.3}),
    "expert_compute": (
        True,
        0.6,
        {"engine": 0.4, "format": 0.3, "engine, format": 0.4},
        {"expert width": 0.5},
    ),
    "expert_bandwidth": (True, 0.7, {"engine": 0.4, "format": 0.3, "engine, format": 0.4}, {"expert width": 1.0}),
    "layer_s": (False, 2e-5, {"class": 0.3, "engine": 0.6, "generation": 0.3}, {}),
    "mixture_layer_s": (False, 2e-5, {"engine": 0.5, "engine, format": 0.3}, {"experts": 0.4}),
    "step_s": (False, 5e-4, {"engine": 0.6}, {"ways": 0.5}),
    "sequence_s": (False, 1e-5, {"engine": 0.6}, {"ways": 0.5}),
    "prefill_s": (False, 3e-3, {"engine": 0.6}, {"ways": 0.5, "slice": 0.5}),
    "collective_s": (False, 1.2e-5, {"link": 0.6, "engine": 0.4}, {"ways": 0.5}),
    "link_fraction": (True, 0.5, {"link": 0.6}, {"ways": 0.5}),
    "interference": (False, 0.8, {"engine": 0.3, "mode": 0.4, "engine, mode": 0.4}, {}),
    "pipelining": (False, 0.5, {"engine": 0.2}, {}),
    "queue": (False, 1.0, {"engine": 0.5}, {}),
    "burst": (False, 0.15, {"engine": 0.5, "engine, mode": 0.7}, {}),
    "wait_steps": (False, 1.2, {"engine": 0.5, "engine, mode": 0.4}, {"copies": 1.0, "ways": 0.4}),
    "server_share": (True, 0.92, {}, {}),
    "excess": (False, 1.0, {}, {}),
    "occupancy": (True, 0.85, {"engine": 0.4}, {}),
    "limit_share": (True, 0.75, {"suite": 0.4}, {"ways": 0.3}),
}
BASE_WIDTH = 1.5


def stacked(kind: type, records: Sequence[Any]) -> Any:
    """Return one record of `kind` whose fields are columns over `records`."""
    return kind(**{field.name: np.array([getattr(r, field.name) for r in records], float) for field in fields(kind)})


@dataclass(frozen=True)
class Block:
    """Rows of one scenario: their positions among all cases, and their columns."""

    scenario: Scenario
    rows: NDArray[np.int64]
    model: ModelCounts
    chip: ChipRates
    group: Group
    work: Work
    replicas: Array
    single: Array


class Problem:
    """All cases as columns, targets, levels and the map from coefficients to parameters."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        keys = [{**levels(case.setup), "suite": case.suite} for case in cases]
        numbers = [slopes(case.setup) for case in cases]
        self.ranges = {name: [min(n[name] for n in numbers), max(n[name] for n in numbers)] for name in numbers[0]}
        self.columns: dict[str, list[tuple[NDArray[np.int64], Array | None]]] = {}
        self.names: list[tuple[str, str, str]] = []
        start: list[float] = []
        width: list[float] = []
        for name, (is_fraction, initial, offsets, sloped) in SPEC.items():
            base = np.log(initial / (1 - initial)) if is_fraction else np.log(initial)
            parts: list[tuple[NDArray[np.int64], Array | None]] = [(np.full(len(cases), len(start)), None)]
            self.names.append((name, "base", ""))
            start.append(float(base))
            width.append(BASE_WIDTH)
            for level, sigma in offsets.items():
                known = sorted({each[level] for each in keys} - {""})
                place = {key: len(start) + i for i, key in enumerate(known)}
                # rows without the level point at a coefficient that stays zero
                none = len(start) + len(known)
                parts.append((np.array([place.get(each[level], none) for each in keys]), None))
                self.names += [(name, level, key) for key in known] + [(name, level, "")]
                start += [0.0] * (len(known) + 1)
                width += [sigma] * len(known) + [1e-6]
            for slope, sigma in sloped.items():
                parts.append((np.full(len(cases), len(start)), np.array([each[slope] for each in numbers])))
                self.names.append((name, "slope", slope))
                start.append(0.0)
                width.append(sigma)
            self.columns[name] = parts
        self.start, self.width = np.array(start), np.array(width)
        self.blocks = [self._block(scenario) for scenario in Scenario]
        targets = [
            (i, metric, value) for i, case in enumerate(cases) for metric, value in case.measured.items() if value > 0
        ]
        self.row = np.array([t[0] for t in targets])
        self.metric = np.array([t[1].value for t in targets])
        self.measured = np.array([t[2] for t in targets], float)
        self.is_speed = np.array([t[1].is_speed for t in targets])
        cells = [f"{cases[t[0]].cell} | {t[1].is_speed}" for t in targets]
        self.cell_names, self.cell = np.unique(np.array(cells), return_inverse=True)
        size = np.bincount(self.cell)[self.cell]
        self.weight = size**CELL_POWER * np.where(self.is_speed, 1.0, PROMPT_WEIGHT)
        self.families, self.family = np.unique(np.array([cases[t[0]].family for t in targets]), return_inverse=True)
        self.sources, self.source = np.unique(
            np.array([cases[t[0]].family.split(" | ")[0] for t in targets]), return_inverse=True
        )

    def _block(self, scenario: Scenario) -> Block:
        rows = [i for i, case in enumerate(self.cases) if case.scenario is scenario]
        chosen = [self.cases[i] for i in rows]
        return Block(
            scenario=scenario,
            rows=np.array(rows, int),
            model=stacked(ModelCounts, [case.setup.counts() for case in chosen]),
            chip=stacked(ChipRates, [chip_rates(case.setup) for case in chosen]),
            group=stacked(Group, [case.setup.group() for case in chosen]),
            work=stacked(Work, [case.work for case in chosen]),
            replicas=np.array([case.replicas for case in chosen], float),
            single=np.array([case.single_prompt for case in chosen], bool),
        )

    def values(self, x: Array) -> dict[str, Array]:
        """Return every parameter's unsquashed column of rows."""
        made = {}
        for name, parts in self.columns.items():
            total = np.zeros(len(self.cases))
            for place, factor in parts:
                total += x[place] if factor is None else x[place] * factor
            made[name] = total
        return made

    def residuals(self, values: Mapping[str, Array]) -> Array:
        """Return log(predicted / measured) of every target."""
        squashed = {
            name: 1 / (1 + np.exp(-column)) if SPEC[name][0] else np.exp(column) for name, column in values.items()
        }
        predicted = {metric.value: np.full(len(self.cases), np.nan) for metric in Metric}
        for block in self.blocks:
            if len(block.rows):
                for metric, column in predict_block(block, squashed).items():
                    predicted[metric.value][block.rows] = column
        column = np.select(
            [self.metric == metric.value for metric in Metric],
            [predicted[metric.value][self.row] for metric in Metric],
        )
        return np.asarray(np.log(column / self.measured))


def predict_block(block: Block, squashed: Mapping[str, Array]) -> dict[Metric, Array]:
    """Return the figures of one scenario's rows, in the rows' units."""
    own: dict[str, Any] = {name: column[block.rows] for name, column in squashed.items()}
    loads = LoadRates(**{field.name: own.pop(field.name) for field in fields(LoadRates)})
    machine = Machine(model=block.model, chip=block.chip, group=block.group, rates=Rates(**own), loads=loads)
    return figures(block.scenario, machine, block.work, block.replicas, block.single)
