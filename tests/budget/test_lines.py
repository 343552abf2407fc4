"""Cents: every sum agrees, whatever was rounded on the way."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.budget.lines import (
    Category,
    Draft,
    PriceInput,
    by_month,
    cents_of,
    cut_amount,
    line_of,
    reserve_of,
    until_of,
)
from flopwise.estimators.quantity import exact

WEIGHTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=120).filter(lambda ws: max(ws) > 1e-3)


@given(st.integers(0, 10**12), WEIGHTS)
def test_months_add_up_to_the_line(cents, weights):
    months = by_month(cents, until_of(tuple(weights)))
    assert sum(months) == cents
    assert len(months) == len(weights)
    assert min(months) >= 0


@given(st.integers(0, 10**9), WEIGHTS)
def test_a_month_is_within_a_cent_of_its_share(cents, weights):
    months = by_month(cents, until_of(tuple(weights)))
    for paid, weight in zip(months, weights, strict=True):
        assert abs(paid - cents * weight / sum(weights)) <= 1 + cents * 2e-8


@given(st.floats(0, 1), st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_a_reserve_adds_up_and_never_falls(share, paid):
    reserve = reserve_of("s", share, tuple(paid))
    assert sum(reserve.by_month) == reserve.cents
    assert min(reserve.by_month) >= 0
    assert abs(reserve.cents - reserve.share * sum(paid)) <= 0.5 + 1e-6 * sum(paid)


@pytest.mark.parametrize(
    ("amount", "price", "cents"),
    [(3, 0.335, 101), (1, 0.005, 1), (1, 0.0049, 0), (2.5, 1.01, 253), (28_200.1234, 3.945, 11_124_949), (0, 5, 0)],
)
def test_half_a_cent_goes_up(amount, price, cents):
    assert cents_of(amount, price) == cents


@given(st.floats(0, 1e9), st.floats(0, 1e6))
def test_a_line_is_within_half_a_cent_of_its_product(amount, price):
    kept, asked = round(amount, 4), round(price, 6)
    assert abs(Decimal(cents_of(kept, asked)) - Decimal(repr(kept)) * Decimal(repr(asked)) * 100) <= Decimal("0.5")


def test_a_small_amount_does_not_vanish():
    assert cut_amount(exact(3e-9, "x")).mid > 0


def test_a_line_is_paid_when_it_is_due():
    price = PriceInput(key="p", usd=exact(100.0, "usd"), unit="x", date="", source="")
    draft = Draft(item="i", category=Category.OTHER, amount=exact(1.0, "x"), price=price, driver="d")
    line = line_of(draft, "s", (0.0, 1.0, 3.0, 0.0))
    assert line.by_month == (0, 2500, 7500, 0)
    assert line.until == (0.0, 0.25, 1.0, 1.0)
