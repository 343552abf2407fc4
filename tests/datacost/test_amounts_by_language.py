"""Amounts by language: bytes become tokens of the tokenizer asked for, one set counts in a family, totals hold together."""

from __future__ import annotations

import pytest
import yaml

from flopwise.estimators.datacost.sourcing import Fit, Policy, match_sets
from flopwise.estimators.errors import FactsError
from flopwise.estimators.facts.datasets import load_datasets

SPOKEN = "ar bg bn cs da de el es fa fi fr gu he hi hu id it ja kn ko ml mr ms my ne nl pa pl pt ro ru sv sw ta te th tl tr uk ur vi zh"


def shipped():
    return load_datasets(use_config_folder=False)


@pytest.fixture
def own(tmp_path):
    def load(**sets):
        common = {"modality": "text", "domain": "web", "licence": "L", "year": "2026", "source": "S"}
        entries = {key: {"name": key, "commercial": "yes", **common, **fields} for key, fields in sets.items()}
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({"datasets": entries}), encoding="utf-8")
        return load_datasets([path], use_config_folder=False)

    return load


def matched(datasets, language, wanted, policy=Policy.COMMERCIAL, bytes_per_token=4.0):
    found = match_sets(
        datasets,
        domain="web",
        modality="text",
        language=language,
        policy=policy,
        wanted=wanted,
        bytes_per_token=bytes_per_token,
    )
    return {match.dataset.id: match for match in found}


@pytest.mark.parametrize("language", SPOKEN.split())
def test_a_much_spoken_language_has_an_open_amount_and_counts_each_family_once(language):
    found = matched(shipped(), language, wanted=1e15)
    used = [match for match in found.values() if match.fit is Fit.USED]
    families = [match.dataset.family for match in used if match.dataset.family]
    assert used
    assert len(families) == len(set(families))
    for match in found.values():
        if match.fit is Fit.OVERLAPS and "raw" not in match.dataset.domain:
            kept = next(each for each in used if each.dataset.family == match.dataset.family)
            assert kept.amount >= match.amount


def test_bytes_become_tokens_of_the_tokenizer_asked_for():
    fineweb2 = shipped().find("fineweb2")
    assert fineweb2.tokens_in("bn", 2.0) == pytest.approx(93.46e9 / 2)
    assert fineweb2.tokens_in("bn", 6.0) == pytest.approx(93.46e9 / 6)
    assert fineweb2.tokens_in("xx", 2.0) is None


def test_the_freest_set_of_a_family_counts_where_it_is_enough_and_the_largest_where_not(own):
    datasets = own(
        free={"languages": "xx", "tokens": 5e9, "family": "f"},
        large={"languages": "xx", "tokens": 9e9, "family": "f", "commercial": "conditional"},
        apart={"languages": "xx", "tokens": 1e9, "family": "g", "commercial": "conditional"},
    )
    enough = matched(datasets, "xx", wanted=4e9)
    assert (enough["free"].fit, enough["large"].fit) == (Fit.USED, Fit.OVERLAPS)
    short = matched(datasets, "xx", wanted=20e9)
    assert [short[key].taken for key in ("free", "large", "apart")] == [0.0, 9e9, 1e9]
    open_only = matched(datasets, "xx", wanted=20e9, policy=Policy.OPEN)
    assert [open_only[key].taken for key in ("free", "large", "apart")] == [5e9, 0.0, 0.0]


def test_every_amount_by_language_says_who_counted_it_and_fits_into_its_set():
    for each in shipped().all:
        if each.text_bytes_by_language:
            assert each.language_basis, each.id
        if each.tokens and each.tokens_by_language:
            assert sum(each.tokens_by_language.values()) <= each.tokens * 1.15, each.id


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tokens": 1e9, "tokens_by_language": {"bn": 2e9}}, "more than the 1e.09 of the whole set"),
        ({"size_gb": 10, "text_gb_by_language": {"bn": 8, "hi": 8}}, "add up to 16"),
        ({"text_gb_by_language": {"Bengali": 8}}, "language code"),
        ({"text_gb_by_language": {"bn": "much"}}, "bn"),
    ],
)
def test_amounts_that_cannot_be_are_refused(own, fields, said):
    with pytest.raises(FactsError, match=said):
        own(mine={"languages": "2", **fields})
