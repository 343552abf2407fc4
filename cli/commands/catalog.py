"""`flopwise catalog`: list, show, prices, validate, add. Reads what was typed, filters and sorts; no arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.errors import InputError
from ...estimators.facts.catalog import Catalog, load_catalog
from ...estimators.facts.records import Accelerator, CloudClass, Price, PricePlan
from ...estimators.names import fold, nearest
from ..clock import today
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    complete_accelerator,
    memory,
    naming,
    panel,
)
from ..report.output import deliver
from .catalog_add import add

if TYPE_CHECKING:
    from ...estimators.pricing.quote import Quote

app = typer.Typer(no_args_is_help=True)

filter_option = panel("Which ones")


class ListSort(StrEnum):
    """Orders of `catalog list`."""

    FILE = "file"
    MEMORY = "memory"
    BANDWIDTH = "bandwidth"
    BF16 = "bf16"
    PRICE = "price"
    POWER = "power"
    RELEASE = "release"


class PriceSort(StrEnum):
    """Orders of `catalog prices`."""

    PRICE = "price"
    DATE = "date"
    CLOUD = "cloud"


PlanOption = Annotated[PricePlan, filter_option("--plan", help="The terms of the price.", case_sensitive=False)]
ClassOption = Annotated[
    CloudClass | None, filter_option("--class", help="Only sellers of this class.", case_sensitive=False)
]
CloudOption = Annotated[str | None, filter_option("--cloud", metavar="NAME", help="Only this cloud.")]


@app.command("list")
def list_accelerators(
    vendor: Annotated[str | None, filter_option("--vendor", metavar="NAME", help="Only this vendor.")] = None,
    architecture: Annotated[
        str | None, filter_option("--architecture", metavar="NAME", help="Only this architecture.")
    ] = None,
    min_memory: Annotated[
        float | None,
        filter_option(
            "--min-memory", parser=memory, metavar="BYTES", help="At least so much memory, for example 80GB."
        ),
    ] = None,
    priced: Annotated[bool, filter_option("--priced", help="Only those with a price.")] = False,
    plan: PlanOption = PricePlan.ON_DEMAND,
    cloud_class: ClassOption = None,
    sort: Annotated[
        ListSort, filter_option("--sort", help="Largest first; price: cheapest first.", case_sensitive=False)
    ] = ListSort.FILE,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """List accelerators with memory, dense rates, power and price."""
    from ..report.catalog import list_document, quote_or_none

    facts = load_catalog(catalog or ())
    chips = list(facts.accelerators.values())
    if vendor:
        chips = _matching(chips, vendor, "--vendor", lambda chip: chip.vendor)
    if architecture:
        chips = _matching(chips, architecture, "--architecture", lambda chip: chip.architecture)
    if min_memory:
        chips = [chip for chip in chips if chip.memory_bytes >= min_memory]
    found = [(chip, quote_or_none(facts, chip.id, plan, None, cloud_class)) for chip in chips]
    if priced:
        found = [(chip, price) for chip, price in found if price]
    found = _sorted(found, sort)
    asked = "".join(
        (
            f" of {vendor}" if vendor else "",
            f" with architecture {architecture}" if architecture else "",
            " with that much memory" if min_memory else "",
            " with a price" if priced else "",
        )
    )
    inputs = {
        "vendor": vendor,
        "architecture": architecture,
        "min_memory_bytes": min_memory,
        "priced": priced,
        "plan": plan,
        "class": cloud_class,
        "sort": sort,
    }
    document = list_document(
        facts, found, inputs, asked=f"{asked}, prices {_asked(plan, None, cloud_class)}", today=today()
    )
    deliver(document, format=format, output=output, force=force)


@app.command("show")
def show_accelerator(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="An accelerator, for example h100.", autocompletion=complete_accelerator),
    ],
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Show one accelerator as a card: every rate, price and source."""
    from ..report.catalog import quote_or_none, show_document

    facts = load_catalog(catalog or ())
    chip = facts.find(name)
    asked = [(plan, seller) for plan in PricePlan for seller in (None, *CloudClass)]
    quotes = [found for plan, seller in asked if (found := quote_or_none(facts, chip.id, plan, None, seller))]
    deliver(show_document(facts, chip, name, quotes, today=today()), format=format, output=output, force=force)


@app.command("prices")
def list_prices(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="An accelerator; all of them where left out.",
            autocompletion=complete_accelerator,
        ),
    ] = None,
    cloud: CloudOption = None,
    cloud_class: ClassOption = None,
    plan: Annotated[
        PricePlan | None,
        filter_option(
            "--plan",
            help="The terms: on-demand where one accelerator is named, all of them else.",
            case_sensitive=False,
        ),
    ] = None,
    sort: Annotated[
        PriceSort, filter_option("--sort", help="Order of the offers.", case_sensitive=False)
    ] = PriceSort.PRICE,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Show what an accelerator costs an hour: low, middle, high, and every offer behind them with its date."""
    from ...estimators.pricing.quote import quote
    from ..report.catalog import prices_document

    facts = load_catalog(catalog or ())
    chip = facts.find(name) if name else None
    with naming("--cloud"):
        asked_cloud = facts.find_cloud(cloud) if cloud else None
    answer = None
    if chip:
        plan = plan or PricePlan.ON_DEMAND
        answer = quote(facts, chip.id, plan=plan, cloud=cloud, cloud_class=cloud_class)
    prices = [
        price
        for price in (facts.prices_of(chip.id) if chip else facts.prices)
        if (plan is None or price.plan is plan)
        and (asked_cloud is None or asked_cloud.name in (price.cloud, facts.clouds[price.cloud].seller))
        and (cloud_class is None or price.cloud_class is cloud_class)
    ]
    if not prices:
        raise InputError("no offer matches; `flopwise catalog prices` without filters lists all of them.")
    prices.sort(key=_price_key(sort))
    inputs = {"accelerator": name, "cloud": cloud, "class": cloud_class, "plan": plan, "sort": sort}
    asked = f", {_asked(plan, asked_cloud.name if asked_cloud else None, cloud_class)}"
    document = prices_document(facts, prices, inputs, asked=asked, answer=answer, today=today())
    deliver(document, format=format, output=output, force=force, explain=explain)


@app.command("validate")
def validate_files(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Overlay files; ours and those of your config folder where left out."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Check fact files: unknown keys, wrong kinds, impossible values. An error names file, line, field and the fix."""
    from ...estimators.facts.catalog import check_file, configured
    from ...estimators.facts.folders import config_folder
    from ...estimators.facts.other_prices import load_other_prices
    from ..report.catalog import CheckedFile, checked_document

    given = [*(files or configured())]
    facts = load_catalog(given, use_config_folder=False)
    checked: list[CheckedFile] = []
    if not files:
        ours = check_file()
        checked.append(CheckedFile("catalog.yaml", len(ours.accelerators), len(ours.prices)))
        load_other_prices()
    for path in given:
        origin = str(path)
        changed = sum(chip.origin == origin for chip in facts.accelerators.values())
        checked.append(CheckedFile(origin, changed, sum(price.origin == origin for price in facts.prices)))
    deliver(
        checked_document(checked, config_folder() / "catalog.d", facts, _doubts(facts, [str(path) for path in given])),
        format=format,
        output=output,
        force=force,
    )


app.command("add")(add)


def _doubts(facts: Catalog, origins: list[str]) -> tuple[str, ...]:
    """Say what is allowed and yet unlikely: prices from the future, or far from all others."""
    from ...estimators.pricing.quote import far_from_others

    doubts: list[str] = []
    for price in facts.prices:
        if price.date_from > today().isoformat():
            doubts.append(f"A price of {price.accelerator} at {price.cloud} is dated {price.date}, in the future.")
        if price.origin in origins and (why := far_from_others(price, facts.prices_of(price.accelerator))):
            doubts.append(why)
    return tuple(doubts)


def _matching(
    chips: list[Accelerator], typed: str, flag: str, field: Callable[[Accelerator], str]
) -> list[Accelerator]:
    """Keep the chips whose `field` is what was typed; a value that no chip has is an error."""
    known = {fold(field(chip)): field(chip) for chip in chips}
    if fold(typed) not in known:
        close = nearest(fold(typed), known, 1)
        hint = f"; did you mean '{known[close[0]]}'?" if close else f"; there are {', '.join(known.values())}."
        raise InputError(f"{flag}: nothing listed is by or of '{typed}'{hint}")
    return [chip for chip in chips if fold(field(chip)) == fold(typed)]


def _sorted(found: list[tuple[Accelerator, Quote | None]], sort: ListSort) -> list[tuple[Accelerator, Quote | None]]:
    """Order rows; what lacks the value comes last."""
    if sort is ListSort.FILE:
        return found
    if sort is ListSort.RELEASE:
        return sorted(found, key=lambda row: row[0].release_date, reverse=True)

    def key(row: tuple[Accelerator, Quote | None]) -> tuple[bool, float]:
        chip, price = row
        value = {
            ListSort.MEMORY: chip.memory_bytes,
            ListSort.BANDWIDTH: chip.memory_bandwidth_bytes_per_s,
            ListSort.BF16: chip.peak_flops_per_s.get("bf16"),
            ListSort.POWER: chip.power_w,
            ListSort.PRICE: -price.usd_per_hour.mid if price else None,
        }[sort]
        return (value is None, -(value or 0.0))

    return sorted(found, key=key)


def _price_key(sort: PriceSort) -> Callable[[Price], tuple[str | float, ...]]:
    if sort is PriceSort.DATE:
        return lambda price: (price.date_from, price.cloud)
    if sort is PriceSort.CLOUD:
        return lambda price: (fold(price.cloud), price.usd_per_hour)
    return lambda price: (price.usd_per_hour, price.cloud)


def _asked(plan: PricePlan | None, cloud: str | None, cloud_class: CloudClass | None) -> str:
    """Say in words which prices were asked for."""
    terms = str(plan) if plan else "all terms"
    if cloud:
        return f"{terms} at {cloud}"
    return f"{terms} at {cloud_class} sellers" if cloud_class else f"{terms} at all sellers"
