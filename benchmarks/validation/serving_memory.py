"""Memory rows of serving (`serving_memory.csv`): checkpoint sizes, weights per chip, cache sizes, memory at run time.

`kind` says what was measured; figures are in GiB or GB as the column says. Run-time totals contain what an engine
reserves for itself, which no formula knows: they are predicted with a flat reserve and reported apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...estimators.errors import FlopwiseError
from ...estimators.facts.serving import ServingRules
from ...estimators.serving.counts import weight_bytes
from ...estimators.serving.memory import cache_bytes_per_token, sequence_bytes, weights_per_chip
from ...estimators.serving.setup import Setup
from ...estimators.units import GB, GIB
from .rows import Cells
from .serving_chips import find_chip
from .serving_shapes import shape_of
from .serving_software import Unsupported, cache_bits_of, engine_of, weights_of

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from .serving import ServingResult

_RESERVE = 0.8e9  # bytes of runtime and kernels outside weights and cache; a guess
_WEIGHT_BAND, _CACHE_BAND, _RUNTIME_BAND = (0.96, 1.06), (0.97, 1.03), (0.85, 1.4)  # measured / predicted
_FIGURES = (
    ("weights_gib_per_gpu", "weights", GIB),
    ("kv_gib_per_gpu", "cache", GIB),
    ("size_gib", "checkpoint", GIB),
    ("size_gb", "checkpoint", GB),
    ("total_gib", "total", GIB),
    ("total_gb", "total", GB),
)


def replay_memory(record: Mapping[str, str], catalog: Catalog, rules: ServingRules) -> list[ServingResult]:
    """Return the results of one memory row, one per figure that it measures."""
    from .serving import MEMORY, RUNTIME, ServingResult

    cells = Cells(dict(record))
    named: dict[str, Any] = {
        "id": cells.text("id"),
        "source": cells.text("source") or "unnamed",
        "cell": " | ".join(cells.text(name) for name in ("source", "model", "accelerator", "weight_prec", "kind")),
    }
    try:
        setup = _setup(cells, catalog, rules)
    except (Unsupported, FlopwiseError) as error:
        return [ServingResult(**named, group=MEMORY, metric="", unit="", reason=str(error))]
    made = []
    for column, what, unit in _FIGURES:
        measured = cells.number(column)
        if measured is None or measured <= 0:
            continue
        try:
            value = _predicted(setup, cells, what)
        except (FlopwiseError, ZeroDivisionError) as error:
            made.append(ServingResult(**named, group=MEMORY, metric=column, unit="", reason=str(error)))
            continue
        low, high = {"total": _RUNTIME_BAND, "cache": _CACHE_BAND}.get(what, _WEIGHT_BAND)
        made.append(
            ServingResult(
                **named,
                group=RUNTIME if what == "total" else MEMORY,
                metric=column,
                unit="GiB" if unit == GIB else "GB",
                measured=measured,
                predicted=value / unit,
                low=value / unit * low,
                high=value / unit * high,
            )
        )
    if not made:
        made.append(ServingResult(**named, group=MEMORY, metric="", unit="", reason="the row measures no size"))
    return made


def _setup(cells: Cells, catalog: Catalog, rules: ServingRules) -> Setup:
    shape = shape_of(cells)
    if shape is None:
        raise Unsupported(f"the shape of '{cells.text('model')}' is not known")
    chip = find_chip(cells.text("accelerator"), catalog) or catalog.find("h100-sxm-80gb")
    text = Cells({**cells.values, "framework": f"{cells.text('framework')} {cells.text('notes')}"})
    engine, level = engine_of(text, chip, rules)
    written = cells.text("weight_prec").replace(" rowwise", "")
    is_gguf = "gguf" in cells.text("source").lower() or "kyuz0" in cells.text("source")
    if is_gguf:
        engine = rules.engines["llama.cpp"]
    weights = weights_of(Cells({**cells.values, "weight_prec": written}), engine, rules)
    filled: list[str] = []
    setup = Setup(
        shape=shape,
        accelerator=chip,
        engine=engine,
        weights=weights,
        cache_bits=cache_bits_of(cells, engine, weights, rules, filled),
        level=level,
    )
    return replace(setup, tensor=max(1, cells.whole("tp") or 1))


def _predicted(setup: Setup, cells: Cells, what: str) -> float:
    if what == "weights":
        return weights_per_chip(setup)
    if what == "checkpoint":
        return weight_bytes(setup.shape, setup.weights).total
    if what == "cache":
        tokens = cells.number("tokens") or (cells.number("batch") or 1.0) * (cells.number("context") or 0.0)
        if not tokens:
            raise FlopwiseError("the row does not say how many tokens its cache holds")
        return tokens * cache_bytes_per_token(setup) / setup.tensor
    held = (cells.number("batch") or 1.0) * sequence_bytes(setup, cells.number("context") or 0.0) / setup.tensor
    return weights_per_chip(setup) + held + _RESERVE
