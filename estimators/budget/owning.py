"""Machines of one's own: what they cost to buy, to power and to house, and what they are worth later.

purchase   n x accelerator x (server over accelerators) x (1 + network)
power      n x kW x hours x use x dollars per kWh        kW with host, network and cooling
space      n x kW x dollars per kW and month
worth      purchase x (1 - (1 - r) m / 36), r what is left after 36 months; no less than r

Prices are those of data/other_prices.yaml, shares those of data/budget_defaults.yaml.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InputError
from ..facts.budget_records import HardwareWork, Stage
from ..facts.other_prices import OtherPrices, Section, UnitPrice, load_other_prices
from ..frozen import dataclass
from ..names import fold
from ..quantity import Quantity, exact, product
from ..units import show_usd
from .context import HOURS_PER_MONTH, Context, Worked
from .lines import Category, Draft, PriceInput

if TYPE_CHECKING:
    from ..facts.records import Accelerator

RESIDUAL_MONTHS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one owned accelerator costs, with its share of server and network."""

    purchase_usd: Quantity
    purchase_source: str
    purchase_date: str
    kw: Quantity
    kw_source: str
    usd_per_kwh: Quantity
    usd_per_kw_month: Quantity


def machine(accelerator: Accelerator, context: Context, usd_each: float | None, usd_per_kwh: float | None) -> Machine:
    """Return what owning one accelerator costs.

    Raises:
        InputError: no purchase price is known; says how to give one.
    """
    prices = load_other_prices()
    family = accelerator.name.split()[0]  # "H100 SXM5 80GB" -> "H100"
    server, network = context.default("host_share_of_purchase"), context.default("network_share_of_purchase")
    more = Quantity(1 + network.low, 1 + network.mid, 1 + network.high, "", "80 %", network.basis)
    if usd_each is not None:
        chip, source, date = exact(usd_each, "usd", "given in the budget"), "given in the budget", ""
    else:
        chip, source, date = _chip_price(accelerator, family, prices)
    kw_row = _row(prices, Section.POWER, "all-in utility power per GPU", family)
    if kw_row:
        kw, kw_source = _quantity(kw_row, "kw"), f"{prices.sources[kw_row.source].name}"
    elif accelerator.power_w:
        kw = context.default("kw_per_accelerator").scaled(accelerator.power_w / 1e3, "kw")
        kw_source = kw.basis
    else:
        raise InputError(f"the catalog has no power for {accelerator.name}, so owning it cannot be priced")
    electricity = _row(prices, Section.POWER, "planning default", "generic")
    space = _row(prices, Section.COLOCATION, "wholesale 250-500 kW", "North America primary markets")
    assert electricity and space  # rows of our own file
    return Machine(
        purchase_usd=product("usd", (chip, server, more), basis=f"{source}; {server.basis}; {network.basis}"),
        purchase_source=source,
        purchase_date=date,
        kw=kw,
        kw_source=kw_source,
        usd_per_kwh=exact(usd_per_kwh, "usd", "given in the budget") if usd_per_kwh else _quantity(electricity, "usd"),
        usd_per_kw_month=_quantity(space, "usd"),
    )


def buy(stage: Stage, work: HardwareWork, context: Context, months: int) -> Worked:
    """Return the lines of a hardware stage: purchase in its first month, power and space until its end.

    Raises:
        FactsError: the accelerator or its price is not known.
    """
    from .training_stages import accelerators

    with context.naming(*stage.where, "buy"):
        accelerator, count = accelerators(stage, work.on, context)
        if count is None:
            raise InputError(f"say how many to buy, for example '{work.on}:8'")
        owned = machine(accelerator, context, work.usd_each, work.usd_per_kwh)
    name = accelerator.name.partition(" (")[0]
    use = context.default("owned_use")
    kilowatts = owned.kw.scaled(count)
    drafts = (
        Draft(
            item=f"buy {count:,} x {name}, with servers and network",
            category=Category.HARDWARE,
            amount=exact(float(count), "accelerators", "given in the budget"),
            price=context.named_price(
                PriceInput(
                    key=f"{name}, bought, with its share of server and network",
                    usd=owned.purchase_usd,
                    unit="accelerator",
                    date=owned.purchase_date,
                    source=owned.purchase_source,
                    is_guess=True,
                )
            ),
            driver="machines bought",
            weights=(1.0,),
        ),
        Draft(
            item="electricity",
            category=Category.POWER,
            amount=product("kWh", (kilowatts.scaled(months * HOURS_PER_MONTH), use)),
            price=context.named_price(
                PriceInput(
                    key="electricity",
                    usd=owned.usd_per_kwh,
                    unit="kWh",
                    date="2026" if work.usd_per_kwh is None else "",
                    source=owned.usd_per_kwh.basis,
                    is_guess=work.usd_per_kwh is None,
                )
            ),
            driver="power drawn",
        ),
        Draft(
            item="space in a data center",
            category=Category.POWER,
            amount=kilowatts.scaled(float(months), "kW-months"),
            price=context.named_price(
                PriceInput(
                    key="space in a data center",
                    usd=owned.usd_per_kw_month,
                    unit="kW-month",
                    date="2024-12",
                    source=owned.usd_per_kw_month.basis,
                )
            ),
            driver="power drawn",
        ),
    )
    worth = worth_after(owned.purchase_usd, months, context).scaled(count)
    note = f"after {months} months the machines may still be worth {show_usd(worth.mid)}; that is not in the totals"
    return Worked(drafts=drafts, lasts=None, notes=(note,))


def worth_after(purchase: Quantity, months: float, context: Context) -> Quantity:
    """Return what machines still fetch after `months`, of what was paid."""
    left = context.default("residual_after_36_months")
    ends = [1 - (1 - share) * min(1.0, months / RESIDUAL_MONTHS) for share in (left.low, left.mid, left.high)]
    share = Quantity(ends[0], ends[1], ends[2], "", "80 %", left.basis)
    return product("usd", (purchase, share))


def whole_nodes(count: float, accelerator: Accelerator) -> int:
    """Return a count rounded up to whole machines (one accelerator where it is sold alone)."""
    node = accelerator.accelerators_per_node or 8
    return math.ceil(count / node) * node if count > 1 else 1


def _chip_price(accelerator: Accelerator, family: str, prices: OtherPrices) -> tuple[Quantity, str, str]:
    row = _row(prices, Section.PURCHASE, f"{family} GPU", "street")
    if row:
        return _quantity(row, "usd"), f"{prices.sources[row.source].name} (confidence {row.confidence})", row.date
    if accelerator.list_price_usd:
        listed = accelerator.list_price_usd
        return (
            Quantity(listed * 0.8, listed, listed * 1.25, "usd", "80 %", "list price, a quarter either way is a guess"),
            f"catalog.yaml: {accelerator.price_basis or 'list price'}",
            "",
        )
    raise InputError(
        f"no purchase price is known for {accelerator.name}; give usd_each, the price of one accelerator alone"
    )


def _row(prices: OtherPrices, section: Section, item: str, provider: str) -> UnitPrice | None:
    for row in prices.rows:
        if row.section is section and fold(row.item) == fold(item) and fold(row.provider) == fold(provider):
            return row
    return None


def _quantity(row: UnitPrice, unit: str) -> Quantity:
    low = row.low if row.low is not None else row.value * 0.85
    high = row.high if row.high is not None else row.value * 1.15
    basis = f"data/other_prices.yaml: {row.item}, {row.provider}, {row.date}"
    if row.low is None and row.high is None:
        basis += "; 15 % either way is a guess"
    return Quantity(min(low, row.value), row.value, max(high, row.value), unit, "80 %", basis)
