"""The shipped tables say what their sources say: every row of the data folder stands in them, unchanged."""

from __future__ import annotations

import csv

import pytest

from flopwise.estimators.errors import UnknownName
from flopwise.estimators.facts.datacosts import load_data_costs
from flopwise.estimators.facts.datasets import load_datasets
from flopwise.estimators.facts.tokenizers import find_language, tokenizer_rate


def test_every_unit_cost_has_unit_source_year_and_status():
    costs = load_data_costs()
    for name in (*costs.names("costs"), *costs.names("assumptions")):
        try:
            rate = costs.rate(name)
        except UnknownName:  # a fact without one number
            continue
        assert rate.unit and rate.source and rate.year and rate.status
        assert rate.low <= rate.value <= rate.high


def test_all_rows_of_the_cost_table_are_there_with_their_values(shared_data):
    with (shared_data / "science" / "data_costs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    costs = load_data_costs()
    numbers: dict[str, list[tuple[float, ...]]] = {}
    for name in costs.names("costs"):
        try:
            rate = costs.rate(name)
        except UnknownName:
            continue
        numbers.setdefault(rate.what, []).append((rate.value, rate.low, rate.high))
    for row in rows:
        what = row["item"]
        if "physician" not in what and "dermatologist" not in what:
            what = what.removesuffix(" (low)").removesuffix(" (high)")
        try:
            value = float(row["value"])
        except ValueError:
            continue
        assert any(pytest.approx(value, rel=1e-5) == each for found in numbers[what] for each in found), row["item"]


def test_all_data_sets_of_the_table_are_there(shared_data):
    with (shared_data / "science" / "datasets.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ours = {each.name: each for each in load_datasets(use_config_folder=False).all}
    assert len(rows) == 102
    for row in rows:
        each = ours[row["name"]]
        assert each.licence == row["licence"]
        assert each.commercial == row["commercial_use"].partition(" ")[0]
        assert each.tokens == (pytest.approx(float(row["tokens_b"]) * 1e9) if row["tokens_b"] else None)


def test_bengali_costs_nearly_six_times_the_tokens_of_english():
    assert tokenizer_rate("bn", "llama-3").tokens_vs_english == 5.84
    assert tokenizer_rate("bn", "o200k").tokens_vs_english == pytest.approx(1.66, abs=0.01)
    assert tokenizer_rate("en").web_bytes_per_token == pytest.approx(4.3)


def test_languages_have_the_names_people_use():
    assert find_language("Bengali") == find_language("bn") == "bn"
    with pytest.raises(UnknownName, match="bengali"):
        find_language("Bengal")
    assert not tokenizer_rate("xh").is_measured


def test_an_unknown_language_is_answered_with_the_known_ones():
    from flopwise.estimators.errors import InputError
    from flopwise.estimators.facts.tokenizers import find_language

    with pytest.raises(InputError, match=r"two or three letters.*Bengali"):
        find_language("klingon")
    with pytest.raises(InputError, match="did you mean"):
        find_language("bengalli")
