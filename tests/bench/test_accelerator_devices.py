"""Clocks and devices of accelerators: which is timed how, and what each says of itself."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")


from flopwise.benchmarks.harness import verify
from flopwise.benchmarks.harness.clocks import EventClock, HostClock, LazyClock
from flopwise.benchmarks.harness.device import Bench, available, open_bench
from flopwise.estimators.errors import InputError

from .accelerators_made import Event, Torch, cuda_torch, like, properties, shapes_bench

pytestmark = pytest.mark.usefixtures("no_vendor_libraries")


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
