"""Accelerators made up for tests: no device, but only names that the real ones have.

Device modules are fakes that hold only names which the real `torch.cuda`, `torch.mps` and `torch.xpu` of the installed
release have, called with their signatures; what torch's C++ part defines is checked against its stub file.
"""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")


from flopwise.benchmarks.harness.device import Bench
from flopwise.benchmarks.harness.sensors import Sensors
from flopwise.benchmarks.harness.trials import Scope
from flopwise.estimators.facts.bench_records import Device

STUBS = (Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text(encoding="utf-8")
SCOPE = Scope(level="full", is_cpu=False, memory_bytes=80e9, cache_bytes=50.0 * 2**20)


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
