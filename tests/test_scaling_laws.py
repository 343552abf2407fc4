"""The laws give the values that papers and their repositories print, and behave as mathematics says they must."""

from __future__ import annotations

import csv
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.benchmarks.validation.scaling import replay, replay_cases, replay_checks
from flopwise.estimators.errors import FactsError, InputError, UnknownName
from flopwise.estimators.facts.scaling import bootstrap_draws, check_values, find_card, law_cards
from flopwise.estimators.scaling import hyperparameters
from flopwise.estimators.scaling.inference import lifetime_optimum_at_compute, lifetime_optimum_at_loss
from flopwise.estimators.scaling.laws import law, selectable_laws
from flopwise.estimators.scaling.surface import Surface
from flopwise.estimators.scaling.uncertainty import compute_waste, size_range, tokens_per_param_band

KNOWN_MISSES = {
    "scaling-039": "a recalled table row, 10.6 % from the formula with the paper's unrounded coefficients",
}
computes = st.floats(17, 26).map(lambda exponent: 10**exponent)


@pytest.mark.parametrize("check", check_values(), ids=lambda row: f"{row.id} {row.law} {row.quantity} {row.inputs}")
def test_a_published_value_is_reproduced_within_its_tolerance(check):
    row = replay(check)
    assert row.within is (check.id not in KNOWN_MISSES), f"{row.predicted} instead of {row.measured}"


def test_every_verified_row_of_the_four_named_laws_is_reproduced():
    rows = replay_checks(only_bar=True)
    assert len(rows) == 39
    assert all(row.within for row in rows)


def test_exactly_one_law_is_the_default_and_it_is_besiroglu():
    assert law().id == "besiroglu"
    assert selectable_laws()[0] == "besiroglu"


@pytest.mark.parametrize("name", selectable_laws())
def test_every_selectable_law_spends_the_compute_it_is_given(name):
    best = law(name).optimum(1e21)
    assert 6 * best.params * best.tokens == pytest.approx(1e21)
    assert best.params > 0


@pytest.mark.parametrize("typed", ["Chinchilla", "hoffmann", "approach-3", "porian-refinedweb", "Kaplan 2020"])
def test_laws_have_the_names_people_use(typed):
    assert law(typed).card.id in law_cards()


def test_an_unknown_law_suggests_a_name():
    with pytest.raises(UnknownName, match="did you mean 'besiroglu'"):
        law("besirolgu")


def test_a_law_of_something_else_says_which_laws_plan():
    with pytest.raises(InputError, match="laws that do: besiroglu"):
        law("step-law")


def test_a_law_without_a_loss_refuses_repeated_data():
    with pytest.raises(InputError, match="cannot weigh repeated tokens"):
        law("porian").optimum(1e20, unique_tokens=1e9)


def test_recalled_coefficients_are_marked():
    unverified = {card.id for card in law_cards().values() if card.status == "unverified"}
    assert {"kaplan", "busbridge", "zhai-vit", "critical-batch-zhang-coefficient"} <= unverified
    assert any("not verified" in warning for warning in law("kaplan").warnings(1e9, 2e10))


def test_the_forecast_warns_outside_the_range_of_the_fit():
    warnings = law().warnings(70e9, 1.4e12)
    assert any("A size of 70.0B" in warning for warning in warnings)
    assert not law().warnings(1e9, 20e9)


def test_more_than_forty_epochs_are_called_harmful():
    assert any("get worse" in warning for warning in law().warnings(1e9, 50e9, unique_tokens=1e9))


@pytest.mark.parametrize(("flops", "low", "high"), [(1e20, 12, 33), (1e22, 11, 38)], ids=["1e20 FLOP", "1e22 FLOP"])
def test_the_band_of_tokens_per_parameter_is_that_of_the_bootstrap_and_the_studies(flops, low, high):
    found = tokens_per_param_band(flops)
    assert found[0] == pytest.approx(low, rel=0.1)
    assert found[1] == pytest.approx(high, rel=0.1)


def test_there_are_400_correlated_draws():
    draws = bootstrap_draws()
    assert len(draws) == 400
    means = [sum(getattr(d, name) for d in draws) / 400 for name in ("ln_A", "alpha")]
    covariance = sum((d.ln_A - means[0]) * (d.alpha - means[1]) for d in draws)
    spread = math.sqrt(sum((d.ln_A - means[0]) ** 2 for d in draws) * sum((d.alpha - means[1]) ** 2 for d in draws))
    assert covariance / spread > 0.9


@pytest.mark.parametrize(("ratio", "multiplier"), [(0.25, 1.924), (0.5, 1.184), (1.5, 1.06), (2, 1.186), (4, 1.944)])
def test_the_optimum_is_as_flat_as_computed_by_hand(ratio, multiplier):
    surface = law().surface
    params, tokens = surface.optimum(1e22)
    assert 1 + compute_waste(surface, params * ratio, tokens / ratio) == pytest.approx(multiplier, abs=1e-3)


def test_the_range_of_good_sizes_holds_the_optimum_and_wastes_what_it_says():
    surface = law().surface
    low, high = size_range(surface, 1e22, 0.06)
    best, _ = surface.optimum(1e22)
    assert low < best < high
    assert compute_waste(surface, low, 1e22 / 6 / low) == pytest.approx(0.06, rel=1e-6)


def test_step_law_and_deepseek_bracket_the_learning_rate():
    advice = hyperparameters.suggest(7e9, 2e12)
    assert advice.learning_rate.low < advice.learning_rate.high
    assert advice.batch_tokens.mid == pytest.approx(6.13e6, rel=0.01)


def test_embeddings_are_taken_out_by_pearce_and_song():
    assert hyperparameters.without_embeddings(1e9 + 47491 * 1e3) == pytest.approx(1e9)


# --- properties -------------------------------------------------------------------------------------------------


@given(computes, st.floats(0.05, 20))
def test_no_size_beats_the_closed_form_at_equal_compute(flops, ratio):
    surface = law().surface
    params, tokens = surface.optimum(flops)
    assert surface.loss(params * ratio, tokens / ratio) >= surface.loss(params, tokens) - 1e-12


@given(computes)
def test_the_cheapest_way_to_a_loss_is_the_optimum_for_its_compute(flops):
    surface = law().surface
    params, tokens = surface.optimum(flops)
    assert surface.cheapest(surface.loss(params, tokens)) == pytest.approx((params, tokens), rel=1e-6)


@given(computes, st.floats(1.01, 100))
def test_more_compute_never_gives_a_worse_loss(flops, factor):
    for name in ("besiroglu", "muennighoff"):
        assert law(name).optimum(flops * factor, 1e10).loss <= law(name).optimum(flops, 1e10).loss + 1e-9


@given(st.floats(8, 12), st.floats(8, 13), st.floats(0.01, 1))
def test_repeated_tokens_are_never_worth_more_than_new_ones(log_params, log_tokens, share):
    surface = law().surface
    params, tokens = 10**log_params, 10**log_tokens
    assert surface.loss(params, tokens, tokens * share) >= surface.loss(params, tokens) - 1e-12


@given(computes, st.floats(0, 1e14))
def test_serving_more_never_makes_the_best_model_larger(flops, served):
    surface = law().surface
    loss = surface.loss(*surface.optimum(flops))
    alone, together = lifetime_optimum_at_loss(surface, loss, 0), lifetime_optimum_at_loss(surface, loss, served)
    assert together.params <= alone.params * (1 + 1e-9)
    assert together.weighted_flops <= alone.training_flops + 2 * alone.params * served * (1 + 1e-9)


def test_a_lifetime_budget_splits_as_the_loss_constrained_optimum_does():
    surface = law().surface
    at_loss = lifetime_optimum_at_loss(surface, 2.1, 1e12)
    at_compute = lifetime_optimum_at_compute(surface, at_loss.weighted_flops, 1e12)
    assert at_compute.params == pytest.approx(at_loss.params, rel=1e-3)
    assert at_compute.loss == pytest.approx(2.1, rel=1e-6)


def test_a_loss_below_the_irreducible_one_is_refused():
    with pytest.raises(ValueError, match="irreducible"):
        law().surface.cheapest(1.7)


def test_a_surface_without_repetition_refuses_unique_tokens():
    with pytest.raises(ValueError, match="repetition"):
        Surface(E=1, A=1, B=1, alpha=0.3, beta=0.3).loss(1e9, 1e10, 1e9)


def test_the_forecast_of_own_runs_reads_only_the_configuration(tmp_path):
    runs = tmp_path / "runs.csv"
    runs.write_text("id,params,tokens,loss\na,1e9,2e10,2.5\nb,1e9,2e10,9.9\nc,,2e10,2.5\n")
    first, second, third = replay_cases(runs)
    assert first.predicted == second.predicted == pytest.approx(2.53005, abs=1e-4)
    assert third.status == "unsupported"


def test_every_coefficient_of_the_reference_table_is_in_the_law_file(shared_data):
    held = set()
    for card in law_cards().values():
        held |= set(card.coefficients.values())
    assert find_card("besiroglu").ranges["A"] == (357.4, 606.6)
    with (shared_data / "science" / "laws_coefficients.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["value"]]
    known = {"a_exponent", "b_exponent", "A", "B", "E", "G", "M_lo", "M_hi"}  # printed beside, not used
    missing = [row for row in rows if float(row["value"]) not in held and row["parameter"] not in known]
    assert not missing


def test_a_law_file_with_a_misspelled_key_names_the_line_and_the_right_key():
    from flopwise.estimators.facts import scaling
    from flopwise.estimators.facts.yamlfile import read_text

    text = "default: a\nuncertainty: {}\nlaws:\n  a:\n    nmae: A\n"
    with pytest.raises(FactsError, match=r"laws.yaml:5: laws.a.nmae is not a known key; did you mean 'name'"):
        scaling._check(read_text(text, name="laws.yaml"))
