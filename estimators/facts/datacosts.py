"""Unit costs, rates, yields and rules of data work (`data/data_costs.yaml`), with the user's own on top of ours.

Layers: ours, then `costs.d/*.yaml` of the config folder by name, then the files of `--costs` in order. A later layer may
change fields of an entry or add one; an entry whose value changes without low and high is exact (a negotiated price).
Every file is checked whole before anything is used; entries become records only when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UnknownName
from ..frozen import dataclass
from ..names import fold, nearest
from ..quantity import EXACT, Quantity
from .folders import config_folder, package_folder
from .schema import Fields
from .yamlfile import FactFile, read

OURS = "data/data_costs.yaml"
OVERLAY_FOLDER = "costs.d"
BAND = "80 %"
STATUSES = ("verified", "computed", "secondary", "unverified")

_RATE = ("what", "value", "text", "low", "high", "unit", "year", "source", "status", "note", "guess")
_LABEL = ("cost", "model_cost", "hourly", "minutes", "votes", "what")
_FINETUNE = ("low", "mid", "high", "label", "source", "what")
_GENERATOR = ("name", "tokens_per_s", "year", "source", "status")
_API = ("input", "output", "batch_input", "batch_output", "date", "source", "status")
_SECTIONS = {
    "assumptions": _RATE,
    "costs": _RATE,
    "labels": _LABEL,
    "finetune": _FINETUNE,
    "generators": _GENERATOR,
    "apis": _API,
}
_TOP = ("ranges", *_SECTIONS, "yields", "datasets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One number of the file with its range: a price, a speed, a share. `origin` is the file that gave the value."""

    id: str
    what: str
    value: float
    low: float
    high: float
    unit: str
    year: str
    source: str
    status: str
    note: str
    is_guess: bool
    origin: str

    @property
    def quantity(self) -> Quantity:
        """The value with its range."""
        band = EXACT if self.low == self.value == self.high else BAND
        return Quantity(self.low, self.value, self.high, self.unit, band, f"{self.source} ({self.year}, {self.trust})")

    @property
    def trust(self) -> str:
        """The status, and whether it is a guess."""
        return "a guess" if self.is_guess else self.status


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelKind:
    """How one kind of label is made and paid: by item, or by the hour. Minutes are of people per item."""

    id: str
    what: str
    cost: str
    model_cost: str
    hourly: str
    minutes: float
    votes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneNeed:
    """How many examples a goal of fine-tuning usually takes."""

    id: str
    what: str
    examples: Quantity
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrice:
    """US dollars per million tokens of one public API."""

    id: str
    input_usd: float
    output_usd: float
    batch_input_usd: float | None
    batch_output_usd: float | None
    date: str
    source: str
    origin: str


class DataCosts:
    """All of the layers; `overlays` names the files beside ours, in order."""

    def __init__(self, layers: Sequence[FactFile]) -> None:
        self.overlays = tuple(layer.file for layer in layers[1:])
        self._entries: dict[str, dict[str, tuple[dict[str, Any], str]]] = {name: {} for name in _SECTIONS}
        self._ranges: Mapping[str, Any] = _mapping(layers[0], "ranges")
        for layer in layers:
            for section in _SECTIONS:
                for key, fields in _mapping(layer, section).items():
                    old = self._entries[section].get(key)
                    self._entries[section][key] = (_merged(old[0] if old else {}, fields), layer.file)
            self._ranges = {**self._ranges, **_mapping(layer, "ranges")}

    def names(self, section: str) -> tuple[str, ...]:
        """Return the ids of a section."""
        return tuple(self._entries[section])

    def rate(self, name: str) -> Rate:
        """Return a unit cost or an assumption by its id.

        Raises:
            UnknownName: there is none, or it is a fact without a number.
        """
        section = "assumptions" if name in self._entries["assumptions"] else "costs"
        fields, origin = self._find(section, name, "unit cost")
        if "value" not in fields:
            raise UnknownName("unit cost with a number", name)
        value = float(fields["value"])
        factor = 1.0 if fields.get("exact") else float(self._ranges[fields.get("status", "verified")]["factor"])
        return Rate(
            id=name,
            what=str(fields.get("what", name.replace("_", " "))),
            value=value,
            low=float(fields.get("low", value / factor)),
            high=float(fields.get("high", value * factor)),
            unit=str(fields["unit"]),
            year=str(fields["year"]),
            source=str(fields["source"]),
            status=str(fields.get("status", "verified")),
            note=str(fields.get("note", "")),
            is_guess=bool(fields.get("guess", False)),
            origin=origin,
        )

    def label(self, typed: str) -> LabelKind:
        """Return a kind of label (forgiving)."""
        name, fields, _ = self._resolve("labels", typed, "kind of label")
        return LabelKind(
            id=name,
            what=str(fields["what"]),
            cost=str(fields.get("cost", "")),
            model_cost=str(fields.get("model_cost", "")),
            hourly=str(fields.get("hourly", "")),
            minutes=float(fields["minutes"]),
            votes=float(fields["votes"]),
        )

    def finetune(self, typed: str) -> FinetuneNeed:
        """Return what a goal of fine-tuning takes (forgiving)."""
        name, fields, _ = self._resolve("finetune", typed, "goal of fine-tuning")
        examples = Quantity(
            float(fields["low"]), float(fields["mid"]), float(fields["high"]), "items", BAND, str(fields["source"])
        )
        return FinetuneNeed(id=name, what=str(fields["what"]), examples=examples, label=str(fields["label"]))

    def generator(self, typed: str) -> Rate:
        """Return the output tokens per second of one H100 that a generator reaches in batch (forgiving)."""
        name, fields, origin = self._resolve("generators", typed, "generator")
        value = float(fields["tokens_per_s"])
        factor = float(self._ranges["computed"]["factor"])
        return Rate(
            id=name,
            what=str(fields.get("name", name)),
            value=value,
            low=value / factor,
            high=value,
            unit="tokens/s per H100",
            year=str(fields["year"]),
            source=str(fields["source"]),
            status=str(fields.get("status", "verified")),
            note="best setting of a sweep: you may reach less",
            is_guess=False,
            origin=origin,
        )

    def api(self, typed: str) -> ApiPrice:
        """Return the price of one API's tokens (forgiving)."""
        name, fields, origin = self._resolve("apis", typed, "API with a token price")
        batch = [None if fields.get(key) is None else float(fields[key]) for key in ("batch_input", "batch_output")]
        return ApiPrice(
            id=name,
            input_usd=float(fields["input"]),
            output_usd=float(fields["output"]),
            batch_input_usd=batch[0],
            batch_output_usd=batch[1],
            date=str(fields["date"]),
            source=str(fields["source"]),
            origin=origin,
        )

    def _find(self, section: str, name: str, kind: str) -> tuple[dict[str, Any], str]:
        if name not in self._entries[section]:
            known = (*self._entries["costs"], *self._entries["assumptions"])
            raise UnknownName(kind, name, nearest(name, known))
        return self._entries[section][name]

    def _resolve(self, section: str, typed: str, kind: str) -> tuple[str, dict[str, Any], str]:
        from ..names import resolve

        name = resolve(typed, self._entries[section], kind=kind)
        return (name, *self._entries[section][name])


def load_data_costs(overlays: Sequence[Path] = (), *, use_config_folder: bool = True) -> DataCosts:
    """Return our unit costs with the user's on top.

    Raises:
        FactsError: a file breaks the grammar; names file and line.
    """
    ours = read(package_folder() / OURS, name=OURS, check=check_ours)
    return DataCosts([ours, *overlay_files(overlays, use_config_folder=use_config_folder)])


def overlay_files(overlays: Sequence[Path], *, use_config_folder: bool = True) -> list[FactFile]:
    """Return the checked overlays: those of the config folder, then those named."""
    folder = config_folder() / OVERLAY_FOLDER
    found = sorted(folder.glob("*.yaml")) if use_config_folder and folder.is_dir() else []
    layers = []
    for path in (*found, *overlays):
        layer = read(path, check=check_overlay)
        _refuse_unknown(layer)
        layers.append(layer)
    return layers


def check_ours(file: FactFile) -> None:
    """Check our file: every entry whole."""
    _check(file, whole=True)


def check_overlay(file: FactFile) -> None:
    """Check an overlay: entries may hold only what changes."""
    _check(file, whole=False)
    from .datasets import check_datasets

    check_datasets(file, whole=False)


def _refuse_unknown(layer: FactFile) -> None:
    """Refuse an entry that changes nothing we know and is not whole: most likely a misspelled id."""
    ours = read(package_folder() / OURS, name=OURS, check=check_ours)
    for section in _SECTIONS:
        known = _mapping(ours, section)
        for key, fields in _mapping(layer, section).items():
            if key in known:
                continue
            needed = {"costs": ("value", "unit", "year", "source"), "assumptions": ("value", "unit", "year", "source")}
            if all(name in fields for name in needed.get(section, ())):
                continue
            close = nearest(fold(key), known, 1) or nearest(key, known, 1)
            hint = f"did you mean '{close[0]}'?" if close else "a new entry needs value, unit, year and source"
            raise layer.error(f"{section}.{key} is not one of our entries; {hint}", section, key)


def _mapping(file: FactFile, section: str) -> Mapping[str, Any]:
    data = file.data if isinstance(file.data, dict) else {}
    found = data.get(section)
    return found if isinstance(found, dict) else {}


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**old, **new}
    if old and "value" in new:
        for end in ("low", "high"):
            if end not in new:
                merged.pop(end, None)
        if "low" not in new and "high" not in new:
            merged["exact"] = True
        merged["guess"] = new.get("guess", False)
        merged["source"] = new.get("source", "your own unit cost")
        merged["status"] = new.get("status", "verified")
    return merged


def _check(file: FactFile, *, whole: bool) -> None:
    top = Fields(file, (), {} if file.data is None else file.data, _TOP)
    for section, known in _SECTIONS.items():
        entries = top.values.get(section)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            top.fail(section, f"{section} must be a mapping of ids to entries")
        for key, entry in entries.items():
            fields = Fields(file, (section, key), entry, known)
            _check_entry(fields, section, whole)
    for key, entry in _pairs(top.values.get("ranges")):
        if key not in STATUSES:
            top.fail("ranges", f"ranges.{key} is not a status; one of {', '.join(STATUSES)}")
        Fields(file, ("ranges", key), entry, ("factor", "guess", "source")).number("factor", at_least=1)


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    return iter(value.items() if isinstance(value, dict) else ())


def _check_entry(fields: Fields, section: str, whole: bool) -> None:
    if section in ("assumptions", "costs"):
        _check_rate(fields, whole)
        return
    numbers = {
        "labels": ("minutes", "votes"),
        "finetune": ("low", "mid", "high"),
        "generators": ("tokens_per_s",),
        "apis": ("input", "output"),
    }[section]
    for name in numbers:
        if whole or name in fields:
            fields.number(name, at_least=0)
    for name in ("batch_input", "batch_output"):
        if name in fields:
            fields.number(name, at_least=0)
    for name in ("source", "status", "what", "cost", "model_cost", "hourly", "label", "name", "year", "date"):
        if name in fields:
            fields.text(name)


def _check_rate(fields: Fields, whole: bool) -> None:
    if whole and "value" not in fields:
        fields.text("text")
    value = fields.number("value", at_least=0) if "value" in fields else None
    low, high = (fields.optional_number(key, at_least=0) for key in ("low", "high"))
    if value is not None and low is not None and low > value:
        fields.fail("low", f"{fields.spelled('low')} is above value")
    if value is not None and high is not None and high < value:
        fields.fail("high", f"{fields.spelled('high')} is below value")
    if not whole and value is None and (low is not None or high is not None):
        fields.fail("low", f"{fields.spelled('low')} is a range without a value; give value too")
    for name in ("unit", "year", "source"):
        if whole or name in fields:
            fields.text(name)
    if whole or "status" in fields:
        fields.choice("status", STATUSES)
