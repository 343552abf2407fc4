"""The device under test: which there are, what they are, and how to time and empty them.

`torch.accelerator` names the accelerator of this build (cuda, also for ROCm, mps, xpu); a TPU shows up when torch_xla is
installed; the CPU is always there. What differs between them is here, so that the cases do not know.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.errors import InputError, UnknownName
from ...estimators.facts.bench_records import Device
from ...estimators.names import fold
from .clocks import EventClock, HostClock, RunQueue
from .measure import Clock
from .sensors import Sensors, sensors_of

if TYPE_CHECKING:
    import torch

KINDS = ("cpu", "cuda", "mps", "xpu", "xla")
_BLOCK = 2**22
_FLUSH_LEAST, _FLUSH_MOST = 64 * 2**20, 512 * 2**20


class Bench:
    """One device, ready to be measured."""

    def __init__(self, torch_module: Any, kind: str, index: int = 0, threads: int | None = None) -> None:
        if threads:
            torch_module.set_num_threads(threads)
        self.torch = torch_module
        self.kind = kind
        self.index = index
        self.device: torch.device = self._device()
        self.is_cpu = kind == "cpu"
        self.sensors: Sensors = sensors_of(kind, index, is_amd=bool(getattr(torch_module.version, "hip", None)))
        self.facts = self._facts()
        self._flush: Any = None
        self._generator = torch_module.Generator().manual_seed(20_261_124)

    def _device(self) -> torch.device:
        if self.kind == "xla":
            import torch_xla

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

            torch_xla.sync()
        elif self.module:
            self.module.synchronize()

    def clock(self, *, host: bool = False) -> Clock:
        """Return device events, or the host's clock around a synchronised device."""
        if self.is_cpu:
            return HostClock(queue=RunQueue())
        if host or self.kind == "xla" or not hasattr(self.module, "Event"):
            return HostClock(self.synchronize)
        module = self.module
        return EventClock(lambda: module.Event(enable_timing=True), self.synchronize)

    def random(self, *shape: int, dtype: Any = None) -> Any:
        """Return fresh random numbers on the device: equal or round numbers run faster than real ones.

        Large tensors repeat a block of four million: no chip looks that far, and making numbers takes longer than
        multiplying them.
        """
        torch = self.torch
        dtype = dtype or torch.float32
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
        if self.kind == "cuda":
            return float(self.torch.cuda.mem_get_info(self.index)[0])
        if self.is_cpu:
            return _free_host_bytes()
        return self.facts.memory_bytes * 0.7

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error means that the case does not fit."""
        if isinstance(error, MemoryError):
            return True
        kinds = tuple(k for k in (getattr(self.torch, "OutOfMemoryError", None),) if k)
        text = str(error).lower()
        return isinstance(error, kinds) or "out of memory" in text or "can't allocate memory" in text

    def _facts(self) -> Device:
        torch = self.torch
        if self.kind == "cuda":
            found = torch.cuda.get_device_properties(self.index)
            is_amd = bool(torch.version.hip)
            return _named(
                Device(
                    kind="cuda",
                    name=found.name,
                    vendor="AMD" if is_amd else "NVIDIA",
                    architecture=getattr(found, "gcnArchName", "") if is_amd else f"sm_{found.major}{found.minor}",
                    memory_bytes=float(found.total_memory),
                    cache_bytes=float(getattr(found, "L2_cache_size", 0)),
                    compute_units=int(found.multi_processor_count),
                    threads=torch.get_num_threads(),
                    count=torch.cuda.device_count(),
                    driver=self.sensors.driver() or str(torch.version.hip or torch.version.cuda or ""),
                    power_limit_w=self.sensors.power_limit_w(),
                )
            )
        if self.kind == "xpu":
            found = torch.xpu.get_device_properties(self.index)
            return _named(
                Device(
                    kind="xpu",
                    name=found.name,
                    vendor="Intel",
                    architecture="Xe",
                    memory_bytes=float(found.total_memory),
                    compute_units=int(getattr(found, "max_compute_units", 0)),
                    threads=torch.get_num_threads(),
                    count=torch.xpu.device_count(),
                    driver=str(getattr(found, "driver_version", "")),
                )
            )
        if self.kind == "mps":
            limit = float(torch.mps.recommended_max_memory()) if hasattr(torch.mps, "recommended_max_memory") else 0.0
            name = _cpu_name()
            return _named(
                Device(
                    kind="mps",
                    name=name,
                    vendor="Apple",
                    architecture="Apple",
                    memory_bytes=limit or _host_bytes(),
                    threads=torch.get_num_threads(),
                )
            )
        if self.kind == "xla":
            name = os.environ.get("ACCELERATOR_TYPE") or os.environ.get("TPU_ACCELERATOR_TYPE") or "TPU"
            return _named(Device(kind="xla", name=name, vendor="Google", architecture="TPU", memory_bytes=0.0))
        name = _cpu_name()
        return Device(
            kind="cpu",
            name=name,
            vendor=next((v for v in ("AMD", "Intel", "Apple", "Ampere") if v.lower() in name.lower()), "CPU"),
            architecture=torch.backends.cpu.get_cpu_capability()
            if hasattr(torch.backends, "cpu")
            else platform.machine(),
            memory_bytes=_host_bytes(),
            cache_bytes=_last_cache_bytes(),
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
    if kind == "cuda" and index >= torch_module.cuda.device_count():
        raise InputError(f"--device: there are {torch_module.cuda.device_count()} cuda devices, numbered from 0.")
    return Bench(torch_module, kind, index, threads)


def available(torch_module: Any) -> tuple[str, ...]:
    """Return the kinds of devices that can be measured here, the fastest first; the CPU is always last."""
    found = []
    accelerator = getattr(torch_module, "accelerator", None)
    if accelerator is not None and accelerator.is_available():
        found.append(accelerator.current_accelerator().type)
    elif torch_module.cuda.is_available():
        found.append("cuda")
    with contextlib.suppress(Exception):  # torch_xla without a TPU fails in many ways
        import importlib.util

        if importlib.util.find_spec("torch_xla"):
            import torch_xla

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


def _named(device: Device) -> Device:
    """Return the device with the id of the catalog's chip that its name means, where there is just one."""
    from ...estimators.facts.catalog import load_catalog
    from ...estimators.facts.devices import find_device
    from ...estimators.frozen import replace

    for name in dict.fromkeys((device.name, _plain(device.name))):
        with contextlib.suppress(UnknownName, InputError):
            return replace(device, catalog_id=find_device(name, load_catalog()).id)
    return device


def _plain(name: str) -> str:
    """Return a driver's name as the catalog spells it: "NVIDIA H100 80GB HBM3" is the SXM card with 80 GB."""
    words = [word for word in fold(name).split("-") if word not in ("nvidia", "amd", "intel", "hbm3", "hbm3e", "hbm2e")]
    text = "-".join(words)
    if text == "h100-80gb":
        return "h100-sxm-80gb"
    return text


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        import subprocess

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return platform.processor() or platform.machine() or "CPU"


def _host_bytes() -> float:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 0.0


def _free_host_bytes() -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable"):
                return float(line.split()[1]) * 1024
    return _host_bytes() * 0.5


def _last_cache_bytes() -> float:
    """Return the size of the last cache level that the first CPU reaches."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text(encoding="ascii").strip()
            unit: Callable[[str], int] = {"K": lambda t: int(t) * 1024, "M": lambda t: int(t) * 2**20}.get(
                text[-1], lambda t: int(t)
            )
            sizes.append(unit(text.rstrip("KM")))
    return float(max(sizes, default=32 * 2**20))
