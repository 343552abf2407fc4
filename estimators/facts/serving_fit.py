"""Read the fitted efficiency of serving (`data/efficiency/serving.yaml`), written by `benchmarks/fits/serving.py`.

Each parameter has a base and offsets by level (generation, chip, engine, ...), in logits for fractions and in logs for
the rest; a level that no measured row has is absent and counts as zero, which is its mean under the fit. `slopes`
multiply a number of the setup, held inside the range of the measured rows. `serving_folds.yaml` holds fits that left out a part of the measured families, so that
`flopwise validate serving` can predict a shipped row from a fit that never saw its family.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..errors import FactsError
from ..frozen import dataclass
from .folders import package_folder
from .yamlfile import read

FILE, FOLDS_FILE = "data/efficiency/serving.yaml", "data/efficiency/serving_folds.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One fitted parameter: squashed base plus offsets. `is_fraction`: logistic, else exponential."""

    is_fraction: bool
    base: float
    offsets: Mapping[str, Mapping[str, float]]  # level, key: offset
    slopes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingBand:
    """Quantiles of measured over predicted, of rows whose family the fit had not seen."""

    low: float  # 10th percentile
    high: float  # 90th
    rows: int
    cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFit:
    """Parameters by name, bands by kind ("speed", "speed, new chip", "first token, new model", ...), and their source."""

    parameters: Mapping[str, Parameter]
    bands: Mapping[str, ServingBand]
    chips: frozenset[str]  # that measured rows ran on
    engines: frozenset[str]
    models: frozenset[str]  # that measured rows served, by the key of their architecture
    ranges: Mapping[str, tuple[float, float]]  # of the numbers that slopes multiply, over the measured rows
    rows: int
    cells: int
    fitted_on: str
    as_of: str


def band_of(fit: ServingFit, kind: str, accelerator_id: str, model: str = "") -> ServingBand:
    """Return the band of `kind` ("speed", "first token", "prompt rate").

    A chip or a model that no measured row had takes the band of rows whose chip or model the fit had not seen, and
    both the wider of the two on either side. `model` is the key of an architecture (`architecture_key`); empty counts
    as measured.
    """
    is_new_chip = accelerator_id not in fit.chips
    is_new_model = bool(model) and model not in fit.models
    asked = [f"{kind}, new chip"] * is_new_chip + [f"{kind}, new model"] * is_new_model or [kind]
    found = [fit.bands.get(name) or fit.bands.get(kind) or fit.bands["speed"] for name in asked]
    first, last = found[0], found[-1]
    return ServingBand(
        low=min(first.low, last.low),
        high=max(first.high, last.high),
        rows=min(first.rows, last.rows),
        cells=min(first.cells, last.cells),
    )


@cache
def load_serving_fit() -> ServingFit:
    """Return the fit on all measured rows.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    return _fit(_read(FILE), FILE)


@cache
def load_serving_folds() -> tuple[tuple[ServingFit, ...], Mapping[str, int]]:
    """Return the fold fits and, by hash of a family, the fold that left it out.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    data = _read(FOLDS_FILE)
    try:
        return tuple(_fit(fold, FOLDS_FILE) for fold in data["folds"]), data["families"]
    except (KeyError, TypeError) as error:
        raise FactsError(f"lacks {error}; run benchmarks/fits/serving.py again.", file=FOLDS_FILE) from None


def _read(name: str) -> dict:  # type: ignore[type-arg]
    data = read(package_folder() / name, name=name).data
    if not isinstance(data, dict):
        raise FactsError("is empty; run benchmarks/fits/serving.py again.", file=name)
    return data


def _fit(data: dict, name: str) -> ServingFit:  # type: ignore[type-arg]
    try:
        return ServingFit(
            parameters={
                key: Parameter(
                    is_fraction=entry["fraction"],
                    base=float(entry["base"]),
                    offsets=entry.get("offsets") or {},
                    slopes=entry.get("slopes") or {},
                )
                for key, entry in data["parameters"].items()
            },
            bands={
                kind: ServingBand(low=each["low"], high=each["high"], rows=each["rows"], cells=each["cells"])
                for kind, each in (data.get("bands") or {}).items()
            },
            chips=frozenset(data.get("chips") or ()),
            engines=frozenset(data.get("engines") or ()),
            models=frozenset(data.get("models") or ()),
            ranges={name: (float(low), float(high)) for name, (low, high) in (data.get("ranges") or {}).items()},
            rows=data.get("rows", 0),
            cells=data.get("cells", 0),
            fitted_on=data.get("fitted_on", ""),
            as_of=data.get("as_of", ""),
        )
    except (KeyError, TypeError) as error:
        raise FactsError(f"lacks {error}; run benchmarks/fits/serving.py again.", file=name) from None
