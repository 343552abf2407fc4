"""Documents about the catalog: the list of accelerators, one card, offers with what counts of them, and checked files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...estimators.errors import InputError
from ...estimators.facts.cards import SEEN
from ...estimators.facts.catalog import Catalog
from ...estimators.facts.records import Accelerator, CloudClass, Price, PricePlan
from ...estimators.frozen import dataclass
from ...estimators.pricing.quote import STALE_AFTER_DAYS, Quote, Reason, is_stale, quote
from ...estimators.units import show_bytes, show_rate, show_usd
from .catalog_tables import (
    PER_HOUR,
    card_facts,
    clouds_table,
    few,
    intensity,
    offers_table,
    quotes_table,
    rate_cell,
    rates_table,
    source_name,
    sources_table,
)
from .document import Cell, Column, Document, Facts, Table, Value


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that passed, and what it holds."""

    file: str
    accelerators: int
    prices: int


def quote_or_none(
    catalog: Catalog, accelerator: str, plan: PricePlan, cloud: str | None, cloud_class: CloudClass | None
) -> Quote | None:
    """Return the quote, or None where no offer matches."""
    try:
        return quote(catalog, accelerator, plan=plan, cloud=cloud, cloud_class=cloud_class)
    except InputError:
        return None


def list_document(
    catalog: Catalog,
    found: Sequence[tuple[Accelerator, Quote | None]],
    inputs: Mapping[str, object],
    *,
    asked: str,
    today: datetime.date,
) -> Document:
    """Return the table of accelerators, each with its quote where it has one."""
    columns = (
        Column("id", "accelerator"),
        Column("memory_bytes", "memory", right=True),
        Column("bandwidth_bytes_per_s", "memory speed", right=True),
        Column("bf16_flops_per_s", "bf16, dense", right=True),
        Column("power_w", "power", right=True),
        Column("usd_per_hour", PER_HOUR, right=True),
        Column("clouds", "clouds", right=True, wide_only=True),
        Column("vendor", "vendor", wide_only=True),
        Column("architecture", "architecture", wide_only=True),
        Column("released", "released", wide_only=True),
        Column("fp16_flops_per_s", "fp16, dense", right=True, wide_only=True),
        Column("fp8_flops_per_s", "fp8, dense", right=True, wide_only=True),
        Column("usd_per_hour_low", "low", right=True, wide_only=True),
        Column("usd_per_hour_high", "high", right=True, wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for chip, price in found:
        usd = price.usd_per_hour if price else None
        rows.append(
            (
                chip.id,
                Value(chip.memory_bytes, "bytes"),
                Value(chip.memory_bandwidth_bytes_per_s, "bytes_per_s"),
                rate_cell(chip, "bf16"),
                Value(chip.power_w, "w") if chip.power_w else None,
                Value(usd.mid, "usd") if usd else None,
                len(price.clouds) if price else None,
                chip.vendor,
                chip.architecture,
                chip.release_date or None,
                rate_cell(chip, "fp16"),
                rate_cell(chip, "fp8"),
                Value(usd.low, "usd") if usd else None,
                Value(usd.high, "usd") if usd else None,
            )
        )
    result = {
        "accelerators": [
            {
                "accelerator": chip,
                "usd_per_hour": price.usd_per_hour if price else None,
                "clouds": len(price.clouds) if price else None,
            }
            for chip, price in found
        ]
    }
    stale = [chip.id for chip, price in found if price and price.age_days(today) > STALE_AFTER_DAYS]
    warnings = (f"All prices of {few(stale)} are older than {STALE_AFTER_DAYS} days.",) if stale else ()
    return Document(
        verb="catalog.list",
        headline=f"{len(found)} of {len(catalog.accelerators)} accelerators{asked}.",
        inputs=inputs,
        result=result,
        sections=(Table("accelerators", columns, tuple(rows)),),
        warnings=warnings,
        catalog=catalog.stamp(),
        next_commands=(f"flopwise catalog show {found[0][0].id}",) if found else (),
    )


def show_document(
    catalog: Catalog, chip: Accelerator, typed: str, quotes: Sequence[Quote], *, today: datetime.date
) -> Document:
    """Return the card of one accelerator: facts, rates, quotes, offers, sources."""
    prices = catalog.prices_of(chip.id)
    seen = ("OOM",) if chip.usable_memory_source == SEEN else ()
    codes = list(dict.fromkeys((*chip.sources, *seen, *(price.source for price in prices))))
    sections: list[Table | Facts] = [card_facts(chip), rates_table(chip)]
    if quotes:
        sections.append(quotes_table(quotes))
        sections.append(offers_table(catalog, prices, today, caption="Offers", reasons=_reasons(quotes)))
    sections.append(sources_table(catalog, codes))
    resolved = "" if typed == chip.id else f" ('{typed}')"
    per_unit = f", {show_rate(chip.peak_flops_per_s['bf16'], 'FLOP/s')} bf16" if "bf16" in chip.peak_flops_per_s else ""
    return Document(
        verb="catalog.show",
        headline=f"{chip.id}{resolved}: {chip.name}, {show_bytes(chip.memory_bytes)}{per_unit}, dense.",
        inputs={"accelerator": typed},
        result={
            "accelerator": chip,
            "usable_share": chip.usable_memory_bytes / chip.memory_bytes,
            "flops_per_byte": {key: intensity(chip, key) for key in chip.peak_flops_per_s},
            "quotes": [
                {
                    "plan": q.plan,
                    "class": q.cloud_class,
                    "usd_per_hour": q.usd_per_hour,
                    "oldest": q.oldest,
                    "newest": q.newest,
                    "clouds": len(q.clouds),
                }
                for q in quotes
            ],
            "prices": [_offer_result(price, today, _reasons(quotes)) for price in prices],
            "sources": [catalog.sources.get(code) or {"code": code} for code in codes],
        },
        sections=tuple(sections),
        warnings=_card_warnings(catalog, chip, quotes, today),
        catalog=catalog.stamp(),
        next_commands=(f"flopwise catalog prices {chip.id} --class gpu-cloud",) if prices else (),
    )


def prices_document(
    catalog: Catalog,
    prices: Sequence[Price],
    inputs: Mapping[str, object],
    *,
    asked: str,
    answer: Quote | None,
    today: datetime.date,
) -> Document:
    """Return the offers that match, and the quote that they make where one accelerator was asked for."""
    result: dict[str, object] = {
        "prices": [_offer_result(p, today, _reasons([answer] if answer else [])) for p in prices]
    }
    sections: list[Table | Facts] = []
    warnings: tuple[str, ...] = ()
    if answer:
        usd = answer.usd_per_hour
        headline = f"{show_usd(usd.mid)} an hour for one {answer.accelerator}{asked}, {show_usd(usd.low)} to {show_usd(usd.high)}."
        if usd.is_exact:
            headline = f"{show_usd(usd.mid)} an hour for one {answer.accelerator}{asked} ({usd.basis})."
        result["usd_per_hour"] = usd
        result["clouds"] = [
            {"cloud": one.cloud, "class": one.cloud_class, "low": one.low_usd, "mid": one.mid_usd, "high": one.high_usd}
            for one in answer.clouds
        ]
        sections.append(clouds_table(answer))
        warnings = answer.notes(today)
    else:
        headline = f"{len(prices)} of {len(catalog.prices)} offers{asked}, US dollars for one accelerator and hour."
    reasons = _reasons([answer] if answer else [])
    caption = "Offers" if answer else ""
    sections.append(offers_table(catalog, prices, today, caption=caption, reasons=reasons, named=answer is None))
    return Document(
        verb="catalog.prices",
        headline=headline,
        inputs=inputs,
        result=result,
        sections=tuple(sections),
        warnings=warnings,
        steps=(answer.step(lambda code: source_name(catalog, code)),) if answer else (),
        catalog=catalog.stamp(),
    )


def checked_document(
    checked: Sequence[CheckedFile], folder: Path, catalog: Catalog, warnings: tuple[str, ...]
) -> Document:
    """Return the table of files that passed the check; `folder` is where the user's own would lie."""
    columns = (
        Column("file", "file"),
        Column("accelerators", "accelerators", right=True),
        Column("prices", "prices", right=True),
        Column("verdict", "verdict"),
    )
    rows = tuple((one.file, one.accelerators, one.prices, "valid") for one in checked)
    return Document(
        verb="catalog.validate",
        headline=f"{len(checked)} {'file is' if len(checked) == 1 else 'files are'} valid.",
        inputs={"files": [one.file for one in checked]},
        result={
            "files": [
                {"file": o.file, "accelerators": o.accelerators, "prices": o.prices, "valid": True} for o in checked
            ],
            "config_folder": folder,
        },
        sections=(
            Table("files", columns, rows),
            Facts("folder", (("config_folder", "your own files belong in", str(folder), ""),)),
        ),
        warnings=warnings,
        catalog=catalog.stamp(),
    )


def added_document(path: Path, text: str, catalog: Catalog, accelerator: str, inputs: Mapping[str, object]) -> Document:
    """Return what `catalog add` wrote and where."""
    return Document(
        verb="catalog.add",
        headline=f"Wrote {path}; every command uses it from now on.",
        inputs=inputs,
        result={"file": path, "accelerator": accelerator, "content": text},
        sections=(Facts("added", (("file", "file", str(path), ""), ("accelerator", "accelerator", accelerator, ""))),),
        catalog=catalog.stamp(),
        next_commands=(f"flopwise catalog show {accelerator}",),
    )


def _offer_result(price: Price, today: datetime.date, reasons: Mapping[Price, Reason]) -> dict[str, object]:
    return {
        "accelerator": price.accelerator,
        "cloud": price.cloud,
        "class": price.cloud_class,
        "plan": price.plan,
        "terms": price.terms,
        "usd_per_hour": price.usd_per_hour,
        "median_usd_per_hour": price.median_usd_per_hour,
        "points": price.points,
        "region": price.region,
        "instance": price.instance,
        "accelerators_per_instance": price.accelerators_per_instance,
        "covers": price.covers,
        "date": price.date,
        "date_basis": price.date_basis,
        "stale": is_stale(price, today),
        "left_out": reasons.get(price, ""),
        "source": price.source,
        "note": price.note,
        "origin": price.origin,
    }


def _reasons(quotes: Sequence[Quote]) -> Mapping[Price, Reason]:
    """Why an offer does not count in the first quote that it matches."""
    reasons: dict[Price, Reason] = {}
    for answer in quotes:
        for left in answer.left_out:
            reasons.setdefault(left.price, left.reason)
    return reasons


def _card_warnings(
    catalog: Catalog, chip: Accelerator, quotes: Sequence[Quote], today: datetime.date
) -> tuple[str, ...]:
    warnings: list[str] = []
    if chip.unverified:
        warnings.append("What is listed as unverified rests on memory alone and was not read again.")
    if not quotes:
        try:
            quote(catalog, chip.id)
        except InputError as error:
            warnings.append(str(error)[:1].upper() + str(error)[1:])
    elif quotes:
        warnings.extend(quotes[0].notes(today))
    return tuple(warnings)
