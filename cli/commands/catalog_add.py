"""`flopwise catalog add`: an accelerator or a price of the user's own, into the config folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ...estimators.errors import FactsError, InputError, UnknownName
from ...estimators.facts.cards import FORMATS, SEEN
from ...estimators.facts.catalog import Catalog, load_catalog
from ...estimators.facts.overlay import check_overlay, overlay_path, overlay_text, plain_error, refuse_existing
from ...estimators.facts.records import CloudClass, PricePlan
from ...estimators.names import fold
from ...estimators.units import GIB, read_bytes_per_s
from ..clock import today
from ..options import FormatOption, memory, naming, panel, power, reader, usd
from ..report.output import deliver, write_atomically

card_option, price_option = panel("The accelerator"), panel("The price")

_bandwidth = reader(read_bytes_per_s)


def add(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A known accelerator, or the id of a new one (lower case, hyphens).")
    ],
    title: Annotated[str | None, card_option("--title", metavar="TEXT", help="Its full name.")] = None,
    vendor: Annotated[str | None, card_option("--vendor", metavar="NAME", help="Who makes it.")] = None,
    architecture: Annotated[
        str | None, card_option("--architecture", metavar="NAME", help="Its family; decides which efficiency applies.")
    ] = None,
    size: Annotated[
        float | None, card_option("--memory", parser=memory, metavar="BYTES", help="As sold, for example 96GiB.")
    ] = None,
    usable: Annotated[
        float | None,
        card_option(
            "--usable-memory", parser=memory, metavar="BYTES", help="What a program gets; assumed where left out."
        ),
    ] = None,
    bandwidth: Annotated[
        float | None, card_option("--bandwidth", parser=_bandwidth, metavar="BYTES/S", help="Of its memory, 3.35TB/s.")
    ] = None,
    dense: Annotated[
        list[str] | None,
        card_option(
            "--dense",
            metavar="FORMAT=TFLOPS",
            help="A dense peak rate in TFLOP/s, for example bf16=989.4. May be repeated.",
        ),
    ] = None,
    watts: Annotated[float | None, card_option("--power", parser=power, metavar="WATTS", help="Maximum, 700W.")] = None,
    link: Annotated[
        float | None, card_option("--link", parser=_bandwidth, metavar="BYTES/S", help="To its neighbours, one way.")
    ] = None,
    link_domain: Annotated[
        int | None, card_option("--link-domain", metavar="COUNT", min=1, help="How many are joined so.")
    ] = None,
    per_node: Annotated[
        int | None, card_option("--per-node", metavar="COUNT", min=1, help="How many in one server.")
    ] = None,
    network: Annotated[
        float | None,
        card_option(
            "--network", parser=_bandwidth, metavar="BYTES/S", help="Of the server, one way, all cards: 3200Gbit/s."
        ),
    ] = None,
    alias: Annotated[
        list[str] | None, card_option("--alias", metavar="NAME", help="A short form. May be repeated.")
    ] = None,
    usd_per_hour: Annotated[
        float | None, price_option("--usd-per-hour", parser=usd, metavar="USD", help="For ONE accelerator and hour.")
    ] = None,
    cloud: Annotated[str | None, price_option("--cloud", metavar="NAME", help="Who sells.")] = None,
    cloud_class: Annotated[
        CloudClass | None, price_option("--class", help="Of a cloud that we do not know.", case_sensitive=False)
    ] = None,
    plan: Annotated[
        PricePlan | None, price_option("--plan", help="On-demand where left out.", case_sensitive=False)
    ] = None,
    date: Annotated[
        str | None, price_option("--date", metavar="DATE", help="Of the offer; today where left out.")
    ] = None,
    region: Annotated[str | None, price_option("--region", metavar="NAME", help="Where it holds.")] = None,
    from_bench: Annotated[
        str | None,
        card_option(
            "--from-bench",
            metavar="RECORD",
            help="Take memory and rates from a record of `flopwise bench run`: latest, a file, or an id.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="TEXT", help="Where the numbers come from, in a few words.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Anything to remember.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an entry that is there already.")] = False,
    format: FormatOption = None,
) -> None:
    """Add an accelerator or a price of your own. It goes into your config folder, on top of ours, and stays there."""
    from ..report.catalog import added_document

    facts = load_catalog()
    card: dict[str, object] = {
        "name": title,
        "aliases": alias or None,
        "vendor": vendor,
        "architecture": architecture,
        "memory_gib": _tidy(size and size / GIB),
        "usable_gib": _tidy(usable and usable / GIB),
        "bandwidth_gb_per_s": _tidy(bandwidth and bandwidth / 1e9),
        "dense_tflops": _rates(dense or []) or None,
        "power_w": _tidy(watts),
        "link": _part(gb_per_s_one_way=_tidy(link and link / 1e9), domain=link_domain),
        "node": _part(accelerators=per_node, network_gbit_per_s=_tidy(network and network * 8e-9)),
    }
    card = {key: value for key, value in card.items() if value is not None}
    if from_bench is not None:
        measured, said = _measured(from_bench)
        card, source = {**measured, **card}, source or said
    offer = {"--cloud": cloud, "--class": cloud_class, "--plan": plan, "--date": date, "--region": region}
    if usd_per_hour is None and any(offer.values()):
        given = next(flag for flag, value in offer.items() if value)
        raise InputError(f"{given}: it belongs to a price; give --usd-per-hour too, or leave it out.")
    if card and usd_per_hour is not None:
        raise InputError("--usd-per-hour: add the accelerator first and its price with a second command.")
    if not card and usd_per_hour is None:
        raise InputError("nothing to add: give --usd-per-hour and --cloud, or what differs of the accelerator.")
    words = source if source is None or " " in source else f"{source} (given by hand)"
    if card:
        key, content = _accelerator(facts, name, card, words, note)
        path = overlay_path(key)
    else:
        key, content, path = _price(facts, name, usd_per_hour, cloud, cloud_class, plan, date, region, words, note)
    refuse_existing(path, force=force)
    text = overlay_text(content, f"Written by `flopwise catalog add` on {today().isoformat()}.")
    try:
        after = check_overlay(text, path)
    except FactsError as error:
        raise (plain_error(error) if error.file == str(path) else error) from None
    _write(path, text)
    inputs = {"name": name, "force": force}
    deliver(added_document(path, text, after, key, inputs), format=format)


def _measured(typed: str) -> tuple[dict[str, object], str]:
    """Return a card from a record of local measurements, and its source in words; what was typed goes before it."""
    from ...estimators.facts.bench_records import find_record, read_record

    with naming("--from-bench"):
        record = read_record(find_record(typed))
        best, stream = record.best_flops, record.best_bandwidth
        if not best or stream is None:
            raise InputError(f"the measurement {record.id} has no matrix products or no memory bandwidth.")
    device = record.device
    known = {name: case for name, case in best.items() if name in FORMATS}
    card: dict[str, object] = {
        "name": device.name,
        "vendor": device.vendor,
        "architecture": device.architecture,
        "memory_gib": _tidy(float(f"{device.memory_bytes / GIB:.5g}")),
        "bandwidth_gb_per_s": _tidy(float(f"{stream.bytes_per_s / 1e9:.4g}")),
        "dense_tflops": {name: _tidy(float(f"{case.flops_per_s / 1e12:.4g}")) for name, case in known.items()},
        "note": "Rates are what this machine reaches, not those of a sheet.",
    }
    return card, f"flopwise bench {record.id}"


def _accelerator(
    facts: Catalog, name: str, card: dict[str, object], source: str | None, note: str | None
) -> tuple[str, dict[str, object]]:
    """Return the id and the overlay of a new accelerator, or of what differs in a known one."""
    try:
        known = facts.find(name)
    except UnknownName:
        key = fold(name)
        needed = {"--vendor": "vendor", "--architecture": "architecture", "--memory": "memory_gib"}
        needed |= {"--bandwidth": "bandwidth_gb_per_s", "--dense": "dense_tflops"}
        missing = [flag for flag, field in needed.items() if field not in card]
        if missing:
            raise InputError(
                f"'{name}' is new to the catalog, so {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed."
            ) from None
        card = {"name": name, **card}
        if "usable_gib" not in card:
            card["usable_by"] = "assumed"
        card["confidence"] = "medium"
    else:
        key = known.id
        if "usable_gib" in card and known.usable_memory_source != SEEN:
            card["usable_by"] = None  # takes the rule away
    if source:
        card["sources"] = [source]
    if note:
        card["note"] = note
    return key, {"accelerators": {key: card}}


def _price(
    facts: Catalog,
    name: str,
    usd_per_hour: float | None,
    cloud: str | None,
    cloud_class: CloudClass | None,
    plan: PricePlan | None,
    date: str | None,
    region: str | None,
    source: str | None,
    note: str | None,
) -> tuple[str, dict[str, object], Path]:
    """Return the id, the overlay and the file of a price."""
    key = facts.find(name).id
    if not cloud:
        raise InputError("--cloud: say who asks that price, for example --cloud CoreWeave.")
    content: dict[str, object] = {}
    try:
        seller = facts.find_cloud(cloud).name
    except UnknownName as error:
        if cloud_class is None:
            hint = f" Did you mean {error.nearest[0]}?" if error.nearest else ""
            raise InputError(
                f"--cloud: '{cloud}' is new to the catalog; say what it is with --class hyperscaler, gpu-cloud or "
                f"marketplace.{hint}"
            ) from None
        seller = cloud
        content["clouds"] = {seller: {"class": str(cloud_class)}}
    else:
        known = facts.clouds[seller].cloud_class
        if cloud_class and cloud_class is not known:
            raise InputError(f"--class: {seller} is known as a {known}; leave it out.")
    terms = plan or PricePlan.ON_DEMAND
    offer: dict[str, object] = {
        "cloud": seller,
        "plan": str(terms),
        "usd_per_hour": _tidy(usd_per_hour),
        "date": date or today().isoformat(),
        "source": source or "given by hand",
        "region": region,
        "note": note,
    }
    content["prices"] = {key: [{field: value for field, value in offer.items() if value is not None}]}
    return key, content, overlay_path(key, seller, str(terms))


def _rates(given: list[str]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for text in given:
        match = re.fullmatch(r"\s*([A-Za-z0-9]+)\s*=\s*(\d+\.?\d*|\.\d+)\s*", text)
        if not match:
            raise InputError(f"--dense: '{text}' is not a rate; write for example bf16=989.4 (TFLOP/s).")
        kind = match[1].lower()
        if kind not in FORMATS:
            raise InputError(f"--dense: '{match[1]}' is not a number format; choose one of {', '.join(FORMATS)}.")
        if kind in rates:
            raise InputError(f"--dense: {kind} is given twice; give it once.")
        rates[kind] = _tidy(float(match[2])) or 0.0
    return rates


def _part(**fields: float | None) -> dict[str, float] | None:
    return {key: value for key, value in fields.items() if value is not None} or None


def _tidy(value: float | None) -> float | None:
    """Drop the noise of unit conversion; whole numbers as such."""
    if value is None:
        return None
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {(error.strerror or str(error)).lower()}.") from None
    write_atomically(path, text.encode("utf-8"))
