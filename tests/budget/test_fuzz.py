"""Whatever is written into a budget file ends in a budget or in one sentence, never in a traceback."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import FlopwiseError
from flopwise.estimators.facts.budget_file import parse_budget
from flopwise.estimators.facts.budget_stages import COMMON, ITEM, KEYS

from .conftest import SMALL, budget_of

WORDS = sorted({*COMMON, *ITEM, *(key for keys in KEYS.values() for key in keys), "version", "start", "prices", "role"})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True),
    st.sampled_from(
        ["1T", "-5", "15%", "2027-03", "h100-sxm:8", "7B", "all", "~", "0x10", "1e400", "5 GB", "ü", "a: b"]
    ),
    st.text(max_size=12),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
LINES = SMALL.splitlines(keepends=True)


def as_yaml(value: object) -> str:
    import yaml

    return yaml.safe_dump(value, allow_unicode=True)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["name", "start", "months", "stages", "terms", "funding", "prices"]), TREES))
def test_any_tree_is_refused_in_one_sentence(tree):
    with pytest.raises(FlopwiseError) as caught:
        parse_budget(as_yaml({"version": 1, **tree}), name="b.yaml")
    assert str(caught.value).startswith("b.yaml")
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(st.sampled_from(sorted(map(str, KEYS))), st.dictionaries(st.sampled_from(WORDS), SCALARS, max_size=8))
def test_any_stage_is_read_or_refused(kind, fields):
    stage = {**fields, "name": "s", "kind": kind}
    tree = {"version": 1, "name": "b", "start": "2027-01", "months": 12, "stages": [stage]}
    try:
        parse_budget(as_yaml(tree), name="b.yaml")
    except FlopwiseError as error:
        assert str(error).startswith("b.yaml")


@settings(max_examples=60)
@given(st.data())
def test_a_budget_with_damaged_lines_is_worked_out_or_refused(data):
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        cut = data.draw(st.integers(0, len(line)))
        new = data.draw(
            st.sampled_from(["", ":", "-", "9", "0", "%", "B", "\t", "  ", "'", "{", "]", "#", "null", "1e9"])
        )
        lines[place] = line[:cut] + new + line[cut + data.draw(st.integers(0, 2)) :]
    try:
        budget = budget_of("".join(lines))
    except FlopwiseError as error:
        assert "\n" not in str(error)
    else:
        assert budget.cents == sum(budget.by_month)


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_refused_in_one_sentence(text):
    with pytest.raises(FlopwiseError):
        parse_budget(text, name="b.yaml")
