"""`flopwise validate runs`: published whole runs replayed honestly, and what they take beyond their steps."""

import csv
import random
import statistics

import pytest

from flopwise.benchmarks.validation.rows import read_rows, split_row
from flopwise.benchmarks.validation.run_cases import RUN_MEASUREMENTS, run_case, without_measurements
from flopwise.benchmarks.validation.runs import predict_run, score_run, validate_runs, worth_scoring
from flopwise.benchmarks.validation.scores import ScoredRow, scores
from flopwise.benchmarks.validation.shipping import MEASURED, licences, place_of
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.run_habits import load_run_habits
from flopwise.estimators.facts.run_losses import RunKind, load_run_losses
from flopwise.estimators.training.efficiency import Task
from flopwise.estimators.training.layout import Framework

OURS = MEASURED / "training_runs.csv"
CATALOG = load_catalog(use_config_folder=False)
LLAMA = {
    "id": "one",
    "source": "somebody: a page",
    "year": "2024",
    "quality": "A",
    "organisation": "Somebody",
    "task": "pretrain",
    "model": "Llama 2 70B",
    "n_params": "68.98e9",
    "tokens": "2e12",
    "seq_len": "4096",
    "accelerator": "A100",
    "accelerator_count": "2048",
    "global_batch_tokens": "4194304",
    "precision": "bf16",
    "gpu_hours": "1720320",
    "gpu_hours_kind": "training",
}


def row(**changes):
    return without_measurements(split_row(LLAMA | changes))


@pytest.fixture(scope="module")
def rows():
    return worth_scoring(read_rows(OURS), every_quality=False)


@pytest.fixture(scope="module")
def replayed(rows):
    return validate_runs(rows, CATALOG)


def test_the_shipped_runs_are_from_permissive_sources_alone():
    with OURS.open(newline="", encoding="utf-8") as file:
        places = {place_of(record) for record in csv.DictReader(file)}
    assert places and places <= set(licences())


def test_nearly_every_scored_run_can_be_predicted(replayed):
    assert sum(each.status == "unsupported" for each in replayed) <= 0.05 * len(replayed)


def test_errors_are_far_below_those_of_a_flat_guess(replayed):
    _, overall = scores(each for each in replayed if each.status == "scored")
    assert overall.median < 0.25
    assert overall.median < 0.6 * overall.baseline_median


def test_a_prediction_does_not_see_what_was_measured():
    plain = score_run(row(), CATALOG)
    told = score_run(row(gpu_hours="5", wall_days="3", mfu_reported="0.9", tokens_per_s_per_gpu="1e6"), CATALOG)
    assert (plain.predicted, plain.low, plain.high) == (told.predicted, told.low, told.high)
    assert told.measured == 5
    assert not RUN_MEASUREMENTS & set(row().configuration.values)


def test_shuffled_hours_destroy_the_score(replayed):
    every = [each for each in replayed if each.status == "scored"]
    hours = [each.measured for each in every]
    random.Random(1).shuffle(hours)
    mixed = [
        ScoredRow(id=each.id, source=each.source, status="scored", measured=other, predicted=each.predicted)
        for each, other in zip(every, hours, strict=True)
    ]
    honest = statistics.median(abs(each.error) for each in every)
    assert statistics.median(abs(each.error) for each in mixed) > 2 * honest


def test_hours_of_several_phases_are_predicted_and_not_scored():
    found = score_run(row(gpu_hours_kind="all training (pretraining, long context, post-training)"), CATALOG)
    assert found.status == "mixed" and found.predicted and "several phases" in found.reason
    assert score_run(row(notes="pruned and distilled"), CATALOG).status == "mixed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tokens": ""}, "number of tokens is unsaid"),
        ({"accelerator": "Abacus"}, "no accelerator 'Abacus'"),
        ({"model": "Nobody's", "n_params": ""}, "model cannot be known"),
        ({"task": "pretrain (multimodal)"}, "only runs of decoders"),
        ({"task": "lora", "tokens": "", "samples": "2000"}, "number of tokens is unsaid"),
    ],
)
def test_a_run_that_says_too_little_is_unsupported_with_a_reason(changes, reason):
    found = score_run(row(**changes), CATALOG)
    assert found.status == "unsupported" and reason in found.reason


def test_hours_from_a_stated_speed_hold_no_run():
    run = predict_run(row(), CATALOG)
    speed = predict_run(row(gpu_hours_kind="tokens / stated throughput (derived)"), CATALOG)
    assert speed.beyond is None and run.beyond
    assert speed.hours.mid < run.hours.mid


def test_a_run_that_the_fit_saw_is_predicted_without_its_organisation():
    loss = load_run_losses()[RunKind.CLUSTER]
    organisation, model = next(pair for pair in sorted(loss.seen) if pair[0] in loss.left_out)
    assert loss.unseen(organisation, model).factor.mid == pytest.approx(loss.left_out[organisation])
    assert loss.unseen(organisation, "another model") == loss
    assert loss.unseen("Somebody", "Llama 2 70B") == loss


def test_what_is_unsaid_is_filled_from_year_and_organisation():
    bare = row(year="2022", organisation="BigScience", seq_len="", accelerator_count="", global_batch_tokens="")
    case = run_case(bare, CATALOG)
    assert case.job.sequence_tokens == 2048
    assert case.job.recipe.framework is Framework.MEGATRON_DEEPSPEED
    assert not case.job.recipe.flash_attention
    assert {"sequence", "accelerators", "batch"} <= set(case.filled)
    assert case.accelerators % 8 == 0


def test_fine_tunes_are_padded_and_counted_by_example():
    tune = row(
        task="lora", model="Llama 2 7B", n_params="6.74e9", tokens="", samples="4000", notes="Alpaca, micro batch 2"
    )
    case = run_case(tune, CATALOG)
    known = load_run_habits().example_tokens("alpaca")
    assert case.job.task is Task.LORA and case.job.ragged
    assert case.data_tokens == pytest.approx(4000 * known)
    assert case.job.tokens > case.data_tokens


def test_a_size_that_no_column_or_name_gives_is_made_from_the_parameters():
    made = run_case(row(model="Nobody's model", n_params="30e9"), CATALOG)
    assert made.job.shape.layers > 0


@pytest.mark.parametrize(
    ("model", "changes", "hours"),
    [
        # Model cards and papers, hours of pre-training. None of these rows is in the fit.
        ("MPT-7B", {"n_params": "6.65e9", "tokens": "1e12", "seq_len": "2048", "year": "2023"}, 100_000),
        ("Falcon-40B", {"n_params": "41.3e9", "tokens": "1e12", "seq_len": "2048", "year": "2023"}, 553_000),
    ],
)
def test_published_runs_outside_the_fit_are_met(model, changes, hours):
    case = row(model=model, accelerator="A100-40GB", accelerator_count="384", global_batch_tokens="", **changes)
    assert score_run(case, CATALOG).predicted == pytest.approx(hours, rel=0.3)
