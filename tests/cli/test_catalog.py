"""`flopwise catalog`: filters and orders, cards, prices, overlays written and checked, every fault one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CARD = ("--vendor", "Acme", "--architecture", "A", "--memory", "96GiB", "--bandwidth", "4TB/s", "--dense", "bf16=800")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    monkeypatch.setenv("FLOPWISE_CONFIG_DIR", str(folder))
    return folder / "catalog.d"


def ids(run) -> list[str]:
    return [row["accelerator"]["id"] for row in run.json["result"]["accelerators"]]


# --- list -----------------------------------------------------------------------------------------------------------


def test_list_shows_all_71(cli):
    run = cli("catalog", "list", "--format", "json")
    assert (run.code, len(ids(run))) == (0, 71)
    assert run.json["schema"] == "flopwise.catalog.list/1"
    assert run.json["catalog"] == {"version": "2026-11-22", "prices_as_of": "2026-11-09", "overlays": []}


def test_list_filters_by_vendor_architecture_memory_and_price(cli):
    arguments = ("--vendor", "nvidia", "--architecture", "hopper", "--min-memory", "90GB", "--priced")
    found = ids(cli("catalog", "list", *arguments, "--format", "json"))
    assert found == ["h100-nvl-94gb", "h200-sxm-141gb", "gh200-96gb"]


KEYS = {
    "memory": lambda row: row["accelerator"]["memory_bytes"],
    "bandwidth": lambda row: row["accelerator"]["memory_bandwidth_bytes_per_s"],
    "bf16": lambda row: row["accelerator"]["peak_flops_per_s"].get("bf16"),
    "power": lambda row: row["accelerator"]["power_w"],
    "price": lambda row: row["usd_per_hour"] and -row["usd_per_hour"]["mid"],
}


@pytest.mark.parametrize("order", KEYS)
def test_list_sorts_the_largest_or_cheapest_first_and_what_is_unknown_last(cli, order):
    rows = cli("catalog", "list", "--sort", order, "--format", "json").json["result"]["accelerators"]
    values = [KEYS[order](row) for row in rows]
    known = [value for value in values if value is not None]
    assert values == [*sorted(known, reverse=True), *[None] * (len(values) - len(known))]


def test_list_sorts_the_newest_first(cli):
    found = ids(cli("catalog", "list", "--sort", "release", "--format", "json"))
    assert (found[0], found[-1]) == ("trainium3", "p100-sxm2-16gb")


def test_list_takes_the_class_and_plan_of_the_price(cli):
    def price(*arguments: str) -> float:
        run = cli("catalog", "list", "--architecture", "Hopper", *arguments, "--format", "json")
        return next(
            row["usd_per_hour"]["mid"]
            for row in run.json["result"]["accelerators"]
            if row["accelerator"]["id"] == "h100-sxm-80gb"
        )

    assert price("--plan", "spot") < price("--class", "marketplace") < price("--class", "hyperscaler")


# --- tables ---------------------------------------------------------------------------------------------------------

COMMANDS = [
    ("list",),
    ("list", "--vendor", "apple"),
    ("show", "h100"),
    ("show", "gaudi3"),
    ("show", "b300"),
    ("show", "cerebras"),
    ("prices",),
    ("prices", "h100"),
    ("prices", "l40s", "--plan", "spot"),
    ("prices", "--cloud", "runpod"),
    ("validate",),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", [80, 60, 200])
def test_every_table_fits_its_terminal_without_escapes(cli, monkeypatch, arguments, width):
    monkeypatch.setenv("COLUMNS", str(width))
    run = cli("catalog", *arguments)
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.out.splitlines())) <= width
    assert "\x1b" not in run.out


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_number_of_a_table_stands_in_its_json_twin(same_numbers, arguments):
    same_numbers("catalog", *arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("catalog_list.txt", ("list", "--vendor", "amd", "--sort", "price")),
        ("catalog_show.txt", ("show", "l40s")),
        ("catalog_prices.txt", ("prices", "mi300x", "--explain")),
    ],
)
def test_a_table_reads_as_the_golden_file(cli, golden, name, arguments):
    golden(name, cli("catalog", *arguments).out)


# --- show and prices ------------------------------------------------------------------------------------------------


def test_show_says_what_a_short_name_means_and_expands_the_sources(cli):
    run = cli("catalog", "show", "h100")
    assert run.out.startswith("h100-sxm-80gb ('h100'): H100 SXM5 80GB, 80.0 GiB, 989 TFLOP/s bf16, dense.")
    twin = cli("catalog", "show", "h100", "--format", "json").json["result"]
    codes = {source["code"]: source for source in twin["sources"]}
    assert codes["STAS"]["licence"] == "CC BY-SA 4.0"
    assert {price["source"] for price in twin["prices"]} | {"OOM"} <= set(codes)


def test_show_of_a_chip_without_a_price_says_how_to_add_one(cli):
    run = cli("catalog", "show", "gaudi3")
    assert "flopwise catalog add gaudi3" in " ".join(run.out.split())


def test_prices_give_low_middle_and_high_with_the_age(cli):
    run = cli("catalog", "prices", "h100", "--class", "gpu-cloud", "--format", "json")
    usd = run.json["result"]["usd_per_hour"]
    assert usd["low"] < usd["mid"] < usd["high"]
    assert usd["basis"].startswith("10th to 90th percentile of ")
    left_out = {price["left_out"] for price in run.json["result"]["prices"]}
    assert "a mean over listings; the seller's own price is known" in left_out


def test_prices_of_a_seller_hold_all_its_brands(cli):
    run = cli("catalog", "prices", "--cloud", "runpod", "--format", "json")
    assert {row["cloud"] for row in run.json["result"]["prices"]} == {"RunPod", "RunPod Secure", "RunPod Community"}


def test_prices_sort_by_date_and_by_cloud(cli):
    by_date = [
        row["date"]
        for row in cli("catalog", "prices", "a100", "--sort", "date", "--format", "json").json["result"]["prices"]
    ]
    assert by_date[0].startswith("2025-09")
    by_cloud = [
        row["cloud"]
        for row in cli("catalog", "prices", "a100", "--sort", "cloud", "--format", "json").json["result"]["prices"]
    ]
    assert by_cloud == sorted(by_cloud, key=str.lower)


# --- overlays -------------------------------------------------------------------------------------------------------


def test_an_answer_says_which_overlay_it_used(cli, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("accelerators:\n  l4: {power_w: 65}\n", encoding="utf-8")
    run = cli("catalog", "show", "l4", "--catalog", str(mine), "--format", "json")
    assert run.json["catalog"]["overlays"] == [str(mine)]
    assert run.json["result"]["accelerator"]["power_w"] == 65
    assert run.json["result"]["accelerator"]["origin"] == str(mine)


def test_add_writes_a_price_that_later_commands_use(cli, config):
    run = cli("catalog", "add", "h100", "--usd-per-hour", "$2.10", "--cloud", "coreweave", "--plan", "reserved")
    path = config / "h100-sxm-80gb--coreweave--reserved.yaml"
    assert (run.code, run.err) == (0, "")
    assert yaml.safe_load(path.read_text())["prices"]["h100-sxm-80gb"] == [
        {"cloud": "CoreWeave", "plan": "reserved", "usd_per_hour": 2.1, "date": "2026-11-24", "source": "given by hand"}
    ]
    shown = cli("catalog", "prices", "h100", "--plan", "reserved", "--cloud", "coreweave", "--format", "json")
    assert shown.json["result"]["usd_per_hour"]["mid"] == 2.1
    assert shown.json["catalog"]["overlays"] == [str(path)]


def test_add_writes_an_accelerator_and_then_its_price(cli, config):
    details = (
        "--power",
        "600W",
        "--link",
        "450GB/s",
        "--link-domain",
        "8",
        "--per-node",
        "8",
        "--network",
        "3200Gbit/s",
    )
    assert cli("catalog", "add", "Acme X1", *CARD, *details, "--alias", "x1", "--usable-memory", "95GiB").code == 0
    assert cli("catalog", "add", "x1", "--usd-per-hour", "1.5", "--cloud", "Own", "--class", "gpu-cloud").code == 0
    chip = cli("catalog", "show", "x1", "--format", "json").json["result"]["accelerator"]
    assert (chip["id"], chip["name"], chip["memory_bytes"]) == ("acme-x1", "Acme X1", 96 * 2**30)
    assert (chip["usable_memory_bytes"], chip["memory_bandwidth_bytes_per_s"]) == (95 * 2**30, 4e12)
    assert (chip["link_bytes_per_s"], chip["network_bytes_per_s_per_node"]) == (450e9, 400e9)
    assert cli("catalog", "prices", "x1", "--format", "json").json["result"]["usd_per_hour"]["mid"] == 1.5
    assert cli("catalog", "validate", "--format", "json").json["result"]["files"][1:] == [
        {"file": str(config / "acme-x1--own--on-demand.yaml"), "accelerators": 0, "prices": 1, "valid": True},
        {"file": str(config / "acme-x1.yaml"), "accelerators": 1, "prices": 0, "valid": True},
    ]


def test_add_never_replaces_in_silence(cli, config):
    arguments = ("catalog", "add", "h100", "--cloud", "AWS", "--usd-per-hour")
    assert cli(*arguments, "5").code == 0
    path = config / "h100-sxm-80gb--aws--on-demand.yaml"
    before = path.read_text()
    again = cli(*arguments, "4")
    assert (again.code, path.read_text()) == (2, before)
    assert "is there already; give --force to replace it, or edit it." in again.err
    assert cli(*arguments, "4", "--force").code == 0
    assert "usd_per_hour: 4" in path.read_text()


def test_add_changes_a_known_accelerator(cli, config):
    assert cli("catalog", "add", "gaudi3", "--usable-memory", "120GiB", "--power", "850W").code == 0
    chip = cli("catalog", "show", "gaudi3", "--format", "json").json["result"]["accelerator"]
    assert (chip["usable_memory_bytes"], chip["power_w"], chip["vendor"]) == (120 * 2**30, 850, "Intel")


# --- faults ---------------------------------------------------------------------------------------------------------

FAULTS = [
    (("show", "h1000"), "no accelerator is called 'h1000'; did you mean 'h100'"),
    (
        ("show", "rtx-pro-6000"),
        "'rtx-pro-6000' could be several accelerators: rtx-pro-6000-bw-server, rtx-pro-6000-bw-ws",
    ),
    (("list", "--vendor", "nvida"), "--vendor: nothing listed is by or of 'nvida'; did you mean 'NVIDIA'?"),
    (("list", "--architecture", "zzz"), "--architecture: nothing listed is by or of 'zzz'; there are Pascal, Volta"),
    (("list", "--min-memory", "80"), "--min-memory: '80' is not an amount of memory: a unit is missing"),
    (("list", "--sort", "prize"), "--sort: 'prize' is not one of file, memory, bandwidth, bf16, price, power, release"),
    (("prices", "h100", "--cloud", "corewave"), "--cloud: no cloud is called 'corewave'; did you mean 'coreweave'"),
    (("prices", "h100", "--cloud", "aws", "--class", "gpu-cloud"), "AWS is a hyperscaler, not a gpu-cloud"),
    (("prices", "gaudi3"), "no price is known for Gaudi 3 (OAM) (gaudi3)."),
    (("prices", "mi300x", "--plan", "reserved"), "no reserved price is known for mi300x. Known are on-demand: Azure"),
    (
        ("prices", "--cloud", "latitude", "--plan", "spot"),
        "no offer matches; `flopwise catalog prices` without filters",
    ),
    (("show", "h100", "--catalog", "gone.yaml"), "gone.yaml: there is no such file"),
    (("validate", "gone.yaml"), "gone.yaml: there is no such file"),
    (("add", "h100"), "nothing to add: give --usd-per-hour and --cloud, or what differs of the accelerator."),
    (("add", "h100", "--usd-per-hour", "2"), "--cloud: say who asks that price, for example --cloud CoreWeave."),
    (("add", "h100", "--cloud", "AWS"), "--cloud: it belongs to a price; give --usd-per-hour too, or leave it out."),
    (
        ("add", "h100", "--usd-per-hour", "2", "--cloud", "Own"),
        "--cloud: 'Own' is new to the catalog; say what it is with --class",
    ),
    (
        ("add", "h100", "--usd-per-hour", "2", "--cloud", "AWS", "--class", "gpu-cloud"),
        "--class: AWS is known as a hyperscaler",
    ),
    (("add", "h100", "--usd-per-hour", "0", "--cloud", "AWS"), "--usd-per-hour: '0' is not an amount of US dollars"),
    (
        ("add", "h100", "--usd-per-hour", "5000", "--cloud", "AWS"),
        "give US dollars for one accelerator and hour; nothing was written.",
    ),
    (("add", "h100", "--usd-per-hour", "2", "--cloud", "AWS", "--date", "soon"), "date is 'soon', not a date"),
    (
        ("add", "h100", "--usd-per-hour", "2", "--cloud", "AWS", "--power", "9W"),
        "--usd-per-hour: add the accelerator first",
    ),
    (
        ("add", "new-chip", "--power", "9W"),
        "'new-chip' is new to the catalog, so --vendor, --architecture, --memory, --bandwidth",
    ),
    (("add", "new-chip", "--usd-per-hour", "2", "--cloud", "AWS"), "no accelerator is called 'new-chip'"),
    (("add", "x1", *CARD, "--dense", "bf17=3"), "--dense: 'bf17' is not a number format; choose one of fp64, fp32"),
    (("add", "x1", *CARD, "--dense", "bf16=3"), "--dense: bf16 is given twice; give it once."),
    (("add", "x1", *CARD, "--dense", "fp8"), "--dense: 'fp8' is not a rate; write for example bf16=989.4 (TFLOP/s)."),
    (("add", "x1", *CARD, "--dense", "fp8=3200"), "fp8 is 3200, 4 times the rate of bf16: one of them is not dense"),
    (
        ("add", "x1", *CARD, "--network", "400Gb/s"),
        "--network: '400Gb/s' is not a bandwidth; write for example 3.35TB/s",
    ),
    (
        ("add", "x1", *CARD, "--alias", "h100"),
        "'h100' already means h100-sxm-80gb; choose another; nothing was written.",
    ),
    (("add", "x1", *CARD, "--usable-memory", "200GiB"), "usable_gib is more than the memory; give both or neither"),
]


@pytest.mark.parametrize(("arguments", "said"), FAULTS, ids=[" ".join(arguments)[:60] for arguments, _ in FAULTS])
def test_a_fault_is_one_sentence_exit_2_and_nothing_written(cli, config, arguments, said):
    run = cli("catalog", *arguments)
    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert not config.exists()


def test_a_broken_overlay_in_the_config_folder_is_named_by_every_command(cli, config):
    config.mkdir(parents=True)
    (config / "mine.yaml").write_text("accelerators:\n  l4:\n    powr_w: 3\n", encoding="utf-8")
    said = f"{config / 'mine.yaml'}:3: accelerators.l4.powr_w is not a known key; did you mean 'power_w'?"
    for arguments in (("list",), ("show", "h100"), ("prices",), ("validate",), ("add", "h100", "--power", "9W")):
        run = cli("catalog", *arguments)
        assert (run.code, run.out) == (2, "")
        assert said in run.err


def test_validate_takes_files_and_doubts_what_is_unlikely(cli, tmp_path):
    mine = tmp_path / "mine.yaml"
    price = '{cloud: AWS, plan: on-demand, usd_per_hour: 98.3, date: "2027-01-01", source: our contract}'
    mine.write_text(f"prices:\n  h100-sxm-80gb:\n  - {price}\n", encoding="utf-8")
    run = cli("catalog", "validate", str(mine), "--format", "json")
    assert run.code == 0
    assert run.json["result"]["files"] == [{"file": str(mine), "accelerators": 0, "prices": 1, "valid": True}]
    future, far = run.json["warnings"]
    assert "is dated 2027-01-01, in the future" in future
    assert "is it for one accelerator?" in far
