"""One line of data money: a quantity times a unit cost, with source, year and range, in whole cents.

The range of a product is that of independent factors (quantity.product). Totals are sums of cents at each end, so that
they equal the printed lines to the cent; at the ends this is the wide choice, as if all lines went wrong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from ..facts.datacosts import BAND, Rate
from ..frozen import dataclass
from ..quantity import EXACT, Quantity, product

CENTS = 100
HOUR = 3600.0


class Group(StrEnum):
    """What a line pays for."""

    ACQUIRE = "acquire"
    CLEAN = "clean"
    LABEL = "label"
    SYNTHESIZE = "synthesize"
    TRANSCRIBE = "transcribe"
    STORE = "store"
    MOVE = "move"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """`quantity` in `unit_cost.unit`'s own unit over `per`; `people_s` and `calendar_s` where people or time are needed."""

    name: str
    what: str
    group: Group
    quantity: Quantity
    unit_cost: Rate
    per: float  # units that the unit cost is for (1,000 pages, a million tokens)
    usd: Quantity
    cents: tuple[int, int, int]  # low, mid, high
    people_s: Quantity | None = None
    calendar_s: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over lines: dollars to the cent, hours of people, and the longest of the calendars."""

    cents: tuple[int, int, int]
    people_s: Quantity
    calendar_s: Quantity

    @property
    def usd(self) -> Quantity:
        """The sum in dollars."""
        low, mid, high = (value / CENTS for value in self.cents)
        return Quantity(low, mid, high, "usd", EXACT if low == high else BAND, "sum of the lines")


def line(
    name: str,
    what: str,
    group: Group,
    quantity: Quantity,
    unit_cost: Rate,
    *,
    per: float = 1.0,
    people_s: Quantity | None = None,
    calendar_s: Quantity | None = None,
) -> CostLine:
    """Return the line; its dollars are quantity x unit cost / per."""
    usd = product("usd", (quantity, unit_cost.quantity)).scaled(1 / per)
    low, mid, high = (round(value * CENTS) for value in (usd.low, usd.mid, usd.high))
    return CostLine(
        name=name,
        what=what,
        group=group,
        quantity=quantity,
        unit_cost=unit_cost,
        per=per,
        usd=usd,
        cents=(low, mid, high),
        people_s=people_s,
        calendar_s=calendar_s,
    )


def totals(lines: Iterable[CostLine]) -> Totals:
    """Return the sums."""
    lines = tuple(lines)
    cents = tuple(sum(each.cents[i] for each in lines) for i in range(3))
    people = [each.people_s for each in lines if each.people_s]
    calendars = [each.calendar_s for each in lines if each.calendar_s]
    return Totals(
        (cents[0], cents[1], cents[2]),
        _three([(q.low, q.mid, q.high) for q in people], sum, "hours of the lines"),
        _three([(q.low, q.mid, q.high) for q in calendars], max, "the longest line; lines run side by side"),
    )


def _three(rows: list[tuple[float, float, float]], join: object, basis: str) -> Quantity:
    if not rows:
        return Quantity(0.0, 0.0, 0.0, "s", EXACT, basis)
    low, mid, high = (join(row[i] for row in rows) for i in range(3))  # type: ignore[operator]
    return Quantity(low, mid, high, "s", EXACT if low == high else BAND, basis)


def given(value: float, unit: str, basis: str = "given") -> Quantity:
    """Return a quantity that the user gave."""
    return Quantity(value, value, value, unit, EXACT, basis)


def times(unit: str, *factors: Quantity) -> Quantity:
    """Return a product of ranged quantities."""
    return product(unit, factors)


def over(unit: str, numerator: Quantity, divisor: Rate) -> Quantity:
    """Return numerator / divisor; ranges add in quadrature."""
    inverse = Quantity(
        1 / divisor.high, 1 / divisor.value, 1 / divisor.low, unit, divisor.quantity.band, divisor.quantity.basis
    )
    return product(unit, (numerator, inverse))
