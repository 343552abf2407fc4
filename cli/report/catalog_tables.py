"""The tables of the catalog: a card, its dense rates, quotes, clouds, offers and sources."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from ...estimators.facts.catalog import Catalog
from ...estimators.facts.records import Accelerator, Price
from ...estimators.pricing.quote import Quote, Reason, is_stale
from .document import Cell, Column, Facts, Table, Value

PER_HOUR = "USD/h"
_WHY_NOT = {
    Reason.OVERLAY: "no: overlay",
    Reason.TREND: "no: trend",
    Reason.OLDER: "no: older",
    Reason.AVERAGED: "no: a mean",
    Reason.NO_HOST: "no: no host",
}


def card_facts(chip: Accelerator) -> Facts:
    """Return everything a card says but its rates."""
    usable_share = chip.usable_memory_bytes / chip.memory_bytes
    items: list[tuple[str, str, Cell, str]] = [
        ("vendor", "vendor", chip.vendor, chip.architecture),
        ("released", "released", chip.release_date or None, ""),
        ("memory_bytes", "memory as sold", Value(chip.memory_bytes, "bytes"), chip.memory_type),
        ("usable_memory_bytes", "memory to use", Value(chip.usable_memory_bytes, "bytes"), chip.usable_memory_source),
        ("usable_share", "share of it", Value(usable_share, "fraction"), ""),
        ("memory_bandwidth_bytes_per_s", "memory speed", Value(chip.memory_bandwidth_bytes_per_s, "bytes_per_s"), ""),
    ]
    if chip.power_w:
        items.append(("power_w", "power", Value(chip.power_w, "w"), "maximum"))
    if chip.link_bytes_per_s:
        joined = f"{chip.link_domain} joined" if (chip.link_domain or 1) > 1 else ""
        domain = ", ".join(part for part in (chip.link, joined) if part)
        items.append(("link_bytes_per_s", "link, one way", Value(chip.link_bytes_per_s, "bytes_per_s"), domain))
    if chip.accelerators_per_node:
        items.append(
            (
                "accelerators_per_node",
                "in one server",
                chip.accelerators_per_node,
                f"PCIe {chip.pcie}" if chip.pcie[:1].isdigit() else chip.pcie,
            )
        )
    if chip.network_bytes_per_s_per_node:
        items.append(
            (
                "network_bytes_per_s_per_node",
                "its network",
                Value(chip.network_bytes_per_s_per_node, "bytes_per_s"),
                "one way, all cards",
            )
        )
    if chip.compute_units:
        items.append(("compute_units", "compute units", chip.compute_units, chip.compute_unit))
    if chip.l2_bytes:
        items.append(("l2_bytes", "L2 cache", Value(chip.l2_bytes, "bytes"), ""))
    if chip.list_price_usd:
        items.append(("list_price_usd", "to buy", Value(chip.list_price_usd, "usd"), chip.price_basis))
    items.append(("confidence", "confidence", chip.confidence, ""))
    if chip.unverified:
        items.append(("unverified", "unverified", ", ".join(chip.unverified), ""))
    if chip.aliases:
        items.append(("aliases", "also called", ", ".join(chip.aliases), ""))
    if chip.note:
        items.append(("note", "note", chip.note, ""))
    items.append(("origin", "defined in", chip.origin, ""))
    return Facts("card", tuple(items))


def rates_table(chip: Accelerator) -> Table:
    """Return dense rates by format, with the arithmetic intensity at which memory stops being the limit."""
    columns = (
        Column("format", "format"),
        Column("dense_flops_per_s", "dense peak", right=True),
        Column("flops_per_byte", "FLOP per byte", right=True),
        Column("verified", "checked", wide_only=True),
    )
    rows = tuple(
        (
            name,
            Value(rate, "flops_per_s"),
            Value(intensity(chip, name), ""),
            f"dense_tflops.{name}" not in chip.unverified,
        )
        for name, rate in chip.peak_flops_per_s.items()
    )
    return Table("rates", columns, rows, caption="Dense rates")


def quotes_table(quotes: Sequence[Quote]) -> Table:
    """Return one row per plan and class of sellers."""
    columns = (
        Column("plan", "plan"),
        Column("class", "sellers"),
        Column("low_usd", "low", right=True),
        Column("mid_usd", "middle", right=True),
        Column("high_usd", "high", right=True),
        Column("clouds", "clouds", right=True),
        Column("newest", "newest"),
        Column("oldest", "oldest", wide_only=True),
        Column("basis", "low and high are", wide_only=True),
    )
    rows = tuple(
        (
            str(q.plan),
            str(q.cloud_class or "all"),
            Value(q.usd_per_hour.low, "usd"),
            Value(q.usd_per_hour.mid, "usd"),
            Value(q.usd_per_hour.high, "usd"),
            len(q.clouds),
            q.newest,
            q.oldest,
            q.usd_per_hour.basis,
        )
        for q in quotes
    )
    return Table("quotes", columns, rows, caption="Prices, US dollars for one accelerator and hour")


def clouds_table(answer: Quote) -> Table:
    """Return one row per cloud of a quote, cheapest first."""
    columns = (
        Column("cloud", "cloud"),
        Column("class", "class"),
        Column("low_usd", "low", right=True),
        Column("mid_usd", "middle", right=True),
        Column("high_usd", "high", right=True),
        Column("date", "dated"),
    )
    rows = tuple(
        (
            one.cloud,
            str(one.cloud_class),
            Value(one.low_usd, "usd"),
            Value(one.mid_usd, "usd"),
            Value(one.high_usd, "usd"),
            ", ".join(dict.fromkeys(price.date.replace("..", " to ") for price in one.prices)),
        )
        for one in answer.clouds
    )
    return Table("clouds", columns, rows, caption=f"One price per cloud ({answer.usd_per_hour.basis})")


def offers_table(
    catalog: Catalog,
    prices: Sequence[Price],
    today: datetime.date,
    *,
    caption: str,
    reasons: Mapping[Price, Reason],
    named: bool = False,
) -> Table:
    """Return offers; `reasons` says why one does not count, `named` puts the accelerator in front."""
    columns = (
        *((Column("accelerator", "accelerator"),) if named else ()),
        Column("cloud", "cloud"),
        Column("plan", "plan"),
        Column("usd_per_hour", PER_HOUR, right=True),
        Column("date", "dated"),
        Column("age", "age"),
        *(() if named else (Column("counts", "counts"),)),
        Column("median_usd_per_hour", "median", right=True, wide_only=True),
        Column("terms", "terms", wide_only=True),
        Column("class", "class", wide_only=True),
        Column("covers", "covers", wide_only=True),
        Column("region", "region", wide_only=True),
        Column("instance", "instance", wide_only=True),
        Column("source", "source", wide_only=True),
        Column("note", "note", wide_only=True),
        Column("origin", "file", wide_only=True),
    )
    rows = tuple(
        (
            *((price.accelerator,) if named else ()),
            price.cloud,
            str(price.plan),
            Value(price.usd_per_hour, "usd"),
            price.date.replace("..", " to "),
            "old" if is_stale(price, today) else "",
            *(() if named else (_WHY_NOT[reasons[price]] if price in reasons else "yes",)),
            Value(price.median_usd_per_hour, "usd") if price.median_usd_per_hour else None,
            price.terms,
            str(price.cloud_class),
            price.covers,
            price.region,
            price.instance,
            source_name(catalog, price.source),
            price.note,
            price.origin,
        )
        for price in prices
    )
    return Table("prices", columns, rows, caption=caption)


def sources_table(catalog: Catalog, codes: Sequence[str]) -> Table:
    """Return what source codes mean; words that are no code are the user's own."""
    columns = (
        Column("code", "source"),
        Column("name", "what"),
        Column("licence", "licence"),
        Column("read", "read", wide_only=True),
        Column("reuse", "reuse", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for code in codes:
        source = catalog.sources.get(code)
        rows.append(
            (code, source.name, source.licence, source.read, source.reuse) if source else ("yours", code, "", "", "")
        )
    return Table("sources", columns, tuple(rows), caption="Sources")


def intensity(chip: Accelerator, name: str) -> float:
    """Return the operations per byte of memory traffic at which the dense rate of a format is reached."""
    return chip.peak_flops_per_s[name] / chip.memory_bandwidth_bytes_per_s


def rate_cell(chip: Accelerator, name: str) -> Value | None:
    """Return the dense rate of one format, or None where there is none."""
    return Value(chip.peak_flops_per_s[name], "flops_per_s") if name in chip.peak_flops_per_s else None


def source_name(catalog: Catalog, code: str) -> str:
    """Return what a source code means."""
    source = catalog.sources.get(code)
    return source.name if source else code


def few(names: Sequence[str], most: int = 6) -> str:
    """Return names in a row, the rest counted."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
