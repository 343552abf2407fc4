"""What an accelerator costs an hour, as a low, a middle and a high price, with every offer behind them and its date.

One chip costs two to five times more at one seller than at another, so one number would mislead. A quote takes one
price per cloud and describes their spread; asking for a class of sellers, a cloud or a plan narrows it:

    several clouds   the middle is the median; five or more: low and high are the 10th and 90th percentile (linear
                     between ranks), fewer: the lowest and the highest
    one cloud        low is its lowest offer, high its highest (or the median over its regions, where that is higher)

The price of a cloud is its lowest region: a job can go there. For spot it is the median over regions, because the
lowest one is rarely free.

What is known to mislead is left out, and listed with the reason: offers kept to show the trend, and offers more than
90 days older than the newest of the same cloud; means over mixed listings where the seller's own price is known;
prices without the host machine; and our offers where the user's overlay prices the same cloud and plan.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from enum import StrEnum

from ..errors import InputError
from ..facts.catalog import Catalog
from ..facts.records import CloudClass, Price, PricePlan
from ..facts.schema import first_day
from ..frozen import dataclass
from ..quantity import Given, Quantity, Step, exact, unranged

STALE_AFTER_DAYS = 90  # the house rule: money older than this is marked
BAND = "80 %"
UNIT = "usd_per_accelerator_hour"
_ENOUGH_FOR_PERCENTILES = 5
_FAR = 5.0


@dataclass(frozen=True, slots=True)
class CloudPrice:
    """What one cloud asks, in US dollars per accelerator-hour, and the offers that say so."""

    cloud: str
    cloud_class: CloudClass
    low_usd: float
    mid_usd: float
    high_usd: float
    prices: tuple[Price, ...]


class Reason(StrEnum):
    """Why an offer that matches the question does not count."""

    OVERLAY = "your overlay prices this cloud and plan"
    TREND = "kept to show the trend; the seller has a newer price"
    OLDER = f"more than {STALE_AFTER_DAYS} days older than the newest price of the cloud"
    AVERAGED = "a mean over listings; the seller's own price is known"
    NO_HOST = "the host machine is not in it"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An offer that matches the question and does not count, and why."""

    price: Price
    reason: Reason


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer: `usd_per_hour` is for one accelerator; `clouds` are cheapest first."""

    accelerator: str
    plan: PricePlan
    cloud: str | None
    cloud_class: CloudClass | None
    usd_per_hour: Quantity
    clouds: tuple[CloudPrice, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    @property
    def prices(self) -> tuple[Price, ...]:
        """The offers that count."""
        return tuple(price for cloud in self.clouds for price in cloud.prices)

    @property
    def oldest(self) -> str:
        """The date of the oldest offer that counts; of a bracket its start."""
        return min((price.date_from for price in self.prices), key=first_day)

    @property
    def newest(self) -> str:
        """The date of the newest offer that counts."""
        return max((price.date_from for price in self.prices), key=first_day)

    def age_days(self, today: datetime.date) -> int:
        """Return the age of the newest offer that counts, in days; never below 0."""
        return max(0, (today - first_day(self.newest)).days)

    def stale(self, today: datetime.date) -> tuple[Price, ...]:
        """Return the offers that count although they are older than 90 days (or may be: brackets)."""
        return tuple(price for price in self.prices if is_stale(price, today))

    def notes(self, today: datetime.date) -> tuple[str, ...]:
        """Return what a reader must be told: the warnings, and how old the prices are."""
        stale = self.stale(today)
        if not stale:
            return self.warnings
        count, all_of = len(stale), len(self.prices)
        which = (
            "The price" if all_of == 1 else f"All {all_of} prices" if count == all_of else f"{count} of {all_of} prices"
        )
        age = f"{which} of {self.accelerator} may be older than {STALE_AFTER_DAYS} days (oldest {self.oldest})."
        return (*self.warnings, age)

    def step(self, describe: Callable[[str], str] = str) -> Step:
        """Return the line of `--explain`; `describe` turns a source code into words."""
        inputs = tuple(
            Given(cloud.cloud, cloud.mid_usd, UNIT, "; ".join(f"{describe(p.source)}, {p.date}" for p in cloud.prices))
            for cloud in self.clouds
        )
        formula = "median of one price per cloud" if len(inputs) > 1 else "the cloud's price"
        return Step("usd_per_hour", formula, inputs, self.usd_per_hour.mid, UNIT, self.usd_per_hour.basis)


def quote(
    catalog: Catalog,
    accelerator_id: str,
    *,
    plan: PricePlan = PricePlan.ON_DEMAND,
    cloud: str | None = None,
    cloud_class: CloudClass | None = None,
    without: CloudClass | None = None,
) -> Quote:
    """Return what one accelerator costs an hour.

    Args:
        catalog: the offers.
        accelerator_id: an id of the catalog (resolve what was typed with `Catalog.find`).
        plan: on-demand, spot or reserved.
        cloud: only this cloud, as typed; a seller's name means all its brands.
        cloud_class: only sellers of this class.
        without: no sellers of this class (marketplaces rent single machines, which a cluster cannot be made of).

    Raises:
        InputError: no offer matches; says what there is instead.
        UnknownName: `cloud` is not known.
    """
    offers = catalog.prices_of(accelerator_id)
    if not offers:
        raise InputError(_no_price_at_all(catalog, accelerator_id))
    asked = catalog.find_cloud(cloud) if cloud else None
    if asked and cloud_class and asked.cloud_class is not cloud_class:
        raise InputError(f"{asked.name} is a {asked.cloud_class}, not a {cloud_class}; ask for one of the two.")
    matching = [
        offer
        for offer in offers
        if offer.plan is plan
        and (asked is None or asked.name in (offer.cloud, catalog.clouds[offer.cloud].seller))
        and (cloud_class is None or offer.cloud_class is cloud_class)
        and offer.cloud_class is not without
    ]
    if not matching:
        raise InputError(
            _no_such_price(catalog, accelerator_id, offers, plan, asked.name if asked else None, cloud_class)
        )
    kept, left_out = _current(catalog, matching)
    clouds = sorted((_price_of_cloud(plan, group) for group in _grouped(kept)), key=lambda one: one.mid_usd)
    gpu_only = [price for price in kept if price.covers == "GPU only"]
    warnings = (
        [f"The price of {gpu_only[0].cloud} covers the accelerator only; add the host machine."] if gpu_only else []
    )
    if all(price.averaged for price in kept):
        warnings.append(
            f"Only means over listings are known for {accelerator_id} here; they can mix variants and terms."
        )
    return Quote(
        accelerator=accelerator_id,
        plan=plan,
        cloud=asked.name if asked else None,
        cloud_class=cloud_class,
        usd_per_hour=_spread(clouds, ours=not any(price.origin in catalog.overlays for price in kept)),
        clouds=tuple(clouds),
        left_out=tuple(left_out),
        warnings=tuple(warnings),
    )


def is_stale(price: Price, today: datetime.date) -> bool:
    """Whether a price is, or may be, older than 90 days."""
    return (today - first_day(price.date_from)).days > STALE_AFTER_DAYS


def far_from_others(price: Price, others: Sequence[Price]) -> str:
    """Say so where a price is more than five times away from all others on its terms; empty where it is not.

    That is mostly the price of a whole machine, or cents for dollars; the spread of true prices is two to five.
    """
    peers = [one.usd_per_hour for one in others if one.plan is price.plan and one.origin != price.origin]
    if not peers or min(peers) / _FAR <= price.usd_per_hour <= max(peers) * _FAR:
        return ""
    return (
        f"{price.origin}: {price.usd_per_hour:g} an hour for one {price.accelerator} at {price.cloud} is more than "
        f"{_FAR:g} times away from all other {price.plan} prices ({min(peers):g} to {max(peers):g}); is it for one "
        "accelerator?"
    )


def percentile(values: Sequence[float], fraction: float) -> float:
    """Return the value at `fraction` of sorted `values`, linear between ranks."""
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _current(catalog: Catalog, offers: Sequence[Price]) -> tuple[list[Price], list[LeftOut]]:
    """Split offers into those that count and those that do not, each rule on what the one before it kept."""
    left_out: list[LeftOut] = []

    def keep(kept: Sequence[Price], drop: Callable[[Price], bool], reason: Reason) -> list[Price]:
        left_out.extend(LeftOut(price, reason) for price in kept if drop(price))
        return [price for price in kept if not drop(price)]

    def seller(price: Price) -> str:
        return catalog.clouds[price.cloud].seller

    layers = {name: rank for rank, name in enumerate(catalog.overlays, start=1)}
    top: dict[str, int] = {}
    for price in offers:
        top[price.cloud] = max(top.get(price.cloud, 0), layers.get(price.origin, 0))
    kept = keep(offers, lambda price: layers.get(price.origin, 0) < top[price.cloud], Reason.OVERLAY)
    fresh = {seller(price) for price in kept if not price.trend}
    kept = keep(kept, lambda price: price.trend and seller(price) in fresh, Reason.TREND)
    newest: dict[str, datetime.date] = {}
    for price in kept:
        day = first_day(price.date_from)
        newest[price.cloud] = max(newest.get(price.cloud, day), day)
    kept = keep(
        kept,
        lambda price: (newest[price.cloud] - first_day(price.date_from)).days > STALE_AFTER_DAYS,
        Reason.OLDER,
    )
    direct = {seller(price) for price in kept if not price.averaged}
    kept = keep(kept, lambda price: price.averaged and seller(price) in direct, Reason.AVERAGED)
    if any(price.covers != "GPU only" for price in kept):
        kept = keep(kept, lambda price: price.covers == "GPU only", Reason.NO_HOST)
    return kept, left_out


def _grouped(prices: Sequence[Price]) -> list[list[Price]]:
    groups: dict[str, list[Price]] = {}
    for price in prices:
        groups.setdefault(price.cloud, []).append(price)
    return list(groups.values())


def _price_of_cloud(plan: PricePlan, prices: Sequence[Price]) -> CloudPrice:
    lowest = [price.usd_per_hour for price in prices]
    typical = [price.median_usd_per_hour or price.usd_per_hour for price in prices]
    mid = percentile(typical if plan is PricePlan.SPOT else lowest, 0.5)
    return CloudPrice(prices[0].cloud, prices[0].cloud_class, min(lowest), mid, max(*typical, mid), tuple(prices))


def _spread(clouds: Sequence[CloudPrice], *, ours: bool) -> Quantity:
    """Describe the clouds' prices as one quantity."""
    mids = [cloud.mid_usd for cloud in clouds]
    if len(clouds) == 1:
        low, mid, high = clouds[0].low_usd, clouds[0].mid_usd, clouds[0].high_usd
        basis = f"regions and sizes of {clouds[0].cloud}"
        if low == high:
            one = f"one price of {clouds[0].cloud}"
            return (
                unranged(mid, UNIT, f"{one}, no spread known")
                if ours
                else exact(mid, UNIT, f"{one}, from your overlay")
            )
    elif len(clouds) < _ENOUGH_FOR_PERCENTILES:
        low, mid, high = min(mids), percentile(mids, 0.5), max(mids)
        basis = f"lowest to highest of {len(clouds)} clouds"
    else:
        low, mid, high = percentile(mids, 0.1), percentile(mids, 0.5), percentile(mids, 0.9)
        basis = f"10th to 90th percentile of {len(clouds)} clouds"
    return Quantity(low, mid, high, UNIT, BAND, basis)


def _no_price_at_all(catalog: Catalog, accelerator_id: str) -> str:
    chip = catalog.accelerators[accelerator_id]
    priced = [catalog.accelerators[name] for name in catalog.priced]
    near = [other.id for other in priced if other.architecture == chip.architecture]
    kin = f"priced parts of its architecture ({chip.architecture})"
    if not near:
        near = [other.id for other in priced if other.vendor == chip.vendor]
        kin = f"no other {chip.architecture} part is priced either; priced parts of {chip.vendor}"
    instead = f" {kin[0].upper()}{kin[1:]}: {', '.join(near)}." if near else " `flopwise catalog prices` lists what is."
    return (
        f"no price is known for {chip.name} ({accelerator_id}).{instead} To use a price of your own: "
        f"`flopwise catalog add {accelerator_id} --usd-per-hour PRICE --cloud NAME`."
    )


def _no_such_price(
    catalog: Catalog,
    accelerator_id: str,
    offers: Sequence[Price],
    plan: PricePlan,
    cloud: str | None,
    cloud_class: CloudClass | None,
) -> str:
    """Say what was asked, and which choices there are instead."""
    asked = f"no {plan} price is known for {accelerator_id}"
    asked += f" at {cloud}" if cloud else f" at a {cloud_class}" if cloud_class else ""
    there: dict[str, list[str]] = {}
    for offer in offers:
        names = there.setdefault(str(offer.plan), [])
        if offer.cloud not in names:
            names.append(offer.cloud)
    known = "; ".join(f"{name}: {', '.join(clouds)}" for name, clouds in there.items())
    return f"{asked}. Known are {known}."
