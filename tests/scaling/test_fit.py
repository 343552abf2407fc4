"""Forecasts from pilot runs: planted surfaces are found, few runs carry one number, and public runs are forecast well."""

from __future__ import annotations

import csv
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError
from flopwise.estimators.quantity import Quantity
from flopwise.estimators.scaling.fitting import Noise, Prior, fit_surfaces
from flopwise.estimators.scaling.forecast import Method, Run, calibrate
from flopwise.estimators.scaling.laws import law
from flopwise.estimators.scaling.pilots import backtests, best_ratio, next_pilots
from flopwise.estimators.scaling.surface import Surface
from flopwise.estimators.scaling.uncertainty import tokens_per_param_band

NOISE = Noise(huber_delta=1e-3, run_sd=0.01)
DOLLAR = Quantity(1e-18, 1e-18, 1e-18, "usd_per_flop", "exact", "test")


def planted(surface: Surface, sizes: int = 6, noise: float = 0.0, seed: int = 1) -> list[Run]:
    draw = random.Random(seed)
    runs = []
    for exponent in (17.5, 18.0, 18.5, 19.0, 19.5):
        for step in range(sizes):
            ratio = 3 * 60 ** (step / (sizes - 1))
            N = math.sqrt(10**exponent / 6 / ratio)
            loss = surface.loss(N, N * ratio) * math.exp(draw.gauss(0, noise))
            runs.append(Run(params=N, tokens=N * ratio, loss=loss))
    return runs


def test_a_planted_surface_is_recovered_from_its_own_losses():
    true = Surface(E=1.7, A=300.0, B=900.0, alpha=0.33, beta=0.31)
    points = [(run.params, run.tokens, run.loss) for run in planted(true)]
    start = {"E": 1.0, "A": 100.0, "B": 100.0, "alpha": 0.25, "beta": 0.25, "k": 1.0}
    priors = {"ln_k": Prior(mean=0.0, sd=0.0)}
    found = fit_surfaces(points, starts=[start], priors=priors, noise=NOISE)[0].surface
    assert (found.E, found.alpha, found.beta) == pytest.approx((1.7, 0.33, 0.31), rel=1e-3)
    assert found.loss(1e11, 2e12) == pytest.approx(true.loss(1e11, 2e12), rel=1e-4)


def test_a_skaling_surface_is_forecast_a_thousand_times_out():
    true = Surface(E=1.6, A=3000.0, B=9000.0, alpha=0.4, beta=0.42, k=0.5)
    found = calibrate(planted(true, noise=0.002))
    assert found.method is Method.ENSEMBLE
    assert found.forecast(7e9, 1.4e11).loss.mid == pytest.approx(true.loss(7e9, 1.4e11), rel=0.03)


@given(st.floats(0.5, 2.0))
@settings(max_examples=10)
def test_one_run_scales_the_default_law(factor):
    base = law().required_surface("a test")
    one = Run(params=1e8, tokens=2e9, loss=factor * base.loss(1e8, 2e9))
    found = calibrate([one])
    assert found.method is Method.SCALAR
    assert found.multiplier == pytest.approx(factor)
    assert found.forecast(7e9, 1.4e11).loss.mid == pytest.approx(factor * base.loss(7e9, 1.4e11))


def test_few_runs_carry_one_number_and_the_answer_says_why():
    base = law().required_surface("a test")
    runs = planted(base)[::6]
    found = calibrate(runs)
    assert found.method is Method.SCALAR
    assert "5 runs cannot carry a fit, 8 can" in found.why


def test_a_fit_that_the_runs_cannot_carry_is_refused_with_the_reason():
    base = law().required_surface("a test")
    with pytest.raises(InputError, match="5 runs cannot carry a fit"):
        calibrate(planted(base)[::6], method=Method.ENSEMBLE)
    narrow = [Run(params=1e8 * (1 + 0.01 * i), tokens=2e9, loss=3.2) for i in range(10)]
    with pytest.raises(InputError, match=r"span 0\.037 decades"):
        calibrate(narrow, method=Method.ENSEMBLE)


def test_a_drift_of_the_losses_switches_from_one_number_to_a_fit():
    base = law().required_surface("a test")
    steeper = Surface(E=base.E * 0.6, A=base.A, B=base.B, alpha=base.alpha, beta=base.beta)
    runs = planted(steeper)[::3]
    found = calibrate(runs)
    assert abs(found.trend) > 0.02
    assert found.method is Method.ENSEMBLE
    assert "drift" in found.why


def test_runs_in_their_warm_up_are_left_out():
    base = law().required_surface("a test")
    runs = [*planted(base), Run(params=1e9, tokens=5e8, loss=9.0, label="line 9")]
    found = calibrate(runs)
    assert [run.label for run, _ in found.dropped] == ["line 9"]


def test_the_band_grows_with_the_distance_from_the_runs():
    found = calibrate(planted(law().required_surface("a test"), noise=0.005))
    widths = []
    for flops in (1e20, 1e21, 1e22, 1e23):
        N = math.sqrt(flops / 120)
        loss = found.forecast(N, 20 * N).loss
        widths.append(loss.high / loss.low)
    assert widths == sorted(widths)


def test_repeated_tokens_raise_the_forecast():
    found = calibrate(planted(law().required_surface("a test")))
    assert found.forecast(1e9, 2e10, 2e9).loss.mid > found.forecast(1e9, 2e10).loss.mid


def test_the_best_ratio_of_planted_runs_lies_in_its_band():
    true = Surface(E=1.7, A=300.0, B=900.0, alpha=0.33, beta=0.31)
    ratio = best_ratio(calibrate(planted(true, noise=0.003)), 1e21)
    N, D = true.optimum(1e21)
    assert ratio is not None and ratio.low <= D / N <= ratio.high


def test_a_next_pilot_never_widens_the_band_and_the_first_narrows_most_per_dollar():
    found = next_pilots(calibrate(planted(law().required_surface("a test"), noise=0.005)), 7e9, 1.4e11, DOLLAR)
    assert found
    assert all(each.width_after <= each.width_before for each in found)
    assert [each.narrowing_per_kusd for each in found] == sorted(
        (each.narrowing_per_kusd for each in found), reverse=True
    )


def test_the_band_of_the_optimum_is_that_of_the_studies():
    # 12 to 33 tokens per parameter at 1e20 FLOP and 11 to 38 at 1e22 (own bootstrap and spread between studies)
    assert tokens_per_param_band(1e20) == pytest.approx((12, 33), rel=0.1)
    assert tokens_per_param_band(1e22) == pytest.approx((11, 38), rel=0.1)


def test_dearer_public_runs_are_forecast_from_cheaper_ones(shared_data):
    """Gadre's three corpora (arXiv:2403.08540): half of the runs forecast those of 5 to 1,000 times more compute."""
    with (shared_data / "science" / "raw_gadre_openlm_runs.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["loss_c4_val"]]
    errors = []
    for corpus in ("c4_original", "rpj", "rw_original"):
        runs = [
            Run(params=float(row["params"]), tokens=float(row["tokens"]), loss=float(row["loss_c4_val"]))
            for row in rows
            if row["train_dataset"].startswith(corpus)
        ]
        errors += [test.mean_error for test in backtests(runs) if test.share == 0.5]
    assert len(errors) == 3
    assert sum(errors) / 3 < 0.025
