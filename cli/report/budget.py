"""The sections of a budget: what it costs, by stage, by month and by category, what moves it, and how else to have it."""

from __future__ import annotations

from collections.abc import Sequence

from ...estimators.budget.alternatives import Alternative
from ...estimators.budget.build import Budget, PlannedStage
from ...estimators.budget.uncertainty import Uncertainty, cash_in, runway_months
from ...estimators.units import show_percent, show_usd
from .document import Assumption, Cell, Column, Facts, Table, UnitPrice, Value, money
from .text import range_text

SHOWN_SWINGS = 8


def headline(budget: Budget, found: Uncertainty) -> str:
    """Return the sentence a person reads first."""
    file = budget.file
    end = file.month_name(file.months - 1)
    text = f"{file.name}: ${budget.cents / 100:,.2f} from {file.month_name(0)} to {end}"
    reserve = budget.cents - budget.spend_cents
    if reserve:
        text += f", {show_usd(reserve / 100)} of it contingency"
    if not found.spend.is_exact:
        text += f". Spending without it is {range_text(found.spend)} (80 %)"
    text += "."
    mid = runway_months(budget)
    if mid is not None and found.runway is not None:
        if mid >= file.months:
            early = found.runway_ends or 0.0
            text += " The cash lasts to the end"
            text += f", but runs out earlier in {show_percent(early, 2)} of the draws." if early >= 0.01 else "."
        else:
            text += f" The cash is gone after {mid:.1f} months, in {file.month_name(int(mid))}."
    return text


def budget_facts(budget: Budget, found: Uncertainty) -> Facts:
    """Return totals, range, peak month, and how long the cash lasts."""
    file, months = budget.file, budget.by_month
    peak = max(range(file.months), key=lambda month: months[month])
    items: list[tuple[str, str, Cell, str]] = [
        ("total_usd", "Total", money(budget.cents), f"{file.months} months, {file.month_name(0)} on"),
        ("spend_usd", "Spending", found.spend, "without contingency"),
        ("median_usd", "Median of the draws", Value(found.median_usd, "usd"), "ranges lean to one side"),
        (
            "contingency_usd",
            "Contingency",
            money(budget.cents - budget.spend_cents),
            f"the total suffices in {show_percent(found.chance_within, 2)} of the draws",
        ),
        ("peak_month_usd", "Dearest month", money(months[peak]), file.month_name(peak)),
    ]
    mid = runway_months(budget)
    if file.funding and found.runway and mid is not None:
        came = sum(cash_in(file.funding, file.months))
        items.append(("funding_usd", "Cash and raises", money(came), "in the months of the budget"))
        lasts = f"at least {file.months} months" if mid >= file.months else f"{mid:.1f} months"
        if not found.runway.is_exact:
            lasts += f" ({found.runway.low:.1f} to {found.runway.high:.1f}, 80 %)"
        items.append(("runway_months", "Runway", lasts, "without contingency"))
        low, month = lowest_cash(budget)
        items.append(
            ("lowest_cash_usd", "Lowest cash", money(low), f"end of {file.month_name(month)}, contingency spent")
        )
    if budget.commitments:
        owed = sum(each.cents for each in budget.commitments)
        beyond = sum(each.beyond_cents for each in budget.commitments)
        items.append(
            ("committed_usd", "Committed", money(owed), f"contracts; {show_usd(beyond / 100)} behind the last month")
        )
    return Facts("budget", tuple(items), caption="Budget")


def cash_left(budget: Budget) -> tuple[int, ...]:
    """Return the cents left at the end of each month, contingency spent too; only with funding."""
    assert budget.file.funding is not None
    left, found = 0, []
    for came, paid in zip(cash_in(budget.file.funding, budget.file.months), budget.by_month, strict=True):
        left += came - paid
        found.append(left)
    return tuple(found)


def lowest_cash(budget: Budget) -> tuple[int, int]:
    """Return the least cents left at the end of a month, and the month."""
    left = cash_left(budget)
    month = min(range(len(left)), key=lambda index: left[index])
    return left[month], month


def months_text(budget: Budget, planned: PlannedStage) -> str:
    """Return "2027-01 to 2027-03"."""
    first, last = planned.span.first, planned.span.end - 1
    name = budget.file.month_name
    return name(first) if first == last else f"{name(first)} to {name(last)}"


def stage_table(budget: Budget, found: Uncertainty) -> Table:
    """Return what each stage costs, contingency included, and the range of its spending."""
    rows: list[tuple[Cell, ...]] = []
    for planned in budget.stages:
        spend = found.stages[planned.stage.name]
        rows.append(
            (
                planned.stage.name,
                str(planned.stage.kind),
                months_text(budget, planned),
                money(planned.cents),
                _share(planned.cents, budget.cents),
                None if spend.is_exact else range_text(spend),
            )
        )
    total_range = None if found.spend.is_exact else range_text(found.spend)
    rows.append(("total", "", "", money(budget.cents), _share(budget.cents, budget.cents), total_range))
    return Table(
        "stages",
        (
            Column("stage", "Stage"),
            Column("kind", "Kind", wide_only=True),
            Column("months", "Months"),
            Column("cost_usd", "Cost", right=True),
            Column("share", "Share", right=True),
            Column("range", "Spending, 80 %", right=True, wide_only=True),
        ),
        tuple(rows),
        caption="By stage, contingency included",
        total_rows=1,
    )


def category_table(budget: Budget) -> Table:
    """Return what the money goes for."""
    rows: list[tuple[Cell, ...]] = [
        (str(category), money(cents), _share(cents, budget.cents)) for category, cents in budget.by_category.items()
    ]
    rows.append(("total", money(budget.cents), _share(budget.cents, budget.cents)))
    return Table(
        "categories",
        (Column("category", "For what"), Column("cost_usd", "Cost", right=True), Column("share", "Share", right=True)),
        tuple(rows),
        caption="By category",
        total_rows=1,
    )


def month_table(budget: Budget) -> Table:
    """Return cash by month, against the funding where there is one."""
    funding = budget.file.funding
    came = cash_in(funding, budget.file.months) if funding else None
    left = cash_left(budget) if funding else None
    rows: list[tuple[Cell, ...]] = []
    running = 0
    for index, (name, cents) in enumerate(zip(budget.months, budget.by_month, strict=True)):
        running += cents
        row: tuple[Cell, ...] = (name, money(cents), money(running))
        if came and left:
            row = (*row, money(came[index]), money(left[index]))
        rows.append(row)
    total: tuple[Cell, ...] = ("total", money(budget.cents), None)
    columns = [
        Column("month", "Month"),
        Column("cost_usd", "Spent", right=True),
        Column("running_usd", "So far", right=True, wide_only=funding is not None),
    ]
    if came:
        total = (*total, money(sum(came)), None)
        columns += [Column("income_usd", "Came in", right=True), Column("left_usd", "Cash left", right=True)]
    return Table(
        "months",
        tuple(columns),
        (*rows, total),
        caption="By month, contingency included",
        total_rows=1,
    )


def swing_table(found: Uncertainty) -> Table:
    """Return which input moves the spending most, each moved alone."""
    rows = tuple(
        (swing.what, money(swing.low_cents), money(swing.high_cents), money(swing.width_cents))
        for swing in found.swings[:SHOWN_SWINGS]
    )
    return Table(
        "sensitivity",
        (
            Column("input", "Input moved alone"),
            Column("low_usd", "At its low", right=True),
            Column("high_usd", "At its high", right=True),
            Column("width_usd", "Swing", right=True, wide_only=True),
        ),
        rows,
        caption="What moves the spending most (80 % ranges)",
    )


def way_table(found: Sequence[Alternative]) -> Table:
    """Return rent, reserve, buy and API over the same months, for each kind of accelerator."""
    several = len({each.accelerator.id for each in found}) > 1
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        name = f"{each.accelerator.name.partition(' (')[0]}: {each.way}" if several else str(each.way)
        after = None if each.usd is None else Value(each.beyond_usd, "usd") if each.beyond_usd else None
        rows.append((name, each.usd, after, each.worth_usd, each.trouble or each.what))
    return Table(
        "ways",
        (
            Column("way", "Way"),
            Column("cost_usd", "Cash in these months", right=True),
            Column("beyond_usd", "Owed later", right=True, wide_only=True),
            Column("worth_usd", "Still worth", right=True, wide_only=True),
            Column("what", "What it is", wide_only=True),
        ),
        tuple(rows),
        caption="The same accelerator work, had in other ways",
    )


def line_table(budget: Budget) -> Table:
    """Return every line under its stage: amount, price, cost."""
    rows: list[tuple[Cell, ...]] = []
    for planned in budget.stages:
        rows.append((planned.stage.name, None, None, money(planned.cents)))
        extra = [planned.reserve] if planned.reserve else []
        last = len(planned.lines) + len(extra) - 1
        for index, line in enumerate(planned.lines):
            rows.append(
                (
                    f"{'└─' if index == last else '├─'} {line.item}",
                    Value(line.amount.mid, line.amount.unit),
                    UnitPrice(line.price.usd.mid, "usd"),
                    money(line.cents),
                )
            )
        for reserve in extra:
            share = Value(reserve.share, "fraction")
            rows.append(("└─ contingency", share, None, money(reserve.cents)))
    rows.append(("TOTAL", None, None, money(budget.cents)))
    return Table(
        "lines",
        (
            Column("item", "Name"),
            Column("amount", "Amount", right=True),
            Column("price_usd", "Each", right=True),
            Column("cost_usd", "Cost", right=True),
        ),
        tuple(rows),
        caption="Every line",
        total_rows=1,
    )


def price_table(budget: Budget) -> Table:
    """Return every price with its range, date and source."""
    rows = tuple(
        (price.key, UnitPrice(price.usd.mid, "usd"), price.unit, price.date or None, price.source)
        for price in budget.prices
    )
    return Table(
        "prices",
        (
            Column("price", "Price"),
            Column("usd", "USD", right=True),
            Column("unit", "For one"),
            Column("date", "Date"),
            Column("source", "Source", wide_only=True),
        ),
        rows,
        caption="Prices",
    )


def commitment_table(budget: Budget) -> Table:
    """Return what is owed whether the work goes on or not."""
    rows = tuple(
        (each.stage, each.what, budget.file.month_name(each.until - 1), money(each.cents), money(each.beyond_cents))
        for each in budget.commitments
    )
    return Table(
        "commitments",
        (
            Column("stage", "Stage"),
            Column("what", "What"),
            Column("until", "Until"),
            Column("cost_usd", "In all", right=True),
            Column("beyond_usd", "After the end", right=True),
        ),
        rows,
        caption="Commitments; what falls behind the last month is not in the totals",
    )


def assumptions(budget: Budget) -> tuple[Assumption, ...]:
    """Return what was taken for granted, with the key that changes it."""
    listed = []
    for planned in budget.stages:
        for note in planned.worked.notes:
            listed.append(Assumption(f"{planned.stage.name}: {note}"))
    listed.append(
        Assumption("ranges of demand, salaries and quotes, and what owning costs, from data/budget_defaults.yaml", "")
    )
    if any(planned.worked.demand for planned in budget.stages):
        listed.append(Assumption("accelerator prices from the catalog, on the terms named", "terms:, prices:"))
    return tuple(listed)


def _share(cents: int, total: int) -> Value:
    return Value(cents / total if total else 0.0, "fraction")
