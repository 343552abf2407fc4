"""Lines of money: every one is traceable, totals are sums to the cent, and an overlay moves exactly the lines that use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.datacost.handling import Handling
from flopwise.estimators.datacost.labels import By, LabelJob, label_lines
from flopwise.estimators.datacost.lines import given as exactly
from flopwise.estimators.datacost.lines import totals
from flopwise.estimators.datacost.needs import Kind, Need
from flopwise.estimators.datacost.plan import Setting, make_data_plan
from flopwise.estimators.datacost.ways import Making, Way
from flopwise.estimators.facts.datacosts import Rate, load_data_costs
from flopwise.estimators.facts.datasets import load_datasets

QUESTIONS = (
    ("--tokens", "150B", "--language", "bn", "--have", "20B"),
    ("--tokens", "30T", "--egress", "1", "--filter"),
    ("--items", "100k", "--kind", "preference-expert"),
    ("--items", "1M", "--kind", "classification", "--by", "model"),
    ("--pages", "10M"),
    ("--speech-hours", "20k"),
    ("--tokens", "50B", "--domain", "legal", "--close", "license"),
)
HOUR = Rate(
    id="accelerator-hour",
    what="an H100 for an hour",
    value=2.5,
    low=2.0,
    high=4.0,
    unit="USD/H100-hour",
    year="2026",
    source="test",
    status="verified",
    note="",
    is_guess=False,
    origin="test",
)


def setting() -> Setting:
    handling = Handling(
        months=12, store="s3", egress_times=0, chip_hour=HOUR, chips=8, filtered=False, deduplicated=False
    )
    making = Making(
        writer=load_data_costs().generator("qwen3-8b"), writer_hour=HOUR, api="gpt-5-mini", batch=False, keep_rate=None
    )
    return Setting(datasets=load_datasets(), costs=load_data_costs(), handling=handling, making=making, chip="")


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_line_carries_unit_cost_quantity_source_year_and_range(cli, question):
    for line in cli("data", *question, "--format", "json").json["result"]["lines"]:
        cost, quantity = line["unit_cost"], line["quantity"]
        assert cost["source"] and cost["year"] and cost["unit"] and cost["status"] and cost["id"]
        assert cost["low"] <= cost["value"] <= cost["high"]
        assert line["usd"]["low"] < line["usd"]["high"] or line["usd"]["mid"] < 1
        # quantity x unit cost / per, to the cent
        assert line["usd"]["mid"] == pytest.approx(quantity["mid"] * cost["value"] / line["per"], abs=0.0051)


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_totals_are_the_sums_of_the_lines_to_the_cent(cli, question):
    result = cli("data", *question, "--format", "json").json["result"]
    for end in ("low", "mid", "high"):
        cents = sum(round(line["usd"][end] * 100) for line in result["lines"])
        assert round(result["totals"]["usd"][end] * 100) == cents


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_tables_and_json_say_the_same(same_numbers, question):
    same_numbers("data", *question)


@pytest.mark.parametrize(
    ("cost", "question"),
    [
        ("labelling-preference-pair-expert", ("--items", "100k", "--kind", "preference-expert")),
        ("object-storage-aws-s3-standard-first-50-tb", ("--tokens", "150B", "--egress", "1")),
        ("egress-aws-next-40-tb", ("--tokens", "15T", "--egress", "1")),
        ("ocr-olmocr-self-hosted", ("--pages", "10M")),
        ("llm-annotation-vs-mturk-gilardi-2023", ("--items", "1M", "--kind", "ner", "--by", "model")),
    ],
)
def test_one_unit_cost_in_an_overlay_moves_exactly_the_lines_that_use_it(cli, tmp_path, cost, question):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(f"costs:\n  {cost}: {{value: 0.5, source: our contract, year: '2026'}}\n", encoding="utf-8")
    before = cli("data", *question, "--format", "json").json["result"]["lines"]
    after = cli("data", *question, "--costs", str(overlay), "--format", "json").json["result"]["lines"]
    assert [line["name"] for line in before] == [line["name"] for line in after]
    moved = {old["name"] for old, new in zip(before, after, strict=True) if old["usd"] != new["usd"]}
    using = {line["name"] for line in before if line["unit_cost"]["id"] == cost}
    assert moved == using != set()
    changed = next(line for line in after if line["unit_cost"]["id"] == cost)
    assert (changed["unit_cost"]["low"], changed["unit_cost"]["high"]) == (0.5, 0.5)  # negotiated: exact
    assert changed["unit_cost"]["source"] == "our contract"
    assert changed["unit_cost"]["file"] == str(overlay)


def test_a_price_of_the_accelerator_moves_only_what_runs_on_it(cli):
    argv = ("--tokens", "25B", "--no-open-sets", "--close", "crawl", "--format", "json")
    before, after = (cli("data", *argv, "--price", price).json["result"]["lines"] for price in ("2", "3"))
    moved = {old["name"] for old, new in zip(before, after, strict=True) if old["usd"] != new["usd"]}
    assert moved == {"filter"}


def test_another_generator_or_chip_is_asked_of_the_serving_model(cli):
    def source(*argv: str) -> dict:
        ran = cli("data", "--tokens", "1B", "--no-open-sets", "--epochs", "1", *argv, "--format", "json", "--explain")
        return next(step for step in ran.json["explanation"] if step["name"] == "synthesize")["inputs"][0]

    measured, served = source("--generator", "qwen3-8b"), source("--generator", "llama-3-8b")
    assert measured["value"] == pytest.approx(1e9 / 0.5 / 6443 / 3600)
    assert served["value"] > 0 and "out-of-fold" in served["source"]
    assert source("--on", "a100-80gb:8")["value"] > measured["value"]  # an A100 writes more slowly


@given(st.floats(1e3, 1e8), st.floats(1.01, 10))
@settings(max_examples=30)
def test_more_items_never_cost_less_and_double_costs_double(items, factor):
    costs = load_data_costs()

    def usd(count: float) -> int:
        job = LabelJob(items=exactly(count, "items"), kind=costs.label("box"), by=By.PEOPLE)
        return totals(label_lines(job, costs)).cents[1]

    assert usd(items * factor) >= usd(items)
    assert usd(items * 2) == pytest.approx(2 * usd(items), rel=1e-3, abs=5)


@given(st.floats(1e9, 1e13), st.floats(0, 1e12), st.floats(1, 8), st.sampled_from(list(Way)))
@settings(max_examples=40)
def test_more_data_of_ones_own_never_leaves_more_missing(wanted, have, epochs, close):
    def missing(own: float) -> float:
        need = Need(kind=Kind.TEXT, amount=wanted, language="xh", have=own, epochs=epochs)  # xh: no amount is known
        return make_data_plan((need,), setting()).parts[0].missing

    assert missing(have) <= missing(0)
    assert missing(have) == pytest.approx(max(0.0, wanted / epochs - have), abs=wanted * 1e-6)


def test_sets_of_one_family_are_never_added():
    need = Need(kind=Kind.TEXT, amount=1e15)
    part = make_data_plan((need,), setting()).parts[0]
    used = [match for match in part.matches if match.taken]
    families = [match.dataset.family for match in used if match.dataset.family]
    assert len(families) == len(set(families))
    assert part.unique < 3e13  # FineWeb, DCLM and RedPajama-v2 together would be 50T


def test_a_licence_policy_only_takes_sets_away(cli):
    def unique(policy: str) -> float:
        ran = cli("data", "--tokens", "900T", "--licence", policy, "--format", "json")
        return ran.json["result"]["parts"][0]["unique"]

    assert unique("open") <= unique("commercial") <= unique("any")


def test_gated_and_conditional_sets_are_flagged_for_a_lawyer(cli):
    ran = cli("data", "--tokens", "200B", "--domain", "code", "--format", "json")
    flags = ran.json["result"]["rights_flags"]
    assert any("StarCoderData" in flag and "gated" in flag for flag in flags)
    assert any("not legal advice" in each["text"] for each in ran.json["assumptions"])


def test_a_file_of_needs_adds_up(cli, tmp_path):
    needs = tmp_path / "needs.yaml"
    needs.write_text(
        "needs:\n  - {name: web, tokens: 10B, language: en}\n  - {items: 10k, kind: preference}\n", encoding="utf-8"
    )
    both = cli("data", "--needs", str(needs), "--format", "json").json["result"]
    alone = [
        cli("data", *argv, "--format", "json").json["result"]["totals"]["usd"]["mid"]
        for argv in (("--tokens", "10B"), ("--items", "10k", "--kind", "preference"))
    ]
    assert both["totals"]["usd"]["mid"] == pytest.approx(sum(alone), abs=0.001)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("costs:\n  labelling-polygn: {value: 1}\n", "mine.yaml:2: costs.labelling-polygn is not one of our entries"),
        ("costs:\n  labelling-polygon: {value: cheap}\n", "mine.yaml:2: costs.labelling-polygon.value is 'cheap'"),
        ("costs:\n  labelling-polygon: {price: 1}\n", "mine.yaml:2: costs.labelling-polygon.price is not a known key"),
        ("costs:\n  labelling-polygon: {value: 1, low: 2}\n", "low is above value"),
        ("cost:\n  labelling-polygon: {value: 1}\n", "did you mean 'costs'"),
        ("datasets:\n  mine: {tokens: 1.0e+9}\n", "mine.yaml:2: datasets.mine.name is missing"),
        ("datasets:\n  fineweb: {commercial: maybe}\n", "mine.yaml:2: datasets.fineweb.commercial is 'maybe'"),
    ],
)
def test_a_wrong_overlay_is_one_sentence_with_file_and_line(cli, tmp_path, text, says):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(text, encoding="utf-8")
    ran = cli("data", "--tokens", "1B", "--costs", str(overlay))
    assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1 and not ran.out


def test_a_private_data_set_in_the_config_folder_counts(cli, quiet_home: Path):
    folder = quiet_home / ".config" / "flopwise" / "costs.d"
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text(
        "datasets:\n  our-corpus: {name: Our corpus, modality: text, domain: web, languages: xh, tokens: 9.0e+9, "
        "licence: ours, commercial: 'yes', year: '2026', source: our own}\n",
        encoding="utf-8",
    )
    part = cli("data", "--tokens", "20B", "--language", "xh", "--format", "json").json["result"]["parts"][0]
    assert part["unique"] == pytest.approx(9e9)
    assert "our-corpus" in cli("datasets", "list").out
