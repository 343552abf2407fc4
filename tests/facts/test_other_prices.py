"""Unit prices beside accelerator-hours equal the table that they were typed from, and can be looked up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from flopwise.estimators.errors import FactsError, InputError
from flopwise.estimators.facts.other_prices import Section, check_other_prices, load_other_prices
from flopwise.estimators.facts.yamlfile import read_text

CATEGORY = {"colo": "colocation", "tco": "ownership", "capex": "purchase", "discount": "discounts"}


def test_it_holds_86_unit_prices_and_80_token_prices() -> None:
    prices = load_other_prices()
    tokens = [
        value
        for row in prices.tokens
        for value in (row.input_usd, row.output_usd, row.batch_input_usd, row.batch_output_usd)
        if value is not None
    ]
    assert (len(prices.rows), len(tokens)) == (86, 80)


def test_every_row_equals_the_table(shared_data: Path) -> None:
    prices = load_other_prices()
    said: set[tuple[object, ...]] = set()
    for row in prices.rows:
        source = prices.sources[row.source].name.replace("our judgement", "this report")
        head = (row.section, row.item, row.provider, row.unit, row.value, row.low, row.high)
        said.add((*head, row.date, row.date_basis, source, row.confidence, row.note))
    for token in prices.tokens:
        values = (token.input_usd, token.output_usd, token.batch_input_usd, token.batch_output_usd)
        for item, value in zip(("input", "output", "batch input", "batch output"), values, strict=True):
            if value is not None:
                head = ("api tokens", item, token.model, "USD/1M tokens", value, None, None)
                source = prices.sources[token.source].name
                said.add((*head, token.date, token.date_basis, source, token.confidence, token.note))
    with (shared_data / "catalog" / "other_prices.csv").open(encoding="utf-8", newline="") as file:
        table = {
            (
                *(CATEGORY.get(row["category"], row["category"]), row["item"], row["provider"], row["unit"]),
                *(float(row[key]) if row[key] else None for key in ("value", "low", "high")),
                *(row[key] for key in ("date", "date_basis", "source", "confidence", "note")),
            )
            for row in csv.DictReader(file)
        }
    assert said == table
    assert len(table) == 166


def test_what_rests_on_memory_is_marked_unverified() -> None:
    assert [row.item for row in load_other_prices().rows if row.unverified] == ["depreciation life"]


def test_a_price_is_found_by_item_and_provider() -> None:
    price = load_other_prices().find(Section.STORAGE, "Object storage", "aws s3 standard")
    assert (price.value, price.unit) == (0.023, "USD/GB-month")
    with pytest.raises(InputError, match="nearest is 'object-storage aws-s3-standard'"):
        load_other_prices().find(Section.STORAGE, "object storage", "AWS S3")


def test_a_token_price_is_found_without_its_provider() -> None:
    assert load_other_prices().token_price("gemini-2.5-pro").output_usd == 10
    with pytest.raises(InputError, match="gpt-5-mini"):
        load_other_prices().token_price("gpt5-mini")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("value: 0.023", "value: -1", "storage[0].value is -1, it must be at least 0"),
        ("value: 0.023", 'value: "0.023"', "storage[0].value is '0.023', not a number; write 0.023 without quotes"),
        ("low: 0.05, high: 0.18", "low: 0.1, high: 0.18", "power[2].low is above value"),
        ("confidence: high", "confidence: sure", "confidence is 'sure', which is not a choice"),
        ("source: eia,", "source: eai,", "source is 'eai', which is not a choice; did you mean 'eia'?"),
        ('date: "2024-10-24"', 'date: "2024-13"', "date is '2024-13', not a date"),
    ],
)
def test_a_wrong_row_is_named(old: str, new: str, sentence: str) -> None:
    from flopwise.estimators.facts.folders import package_folder

    text = (package_folder() / "data" / "other_prices.yaml").read_text(encoding="utf-8")
    assert old in text
    broken = text.replace(old, new, 1)
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(FactsError) as caught:
        check_other_prices(read_text(broken, name="other.yaml"))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"other.yaml:{line}: ")
