"""The lines of a budget: an amount times a price, in whole cents, spread over months so that every sum agrees.

    line    = round(amount x price)                                  half a cent up, in decimal arithmetic
    month m = round(line x C[m]) - round(line x C[m - 1])            C the share paid until then, C[last] = 1
    reserve = the same of (contingency share x what the stage has paid until then)

Both sums telescope: months add up to the line, whatever was rounded. A spreadsheet computes the same with ROUND, which
is why amounts, prices and shares are cut to a fixed number of decimals first.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from ..frozen import dataclass, replace
from ..quantity import Quantity

AMOUNT_PLACES, PRICE_PLACES, SHARE_PLACES = 4, 6, 8
MOST_USD = 1e12  # of a line: a number with cents that every format still holds exactly
_CENT = Decimal("0.01")


class Category(StrEnum):
    """What money is spent on, across stages."""

    TRAINING = "training compute"
    SERVING = "serving compute"
    API = "model APIs"
    DATA = "data"
    PEOPLE = "people"
    HARDWARE = "hardware"
    POWER = "power and space"
    OTHER = "other"
    CONTINGENCY = "contingency"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceInput:
    """A price that lines use: dollars per `unit`, with range, date and source. `key` names it once for all."""

    key: str
    usd: Quantity
    unit: str
    date: str
    source: str
    is_guess: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A line before its months are known. `weights` spread it over the months of its stage; None: evenly.

    `driver` names what moves the amount ("speed of pre-training"): lines of one driver move together.
    """

    item: str
    category: Category
    amount: Quantity
    price: PriceInput
    driver: str
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: `cents` is their sum over `by_month`; `until` the cumulative share paid up to each month."""

    stage: str
    item: str
    category: Category
    amount: Quantity
    price: PriceInput
    driver: str
    until: tuple[float, ...]
    cents: int
    by_month: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """The contingency of one stage: a share of what it pays, month by month."""

    stage: str
    share: float
    cents: int
    by_month: tuple[int, ...]


def cut(value: float, places: int) -> float:
    """Return a number with at most so many decimals, the shortest that prints so."""
    return float(f"{value:.{places}f}")


def cut_amount(quantity: Quantity) -> Quantity:
    """Return an amount whose middle has at most four decimals; a positive one never becomes zero."""
    mid = cut(quantity.mid, AMOUNT_PLACES) or (10.0**-AMOUNT_PLACES if quantity.mid > 0 else 0.0)
    return replace(quantity, mid=mid, low=min(quantity.low, mid), high=max(quantity.high, mid))


def cut_price(usd: Quantity) -> Quantity:
    """Return a price whose middle has at most six decimals."""
    mid = cut(usd.mid, PRICE_PLACES)
    return replace(usd, mid=mid, low=min(usd.low, mid), high=max(usd.high, mid))


def cents_of(amount: float, price: float) -> int:
    """Return amount x price in cents, half a cent up.

    >>> cents_of(3, 0.335)
    101
    """
    return rounded(Decimal(repr(amount)) * Decimal(repr(price)))


def rounded(usd: Decimal) -> int:
    """Return dollars in whole cents, half a cent up (away from zero)."""
    return int(usd.quantize(_CENT, rounding=ROUND_HALF_UP).scaleb(2))


def until_of(weights: tuple[float, ...]) -> tuple[float, ...]:
    """Return cumulative shares of monthly weights; the last is exactly 1."""
    total = sum(weights)
    running, found = 0.0, []
    for weight in weights:
        running += weight
        found.append(cut(running / total, SHARE_PLACES))
    last = max(index for index, weight in enumerate(weights) if weight > 0)
    return tuple(1.0 if index >= last else share for index, share in enumerate(found))


def by_month(cents: int, until: tuple[float, ...]) -> tuple[int, ...]:
    """Return the cents of each month; they add up to `cents`."""
    usd = Decimal(cents).scaleb(-2)
    steps = [rounded(usd * Decimal(repr(share))) for share in until]
    return tuple(now - before for before, now in zip((0, *steps), steps, strict=False))


def line_of(draft: Draft, stage: str, weights: tuple[float, ...]) -> Line:
    """Return the line of a draft whose `weights` span all months of the budget."""
    amount, price = cut_amount(draft.amount), replace(draft.price, usd=cut_price(draft.price.usd))
    until = until_of(weights)
    cents = cents_of(amount.mid, price.usd.mid)
    return Line(
        stage=stage,
        item=draft.item,
        category=draft.category,
        amount=amount,
        price=price,
        driver=draft.driver,
        until=until,
        cents=cents,
        by_month=by_month(cents, until),
    )


def reserve_of(stage: str, share: float, paid: tuple[int, ...]) -> Reserve:
    """Return the contingency on what a stage pays each month (cents)."""
    kept, running, before, months = Decimal(repr(cut(share, 6))), 0, 0, []
    for cents in paid:
        running += cents
        now = rounded(kept * Decimal(running).scaleb(-2))
        months.append(now - before)
        before = now
    return Reserve(stage=stage, share=cut(share, 6), cents=before, by_month=tuple(months))
