"""The device under test: which there are, what they are, and how to time and empty them.

`torch.accelerator` names the accelerator of this build (cuda, also for ROCm, mps, xpu); a TPU shows up when torch_xla is
installed; the CPU is always there. What differs between them is here, so that the cases do not know.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Device
from .clocks import EventClock, HostClock, LazyClock, RunQueue
from .identity import cpu_name, free_host_bytes, host_bytes, last_cache_bytes, named, tpu_name, xla_memory
from .measure import Clock
from .sensors import Sensors, sensors_of

if TYPE_CHECKING:
    import torch

KINDS = ("cpu", "cuda", "mps", "xpu", "xla")
_BLOCK = 2**22
_FLUSH_LEAST, _FLUSH_MOST = 64 * 2**20, 512 * 2**20
_METAL_SAMPLE_S = 0.01  # waiting for Metal takes a tenth of a millisecond: a sample must be long against it
_SPIN_PER_S = 2.0e9  # cycles; no NVIDIA chip runs much faster, and a slower one only holds for longer
# The cache behind the L2 that ROCm does not report (AMD: CDNA 3 and CDNA 4 white papers, RDNA 2 to 4 specifications).
_INFINITY_CACHE = {
    "gfx942": 256 * 2**20,
    "gfx950": 256 * 2**20,
    "gfx1030": 128 * 2**20,
    "gfx1100": 96 * 2**20,
    "gfx1201": 64 * 2**20,
}
# Apple names no sizes: at most this much lies between the GPU and memory.
_APPLE_CACHE, _APPLE_ULTRA_CACHE = 48 * 2**20, 96 * 2**20
_NO_MEMORY = (
    "out of memory",
    "out_of_device_memory",  # level zero (Intel)
    "out_of_host_memory",
    "out_of_resources",  # what PyTorch's XPU back end says when an allocation is refused late
    "can't allocate memory",
    "not enough memory",
    "invalid buffer size",  # Metal, beyond the largest buffer
    "resource_exhausted",  # XLA
    "cublas_status_alloc_failed",
    "hipblas_status_alloc_failed",
)


class Bench:
    """One device, ready to be measured."""

    def __init__(self, torch_module: Any, kind: str, index: int = 0, threads: int | None = None) -> None:
        if threads:
            torch_module.set_num_threads(threads)
        self.torch = torch_module
        self.kind = kind
        self.index = index if kind in ("cuda", "xpu") else 0
        if kind in ("cuda", "xpu"):
            # Events, streams and memory counters belong to the current device, whichever the tensors are on.
            self.module.set_device(self.index)
        self.device: torch.device = self._device()
        self.is_cpu = kind == "cpu"
        self.is_amd = kind == "cuda" and bool(getattr(torch_module.version, "hip", None))
        self.sensors: Sensors = sensors_of(kind, self.index, is_amd=self.is_amd, uuid=self._uuid())
        self.facts = self._facts()
        self._times_events: bool | None = None
        self._flush: Any = None
        self._generator = torch_module.Generator().manual_seed(20_261_124)

    def _device(self) -> torch.device:
        if self.kind == "xla":
            import torch_xla

            with contextlib.suppress(Exception):  # since 2.8; a TPU multiplies fp32 as bf16 unless told not to
                logging.getLogger("torch_xla.backends").setLevel(logging.ERROR)
                importlib.import_module("torch_xla.backends").set_mat_mul_precision("highest")
            found: torch.device = torch_xla.device()
            return found
        return self.torch.device(self.kind, self.index) if self.kind != "cpu" else self.torch.device("cpu")  # type: ignore[no-any-return]

    @property
    def module(self) -> Any:
        """`torch.cuda`, `torch.mps`, `torch.xpu`, or None."""
        return getattr(self.torch, self.kind, None) if self.kind in ("cuda", "mps", "xpu") else None

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.kind == "xla":
            import torch_xla
            from torch_xla.core import xla_model

            torch_xla.sync(wait=True)  # what was only noted down is run
            xla_model.wait_device_ops()
        elif self.module:
            self.module.synchronize()

    def clock(self, *, host: bool = False) -> Clock:
        """Return device events, or the host's clock around a synchronised device.

        Metal's events are stamped by callbacks on the host, which overtake each other and may wait for good
        (pytorch/pytorch#196395); the host's clock over longer samples is safer there.
        """
        if self.is_cpu:
            return HostClock(queue=RunQueue())
        if self.kind == "xla":
            import torch_xla

            return LazyClock(torch_xla.sync, self.synchronize)
        if self.kind == "mps":
            return HostClock(self.synchronize, least_s=_METAL_SAMPLE_S)
        if host or not self._events_work():
            return HostClock(self.synchronize)
        return EventClock(
            self._event, self.synchronize, self._hold if self.kind == "cuda" and not self.is_amd else None
        )

    def _event(self) -> Any:
        return self.module.Event(enable_timing=True)

    def _events_work(self) -> bool:
        """Whether two events of this driver and torch can be told apart in time; not on every Intel runtime."""
        if self._times_events is None:
            try:
                first, last = self._event(), self._event()
                first.record()
                self.torch.ones(2**20, device=self.device).add_(1.0)
                last.record()
                self.synchronize()
                self._times_events = first.elapsed_time(last) > 0.0
            except Exception as error:
                if self.is_out_of_memory(error):
                    raise
                self._times_events = False
        return self._times_events

    def _hold(self, seconds: float) -> None:
        """Keep the device busy for about so long, so that what is enqueued meanwhile runs without gaps."""
        self.torch.cuda._sleep(int(seconds * _SPIN_PER_S))

    def random(self, *shape: int, dtype: Any = None) -> Any:
        """Return fresh random numbers on the device: equal or round numbers run faster than real ones.

        Large tensors repeat a block of four million: no chip looks that far, and making numbers takes longer than
        multiplying them.
        """
        torch = self.torch
        dtype = dtype or torch.float32
        if dtype is torch.int8 and not self.is_cpu:
            return torch.randint(-127, 128, shape, dtype=torch.int8, device=self.device)
        if dtype is torch.int8:
            return torch.randint(-127, 128, shape, dtype=torch.int8, generator=self._generator).to(self.device)
        if self.is_cpu:
            count = math.prod(shape)
            block = torch.randn(min(count, _BLOCK), generator=self._generator).to(dtype)
            if count <= _BLOCK:
                return block.view(shape)
            made = torch.empty(count, dtype=dtype)
            for start in range(0, count, _BLOCK):
                made[start : start + _BLOCK] = block[: count - start]
            return made.view(shape)
        made = torch.randn(shape, device=self.device, dtype=torch.float32)
        return made.to(dtype)

    @property
    def flush_bytes(self) -> int:
        """The size of the buffer that empties the caches: twice the last level, within limits."""
        return int(min(_FLUSH_MOST, max(_FLUSH_LEAST, 2 * self.facts.cache_bytes)))

    def flush(self) -> None:
        """Empty the caches by writing a buffer larger than them."""
        if self._flush is None:
            self._flush = self.torch.empty(self.flush_bytes // 4, dtype=self.torch.int32, device=self.device)
        self._flush.zero_()

    def free(self) -> None:
        """Give cached memory back between cases."""
        self._flush = None
        if self.module and hasattr(self.module, "empty_cache"):
            self.module.empty_cache()

    def room_bytes(self) -> float:
        """Return the memory that can be taken now."""
        if self.is_cpu:
            return free_host_bytes()
        if self.kind in ("cuda", "xpu"):
            module = self.module
            with contextlib.suppress(RuntimeError, AttributeError):  # not every Intel driver says what is free
                # What the allocator keeps for later is free for us.
                kept = module.memory_reserved(self.index) - module.memory_allocated(self.index)
                return float(module.mem_get_info(self.index)[0] + kept)
        if self.kind == "mps":
            return max(0.0, self.facts.memory_bytes - float(self.torch.mps.current_allocated_memory()))
        if self.kind == "xla":
            memory = xla_memory()
            return memory["bytes_limit"] - memory["bytes_used"] if memory else math.inf
        return self.facts.memory_bytes * 0.7

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error means that the case does not fit."""
        if isinstance(error, MemoryError):
            return True
        kinds = tuple(k for k in (getattr(self.torch, "OutOfMemoryError", None),) if k)
        text = str(error).lower()
        return isinstance(error, kinds) or any(sign in text for sign in _NO_MEMORY)

    def _uuid(self) -> str:
        if self.kind != "cuda":
            return ""
        return str(getattr(self.torch.cuda.get_device_properties(self.index), "uuid", ""))

    def _facts(self) -> Device:
        torch = self.torch
        if self.kind == "cuda":
            found = torch.cuda.get_device_properties(self.index)
            is_amd = self.is_amd
            architecture = getattr(found, "gcnArchName", "") if is_amd else f"sm_{found.major}{found.minor}"
            behind = _INFINITY_CACHE.get(architecture.partition(":")[0], 0)
            return named(
                Device(
                    kind="cuda",
                    name=found.name,
                    vendor="AMD" if is_amd else "NVIDIA",
                    architecture=architecture,
                    memory_bytes=float(found.total_memory),
                    cache_bytes=float(max(behind, getattr(found, "L2_cache_size", 0))),
                    compute_units=int(found.multi_processor_count),
                    threads=torch.get_num_threads(),
                    count=torch.cuda.device_count(),
                    driver=self.sensors.driver() or str(torch.version.hip or torch.version.cuda or ""),
                    power_limit_w=self.sensors.power_limit_w(),
                )
            )
        if self.kind == "xpu":
            found = torch.xpu.get_device_properties(self.index)
            return named(
                Device(
                    kind="xpu",
                    name=found.name,
                    vendor="Intel",
                    architecture="Xe",
                    memory_bytes=float(found.total_memory),
                    cache_bytes=float(getattr(found, "last_level_cache_size", 0)),
                    compute_units=int(getattr(found, "max_compute_units", 0)),
                    threads=torch.get_num_threads(),
                    count=torch.xpu.device_count(),
                    driver=str(getattr(found, "driver_version", "")),
                )
            )
        if self.kind == "mps":
            limit = float(torch.mps.recommended_max_memory()) if hasattr(torch.mps, "recommended_max_memory") else 0.0
            name = cpu_name()
            return named(
                Device(
                    kind="mps",
                    name=name,
                    vendor="Apple",
                    architecture="Apple",
                    memory_bytes=limit or 0.7 * host_bytes(),
                    cache_bytes=float(_APPLE_ULTRA_CACHE if "ultra" in name.lower() else _APPLE_CACHE),
                    threads=torch.get_num_threads(),
                )
            )
        if self.kind == "xla":
            memory = xla_memory()
            return named(
                Device(
                    kind="xla",
                    name=tpu_name(),
                    vendor="Google",
                    architecture="TPU",
                    memory_bytes=memory.get("bytes_limit", 0.0),
                    threads=torch.get_num_threads(),
                )
            )
        name = cpu_name()
        return Device(
            kind="cpu",
            name=name,
            vendor=next((v for v in ("AMD", "Intel", "Apple", "Ampere") if v.lower() in name.lower()), "CPU"),
            architecture=torch.backends.cpu.get_cpu_capability()
            if hasattr(torch.backends, "cpu")
            else platform.machine(),
            memory_bytes=host_bytes(),
            cache_bytes=last_cache_bytes(),
            compute_units=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            threads=torch.get_num_threads(),
        )


def open_bench(torch_module: Any, asked: str | None, index: int = 0, threads: int | None = None) -> Bench:
    """Return the device that was asked for, or the accelerator of this machine, or its CPU on so many threads.

    Raises:
        InputError: this torch has no such device here.
    """
    there = available(torch_module)
    kind = (asked or there[0]).lower().partition(":")[0]
    if asked and ":" in asked:
        number = asked.partition(":")[2]
        if not number.isdigit():
            raise InputError(f"--device: '{asked}' is not a device; write for example cuda:1.")
        index = int(number)
    if kind == "rocm":
        kind = "cuda"
    if kind not in KINDS:
        raise InputError(f"--device: '{asked}' is not known; choose one of {', '.join(there)}.")
    if kind not in there:
        raise InputError(f"--device: this PyTorch sees no {kind} here; it has {', '.join(there)}.")
    if kind in ("cuda", "xpu"):
        count = getattr(torch_module, kind).device_count()
        if index >= count:
            raise InputError(f"--device: {kind}:{index} is not there; {kind} devices here: {count}, numbered from 0.")
    return Bench(torch_module, kind, index, threads)


def available(torch_module: Any) -> tuple[str, ...]:
    """Return the kinds of devices that can be measured here, the fastest first; the CPU is always last."""
    found = []
    accelerator = getattr(torch_module, "accelerator", None)  # since 2.6
    if accelerator is not None and accelerator.is_available():
        found.append(accelerator.current_accelerator().type)
    elif torch_module.cuda.is_available():
        found.append("cuda")
    elif torch_module.backends.mps.is_available():
        found.append("mps")
    elif hasattr(torch_module, "xpu") and torch_module.xpu.is_available():
        found.append("xpu")
    with contextlib.suppress(Exception):  # torch_xla without a TPU fails in many ways
        if importlib.util.find_spec("torch_xla"):
            import torch_xla
            from torch_xla import runtime

            if runtime.device_type() == "TPU":  # its CPU and GPU back ends are no devices of their own
                torch_xla.device()
                found.append("xla")
    return (*(kind for kind in found if kind in KINDS and kind != "cpu"), "cpu")


def software(torch_module: Any) -> dict[str, str]:
    """Return the versions that a measurement depends on."""
    versions = {
        "torch": str(torch_module.__version__),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
    for name in ("cuda", "hip", "xpu"):
        if text := getattr(torch_module.version, name, None):
            versions[name] = str(text)
    with contextlib.suppress(Exception):  # absent in CPU builds
        if torch_module.backends.cudnn.is_available():
            versions["cudnn"] = str(torch_module.backends.cudnn.version())
    for name in ("OMP_NUM_THREADS", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "MALLOC_CONF", "LD_PRELOAD"):
        if value := os.environ.get(name):
            versions[name] = Path(value).name if name == "LD_PRELOAD" else value
    return versions
