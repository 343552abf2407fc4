"""What a chip and its host are called and how much memory they have, where torch does not say."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

from ...estimators.errors import InputError, UnknownName
from ...estimators.facts.bench_records import Device
from ...estimators.names import fold


def named(device: Device) -> Device:
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
    drop = ("nvidia", "amd", "intel", "hbm3", "hbm3e", "hbm2e", "vf")  # VF: passed through to a virtual machine
    text = "-".join(word for word in fold(name).split("-") if word not in drop)
    return _SPELLED.get(text, text)


# A GH200 is named by the memory of its CPU; 480 GB go with 96 GB of HBM3.
_SPELLED = {"h100-80gb": "h100-sxm-80gb", "gh200-480gb": "gh200-96gb", "b300-sxm6-ac": "b300-sxm"}


def tpu_name() -> str:
    """Return "TPU v5e": "v5litepod-8" in the environment, or in the metadata of the virtual machine."""
    text = os.environ.get("TPU_ACCELERATOR_TYPE") or os.environ.get("ACCELERATOR_TYPE") or ""
    if not text:
        with contextlib.suppress(Exception):  # no metadata server, or another torch_xla
            text = str(importlib.import_module("torch_xla._internal.tpu").get_tpu_env()["ACCELERATOR_TYPE"])
    version = text.partition("-")[0].lower().replace("litepod", "e").replace("lite", "e")
    return f"TPU {version}".strip()


def xla_memory() -> dict[str, float]:
    """Return bytes_limit and bytes_used of the TPU; nothing where this torch_xla does not say."""
    with contextlib.suppress(Exception):  # older releases answer in kilobytes or not at all
        said = importlib.import_module("torch_xla.core.xla_model").get_memory_info()
        return {name: float(said[name]) for name in ("bytes_limit", "bytes_used")}
    return {}


def cpu_name() -> str:
    """Return what the processor calls itself."""
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


def host_bytes() -> float:
    """Return the memory of this machine; 0 where the system does not say."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 0.0


def free_host_bytes() -> float:
    """Return the memory that can be taken without swapping; half of all where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable"):
                return float(line.split()[1]) * 1024
    return host_bytes() * 0.5


def last_cache_bytes() -> float:
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
