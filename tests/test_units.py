"""What people type becomes a number in the base unit, and numbers become what people say."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators import units
from flopwise.estimators.errors import InputError


@pytest.mark.parametrize(
    ("reader", "typed", "value"),
    [
        (units.read_count, "7B", 7e9),
        (units.read_count, "1.5T", 1.5e12),
        (units.read_count, "300 million", 3e8),
        (units.read_count, "7_000_000", 7e6),
        (units.read_count, "2e12", 2e12),
        (units.read_usd, "$50k", 50_000),
        (units.read_usd, "50k", 50_000),
        (units.read_usd, "1,200.50 USD", 1200.5),
        (units.read_usd, "USD 1.2M", 1.2e6),
        (units.read_duration_s, "30d", 30 * 86_400),
        (units.read_duration_s, "12 h", 12 * 3600),
        (units.read_duration_s, "90min", 5400),
        (units.read_duration_s, "2 weeks", 14 * 86_400),
        (units.read_bytes, "80GB", 80e9),
        (units.read_bytes, "80GiB", 80 * 2**30),
        (units.read_power_w, "1.2kW", 1200),
        (units.read_fraction, "40%", 0.4),
        (units.read_fraction, "0.4", 0.4),
        (units.read_flops, "1e22", 1e22),
        (units.read_flops, "10ZFLOP", 1e22),
        (units.read_flops, "1PF-day", 1e15 * 86_400),
    ],
)
def test_people_type_their_own_units(reader, typed, value):
    assert reader(typed) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("reader", "typed", "says"),
    [
        (units.read_count, "seven", "7B"),
        (units.read_count, "-7B", "more than 0"),
        (units.read_count, "0", "more than 0"),
        (units.read_count, "7X", "'X' is not known"),
        (units.read_count, "1e999", "too large"),
        (units.read_usd, "€50k", "US dollars"),
        (units.read_usd, "50 EUR", "US dollars"),
        (units.read_usd, "-5", "more than 0"),
        (units.read_duration_s, "30", "a unit is missing"),
        (units.read_duration_s, "30m", "minutes or months"),
        (units.read_duration_s, "30x", "'x' is not known"),
        (units.read_bytes, "80", "a unit is missing"),
        (units.read_fraction, "140%", "between 0 and 1"),
        (units.read_whole, "1.5", "must be whole"),
        (units.read_accelerators, "h100:many", "64"),
        (units.read_accelerators, "h100:0", "more than 0"),
    ],
)
def test_a_wrong_unit_is_named_with_an_example(reader, typed, says):
    with pytest.raises(InputError) as error:
        reader(typed)
    assert says in str(error.value)
    assert typed in str(error.value)


@pytest.mark.parametrize("typed", ["h100-sxm:64", "64xh100-sxm", "64 x h100-sxm", "h100-sxm : 64"])
def test_accelerators_are_a_name_and_a_count(typed):
    assert units.read_accelerators(typed) == ("h100-sxm", 64)


def test_an_accelerator_without_count_has_none():
    assert units.read_accelerators("H100 SXM") == ("H100 SXM", None)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8_030_261_248, "params", "8.03B"),
        (999_999_999, "params", "1.00B"),
        (49_812.3, "usd", "$49,812"),
        (999_999.9, "usd", "$1.00M"),
        (-3.5, "usd", "-$3.50"),
        (0.0004, "usd", "$0.00040"),
        (85_899_345_920, "bytes", "80.0 GiB"),
        (0.0123, "s", "12.3 ms"),
        (2.5 * 86_400, "s", "2.5 days"),
        (3600.0, "s", "60 min"),
        (9.89e14, "flops_per_s", "989 TFLOP/s"),
        (1.2e24, "flops", "1.20 YFLOP"),
        (0.4012, "fraction", "40.1 %"),
        (3.99, "usd_per_hour", "$3.99/hour"),
        (0, "usd", "$0.00"),
        (12_345_678, "tokens", "12.3M"),
    ],
)
def test_numbers_are_printed_as_people_say_them(value, unit, text):
    assert units.show(value, unit) == text


@given(st.floats(min_value=1, max_value=1e15))
def test_a_printed_count_reads_back_within_its_digits(value):
    assert units.read_count(units.show_count(value)) == pytest.approx(value, rel=5.1e-3)


@given(st.floats(min_value=1e-9, max_value=1e9), st.sampled_from(["s", "bytes", "usd", "flops", "w", "fraction"]))
def test_every_number_is_printed_short_and_without_exponent(value, unit):
    text = units.show(value, unit)
    assert len(text) <= 20
    assert not re.search(r"\de[+-]?\d", text)


@given(st.floats(min_value=1.0, max_value=1e6))
def test_durations_read_back(value):
    number, unit = units.show_duration(value).replace(",", "").split()
    seconds = float(number) * {"s": 1, "min": 60, "hours": units.HOUR, "days": units.DAY, "years": units.YEAR}[unit]
    assert math.isclose(seconds, value, rel_tol=5.1e-3)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (units.read_count, "1e300", "at most 1e+21"),
        (units.read_count, "1e-300", "at least 1e-09"),
        (units.read_whole, "2e9", "at most 1e+09"),
        (units.read_flops, "1e300", "at most 1e+40"),
        (units.read_flops, "10", "at least 1e+06"),
        (units.read_usd, "1e30", "at most 1e+21"),
    ],
)
def test_an_amount_that_nobody_means_is_refused_with_the_limit(read, text, said) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        read(text)


def test_a_number_without_a_unit_lies_within_its_limits() -> None:
    assert units.read_number("1.5", least=1, most=2) == 1.5
    for text in ("0.99", "2.01", "nan", "inf", "1.5k", ""):
        with pytest.raises(InputError):
            units.read_number(text, least=1, most=2)


def test_a_share_that_divides_has_a_least_value() -> None:
    assert units.read_fraction("0.1%", least=1e-3) == pytest.approx(1e-3)
    with pytest.raises(InputError, match=re.escape("between 0.001 and 1 (0.1% and 100%)")):
        units.read_fraction("1e-30", least=1e-3)
