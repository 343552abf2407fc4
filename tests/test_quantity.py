"""Ranges stay ordered, exact numbers stay exact, and independent factors do not pile up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.quantity import Quantity, exact, inverse, product, total, unranged

positive = st.floats(min_value=1e-6, max_value=1e6)


@st.composite
def quantities(draw):
    mid = draw(positive)
    return Quantity(mid / draw(st.floats(1, 5)), mid, mid * draw(st.floats(1, 5)), "s", "80 %", "drawn")


@given(st.lists(quantities(), min_size=1, max_size=5))
def test_a_product_keeps_order_and_middle(factors):
    result = product("x", factors)
    assert result.low <= result.mid <= result.high
    assert result.mid == pytest.approx(math.prod(q.mid for q in factors))


@given(quantities(), quantities())
def test_independent_ranges_add_in_quadrature(a, b):
    result = product("x", [a, b])
    widest = max(a.high / a.mid, b.high / b.mid)
    assert widest * (1 - 1e-9) <= result.high / result.mid <= (a.high / a.mid) * (b.high / b.mid) * (1 + 1e-9)


@given(quantities(), positive)
def test_an_exact_factor_scales_the_range(a, factor):
    result = product("x", [a, exact(factor, "h")])
    assert result.high / result.low == pytest.approx(a.high / a.low)


@given(quantities())
def test_the_inverse_of_the_inverse_is_the_quantity(a):
    back = inverse(inverse(a, "1/s"), "s")
    assert (back.low, back.mid, back.high) == pytest.approx((a.low, a.mid, a.high))


@given(st.lists(quantities(), min_size=1, max_size=5))
def test_a_total_is_the_sum_of_its_parts_at_every_end(parts):
    result = total("s", parts)
    assert result.low == math.fsum(q.low for q in parts)
    assert result.high == math.fsum(q.high for q in parts)


def test_an_unordered_range_is_refused():
    with pytest.raises(ValueError, match="ordered"):
        Quantity(2, 1, 3, "s", "80 %", "")


def test_bands_of_different_size_are_not_multiplied():
    a, b = Quantity(1, 2, 3, "s", "80 %", ""), Quantity(1, 2, 3, "s", "90 %", "")
    with pytest.raises(ValueError, match="different bands"):
        product("s", [a, b])


def test_a_number_without_a_range_says_so():
    assert unranged(3.0, "s", "a guess").band == "no basis for a range"
    assert exact(3.0, "s").band == "exact"
