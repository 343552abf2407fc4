"""How far a budget may be off, and why: every driver drawn together (bands), and each moved alone (tornado).

Every line is amount x price. An amount moves with its driver (the speed of a stage, the demand of a product), a price
with its key; lines of one driver or one price move together, different ones apart. A driver is log-normal in two
pieces around its middle: its low and high ends are the 10th and 90th percentile.

    line in one draw = line x exp(z_d / 1.2816 ln(end_d / mid_d)) x exp(z_p / 1.2816 ln(end_p / mid_p))

The middle of a budget is the sum of the middles. Ranges lean upwards (runs fail, prices spread), so the median of the
draws lies above it; both are shown. Contingency is money set aside, not spent: the bands are those of the spending,
and the chance that the total with contingency suffices says what it is worth. Draws are seeded: the same file gives
the same bands.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache

from ..facts.budget_records import Funding
from ..frozen import dataclass
from ..quantity import EXACT, Quantity
from .build import Budget
from .lines import Line

DRAWS = 1000
_SEED = 20261124
_P90 = 1.2815515655446004  # standard normal
_LEAST = 0.02  # of the middle; a range that begins at nothing has no logarithm


@dataclass(frozen=True, slots=True)
class Swing:
    """One input moved alone: the spending at its low and high end, in cents; `what` is the driver or the price."""

    what: str
    low_cents: int
    high_cents: int

    @property
    def width_cents(self) -> int:
        """How much the spending moves from end to end."""
        return abs(self.high_cents - self.low_cents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """Bands of the spending without contingency. `stages` by name; `months` of the cumulative spending."""

    spend: Quantity
    median_usd: float
    stages: dict[str, Quantity]
    months: tuple[Quantity, ...]
    swings: tuple[Swing, ...]
    chance_within: float  # that spending stays within the total, contingency included
    runway: Quantity | None  # months until the cash is gone; None without funding
    runway_ends: float | None  # share of the draws in which the cash is gone before the end


@dataclass(frozen=True, slots=True)
class _Group:
    """Lines of one stage with one driver and one price."""

    stage: str
    driver: int
    price: int
    amount: tuple[float, float]  # logarithms of low / mid and high / mid, over 1.2816
    usd: tuple[float, float]
    cents: int
    by_month: tuple[int, ...]


def uncertainty(budget: Budget) -> Uncertainty:
    """Return the bands of a budget, its swings, and the chance that its money suffices."""
    names, groups = _groups(budget.lines)
    draws = _draws(len(names))
    months = budget.file.months
    stages = [planned.stage.name for planned in budget.stages]
    totals: list[float] = []
    by_stage: dict[str, list[float]] = {name: [] for name in stages}
    cumulative: list[list[float]] = []
    for draw in draws:
        month_sums = [0.0] * months
        sums = dict.fromkeys(stages, 0.0)
        for group in groups:
            factor = _factor(group, draw[group.driver], draw[group.price])
            sums[group.stage] += group.cents * factor
            for month, cents in enumerate(group.by_month):
                if cents:
                    month_sums[month] += cents * factor
        paid, row = 0.0, []
        for spent in month_sums:
            paid += spent
            row.append(paid)
        cumulative.append(row)
        totals.append(paid)
        for name, value in sums.items():
            by_stage[name].append(value)
    spend = budget.spend_cents
    runs = [_runway(row, budget.file.funding, months) for row in cumulative] if budget.file.funding else []
    return Uncertainty(
        spend=_band(totals, spend, "drivers and prices drawn together"),
        median_usd=sorted(totals)[len(totals) // 2] / 100,
        stages={
            planned.stage.name: _band(
                by_stage[planned.stage.name], sum(line.cents for line in planned.lines), "drawn together"
            )
            for planned in budget.stages
        },
        months=tuple(
            _band([row[month] for row in cumulative], _paid_until(budget, month), "cumulative spending")
            for month in range(months)
        ),
        swings=_swings(names, groups, spend),
        chance_within=sum(total <= budget.cents + 0.5 for total in totals) / len(totals),
        runway=_runway_band(runs, budget) if budget.file.funding else None,
        runway_ends=sum(run < months for run in runs) / len(runs) if runs else None,
    )


def runway_months(budget: Budget) -> float | None:
    """Return the months until the cash is gone by the middle of the spending, `months` where it lasts to the end."""
    if budget.file.funding is None:
        return None
    paid = [float(_paid_until(budget, month)) for month in range(budget.file.months)]
    return _runway(paid, budget.file.funding, budget.file.months)


def cash_in(funding: Funding, months: int) -> tuple[int, ...]:
    """Return the cents that come in each month; the cash at the start counts to the first."""
    found = [round(funding.monthly_income_usd * 100)] * months
    found[0] += round(funding.cash_usd * 100)
    for each in funding.raises:
        found[each.month] += round(each.usd * 100)
    return tuple(found)


def _paid_until(budget: Budget, month: int) -> int:
    return sum(sum(line.by_month[: month + 1]) for line in budget.lines)


def _groups(lines: Sequence[Line]) -> tuple[list[str], list[_Group]]:
    """Return the names of all drivers and prices, and the lines joined where both are the same."""
    places: dict[str, int] = {}
    joined: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        amount, usd = _logs(line.amount), _logs(line.price.usd)
        driver = places.setdefault(line.driver, len(places))
        price = places.setdefault(f"price: {line.price.key}", len(places))
        joined.setdefault((line.stage, driver, price, amount, usd), []).append(line)
    groups = [
        _Group(
            stage,  # type: ignore[arg-type]
            driver,  # type: ignore[arg-type]
            price,  # type: ignore[arg-type]
            amount,  # type: ignore[arg-type]
            usd,  # type: ignore[arg-type]
            sum(line.cents for line in held),
            tuple(sum(cents) for cents in zip(*(line.by_month for line in held), strict=True)),
        )
        for (stage, driver, price, amount, usd), held in joined.items()
    ]
    return list(places), groups


def _logs(quantity: Quantity) -> tuple[float, float]:
    if quantity.is_exact or quantity.mid <= 0:
        return 0.0, 0.0
    low = max(quantity.low / quantity.mid, _LEAST)
    return math.log(low) / _P90, math.log(quantity.high / quantity.mid) / _P90


def _factor(group: _Group, driver: float, price: float) -> float:
    """Return what a group costs over its middle, at two standard normal numbers."""
    power = -driver * group.amount[0] if driver < 0 else driver * group.amount[1]
    power += -price * group.usd[0] if price < 0 else price * group.usd[1]
    return math.exp(power) if power else 1.0


@lru_cache(maxsize=4)
def _draws(count: int) -> list[list[float]]:
    source = random.Random(_SEED)
    return [[source.gauss(0.0, 1.0) for _ in range(count)] for _ in range(DRAWS)]


def _swings(names: Sequence[str], groups: Sequence[_Group], spend: int) -> tuple[Swing, ...]:
    """Return every input moved alone, widest first."""
    found = []
    for place, name in enumerate(names):
        ends = []
        for z in (-_P90, _P90):
            moved = sum(
                group.cents
                * (_factor(group, z if group.driver == place else 0.0, z if group.price == place else 0.0) - 1)
                for group in groups
                if place in (group.driver, group.price)
            )
            ends.append(round(spend + moved))
        if ends[0] != ends[1]:
            found.append(Swing(name, ends[0], ends[1]))
    return tuple(sorted(found, key=lambda swing: -swing.width_cents))


def _band(values: Sequence[float], mid_cents: int, basis: str) -> Quantity:
    """Return the 10th and 90th percentile around the middle, in dollars."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 10] / 100, ordered[-len(ordered) // 10] / 100
    mid = mid_cents / 100
    if high - low < 0.01:
        return Quantity(mid, mid, mid, "usd", EXACT, "nothing in it has a range")
    return Quantity(min(low, mid), mid, max(high, mid), "usd", "80 %", basis)


def _runway(paid: Sequence[float], funding: Funding | None, months: int) -> float:
    """Return the months until what was paid is more than what came in; `months` where that does not happen."""
    assert funding is not None
    came = 0.0
    before = 0.0
    for month, (income, until) in enumerate(zip(cash_in(funding, months), paid, strict=True)):
        came += income
        if until > came + 0.5:
            spent = until - before
            return month + max(0.0, min(1.0, (came - before) / spent)) if spent else float(month)
        before = until
    return float(months)


def _runway_band(runs: Sequence[float], budget: Budget) -> Quantity:
    mid = runway_months(budget)
    assert mid is not None
    ordered = sorted(runs)
    low, high = ordered[len(ordered) // 10], ordered[-len(ordered) // 10]
    if low == high == mid:
        return Quantity(mid, mid, mid, "months", EXACT, "the same in nearly all draws")
    return Quantity(min(low, mid), mid, max(high, mid), "months", "80 %", "drivers and prices drawn together")
