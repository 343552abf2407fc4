"""The grammar of `catalog.yaml`, one entry at a time: a card becomes an `Accelerator`, an offer becomes a `Price`.

The head of `catalog.yaml` explains the same grammar to people. People's units (GiB, GB/s, TFLOP/s, Gbit/s) are
converted here, once. Values that cannot be true are refused: sparse rates typed as dense ones, the price of a whole
machine typed as that of one accelerator would otherwise look like very good news.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..names import nearest
from ..units import GB, GIB
from .records import Accelerator, Cloud, CloudClass, Price, PricePlan, Source, UsableRule
from .schema import Fields
from .yamlfile import FactFile, spell

MIB = 2.0**20
GBIT = 1e9 / 8
FORMATS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "fp4", "int8")
COVERS = ("whole VM", "GPU only", "per chip")
DRIVER_RULE = "from-driver"
SEEN = "capacity named in out-of-memory messages"  # of our cards; in an overlay, the user's word

_NESTED = {
    "dense_tflops": FORMATS,
    "link": ("name", "gb_per_s_one_way", "domain"),
    "node": ("accelerators", "pcie", "network_gbit_per_s"),
    "chip": ("compute_units", "unit", "l2_mib"),
    "purchase": ("usd", "basis"),
}
_ADDED = ("aliases", "sources")  # an overlay's entries join ours
CARD = (
    *("name", "aliases", "vendor", "architecture", "released", "memory_gib", "memory_gb", "memory_mib_seen"),
    *("usable_gib", "usable_by", "memory_type", "bandwidth_gb_per_s", "dense_tflops", "datasheet_prints", "power_w"),
    *("link", "node", "chip", "purchase", "confidence", "sources", "unverified", "note"),
)
OFFER = (
    *("cloud", "plan", "usd_per_hour", "date", "source", "terms", "date_basis", "median_usd_per_hour", "points"),
    *("region", "instance", "per_instance", "covers", "averaged", "trend", "note"),
)

# A rate that is this many times that of the next wider formats mixes sparse with dense (the widest true step is 3.75,
# Trainium 3 from bf16 to fp8; sparse against dense gives 4).
_WIDEST_STEP = 3.8
_STEPS = ((("tf32",), "bf16"), (("tf32",), "fp16"), (("bf16", "fp16"), "fp8"), (("fp8", "int8"), "fp4"))
# A chip with more than this times the best known rate per compute unit of its architecture has sparse rates.
_BEST_PER_UNIT = 1.6
_MOST_TFLOPS = 1e6
_MOST_USD_PER_HOUR = 1000.0


def read_accelerator(
    file: FactFile,
    name: str,
    card: object,
    *,
    rules: Mapping[str, UsableRule],
    sources: Collection[str],
    origin: str = "catalog.yaml",
) -> Accelerator:
    """Return the accelerator that `card`, the entry `name` of `file`, describes.

    Raises:
        FactsError: naming file, line, field and the fix.
    """
    fields = Fields(file, ("accelerators", name), card, CARD)
    link, node, chip, purchase = (_part(fields, key) for key in ("link", "node", "chip", "purchase"))
    memory_bytes = _memory(fields)
    usable_bytes, usable_source = _usable(fields, memory_bytes, rules)
    network = node.optional_number("network_gbit_per_s")
    l2_mib = chip.optional_number("l2_mib")
    one_way = link.optional_number("gb_per_s_one_way")
    seen = fields.optional_number("memory_mib_seen")
    return Accelerator(
        id=name,
        name=fields.text("name"),
        vendor=fields.text("vendor"),
        architecture=fields.text("architecture"),
        release_date=fields.date("released") if "released" in fields else "",
        memory_bytes=memory_bytes,
        usable_memory_bytes=usable_bytes,
        usable_memory_source=usable_source,
        memory_type=fields.text("memory_type", ""),
        memory_bandwidth_bytes_per_s=fields.number("bandwidth_gb_per_s") * GB,
        peak_flops_per_s=_rates(fields),
        power_w=fields.optional_number("power_w"),
        link=link.text("name", ""),
        link_bytes_per_s=one_way * GB if one_way else None,
        link_domain=link.optional_whole("domain"),
        accelerators_per_node=node.optional_whole("accelerators"),
        pcie=node.text("pcie", ""),
        network_bytes_per_s_per_node=network * GBIT if network else None,
        compute_units=chip.optional_whole("compute_units"),
        compute_unit=chip.text("unit", ""),
        l2_bytes=l2_mib * MIB if l2_mib else None,
        list_price_usd=purchase.optional_number("usd"),
        price_basis=purchase.text("basis", ""),
        confidence=fields.choice("confidence", ("high", "medium", "low"), "medium"),
        sources=_codes(fields, sources),
        note=fields.text("note", ""),
        aliases=fields.texts("aliases"),
        origin=origin,
        seen_memory_bytes=seen * MIB if seen else None,
        datasheet_prints=fields.choice("datasheet_prints", ("dense", "sparse", "both"), ""),
        unverified=_unverified(fields),
    )


def _part(fields: Fields, key: str) -> Fields:
    value = fields.values.get(key)
    return Fields(fields.file, (*fields.path, key), {} if value is None else value, _NESTED[key])


def _memory(fields: Fields) -> float:
    if "memory_gib" in fields and "memory_gb" in fields:
        fields.fail("memory_gb", f"{fields.spelled('memory_gb')} and memory_gib exclude each other; keep one")
    size = fields.number("memory_gb") * GB if "memory_gb" in fields else fields.number("memory_gib") * GIB
    if size > 1e5 * GIB:
        fields.fail("memory_gib", f"{fields.spelled('memory_gib')} is too large to be true; its unit is GiB")
    return size


def _usable(fields: Fields, memory_bytes: float, rules: Mapping[str, UsableRule]) -> tuple[float, str]:
    """Return what a program can use, in bytes, and where that comes from."""
    if "usable_gib" in fields:
        if "usable_by" in fields:
            fields.fail("usable_by", f"{fields.spelled('usable_by')} and usable_gib exclude each other; keep one")
        usable = fields.number("usable_gib") * GIB
        if usable > memory_bytes * 1.01:  # TPU v5p: 95 sold, 95.74 seen
            fields.fail("usable_gib", f"{fields.spelled('usable_gib')} is more than the memory; give both or neither")
        return usable, SEEN
    if "usable_by" in fields:
        rule = rules[fields.choice("usable_by", tuple(rules))]
        return memory_bytes * rule.fraction, f"{rule.fraction:g} of the memory as sold ({rule.source})"
    if "memory_mib_seen" in fields:
        rule = rules[DRIVER_RULE]
        seen = fields.number("memory_mib_seen") * MIB
        return min(seen, memory_bytes) * rule.fraction, f"{rule.fraction:g} of what the driver prints ({rule.source})"
    fields.fail(
        "usable_gib",
        f"{spell(fields.path)} does not say how much memory a program can use; add usable_gib, memory_mib_seen or "
        f"usable_by (one of {', '.join(rules)})",
    )


def _rates(fields: Fields) -> Mapping[str, float]:
    """Return dense rates in FLOP/s by format."""
    rates = _part(fields, "dense_tflops")
    tflops = {key: rates.number(key) for key in FORMATS if key in rates}
    for key, value in tflops.items():
        if value > _MOST_TFLOPS:
            rates.fail(key, f"{rates.spelled(key)} is {value:g}, which is too large to be true; its unit is TFLOP/s")
    for wide, narrow in _STEPS:
        fastest = max((key for key in wide if key in tflops), key=lambda key: tflops[key], default=None)
        if narrow in tflops and fastest and tflops[narrow] > _WIDEST_STEP * tflops[fastest]:
            rates.fail(
                narrow,
                f"{rates.spelled(narrow)} is {tflops[narrow]:g}, {tflops[narrow] / tflops[fastest]:.2g} times the "
                f"rate of {fastest}: one of them is not dense; write rates without structured sparsity, here perhaps "
                f"{tflops[narrow] / 2:g}",
            )
    return {key: value * 1e12 for key, value in tflops.items()}


def refuse_sparse(file: FactFile, new: Accelerator, others: Collection[Accelerator]) -> None:
    """Refuse a chip whose rates are far above those of every chip of its architecture, per compute unit.

    Only where the vendor prints sparse rates at all.
    """
    peers = [peer for peer in others if peer.architecture == new.architecture and peer.id != new.id]
    if not any(peer.datasheet_prints in ("sparse", "both") for peer in peers):
        return
    for key, rate in new.peak_flops_per_s.items():
        size = new.compute_units if new.compute_units and not new.compute_unit else None
        best = 0.0
        for peer in peers:
            if key in peer.peak_flops_per_s and (size is None or (peer.compute_units and not peer.compute_unit)):
                best = max(best, peer.peak_flops_per_s[key] / ((peer.compute_units or 1) if size else 1))
        if best and rate / (size or 1) > _BEST_PER_UNIT * best:
            path = ("accelerators", new.id, "dense_tflops", key)
            raise file.error(
                f"{spell(path)} is {rate / 1e12:g}, {rate / (size or 1) / best:.2g} times the best of "
                f"{new.architecture}{' per compute unit' if size else ''}: perhaps a sparse rate, the dense one would "
                f"be {rate / 2e12:g}; if it is dense, give chip.compute_units or the right architecture",
                *path,
            )


def _codes(fields: Fields, known: Collection[str]) -> tuple[str, ...]:
    codes = fields.texts("sources")
    for index, code in enumerate(codes):
        if code not in known and " " not in code:  # a text with a space is the user's own words
            close = nearest(code, known)
            hint = f"did you mean '{close[0]}'?" if close else "add it to sources"
            path = (*fields.path, "sources", index)
            raise fields.file.error(f"{spell(path)} is '{code}', which is not a code of sources; {hint}", *path)
    return codes


def _unverified(fields: Fields) -> tuple[str, ...]:
    entries = fields.texts("unverified")
    for index, entry in enumerate(entries):
        first, _, rest = entry.partition(".")
        value = fields.values.get(first)
        if isinstance(value, Mapping) and rest:
            value = value.get(rest)
        elif rest:
            value = None
        if value is None:
            path = (*fields.path, "unverified", index)
            raise fields.file.error(f"{spell(path)} is '{entry}', which is no field of this card", *path)
    return entries


def merge_card(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    """Return a card with what an overlay's card changes: `key: null` takes a value away, aliases and sources join.

    What an overlay gives is no longer unverified, unless it says so itself.
    """
    merged = dict(old)
    changed: set[str] = set()
    for key, value in new.items():
        before = old.get(key)
        if key in _NESTED and isinstance(before, dict) and isinstance(value, dict):
            merged[key] = {**before, **value}
            changed |= {f"{key}.{inner}" for inner in value}
        elif key in _ADDED and isinstance(before, list) and isinstance(value, list):
            merged[key] = [*before, *(item for item in value if item not in before)]
        else:
            merged[key] = value
            changed.add(key)
    listed = merged.get("unverified")
    if "unverified" not in new and isinstance(listed, list):
        merged["unverified"] = [
            entry for entry in listed if entry not in changed and str(entry).partition(".")[0] not in changed
        ]
    return merged


def read_price(
    file: FactFile,
    accelerator: str,
    index: int,
    offer: object,
    *,
    clouds: Mapping[str, Cloud],
    sources: Mapping[str, Source],
    origin: str = "catalog.yaml",
) -> Price:
    """Return the price that `offer`, entry `index` of `prices.<accelerator>`, describes."""
    fields = Fields(file, ("prices", accelerator, index), offer, OFFER)
    cloud = fields.text("cloud")
    if cloud not in clouds:
        close = nearest(cloud, clouds)
        hint = f"did you mean '{close[0]}'? If not, add" if close else "add"
        fields.fail(
            "cloud",
            f"{fields.spelled('cloud')} is '{cloud}', which is not in clouds; {hint} "
            f"`clouds: {{{cloud}: {{class: gpu-cloud}}}}` (or hyperscaler, marketplace)",
        )
    plan = PricePlan(fields.choice("plan", tuple(PricePlan)))
    usd = fields.number("usd_per_hour")
    median = fields.optional_number("median_usd_per_hour")
    for key, value in (("usd_per_hour", usd), ("median_usd_per_hour", median or 0.0)):
        if value > _MOST_USD_PER_HOUR:
            fields.fail(key, f"{fields.spelled(key)} is {value:g}; give US dollars for one accelerator and hour")
    if median is not None and median < usd:
        fields.fail(
            "median_usd_per_hour", f"{fields.spelled('median_usd_per_hour')} is below usd_per_hour, the lowest price"
        )
    code = fields.text("source")
    if code not in sources and " " not in code:
        close = nearest(code, sources)
        hint = f"did you mean '{close[0]}'?" if close else "name it in a few words or add it to sources"
        fields.fail("source", f"{fields.spelled('source')} is '{code}', which is not a code of sources; {hint}")
    averaged = _flag(fields, "averaged")
    known = sources.get(code)
    return Price(
        accelerator=accelerator,
        cloud=cloud,
        cloud_class=clouds[cloud].cloud_class,
        plan=plan,
        terms=fields.text("terms", f"{plan} (mean of listings)" if averaged else str(plan)),
        usd_per_hour=usd,
        median_usd_per_hour=median,
        points=fields.optional_whole("points"),
        region=fields.text("region", ""),
        instance=fields.text("instance", ""),
        accelerators_per_instance=fields.optional_whole("per_instance"),
        covers=fields.choice("covers", COVERS, COVERS[0]),
        date=fields.date("date", bracket=True),
        date_basis=fields.text("date_basis", "exact"),
        source=code,
        note=fields.text("note", "") or (known.note if known else ""),
        origin=origin,
        averaged=averaged,
        trend=_flag(fields, "trend"),
    )


def _flag(fields: Fields, key: str) -> bool:
    value = fields.values.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        fields.fail(key, f"{fields.spelled(key)} is {value}, write true or leave it out")
    return value


def read_cloud(file: FactFile, name: str, entry: object) -> Cloud:
    """Return one entry of `clouds`."""
    fields = Fields(file, ("clouds", name), entry, ("class", "seller", "aliases"))
    return Cloud(
        name=name,
        cloud_class=CloudClass(fields.choice("class", tuple(CloudClass))),
        seller=fields.text("seller", name),
        aliases=fields.texts("aliases"),
    )


def read_source(file: FactFile, code: str, entry: object) -> Source:
    """Return one entry of `sources`."""
    fields = Fields(file, ("sources", code), entry, ("name", "read", "licence", "reuse", "note"))
    return Source(
        code=code,
        name=fields.text("name"),
        read=fields.text("read", ""),
        licence=fields.text("licence"),
        reuse=fields.text("reuse"),
        note=fields.text("note", ""),
    )


def read_rule(file: FactFile, name: str, entry: object) -> UsableRule:
    """Return one entry of `usable_memory`."""
    fields = Fields(file, ("usable_memory", name), entry, ("fraction", "source"))
    fraction = fields.number("fraction")
    if fraction > 1:
        fields.fail("fraction", f"{fields.spelled('fraction')} is {fraction:g}, it must be at most 1")
    return UsableRule(name=name, fraction=fraction, source=fields.text("source"))
