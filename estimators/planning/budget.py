"""Where the money goes: the main run, serving, and reserves by name, to the cent.

A budget is cut from the top: every reserve is a share of the whole, the main run gets the rest. A plan without a
budget is built from the bottom: the run's cost over (1 - all shares). Lines are whole cents, so that they always add
up to the total that is printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist

from ..errors import InputError, UnknownName
from ..facts.plan_defaults import ReserveDefault
from ..frozen import dataclass
from ..names import fold, nearest
from ..quantity import Quantity

TRAINING, SERVING, UNSPENT = "training", "serving", "unspent"
_MOST_RESERVED = 0.9  # a plan that keeps back more than this trains nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """A share of the whole budget kept back from the main run."""

    name: str
    share: float
    what: str
    low: float | None  # usual range of the share; None for the user's own
    high: float | None
    is_guess: bool
    source: str


@dataclass(frozen=True, slots=True)
class MoneyLine:
    """One line of the money table, in whole cents."""

    name: str
    cents: int
    what: str

    @property
    def usd(self) -> float:
        """The line in dollars."""
        return self.cents / 100


@dataclass(frozen=True, slots=True)
class MoneyTable:
    """All lines; `total_cents` is their sum by construction."""

    lines: tuple[MoneyLine, ...]

    @property
    def total_cents(self) -> int:
        """The sum of the lines."""
        return sum(line.cents for line in self.lines)

    @property
    def total_usd(self) -> float:
        """The sum of the lines in dollars."""
        return self.total_cents / 100

    def usd(self, name: str) -> float:
        """Return the line called `name` in dollars, 0 where there is none."""
        return sum(line.cents for line in self.lines if line.name == name) / 100


def reserves(
    defaults: Mapping[str, ReserveDefault], edits: Mapping[str, float] | None = None, *, none: bool = False
) -> tuple[Reserve, ...]:
    """Return the reserves in force: the defaults (or none of them), with the user's edits.

    `edits` maps a name to a share from 0 to 1; a share of 0 removes the reserve, a new name adds one.

    Raises:
        UnknownName: a name looks like a misspelled default.
        InputError: the shares leave nothing for the run.
    """
    found: dict[str, Reserve] = {}
    if not none:
        for default in defaults.values():
            found[default.name] = _default_reserve(default, default.percent / 100)
    for typed, share in (edits or {}).items():
        name = _name(typed, defaults)
        if name in defaults:
            found[name] = _default_reserve(defaults[name], share, edited=True)
        else:
            found[name] = Reserve(
                name=name, share=share, what="your own reserve", low=None, high=None, is_guess=False, source="--reserve"
            )
    kept = tuple(reserve for reserve in found.values() if reserve.share > 0)
    total = sum(reserve.share for reserve in kept)
    if total > _MOST_RESERVED:
        raise InputError(
            f"--reserve: the reserves add up to {total:.0%} of the budget, which leaves too little to train; "
            f"keep them below {_MOST_RESERVED:.0%}, or use --no-reserves."
        )
    return kept


def read_reserve(text: str) -> tuple[str, float]:
    """Read NAME=PERCENT into the name and a share: `contingency=15`, `contingency=15%` and `contingency=0.5%`.

    Raises:
        InputError: it is not of that form, or the percentage is not from 0 to 100.
    """
    name, equals, amount = text.partition("=")
    try:
        percent = float(amount.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not equals or not fold(name) or not 0 <= percent <= 100:
        raise InputError(f"'{text}' is not NAME=PERCENT with 0 to 100 percent; write for example contingency=15.")
    return fold(name), percent / 100


def from_budget(budget_usd: float, kept: Iterable[Reserve], *, serving_usd: float = 0.0) -> MoneyTable:
    """Return the table of a budget: reserves and serving first, the rest for the run."""
    total = _cents(budget_usd)
    lines = [MoneyLine(reserve.name, _cents(budget_usd * reserve.share), reserve.what) for reserve in kept]
    serving = _cents(serving_usd)
    training = total - serving - sum(line.cents for line in lines)
    return _table(training, serving, lines)


def from_costs(training_usd: float, kept: Iterable[Reserve], *, serving_usd: float = 0.0) -> MoneyTable:
    """Return the table of a plan without a budget: what must be asked for so that the reserves have their shares."""
    kept = tuple(kept)
    total = (training_usd + serving_usd) / (1 - sum(reserve.share for reserve in kept))
    lines = [MoneyLine(reserve.name, _cents(total * reserve.share), reserve.what) for reserve in kept]
    return _table(_cents(training_usd), _cents(serving_usd), lines)


def spend(table: MoneyTable, training_usd: float) -> MoneyTable:
    """Return the table with `training_usd` spent on the run and what is left of its line shown as unspent."""
    spent = min(_cents(training_usd), _cents(table.usd(TRAINING)))
    left = _cents(table.usd(TRAINING)) - spent
    lines = [MoneyLine(x.name, spent, x.what) if x.name == TRAINING else x for x in table.lines]
    if left:
        lines.append(MoneyLine(UNSPENT, left, "see what binds"))
    return MoneyTable(tuple(lines))


def _table(training: int, serving: int, lines: list[MoneyLine]) -> MoneyTable:
    head = [MoneyLine(TRAINING, training, "the main run, with its restarts")]
    if serving:
        head.append(MoneyLine(SERVING, serving, "inference over its life"))
    return MoneyTable((*head, *lines))


def _default_reserve(default: ReserveDefault, share: float, *, edited: bool = False) -> Reserve:
    return Reserve(
        name=default.name,
        share=share,
        what=default.what,
        low=default.low / 100,
        high=default.high / 100,
        is_guess=default.is_guess and not edited,
        source="--reserve" if edited else default.source,
    )


def _name(typed: str, defaults: Mapping[str, ReserveDefault]) -> str:
    name = fold(typed)
    if name in (TRAINING, SERVING, UNSPENT):
        raise InputError(f"--reserve: '{name}' is not a reserve, it is what the reserves leave.")
    if name not in defaults and (close := nearest(name, defaults)):
        raise UnknownName("reserve", typed, close)
    return name


def _cents(usd: float) -> int:
    return round(usd * 100)


def chance_within(cost: Quantity, usd: float) -> float | None:
    """Return the chance that a cost stays within `usd`, its range read as the 80 % of a log-normal; None without one."""
    if cost.is_exact or usd <= 0:
        return None
    end = cost.high if usd >= cost.mid else cost.low
    sigma = abs(math.log(end / cost.mid)) / NormalDist().inv_cdf(0.9)
    return NormalDist().cdf(math.log(usd / cost.mid) / sigma) if sigma else None
