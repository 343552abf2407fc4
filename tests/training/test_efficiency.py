"""The quick look at MFU: bounded, close to the operator model, wider for chips that nobody has measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.efficiency import fold_of, load_mfu_fit
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.frozen import replace
from flopwise.estimators.training.efficiency import efficiency, mfu, reference_peak
from flopwise.estimators.training.job import Job, answer
from flopwise.estimators.training.layout import Precision, Recipe
from flopwise.estimators.training.time import active_params

CHIPS = load_catalog(use_config_folder=False).accelerators
H100 = CHIPS["h100-sxm-80gb"]


def on(chip, **changes):
    settings = {"active_params": 8e9, "accelerators": 64} | changes
    return mfu(chip, **settings)


@given(
    size=st.floats(1e6, 1e14),
    accelerators=st.integers(1, 1_000_000),
    chip=st.sampled_from(["h100-sxm-80gb", "a100-sxm-80gb", "tpu-v5e", "mi300x", "rtx-4090", "trainium2", "apple-m1"]),
    mixture=st.booleans(),
)
def test_no_job_is_promised_more_than_the_chip_can_do(size, accelerators, chip, mixture):
    precision = Precision.BF16 if CHIPS[chip].peak_flops_per_s.get("bf16") else Precision.FP16
    found = mfu(CHIPS[chip], active_params=size, accelerators=accelerators, mixture=mixture, precision=precision)
    assert 0 < found.low <= found.mid <= found.high <= 1


@pytest.mark.parametrize("chip", ["a100-sxm-80gb", "h100-sxm-80gb", "tpu-v5e", "gb200"])
def test_a_large_job_on_a_known_chip_reaches_what_is_published(chip):
    assert 0.25 < on(CHIPS[chip], active_params=7e10, accelerators=256).mid < 0.7


def test_an_unmeasured_chip_has_a_wider_band():
    known, unknown = on(H100), on(CHIPS["gh200-96gb"])
    assert math.log(unknown.high / unknown.low) > math.log(known.high / known.low)


def test_a_chip_of_the_users_own_gets_the_mean_of_its_relatives():
    mine = replace(H100, id="my-h100", architecture="Hopper")
    stranger = replace(H100, id="my-chip", architecture="Unheard", vendor="Nobody")
    hoppers = [on(chip).mid for chip in CHIPS.values() if chip.architecture == "Hopper"]
    assert min(hoppers) <= on(mine).mid <= max(hoppers)
    assert not efficiency(stranger, active_params=8e9, accelerators=64).measured_chip


@pytest.mark.parametrize(("name", "count"), [("llama-3-8b", 64), ("llama-3-8b", 512), ("llama-3-70b", 512)])
@pytest.mark.parametrize("chip", ["h100-sxm-80gb", "a100-sxm-80gb", "b200-sxm"])
def test_the_quick_look_agrees_with_the_operator_model(name, count, chip):
    shape = load_preset(name).shape
    job = Job(
        shape=shape,
        tokens=20 * active_params(shape),
        accelerator=CHIPS[chip],
        sequence_tokens=8192,
        recipe=Recipe(),
    )
    quick = on(CHIPS[chip], active_params=active_params(shape), accelerators=count).mid
    assert quick == pytest.approx(answer(job, count).choice.time.mfu.mid, rel=0.2)


def test_small_models_are_slower():
    sizes = [on(H100, active_params=size, accelerators=32).mid for size in (1e8, 1e9, 1e10)]
    assert sizes == sorted(sizes)


def test_fp8_helps_large_models_and_experts_cost():
    large = {"active_params": 7e10, "accelerators": 512}
    assert on(H100, precision=Precision.FP8, **large).mid > on(H100, **large).mid > on(H100, mixture=True, **large).mid


def test_the_factors_multiply_to_the_middle():
    found = efficiency(H100, active_params=3e8, accelerators=512, mixture=True, precision=Precision.FP8)
    assert math.prod(factor.value for factor in found.factors) == pytest.approx(found.mfu.mid)


def test_a_precision_that_the_chip_lacks_is_refused_with_those_it_has():
    with pytest.raises(InputError, match=r"A100 .* has no fp8 rate in the catalog; it has .*bf16"):
        on(CHIPS["a100-sxm-80gb"], precision=Precision.FP8)


def test_mfu_refers_to_fp16_where_there_is_no_bf16():
    assert reference_peak(CHIPS["v100-sxm2-32gb"]) == (125e12, "fp16")


def test_the_table_says_how_far_off_it_is_between_its_points():
    fit = load_mfu_fit()
    assert 0 < fit.median_residual < 0.08
    assert len(fit.chips) > 10
    assert not set(fit.chips) & set(fit.unmeasured_chips)


def test_families_spread_over_all_folds_and_stay_there():
    families = [f"a/b | model {i} | H100" for i in range(300)]
    assert {fold_of(family, 10) for family in families} == set(range(10))
    assert fold_of(families[0], 10) == fold_of(families[0], 10)
