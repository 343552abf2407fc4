"""A TPU through torch_xla, made up: what is noted down is waited for, and what XLA would skip is not measured."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")


from flopwise.benchmarks.harness import memory_streams, transfers, verify
from flopwise.benchmarks.harness.clocks import LazyClock
from flopwise.benchmarks.harness.device import Bench, available
from flopwise.benchmarks.harness.trials import Unsupported

from .accelerators_made import SCOPE, shapes_bench

pytestmark = pytest.mark.usefixtures("no_vendor_libraries")


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
