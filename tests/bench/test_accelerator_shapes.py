"""Shapes and formats of an accelerator's trials, under FakeTensorMode for cuda and on the meta device."""

from __future__ import annotations

import logging
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: TID253  after importorskip

from flopwise.benchmarks.harness import matmul, suite
from flopwise.benchmarks.harness.trials import Unsupported
from flopwise.estimators.frozen import replace

from .accelerators_made import SCOPE, shapes_bench

pytestmark = pytest.mark.usefixtures("no_vendor_libraries")


# What needs data (tf32 compares two products), a compiler, or a host on the other side.
NOT_WITHOUT_A_DEVICE = ("/tf32/", "/compiled/", "copies/")
# A CPU build of torch has no device guard for gradients of cuda tensors and copies between them: the meta device instead.
NEEDS_A_GUARD = ("backward", "training step/", "decode step/", "layer/", "adamw", "bandwidth/copy")


def planned() -> list[Any]:
    trials = suite.planned(SCOPE, suite.Asked(level="full"))
    return [t for t in trials if not any(part in f"/{t.id}" for part in NOT_WITHOUT_A_DEVICE)]


def test_every_trial_of_an_accelerator_has_its_own_id() -> None:
    ids = [trial.id for trial in suite.planned(SCOPE, suite.Asked(level="full"))]
    assert len(ids) == len(set(ids))


def test_products_attention_and_kernels_have_shapes_and_formats_that_cuda_takes() -> None:
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    bench = shapes_bench("cuda:0")
    count = 0
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        for trial in planned():
            if not any(part in trial.id for part in NEEDS_A_GUARD):
                out = trial.build(bench).run()
                if isinstance(out, torch.Tensor):
                    assert out.device.type == "cuda", trial.id
                count += 1
    assert count > 150


def test_steps_layers_and_backward_passes_have_shapes_that_fit() -> None:
    bench = shapes_bench("meta")
    count = 0
    for trial in planned():
        if any(part in trial.id for part in NEEDS_A_GUARD):
            trial.build(bench).run()
            count += 1
    assert count > 50


def test_scaled_products_are_row_by_column_with_scales_in_fp32_and_each_vendors_format(monkeypatch) -> None:
    seen: list[Any] = []

    def spy(first: Any, second: Any, **named: Any) -> Any:
        seen.append((first, second, named))
        return torch.ops.aten._scaled_mm(first, second, **named)

    monkeypatch.setattr(torch, "_scaled_mm", spy)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        for architecture, is_amd in (("sm_90", False), ("gfx942:sramecc+:xnack-", True), ("gfx950", True)):
            matmul.trial("fp8", 64, 96, 128, "nt").build(shapes_bench("cuda:0", "cuda", architecture, is_amd)).run()
    types = [str(first.dtype) for first, _, _ in seen]
    fn, fnuz = "torch.float8_e4m3fn", "torch.float8_e4m3fnuz"
    assert types == [fn, fn, fnuz, fnuz, fn, fn]
    for first, second, named in seen:
        assert first.stride() == (96, 1) and second.stride() == (1, 96)
        assert named["scale_a"].dtype is named["scale_b"].dtype is torch.float32
    assert seen[0][2]["use_fast_accum"] is True and "use_fast_accum" not in seen[2][2]


@pytest.mark.parametrize("cache", [50, 256])
def test_the_operands_of_a_small_product_do_not_stay_in_the_last_cache(cache: int) -> None:
    bench = shapes_bench("meta")
    bench.facts = replace(bench.facts, cache_bytes=cache * 2.0**20)
    seen = set()
    built = matmul.trial("bf16", 512, 512, 512, "nn").build(bench)
    real = torch.mm
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "mm", lambda a, b: seen.add((id(a), id(b))) or real(a, b))
        for _ in range(600):
            built.run()
    assert len(seen) * 2 * 512 * 512 * 2 >= cache * 2**20


def test_sides_that_the_fp8_product_cannot_have_are_unsupported_with_its_reason() -> None:
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    said = pytest.raises(Unsupported, match="divisible by 16")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), said:
        matmul.trial("fp8", 64, 96, 120, "nt").build(shapes_bench("cuda:0"))
