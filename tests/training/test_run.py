"""A whole run: parts sum, money is hours times a price, and published runs are met."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import AnswerIsNo, DoesNotFit, InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.facts.overheads import load_overheads
from flopwise.estimators.facts.run_losses import RunKind, load_run_losses
from flopwise.estimators.quantity import Quantity, exact
from flopwise.estimators.training.choose import SAFE_PROBABILITY, Wanted
from flopwise.estimators.training.job import (
    Job,
    answer,
    causal_mfu,
    default_batch,
    neighbours,
    smallest_count,
    usual_counts,
    usual_precision,
)
from flopwise.estimators.training.layout import Precision, Recipe, Recompute, Zero
from flopwise.estimators.training.time import check_divides
from flopwise.estimators.units import DAY, HOUR

CHIPS = load_catalog(use_config_folder=False).accelerators
LLAMA = load_preset("llama-3-8b").shape


def job(name="llama-3-8b", chip="h100-sxm-80gb", tokens=1e12, sequence=8192, **changes):
    return Job(
        shape=load_preset(name).shape,
        tokens=tokens,
        accelerator=CHIPS[chip],
        sequence_tokens=sequence,
        **{"recipe": Recipe(precision=usual_precision(CHIPS[chip]))} | changes,
    )


@pytest.fixture(scope="module")
def found():
    return answer(job(usd_per_hour=Quantity(2.0, 3.0, 6.0, "usd_per_accelerator_hour", "80 %", "offers")), 64)


def test_the_parts_of_a_step_sum_to_the_step(found):
    time = found.choice.time
    assert math.fsum(part.seconds for part in time.parts) == pytest.approx(time.step_time_s.mid, rel=1e-12)
    assert all(part.seconds >= 0 for part in time.parts)


def test_the_run_is_its_steps_and_what_it_loses(found):
    run = found.run
    assert run.train_s.mid == run.optimizer_steps * found.choice.time.step_time_s.mid
    assert run.wall_s.mid == math.fsum((run.train_s.mid, *(loss.seconds.mid for loss in run.losses)))
    assert run.goodput.mid == pytest.approx(run.train_s.mid / run.wall_s.mid)
    assert run.goodput.low <= run.goodput.mid <= run.goodput.high <= 1


def test_the_steps_cover_the_tokens(found):
    steps = found.run.optimizer_steps
    assert (steps - 1) * found.workload.tokens_per_step < 1e12 <= steps * found.workload.tokens_per_step


def test_the_memory_parts_sum_to_the_peak(found):
    memory = found.choice.memory
    assert math.fsum(part.bytes for part in memory.parts) == pytest.approx(memory.peak.mid, rel=1e-12)
    assert memory.probability_of_running_out <= SAFE_PROBABILITY


@settings(max_examples=10)
@given(tokens=st.floats(1e9, 1e14), price=st.floats(0.1, 20))
def test_money_is_hours_times_the_price_exactly(tokens, price):
    run = answer(job(tokens=tokens, usd_per_hour=exact(price, "usd_per_accelerator_hour"), global_batch=512), 64).run
    assert run.accelerator_hours.mid == pytest.approx(run.wall_s.mid * 64 / HOUR, rel=1e-14)
    assert run.cost_usd.mid == run.accelerator_hours.mid * price
    assert run.cost_usd.low == pytest.approx(run.accelerator_hours.low * price)
    assert run.cost_usd.high == pytest.approx(run.accelerator_hours.high * price)


def test_a_range_of_prices_and_one_of_hours_do_not_pile_up_to_the_worst_of_both(found):
    run = found.run
    assert run.accelerator_hours.high * 3.0 < run.cost_usd.high < run.accelerator_hours.high * 6.0


@pytest.mark.parametrize("name", ["llama-3-8b", "mixtral-8x7b"])
def test_more_accelerators_are_never_slower_at_one_batch(name):
    times = [answer(job(name, global_batch=1024), count).choice.time.step_time_s.mid for count in (32, 64, 128, 256)]
    assert times == sorted(times, reverse=True)


def test_the_price_of_speed_rises_with_the_count():
    hours = [answer(job(global_batch=1024), count).run.accelerator_hours.mid for count in (16, 64, 256, 1024)]
    assert hours == sorted(hours)


def test_neighbours_change_the_count_alone(found):
    half, double = neighbours(found)
    assert (half.accelerators, double.accelerators) == (32, 128)
    assert half.workload == double.workload == found.workload


def test_a_given_mfu_is_taken_as_it_is_on_the_layout_that_is_chosen_anyhow(found):
    run = answer(job(mfu=0.4, global_batch=512), 64)
    time = run.choice.time
    assert time.mfu.mid == pytest.approx(0.4)
    assert time.step_time_s.is_exact
    assert time.flops.model.causal / (64 * 989.4e12 * 0.4) == pytest.approx(time.step_time_s.mid)
    assert run.choice.layout == found.choice.layout


def test_an_mfu_that_counts_attention_in_full_is_more_than_the_causal_one():
    assert causal_mfu(job(), 0.4) < 0.4
    assert causal_mfu(job(sequence=1024), 0.4) == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize("mfu", [0.0, 1.01])
def test_an_mfu_that_cannot_be_is_refused(mfu):
    with pytest.raises(InputError, match="--mfu"):
        answer(job(mfu=mfu, global_batch=512), 64)


def test_a_deadline_is_met_by_the_fewest_of_the_usual_counts():
    best = smallest_count(job(), 30 * DAY)
    counts = usual_counts(CHIPS["h100-sxm-80gb"])
    fewer = counts[counts.index(best.accelerators) - 1]
    assert best.run.wall_s.mid <= 30 * DAY < answer(job(), fewer).run.wall_s.mid


def test_a_deadline_that_nothing_meets_is_a_no_with_the_reason():
    with pytest.raises(AnswerIsNo, match="a batch of 512 sequences feeds no more"):
        smallest_count(job(global_batch=512), 1 * HOUR)


def test_usual_counts_are_nodes_in_fine_steps():
    counts = usual_counts(CHIPS["h100-sxm-80gb"])
    assert counts[:6] == (1, 2, 4, 8, 16, 24)
    assert all(later / sooner <= 2 for sooner, later in pairwise(counts))
    assert all(count % 8 == 0 for count in counts if count > 8)


@given(tokens=st.floats(1e7, 1e14), sequence=st.sampled_from([512, 2048, 8192]), count=st.integers(1, 5000))
def test_the_default_batch_divides_over_the_accelerators_or_a_power_of_two_share_of_them(tokens, sequence, count):
    batch = default_batch(tokens, sequence, count)
    odd = count // (count & -count)
    assert batch >= 1
    assert batch % odd == 0


def test_what_does_not_fit_says_what_it_lacks():
    with pytest.raises(DoesNotFit, match=r"llama-3-70b does not fit on 8 x .*GiB are usable"):
        answer(job("llama-3-70b"), 8)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(tp=3), "--tp 3: llama-3-8b has 32 attention heads"),
        (Wanted(pp=64), "--pp 64: llama-3-8b has 32 layers"),
        (Wanted(ep=2), "--ep 2: llama-3-8b has no experts"),
        (Wanted(tp=8, pp=16), "--tp 8 x --pp 16 x --cp 1 = 128 does not divide 64"),
    ],
)
def test_an_impossible_cut_is_refused_by_its_flag(wanted, said):
    with pytest.raises(InputError, match=said):
        answer(job(wanted=wanted), 64)


def test_what_is_fixed_is_kept():
    wanted = Wanted(tp=4, pp=2, zero=Zero.OPTIMIZER, micro_batch=1, recompute=Recompute.FULL)
    choice = answer(job(wanted=wanted), 64).choice
    layout = choice.layout
    assert (layout.tp, layout.pp, layout.zero, layout.micro_batch) == (4, 2, Zero.OPTIMIZER, 1)
    assert choice.recipe.recompute is Recompute.FULL


def test_a_batch_that_no_layout_divides_names_those_that_work():
    with pytest.raises(
        InputError, match="512 sequences do not divide over 60 accelerators in any layout; take 480 or 540"
    ):
        answer(job(global_batch=512), 60)


def test_every_layout_chosen_divides_its_batch(found):
    check_divides(found.choice.layout, found.workload)


# GPU-hours that their makers report; the middle must be within a factor of two, for their software and ours differ.
RUNS = [
    ("llama-2-7b", "a100-sxm-80gb", 2e12, 4096, 1024, 1024, 184_320),  # meta-llama/llama-models model card
    ("llama-2-13b", "a100-sxm-80gb", 2e12, 4096, 1024, 1024, 368_640),
    ("llama-2-70b", "a100-sxm-80gb", 2e12, 4096, 1024, 2048, 1_720_320),
    ("llama-65b", "a100-sxm-80gb", 1.4e12, 2048, 2048, 2048, 1_022_362),  # arXiv:2302.13971, table 15
    ("gpt3-175b", "a100-sxm-80gb", 300e9, 2048, 1536, 1024, 34 * 24 * 1024),  # arXiv:2104.04473, section 5.1
    ("llama-3-70b", "h100-sxm-80gb", 15e12, 8192, 2048, 8192, 6_400_000),  # model card
    ("llama-3.1-405b", "h100-sxm-80gb", 15.6e12, 8192, 2048, 16_384, 30_840_000),  # model card
]


@pytest.mark.parametrize(
    ("name", "chip", "tokens", "sequence", "batch", "count", "hours"), RUNS, ids=[r[0] for r in RUNS]
)
def test_published_runs_took_about_these_hours(name, chip, tokens, sequence, batch, count, hours):
    found = answer(job(name, chip, tokens, sequence, global_batch=batch), count)
    assert hours / 2 < found.run.accelerator_hours.mid < hours * 2


def test_a_larger_cluster_fails_more_often_and_loses_more():
    small, large = (answer(job("llama-3-70b", tokens=15e12), count).run for count in (512, 8192))
    lost = [next(loss for loss in run.losses if loss.name.startswith("failures")) for run in (small, large)]
    assert lost[0].seconds.mid / small.train_s.mid < lost[1].seconds.mid / large.train_s.mid
    assert 500 < answer(job("llama-3.1-405b", tokens=15.6e12, global_batch=2048), 16_384).run.failures.mid < 2000


def test_every_guess_in_the_overheads_is_marked_and_ranged():
    for overhead in load_overheads().values():
        assert overhead.value.low < overhead.value.high
        assert overhead.source
        assert ("guess" in overhead.value.basis) == overhead.is_guess


def test_a_chip_without_bf16_trains_in_fp16():
    assert usual_precision(CHIPS["v100-sxm2-32gb"]) is Precision.FP16
    assert usual_precision(CHIPS["h100-sxm-80gb"]) is Precision.BF16


def test_a_job_inside_one_node_loses_nothing_to_the_cluster():
    assert answer(job(), 8).run.beyond is None


def test_the_loss_of_clusters_grows_with_the_nodes_up_to_that_of_published_runs():
    whole = load_run_losses()[RunKind.CLUSTER].factor.mid
    factors = [answer(job(), count).run.beyond.factor.mid for count in (16, 32, 256)]
    assert 1 < factors[0] < factors[1] < factors[2] <= whole
    assert factors[2] == pytest.approx(whole, rel=0.01)


def test_a_given_mfu_is_that_of_the_whole_run():
    assert answer(job(mfu=0.4), 256).run.beyond is None


def test_layers_that_do_not_divide_are_interleaved_all_the_same():
    # Llama 3 405B: 126 layers over 16 stages (arXiv:2407.21783, section 3.3.2).
    wanted = Wanted(tp=8, pp=16, cp=1)
    found = answer(job("llama-3.1-405b", tokens=1e12, global_batch=2048, wanted=wanted), 16_384)
    assert found.choice.layout.interleave > 1
