"""Data or compute: the section, the twin and the reason of what one more dollar buys on either side of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.quantity import Given, Step
from ...estimators.units import show_count, show_usd
from .document import Cell, Facts, Value

if TYPE_CHECKING:
    from ...estimators.planning.data_side import DataSide

_KILO = 1000.0


def side_facts(side: DataSide) -> Facts:
    """Return the section."""
    found = side.marginal
    items: list[tuple[str, str, Cell, str]] = [
        ("binds", "The next dollar", _verdict(side), ""),
        (
            "compute_per_1000_usd",
            "$1,000 of compute",
            f"-{found.compute_per_usd * _KILO:.2g} nats",
            "at this plan's price, on the best split",
        ),
        (
            "data_per_1000_usd",
            "$1,000 of data",
            f"-{found.data_per_usd * _KILO:.2g} nats",
            f"{show_usd(side.usd_per_million_tokens)} per million unique tokens: {side.way}",
        ),
    ]
    if found.data_per_usd > 0:
        even = found.break_even_usd_per_token * 1e6
        items.append(("break_even", "Even at", Value(even, "usd"), "per million unique tokens both give the same"))
    if side.data_usd is not None:
        items.append(("data_usd", "Data plan", Value(side.data_usd, "usd"), "on top of the budget"))
    return Facts("data_or_compute", tuple(items), caption="Data or compute")


def _verdict(side: DataSide) -> str:
    found = side.marginal
    if found.data_per_usd == 0:
        return "compute: every token is new already"
    if found.binds == "both":
        return "either: both give about the same"
    return f"{found.binds}: {found.advantage:,.3g} times what the other side gives"


def side_twin(side: DataSide) -> dict[str, object]:
    """Return the JSON twin."""
    found = side.marginal
    return {
        "binds": found.binds,
        "compute_nats_per_usd": found.compute_per_usd,
        "data_nats_per_usd": found.data_per_usd,
        "usd_per_flop": found.usd_per_flop,
        "usd_per_million_tokens": side.usd_per_million_tokens,
        "break_even_usd_per_million_tokens": found.break_even_usd_per_token * 1e6 if found.data_per_usd else None,
        "price_from": side.way,
        "unique_tokens": side.unique_tokens,
        "data_plan_usd": side.data_usd,
    }


def side_step(side: DataSide) -> Step:
    """Return the line of --explain."""
    found = side.marginal
    return Step(
        "marginal_loss_per_dollar",
        "(dL/dU) / (price of a token) against (dL/dC) / (price of a FLOP)",
        (
            Given("dL/dU / p_U", found.data_per_usd, "nats_per_usd", f"{show_count(side.unique_tokens)} unique tokens"),
            Given("dL/dC / p_C", found.compute_per_usd, "nats_per_usd", "along the best split of compute"),
            Given("p_U", found.usd_per_token * 1e6, "usd_per_million_tokens", side.way),
            Given("p_C", found.usd_per_flop * 1e18, "usd_per_EFLOP", "cost of the run over its 6ND"),
        ),
        max(found.data_per_usd, found.compute_per_usd),
        "nats_per_usd",
        "arXiv:2305.16264",
        dominant=found.binds,
    )
