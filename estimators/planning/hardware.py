"""What can be rented: an accelerator on terms, its price range, and how many of them make sense together.

Unasked, only chips that an expert would propose for pre-training are offered (a fast link, a network between nodes,
bf16, a seller of clusters); naming a chip, a cloud or a price lifts that. A chip without a fast link or a network is
used inside one node only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from ..errors import InputError, UnknownName
from ..facts.efficiency import load_mfu_fit
from ..facts.plan_defaults import HardwareRules, PlanDefaults
from ..facts.records import Accelerator, CloudClass, PricePlan
from ..frozen import dataclass
from ..quantity import Quantity, exact
from ..units import DAY, show_usd

if TYPE_CHECKING:
    from ..facts.catalog import Catalog
    from ..pricing.quote import Quote
    from .request import PlanRequest

NODE = 8  # accelerators, where the catalog does not say
MOST = 65_536  # beyond what anybody rents as one job


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One accelerator on one kind of terms. `most` can work together, `usual` can be had without a contract."""

    accelerator: Accelerator
    usd_per_hour: Quantity
    seller: str  # "gpu-cloud", a cloud's name, or "your price"
    quote: Quote | None  # the offers behind the price; None for the user's own
    most: int
    usual: int
    measured: bool  # training runs on this chip are in the efficiency fit

    @property
    def node(self) -> int:
        """Accelerators of one machine."""
        return self.accelerator.accelerators_per_node or NODE

    @property
    def terms(self) -> str:
        """Short words for the terms: "gpu-cloud on-demand", "Lambda spot", "your price"."""
        return f"{self.seller} {self.quote.plan}" if self.quote else self.seller


def offers(catalog: Catalog, request: PlanRequest, defaults: PlanDefaults) -> tuple[Offer, ...]:
    """Return what the request allows to rent.

    Raises:
        UnknownName: no accelerator or cloud is called so.
        InputError: nothing is priced on these terms.
    """
    if request.usd_per_hour is not None:
        return (_own_price(catalog, request),)
    plan = request.price_plan or PricePlan.ON_DEMAND
    if request.accelerator:
        chips: Sequence[Accelerator] = (catalog.find(request.accelerator),)
    else:
        known = (catalog.accelerators[name] for name in catalog.priced)
        chips = tuple(chip for chip in known if is_proposed(chip, defaults.hardware))
    found = [offer for chip in chips for offer in offers_of(catalog, chip, plan, request, defaults)]
    if not found:
        _refuse(catalog, request, plan)
    return tuple(found)


def is_proposed(chip: Accelerator, rules: HardwareRules) -> bool:
    """Whether an expert would propose the chip for pre-training without being asked."""
    has_format = all(chip.peak_flops_per_s.get(name) for name in rules.formats)
    return has_format and has_fast_link(chip, rules) and has_network(chip, rules)


def has_fast_link(chip: Accelerator, rules: HardwareRules) -> bool:
    """Whether all chips of a node, not only pairs of them, share a link fast enough for a sharded model."""
    joined = (chip.link_domain or 1) >= min(chip.accelerators_per_node or NODE, 4)
    return joined and (chip.link_bytes_per_s or 0.0) >= rules.least_link_bytes_per_s


def has_network(chip: Accelerator, rules: HardwareRules) -> bool:
    """Whether nodes are joined fast enough for one job over several of them."""
    if (chip.link_domain or 1) > 8 * (chip.accelerators_per_node or NODE):
        return True  # one domain over many machines: TPU pods
    per_chip = (chip.network_bytes_per_s_per_node or 0.0) / (chip.accelerators_per_node or NODE)
    return per_chip >= rules.least_network_bytes_per_s


def counts(offer: Offer, request: PlanRequest, defaults: PlanDefaults) -> tuple[int, ...]:
    """Return the numbers of accelerators worth trying, ascending: parts of a node, then whole nodes, within limits."""
    if request.accelerators is not None:
        return (request.accelerators,)
    most = min(offer.most, request.max_accelerators or offer.most)
    soon = request.deadline_s is not None and request.deadline_s < defaults.shortest_cluster_run_days.value * DAY
    if soon and request.max_accelerators is None:
        most = min(most, max(offer.usual, offer.node))  # nobody signs a contract for some hours
    inside = [n for n in (1, 2, 4, 8, 16) if n < offer.node]
    whole = [n * offer.node for n in defaults.node_counts]
    found = tuple(n for n in (*inside, *whole) if n <= most)
    return found or (most,)


# --- one chip on one kind of terms --------------------------------------------------------------------------------


def offers_of(
    catalog: Catalog, chip: Accelerator, plan: PricePlan, request: PlanRequest, defaults: PlanDefaults
) -> Iterator[Offer]:
    """Yield a chip on the terms of a request, once for each class of sellers that has a price."""
    from ..pricing.quote import quote

    proposed = defaults.hardware.classes
    if request.cloud or request.cloud_class:
        classes: tuple[CloudClass | None, ...] = (request.cloud_class,)
    elif request.accelerator and not any(
        p.cloud_class in proposed and p.plan is plan for p in catalog.prices_of(chip.id)
    ):
        classes = tuple(CloudClass)  # a chip that was asked for may be sold on marketplaces only
    else:
        classes = proposed
    for cloud_class in classes:
        try:
            found = quote(catalog, chip.id, plan=plan, cloud=request.cloud, cloud_class=cloud_class)
        except UnknownName:
            raise
        except InputError:
            continue
        seller_class = cloud_class or found.clouds[0].cloud_class
        most, usual = _limits(chip, seller_class, plan, defaults)
        yield Offer(
            accelerator=chip,
            usd_per_hour=found.usd_per_hour,
            seller=found.cloud or str(cloud_class),
            quote=found,
            most=most,
            usual=usual,
            measured=_is_measured(chip.id),
        )


def _own_price(catalog: Catalog, request: PlanRequest) -> Offer:
    chip = catalog.find(request.accelerator or "")
    price = request.usd_per_hour or 0.0
    return Offer(
        accelerator=chip,
        usd_per_hour=exact(price, "usd_per_accelerator_hour", f"your price, {show_usd(price)}"),
        seller="your price",
        quote=None,
        most=MOST,
        usual=MOST,
        measured=_is_measured(chip.id),
    )


def _limits(chip: Accelerator, cloud_class: CloudClass, plan: PricePlan, defaults: PlanDefaults) -> tuple[int, int]:
    usual = defaults.supply[cloud_class][plan]
    node = chip.accelerators_per_node or NODE
    if cloud_class is CloudClass.MARKETPLACE or not has_network(chip, defaults.hardware):
        return node, min(node, usual)
    return MOST, usual


@lru_cache(maxsize=128)
def _is_measured(chip_id: str) -> bool:
    return chip_id in load_mfu_fit().chips


def _refuse(catalog: Catalog, request: PlanRequest, plan: PricePlan) -> NoReturn:
    """Say what there is instead, in the words of the price list where one chip was asked for."""
    if request.accelerator:
        from ..pricing.quote import quote

        chip = catalog.find(request.accelerator)
        quote(catalog, chip.id, plan=plan, cloud=request.cloud, cloud_class=request.cloud_class)
    asked = " ".join(str(x) for x in (request.cloud, request.cloud_class, plan) if x)
    raise InputError(f"no accelerator for pre-training has a price for: {asked}. `flopwise catalog prices` shows all.")
