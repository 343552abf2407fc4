"""Unit prices beside accelerator-hours (`data/other_prices.yaml`): storage, traffic, power, colocation, owning, buying,
discounts, and tokens of public APIs. The head of that file explains its grammar.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import InputError, UnknownName
from ..frozen import dataclass
from ..names import fold, nearest
from .cards import read_source
from .folders import package_folder
from .records import Source
from .schema import Fields
from .yamlfile import FactFile, read

FILE = "data/other_prices.yaml"
TOKEN_KINDS = ("input", "output", "batch_input", "batch_output")
_ROW = (
    "item",
    "provider",
    "value",
    "unit",
    "low",
    "high",
    "date",
    "basis",
    "source",
    "confidence",
    "unverified",
    "note",
)
_TOKEN_ROW = ("model", *TOKEN_KINDS, "date", "basis", "source", "confidence", "unverified", "note")
_CONFIDENCE = ("high", "medium", "low")


class Section(StrEnum):
    """The lists of the file."""

    STORAGE = "storage"
    EGRESS = "egress"
    POWER = "power"
    COLOCATION = "colocation"
    OWNERSHIP = "ownership"
    PURCHASE = "purchase"
    DISCOUNTS = "discounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """One number and its unit ("USD/GB-month", "kW/GPU", "fraction off on-demand"); low and high where known."""

    section: Section
    item: str
    provider: str
    value: float
    unit: str
    low: float | None
    high: float | None
    date: str
    date_basis: str
    source: str
    confidence: str
    unverified: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What a public API asks for one million tokens, in US dollars; None where it has no batch API."""

    model: str
    input_usd: float
    output_usd: float
    batch_input_usd: float | None
    batch_output_usd: float | None
    date: str
    date_basis: str
    source: str
    confidence: str
    note: str


@dataclass(frozen=True, slots=True)
class OtherPrices:
    """All of the file."""

    version: str
    sources: Mapping[str, Source]
    rows: tuple[UnitPrice, ...]
    tokens: tuple[TokenPrice, ...]

    def find(self, section: Section, item: str, provider: str) -> UnitPrice:
        """Return one unit price by its item and provider.

        Raises:
            InputError: there is none; names the nearest.
        """
        there = {(fold(row.item), fold(row.provider)): row for row in self.rows if row.section is section}
        found = there.get((fold(item), fold(provider)))
        if found:
            return found
        close = nearest(f"{fold(item)} {fold(provider)}", [" ".join(key) for key in there], count=1)
        raise InputError(
            f"no {section} price is known for '{item}' of '{provider}'"
            + (f"; nearest is '{close[0]}'." if close else ".")
        )

    def token_price(self, model: str) -> TokenPrice:
        """Return the price of one model's tokens; the provider in front of the name may be left out.

        Raises:
            UnknownName: no model is called so.
        """
        wanted = fold(model)
        for price in self.tokens:
            if wanted in (fold(price.model), fold(price.model.rpartition("/")[2])):
                return price
        names = [fold(price.model) for price in self.tokens]
        raise UnknownName("model with a token price", model, nearest(wanted, names))


def load_other_prices() -> OtherPrices:
    """Load the unit prices that came with the program."""
    return _records(read(package_folder() / FILE, name=FILE, check=check_other_prices))


def check_other_prices(file: FactFile) -> None:
    """Check the whole file.

    Raises:
        FactsError: it breaks the grammar.
    """
    _records(file)


def _records(file: FactFile) -> OtherPrices:
    top = Fields(file, (), file.data, ("version", "sources", *Section, "api_tokens"))
    listed = top.values.get("sources")
    if not isinstance(listed, dict):
        top.fail("sources", "sources is missing; a mapping of codes is wanted")
    sources = {code: read_source(file, code, entry) for code, entry in listed.items()}
    rows = tuple(
        _row(file, section, index, entry, sources)
        for section in Section
        for index, entry in enumerate(_list(top, section))
    )
    tokens = tuple(_token_row(file, index, entry, sources) for index, entry in enumerate(_list(top, "api_tokens")))
    return OtherPrices(top.text("version"), sources, rows, tokens)


def _list(top: Fields, key: str) -> list[object]:
    value = top.values.get(key)
    if not isinstance(value, list):
        top.fail(key, f"{key} must be a list (lines that start with a dash)")
    return value


def _row(file: FactFile, section: Section, index: int, entry: object, sources: Mapping[str, Source]) -> UnitPrice:
    fields = Fields(file, (section, index), entry, _ROW)
    value = fields.number("value", at_least=0)
    low, high = (fields.optional_number(key, at_least=0) for key in ("low", "high"))
    if low is not None and low > value:
        fields.fail("low", f"{fields.spelled('low')} is above value")
    if high is not None and high < value:
        fields.fail("high", f"{fields.spelled('high')} is below value")
    return UnitPrice(
        section=section,
        item=fields.text("item"),
        provider=fields.text("provider"),
        value=value,
        unit=fields.text("unit"),
        low=low,
        high=high,
        date=fields.date("date", bracket=True),
        date_basis=fields.text("basis", "exact"),
        source=fields.choice("source", tuple(sources)),
        confidence=fields.choice("confidence", _CONFIDENCE),
        unverified=fields.values.get("unverified") is True,
        note=fields.text("note", ""),
    )


def _token_row(file: FactFile, index: int, entry: object, sources: Mapping[str, Source]) -> TokenPrice:
    fields = Fields(file, ("api_tokens", index), entry, _TOKEN_ROW)
    return TokenPrice(
        model=fields.text("model"),
        input_usd=fields.number("input", at_least=0),
        output_usd=fields.number("output", at_least=0),
        batch_input_usd=fields.optional_number("batch_input", at_least=0),
        batch_output_usd=fields.optional_number("batch_output", at_least=0),
        date=fields.date("date", bracket=True),
        date_basis=fields.text("basis", "exact"),
        source=fields.choice("source", tuple(sources)),
        confidence=fields.choice("confidence", _CONFIDENCE),
        note=fields.text("note", ""),
    )
