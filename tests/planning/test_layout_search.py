"""The layout search: what it returns is feasible, ordered and explained."""

from __future__ import annotations

from itertools import pairwise

import pytest

from flopwise.estimators.errors import DoesNotFit, InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.planning.layouts import Space, layouts_of, scaling_curve, search_layouts
from flopwise.estimators.training.layout import Framework, Recipe, Workload

RECIPE = Recipe(framework=Framework.MEGATRON)
WORKLOAD = Workload(sequence_tokens=8192, global_batch=256)
H100 = load_catalog().find("h100-sxm-80gb")
LLAMA_70B = resolve_model("llama-3-70b").shape


def search(count=256, shape=LLAMA_70B, workload=WORKLOAD):
    return search_layouts(shape, accelerator=H100, accelerators=count, recipe=RECIPE, workload=workload)


def test_the_front_trades_time_for_memory_and_every_layout_on_it_fits():
    found = search()
    for quick, lean in pairwise(found.front):
        assert quick.seconds <= lean.seconds
        assert quick.needed_bytes > lean.needed_bytes
    assert all(option.probability_of_running_out <= 0.1 for option in found.front)


def test_losers_say_why():
    reasons = [loser.reason for loser in search().losers]
    assert any(reason.startswith("does not fit: needs") for reason in reasons)
    assert any("slower than the fastest" in reason and " ms of " in reason for reason in reasons)


def test_every_layout_divides_the_job():
    workload = Workload(sequence_tokens=8192, global_batch=96)
    seen = list(layouts_of(LLAMA_70B, H100, 96, workload, Space(cp=(1, 2))))
    assert seen
    for layout in seen:
        assert layout.tp * layout.pp * layout.cp * layout.dp == 96
        assert LLAMA_70B.layers % (layout.pp * layout.interleave) == 0
        assert 96 % (layout.dp * layout.micro_batch) == 0


def test_a_model_too_large_for_the_memory_is_refused_with_the_amount():
    with pytest.raises(DoesNotFit, match=r"the leanest of .* needs about .* of .* usable"):
        search(count=1, workload=Workload(sequence_tokens=8192, global_batch=8))


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="cannot be cut over 256 accelerators"):
        search(workload=Workload(sequence_tokens=8192, global_batch=1))


def test_scaling_out_loses_efficiency_and_has_a_knee():
    counts = (64, 128, 256, 512, 1024, 2048)
    workload = Workload(sequence_tokens=8192, global_batch=2048)
    curve = scaling_curve(LLAMA_70B, accelerator=H100, counts=counts, recipe=RECIPE, workload=workload)
    assert [point.accelerators for point in curve.points] == list(counts)
    speeds = [point.tokens_per_s for point in curve.points]
    assert speeds == sorted(speeds)
    assert curve.points[0].efficiency == 1.0
    assert 0.3 < curve.points[-1].efficiency < 1.0
    assert curve.knee in counts
