"""Rent, reserve, buy or call an API: the same work over the same months, each way priced in full.

All accelerators of one kind are taken together. Renting pays for hours used. Reserving pays for N accelerators every
month of whole terms and rents what N cannot carry; the N that costs least is chosen. Buying pays for the peak number,
in whole machines, with servers, network, power and space; what the machines are still worth at the end is shown apart,
because it is not cash. An API is compared where the stage serves a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

from ..errors import FlopwiseError, InputError
from ..facts.budget_records import Renting, ServingWork, Terms
from ..facts.records import Accelerator
from ..frozen import dataclass
from ..quantity import Quantity, product, total
from .build import Budget, PlannedStage
from .context import HOURS_PER_MONTH, Context
from .owning import machine, whole_nodes, worth_after
from .training_stages import spot_factor

TERMS_OF_A_CONTRACT = (12, 36)


class Way(StrEnum):
    """How accelerators can be had."""

    ON_DEMAND = "rent on demand"
    SPOT = "rent on spot"
    RESERVE_12 = "reserve for 12 months"
    RESERVE_36 = "reserve for 36 months"
    BUY = "buy"
    API = "call an API"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way for one kind of accelerator. `usd` is cash in the months of the budget.

    `beyond_usd` is owed behind them, `worth_usd` what is owned is still worth at the end; `trouble` says why a way cannot
    be priced (then `usd` is None).
    """

    accelerator: Accelerator
    way: Way
    usd: Quantity | None
    beyond_usd: float
    worth_usd: Quantity | None
    what: str
    trouble: str = ""

    @property
    def net_usd(self) -> float:
        """Cash and what is owed, less what is still owned."""
        if self.usd is None:
            return math.inf
        return self.usd.mid + self.beyond_usd - (self.worth_usd.mid if self.worth_usd else 0.0)


@dataclass(frozen=True, slots=True)
class _Month:
    """What one kind of accelerator does in one month: at once, and hours of all of them."""

    count: float
    hours: float


def alternatives(budget: Budget) -> tuple[Alternative, ...]:
    """Return every way for every kind of accelerator that the budget uses; cheapest net of worth first."""
    found: list[Alternative] = []
    for accelerator, stages in _by_accelerator(budget):
        ways = list(_ways(accelerator, stages, budget))
        found += sorted(ways, key=lambda each: each.net_usd)
    return tuple(found)


def _by_accelerator(budget: Budget) -> Iterator[tuple[Accelerator, list[PlannedStage]]]:
    groups: dict[str, list[PlannedStage]] = {}
    chips: dict[str, Accelerator] = {}
    for planned in budget.stages:
        if planned.worked.demand:
            chip = planned.worked.demand.accelerator
            chips[chip.id] = chip
            groups.setdefault(chip.id, []).append(planned)
    for name, stages in groups.items():
        yield chips[name], stages


def _ways(accelerator: Accelerator, stages: list[PlannedStage], budget: Budget) -> Iterator[Alternative]:
    months = _months(stages, budget.file.months)
    hours = total("accelerator-hour", [planned.worked.demand.hours for planned in stages if planned.worked.demand])
    context = budget.context
    terms = stages[0].worked.renting
    assert terms is not None
    for way in Way:
        try:
            if way is Way.API:
                yield from _api(accelerator, stages, context)
            elif way is Way.BUY:
                yield _buy(accelerator, months, context)
            elif way in (Way.RESERVE_12, Way.RESERVE_36):
                yield _reserve(accelerator, way, months, hours, terms, context)
            else:
                yield _rent(accelerator, way, stages, hours, terms, context)
        except FlopwiseError as error:
            yield Alternative(
                accelerator=accelerator, way=way, usd=None, beyond_usd=0.0, worth_usd=None, what="", trouble=str(error)
            )


def _months(stages: list[PlannedStage], months: int) -> list[_Month]:
    """Return the load of each month: accelerators at once and their hours, all stages together."""
    found = [_Month(0.0, 0.0)] * months
    for planned in stages:
        demand, span = planned.worked.demand, planned.span
        assert demand is not None
        weights = demand.weights or (1.0,) * span.months
        for index, weight in enumerate(weights):
            hours = demand.hours.mid * weight / sum(weights)
            count = hours / HOURS_PER_MONTH if demand.serves else demand.count
            before = found[span.first + index]
            found[span.first + index] = _Month(before.count + count, before.hours + hours)
    return found


def _price(accelerator: Accelerator, plan: Terms, terms: Renting, context: Context) -> Quantity:
    """Return dollars per hour on a plan: the user's own price for on demand, else the price list."""
    from ..frozen import replace

    if plan is Terms.ON_DEMAND and accelerator.id in context.own_prices:
        from ..quantity import exact

        return exact(context.own_prices[accelerator.id], "usd", "given in the budget")
    asked = replace(terms, plan=plan, usd_per_hour=None)
    try:
        return context.list_price(asked, accelerator).usd
    except InputError:
        return context.list_price(replace(asked, cloud=None, cloud_class=None), accelerator).usd


def _rent(
    accelerator: Accelerator, way: Way, stages: list[PlannedStage], hours: Quantity, terms: Renting, context: Context
) -> Alternative:
    spot = way is Way.SPOT
    price = _price(accelerator, Terms.SPOT if spot else Terms.ON_DEMAND, terms, context)
    what = f"{hours.mid:,.0f} hours at ${price.mid:,.2f}"
    factors = [hours, price]
    if spot:
        count = max(planned.worked.demand.count for planned in stages if planned.worked.demand)
        extra = spot_factor(count, accelerator, context)
        factors.append(extra)
        what += f", {extra.mid - 1:.0%} more for interruptions"
        if any(planned.worked.demand and planned.worked.demand.serves for planned in stages):
            what += "; users notice every interruption"
    return Alternative(accelerator=accelerator, way=way, usd=_times(factors), beyond_usd=0.0, worth_usd=None, what=what)


def _reserve(
    accelerator: Accelerator, way: Way, months: list[_Month], hours: Quantity, terms: Renting, context: Context
) -> Alternative:
    term = 12 if way is Way.RESERVE_12 else 36
    rented = _price(accelerator, Terms.ON_DEMAND, terms, context)
    reserved, how = _reserved_price(accelerator, term, rented, terms, context)
    busy = [index for index, month in enumerate(months) if month.count]
    first, last = busy[0], busy[-1] + 1
    committed = -(-(last - first) // term) * term
    paid = min(committed, len(months) - first)
    counts = sorted({math.ceil(month.count) for month in months if month.count})

    def cash(n: int) -> tuple[float, float]:
        covered = sum(month.hours * min(1.0, n / month.count) for month in months if month.count)
        all_hours = sum(month.hours for month in months)
        return n * HOURS_PER_MONTH * reserved.mid, all_hours - covered

    best = min(counts, key=lambda n: cash(n)[0] * committed + cash(n)[1] * rented.mid)
    monthly, left = cash(best)
    parts = [reserved.scaled(best * HOURS_PER_MONTH * paid, "usd")]
    if left > 0:
        share = hours.scaled(left / hours.mid)
        parts.append(_times([share, rented]))
    what = f"{best:,} for {committed} months at ${reserved.mid:,.2f} ({how})"
    if left > 0:
        what += f", {left:,.0f} hours on demand on top"
    return Alternative(
        accelerator=accelerator,
        way=way,
        usd=total("usd", parts),
        beyond_usd=monthly * (committed - paid),
        worth_usd=None,
        what=what,
    )


def _reserved_price(
    accelerator: Accelerator, term: int, rented: Quantity, terms: Renting, context: Context
) -> tuple[Quantity, str]:
    """Return dollars per hour under contract: the price list's for 12 months, else on demand less a discount."""
    if term == TERMS_OF_A_CONTRACT[0]:
        try:
            return _price(accelerator, Terms.RESERVED, terms, context), "reserved offers, terms differ"
        except InputError:
            pass
    discount = context.default(f"reserved_discount_{term}_months")
    rest = Quantity(1 - discount.high, 1 - discount.mid, 1 - discount.low, "", "80 %", discount.basis)
    return _times([rented, rest]), f"on demand less {discount.mid:.0%}"


def _buy(accelerator: Accelerator, months: list[_Month], context: Context) -> Alternative:
    peak = max(month.count for month in months)
    first = next(index for index, month in enumerate(months) if month.count)
    count = whole_nodes(peak, accelerator)
    kept = len(months) - first
    owned = machine(accelerator, context, None, None)
    use = sum(month.hours for month in months) / (count * kept * HOURS_PER_MONTH)
    idle = context.default("idle_power").mid
    drawn = idle + (1 - idle) * min(1.0, use)  # of full power
    power = _times([owned.kw, owned.usd_per_kwh]).scaled(count * kept * HOURS_PER_MONTH * drawn)
    space = _times([owned.kw, owned.usd_per_kw_month]).scaled(count * float(kept))
    purchase = owned.purchase_usd.scaled(count)
    return Alternative(
        accelerator=accelerator,
        way=Way.BUY,
        usd=total("usd", (purchase, power, space)),
        beyond_usd=0.0,
        worth_usd=worth_after(purchase, kept, context),
        what=f"{count:,} for ${purchase.mid:,.0f}, power and space ${power.mid + space.mid:,.0f}; busy {use:.0%}; "
        "nobody is paid to run them",
    )


def _api(accelerator: Accelerator, stages: list[PlannedStage], context: Context) -> Iterator[Alternative]:
    """Yield the API for the serving stages among `stages`: the public model nearest in size and kind."""
    from ..facts.other_prices import load_other_prices

    tokens = [planned for planned in stages if planned.worked.api_tokens]
    if not tokens:
        return
    into = math.fsum(planned.worked.api_tokens[0] for planned in tokens if planned.worked.api_tokens)
    out = math.fsum(planned.worked.api_tokens[1] for planned in tokens if planned.worked.api_tokens)
    moves = context.default("api_price")
    prices = [price for price in load_other_prices().tokens]
    costs = sorted(((price.input_usd * into + price.output_usd * out) / 1e6, price.model) for price in prices)
    cheap, mid, dear = costs[len(costs) // 10], costs[len(costs) // 2], costs[-1 - len(costs) // 10]
    usd = Quantity(cheap[0] * moves.low, mid[0], dear[0] * moves.high, "usd", "80 %", f"{len(costs)} models' prices")
    served = [planned.stage.work.model for planned in tokens if isinstance(planned.stage.work, ServingWork)]
    others = len(stages) - len(tokens)
    yield Alternative(
        accelerator=accelerator,
        way=Way.API,
        usd=usd,
        beyond_usd=0.0,
        worth_usd=None,
        what=f"serving of {', '.join(str(name) for name in served)} only; {cheap[1]} to {dear[1]}, middle {mid[1]}; "
        "other models answer differently"
        + (f"; {others} training stages would still need accelerators" if others else ""),
    )


def _times(factors: list[Quantity]) -> Quantity:
    """Return a product in dollars; a factor without a basis for a range counts as exact there."""
    from ..frozen import replace

    known = [replace(each, band="exact") if each.is_exact else each for each in factors]
    return product("usd", known)
