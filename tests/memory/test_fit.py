"""What holds a job, and which layouts cannot exist."""

from __future__ import annotations

import pytest

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.catalog import Catalog
from flopwise.estimators.memory.fit import holders, leanest
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.models.shape import ModelShape
from flopwise.estimators.training.checks import check_layout
from flopwise.estimators.training.layout import Adapter, Layout, Recipe, Workload

ONE = Workload(sequence_tokens=2048, global_batch=1)


def test_holders_are_safe_and_half_of_them_would_not_be(llama_8b: ModelShape, catalog: Catalog) -> None:
    found = holders(llama_8b, [catalog.find(name) for name in ("h100", "a100-sxm-40gb", "mi300x")], Recipe(), ONE)
    assert {fitting.accelerator.id for fitting in found} == {"h100-sxm-80gb", "a100-sxm-40gb", "mi300x"}
    for fitting in found:
        assert fitting.is_safe
        if fitting.layout.accelerators > 1:
            half = leanest(llama_8b, fitting.accelerator, fitting.layout.accelerators // 2, Recipe(), ONE)
            assert not half.is_safe


def test_holders_come_with_the_least_memory_in_all_first(llama_8b: ModelShape, catalog: Catalog) -> None:
    found = holders(llama_8b, catalog.accelerators.values(), Recipe(), ONE)
    totals = [fitting.layout.accelerators * fitting.memory.usable_bytes for fitting in found]
    assert totals == sorted(totals)
    assert len(found) > 20


def test_qlora_of_7b_holds_on_a_consumer_card(catalog: Catalog) -> None:
    recipe = Recipe(adapter=Adapter(rank=16, base_bits=4.5))
    found = holders(resolve_model("llama-2-7b").shape, [catalog.find("rtx-4090")], recipe, ONE)
    assert found[0].layout.accelerators == 1


def test_notes_and_chips_without_the_format_are_left_out(llama_8b: ModelShape, catalog: Catalog) -> None:
    found = holders(llama_8b, [catalog.find("groq-lpu-v1"), catalog.find("p100-sxm2-16gb")], Recipe(), ONE)
    assert found == ()


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (Layout(accelerators=6, tp=3), "--tp 3: .* has 32 attention heads, .* take 2 or 4"),
        (Layout(accelerators=64, pp=64), "--pp 64: .* has 32 layers, .* take at most 32"),
        (Layout(accelerators=64, pp=16, interleave=4), "--pp 16: .* 4 virtual stages; take at most 8"),
        (Layout(accelerators=6, tp=4), "= 4 does not divide 6 accelerators; take 4 or 8"),
        (Layout(accelerators=8, ep=3), "--ep 3: .* has 8 experts, .* take 2 or 4"),
        (Layout(accelerators=8, tp=4, ep=8), "--ep 8: experts stand on the 2 .* ranks, .* take 2"),
    ],
)
def test_impossible_layouts_name_the_flag_and_the_nearest_value(layout: Layout, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_layout(resolve_model("mixtral-8x7b").shape, layout)


def test_experts_need_a_mixture(llama_8b: ModelShape) -> None:
    with pytest.raises(InputError, match="has no experts; leave it out"):
        check_layout(llama_8b, Layout(accelerators=8, ep=2))


def test_possible_layouts_pass() -> None:
    check_layout(resolve_model("mixtral-8x7b").shape, Layout(accelerators=64, tp=2, pp=4, ep=8))
