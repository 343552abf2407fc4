"""What a person types for a model: names in any spelling, sizes, and what cannot be meant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import FactsError, InputError, UnknownName
from flopwise.estimators.facts import models as facts
from flopwise.estimators.facts.models import load_preset, preset_names
from flopwise.estimators.facts.sizing import anchors_by_model, load_sizing
from flopwise.estimators.facts.yamlfile import read_text
from flopwise.estimators.models.parameters import count_parameters
from flopwise.estimators.models.resolve import Origin, resolve_model
from flopwise.estimators.models.sized import SizeWanted, read_size, sized_shape


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("llama-3-8b", "llama-3-8b"),
        ("Llama 3 8B", "llama-3-8b"),
        ("llama3-8b", "llama-3-8b"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("gpt-3 175b", "gpt3-175b"),
        ("opt-1.3b", "opt-1.3b"),
        ("OPT 13B", "opt-13b"),
        ("vit-g14", "vit-g14"),
        ("vit-G14", "vit-G14"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("dbrx", "dbrx"),
        ("kimi", "kimi-k2"),
    ],
)
def test_a_preset_is_found_in_any_spelling(typed, meant):
    resolved = resolve_model(typed)
    assert (resolved.shape.name, resolved.origin) == (meant, Origin.PRESET)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_found_by_its_own_name(name):
    assert resolve_model(name).shape.name == name


def test_an_ambiguous_name_lists_the_choices():
    with pytest.raises(InputError, match=r"could be several models: mixtral-8x22b, mixtral-8x7b"):
        resolve_model("mixtral")


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(UnknownName) as caught:
        resolve_model("llama-3-8")
    assert "did you mean 'llama-3-8b'" in str(caught.value)


def test_a_hub_id_that_was_not_fetched_says_how_to_fetch_it():
    with pytest.raises(InputError, match="flopwise models fetch some/model"):
        resolve_model("some/model")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7B", SizeWanted(7e9)),
        ("1.5b", SizeWanted(1.5e9)),
        ("350M", SizeWanted(350e6)),
        ("30B-A3B", SizeWanted(30e9, active=3e9)),
        ("30ba3.3b", SizeWanted(30e9, active=3.3e9)),
        ("8x7B", SizeWanted(7e9, copies=8)),
        ("llama", None),
        ("7", None),
        ("b", None),
    ],
)
def test_a_size_is_read_as_people_write_it(text, size):
    assert read_size(text) == size


@given(st.floats(7.0, 12.3))
@settings(max_examples=150, deadline=None)
def test_any_size_from_10m_to_2t_is_met_within_1_percent(exponent):
    size = min(10**exponent, 2e12)
    shape = sized_shape(SizeWanted(size), "sized")
    assert count_parameters(shape).total == pytest.approx(size, rel=0.01)
    layer = shape.stacks[0].runs[0][1]
    habits = load_sizing()
    assert habits.ffn.least <= layer.feed_forward.width / shape.hidden <= habits.ffn.most
    assert layer.attention.heads % layer.attention.kv_heads == 0
    assert layer.attention.heads * layer.attention.head_dim == shape.hidden
    assert 0.6 < shape.hidden / shape.layers / habits.aspect(size) < 1.67


@pytest.mark.parametrize("text", ["30B-A3B", "47B-A13B", "235B-A22B", "671B-A37B", "1T-A32B", "120B-A5B", "7B-A1B"])
def test_a_mixture_meets_both_of_its_sizes_within_1_percent(text):
    size = read_size(text)
    count = count_parameters(resolve_model(text).shape)
    assert count.total == pytest.approx(size.total, rel=0.01)
    assert count.active == pytest.approx(size.active, rel=0.01)


def test_the_size_of_llama_3_8b_gives_the_shape_of_llama_3_8b():
    assert resolve_model("8.03B").shape.stacks == load_preset("llama-3-8b").shape.stacks


def test_8x7b_is_the_7b_shape_with_eight_experts_of_which_two_work():
    one, eight = resolve_model("7B").shape, resolve_model("8x7B").shape
    dense, sparse = one.stacks[0].runs[0][1], eight.stacks[0].runs[0][1]
    assert sparse.attention == dense.attention
    assert (sparse.mixture.experts, sparse.mixture.active) == (8, 2)
    assert sparse.mixture.width == dense.feed_forward.width


def test_what_was_made_from_a_size_is_said():
    said = resolve_model("7B").how
    assert "'7B' is a size" in said
    assert "28 layers of width 4096" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5M", "sizes from 10.0M to 2.00T"),
        ("9T", "sizes from 10.0M to 2.00T"),
        ("7B-A8B", "fewer active parameters than 7.00B"),
        ("1T-A20M", "no sensible mixture"),
        ("2x7B", "is not sparse"),
        ("", "a model is missing"),
    ],
)
def test_a_size_that_makes_no_model_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        resolve_model(text)


def test_the_habits_are_those_of_the_models_they_name():
    for name, anchor in anchors_by_model(load_sizing()).items():
        shape = load_preset(name).shape
        assert anchor.value == pytest.approx(shape.hidden / shape.layers, rel=0.003), name
        assert anchor.params == count_parameters(shape).total, name
    llama = load_preset("llama-3-8b").shape
    assert load_sizing().ffn.value == llama.stacks[0].runs[0][1].feed_forward.width / llama.hidden


CARDS = """\
schema: models/1
as_of: "2026-11-22"
families:
  Ours:
    traits: {vocab: 1000}
    source: ours
    models:
      ours-1b:
        shape: {layers: 2, hidden: 64, heads: 2, ffn: 128}
        published: {params: 100000, how: nominal}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("heads: 2", "haeds: 2", r"models.yaml:9: .*haeds is not a known key; did you mean 'heads'"),
        ("layers: 2", "layers: two", r"models.yaml:9: .*layers is 'two', a whole number is wanted"),
        ("layers: 2, ", "", r"models.yaml:9: .*layers is missing"),
        ("ffn: 128}", "ffn: 128, tied: 1}", r"models.yaml:9: .*tied is 1, true or false is wanted"),
        ("ffn: 128}", "ffn: 128, norm: rms}", r"models.yaml:9: .*norm is 'rms', .*did you mean 'rmsnorm'"),
        ("how: nominal", "how: rounded", r"models.yaml:10: .*how is 'rounded', which is not a choice"),
        ("params: 100000, ", "", r"models.yaml:10: .*params is missing"),
        ("    source: ours\n", "", r"models.yaml:7: .*source is missing; say where the shape was read"),
        ("traits: {vocab: 1000}", "traits: {vocab: 1000}\n    kart: decoder", r"models.yaml:6: .*kart is not a known"),
        ("schema: models/1", "schema: models/9", r"models.yaml:1: schema is 'models/9', which is not a choice"),
    ],
)
def test_a_card_that_breaks_the_schema_names_the_line_and_the_fix(old, new, said):
    facts._check(read_text(CARDS, name="models.yaml"))
    assert old in CARDS
    with pytest.raises(FactsError, match=said):
        facts._check(read_text(CARDS.replace(old, new), name="models.yaml"))
