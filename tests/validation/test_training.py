"""`flopwise validate training`: measured runs replayed honestly, ours and a user's own."""

import csv
import random
import statistics

import pytest

from flopwise.benchmarks.validation.rows import read_rows
from flopwise.benchmarks.validation.scores import ScoredRow, quantile, scores
from flopwise.benchmarks.validation.selection import worth_scoring
from flopwise.benchmarks.validation.shipping import EVERY, MEASURED, SWEEP, licences, place_of, shipped
from flopwise.benchmarks.validation.training import validate_training
from flopwise.estimators.facts.catalog import load_catalog

OURS = MEASURED / "training_throughput.csv"
CATALOG = load_catalog(use_config_folder=False)


@pytest.fixture(scope="module")
def rows():
    return worth_scoring(read_rows(OURS), every_quality=False)


@pytest.fixture(scope="module")
def replayed(rows):
    return validate_training(rows, CATALOG)


def test_the_shipped_rows_are_from_permissive_sources_alone():
    with OURS.open(newline="", encoding="utf-8") as file:
        places = {place_of(row) for row in csv.DictReader(file)}
    assert places <= set(licences())
    assert set(licences().values()) <= {"Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0"}
    assert OURS.stat().st_size < 1_000_000


def test_one_sweep_does_not_fill_the_file():
    single = [{"source": f"{SWEEP}: file", "accelerator_count": "8"} for _ in range(50)]
    several = [{"source": f"{SWEEP}: file", "accelerator_count": "64"} for _ in range(7)]
    unknown = [{"source": "nobody/nothing: file", "accelerator_count": "8"}]
    kept = list(shipped([*single, *several, *unknown], {SWEEP: "MIT"}))
    assert len(kept) == 50 / EVERY + 7


def test_nearly_every_row_can_be_predicted(replayed):
    unsupported = [row for row in replayed if row.status != "scored"]
    assert len(unsupported) <= 0.05 * len(replayed)
    assert all(row.reason for row in unsupported)


def test_the_errors_are_well_below_those_of_a_flat_guess(replayed):
    _, overall = scores(replayed)
    assert overall.median < 0.2
    assert overall.median < 0.6 * overall.baseline_median
    assert 0.7 < overall.coverage < 0.95


def test_the_bands_hold_the_middle(replayed):
    for row in replayed:
        if row.status == "scored":
            assert row.low <= row.predicted <= row.high


def test_shuffled_measurements_destroy_the_score(replayed):
    scored = [row for row in replayed if row.status == "scored"]
    measured = [row.measured for row in scored]
    random.Random(0).shuffle(measured)
    honest = statistics.median(abs(row.predicted / row.measured - 1) for row in scored)
    shuffled = statistics.median(abs(row.predicted / other - 1) for row, other in zip(scored, measured, strict=True))
    assert shuffled > 5 * honest


def test_a_prediction_does_not_read_the_measurement(tmp_path, rows):
    with OURS.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns, some = reader.fieldnames, list(reader)[::97]
    for row in some:
        row.update(tokens_per_s_per_gpu="1", step_time_s="1", mfu_reported="0.99", tflops_per_gpu_reported="1")
    path = tmp_path / "lies.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(some)
    lies = {row.id: row.predicted for row in validate_training(read_rows(path), CATALOG)}
    same = [row for row in read_rows(OURS) if row.id in lies]
    honest = {row.id: row.predicted for row in validate_training(same, CATALOG)}
    assert lies
    assert all(honest[key] == value for key, value in lies.items())


def test_a_users_rows_are_scored_by_their_step_time_where_that_is_all_they_have(cli, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "id,source,model,layers,hidden,heads,kv_heads,ffn,gated_mlp,vocab,seq_len,accelerator,accelerator_count,"
        "precision,global_batch,micro_batch,step_time_s\n"
        "mine-1,us,llama-3-8b,32,4096,32,8,14336,yes,128256,8192,H100,64,bf16,512,2,7.0\n"
        "mine-2,us,llama-3-8b,32,4096,32,8,14336,yes,128256,8192,Unobtainium,64,bf16,512,2,7.0\n",
        encoding="utf-8",
    )
    ran = cli("validate", "training", "--cases", str(path), "--format", "json")
    first, second = ran.json["result"]["rows"]
    assert ran.code == 0
    assert first["measured"] == pytest.approx(512 * 8192 / 7.0 / 64)
    assert first["status"] == "scored"
    assert first["low"] < first["predicted"] < first["high"]
    assert (second["status"], second["predicted"]) == ("unsupported", None)
    assert "Unobtainium" in second["reason"]


def test_a_file_that_holds_no_rows_of_this_kind_is_refused(cli, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    ran = cli("validate", "training", "--cases", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "has none of the columns model, layers, n_params" in ran.err


def test_scores_are_means_over_sources_and_not_over_rows():
    def row(source, predicted, low):
        return ScoredRow(id="r", source=source, status="scored", measured=1.0, predicted=predicted, low=low, high=3.0)

    rows = [row("large", 1.1, 0.5)] * 9 + [row("small", 2.0, 1.5)]
    each, overall = scores(rows)
    assert [score.median for score in each] == pytest.approx([0.1, 1.0])
    assert overall.median == pytest.approx(0.55)
    assert overall.coverage == pytest.approx(0.5)


def test_quantiles_are_between_neighbours():
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([0.0, 1.0], 0.9) == pytest.approx(0.9)
