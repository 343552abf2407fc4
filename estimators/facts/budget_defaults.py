"""Read `data/budget_defaults.yaml`: what budgets take for granted, each with range, source and whether it is a guess."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..frozen import dataclass
from ..quantity import Quantity
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/budget_defaults.yaml"
NAMES = (
    *("people_overhead", "spot_interruptions_per_hour", "spot_work_lost_hours", "reserved_discount_12_months"),
    *("reserved_discount_36_months", "network_share_of_purchase", "host_share_of_purchase"),
    *("residual_after_36_months", "kw_per_accelerator", "owned_use", "idle_power", "serving_headroom", "demand"),
    *("api_price", "fixed_price", "salary", "hire_delay"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """One entry: its range (80 % band), what it is, and whether it is our guess."""

    name: str
    value: Quantity
    what: str
    is_guess: bool
    source: str


@cache
def load_budget_defaults() -> Mapping[str, Default]:
    """Return the entries by name; all names of the file are there.

    Raises:
        FactsError: an entry is missing, unknown, or out of order.
    """
    file = read(package_folder() / NAME, name=NAME, check=_check)
    return {name: _entry(file, name) for name in NAMES}


def _check(file: FactFile) -> None:
    for name in NAMES:
        _entry(file, name)


def _entry(file: FactFile, name: str) -> Default:
    entries = Fields(file, (), file.data, NAMES).values
    fields = Fields(file, (name,), entries.get(name), ("what", "low", "mid", "high", "guess", "source"))
    low, mid, high = (fields.number(key, at_least=0.0) for key in ("low", "mid", "high"))
    if not low <= mid <= high:
        fields.fail("mid", f"{fields.spelled('mid')} is {mid:g}, it must lie between low and high")
    guess = fields.values.get("guess")
    if not isinstance(guess, bool):
        fields.fail("guess", f"{fields.spelled('guess')} must be true or false")
    basis = f"{NAME}: {name}" + (" (a guess)" if guess else "")
    return Default(
        name=name,
        value=Quantity(low, mid, high, "", "80 %", basis),
        what=fields.text("what"),
        is_guess=guess,
        source=fields.text("source").strip(),
    )
