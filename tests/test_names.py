"""Names are forgiving, never wrong: one match resolves, several are listed, none is an error with the nearest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError, UnknownName
from flopwise.estimators.names import fold, resolve

NAMES = ["h100-sxm-80gb", "h100-pcie-80gb", "a100-sxm-40gb", "a100-sxm-80gb", "tpu-v5e"]
ALIASES = {"h100": "h100-sxm-80gb", "v5e": "tpu-v5e"}


def find(typed):
    return resolve(typed, NAMES, kind="accelerator", aliases=ALIASES, listing="flopwise catalog list")


@pytest.mark.parametrize("typed", ["H100", "h100-sxm", "H100 SXM 80GB", "h100_sxm_80gb", " h100 "])
def test_the_same_chip_under_many_spellings(typed):
    assert find(typed) == "h100-sxm-80gb"


def test_several_matches_are_listed():
    with pytest.raises(InputError, match="a100-sxm-40gb, a100-sxm-80gb"):
        find("a100")


def test_an_unknown_name_gives_the_nearest_and_the_command_that_lists_all():
    with pytest.raises(UnknownName) as error:
        find("h10-sxm-80gb")
    assert "did you mean 'h100-sxm-80gb'" in str(error.value)
    assert "flopwise catalog list" in str(error.value)


@pytest.mark.parametrize("typed", ["", "-", "zzzz", "h1"])
def test_nothing_close_is_still_an_error(typed):
    with pytest.raises(InputError):
        find(typed)


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)
