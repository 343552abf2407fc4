"""Calling an API instead: monthly bills, break-even volumes, and the curve over volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.errors import InputError
from ...estimators.facts.other_prices import load_other_prices
from ...estimators.serving.money import (
    AgainstApi,
    against_api,
    curve,
)
from ...estimators.units import MONTH
from .document import Cell, Column, Table, Value
from .serving_parts import Asked

if TYPE_CHECKING:
    from ...estimators.facts.serving_fit import ServingFit
    from ...estimators.serving.sizing import Sized

APIS = 6
_VOLUMES = (0.01, 0.1, 0.5, 1.0, 2.0, 10.0)  # times the volume asked for


def compared_apis(asked: Asked, best: Sized, fit: ServingFit) -> tuple[AgainstApi, ...]:
    """Return the APIs asked for, or the cheapest, each beside ourselves.

    Raises:
        InputError: an API is asked for and the chip has no price, or no API is called so.
    """
    if best.usd_per_hour is None:
        if asked.api:
            raise InputError(f"--api: {best.setup.accelerator.name} has no price; give one with --price.")
        return ()
    prices = load_other_prices()
    wanted = [prices.token_price(name) for name in asked.api] or list(prices.tokens)
    volume = best.requests_per_s / asked.peak_over_mean * MONTH
    found = [against_api(best, asked.demand, price, volume, fit) for price in wanted]
    found.sort(key=lambda each: each.usd_per_request)
    return tuple(found if asked.api else found[:APIS])


def api_table(asked: Asked, apis: Sequence[AgainstApi]) -> Table:
    """Return the bills and the break-even volumes."""
    columns = (
        Column("model", "API"),
        Column("date", "Price of", right=True),
        Column("api_month", "API, a month", right=True),
        Column("own_month", "Own, a month", right=True),
        Column("break_even", "Break-even, requests a month", right=True),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (
            each.price.model,
            each.price.date,
            Value(each.api_usd_per_month, "usd"),
            Value(each.own_usd_per_month.mid, "usd"),
            each.break_even if each.break_even else "never",
        )
        for each in apis
    )
    chosen = "" if asked.api else f"the {len(apis)} cheapest of our table, --api names others; "
    return Table("apis", columns, body, caption=f"Or call an API ({chosen}other models answer differently)")


def api_curve(asked: Asked, best: Sized, api: AgainstApi) -> tuple[tuple[float, float, float], ...]:
    """Return the bills over volumes around the one asked for."""
    volume = best.requests_per_s / asked.peak_over_mean * MONTH
    return curve(best, asked.demand, api.price, tuple(volume * factor for factor in _VOLUMES))


def curve_table(asked: Asked, best: Sized, api: AgainstApi) -> Table:
    """Return the bills over volume."""
    columns = (
        Column("requests", "Requests a month", right=True),
        Column("own", "Own", right=True),
        Column("api", api.price.model, right=True),
        Column("cheaper", "Cheaper"),
    )
    body: tuple[tuple[Cell, ...], ...] = tuple(
        (Value(requests, "count"), Value(own, "usd"), Value(theirs, "usd"), "own" if own < theirs else "API")
        for requests, own, theirs in api_curve(asked, best, api)
    )
    return Table(
        "curve", columns, body, caption="The bill over volume: replicas by the staircase, the API by the token"
    )


def api_result(each: AgainstApi) -> dict[str, object]:
    """Return one comparison as data."""
    return {
        "model": each.price.model,
        "input_usd_per_million": each.price.input_usd,
        "output_usd_per_million": each.price.output_usd,
        "price_date": each.price.date,
        "source": each.price.source,
        "api_usd_per_month": each.api_usd_per_month,
        "own_usd_per_month": each.own_usd_per_month,
        "break_even_requests_per_month": each.break_even,
        "cheaper": each.cheaper,
    }
