"""Read `data/run_overheads.yaml`: what a run loses beside its steps, each with range, source and whether it is a guess."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ..frozen import dataclass
from ..quantity import Quantity
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/run_overheads.yaml"
_PATH = Path(__file__).parents[2] / NAME
_UNITS = {
    "startup_s": "s",
    "failures_per_accelerator_hour": "per_accelerator_hour",
    "restart_s": "s",
    "checkpoint_bytes_per_s_per_accelerator": "bytes_per_s",
    "evaluation_fraction": "fraction",
    "power_fraction": "fraction",
    "site_power_factor": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """One entry: its range (80 % band), what it is, and whether it is our guess."""

    name: str
    value: Quantity
    what: str
    is_guess: bool
    source: str


@cache
def load_overheads() -> Mapping[str, Overhead]:
    """Return the entries by name; all names of the file are there.

    Raises:
        FactsError: an entry is missing, unknown, or out of order.
    """
    file = read(_PATH, name=NAME, check=_check)
    return {name: _entry(file, name) for name in _UNITS}


def _check(file: FactFile) -> None:
    for name in _UNITS:
        _entry(file, name)


def _entry(file: FactFile, name: str) -> Overhead:
    entries = Fields(file, (), file.data, tuple(_UNITS)).values
    fields = Fields(file, (name,), entries.get(name), ("what", "low", "mid", "high", "guess", "source"))
    low, mid, high = (fields.number(key, at_least=0.0) for key in ("low", "mid", "high"))
    if not low <= mid <= high:
        fields.fail("mid", f"{fields.spelled('mid')} is {mid:g}, it must lie between low and high")
    guess = fields.values.get("guess")
    if not isinstance(guess, bool):
        fields.fail("guess", f"{fields.spelled('guess')} must be true or false")
    source = fields.text("source").strip()
    basis = f"{NAME}: {name}" + (" (a guess)" if guess else "")
    return Overhead(
        name=name,
        value=Quantity(low, mid, high, _UNITS[name], "80 %", basis),
        what=fields.text("what"),
        is_guess=guess,
        source=source,
    )
