"""One job on several counts: which counts, how efficient, and where the curve bends."""

from __future__ import annotations

import math

import pytest

from flopwise.estimators.errors import DoesNotFit
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.frozen import replace
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.planning.scaling_out import LEAST_DISTANCE, counts_around, scaling_curve
from flopwise.estimators.training.job import MOST_ACCELERATORS, Job, answer
from flopwise.estimators.training.layout import Recipe

CATALOG = load_catalog()
H100 = CATALOG.find("h100-sxm-80gb")
COUNTS = (64, 128, 256, 512, 1024, 2048, 4096)


def job_of(model="llama-3-70b", **changes):
    job = Job(shape=resolve_model(model).shape, tokens=1e12, accelerator=H100, sequence_tokens=8192, recipe=Recipe())
    return replace(job, **changes)


@pytest.fixture(scope="module")
def curve():
    return scaling_curve(answer(job_of(), 512), COUNTS)


@pytest.mark.parametrize(
    ("count", "around"),
    [
        (512, (64, 128, 256, 512, 1024, 2048, 4096)),
        (8, (1, 2, 4, 8, 16, 32, 64)),
        (1, (1, 2, 4, 8)),
        (96, (24, 48, 96, 192, 384, 768)),  # 12 would be a node and a half
        (40, (40, 80, 160, 320)),
        (MOST_ACCELERATORS, (8192, 16_384, 32_768, MOST_ACCELERATORS)),
    ],
)
def test_counts_around_are_halves_and_doubles_in_whole_nodes(count, around):
    assert counts_around(count, H100) == around


def test_every_count_gets_the_answer_that_train_gives_it_at_the_same_batch(curve):
    assert tuple(point.accelerators for point in curve.points) == COUNTS
    alone = answer(job_of(global_batch=curve.points[0].found.workload.global_batch), 2048)
    there = next(point.found for point in curve.points if point.accelerators == 2048)
    assert (there.choice.layout, there.run.wall_s) == (alone.choice.layout, alone.run.wall_s)


def test_efficiency_is_the_accelerator_hours_of_the_smallest_over_those_of_the_count(curve):
    hours = [point.accelerators * point.found.run.wall_s.mid for point in curve.points]
    assert [point.efficiency for point in curve.points] == pytest.approx([hours[0] / each for each in hours])


def test_the_knee_is_the_count_farthest_below_the_chord(curve):
    trade = [(math.log(p.found.run.wall_s.mid), math.log(p.found.run.accelerator_hours.mid)) for p in curve.points]
    first = min(range(len(trade)), key=lambda i: trade[i][1])
    (t0, h0), (t1, h1) = trade[first], trade[-1]
    distance = {
        point.accelerators: (t0 - t) / (t0 - t1) - (h - h0) / (h1 - h0)
        for point, (t, h) in list(zip(curve.points, trade, strict=True))[first:]
    }
    assert curve.knee is not None
    assert distance[curve.knee.accelerators] == pytest.approx(max(distance.values()))
    assert curve.knee.distance == pytest.approx(max(distance.values()))
    assert curve.knee.distance >= LEAST_DISTANCE
    to, on = curve.knee.before, curve.knee.after
    assert (to.end, on.start) == (curve.knee.accelerators, curve.knee.accelerators)
    assert on.times_the_hours > to.times_the_hours
    assert on.times_as_fast < to.times_as_fast


def test_two_counts_show_no_knee():
    curve = scaling_curve(answer(job_of(), 512), (256, 512))
    assert curve.knee is None
    assert "three counts" in curve.why_no_knee


def test_a_curve_that_bends_the_other_way_has_no_knee():
    # Out of a node everything gets dearer at once; the doublings that follow cost little.
    curve = scaling_curve(answer(job_of("llama-3-8b"), 64), (8, 16, 32, 64, 128))
    assert curve.knee is None
    assert "the first steps to more cost most" in curve.why_no_knee


def test_a_count_that_does_not_work_says_why_and_is_left_out():
    curve = scaling_curve(answer(job_of(global_batch=512), 512), (8, 500, 512))
    assert [point.accelerators for point in curve.points] == [512]
    reasons = {each.accelerators: each.reason for each in curve.left_out}
    assert "does not fit on 8 x" in reasons[8]
    assert "do not divide over 500 accelerators" in reasons[500]


def test_counts_of_which_none_works_are_refused():
    with pytest.raises(DoesNotFit, match="runs on none of these counts"):
        scaling_curve(answer(job_of(), 512), (1, 2))
