"""Words for cells: one typed value as the short text that a person reads, the same in every printed format.

A `Quantity` reads "12.3 days (9.8 to 15.9, 80 %)": the middle first, then the range without repeating the unit, then
the band. What is not known reads "-", never 0. For terminals that cannot show more, `to_ascii` replaces the few other
characters we use, one for one where it can, so that columns stay aligned.
"""

from __future__ import annotations

import re

from ...estimators.quantity import EXACT, NO_RANGE, Quantity
from ...estimators.units import show
from .document import Cell, Money, UnitPrice, Value

UNKNOWN = "-"

_ASCII = {"×": "x", "µ": "u", "–": "-", "—": "-", "−": "-", "·": ".", "─": "-", "│": "|", "└": "`", "├": "|"}
_ASCII |= {"’": "'", "‘": "'", "“": '"', "”": '"', "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "…": "...", "•": "*"}
_ASCII |= {"²": "2", "³": "3", "±": "+/-", "√": "sqrt", "α": "alpha", "β": "beta", "\u00a0": " ", "\u202f": " "}
_TABLE = str.maketrans(_ASCII)

# A unit that stands behind a space or a slash: "12.3 days", "$2.49/hour"; "7.1B" keeps its letter.
_UNIT = re.compile(r"^(.*?\d[A-Za-z]{0,2})((?: |/).*)$")


def to_ascii(text: str) -> str:
    """Return `text` in ASCII; a character without a stand-in becomes a question mark."""
    return text.translate(_TABLE).encode("ascii", "replace").decode("ascii")


def mid_text(cell: Cell) -> str:
    """Return the value alone, without its range."""
    if cell is None:
        return UNKNOWN
    if isinstance(cell, Quantity):
        return show(cell.mid, cell.unit)
    if isinstance(cell, Money):
        return f"{'-' if cell.number < 0 else ''}${abs(cell.number):,.2f}"
    if isinstance(cell, UnitPrice):
        whole, _, decimals = f"{cell.number:,.6f}".partition(".")
        return f"${whole}.{decimals.rstrip('0').ljust(2, '0')}"
    if isinstance(cell, Value):
        return show(cell.number, cell.unit)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return show(cell, "")
    return cell


def range_text(quantity: Quantity) -> str:
    """Return "9.8 to 15.9": the ends, without the unit where all three numbers share it."""
    low, mid, high = (show(number, quantity.unit) for number in (quantity.low, quantity.mid, quantity.high))
    parts = [_UNIT.match(text) for text in (low, mid, high)]
    if all(part and parts[0] and part[2] == parts[0][2] for part in parts):
        low, high = (part[1] for part in (parts[0], parts[2]) if part)
    return f"{low} to {high}"


def has_range(cell: Cell) -> bool:
    """Whether the cell is an estimate with two different ends."""
    return isinstance(cell, Quantity) and not cell.is_exact


def cell_text(cell: Cell) -> str:
    """Return the whole cell on one line: middle, range and band."""
    text = mid_text(cell)
    if not isinstance(cell, Quantity) or cell.band == EXACT:
        return text
    if cell.is_exact:
        return f"{text} (no range known)" if cell.band == NO_RANGE else text
    return f"{text} ({range_text(cell)}, {cell.band})"


def is_number(cell: Cell) -> bool:
    """Whether the cell holds a number (so that it aligns right)."""
    return isinstance(cell, (Quantity, Value, int, float)) and not isinstance(cell, bool)
