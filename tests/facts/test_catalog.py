"""The catalog as others use it: forgiving names, usable memory, overlays in layers, and what an answer says about it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import FactsError, InputError, UnknownName
from flopwise.estimators.facts.cards import SEEN
from flopwise.estimators.facts.catalog import Catalog, load_catalog
from flopwise.estimators.facts.folders import package_folder
from flopwise.estimators.facts.overlay import overlay_text
from flopwise.estimators.facts.records import CloudClass

GIB = 2**30


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog(use_config_folder=False)


def overlay(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("h100", "h100-sxm-80gb"), ("H100 SXM", "h100-sxm-80gb"), ("h100_sxm", "h100-sxm-80gb")),
        *(
            ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
            ("nvidia-h100", "h100-sxm-80gb"),
            ("h100-pcie", "h100-pcie-80gb"),
        ),
        *(("a100", "a100-sxm-80gb"), ("A100-40GB", "a100-sxm-40gb"), ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb")),
        *(("v100", "v100-sxm2-32gb"), ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"), ("h200", "h200-sxm-141gb")),
        *(("b200", "b200-sxm"), ("GB200", "gb200"), ("mi300x", "mi300x"), ("AMD Instinct MI300X", "mi300x")),
        *(("tpu-v5e", "tpu-v5e"), ("v5e", "tpu-v5e"), ("TPU v5p", "tpu-v5p"), ("Trillium", "tpu-v6e")),
        *(("trn1", "trainium1"), ("trn2", "trainium2"), ("inf2", "inferentia2"), ("Gaudi 3", "gaudi3")),
        *(
            ("4090", "rtx-4090"),
            ("RTX4090", "rtx-4090"),
            ("NVIDIA GeForce RTX 4090", "rtx-4090"),
            ("M3 Max", "apple-m3-max"),
        ),
    ],
)
def test_a_name_is_taken_as_people_write_it(catalog: Catalog, typed: str, meant: str) -> None:
    assert catalog.find(typed).id == meant


def test_an_ambiguous_name_lists_the_choices(catalog: Catalog) -> None:
    with pytest.raises(InputError, match="could be several accelerators: rtx-pro-6000-bw-server, rtx-pro-6000-bw-ws"):
        catalog.find("rtx-pro-6000")


def test_an_unknown_name_names_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.find("h1000")
    assert "h100" in caught.value.nearest
    assert "flopwise catalog list" in str(caught.value)


def test_every_id_alias_and_full_name_leads_to_its_card(catalog: Catalog) -> None:
    for chip in catalog.accelerators.values():
        for typed in (chip.id, chip.id.upper().replace("-", " "), *chip.aliases):
            assert catalog.find(typed) is chip


# --- what the cards say ---------------------------------------------------------------------------------------------


def test_usable_memory_is_less_than_what_is_sold_but_for_tpu_v5p(catalog: Catalog) -> None:
    more = [chip.id for chip in catalog.accelerators.values() if chip.usable_memory_bytes > chip.memory_bytes]
    assert more == ["tpu-v5p"]  # sold as 95, 95.74 seen


def test_a_program_gets_less_than_the_driver_prints(catalog: Catalog) -> None:
    for chip in catalog.accelerators.values():
        if chip.seen_memory_bytes:
            assert 0.95 * chip.seen_memory_bytes < chip.usable_memory_bytes < chip.seen_memory_bytes


def test_an_h100_gives_79_gib_of_its_80(catalog: Catalog) -> None:
    chip = catalog.find("h100")
    assert chip.memory_bytes == 80 * GIB
    assert chip.usable_memory_bytes / GIB == pytest.approx(79.18)
    assert chip.usable_memory_source == SEEN


@pytest.mark.parametrize(
    ("rule", "belongs"),
    [
        ("nvidia-hbm", lambda chip: chip.vendor == "NVIDIA" and chip.memory_type.startswith("HBM")),
        ("nvidia-gddr-ecc", lambda chip: chip.id in ("l4", "a10g", "a40", "l40s")),
        ("nvidia-gddr", lambda chip: chip.vendor == "NVIDIA" and "GDDR" in chip.memory_type and chip.id[:3] == "rtx"),
        ("amd", lambda chip: chip.vendor == "AMD"),
        ("google", lambda chip: chip.vendor == "Google"),
    ],
)
def test_a_rule_for_usable_memory_is_the_smallest_share_seen(catalog: Catalog, rule: str, belongs: object) -> None:
    assert callable(belongs)
    shares = [
        chip.usable_memory_bytes / chip.memory_bytes
        for chip in catalog.accelerators.values()
        if belongs(chip) and chip.usable_memory_source == SEEN
    ]
    fraction = catalog.usable_rules[rule].fraction
    assert fraction <= min(shares) < fraction + 0.0015


def test_a_card_that_nobody_saw_full_says_by_which_rule(catalog: Catalog) -> None:
    chip = catalog.find("gaudi2")
    assert chip.usable_memory_bytes == 0.95 * 96 * GIB
    assert "a guess" in chip.usable_memory_source


def test_every_source_code_is_in_the_legend_with_a_licence(catalog: Catalog) -> None:
    used = {code for chip in catalog.accelerators.values() for code in chip.sources}
    used |= {price.source for price in catalog.prices}
    assert used <= set(catalog.sources)
    assert all(catalog.sources[code].licence and catalog.sources[code].reuse for code in used)


def test_all_27_clouds_have_a_class(catalog: Catalog) -> None:
    assert len(catalog.clouds) == 27
    hyperscalers = [name for name, cloud in catalog.clouds.items() if cloud.cloud_class is CloudClass.HYPERSCALER]
    assert hyperscalers == ["AWS", "Azure", "GCP", "OCI"]
    assert {price.cloud for price in catalog.prices} == set(catalog.clouds)


def test_a_part_that_rests_on_memory_alone_is_unverified(catalog: Catalog) -> None:
    assert catalog.find("cerebras").unverified == ("memory_gb", "bandwidth_gb_per_s", "power_w")
    assert "dense_tflops.fp16" in catalog.find("apple-m4").unverified
    assert catalog.find("h100").unverified == ()


def test_the_catalog_says_what_it_is(catalog: Catalog) -> None:
    assert catalog.stamp() == {"version": "2026-11-22", "prices_as_of": "2026-11-09", "overlays": []}


# --- overlays -------------------------------------------------------------------------------------------------------


def test_an_overlay_adds_an_accelerator(tmp_path: Path) -> None:
    text = "accelerators:\n  acme-1:\n    name: Acme One (rev 2)\n    aliases: [a1]\n    vendor: Acme\n    architecture: A\n"
    text += "    memory_gib: 100\n    usable_by: assumed\n    bandwidth_gb_per_s: 1000\n    dense_tflops: {bf16: 100}\n"
    path = overlay(tmp_path, text)
    merged = load_catalog([path], use_config_folder=False)
    chip = merged.find("Acme One")
    assert (chip.id, chip.origin, chip.usable_memory_bytes) == ("acme-1", str(path), 95 * GIB)
    assert merged.find("a1") is chip
    assert merged.overlays == (str(path),)
    assert merged.stamp()["overlays"] == [str(path)]
    assert len(merged.accelerators) == 72


def test_an_overlay_changes_fields_and_leaves_the_rest(tmp_path: Path) -> None:
    text = "accelerators:\n  tpu-v4:\n    power_w: 200\n    dense_tflops: {int8: null, bf16: 270}\n    aliases: [pod]\n"
    path = overlay(tmp_path, text)
    ours = load_catalog(use_config_folder=False).find("tpu-v4")
    chip = load_catalog([path], use_config_folder=False).find("pod")
    assert (chip.power_w, dict(chip.peak_flops_per_s), chip.origin) == (200, {"bf16": 270e12}, str(path))
    assert (chip.memory_bytes, chip.link, chip.sources) == (ours.memory_bytes, ours.link, ours.sources)
    assert (ours.unverified, chip.unverified) == (("power_w",), ())  # the user's own number is not from memory


def test_a_later_overlay_goes_before_an_earlier_one(tmp_path: Path) -> None:
    first = overlay(tmp_path, "accelerators:\n  l4: {power_w: 60}\n", "1.yaml")
    second = overlay(tmp_path, "accelerators:\n  l4: {power_w: 50}\n", "2.yaml")
    assert load_catalog([first, second], use_config_folder=False).find("l4").power_w == 50
    assert load_catalog([second, first], use_config_folder=False).find("l4").power_w == 60


def test_an_overlay_adds_prices_at_a_cloud_of_its_own(tmp_path: Path) -> None:
    text = "clouds: {Own: {class: gpu-cloud}}\nprices:\n  b100:\n  - {cloud: Own, plan: reserved, usd_per_hour: 3,\n"
    path = overlay(tmp_path, text + '     date: "2026-11-01", source: our contract}\n')
    merged = load_catalog([path], use_config_folder=False)
    (price,) = merged.prices_of("b100")
    assert (price.cloud, price.cloud_class, price.origin) == ("Own", CloudClass.GPU_CLOUD, str(path))
    assert len(merged.prices) == 242


def test_replace_prices_leaves_out_earlier_ones(tmp_path: Path) -> None:
    text = "replace_prices: [h100-sxm-80gb]\nprices:\n  h100-sxm-80gb:\n  - {cloud: AWS, plan: on-demand, usd_per_hour: 3,\n"
    path = overlay(tmp_path, text + '     date: "2026-11-01", source: our contract}\n')
    merged = load_catalog([path], use_config_folder=False)
    assert [price.usd_per_hour for price in merged.prices_of("h100-sxm-80gb")] == [3]


def test_a_price_may_stand_in_an_earlier_file_than_its_card(tmp_path: Path) -> None:
    price = 'prices:\n  acme-1:\n  - {cloud: AWS, plan: spot, usd_per_hour: 3, date: "2026-11", source: our contract}\n'
    card = "accelerators:\n  acme-1: {name: A, vendor: A, architecture: A, memory_gib: 1, usable_gib: 1, bandwidth_gb_per_s: 1}\n"
    paths = [overlay(tmp_path, price, "1.yaml"), overlay(tmp_path, card, "2.yaml")]
    assert len(load_catalog(paths, use_config_folder=False).prices_of("acme-1")) == 1


def test_two_overlays_may_name_the_same_cloud_if_they_agree(tmp_path: Path) -> None:
    same = [overlay(tmp_path, "clouds: {Own: {class: gpu-cloud}}\n", f"{number}.yaml") for number in (1, 2)]
    assert "Own" in load_catalog(same, use_config_folder=False).clouds
    other = overlay(tmp_path, "clouds: {Own: {class: marketplace}}\n", "3.yaml")
    with pytest.raises(FactsError, match=r"3\.yaml:1: clouds\.Own is already in .*1\.yaml; choose another name"):
        load_catalog([same[0], other], use_config_folder=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.yaml:1: is empty; it may hold version, usable_memory"),
        ("- a list\n", "mine.yaml:1: the file is a list, a mapping (key: value lines) is wanted"),
        ("acclerators: {}\n", "mine.yaml:1: acclerators is not a known key; did you mean 'accelerators'?"),
        ("accelerators:\n", "mine.yaml:1: accelerators is empty; fill it or remove the line"),
        ("accelerators:\n  l4: {power_w: x}\n", "mine.yaml:2: accelerators.l4.power_w is 'x', not a number"),
        (
            "accelerators:\n  new: {vendor: A}\n",
            "mine.yaml:2: accelerators.new.memory_gib is missing; a number is wanted",
        ),
        ("accelerators:\n  l4: {memory_gib: 12}\n", "mine.yaml:2: accelerators.l4.usable_gib is more than the memory"),
        ("accelerators:\n  l4: {aliases: [h100]}\n", "accelerators.l4.aliases: 'h100' already means h100-sxm-80gb"),
        ("accelerators:\n  h100: {power_w: 650}\n", "accelerators.h100 is a short form of h100-sxm-80gb; write that"),
        ("accelerators:\n  l4:\n", "mine.yaml:2: accelerators.l4 is empty, a mapping (key: value lines) is wanted"),
        (
            "prices:\n  h100:\n  - {}\n",
            "mine.yaml:2: prices.h100 is not the id of an accelerator; did you mean 'h100-sxm-80gb'?",
        ),
        ("prices:\n  l4: []\n", "mine.yaml:2: prices.l4 must be a list of offers"),
        ("replace_prices: [b100]\n", "mine.yaml:1: replace_prices names 'b100', which has no earlier price"),
        (
            "clouds: {AWS: {class: gpu-cloud}}\n",
            "mine.yaml:1: clouds.AWS is already in catalog.yaml; choose another name",
        ),
        ("sources: {X: {name: x}}\n", "mine.yaml:1: sources.X.licence is missing"),
    ],
)
def test_a_wrong_overlay_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FactsError) as caught:
        load_catalog([overlay(tmp_path, text)], use_config_folder=False)
    assert said in str(caught.value)


def test_the_config_folder_is_read_by_name_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOPWISE_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "catalog.d"
    second = overlay(folder, "accelerators:\n  l4: {power_w: 50}\n", "b.yaml")
    first = overlay(folder, "accelerators:\n  l4: {power_w: 60}\n", "a.yml")
    overlay(folder, "not: ours", "notes.txt")
    merged = load_catalog()
    assert merged.overlays == (str(first), str(second))
    assert merged.find("l4").power_w == 50
    assert load_catalog(use_config_folder=False).overlays == ()


def test_the_config_folder_follows_the_operating_system(quiet_home: Path) -> None:
    overlay(quiet_home / ".config" / "flopwise" / "catalog.d", "accelerators:\n  l4: {power_w: 50}\n")
    assert load_catalog().find("l4").power_w == 50


RAW = yaml.load((package_folder() / "catalog.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@settings(deadline=None)
@given(st.sampled_from(sorted(RAW["accelerators"])))
def test_a_card_survives_being_written_and_read_again(name: str) -> None:
    import tempfile

    ours = load_catalog(use_config_folder=False)
    text = overlay_text({"accelerators": {name: RAW["accelerators"][name]}, "prices": {}}, "a copy")
    text = text.replace("prices: {}\n", "")
    with tempfile.TemporaryDirectory() as folder:
        path = overlay(Path(folder), text)
        copy = load_catalog([path], use_config_folder=False).accelerators[name]
    for field in copy.__dataclass_fields__:
        if field != "origin":
            assert getattr(copy, field) == getattr(ours.accelerators[name], field), field
