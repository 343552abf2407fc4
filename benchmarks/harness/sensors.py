"""What goes on around a measurement: clock, power, temperature and throttling of the device; others that use it.

NVIDIA through NVML (`pynvml` of nvidia-ml-py), AMD through `amdsmi`, both only where they are installed; CPUs through
the kernel's files. Whatever cannot be read is left out: a sensor never stops a measurement.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# NVML's clock event reasons that mean "slower than it could be"; idle and application settings do not count.
_THROTTLED = {
    0x4: "the power cap",
    0x8: "a hardware slow-down",
    0x20: "the driver's thermal limit",
    0x40: "the hardware's thermal limit",
    0x80: "the external power brake",
}
_PROC = Path("/proc")
_MOST_WATTS = 1e5  # no device is allowed more; a larger number is in another unit
_FOREIGN = 0.05  # of the device or CPU used by others from which a measurement is not quiet


class Sensors:
    """Reads one device. This class knows nothing; subclasses do."""

    relatives: tuple[int, ...] = ()  # processes of the same run, which are no foreigners

    def conditions(self) -> Mapping[str, float]:
        """Return what can be read now: temperature_c, power_w, clock_mhz, memory_clock_mhz."""
        return {}

    def throttling(self) -> tuple[str, ...]:
        """Return what slows the device down right now."""
        return ()

    def foreigners(self) -> tuple[str, ...]:
        """Return other processes that use the device."""
        return ()

    def driver(self) -> str:
        """Return the version of the driver, "" where unknown."""
        return ""

    def power_limit_w(self) -> float | None:
        """Return the power limit in force."""
        return None


class NvidiaSensors(Sensors):
    """One NVIDIA device through NVML."""

    def __init__(self, index: int, uuid: str = "") -> None:
        import pynvml

        self._nvml: Any = pynvml
        pynvml.nvmlInit()
        self._handle = self._find(index, uuid)
        # A slice of a card (MIG) has memory and processes of its own, but clocks, power and heat are the card's.
        self._card = self._read("nvmlDeviceGetDeviceHandleFromMigDeviceHandle") or self._handle

    def _find(self, index: int, uuid: str) -> Any:
        """Return NVML's handle of the device that CUDA numbers `index`.

        NVML counts all cards in the order of their PCI addresses; CUDA the visible ones, the fastest first unless
        CUDA_DEVICE_ORDER says otherwise. The UUID is the same for both; CUDA gives it without its kind.
        """
        for kind in ("GPU", "MIG") if uuid else ():
            try:
                return self._nvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}")
            except Exception:  # noqa: BLE001, S112  not of this kind
                continue
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        name = visible[index].strip() if index < len(visible) else ""
        if name.isdigit() or not name:
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name) if name else index)
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _read(self, name: str, *arguments: Any, handle: Any = None) -> Any:
        try:
            return getattr(self._nvml, name)(handle or self._handle, *arguments)
        except Exception:  # noqa: BLE001  NVML raises a class for each error, and raises for what a card does not have
            return None

    def conditions(self) -> Mapping[str, float]:
        """Return temperature, power and clocks."""
        card = self._card
        found = {
            "temperature_c": self._read("nvmlDeviceGetTemperature", 0, handle=card),
            "power_w": self._read("nvmlDeviceGetPowerUsage", handle=card),
            "clock_mhz": self._read("nvmlDeviceGetClockInfo", 1, handle=card),  # of the multiprocessors
            "memory_clock_mhz": self._read("nvmlDeviceGetClockInfo", 2, handle=card),
        }
        values = {name: float(value) for name, value in found.items() if value is not None}
        if "power_w" in values:
            values["power_w"] /= 1e3
        return values

    def throttling(self) -> tuple[str, ...]:
        """Return the clock event reasons that slow the chip down."""
        bits = self._read("nvmlDeviceGetCurrentClocksEventReasons", handle=self._card)
        if bits is None:
            bits = self._read("nvmlDeviceGetCurrentClocksThrottleReasons", handle=self._card) or 0
        return tuple(name for bit, name in _THROTTLED.items() if bits & bit)

    def foreigners(self) -> tuple[str, ...]:
        """Return other processes with memory on the device."""
        found = self._read("nvmlDeviceGetComputeRunningProcesses") or []
        return _strangers([int(each.pid) for each in found], self.relatives)

    def driver(self) -> str:
        """Return the version of the driver."""
        try:
            text = self._nvml.nvmlSystemGetDriverVersion()
        except Exception:  # noqa: BLE001  as above
            return ""
        return text.decode() if isinstance(text, bytes) else str(text)

    def power_limit_w(self) -> float | None:
        """Return the enforced limit."""
        limit = self._read("nvmlDeviceGetEnforcedPowerLimit", handle=self._card)
        return limit / 1e3 if limit else None


class AmdSensors(Sensors):
    """One AMD device through AMD SMI."""

    def __init__(self, index: int) -> None:
        import amdsmi

        self._smi: Any = amdsmi
        amdsmi.amdsmi_init()
        self._handle = self._find(index)

    def _find(self, index: int) -> Any:
        """Return AMD SMI's handle of the device that HIP numbers `index`; the two count differently."""
        try:
            import torch

            return torch.cuda._get_amdsmi_handler(index)
        except Exception:
            handles = self._smi.amdsmi_get_processor_handles()
            if len(handles) != 1:  # better none than another card's
                raise
            return handles[0]

    def _first(self, *readers: Callable[[], Any]) -> float | None:
        """Return the first number: releases and cards differ in what they offer, and say "N/A" for the rest."""
        for read in readers:
            try:
                return float(read())
            except Exception:  # noqa: BLE001, S112  AMD SMI raises a class for each error
                continue
        return None

    def conditions(self) -> Mapping[str, float]:
        """Return temperature, power and clock of the graphics engine."""
        smi, handle = self._smi, self._handle
        read: Callable[[str, Any], Any] = lambda name, key: getattr(smi, name)(handle)[key]
        clock: Callable[[str], Any] = lambda key: smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType.GFX)[key]
        heat: Callable[[], Any] = lambda: smi.amdsmi_get_temp_metric(
            handle, smi.AmdSmiTemperatureType.JUNCTION, smi.AmdSmiTemperatureMetric.CURRENT
        )
        found = {
            "temperature_c": self._first(heat, lambda: read("amdsmi_get_gpu_metrics_info", "temperature_hotspot")),
            # MI300 and later fill the current power, MI200 and earlier the average.
            "power_w": self._first(
                lambda: read("amdsmi_get_power_info", "current_socket_power"),
                lambda: read("amdsmi_get_power_info", "average_socket_power"),
            ),
            "clock_mhz": self._first(lambda: clock("clk"), lambda: clock("cur_clk")),
        }
        return {name: value for name, value in found.items() if value is not None}

    def foreigners(self) -> tuple[str, ...]:
        """Return other processes on the device."""
        try:
            found = self._smi.amdsmi_get_gpu_process_list(self._handle)
        except Exception:  # noqa: BLE001  needs rights on some systems
            return ()
        pids = [each.get("pid") if isinstance(each, dict) else getattr(each, "pid", None) for each in found]
        return _strangers([int(pid) for pid in pids if pid], self.relatives)

    def driver(self) -> str:
        """Return the version of the driver."""
        try:
            return str(self._smi.amdsmi_get_gpu_driver_info(self._handle)["driver_version"])
        except Exception:  # noqa: BLE001  as above
            return ""

    def power_limit_w(self) -> float | None:
        """Return the limit in force, which AMD SMI gives in microwatts, some releases in watts."""
        limit = self._first(lambda: self._smi.amdsmi_get_power_cap_info(self._handle)["power_cap"])
        if not limit:
            return None
        return limit / 1e6 if limit > _MOST_WATTS else limit


def _strangers(pids: Sequence[int], relatives: Sequence[int]) -> tuple[str, ...]:
    """Return the processes that are not of this run.

    Inside a container the driver names processes as the host does (NVIDIA/nvidia-docker#1483): ours appears under a
    number that /proc does not know here. As many such as this run has processes are taken for ours.
    """
    own = (os.getpid(), *relatives)
    others = [pid for pid in dict.fromkeys(pids) if pid not in own]
    if any(pid in own for pid in pids) or not (_PROC / "self").exists():
        return tuple(f"process {pid}" for pid in others)
    seen = tuple(f"process {pid}" for pid in others if (_PROC / str(pid)).exists())
    hidden = len(others) - len(seen) - len(own)
    return seen + ("a process outside this container",) * max(0, hidden)


class HostSensors(Sensors):
    """The CPU: clock and temperature from the kernel's files; others by the CPU time that is not ours."""

    def __init__(self) -> None:
        self._mark = self._times()

    def conditions(self) -> Mapping[str, float]:
        """Return mean clock, hottest sensor and load where the kernel shows them."""
        values: dict[str, float] = {}
        clocks = [_number(path) for path in Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_cur_freq")]
        known = [clock for clock in clocks if clock]
        if known:
            values["clock_mhz"] = sum(known) / len(known) / 1e3
        heats = [_number(path) for path in Path("/sys/class/hwmon").glob("hwmon*/temp1_input")]
        hot = [heat for heat in heats if heat]
        if hot:
            values["temperature_c"] = max(hot) / 1e3
        if hasattr(os, "getloadavg"):
            values["load"] = os.getloadavg()[0]
        return values

    def throttling(self) -> tuple[str, ...]:
        """Return nothing: kernels count thermal events only where they own the hardware."""
        return ()

    def foreigners(self) -> tuple[str, ...]:
        """Return the share of the machine that other processes used since the last call."""
        before, self._mark = self._mark, self._times()
        busy, own, all_s = (after - old for after, old in zip(self._mark, before, strict=True))
        share = max(0.0, busy - own) / all_s if all_s > 0.2 else 0.0
        return (f"other processes used {share:.0%} of the CPUs",) if share > _FOREIGN else ()

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Return seconds busy (all processes), seconds of this process and its children, seconds in all."""
        try:
            with open("/proc/stat", encoding="ascii") as file:
                ticks = [int(part) for part in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return 0.0, 0.0, 0.0
        unit = os.sysconf("SC_CLK_TCK")
        idle = ticks[3] + ticks[4]
        own = os.times()
        spent = own.user + own.system + own.children_user + own.children_system
        return (sum(ticks) - idle) / unit, spent, sum(ticks) / unit


def _number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return 0.0


class DeviceWatch:
    """Watches the sensors during a case: throttling and others turn into reasons for the verdict."""

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors
        self.after: Mapping[str, float] = {}

    def begin(self) -> None:
        """Note the state before."""
        self._sensors.foreigners()

    def end(self) -> tuple[str, ...]:
        """Return throttling and foreign processes, and keep clock, power and heat in `after`."""
        self.after = self._sensors.conditions()
        slowed = tuple(f"throttled by {reason}" for reason in self._sensors.throttling())
        others = self._sensors.foreigners()
        return slowed + tuple(each if "used" in each else f"{each} is on the device too" for each in others)


def sensors_of(kind: str, index: int, *, is_amd: bool = False, uuid: str = "") -> Sensors:
    """Return the sensors of a device; silent ones where no library for them is installed."""
    if kind == "cpu":
        return HostSensors()
    if kind == "cuda":
        try:
            return AmdSensors(index) if is_amd else NvidiaSensors(index, uuid)
        except Exception:  # noqa: BLE001  not installed, no driver, no rights
            return Sensors()
    return Sensors()
