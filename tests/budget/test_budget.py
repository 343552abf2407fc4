"""What a budget says: sums, schedule, terms, money of machines and people, each against arithmetic by hand."""

import math

import pytest

from flopwise.estimators.budget.alternatives import Way, alternatives
from flopwise.estimators.budget.context import HOURS_PER_MONTH
from flopwise.estimators.budget.lines import Category
from flopwise.estimators.budget.uncertainty import runway_months, uncertainty
from flopwise.estimators.facts.budget_file import scenario_names

from .conftest import SMALL, budget_of

TEAM = (
    "version: 1\nname: b\nstart: 2027-01\nmonths: 12\nstages:\n"
    "- {name: team, kind: people, overhead: 50%, roles: [{role: dev, count: 2, usd_per_year: 120k}]}\n"
)


@pytest.mark.parametrize("name", [*scenario_names(), "small"])
def test_stages_months_and_categories_have_the_same_sum(name, scenario, small):
    budget = small if name == "small" else scenario(name)
    assert budget.cents == sum(planned.cents for planned in budget.stages)
    assert budget.cents == sum(budget.by_month)
    assert budget.cents == sum(budget.by_category.values())
    assert budget.by_month == tuple(
        sum(budget.category_by_month(category)[month] for category in Category) for month in range(budget.file.months)
    )
    assert budget.cents > 0


def test_people_cost_salary_and_overhead():
    budget = budget_of(TEAM)
    assert budget.cents == 2 * 120_000 * 150
    assert budget.by_month == (2 * 10_000 * 150,) * 12


def test_a_stage_starts_when_what_it_waits_for_has_ended(small):
    spans = {planned.stage.name: planned.span for planned in small.stages}
    assert spans["data"].first == 0
    assert spans["run"].first == max(spans["data"].end, spans["trials"].end) == 3
    assert spans["serve"].first == spans["run"].end == 5
    assert spans["serve"].end == 8
    assert small.file.month_name(2) == "2028-01"


def test_a_share_costs_its_share(small):
    lines = {line.stage: line for line in small.lines if line.category is Category.TRAINING}
    assert lines["trials"].amount.mid == pytest.approx(lines["run"].amount.mid / 4, abs=1e-3)
    assert lines["trials"].price.key == lines["run"].price.key


def test_failed_attempts_cost_their_share(small):
    without = budget_of(SMALL.replace(", failed: 7%", ""))
    with_, plain = (next(line for line in b.lines if line.stage == "run") for b in (small, without))
    assert with_.amount.mid == pytest.approx(plain.amount.mid * 1.07, rel=1e-6)


def test_an_own_price_is_used_for_every_stage_on_that_chip(small):
    keys = {line.price.key for line in small.lines if line.item.startswith("H100") or "generate" in line.item}
    assert keys == {"H100 SXM5 80GB, price of this budget"}


def test_serving_grows_and_is_paid_for_whole_replicas(small):
    line = next(line for line in small.lines if line.stage == "serve")
    chips = line.amount.mid / HOURS_PER_MONTH
    assert chips == pytest.approx(round(chips), abs=1e-6)
    paid = line.by_month[5:]
    assert list(paid) == sorted(paid)


def test_an_api_costs_tokens_times_price(small):
    lines = [line for line in small.lines if line.stage == "judge"]
    assert lines[0].amount.mid == pytest.approx(3333 * 1111 / 1e6, abs=1e-4)
    assert lines[0].cents == round(3333 * 1111 / 1e6 * 0.25 * 100)
    assert lines[1].cents == round(3333 * 77 / 1e6 * 2 * 100)


def test_reserved_machines_are_paid_for_the_whole_term():
    text = SMALL.replace("  on: h100-sxm\n", "  on: h100-sxm\n  plan: reserved\n  term_months: 6\n  price: 2\n")
    budget = budget_of(text)
    line = next(line for line in budget.lines if line.stage == "serve")
    (owed,) = budget.commitments
    chips = line.amount.mid / HOURS_PER_MONTH / 3  # three of the six months lie inside the budget
    assert chips == pytest.approx(round(chips), abs=1e-6)
    assert owed.cents == 2 * line.cents
    assert owed.beyond_cents == line.cents


def test_spot_costs_interruptions():
    text = SMALL.replace('on: "h100-sxm:8",', 'on: "h100-sxm:8", plan: spot, price: 2.5,')
    spot, plain = (next(line for line in budget_of(t).lines if line.stage == "run") for t in (text, SMALL))
    lost = 0.02 * 0.75  # interruptions an hour x hours lost, one machine (data/budget_defaults.yaml)
    assert spot.amount.mid == pytest.approx(plain.amount.mid * (1 + lost), rel=1e-6)


def test_owned_machines_cost_purchase_power_and_space(scenario):
    budget = scenario("medical-imaging")
    lines = {line.item: line for line in budget.lines if line.stage == "machines"}
    months = 21
    each = 30_000 * 1.35 * 1.125  # H100 street price x server x network (data/other_prices.yaml, budget_defaults.yaml)
    assert lines["buy 8 x H100 SXM5 80GB, with servers and network"].cents == 8 * each * 100
    power = 8 * 1.73 * months * HOURS_PER_MONTH * 0.75 * 0.09
    assert lines["electricity"].cents / 100 == pytest.approx(power, rel=1e-6)
    assert lines["space in a data center"].cents / 100 == pytest.approx(8 * 1.73 * months * 184.06, rel=1e-6)
    on_them = [line for line in budget.lines if line.price.key == "H100 SXM5 80GB, owned"]
    assert on_them
    assert all(line.cents == 0 for line in on_them)


def test_ways_to_have_the_accelerators_are_priced_over_the_same_months(small):
    ways = {each.way: each for each in alternatives(small)}
    hours = sum(p.worked.demand.hours.mid for p in small.stages if p.worked.demand)
    assert ways[Way.ON_DEMAND].usd.mid == pytest.approx(hours * 2.5)
    assert set(ways) == set(Way)
    bought = ways[Way.BUY]
    assert bought.worth_usd.mid < bought.usd.mid
    reserved = ways[Way.RESERVE_36]
    assert reserved.beyond_usd > 0  # 36 months are longer than the budget


def test_bands_hold_the_middle_and_a_stage_with_more_uncertainty_is_wider(small):
    found = uncertainty(small)
    assert found.spend.low < found.spend.mid < found.spend.high
    assert found.spend.mid == small.spend_cents / 100
    assert 0 < found.chance_within <= 1
    wide = uncertainty(budget_of(SMALL.replace("  growth: 30%", "  growth: 30%\n  uncertainty: 100%")))
    assert wide.stages["serve"].high > found.stages["serve"].high


def test_what_moves_the_spending_is_sorted_and_moves_it(small):
    swings = uncertainty(small).swings
    assert [s.width_cents for s in swings] == sorted((s.width_cents for s in swings), reverse=True)
    assert all(s.low_cents <= small.spend_cents <= s.high_cents for s in swings)
    assert any("demand" in s.what or "speed of 'serve'" in s.what for s in swings)


def test_a_budget_of_exact_prices_has_no_band():
    text = "version: 1\nname: b\nstart: 2027-01\nmonths: 2\nprices: {h100: 2}\nstages:\n"
    budget = budget_of(text + "- {name: e, kind: experiments, hours: 100, on: 'h100-sxm:1'}\n")
    found = uncertainty(budget)
    assert budget.cents == 20_000
    assert found.spend.is_exact
    assert found.swings == ()


@pytest.mark.parametrize(("cash", "months"), [("90k", 3.0), ("105k", 3.5), ("29k", 29 / 30), ("400k", 12.0)])
def test_the_runway_is_cash_over_what_is_spent(cash, months):
    budget = budget_of(TEAM.replace("stages:", f"funding: {{cash: {cash}}}\nstages:"))  # 30k a month
    assert runway_months(budget) == pytest.approx(months)
    band = uncertainty(budget).runway
    assert band.low <= months <= band.high


def test_money_that_comes_in_lengthens_the_runway():
    text = TEAM.replace("stages:", "funding: {cash: 60k, raises: [{month: 2027-03, usd: 60k}]}\nstages:")
    assert runway_months(budget_of(text)) == pytest.approx(4.0)
    late = text.replace("2027-03", "2027-04")
    assert runway_months(budget_of(late)) == pytest.approx(2.0)


def test_twice_the_work_never_costs_less(small):
    more = budget_of(SMALL.replace("tokens: 20B", "tokens: 40B"))
    assert more.cents > small.cents
    assert math.isclose(
        next(line for line in more.lines if line.stage == "run").amount.mid,
        2 * next(line for line in small.lines if line.stage == "run").amount.mid,
        rel_tol=0.05,
    )


def test_text_that_is_needed_is_sourced_as_the_data_verb_does(cli):
    text = "version: 1\nname: b\nstart: 2027-01\nmonths: 12\nstages:\n- name: d\n  kind: data\n  months: 12\n"
    item = "  items: [{what: bengali, tokens: 150B, language: bn, have: 20B}]\n"
    budget = budget_of(text + item)
    plan = cli("data", "--tokens", "150B", "--language", "bn", "--have", "20B", "--format", "json").json["result"]
    assert budget.cents / 100 == pytest.approx(plan["totals"]["usd"]["mid"], abs=0.05)
