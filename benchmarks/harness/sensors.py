"""What goes on around a measurement: clock, power, temperature and throttling of the device; others that use it.

NVIDIA through NVML (`pynvml` of nvidia-ml-py), AMD through `amdsmi`, both only where they are installed; CPUs through
the kernel's files. Whatever cannot be read is left out: a sensor never stops a measurement.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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

    def __init__(self, index: int) -> None:
        import pynvml

        self._nvml: Any = pynvml
        pynvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        name = visible[index].strip() if index < len(visible) else ""
        if name.isdigit():
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(int(name))
        elif name:
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        else:
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)

    def _read(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, name)(self._handle, *arguments)
        except Exception:  # noqa: BLE001  NVML raises a class for each error, and raises for what a card does not have
            return None

    def conditions(self) -> Mapping[str, float]:
        """Return temperature, power and clocks."""
        found = {
            "temperature_c": self._read("nvmlDeviceGetTemperature", 0),
            "power_w": self._read("nvmlDeviceGetPowerUsage"),
            "clock_mhz": self._read("nvmlDeviceGetClockInfo", 1),
            "memory_clock_mhz": self._read("nvmlDeviceGetClockInfo", 2),
        }
        values = {name: float(value) for name, value in found.items() if value is not None}
        if "power_w" in values:
            values["power_w"] /= 1e3
        return values

    def throttling(self) -> tuple[str, ...]:
        """Return the clock event reasons that slow the chip down."""
        bits = self._read("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            bits = self._read("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        return tuple(name for bit, name in _THROTTLED.items() if bits & bit)

    def foreigners(self) -> tuple[str, ...]:
        """Return other processes with memory on the device."""
        own = (os.getpid(), *self.relatives)
        found = self._read("nvmlDeviceGetComputeRunningProcesses") or []
        return tuple(f"process {each.pid}" for each in found if each.pid not in own)

    def driver(self) -> str:
        """Return the version of the driver."""
        try:
            text = self._nvml.nvmlSystemGetDriverVersion()
        except Exception:  # noqa: BLE001  as above
            return ""
        return text.decode() if isinstance(text, bytes) else str(text)

    def power_limit_w(self) -> float | None:
        """Return the enforced limit."""
        limit = self._read("nvmlDeviceGetEnforcedPowerLimit")
        return limit / 1e3 if limit else None


class AmdSensors(Sensors):
    """One AMD device through AMD SMI."""

    def __init__(self, index: int) -> None:
        import amdsmi

        self._smi: Any = amdsmi
        amdsmi.amdsmi_init()
        self._handle = amdsmi.amdsmi_get_processor_handles()[index]

    def conditions(self) -> Mapping[str, float]:
        """Return temperature, power and clock of the graphics engine."""
        smi, values = self._smi, {}
        readers: tuple[tuple[str, Any], ...] = (
            ("temperature_c", lambda: smi.amdsmi_get_gpu_metrics_info(self._handle)["temperature_hotspot"]),
            ("power_w", lambda: smi.amdsmi_get_power_info(self._handle)["average_socket_power"]),
            ("clock_mhz", lambda: smi.amdsmi_get_clock_info(self._handle, smi.AmdSmiClkType.GFX)["clk"]),
        )
        for name, read in readers:
            try:
                values[name] = float(read())
            except Exception:  # noqa: BLE001, S112  cards differ in what they offer
                continue
        return values

    def foreigners(self) -> tuple[str, ...]:
        """Return other processes on the device."""
        try:
            found = self._smi.amdsmi_get_gpu_process_list(self._handle)
        except Exception:  # noqa: BLE001  needs rights on some systems
            return ()
        pids = [each.get("pid") if isinstance(each, dict) else getattr(each, "pid", None) for each in found]
        return tuple(f"process {pid}" for pid in pids if pid and pid not in (os.getpid(), *self.relatives))


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


def sensors_of(kind: str, index: int, *, is_amd: bool = False) -> Sensors:
    """Return the sensors of a device; silent ones where no library for them is installed."""
    if kind == "cpu":
        return HostSensors()
    if kind == "cuda":
        try:
            return AmdSensors(index) if is_amd else NvidiaSensors(index)
        except Exception:  # noqa: BLE001  not installed, no driver, no rights
            return Sensors()
    return Sensors()
