"""From a budget file to a budget: every stage worked out and scheduled, every line in whole cents by month.

Totals by stage, category and month are sums of the same cents, so they agree in every format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..facts.budget_records import (
    ApiWork,
    BudgetFile,
    DataWork,
    HardwareWork,
    HoursWork,
    OtherWork,
    PeopleWork,
    ServingWork,
    ShareWork,
    Stage,
    Terms,
    TrainingWork,
    TuningWork,
)
from ..frozen import dataclass, replace
from ..quantity import Quantity, product
from .context import Context, Worked
from .lines import MOST_USD, Category, Draft, Line, PriceInput, Reserve, line_of, reserve_of
from .schedule import Span, in_order, span_of

if TYPE_CHECKING:
    from ..facts.catalog import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """A stage with its months, its lines and its contingency."""

    stage: Stage
    span: Span
    worked: Worked
    lines: tuple[Line, ...]
    reserve: Reserve | None

    @property
    def cents(self) -> int:
        """Lines and contingency."""
        return sum(line.cents for line in self.lines) + (self.reserve.cents if self.reserve else 0)

    @property
    def by_month(self) -> tuple[int, ...]:
        """Cents of each month of the budget."""
        rows = [line.by_month for line in self.lines] + ([self.reserve.by_month] if self.reserve else [])
        return tuple(sum(cents) for cents in zip(*rows, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """Money that is owed whether the work goes on or not."""

    stage: str
    what: str
    until: int  # the month behind the last that is paid
    cents: int  # in all
    beyond_cents: int  # behind the end of the budget; not in the totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget worked out. Stages stand in the order of the file."""

    file: BudgetFile
    stages: tuple[PlannedStage, ...]
    prices: tuple[PriceInput, ...]
    commitments: tuple[Commitment, ...]
    context: Context

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, contingency apart."""
        return tuple(line for planned in self.stages for line in planned.lines)

    @property
    def reserves(self) -> tuple[Reserve, ...]:
        """The contingency of every stage that has one."""
        return tuple(planned.reserve for planned in self.stages if planned.reserve)

    @property
    def cents(self) -> int:
        """The total."""
        return sum(planned.cents for planned in self.stages)

    @property
    def spend_cents(self) -> int:
        """The total without contingency."""
        return sum(line.cents for line in self.lines)

    @property
    def by_month(self) -> tuple[int, ...]:
        """Cents of each month."""
        return tuple(sum(cents) for cents in zip(*(planned.by_month for planned in self.stages), strict=True))

    @property
    def by_category(self) -> Mapping[Category, int]:
        """Cents of each category that has any, in the order of the list."""
        found = dict.fromkeys(Category, 0)
        for line in self.lines:
            found[line.category] += line.cents
        for reserve in self.reserves:
            found[Category.CONTINGENCY] += reserve.cents
        return {category: cents for category, cents in found.items() if cents}

    def category_by_month(self, category: Category) -> tuple[int, ...]:
        """Return the cents of one category in each month."""
        rows = [line.by_month for line in self.lines if line.category is category]
        if category is Category.CONTINGENCY:
            rows = [reserve.by_month for reserve in self.reserves]
        return tuple(sum(cents) for cents in zip(*rows, strict=True)) if rows else (0,) * self.file.months

    @property
    def months(self) -> tuple[str, ...]:
        """The names of the months."""
        return tuple(self.file.month_name(index) for index in range(self.file.months))

    @property
    def notices(self) -> tuple[str, ...]:
        """What was found on loading and working out."""
        found = [*self.file.notices]
        for planned in self.stages:
            found += planned.worked.warnings
        return tuple(dict.fromkeys(found))


def build(file: BudgetFile, catalog: Catalog) -> Budget:
    """Return the budget of a file.

    Raises:
        FactsError: anything that a person can mend in the file; names its line.
        AnswerIsNo: a model does not fit, a load cannot be met; names the line.
    """
    context = Context(file, catalog)
    _ = context.own_prices  # a wrong name is found even where no stage uses the price
    spans: dict[str, Span] = {}
    worked: dict[str, Worked] = {}
    planned: dict[str, PlannedStage] = {}
    for stage in in_order(file, "of"):
        found = _without_months(stage, context, worked)
        if found:
            worked[stage.name] = found
    for stage in in_order(file, "after"):
        if stage.name in worked:
            spans[stage.name] = span_of(stage, worked[stage.name].lasts, spans, file)
        else:
            spans[stage.name], worked[stage.name] = _with_months(stage, context, spans)
        planned[stage.name] = _planned(stage, worked[stage.name], spans[stage.name], file.months, context)
    stages = tuple(planned[stage.name] for stage in file.stages)
    _check_owned(stages, context)
    lines = [line for each in stages for line in each.lines]
    used = {line.price.key: line.price for line in lines}
    return Budget(
        file=file,
        stages=stages,
        prices=tuple(used.values()),
        commitments=tuple(one for each in stages if (one := _commitment(each, file.months)) is not None),
        context=context,
    )


def _without_months(stage: Stage, context: Context, done: Mapping[str, Worked]) -> Worked | None:
    """Return a stage whose work says how long it takes; None where the work must know its months first."""
    from . import training_stages

    work = stage.work
    if isinstance(work, TrainingWork):
        return training_stages.train(stage, work, context)
    if isinstance(work, TuningWork):
        return training_stages.tune(stage, work, context)
    if isinstance(work, HoursWork):
        return training_stages.hours(stage, work, context)
    if isinstance(work, ShareWork):
        return training_stages.share(stage, work, done.get(work.of), context)
    if isinstance(work, ApiWork):
        from .data_stages import api

        return api(stage, work, context)
    return None


def _with_months(stage: Stage, context: Context, spans: Mapping[str, Span]) -> tuple[Span, Worked]:
    """Return the months of a stage that lasts as long as it is told to, and its work in them."""
    from .data_stages import data, data_months, other, people

    work = stage.work
    lasts = data_months(stage, work) if isinstance(work, DataWork) else None
    span = span_of(stage, lasts, spans, context.budget)
    if isinstance(work, ServingWork):
        from .serving_stage import serve

        return span, serve(stage, work, context, span.months)
    if isinstance(work, HardwareWork):
        from .owning import buy

        return span, buy(stage, work, context, span.months)
    if isinstance(work, PeopleWork):
        return span, people(stage, work, context, span.months)
    if isinstance(work, OtherWork):
        return span, other(stage, work, context, span.months)
    assert isinstance(work, DataWork)
    return span, data(stage, work, context, span.months)


def _planned(stage: Stage, found: Worked, span: Span, months: int, context: Context) -> PlannedStage:
    drafts = [_widened(draft, stage.uncertainty) for draft in found.drafts]
    paid_months = min(_committed(found, span), months - span.first)
    lines = []
    for draft in drafts:
        if found.commitment_months:  # the draft is one month of the contract
            draft = replace(draft, amount=draft.amount.scaled(paid_months), weights=(1.0,) * paid_months)
        usd = draft.amount.mid * draft.price.usd.mid
        if not usd <= MOST_USD:
            said = (
                f"'{draft.item}' costs ${usd:.3g}, more than the ${MOST_USD:g} that a line can hold; check its amounts"
            )
            raise context.budget.file.error(said, *stage.where, "name")
        lines.append(line_of(draft, stage.name, _weights(draft, span, months)))
    reserve = None
    if stage.contingency:
        paid = tuple(sum(cents) for cents in zip(*(line.by_month for line in lines), strict=True))
        reserve = reserve_of(stage.name, stage.contingency, paid)
    return PlannedStage(stage=stage, span=span, worked=found, lines=tuple(lines), reserve=reserve)


def _committed(found: Worked, span: Span) -> int:
    """Return the months of contract that a stage needs: whole terms that cover it."""
    term = found.commitment_months or 1
    return -(-span.months // term) * term


def _widened(draft: Draft, uncertainty: float | None) -> Draft:
    """Return a draft with the user's own range on its amount."""
    if not uncertainty:
        return draft
    own = Quantity(1 / (1 + uncertainty), 1.0, 1 + uncertainty, "", "80 %", "uncertainty of the stage")
    return replace(draft, amount=product(draft.amount.unit, (draft.amount, own)))


def _weights(draft: Draft, span: Span, months: int) -> tuple[float, ...]:
    """Return how a draft falls over all months of the budget."""
    spread = [0.0] * months
    for index, weight in enumerate(draft.weights or (1.0,) * span.months):
        spread[span.first + index] = weight
    return tuple(spread)


def _commitment(planned: PlannedStage, months: int) -> Commitment | None:
    if not planned.worked.commitment_months:
        return None
    committed = _committed(planned.worked, planned.span)
    paid = min(committed, months - planned.span.first)
    cents = sum(line.cents for line in planned.lines)
    return Commitment(
        stage=planned.stage.name,
        what=f"{committed} months of {planned.lines[0].item.removesuffix(' hours')}",
        until=planned.span.first + committed,
        cents=round(cents * committed / paid),
        beyond_cents=round(cents * (committed - paid) / paid),
    )


def _check_owned(stages: tuple[PlannedStage, ...], context: Context) -> None:
    """Refuse stages that run on more owned accelerators than hardware stages have bought by then."""
    from ..units import read_accelerators

    bought: list[tuple[str, int, Span]] = []
    for planned in stages:
        if isinstance(planned.stage.work, HardwareWork):
            name, count = read_accelerators(planned.stage.work.on)
            bought.append((context.catalog.find(name).id, count or 0, planned.span))
    for month in range(context.budget.months):
        busy: dict[str, float] = {}
        for planned in stages:
            demand, renting = planned.worked.demand, planned.worked.renting
            if demand is None or renting is None or renting.plan is not Terms.OWNED:
                continue
            if not planned.span.first <= month < planned.span.end:
                continue
            chip = demand.accelerator
            busy[chip.id] = busy.get(chip.id, 0.0) + demand.count
            there = sum(count for name, count, span in bought if name == chip.id and span.first <= month < span.end)
            if busy[chip.id] > there:
                raise context.budget.file.error(
                    f"'{planned.stage.name}' needs {busy[chip.id]:,.0f} owned {chip.id} in "
                    f"{context.budget.month_name(month)}, with what else runs then, and the hardware stages have "
                    f"{there:,}; buy more, or rent",
                    *planned.stage.where,
                    "plan",
                )
