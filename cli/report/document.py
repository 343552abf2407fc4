"""What a command hands to the printers: one answer as data and as tables that say the same.

A command builds a `Document`; `render.py` prints it as table, JSON, CSV, Markdown or YAML and `output.py` writes it.
`result` is the JSON twin: mappings, lists, plain values and `Quantity`. Tables hold typed cells (`Quantity`, `Value`
or text), never formatted numbers, so that every format prints from the same value.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...estimators.frozen import dataclass, field
from ...estimators.quantity import Quantity, Step


@dataclass(frozen=True, slots=True)
class Value:
    """An exact number with its base unit ("s", "usd", "bytes", "tokens", "fraction", ...; see `units.show`)."""

    number: float
    unit: str


@dataclass(frozen=True, slots=True)
class Money(Value):
    """Dollars that are printed to the cent, for sums that a reader adds up."""


@dataclass(frozen=True, slots=True)
class UnitPrice(Value):
    """Dollars for one of something, printed with as many decimals as it has, at most six."""


def money(cents: int) -> Money:
    """Return whole cents as a cell."""
    return Money(cents / 100, "usd")


Cell = Quantity | Value | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """`key` names it in CSV and JSON, `title` on the screen; numbers align right. `wide_only` columns are dropped
    first where the terminal is narrow.
    """

    key: str
    title: str
    right: bool = False
    wide_only: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. `name` labels it ("memory", "alternatives"), `caption` stands above it on the screen.

    `total_rows` counts rows at the end that are totals (printed below a rule).
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    total_rows: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """A short list of labelled values, the top of an answer: (key, label, cell, remark)."""

    name: str
    items: tuple[tuple[str, str, Cell, str], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something we took for granted that moves the answer, and the flag that changes it."""

    text: str
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One answer. `headline` is the sentence a person reads first."""

    verb: str
    headline: str
    inputs: Mapping[str, object]
    result: Mapping[str, object]
    sections: tuple[Table | Facts, ...]
    assumptions: tuple[Assumption, ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    catalog: Mapping[str, object] = field(default_factory=dict)  # version, prices_as_of, overlays used
    next_commands: tuple[str, ...] = ()
