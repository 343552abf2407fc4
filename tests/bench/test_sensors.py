"""Sensors of NVIDIA and AMD devices on fakes with the names, units and indices of nvidia-ml-py and amdsmi."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from flopwise.benchmarks.harness import sensors
from flopwise.benchmarks.harness.sensors import sensors_of

UUID = "5d3e2a52-0c5e-4a52-8d4f-0123456789ab"


class NvmlError(Exception):
    pass


class Handle:
    def __init__(self, name: str) -> None:
        self.name = name


class Running:
    def __init__(self, pid: int) -> None:
        self.pid = pid


def nvml(monkeypatch: pytest.MonkeyPatch, pids: Iterator[int] | tuple[int, ...] = (), **more: Any) -> types.ModuleType:
    """Return the functions of nvidia-ml-py 13.615 that are called, with its parameter names; cards 0 and 1, a slice of 1."""
    by_uuid = {f"GPU-{UUID}": Handle("card 1"), "MIG-slice": Handle("slice of 1")}

    def nvmlDeviceGetHandleByUUID(uuid: str) -> Handle:
        if uuid not in by_uuid:
            raise NvmlError("Not Found")
        return by_uuid[uuid]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(migDevice: Handle) -> Handle:
        if not migDevice.name.startswith("slice"):
            raise NvmlError("Invalid Argument")
        return by_uuid[f"GPU-{UUID}"]

    def of_card(value: Any) -> Any:
        def read(handle: Handle, *arguments: Any) -> Any:
            if handle.name.startswith("slice"):
                raise NvmlError("Not Supported")
            return value(*arguments) if callable(value) else value

        return read

    made = types.ModuleType("pynvml")
    made.__dict__.update(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: Handle(f"card {index}"),
        nvmlDeviceGetHandleByUUID=nvmlDeviceGetHandleByUUID,
        nvmlDeviceGetDeviceHandleFromMigDeviceHandle=nvmlDeviceGetDeviceHandleFromMigDeviceHandle,
        nvmlDeviceGetTemperature=of_card(lambda sensor: 61 if sensor == 0 else None),
        nvmlDeviceGetPowerUsage=of_card(693_250),  # milliwatts
        nvmlDeviceGetEnforcedPowerLimit=of_card(700_000),
        nvmlDeviceGetClockInfo=of_card(lambda type: {0: 1900, 1: 1755, 2: 2619, 3: 1500}[type]),
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [Running(pid) for pid in pids],
        nvmlSystemGetDriverVersion=lambda: "580.95.05",
        **more,
    )
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


def test_power_clocks_and_heat_have_the_units_of_the_record(monkeypatch) -> None:
    nvml(monkeypatch)
    read = sensors_of("cuda", 0)
    assert read.conditions() == {
        "temperature_c": 61.0,
        "power_w": 693.25,
        "clock_mhz": 1755.0,
        "memory_clock_mhz": 2619.0,
    }
    assert read.power_limit_w() == 700.0
    assert read.driver() == "580.95.05"


def test_the_card_is_found_by_its_uuid_whatever_cuda_numbers_it(monkeypatch) -> None:
    nvml(monkeypatch)
    assert sensors_of("cuda", 0, uuid=UUID)._handle.name == "card 1"


@pytest.mark.parametrize(
    ("visible", "index", "name"),
    [("", 1, "card 1"), ("3,2", 1, "card 2"), (f"GPU-{UUID}", 0, "card 1"), ("MIG-slice", 0, "slice of 1")],
)
def test_without_a_uuid_the_visible_devices_are_counted(monkeypatch, visible: str, index: int, name: str) -> None:
    nvml(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert sensors_of("cuda", index)._handle.name == name


def test_a_slice_of_a_card_has_the_power_and_clocks_of_its_card(monkeypatch) -> None:
    nvml(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-slice")
    read = sensors_of("cuda", 0, uuid="of-no-card")
    assert read._handle.name == "slice of 1"
    assert read.conditions()["power_w"] == 693.25


@pytest.mark.parametrize(
    "name", ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
)
def test_reasons_to_be_slow_are_named_by_old_and_new_libraries_and_idling_is_none(monkeypatch, name: str) -> None:
    nvml(monkeypatch, **{name: lambda handle: 0x1 | 0x2 | 0x4 | 0x40 | 0x100})
    assert sensors_of("cuda", 0).throttling() == ("the power cap", "the hardware's thermal limit")


def test_processes_of_this_run_are_no_foreigners(monkeypatch) -> None:
    nvml(monkeypatch, (os.getpid(), os.getppid(), 1))
    read = sensors_of("cuda", 0)
    read.relatives = (os.getppid(),)
    assert read.foreigners() == ("process 1",)


def test_inside_a_container_our_own_number_is_the_hosts(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sensors, "_PROC", tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "17").mkdir()  # a neighbour in the same container
    ours, parent, other = 645_400, 645_300, 645_200
    nvml(monkeypatch, (ours,))
    assert sensors_of("cuda", 0).foreigners() == ()
    nvml(monkeypatch, (ours, 17))
    assert sensors_of("cuda", 0).foreigners() == ("process 17",)
    nvml(monkeypatch, (other, parent, ours))
    read = sensors_of("cuda", 0)
    read.relatives = (4,)
    assert read.foreigners() == ("a process outside this container",)
    read.relatives = ()
    assert read.foreigners() == ("a process outside this container", "a process outside this container")


class HipHandle:
    pass


def amdsmi(monkeypatch: pytest.MonkeyPatch, count: int = 1, **changed: Any) -> list[HipHandle]:
    """Return the handles of AMD SMI as of ROCm 7: watts, "N/A" for what a card lacks, the power cap in microwatts."""
    handles = [HipHandle() for _ in range(count)]
    made = types.ModuleType("amdsmi")
    facts: dict[str, Any] = {
        "amdsmi_init": lambda: None,
        "amdsmi_get_processor_handles": lambda: handles,
        "AmdSmiTemperatureType": types.SimpleNamespace(JUNCTION=1),
        "AmdSmiTemperatureMetric": types.SimpleNamespace(CURRENT=0),
        "AmdSmiClkType": types.SimpleNamespace(GFX=0),
        "amdsmi_get_temp_metric": lambda handle, sensor, metric: 71,
        "amdsmi_get_power_info": lambda handle: {"current_socket_power": 742, "average_socket_power": "N/A"},
        "amdsmi_get_clock_info": lambda handle, kind: {"clk": 2100, "max_clk": 2100},
        "amdsmi_get_power_cap_info": lambda handle: {"power_cap": 750_000_000},
        "amdsmi_get_gpu_driver_info": lambda handle: {"driver_version": "6.14.14"},
        "amdsmi_get_gpu_process_list": lambda handle: [{"name": "python", "pid": os.getpid()}, {"name": "x", "pid": 1}],
    }
    made.__dict__.update(facts | changed)
    monkeypatch.setitem(sys.modules, "amdsmi", made)
    monkeypatch.setitem(sys.modules, "torch", None)
    return handles


def test_an_mi300x_is_read_in_watts_and_its_cap_is_not_microwatts(monkeypatch) -> None:
    amdsmi(monkeypatch)
    read = sensors_of("cuda", 0, is_amd=True)
    assert read.conditions() == {"temperature_c": 71.0, "power_w": 742.0, "clock_mhz": 2100.0}
    assert read.power_limit_w() == 750.0
    assert read.driver() == "6.14.14"
    assert read.foreigners() == ("process 1",)


def test_an_mi250_and_an_older_library_are_read_too(monkeypatch) -> None:
    amdsmi(
        monkeypatch,
        amdsmi_get_power_info=lambda handle: {"current_socket_power": "N/A", "average_socket_power": 480},
        amdsmi_get_clock_info=lambda handle, kind: {"cur_clk": 1700},
        amdsmi_get_power_cap_info=lambda handle: {"power_cap": 500},
    )
    read = sensors_of("cuda", 0, is_amd=True)
    assert (read.conditions()["power_w"], read.conditions()["clock_mhz"]) == (480.0, 1700.0)
    assert read.power_limit_w() == 500.0


def test_torch_says_which_handle_a_hip_device_has_and_nobody_guesses_among_several(monkeypatch) -> None:
    handles = amdsmi(monkeypatch, count=2)
    assert sensors_of("cuda", 0, is_amd=True).conditions() == {}
    cuda = types.SimpleNamespace(_get_amdsmi_handler=lambda device=None: handles[1 - device])
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    assert sensors_of("cuda", 0, is_amd=True)._handle is handles[1]


def test_torch_still_has_the_function_that_finds_amds_handle() -> None:
    torch = pytest.importorskip("torch")
    assert callable(torch.cuda._get_amdsmi_handler)


def test_without_a_library_nothing_is_read_and_nothing_fails(monkeypatch) -> None:
    for name in ("pynvml", "amdsmi"):
        monkeypatch.setitem(sys.modules, name, None)
    for is_amd in (False, True):
        assert sensors_of("cuda", 0, is_amd=is_amd).conditions() == {}
