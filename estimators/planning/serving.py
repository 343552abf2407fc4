"""What serving a model of any size costs, on the cheapest suitable chip: the serving model's dollars, not 2 N FLOP.

    v(N) = dollars per token;   served(N) = v(N) x tokens to serve;   elasticity e = d ln v / d ln N

The serving model is asked at a few sizes, a factor of four apart, for every chip that could serve; between two of them
v is a power law, which is what the search for a size uses. Worked-out options ask the serving model itself, on the chips
that win at the two sizes around theirs. Suitable are chips that measured serving rows back, of the usual makes, at the
sellers and terms of the plan (spot is no place to serve: on demand instead); a chip that was asked for serves as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import FlopwiseError, InputError
from ..facts.plan_defaults import PlanDefaults
from ..facts.records import PricePlan
from ..facts.serving_fit import load_serving_fit
from ..frozen import dataclass, replace
from ..models.shape import ModelShape
from ..quantity import Quantity
from ..serving.money import MILLION
from ..serving.unit_cost import UnitCost, unit_cost
from .hardware import Offer, offers, offers_of
from .shapes import shape_of

if TYPE_CHECKING:
    from ..facts.catalog import Catalog
    from .request import PlanRequest

_STEP = 4.0  # between the sizes that are asked
_FIRST, _LAST = 12, 20  # powers of it that shapes are made for: 17M to 1.1T
_ALL_TRIED, _SHORT = 16, 5  # at 4.3B every chip is tried, elsewhere the best of there; others win nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The chip that serves, on its terms, and its cost per million tokens."""

    offer: Offer
    cost: UnitCost

    def usd_for(self, tokens: float) -> Quantity:
        """Return the cost of serving so many tokens, read and written."""
        return self.cost.per_million().scaled(tokens / MILLION)


class ServingPrices:
    """Dollars per token by size, for one question; every answer is kept. `offers` are the suitable chips."""

    __slots__ = ("_exact", "_found", "_shape", "offers")

    def __init__(self, found: tuple[Offer, ...], shape: ModelShape | None) -> None:
        self.offers, self._shape = found, shape
        self._found: dict[int, tuple[Served, ...]] = {}
        self._exact: dict[float, Served] = {}

    def usd_per_token(self, params: float) -> float:
        """Return the middle cost at a size, between the sizes that were asked."""
        if self._shape:
            return self.at(params).cost.usd / MILLION
        low, high, share = self._around(params)
        return math.exp((1 - share) * math.log(low.cost.usd) + share * math.log(high.cost.usd)) / MILLION

    def elasticity(self, params: float) -> float:
        """Return by how many percent the cost rises for one percent of size."""
        if self._shape:
            return 1.0
        low, high, _ = self._around(params)
        # Never quite flat, so that the search stays inside its bounds.
        return max(0.05, math.log(high.cost.usd / low.cost.usd) / math.log(_STEP))

    def at(self, params: float) -> Served:
        """Return the serving model's own answer at a size.

        Raises:
            InputError: no suitable chip holds the model.
        """
        if params not in self._exact:
            offered = self.offers
            if self._shape is None:
                low, high, _ = self._around(params)
                offered = tuple({id(each.offer): each.offer for each in (low, high)}.values())
            self._exact[params] = _all(self._shape or shape_of(params), offered)[0]
        return self._exact[params]

    def _around(self, params: float) -> tuple[Served, Served, float]:
        place = math.log(params, _STEP)
        index = min(max(math.floor(place), _FIRST), _LAST - 1)  # beyond, the last power law goes on
        return self._at_step(index)[0], self._at_step(index + 1)[0], place - index

    def _at_step(self, index: int) -> tuple[Served, ...]:
        """Return the chips at the size of a step, the cheapest first."""
        if index not in self._found:
            shortlist = self.offers if index == _ALL_TRIED else self._shortlist()
            try:
                found = _all(shape_of(_STEP**index), shortlist)
            except InputError:  # it holds no chip large enough
                found = _all(shape_of(_STEP**index), self.offers)
            self._found[index] = found
        return self._found[index]

    def _shortlist(self) -> tuple[Offer, ...]:
        """Return the chips that can be the cheapest."""
        return tuple(each.offer for each in self._at_step(_ALL_TRIED)[:_SHORT])


def serving_prices(
    catalog: Catalog, request: PlanRequest, defaults: PlanDefaults, shape: ModelShape | None
) -> ServingPrices:
    """Return the prices of serving for a request.

    Raises:
        InputError: no suitable chip is priced.
    """
    terms = PricePlan.ON_DEMAND if request.price_plan in (None, PricePlan.SPOT) else request.price_plan
    asked = replace(request, price_plan=terms, accelerators=None, max_accelerators=None)
    found: list[Offer] = []
    if request.accelerator:
        found += _cheapest_terms(offers(catalog, asked, defaults))
    else:
        chips = (catalog.accelerators[name] for name in catalog.priced if name in load_serving_fit().chips)
        for chip in chips:
            if chip.vendor in defaults.hardware.vendors:
                found += _cheapest_terms(tuple(offers_of(catalog, chip, terms, asked, defaults)))
    if not found:
        raise InputError(
            "--inference-tokens: no chip that serves has a price on these terms; name one (--accelerator)."
        )
    return ServingPrices(tuple(found), shape)


def _cheapest_terms(found: tuple[Offer, ...]) -> list[Offer]:
    return [min(found, key=lambda each: each.usd_per_hour.mid)] if found else []


def _all(shape: ModelShape, offered: tuple[Offer, ...]) -> tuple[Served, ...]:
    """Return the chips that hold the model, those that meet the latency targets first, then by cost."""
    made: list[Served] = []
    for offer in offered:
        try:
            cost = unit_cost(shape, offer.accelerator, offer.usd_per_hour)
        except FlopwiseError:
            continue
        made.append(Served(offer=offer, cost=cost))
    if not made:
        raise InputError(f"no suitable chip serves {shape.name}.")
    return tuple(sorted(made, key=lambda each: (not each.cost.meets_targets, each.cost.usd)))
