"""Scaling laws, bootstrap draws and check values as records, read on first use.

`data/scaling_laws.yaml` holds the coefficients, each card with its source and status; `data/scaling_bootstrap.csv` the
400 correlated draws behind the band of the optimum; `data/scaling_checks.csv` published and computed values that
`flopwise validate scaling` reproduces. Formulas are in `estimators/scaling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from ..errors import FactsError
from ..frozen import dataclass
from ..names import resolve
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

LAWS_FILE = "data/scaling_laws.yaml"
_CARD_KEYS = (
    *("name", "kind", "form", "coefficients", "ranges", "reported", "table", "valid", "fit_data", "source"),
    *("status", "superseded", "note", "aliases"),
)
_VALID_KEYS = ("params", "tokens", "flops", "tokens_per_param", "epochs")
_UNCERTAINTY_KEYS = (
    "centre_tokens_per_param",
    "centre_source",
    "between_study_log_sd",
    "between_study_source",
    "quantiles",
    "absolute_loss_relative",
    "absolute_loss_source",
    "overtrained_tokens_per_param",
    "overtrained_note",
    "max_trusted_epochs",
    "harmful_epochs",
    "epochs_source",
)


class LawKind(StrEnum):
    """Which formula a card feeds; the head of `data/scaling_laws.yaml` explains each."""

    CHINCHILLA = "chinchilla"
    SKALING = "skaling"
    POWER = "power"
    TOKENS_POWER = "tokens-power"
    PER_TOKEN = "per-token"
    RATIO = "ratio"
    TABLE = "table"
    OTHER = "other"
    FORM = "form"

    @property
    def has_optimum(self) -> bool:
        """Whether a card of this kind says which N and D are best for a compute budget."""
        return self not in (LawKind.OTHER, LawKind.FORM)


class Status(StrEnum):
    """How far a coefficient is trusted."""

    VERIFIED = "verified"
    COMPUTED = "computed"
    SECONDARY = "secondary"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Where a law was fitted, each as (low, high) or None where the paper does not say."""

    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    flops: tuple[float, float] | None = None
    tokens_per_param: tuple[float, float] | None = None
    epochs: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LawCard:
    """One law as published: coefficients by their names in the paper, source and status."""

    id: str
    name: str
    kind: LawKind
    form: str
    coefficients: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    table: tuple[tuple[float, float, float], ...]  # params, FLOP, tokens; only for kind TABLE
    valid: Validity
    fit_data: str
    source: str
    status: Status
    superseded: str = ""  # why it is no longer the one to use
    note: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertaintyFacts:
    """What is known about the spread of optima and losses between studies (see the YAML for the sources)."""

    centre_tokens_per_param: float
    centre_source: str
    between_study_log_sd: float
    between_study_source: str
    quantiles: tuple[float, float]
    absolute_loss_relative: float
    absolute_loss_source: str
    overtrained_tokens_per_param: float
    overtrained_note: str
    max_trusted_epochs: float
    harmful_epochs: float
    epochs_source: str


@dataclass(frozen=True, slots=True)
class CoefficientDraw:
    """One bootstrap draw of the Chinchilla form; the five values belong together."""

    ln_A: float
    ln_B: float
    ln_E: float
    alpha: float
    beta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckValue:
    """One value to reproduce: `tolerance` is relative where `is_relative`, else in the unit of the value."""

    id: str
    law: str
    quantity: str
    inputs: str
    expected: float
    unit: str
    tolerance: float
    is_relative: bool
    source: str
    status: Status
    note: str

    def holds(self, predicted: float) -> bool:
        """Whether `predicted` lies within the tolerance of the expected value."""
        scale = abs(self.expected) if self.is_relative else 1.0
        return abs(predicted - self.expected) <= self.tolerance * scale


@lru_cache(maxsize=1)
def _document() -> Mapping[str, Any]:
    document = read(package_folder() / LAWS_FILE, name=LAWS_FILE, check=_check).data
    assert isinstance(document, dict)  # the check has seen to it
    return document


def _check(file: FactFile) -> None:
    top = Fields(file, (), file.data, ("default", "uncertainty", "laws"))
    laws = top.values.get("laws")
    if not isinstance(laws, dict):
        top.fail("laws", "laws is missing; a mapping from name to law is wanted")
    for key, value in laws.items():
        fields = Fields(file, ("laws", key), value, _CARD_KEYS)
        if isinstance(valid := fields.values.get("valid"), dict):
            Fields(file, ("laws", key, "valid"), valid, _VALID_KEYS)
        fields.choice("kind", tuple(LawKind))
        fields.choice("status", tuple(Status))
        _card(key, fields.values)
    if top.text("default") not in laws:
        top.fail("default", f"default is '{top.text('default')}', which is no law of this file")
    Fields(file, ("uncertainty",), top.values.get("uncertainty"), _UNCERTAINTY_KEYS)


@lru_cache(maxsize=1)
def law_cards() -> Mapping[str, LawCard]:
    """Return all cards by id.

    Raises:
        FactsError: a card lacks a field or has an unknown kind or status.
    """
    return {str(key): _card(str(key), fields) for key, fields in _document()["laws"].items()}


def _card(key: str, fields: Mapping[str, Any]) -> LawCard:
    try:
        return LawCard(
            id=key,
            name=fields["name"],
            kind=LawKind(fields["kind"]),
            form=fields["form"],
            coefficients={name: float(value) for name, value in (fields.get("coefficients") or {}).items()},
            ranges={name: _pair(value) for name, value in (fields.get("ranges") or {}).items()},
            table=tuple((float(n), float(c), float(d)) for n, c, d in fields.get("table") or ()),
            valid=Validity(**{name: _pair(value) for name, value in (fields.get("valid") or {}).items()}),
            fit_data=fields["fit_data"],
            source=fields["source"],
            status=Status(fields["status"]),
            superseded=fields.get("superseded", ""),
            note=fields.get("note", ""),
            aliases=tuple(fields.get("aliases") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FactsError(f"law '{key}': {error}", file=LAWS_FILE) from None


def _pair(value: Any) -> tuple[float, float]:
    low, high = value
    return float(low), float(high)


def default_law() -> str:
    """Return the id of the law used where none is named."""
    return str(_document()["default"])


@lru_cache(maxsize=64)
def find_card(typed: str) -> LawCard:
    """Return the card that `typed` names (forgiving).

    Raises:
        UnknownName: no law is called so; carries the nearest names.
    """
    cards = law_cards()
    aliases = {alias: card.id for card in cards.values() for alias in card.aliases}
    return cards[resolve(typed, cards, kind="scaling law", aliases=aliases)]


@lru_cache(maxsize=1)
def uncertainty_facts() -> UncertaintyFacts:
    """Return the spread between studies and the other facts behind bands and warnings."""
    fields = dict(_document()["uncertainty"])
    fields["quantiles"] = _pair(fields["quantiles"])
    return UncertaintyFacts(**fields)


@lru_cache(maxsize=1)
def bootstrap_draws() -> tuple[CoefficientDraw, ...]:
    """Return the 400 correlated draws of the default law's coefficients (own bootstrap of 240 public points)."""
    lines = (package_folder() / "data" / "scaling_bootstrap.csv").read_text(encoding="utf-8").split()[1:]
    return tuple(CoefficientDraw(*map(float, line.split(","))) for line in lines)


@lru_cache(maxsize=1)
def check_values() -> tuple[CheckValue, ...]:
    """Return all values that the laws are checked against, in the order of the file."""
    import csv

    with (package_folder() / "data" / "scaling_checks.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(_check_value(number, row) for number, row in enumerate(csv.DictReader(lines), start=1))


def _check_value(number: int, row: Mapping[str, str]) -> CheckValue:
    tolerance = row["tolerance"]
    return CheckValue(
        id=f"scaling-{number:03d}",
        law=row["law"],
        quantity=row["quantity"],
        inputs=row["inputs"],
        expected=float(row["expected"]),
        unit=row["unit"],
        tolerance=float(tolerance.rstrip("%")) / (100 if tolerance.endswith("%") else 1),
        is_relative=tolerance.endswith("%"),
        source=row["source"],
        status=Status(row["status"]),
        note=row["note"],
    )
