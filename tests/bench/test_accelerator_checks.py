"""Results of an accelerator are checked: what is copied and compared is real, on the CPU."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

torch = pytest.importorskip("torch")


from flopwise.benchmarks.harness import attention, matmul, memory_streams, steps, transfers
from flopwise.benchmarks.harness.device import Bench
from flopwise.benchmarks.harness.trials import Unsupported

from .accelerators_made import SCOPE, shapes_bench

pytestmark = pytest.mark.usefixtures("no_vendor_libraries")


@pytest.fixture
def elsewhere() -> Bench:
    """An accelerator whose numbers are computed by the CPU: what is copied and compared is real."""
    return shapes_bench("cpu", kind="xpu", architecture="Xe")


@pytest.mark.parametrize("format", ["fp32", "bf16", "int8", "fp8"])
def test_a_sampled_check_accepts_a_product_and_notices_a_wrong_one(elsewhere: Bench, format: str, monkeypatch) -> None:
    built = matmul.trial(format, 64, 96, 2048, "nt").build(elsewhere)
    assert built.check and built.check() <= built.tolerance
    real, name = {"int8": (torch._int_mm, "_int_mm"), "fp8": (torch._scaled_mm, "_scaled_mm")}.get(
        format, (torch.mm, "mm")
    )
    monkeypatch.setattr(torch, name, lambda *a, **k: real(*a, **k).roll(1, 0))
    assert built.check() > built.tolerance


def test_tf32_that_changes_nothing_is_unsupported_and_not_called_tf32(elsewhere: Bench) -> None:
    with pytest.raises(Unsupported, match="tf32 changes nothing here"):
        matmul.trial("tf32", 64, 96, 128, "nt").build(elsewhere)


def test_tf32_that_rounds_its_operands_is_measured_and_fp32_comes_back_afterwards(monkeypatch) -> None:
    bench = shapes_bench("cpu", kind="cuda")
    allowed = [False]
    real = torch.mm

    def product(a: Any, b: Any) -> Any:  # ten bits of mantissa where it is allowed
        if allowed[0]:
            a, b = ((t.view(torch.int32) & ~0x1FFF).view(torch.float32) for t in (a.contiguous(), b.contiguous()))
        return real(a, b)

    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(matmul, "_set_tf32", lambda bench, allow: allowed.__setitem__(0, allow))
    built = matmul.trial("tf32", 64, 256, 128, "nt").build(bench)
    assert built.check and 3e-5 < built.check() <= built.tolerance
    built = matmul.trial("fp32", 64, 256, 128, "nt").build(bench)
    assert built.check and built.check() <= 1e-5


def test_the_tf32_switch_is_the_one_that_this_torch_has() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allow in (True, False):
            matmul._set_tf32(shapes_bench("cpu"), allow)
            assert torch.backends.cuda.matmul.allow_tf32 is allow
        assert hasattr(type(torch.backends.mkldnn), "allow_tf32")  # Intel chips (pytorch/pytorch#144240)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def test_a_number_type_that_a_back_end_refuses_is_unsupported(elsewhere: Bench, monkeypatch) -> None:
    def refuse(*shape: int, dtype: Any = None) -> Any:
        raise TypeError("Trying to convert BFloat16 to the MPS backend but it does not have support for that dtype.")

    monkeypatch.setattr(elsewhere, "random", refuse)
    for trial in (matmul.trial("bf16", 64, 64, 64), next(iter(attention.trials(SCOPE)))):
        with pytest.raises(Unsupported, match="does not have support for that dtype"):
            trial.build(elsewhere)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_is_checked_on_some_queries(elsewhere: Bench, direction: str, is_causal: bool, monkeypatch) -> None:
    built = attention._trial("bf16", 1, 2, 768, 32, is_causal, direction).build(elsewhere)
    assert built.check and built.check() <= built.tolerance
    wrong = attention._trial("bf16", 1, 2, 768, 32, not is_causal, direction).build(elsewhere)
    functional = torch.nn.functional
    real = functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional, "scaled_dot_product_attention", lambda q, k, v, is_causal: real(q, k, v, is_causal=not is_causal)
    )
    if direction == "forward":
        assert wrong.check and wrong.check() > wrong.tolerance


def test_streams_are_checked_on_the_host_where_the_device_has_no_double_precision(elsewhere: Bench) -> None:
    for kernel in ("copy", "scale", "add", "triad"):
        built = memory_streams._trial(kernel, 2**16, 2**16).build(elsewhere)
        assert built.check and built.check() <= built.tolerance


def test_copies_from_pageable_memory_are_checked_and_a_host_that_cannot_pin_says_so(
    elsewhere: Bench, monkeypatch
) -> None:
    elsewhere.synchronize = lambda: None  # type: ignore[method-assign]
    built = transfers._build(elsewhere, "to host", "pageable", 2**21 + 5)
    assert built.check and built.check() == 0.0

    def refuse(tensor: Any, *arguments: Any) -> Any:
        raise RuntimeError("Cannot access accelerator device when none is available.")

    monkeypatch.setattr(torch.Tensor, "pin_memory", refuse)
    with pytest.raises(Unsupported, match="Cannot access accelerator"):
        transfers._build(elsewhere, "to device", "pinned", 2**12)


def test_each_compiled_layer_begins_afresh_with_fixed_sizes(elsewhere: Bench, monkeypatch) -> None:
    calls: list[Any] = []
    inspect.signature(torch.compile).bind(lambda: None, dynamic=False)
    monkeypatch.setattr(torch.compiler, "reset", lambda: calls.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda module, **named: calls.append(named) or module)
    from flopwise.benchmarks.harness.models import size

    steps._build_layer(elsewhere, size("gpt", 1, 64, 128), 16, "forward", "compiled")
    assert calls == ["reset", {"dynamic": False}]
