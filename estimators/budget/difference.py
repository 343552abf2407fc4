"""Two budgets side by side: which lines are new, gone or dearer, and what that does to the total."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..frozen import dataclass
from .build import Budget
from .lines import Category


class Change(StrEnum):
    """What happened to a line."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChange:
    """One line before and after, in cents; None where it does not exist. `why` names what moved it."""

    stage: str
    item: str
    category: Category
    before: int | None
    after: int | None
    why: str

    @property
    def change(self) -> Change:
        """What happened to it."""
        if self.before is None:
            return Change.ADDED
        if self.after is None:
            return Change.REMOVED
        return Change.SAME if self.before == self.after else Change.CHANGED

    @property
    def cents(self) -> int:
        """After less before."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All lines of both, in the order of the new budget, removed ones at the end of their stage."""

    before: Budget
    after: Budget
    lines: tuple[LineChange, ...]

    @property
    def cents(self) -> int:
        """New total less old total."""
        return self.after.cents - self.before.cents

    @property
    def changed(self) -> tuple[LineChange, ...]:
        """The lines that are not the same."""
        return tuple(line for line in self.lines if line.change is not Change.SAME)


@dataclass(frozen=True, slots=True)
class _Held:
    category: Category
    cents: int
    amount: str
    price: str


def difference(before: Budget, after: Budget) -> Difference:
    """Return what changed from one budget to another; lines are matched by stage and item."""
    old, new = _lines(before), _lines(after)
    stages = list(dict.fromkeys([key[0] for key in new] + [key[0] for key in old]))
    found: list[LineChange] = []
    for stage in stages:
        keys = [key for key in new if key[0] == stage]
        keys += [key for key in old if key[0] == stage and key not in new]
        for key in keys:
            was, now = old.get(key), new.get(key)
            held = now or was
            assert held is not None
            found.append(
                LineChange(
                    stage=stage,
                    item=key[1],
                    category=held.category,
                    before=was.cents if was else None,
                    after=now.cents if now else None,
                    why=_why(was, now),
                )
            )
    return Difference(before=before, after=after, lines=tuple(found))


def _lines(budget: Budget) -> dict[tuple[str, str], _Held]:
    found: dict[tuple[str, str], _Held] = {}
    for planned in budget.stages:
        for line in planned.lines:
            key = _free(found, planned.stage.name, line.item)
            amount = f"{line.amount.mid:,.6g} {line.amount.unit}".strip()
            found[key] = _Held(line.category, line.cents, amount, f"${line.price.usd.mid:,.6g}")
        if planned.reserve:
            share = f"{planned.reserve.share:.4g}"
            held = _Held(Category.CONTINGENCY, planned.reserve.cents, f"share {share}", "")
            found[_free(found, planned.stage.name, "contingency")] = held
    return found


def _free(found: Mapping[tuple[str, str], _Held], stage: str, item: str) -> tuple[str, str]:
    """Return a key that no line has yet: the same item may stand twice in one stage."""
    key, number = (stage, item), 2
    while key in found:
        key, number = (stage, f"{item} ({number})"), number + 1
    return key


def _why(was: _Held | None, now: _Held | None) -> str:
    if was is None or now is None or was.cents == now.cents:
        return ""
    said = []
    if was.amount != now.amount:
        said.append(f"{was.amount} → {now.amount}")
    if was.price != now.price:
        said.append(f"{was.price} → {now.price} each")
    return "; ".join(said) or "what it is a share of"
