"""Money adds up to the cent, reserves are named and editable, and a request that contradicts itself is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError, UnknownName
from flopwise.estimators.facts.plan_defaults import load_plan_defaults
from flopwise.estimators.facts.records import CloudClass
from flopwise.estimators.planning.budget import (
    chance_within,
    from_budget,
    from_costs,
    read_reserve,
    reserves,
    spend,
)
from flopwise.estimators.planning.request import Objective, PlanRequest
from flopwise.estimators.quantity import Quantity, exact

DEFAULTS = load_plan_defaults().reserves
dollars = st.floats(1, 1e9).map(lambda usd: round(usd, 2))


@given(dollars)
def test_the_lines_of_a_budget_add_up_to_it_to_the_cent(budget):
    table = from_budget(budget, reserves(DEFAULTS))
    assert table.total_cents == round(budget * 100)
    assert all(line.cents >= 0 for line in table.lines)


@given(dollars, st.floats(0, 1e6))
def test_a_plan_without_a_budget_asks_for_the_sum_of_its_lines(training, serving):
    table = from_costs(training, reserves(DEFAULTS), serving_usd=serving)
    assert table.total_cents == sum(line.cents for line in table.lines)
    assert table.total_usd * 0.53 == pytest.approx(training + serving, rel=1e-3, abs=0.05)


@given(dollars, st.floats(0, 1))
def test_money_that_is_not_spent_stays_in_the_total(budget, share):
    table = from_budget(budget, reserves(DEFAULTS))
    spent = spend(table, table.usd("training") * share)
    assert spent.total_cents == table.total_cents


def test_a_serving_line_takes_its_money_from_the_run():
    table = from_budget(1000, (), serving_usd=400)
    assert (table.usd("training"), table.usd("serving")) == (600, 400)


def test_experiments_and_failed_runs_are_half_of_the_main_run_as_measured():
    kept = {reserve.name: reserve.share for reserve in reserves(DEFAULTS)}
    run = 1 - sum(kept.values())
    assert (kept["experiments"] + kept["failed-runs"]) / run == pytest.approx(0.5, abs=0.03)


def test_guesses_are_marked_and_every_reserve_has_a_range_and_a_source():
    kept = reserves(DEFAULTS)
    assert {reserve.name for reserve in kept if reserve.is_guess} >= {"evaluation", "contingency"}
    assert all(reserve.low <= reserve.share <= reserve.high and reserve.source for reserve in kept)


def test_a_reserve_is_edited_added_and_removed_by_name():
    kept = {r.name: r.share for r in reserves(DEFAULTS, {"contingency": 0.25, "salaries": 0.1, "evaluation": 0})}
    assert kept["contingency"] == 0.25
    assert kept["salaries"] == 0.1
    assert "evaluation" not in kept


def test_no_reserves_keeps_only_those_that_are_named():
    assert [r.name for r in reserves(DEFAULTS, {"contingency": 0.2}, none=True)] == ["contingency"]


def test_a_misspelled_reserve_suggests_the_right_one():
    with pytest.raises(UnknownName, match="did you mean 'contingency'"):
        reserves(DEFAULTS, {"contingensy": 0.1})


def test_reserves_that_leave_nothing_are_refused():
    with pytest.raises(InputError, match="add up to 93%"):
        reserves(DEFAULTS, {"experiments": 0.66})


@pytest.mark.parametrize("text", ["contingency", "=5", "contingency=lots", "contingency=-1", "contingency=101"])
def test_a_reserve_that_is_not_name_and_percent_is_refused(text):
    with pytest.raises(InputError, match="NAME=PERCENT"):
        read_reserve(text)


def test_a_reserve_is_read_in_percent():
    assert read_reserve("Failed Runs=12.5%") == ("failed-runs", 0.125)


def test_the_chance_of_staying_within_reads_the_range_as_eighty_percent():
    cost = Quantity(50, 100, 200, "usd", "80 %", "")
    assert chance_within(cost, 200) == pytest.approx(0.9)
    assert chance_within(cost, 50) == pytest.approx(0.1)
    assert chance_within(exact(100, "usd"), 150) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "needs something to size from"),
        ({"deadline_s": 1e6}, "needs something to size from"),
        ({"compute_flops": 1e22, "target_loss": 2.0}, "leave out --target-loss"),
        ({"model": "7B", "tokens": 1e12, "target_loss": 2.0}, "together fix the loss"),
        ({"model": "7B", "tokens": 1e12, "objective": Objective.LOSS}, "fixed already"),
        ({"model": "7B", "objective": Objective.LOSS}, "more money always helps"),
        ({"budget_usd": 5e4, "objective": Objective.COST}, "nothing says what must be reached"),
        ({"budget_usd": 5e4, "accelerator": "h100", "accelerators": 8, "max_accelerators": 9}, "fixes the number"),
        ({"budget_usd": 5e4, "usd_per_hour": 2.0}, "name it with --accelerator"),
        (
            {"budget_usd": 5e4, "usd_per_hour": 2.0, "accelerator": "h100", "cloud_class": CloudClass.GPU_CLOUD},
            "would have no effect",
        ),
        ({"budget_usd": 5e4, "detour": 0.1, "model": "7B"}, "fixes the size"),
        ({"budget_usd": 5e4, "detour": 0.1, "inference_tokens": 1e12}, "weighs serving exactly"),
        ({"budget_usd": 5e4, "detour": 0.1, "unique_tokens": 1e10}, "has no effect with --unique-tokens"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_contradicts_itself_is_refused(fields, said):
    with pytest.raises(InputError, match=said):
        PlanRequest(**fields).check()


@pytest.mark.parametrize(
    ("fields", "aim"),
    [
        ({"budget_usd": 5e4}, Objective.LOSS),
        ({"model": "7B", "tokens": 1e12}, Objective.COST),
        ({"model": "7B"}, Objective.COST),
        ({"budget_usd": 5e4, "target_loss": 2.1}, Objective.COST),
        ({"accelerator": "h100", "max_accelerators": 64, "deadline_s": 1e6}, Objective.LOSS),
    ],
)
def test_the_objective_follows_from_what_is_given(fields, aim):
    request = PlanRequest(**fields)
    request.check()
    assert request.aim is aim
