"""The planner answers what was asked, more never hurts, and it proposes what an expert would sign."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import AnswerIsNo, DoesNotFit, InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.plan_defaults import load_plan_defaults
from flopwise.estimators.facts.records import PricePlan
from flopwise.estimators.planning.advice import advise, open_models
from flopwise.estimators.planning.alternatives import front
from flopwise.estimators.planning.hardware import has_fast_link, is_proposed, offers
from flopwise.estimators.planning.option import Option
from flopwise.estimators.planning.request import Objective, PlanRequest
from flopwise.estimators.planning.search import best_option, make_plan, prepare
from flopwise.estimators.planning.setting import Limit
from flopwise.estimators.planning.shapes import shape_of
from flopwise.estimators.planning.sizing import ServingLoad, Size, sizing
from flopwise.estimators.pricing.quote import quote
from flopwise.estimators.scaling.inference import lifetime_optimum_at_loss
from flopwise.estimators.scaling.laws import law
from flopwise.estimators.serving.money import serving_usd_per_million_tokens
from flopwise.estimators.serving.performance import Tricks
from flopwise.estimators.serving.sizing import Choice, Demand, size
from flopwise.estimators.serving.unit_cost import unit_cost
from flopwise.estimators.units import DAY

few = settings(max_examples=5, deadline=None, derandomize=True)  # a plan takes a tenth of a second
budgets = st.floats(2.7, 7.3).map(lambda exponent: round(10**exponent, 2))


@functools.cache
def catalog():
    return load_catalog(use_config_folder=False)


@functools.cache
def startup_plan():
    return make_plan(PlanRequest(budget_usd=5e4), catalog())


def best(**fields) -> Option:
    setting, _ = prepare(PlanRequest(**fields), catalog())
    return best_option(setting, catalog())


# --- more never hurts -------------------------------------------------------------------------------------------


@few
@given(budgets, st.floats(1.25, 20))
def test_more_money_never_gives_a_worse_model(budget, factor):
    assert best(budget_usd=budget * factor).loss <= best(budget_usd=budget).loss


@few
@given(st.floats(4, 40), st.floats(1.2, 6))
def test_a_longer_deadline_never_costs_more(days, factor):
    job = {"model": "llama-3-8b", "tokens": 3e11, "accelerator": "h100-sxm"}
    short, long = best(**job, deadline_s=days * DAY), best(**job, deadline_s=days * factor * DAY)
    assert long.usd <= short.usd * 1.025  # fewer chips win where they cost 2 % more at most


@few
@given(budgets, st.floats(1, 60))
def test_a_deadline_is_met_in_the_middle_of_the_range(budget, days):
    option = best(budget_usd=budget, deadline_s=days * DAY, accelerator="h100-sxm")
    assert option.seconds.mid <= days * DAY * (1 + 1e-6)
    assert option.usd <= 0.53 * budget * (1 + 1e-3)


@few
@given(budgets)
def test_a_budget_is_used_up_and_its_parts_add_up_to_the_cent(budget):
    plan = make_plan(PlanRequest(budget_usd=budget), catalog())
    assert plan.money.total_cents == round(budget * 100)
    assert plan.chosen.usd == pytest.approx(plan.money.usd("training"), rel=2e-3)


@few
@given(st.floats(9, 12.5))
def test_more_unique_tokens_never_give_a_worse_model(log_unique):
    some, more = (best(budget_usd=2e5, unique_tokens=10**x).loss for x in (log_unique, log_unique + 0.5))
    assert more <= some * (1 + 1e-6)


# --- what was asked is what is answered --------------------------------------------------------------------------


def test_the_optimum_of_a_compute_is_the_check_value_of_the_default_law():
    plan = make_plan(PlanRequest(compute_flops=1e22), catalog())
    assert plan.valley.params.mid == pytest.approx(9045158314, rel=0.02)
    assert plan.valley.tokens_per_param.low == pytest.approx(11, rel=0.1)
    assert plan.valley.tokens_per_param.high == pytest.approx(38, rel=0.1)


def test_the_small_side_of_the_optimum_is_taken_and_wastes_no_more_than_allowed():
    plan = startup_plan()
    assert plan.chosen.size.params < plan.valley.params.mid
    assert plan.valley.plan_waste == pytest.approx(0.05, abs=0.02)


def test_without_a_detour_the_optimum_itself_is_taken():
    plan = make_plan(PlanRequest(budget_usd=5e4, detour=0.0), catalog())
    assert plan.chosen.size.params == pytest.approx(plan.valley.params.mid, rel=0.05)


def test_a_named_model_and_tokens_are_kept_and_cost_what_train_says():
    from flopwise.estimators.training.job import answer

    option = best(model="llama-3-8b", tokens=1e12, accelerator="h100-sxm", accelerators=64)
    assert option.size.params == 8_030_261_248
    assert option.answer.run.cost_usd == answer(option.answer.job, 64).run.cost_usd


def test_a_target_loss_is_reached():
    assert best(target_loss=2.2).loss == pytest.approx(2.2, abs=2e-3)


def test_a_cluster_for_a_time_is_used_for_all_of_it():
    option = best(accelerator="h100-sxm", max_accelerators=64, deadline_s=30 * DAY)
    assert option.accelerators == 64
    assert option.seconds.mid == pytest.approx(30 * DAY, rel=1e-3)


def test_scarce_data_are_repeated_and_named_as_what_binds():
    plan = make_plan(PlanRequest(budget_usd=2e5, unique_tokens=20e9), catalog())
    assert plan.relaxations[0].limit == "data"
    assert plan.relaxations[0].compute_gain > 2
    assert plan.epochs == pytest.approx(plan.chosen.size.tokens / 20e9)
    assert any("Data binds" in warning for warning in plan.warnings)


def test_serving_many_tokens_makes_the_model_smaller_and_is_paid_from_the_budget():
    served = make_plan(PlanRequest(budget_usd=2e5, inference_tokens=1e12), catalog())
    assert served.chosen.size.params < best(budget_usd=2e5).size.params
    assert served.money.usd("serving") > 0
    assert served.money.total_usd == 2e5


def test_the_objective_time_is_faster_and_wastes_little_of_the_money():
    calm, fast = best(budget_usd=5e4), best(budget_usd=5e4, objective=Objective.TIME)
    assert fast.seconds.mid < calm.seconds.mid / 2
    assert fast.loss < calm.loss * 1.01


def test_a_deadline_that_the_cluster_cannot_use_up_leaves_money_and_says_so():
    plan = make_plan(
        PlanRequest(budget_usd=5e4, accelerator="h100-sxm", accelerators=8, deadline_s=10 * DAY), catalog()
    )
    assert plan.chosen.limit is Limit.ACCELERATORS
    assert plan.money.usd("unspent") > 0
    assert plan.relaxations[0].limit == "accelerators"
    assert plan.relaxations[0].compute_gain > 2


def test_a_price_of_ones_own_replaces_the_price_list():
    option = best(budget_usd=5e4, accelerator="h100-sxm", usd_per_hour=2.0)
    hours = option.run.accelerator_hours.mid
    assert option.training_usd.mid == pytest.approx(2.0 * hours)


# --- what an expert would sign ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "least", "most", "longest_days"),
    [(500, 1, 8, 6), (5e3, 2, 16, 6), (5e4, 8, 64, 15), (1e6, 64, 512, 31), (2e7, 512, 4096, 61)],
)
def test_the_cluster_and_the_time_suit_the_money(budget, least, most, longest_days):
    option = best(budget_usd=budget)
    assert least <= option.accelerators <= most
    assert option.seconds.mid <= longest_days * DAY


def test_chips_without_a_fast_link_are_not_proposed():
    rules = load_plan_defaults().hardware
    proposed = {name for name in catalog().priced if is_proposed(catalog().accelerators[name], rules)}
    assert {"h100-sxm-80gb", "b200-sxm", "a100-sxm-80gb"} <= proposed
    assert not {"rtx-4090", "l4", "t4", "v100-sxm2-16gb", "a40"} & proposed
    assert not has_fast_link(catalog().accelerators["rtx-4090"], rules)


def test_a_consumer_card_trains_only_what_one_card_holds():
    option = best(budget_usd=5e4, accelerator="rtx-4090")
    assert option.size.params < 1.5e9
    assert option.accelerators <= 8
    assert option.seconds.mid <= 91 * DAY


def test_marketplaces_rent_single_nodes():
    for offer in offers(catalog(), PlanRequest(budget_usd=1e6, accelerator="rtx-4090"), load_plan_defaults()):
        assert offer.most <= 8


def test_the_dollars_of_a_startup_are_better_spent_on_fine_tuning():
    plan = startup_plan()
    assert plan.advice.fine_tune
    assert plan.advice.rival.params == pytest.approx(plan.chosen.size.params, rel=0.5)
    assert plan.advice.compute_ratio > 10


def test_a_model_beyond_the_open_ones_is_worth_pre_training():
    rules, surface = load_plan_defaults().advice, law().surface
    size = Size(8e9, 2e14)
    assert not advise(size, surface.loss(size.params, size.tokens), surface, open_models(rules), rules).fine_tune


def test_closed_models_are_no_rivals():
    assert not any(model.name.startswith("gpt3") for model in open_models(load_plan_defaults().advice))


def test_nothing_on_the_front_is_beaten_in_cost_time_and_loss():
    plan = startup_plan()
    points = [(option.usd, option.seconds.mid, option.loss) for option in plan.front]
    assert points
    assert not any(all(x <= y for x, y in zip(a, b, strict=True)) and a != b for a in points for b in points)
    assert front(plan.front) == plan.front


def test_neighbours_move_what_they_promise():
    plan = startup_plan()
    found = {each.name: each.option for each in plan.alternatives}
    assert found["faster"].seconds.mid < plan.chosen.seconds.mid
    assert found["cheaper"].usd < plan.chosen.usd
    assert found["better"].loss < plan.chosen.loss
    assert found["leaner"].size.params < 0.6 * plan.chosen.size.params
    assert found["spot"].usd < plan.chosen.usd


# --- the answer is no --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"model": "7B", "tokens": 1e12, "budget_usd": 1e4}, AnswerIsNo, "it takes a budget of"),
        ({"model": "7B", "tokens": 1e12, "deadline_s": 3600.0}, AnswerIsNo, "more than the deadline"),
        ({"model": "1B", "target_loss": 2.0}, AnswerIsNo, "never reaches a loss of 2"),
        ({"tokens": 1e9, "target_loss": 2.0}, AnswerIsNo, "more tokens are needed"),
        ({"target_loss": 1.5}, InputError, "cannot go below"),
        ({"budget_usd": 1.0}, AnswerIsNo, "raise"),
        (
            {"model": "70B", "budget_usd": 1e6, "accelerator": "h100-sxm", "max_accelerators": 4},
            DoesNotFit,
            "do not fit on 4 H100",
        ),
        ({"model": "70B", "budget_usd": 1e6, "accelerator": "rtx-4090"}, DoesNotFit, "do not fit on 8"),
        ({"budget_usd": 5e4, "law": "porian", "unique_tokens": 1e9}, InputError, "gives no loss"),
        ({"budget_usd": 5e4, "law": "step-law"}, InputError, "does not say which size"),
        ({"budget_usd": 5e4, "cloud": "lamda"}, InputError, "did you mean 'lambda'"),
        ({"budget_usd": 5e4, "accelerator": "h20"}, InputError, "no price is known"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_met_is_said_in_one_sentence(fields, error, said):
    with pytest.raises(error, match=said) as caught:
        best(**fields)
    assert "\n" not in str(caught.value)


# --- sizing ------------------------------------------------------------------------------------------------------


def test_a_target_on_scarce_data_is_reached_by_repeating_them():
    sized = sizing(law_name=None, detour=0.0, unique_tokens=2e10, target_loss=2.3)
    found = sized.target()
    assert sized.loss(found) == pytest.approx(2.3, abs=1e-4)
    assert found.tokens > 2e10


@given(st.floats(19, 25), st.floats(1, 1e13), st.floats(0.3, 1.5))
def test_training_and_serving_together_spend_the_compute(exponent, served, elasticity):
    sized = sizing(law_name=None, detour=0.05, inference_tokens=served)
    load = ServingLoad(params=1e9, flops=4e9 * served, elasticity=elasticity)
    found = sized.for_compute(10**exponent, load)
    assert found.flops + load.at(found.params) == pytest.approx(10**exponent, rel=1e-6)


@given(st.floats(20, 25), st.floats(1e10, 1e13), st.floats(0.3, 1.5), st.floats(1.1, 30))
def test_more_to_serve_never_makes_the_best_size_larger(exponent, served, elasticity, factor):
    sized = sizing(law_name=None, detour=0.05, inference_tokens=served)
    loads = [ServingLoad(params=1e9, flops=4e9 * each, elasticity=elasticity) for each in (served, factor * served)]
    little, much = (sized.for_compute(10**exponent, load) for load in loads)
    assert much.params <= little.params * (1 + 1e-5)


@given(st.floats(2.0, 2.6), st.floats(1e10, 1e13))
def test_serving_that_costs_two_flop_per_parameter_gives_the_published_lifetime_optimum(loss, served):
    sized = sizing(law_name=None, detour=0.0, inference_tokens=served, target_loss=loss)
    found = sized.target(ServingLoad(params=1e9, flops=2e9 * served, elasticity=1.0))
    known = lifetime_optimum_at_loss(sized.surface, loss, served)
    assert found.params == pytest.approx(known.params, rel=1e-2)
    assert found.flops + 2 * found.params * served <= known.weighted_flops * (1 + 1e-4)


# --- serving -----------------------------------------------------------------------------------------------------


@few
@given(st.floats(4.5, 7), st.floats(10, 12.3), st.floats(1.5, 20))
def test_more_inference_tokens_never_give_a_larger_model(log_budget, log_tokens, factor):
    tokens = 10**log_tokens
    try:
        much = best(budget_usd=10**log_budget, inference_tokens=factor * tokens)
    except AnswerIsNo:  # serving takes all the money
        return
    little = best(budget_usd=10**log_budget, inference_tokens=tokens)
    assert much.size.params <= little.size.params * 1.02  # shapes come in steps
    assert much.loss >= little.loss - 1e-3


@pytest.mark.parametrize("budget", [2e4, 2e5, 5e6])
def test_serving_costs_what_the_serving_model_says_of_that_size(budget):
    option = best(budget_usd=budget, inference_tokens=3e11, accelerator="h100-sxm", cloud_class=None)
    priced = {p.cloud_class for p in option.served.offer.quote.prices}
    assert option.served.offer.accelerator.id == "h100-sxm-80gb"
    said = serving_usd_per_million_tokens(option.shape, catalog(), accelerator_id="h100-sxm-80gb")
    per_hour = quote(catalog(), "h100-sxm-80gb").usd_per_hour.mid  # of all classes together, the plan's is of one
    assert priced
    same_price = said.mid / per_hour * option.served.cost.usd_per_hour.mid
    assert option.serving_usd.mid / 3e5 == pytest.approx(same_price, rel=0.03)


def test_serving_costs_what_sizing_a_full_load_says_on_the_cheapest_chip():
    option = best(budget_usd=2e5, inference_tokens=1e12)
    cost = option.served.cost
    load = cost.load
    demand = Demand(
        requests_per_s=500.0,
        traffic=load.traffic,
        tricks=Tricks(),
        token_s=load.token_s,
        first_s=load.first_s,
        headroom=load.headroom,
    )
    choice = Choice(weights=cost.setup.weights)
    sized = size(option.shape, cost.setup.accelerator, demand, choice, price=option.served.offer.quote)
    per_million = min(
        each.chips / each.replicas * cost.usd_per_hour.mid / 3600 / load.headroom
        / each.at_capacity.requests_per_s / load.tokens * 1e6
        for each in sized
    )  # fmt: skip
    assert cost.usd == pytest.approx(per_million, rel=0.03)


def test_no_suitable_chip_is_cheaper_to_serve_on():
    setting, _ = prepare(PlanRequest(budget_usd=2e5, inference_tokens=1e12), catalog())
    for params in (2e8, 1.5e9, 7e9, 4e10, 1.2e11):
        chosen = setting.serving.at(params).cost.usd
        every = [unit_cost(shape_of(params), o.accelerator, o.usd_per_hour) for o in setting.serving.offers]
        assert chosen <= 1.03 * min(each.usd for each in every if each.meets_targets)


def test_spot_prices_train_and_do_not_serve():
    option = best(budget_usd=2e5, inference_tokens=1e12, price_plan=PricePlan.SPOT)
    assert option.offer.quote.plan is PricePlan.SPOT
    assert option.served.offer.quote.plan is PricePlan.ON_DEMAND


def test_a_deadline_of_hours_is_met_with_what_can_be_rented_at_once(cli):
    import json

    ran = cli("plan", "--budget", "50k", "--deadline", "2h", "--format", "json")
    assert ran.code == 0
    assert "more than one can usually rent" not in ran.out
    assert json.loads(ran.out)["result"]
