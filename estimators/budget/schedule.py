"""When stages run: each starts at its own month or once what it waits for has ended, and lasts as long as it takes.

Months are whole and count from 0. A cycle, an unknown name, a start before what it waits for, or an end behind that of
the budget is an error that names the line.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import FactsError
from ..facts.budget_records import BudgetFile, ShareWork, Stage
from ..frozen import dataclass
from ..names import nearest


@dataclass(frozen=True, slots=True)
class Span:
    """The months of a stage: first, and how many."""

    first: int
    months: int

    @property
    def end(self) -> int:
        """The month behind the last."""
        return self.first + self.months


def in_order(budget: BudgetFile, key: str) -> tuple[Stage, ...]:
    """Return the stages so that each stands behind those that it names under `key`: `after` (time) or `of` (shares).

    Raises:
        FactsError: a name that no stage has, or a cycle.
    """
    names = {stage.name: stage for stage in budget.stages}
    done: dict[str, Stage] = {}
    for stage in budget.stages:
        _visit(stage, key, names, budget, done)
    return tuple(done.values())


def _needs(stage: Stage, key: str) -> tuple[str, ...]:
    if key == "after":
        return stage.after
    return (stage.work.of,) if isinstance(stage.work, ShareWork) else ()


def _visit(first: Stage, key: str, names: Mapping[str, Stage], budget: BudgetFile, done: dict[str, Stage]) -> None:
    path = [first]  # a path kept by hand: two hundred stages in a row are not too deep
    while path:
        stage = path[-1]
        waiting = [name for name in _needs(stage, key) if name not in done]
        if stage.name in done or not waiting:
            done.setdefault(stage.name, stage)
            path.pop()
            continue
        wanted = waiting[0]
        if wanted not in names:
            close = nearest(wanted, names, 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
            raise budget.file.error(f"no stage is called '{wanted}'; {hint}", *stage.where, key)
        if names[wanted] in path:
            cycle = [each.name for each in path[path.index(names[wanted]) :]] + [wanted]
            verb = "wait for each other" if key == "after" else "are shares of each other"
            raise budget.file.error(f"stages {verb}: {' -> '.join(cycle)}; remove one of these", *stage.where, key)
        path.append(names[wanted])


def span_of(stage: Stage, lasts: int | None, spans: Mapping[str, Span], budget: BudgetFile) -> Span:
    """Return the months of a stage; `lasts` is how many its work needs, None for until the end of the budget.

    Raises:
        FactsError: it starts too early, or ends behind the budget.
    """
    ready = max((spans[name].end for name in stage.after), default=0)
    if stage.start is not None and stage.start < ready:
        last = max(stage.after, key=lambda name: spans[name].end)
        raise budget.file.error(
            f"'{stage.name}' starts in {budget.month_name(stage.start)}, before '{last}' ends; start it in "
            f"{budget.month_name(ready)} or leave start out",
            *stage.where,
            "start",
        )
    first = ready if stage.start is None else stage.start
    if stage.months is not None and lasts is not None and lasts > stage.months:
        raise budget.file.error(
            f"'{stage.name}' takes {lasts} months, more than its {stage.months}; give it more accelerators or months",
            *stage.where,
            "months",
        )
    months = stage.months or lasts or budget.months - first
    if first >= budget.months or first + months > budget.months:
        raise _too_long(stage, first, months, budget)
    return Span(first, months)


def _too_long(stage: Stage, first: int, months: int, budget: BudgetFile) -> FactsError:
    wanted = first + max(1, months)
    return budget.file.error(
        f"'{stage.name}' would end in {budget.month_name(wanted - 1)}, behind the last month "
        f"{budget.month_name(budget.months - 1)}; write months: {wanted} at the top, or shorten what comes before",
        *stage.where,
        "months" if stage.months else "name",
    )
