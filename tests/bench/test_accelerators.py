"""The accelerator paths of the harness without an accelerator.

Shapes and formats run under FakeTensorMode for cuda and on the meta device. Device modules are fakes that hold only names
which the real `torch.cuda`, `torch.mps` and `torch.xpu` of the installed release have, called with their signatures; what
torch's C++ part defines is checked against its stub file.
"""

from __future__ import annotations

import inspect
import logging
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: TID253  after importorskip

from flopwise.benchmarks.harness import attention, matmul, memory_streams, steps, suite, transfers, verify
from flopwise.benchmarks.harness.clocks import EventClock, HostClock, LazyClock
from flopwise.benchmarks.harness.device import Bench, available, open_bench
from flopwise.benchmarks.harness.sensors import Sensors
from flopwise.benchmarks.harness.trials import Scope, Unsupported
from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.bench_records import Device
from flopwise.estimators.frozen import replace

STUBS = (Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text(encoding="utf-8")


def real_names(stub_class: str) -> set[str]:
    """Names that the stub file gives a class of torch's C++ part."""
    body = re.search(rf"^class {stub_class}\b.*?:\n((?:    .*\n|\n)+)", STUBS, re.MULTILINE)
    assert body, f"torch has no {stub_class} any more"
    return set(re.findall(r"^    (?:def )?(\w+)[:(]", body[1], re.MULTILINE))


def properties(stub_class: str, **facts: Any) -> SimpleNamespace:
    assert set(facts) <= real_names(stub_class), set(facts) - real_names(stub_class)
    return SimpleNamespace(**facts)


def like(real: Any, **given: Any) -> types.SimpleNamespace:
    """A module with the given functions only: each must be in the real module and is called as that one can be."""
    made: dict[str, Any] = {}
    for name, fake in given.items():
        assert hasattr(real, name), f"{real.__name__} has no {name}"
        original = getattr(real, name)
        made[name] = fake
        if inspect.isfunction(original):
            made[name] = checked(inspect.signature(original), fake)
    return SimpleNamespace(**made)


def checked(signature: inspect.Signature, fake: Any) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        signature.bind(*arguments, **named)
        return fake(*arguments, **named)

    return call


class Torch:
    """The real torch but for some modules."""

    def __init__(self, **replaced: Any) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


class Event:
    """An event that reads a wound clock, in milliseconds; only what `torch.cuda.Event` and its kin have."""

    def __init__(self, now: Any, enable_timing: bool = False) -> None:
        self._now, self._timed, self._at = now, enable_timing, None

    def record(self) -> None:
        self._at = self._now()

    def elapsed_time(self, end: Event) -> float:
        assert self._timed and end._timed, "events made without enable_timing cannot be read"
        return end._at - self._at


def cuda_torch(
    hip: str | None = None, architecture: str = "", l2: int = 50 * 2**20, count: int = 2, **more: Any
) -> Torch:
    said: list[Any] = []
    facts = {
        "name": "AMD Instinct MI300X" if hip else "NVIDIA H100 80GB HBM3",
        "major": 9,
        "minor": 0,
        "total_memory": 80 * 2**30,
        "multi_processor_count": 132,
        "L2_cache_size": l2,
        "uuid": "5d3e2a52-0c5e-4a52-8d4f-0123456789ab",
    }
    if hip:
        facts["gcnArchName"] = architecture
    cuda = like(
        torch.cuda,
        set_device=lambda device: said.append(("set_device", device)),
        get_device_properties=lambda device: properties("_CudaDeviceProperties", **facts),
        device_count=lambda: count,
        is_available=lambda: True,
        mem_get_info=lambda device=None: (10 * 2**30, 80 * 2**30),
        memory_reserved=lambda device=None: 5 * 2**30,
        memory_allocated=lambda device=None: 2 * 2**30,
        synchronize=lambda device=None: said.append("synchronize"),
        empty_cache=lambda: said.append("empty_cache"),
        _sleep=lambda cycles: said.append(("sleep", cycles)),
        **more,
    )
    version = SimpleNamespace(hip=hip, cuda=None if hip else "13.0")
    made = Torch(cuda=cuda, version=version)
    made.said = said  # type: ignore[attr-defined]
    return made


@pytest.fixture(autouse=True)
def no_vendor_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pynvml", "amdsmi"):
        monkeypatch.setitem(sys.modules, name, None)


# --- shapes and formats -------------------------------------------------------------------------------------------------


def shapes_bench(device: str, kind: str = "cuda", architecture: str = "sm_90", is_amd: bool = False) -> Bench:
    bench = Bench.__new__(Bench)
    bench.torch, bench.kind, bench.index, bench.is_cpu, bench.is_amd = torch, kind, 0, False, is_amd
    bench.device = torch.device(device)
    bench.facts = Device(
        kind=kind, name="x", vendor="x", architecture=architecture, memory_bytes=80e9, cache_bytes=50.0 * 2**20
    )
    bench.sensors = Sensors()
    bench._generator = torch.Generator().manual_seed(1)
    bench.room_bytes = lambda: 80e9  # type: ignore[method-assign]
    return bench


SCOPE = Scope(level="full", is_cpu=False, memory_bytes=80e9, cache_bytes=50.0 * 2**20)
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


# --- results are checked ------------------------------------------------------------------------------------------------


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


# --- clocks -------------------------------------------------------------------------------------------------------------


def test_device_events_are_read_in_milliseconds_after_waiting_and_while_the_device_is_held() -> None:
    said: list[Any] = []
    clock = [0.0]

    def run() -> None:
        clock[0] += 3.0
        said.append("run")

    timed = EventClock(
        lambda: Event(lambda: clock[0], enable_timing=True),
        lambda: said.append("wait"),
        lambda seconds: said.append("hold") if 0 < seconds <= 0.02 else said.append(seconds),
    )
    assert timed.sample(run, 4).seconds == pytest.approx(0.012)
    said.clear()
    timed.sample(run, 2)
    assert said == ["wait", "hold", "run", "run", "wait"]


def test_events_that_run_backwards_give_the_time_of_the_host() -> None:
    clock = iter([5.0, 4.0])
    timed = EventClock(lambda: Event(lambda: next(clock), enable_timing=True), lambda: None)
    assert timed.sample(lambda: None, 1).seconds > 0.0


def test_a_lazy_device_keeps_each_result_until_its_graph_is_cut_and_waits_at_the_end() -> None:
    alive: list[Any] = []
    said: list[str] = []

    class Result:
        def __init__(self) -> None:
            alive.append(self)
            self.number = len(alive)

        def __del__(self) -> None:
            said.append("gone")

    def run() -> Result:
        made = Result()
        alive.clear()
        return made

    LazyClock(lambda: said.append("cut"), lambda: said.append("wait")).sample(run, 2)
    assert said == ["wait", "cut", "gone", "cut", "gone", "wait"]


def test_short_samples_are_repeated_where_waiting_takes_long() -> None:
    calls: list[int] = []
    HostClock(lambda: None, least_s=1e6).sample(lambda: calls.append(1), 2)
    assert len(calls) == 2 + 2 * 1000
    calls.clear()
    HostClock(lambda: None).sample(lambda: calls.append(1), 2)
    assert len(calls) == 2


# --- devices ------------------------------------------------------------------------------------------------------------


def test_events_and_counters_follow_the_device_that_was_asked_for() -> None:
    made = cuda_torch()
    bench = Bench(made, "cuda", 1)
    assert made.said[0] == ("set_device", 1)
    assert str(bench.device) == "cuda:1"
    assert bench.facts.catalog_id == "h100-sxm-80gb"
    assert bench.facts.architecture == "sm_90"


def test_memory_that_the_allocator_keeps_counts_as_free() -> None:
    assert Bench(cuda_torch(), "cuda").room_bytes() == 13 * 2**30


def test_amd_chips_have_the_cache_that_rocm_does_not_report() -> None:
    bench = Bench(cuda_torch(hip="7.1", architecture="gfx942:sramecc+:xnack-", l2=4 * 2**20), "cuda")
    assert bench.facts.cache_bytes == 256 * 2**20
    assert bench.facts.catalog_id == "mi300x"
    assert bench.flush_bytes == 512 * 2**20


@pytest.mark.parametrize(("hip", "held"), [(None, True), ("7.1", False)])
def test_only_nvidia_chips_are_held_by_spinning(hip: str | None, held: bool, monkeypatch) -> None:
    ticks = iter(range(100))
    made = cuda_torch(hip, "gfx942", Event=lambda enable_timing=False: Event(lambda: float(next(ticks)), enable_timing))
    bench = Bench(made, "cuda")
    bench.device = torch.device("cpu")
    clock = bench.clock()
    assert isinstance(clock, EventClock)
    clock.sample(lambda: None, 1)
    clock.sample(lambda: None, 1)
    slept = [each for each in made.said if each[0] == "sleep"]
    assert bool(slept) is held
    assert all(isinstance(cycles, int) for _, cycles in slept)


def test_events_that_cannot_tell_time_are_not_used() -> None:
    def none(enable_timing: bool = False) -> Any:
        raise RuntimeError("the device does not support profiling tags")

    bench = Bench(cuda_torch(Event=none), "cuda")
    bench.device = torch.device("cpu")
    assert isinstance(bench.clock(), HostClock)


@pytest.mark.parametrize("name", ["set_device", "mem_get_info", "memory_reserved", "memory_allocated", "synchronize"])
@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_both_kinds_of_gpu_have_what_the_harness_calls(kind: str, name: str) -> None:
    module = getattr(torch, kind)
    signature = inspect.signature(getattr(module, name))
    signature.bind(*(() if name == "synchronize" else (0,)))
    inspect.signature(module.reset_peak_memory_stats).bind()
    inspect.signature(module.max_memory_allocated).bind()
    assert hasattr(module, "Event") and hasattr(module, "empty_cache")


def test_an_intel_chip_is_read_and_its_last_cache_is_known() -> None:
    facts = properties(
        "_XpuDeviceProperties",
        name="Intel(R) Data Center GPU Max 1550",
        total_memory=64 * 2**30,
        max_compute_units=448,
        last_level_cache_size=204 * 2**20,
        driver_version="1.6",
    )
    xpu = like(
        torch.xpu,
        set_device=lambda device: None,
        get_device_properties=lambda device=None: facts,
        device_count=lambda: 1,
        mem_get_info=lambda device=None: (_ for _ in ()).throw(RuntimeError("does not support querying free memory")),
        memory_reserved=lambda device=None: 0,
        memory_allocated=lambda device=None: 0,
    )
    bench = Bench(Torch(xpu=xpu), "xpu")
    assert bench.facts.cache_bytes == 204 * 2**20
    assert bench.room_bytes() == pytest.approx(0.7 * 64 * 2**30)


def test_metal_is_timed_by_the_host_over_long_samples_and_has_no_peak() -> None:
    mps = like(
        torch.mps,
        recommended_max_memory=lambda: 96 * 2**30,
        current_allocated_memory=lambda: 2**30,
        synchronize=lambda: None,
        empty_cache=lambda: None,
    )
    bench = Bench(Torch(mps=mps), "mps", index=3)
    assert bench.index == 0
    assert bench.room_bytes() == 95 * 2**30
    assert isinstance(bench.clock(), HostClock)
    assert verify.peak_bytes(bench, lambda: None) is None
    bench.free()


@pytest.mark.parametrize(
    "said",
    [
        "MPS backend out of memory (MPS allocated: 17.00 GiB, other allocations: 1.00 GiB, max allowed: 18.13 GiB).",
        "Invalid buffer size: 64.00 GiB",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)",
        "RESOURCE_EXHAUSTED: Attempting to allocate 16.00G. That was not possible.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_what_back_ends_say_when_memory_is_short_is_understood(said: str) -> None:
    bench = shapes_bench("cpu")
    assert bench.is_out_of_memory(RuntimeError(said))
    assert bench.is_out_of_memory(torch.OutOfMemoryError("HIP: no room"))
    assert not bench.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_a_device_number_that_is_not_there_is_refused_for_every_kind_of_gpu() -> None:
    accelerator = like(torch.accelerator, is_available=lambda: True, current_accelerator=lambda: torch.device("cuda"))
    made = cuda_torch(count=1)
    made.accelerator = accelerator  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="cuda:2 is not there; cuda devices here: 1"):
        open_bench(made, "cuda:2")


def test_a_release_before_torch_accelerator_finds_metal_and_intel_too() -> None:
    backends = SimpleNamespace(mps=like(torch.backends.mps, is_available=lambda: True))
    old = Torch(accelerator=None, cuda=like(torch.cuda, is_available=lambda: False), backends=backends)
    assert available(old) == ("mps", "cpu")


# --- TPU ----------------------------------------------------------------------------------------------------------------


def tpu(monkeypatch: pytest.MonkeyPatch, device_type: str = "TPU") -> list[Any]:
    """torch_xla 2.8 as its source has it: the functions that the harness calls, with their signatures."""
    said: list[Any] = []

    def sync(wait: bool = False, reset_scope: bool = True) -> None:
        said.append(("sync", wait))

    def wait_device_ops(devices: list[str] = []) -> None:  # noqa: B006
        said.append("wait_device_ops")

    def get_memory_info(device: Any = None) -> dict[str, int]:
        return {"bytes_used": 10, "bytes_limit": 16 * 2**30, "peak_bytes_used": 20}

    def set_mat_mul_precision(precision: str) -> None:
        said.append(precision)

    modules = {
        "torch_xla": {"device": lambda index=None: torch.device("cpu"), "sync": sync},
        "torch_xla.runtime": {"device_type": lambda: device_type},
        "torch_xla.core": {},
        "torch_xla.core.xla_model": {"wait_device_ops": wait_device_ops, "get_memory_info": get_memory_info},
        "torch_xla.backends": {"set_mat_mul_precision": set_mat_mul_precision},
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
        module.__path__ = []  # type: ignore[attr-defined]
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys.modules["torch_xla"], "runtime", sys.modules["torch_xla.runtime"], raising=False)
    monkeypatch.setattr(
        sys.modules["torch_xla.core"], "xla_model", sys.modules["torch_xla.core.xla_model"], raising=False
    )
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-8")
    return said


def test_a_tpu_has_memory_a_name_and_full_precision_and_waits_for_what_was_noted_down(monkeypatch) -> None:
    said = tpu(monkeypatch)
    bench = Bench(torch, "xla")
    assert bench.facts.name == "TPU v5e" and bench.facts.catalog_id == "tpu-v5e"
    assert bench.room_bytes() == 16 * 2**30 - 10
    assert said == ["highest"]
    bench.synchronize()
    assert said[1:] == [("sync", True), "wait_device_ops"]
    assert isinstance(bench.clock(host=True), LazyClock)
    assert verify.peak_bytes(bench, lambda: None) is None


def test_torch_xla_on_a_cpu_is_no_tpu(monkeypatch) -> None:
    tpu(monkeypatch, device_type="CPU")
    assert "xla" not in available(torch)
    tpu(monkeypatch)
    assert "xla" in available(torch)


def test_what_xla_would_not_really_do_is_not_measured() -> None:
    bench = shapes_bench("meta", kind="xla")
    with pytest.raises(Unsupported, match="another name for the same memory"):
        memory_streams._trial("copy", 2**16, 2**16).build(bench)
    alone, row = transfers.launch_trials(SCOPE)
    alone.build(bench).run()
    with pytest.raises(Unsupported, match="one kernel of the whole row"):
        row.build(bench)
