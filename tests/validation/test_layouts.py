"""A job measured under many layouts: pairs in the right order, and what the layout we would pick loses."""

import json

import pytest

from flopwise.benchmarks.validation.layouts import rank_jobs, summarise
from flopwise.benchmarks.validation.rows import split_row
from flopwise.benchmarks.validation.scores import ScoredRow

MEASURED = [100.0, 90, 80, 70, 60, 50, 40, 30, 20, 10]


def job(predicted, measured=MEASURED, model="GPT-x"):
    rows, scored = [], []
    for place, (ours, clock) in enumerate(zip(predicted, measured, strict=True)):
        cells = {"id": f"{model}-{place}", "source": "owner/name:file", "model": model, "tp": str(place + 1)}
        rows.append(split_row(cells))
        scored.append(ScoredRow(id=cells["id"], source="owner/name", status="scored", measured=clock, predicted=ours))
    return rows, scored


def test_a_perfect_ranking_loses_nothing_whatever_its_scale():
    (ranked,) = rank_jobs(*job([3 * value for value in MEASURED]))
    assert (ranked.order, ranked.regret, ranked.pairs) == (1.0, 0.0, 45)


def test_a_reversed_ranking_has_no_pair_right_and_picks_the_worst():
    (ranked,) = rank_jobs(*job(MEASURED[::-1]))
    assert ranked.order == 0.0
    assert ranked.regret == pytest.approx(100 / 10 - 1)


def test_pairs_within_the_noise_do_not_count():
    (ranked,) = rank_jobs(*job(MEASURED[::-1], [100.0 + place / 10 for place in range(10)]))
    assert ranked.pairs == 0
    assert ranked.order is None
    assert summarise([ranked]) is None


def test_a_constant_prediction_orders_nothing():
    (ranked,) = rank_jobs(*job([50.0] * 10))
    assert ranked.order == 0.0


def test_jobs_with_few_layouts_or_without_predictions_are_left_out():
    rows, scored = job(MEASURED)
    assert rank_jobs(rows[:9], scored[:9]) == ()
    unsupported = [ScoredRow(id=row.id, source="x", status="unsupported", reason="why") for row in rows]
    assert rank_jobs(rows, unsupported) == ()


def test_two_models_are_two_jobs():
    first, second = job(MEASURED), job(MEASURED[::-1], model="GPT-y")
    jobs = rank_jobs(first[0] + second[0], first[1] + second[1])
    summary = summarise(jobs)
    assert (summary.jobs, summary.order, summary.ordered, summary.near) == (2, 0.5, 0.5, 0.5)
    assert summary.worst_regret == max(each.regret for each in jobs)


def test_our_picks_on_the_shipped_jobs_are_near_the_best(cli):
    ran = cli("validate", "layouts", "--format", "json")
    summary = json.loads(ran.out)["result"]["summary"]
    assert summary["jobs"] >= 3
    assert summary["regret"] < 0.05
    assert summary["order"] > 0.8
