"""A wrong catalog or overlay is one sentence with file, line, field, what is wanted and the nearest valid choice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import FactsError
from flopwise.estimators.facts.cards import CARD, OFFER, read_accelerator, read_price
from flopwise.estimators.facts.catalog import check_ours, load_catalog
from flopwise.estimators.facts.folders import package_folder
from flopwise.estimators.facts.yamlfile import FactFile, read_text

OURS = (package_folder() / "catalog.yaml").read_text(encoding="utf-8")
CARD_TEXT = """\
version: "1"
usable_memory:
  assumed: {fraction: 0.95, source: a guess}
  from-driver: {fraction: 0.98, source: a guess}
sources:
  SHEET: {name: the vendor's sheet, licence: none, reuse: single facts}
clouds:
  Acme: {class: gpu-cloud}
accelerators:
  x1:
    name: Example 1
    aliases: [one]
    vendor: Acme
    architecture: X
    released: "2026-01-31"
    memory_gib: 80
    usable_by: assumed
    memory_type: HBM3
    bandwidth_gb_per_s: 3350
    dense_tflops: {tf32: 495, bf16: 989, fp8: 1979}
    datasheet_prints: sparse
    power_w: 700
    link: {name: Link, gb_per_s_one_way: 450, domain: 8}
    node: {accelerators: 8, pcie: 5.0 x16, network_gbit_per_s: 3200}
    chip: {compute_units: 132, l2_mib: 50}
    purchase: {usd: 30000, basis: list}
    confidence: high
    sources: [SHEET]
    unverified: [power_w]
    note: a note
prices:
  x1:
  - {cloud: Acme, plan: on-demand, usd_per_hour: 3, date: "2026-10-01", source: SHEET, median_usd_per_hour: 4}
"""


def sentence(text: str, old: str, new: str) -> str:
    """The error of `text` with `old` replaced; it must name the line of the change."""
    assert old in text
    broken = text.replace(old, new, 1)
    with pytest.raises(FactsError) as caught:
        check_ours(read_text(broken, name="catalog.yaml"))
    return str(caught.value)


def test_the_example_itself_is_valid() -> None:
    check_ours(read_text(CARD_TEXT, name="catalog.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # unknown keys, with the nearest known one
        ("bandwidth_gb_per_s:", "bandwith_gb_per_s:", "is not a known key; did you mean 'bandwidth_gb_per_s'?"),
        ("    power_w: 700", "    tdp: 700", "accelerators.x1.tdp is not a known key; known are name, aliases"),
        ("bf16: 989", "bfl6: 989", "accelerators.x1.dense_tflops.bfl6 is not a known key; did you mean 'bf16'?"),
        ("domain: 8", "domian: 8", "accelerators.x1.link.domian is not a known key; did you mean 'domain'?"),
        (
            "usd_per_hour: 3",
            "usd_per_hr: 3",
            "prices.x1[0].usd_per_hr is not a known key; did you mean 'usd_per_hour'?",
        ),
        ("accelerators:\n", "accelerator:\n", "accelerator is not a known key; did you mean 'accelerators'?"),
        ("class: gpu-cloud", "kind: gpu-cloud", "clouds.Acme.kind is not a known key"),
        # text where a number is wanted
        ("power_w: 700", 'power_w: "700"', "power_w is '700', not a number; write 700 without quotes or unit"),
        ("power_w: 700", "power_w: 700 W", "power_w is '700 W', not a number; write 700 without quotes or unit"),
        (
            "bf16: 989",
            "bf16: 989e0",
            "bf16 is '989e0', not a number (YAML wants a dot and a signed exponent: 989.0e+0)",
        ),
        ("usd_per_hour: 3", "usd_per_hour: $3", "usd_per_hour is '$3', not a number; write 3 without quotes or unit"),
        ("memory_gib: 80", "memory_gib: true", "memory_gib is true, not a number"),
        ("memory_gib: 80", "memory_gib: [80]", "memory_gib is a list, not a number"),
        ("compute_units: 132", "compute_units: 132.5", "compute_units is 132.5, a whole number is wanted"),
        # numbers where text is wanted
        ('version: "1"', "version: 1", "version is 1, a text is wanted; write it in quotes"),
        ("architecture: X", "architecture: 7", "architecture is 7, a text is wanted; write it in quotes"),
        ("aliases: [one]", "aliases: [1]", "accelerators.x1.aliases[0] is 1, a text is wanted"),
        ("aliases: [one]", "aliases: one", "accelerators.x1.aliases is 'one', a list is wanted; write [one]"),
        ("aliases: [one]", "aliases: [one, one]", "accelerators.x1.aliases holds an entry twice; remove one"),
        # missing and empty
        ("    vendor: Acme\n", "", "accelerators.x1.vendor is missing; a text is wanted"),
        ("vendor: Acme", "vendor:", "accelerators.x1.vendor is empty; a text is wanted"),
        ("    memory_gib: 80\n", "", "accelerators.x1.memory_gib is missing; a number is wanted"),
        ("    bandwidth_gb_per_s: 3350\n", "", "bandwidth_gb_per_s is missing; a number is wanted"),
        ("    usable_by: assumed\n", "", "does not say how much memory a program can use; add usable_gib"),
        ('date: "2026-10-01", ', "", "prices.x1[0].date is missing; a text is wanted"),
        ("cloud: Acme, ", "", "prices.x1[0].cloud is missing; a text is wanted"),
        ("  - {cloud: Acme", "    {cloud: Acme", "prices.x1 must be a list of offers (lines that start with a dash)"),
        ("  x1:\n    name: Example 1\n", "  x1: 5\n  x2:\n    name: Example 1\n", "accelerators.x1 is 5, a mapping"),
        # choices
        ("confidence: high", "confidence: hihg", "confidence is 'hihg', which is not a choice; did you mean 'high'?"),
        ("plan: on-demand", "plan: ondemand", "plan is 'ondemand', which is not a choice; did you mean 'on-demand'?"),
        (
            "class: gpu-cloud",
            "class: gpucloud",
            "class is 'gpucloud', which is not a choice; did you mean 'gpu-cloud'?",
        ),
        ("datasheet_prints: sparse", "datasheet_prints: spars", "did you mean 'sparse'?"),
        (
            "usable_by: assumed",
            "usable_by: asumed",
            "usable_by is 'asumed', which is not a choice; did you mean 'assumed'?",
        ),
        (
            "sources: [SHEET]",
            "sources: [SHEAT]",
            "accelerators.x1.sources[0] is 'SHEAT', which is not a code of sources",
        ),
        (
            "source: SHEET,",
            "source: SHETE,",
            "source is 'SHETE', which is not a code of sources; did you mean 'SHEET'?",
        ),
        (
            "cloud: Acme,",
            "cloud: Amce,",
            "cloud is 'Amce', which is not in clouds; did you mean 'Acme'? If not, add `clouds:",
        ),
        ("prices:\n  x1:", "prices:\n  x2:", "prices.x2 is not the id of an accelerator"),
        ("unverified: [power_w]", "unverified: [powr]", "unverified[0] is 'powr', which is no field of this card"),
        # values that cannot be true
        ("power_w: 700", "power_w: -700", "power_w is -700, it must be more than 0"),
        ("memory_gib: 80", "memory_gib: 0", "memory_gib is 0, it must be more than 0"),
        ("memory_gib: 80", "memory_gib: 85899345920", "memory_gib is too large to be true; its unit is GiB"),
        ("usable_by: assumed", "usable_gib: 90", "usable_gib is more than the memory; give both or neither"),
        ("usable_by: assumed", "usable_by: assumed\n    usable_gib: 79", "and usable_gib exclude each other; keep one"),
        (
            "memory_gib: 80",
            "memory_gib: 80\n    memory_gb: 86",
            "memory_gb and memory_gib exclude each other; keep one",
        ),
        ("bf16: 989", "bf16: 989.0e+12", "which is too large to be true; its unit is TFLOP/s"),
        ("bf16: 989", "bf16: 1979", "bf16 is 1979, 4 times the rate of tf32: one of them is not dense"),
        (
            "fp8: 1979",
            "fp8: 3958",
            "fp8 is 3958, 4 times the rate of bf16: one of them is not dense; write rates without",
        ),
        ("usd_per_hour: 3,", "usd_per_hour: 0,", "usd_per_hour is 0, it must be more than 0"),
        ("usd_per_hour: 3,", "usd_per_hour: 3000,", "give US dollars for one accelerator and hour"),
        ("median_usd_per_hour: 4", "median_usd_per_hour: 2", "median_usd_per_hour is below usd_per_hour"),
        ("fraction: 0.95", "fraction: 95", "usable_memory.assumed.fraction is 95, it must be at most 1"),
        # dates
        ('"2026-10-01"', '"2026-13-01"', "date is '2026-13-01', not a date; write \"2026-11-22\""),
        ('"2026-10-01"', '"2026-02-30"', "date is '2026-02-30', not a date"),
        ('"2026-10-01"', "yesterday", "date is 'yesterday', not a date"),
        ('"2026-10-01"', '"2026-10..2026-08"', "date is '2026-10..2026-08', not a date"),
        ('released: "2026-01-31"', "released: 2026", "released is 2026, a text is wanted; write it in quotes"),
        ("median_usd_per_hour: 4", "averaged: 1", "averaged is 1, write true or leave it out"),
    ],
    ids=lambda value: value.strip()[:40],
)
def test_a_fault_names_line_field_and_fix(old: str, new: str, said: str) -> None:
    message = sentence(CARD_TEXT, old, new)
    assert said in message
    place = re.match(r"catalog\.yaml:(\d+): ", message)
    assert place
    changed = CARD_TEXT[: CARD_TEXT.index(old)].count("\n") + 1
    height = max(old.count("\n"), new.count("\n")) + 1
    gone = "is missing" in said or "does not say" in said  # then the line is that of the entry
    assert gone or changed - 1 <= int(place[1]) <= changed + height


def test_an_id_is_written_as_it_is_folded() -> None:
    with pytest.raises(FactsError, match=r"catalog\.yaml:10: accelerators\.X 1 must be in lower case .*: x-1"):
        check_ours(read_text(CARD_TEXT.replace("  x1:", "  X 1:"), name="catalog.yaml"))


def test_an_alias_may_mean_one_card_only() -> None:
    twin = CARD_TEXT.replace(
        "prices:\n",
        "  x2:\n    {name: Two, aliases: [One], vendor: A, architecture: Y, memory_gib: 8,\n"
        "     usable_by: assumed, bandwidth_gb_per_s: 9, dense_tflops: {bf16: 1}}\nprices:\n",
    )
    with pytest.raises(FactsError, match=r"accelerators\.x2\.aliases: 'One' already means x1; choose another"):
        check_ours(read_text(twin, name="catalog.yaml"))


def test_a_sparse_rate_is_seen_against_the_rest_of_the_architecture(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    card = "accelerators:\n  h100-mine:\n    {name: H100 mine, vendor: NVIDIA, architecture: Hopper, memory_gib: 80,\n"
    card += "     usable_by: nvidia-hbm, bandwidth_gb_per_s: 3350, dense_tflops: {tf32: 989, bf16: 1979},\n"
    overlay.write_text(card + "     chip: {compute_units: 132}}\n", encoding="utf-8")
    with pytest.raises(FactsError, match=r"tf32 is 989, 2 times the best of Hopper per compute unit: perhaps a sparse"):
        load_catalog([overlay])


FIELDS_OF_NUMBERS = [
    *("memory_gib", "memory_mib_seen", "usable_gib", "bandwidth_gb_per_s", "power_w", "dense_tflops.bf16"),
    *("link.gb_per_s_one_way", "link.domain", "node.accelerators", "node.network_gbit_per_s", "chip.compute_units"),
    *("chip.l2_mib", "purchase.usd"),
]


@settings(deadline=None)
@given(field=st.sampled_from(FIELDS_OF_NUMBERS), number=st.floats(0.001, 1e6), quote=st.booleans())
def test_text_is_never_trusted_for_a_number(field: str, number: float, quote: bool) -> None:
    catalog = load_catalog(use_config_folder=False)
    card: dict[str, object] = {"name": "n", "vendor": "v", "architecture": "a", "memory_gib": 80, "usable_gib": 79}
    card |= {"bandwidth_gb_per_s": 1, "dense_tflops": {"bf16": 1}}
    text = f"{number}" if quote else f"{number:e}".replace("e+", "e")
    first, _, rest = field.partition(".")
    card[first] = {rest: text} if rest else text
    file = FactFile("f", "", {}, {(): 1})
    with pytest.raises(FactsError, match="not a number"):
        read_accelerator(file, "x", card, rules=catalog.usable_rules, sources=())
    offer = {"cloud": "AWS", "plan": "spot", "usd_per_hour": text, "date": "2026-01", "source": "my own words"}
    with pytest.raises(FactsError, match="not a number"):
        read_price(file, "x", 0, offer, clouds=catalog.clouds, sources=catalog.sources)


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["bf16", "usd", "name"]), st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*CARD, "other"]), JUNK, max_size=6))
def test_any_card_is_read_or_refused_with_our_error(changes: dict[str, object]) -> None:
    catalog = load_catalog(use_config_folder=False)
    card = {
        "name": "n",
        "vendor": "v",
        "architecture": "a",
        "memory_gib": 80,
        "usable_gib": 79,
        "bandwidth_gb_per_s": 1,
    }
    file = FactFile("f", "", {}, {(): 1})
    try:
        read_accelerator(file, "x", card | changes, rules=catalog.usable_rules, sources=catalog.sources)
    except FactsError as error:
        assert str(error).startswith("f:1: ")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*OFFER, "other"]), JUNK, max_size=6))
def test_any_offer_is_read_or_refused_with_our_error(changes: dict[str, object]) -> None:
    catalog = load_catalog(use_config_folder=False)
    offer = {"cloud": "AWS", "plan": "spot", "usd_per_hour": 2, "date": "2026-01", "source": "my own words"}
    file = FactFile("f", "", {}, {(): 1})
    try:
        read_price(file, "x", 0, offer | changes, clouds=catalog.clouds, sources=catalog.sources)
    except FactsError as error:
        assert str(error).startswith("f:1: ")


def test_the_shipped_catalog_is_valid_past_the_cache() -> None:
    check_ours(read_text(OURS, name="catalog.yaml"))
