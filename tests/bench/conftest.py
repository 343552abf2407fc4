"""What tests of the harness share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def no_vendor_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pynvml", "amdsmi"):
        monkeypatch.setitem(sys.modules, name, None)
