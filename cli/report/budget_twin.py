"""A budget as data: the JSON twin of its tables. `inputs.budget` is the file itself, so that an answer loads again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.budget.alternatives import Alternative
from ...estimators.budget.build import Budget
from ...estimators.budget.difference import Difference
from ...estimators.budget.uncertainty import Uncertainty, cash_in, runway_months
from .budget import cash_left, months_text


def inputs(budget: Budget) -> dict[str, object]:
    """Return the budget as it was given."""
    return {"file": budget.file.file.file, "budget": budget.file.given}


def result(budget: Budget, found: Uncertainty, ways: Sequence[Alternative]) -> dict[str, object]:
    """Return totals, stages, lines, months, categories, prices, sensitivity, ways and runway."""
    funding, total = budget.file.funding, budget.cents
    came = cash_in(funding, budget.file.months) if funding else None
    left = cash_left(budget) if funding else None
    running, months = 0, []
    for index, (name, cents) in enumerate(zip(budget.months, budget.by_month, strict=True)):
        running += cents
        month: dict[str, object] = {"month": name, "cost_usd": cents / 100, "running_usd": running / 100}
        month["spending_until"] = found.months[index]
        if came and left:
            month |= {"income_usd": came[index] / 100, "left_usd": left[index] / 100}
        months.append(month)
    return {
        "name": budget.file.name,
        "total_usd": total / 100,
        "spend_usd": found.spend,
        "median_usd": found.median_usd,
        "contingency_usd": (total - budget.spend_cents) / 100,
        "chance_within_total": found.chance_within,
        "runway_months": runway_months(budget),
        "runway": found.runway,
        "runway_ends_early": found.runway_ends,
        "lowest_cash_usd": min(left) / 100 if left else None,
        "funding_usd": sum(came) / 100 if came else None,
        "stages": [
            {
                "stage": planned.stage.name,
                "kind": str(planned.stage.kind),
                "months": months_text(budget, planned),
                "first_month": budget.file.month_name(planned.span.first),
                "number_of_months": planned.span.months,
                "cost_usd": planned.cents / 100,
                "share": planned.cents / total if total else 0.0,
                "spend_usd": found.stages[planned.stage.name],
                "by_month_usd": [cents / 100 for cents in planned.by_month],
                "notes": list(planned.worked.notes),
            }
            for planned in budget.stages
        ],
        "categories": [
            {
                "category": str(category),
                "cost_usd": cents / 100,
                "share": cents / total if total else 0.0,
                "by_month_usd": [part / 100 for part in budget.category_by_month(category)],
            }
            for category, cents in budget.by_category.items()
        ],
        "months": months,
        "lines": lines(budget),
        "prices": [
            {"price": price.key, "usd": price.usd, "unit": price.unit, "date": price.date, "source": price.source}
            for price in budget.prices
        ],
        "commitments": [
            {
                "stage": each.stage,
                "what": each.what,
                "until": budget.file.month_name(each.until - 1),
                "cost_usd": each.cents / 100,
                "beyond_usd": each.beyond_cents / 100,
            }
            for each in budget.commitments
        ],
        "sensitivity": [
            {
                "input": swing.what,
                "low_usd": swing.low_cents / 100,
                "high_usd": swing.high_cents / 100,
                "width_usd": swing.width_cents / 100,
            }
            for swing in found.swings
        ],
        "ways": [
            {
                "accelerator": each.accelerator.id,
                "way": str(each.way),
                "cost_usd": each.usd,
                "beyond_usd": each.beyond_usd,
                "worth_usd": each.worth_usd,
                "what": each.what,
                "trouble": each.trouble,
            }
            for each in ways
        ],
    }


def lines(budget: Budget) -> list[Mapping[str, object]]:
    """Return every line, contingency too, with its cents by month in dollars."""
    rows: list[Mapping[str, object]] = []
    for planned in budget.stages:
        for line in planned.lines:
            rows.append(
                {
                    "stage": line.stage,
                    "category": str(line.category),
                    "item": line.item,
                    "amount": line.amount,
                    "price": line.price.key,
                    "price_usd": line.price.usd.mid,
                    "cost_usd": line.cents / 100,
                    "by_month_usd": [cents / 100 for cents in line.by_month],
                }
            )
        if planned.reserve:
            rows.append(
                {
                    "stage": planned.stage.name,
                    "category": "contingency",
                    "item": "contingency",
                    "share": planned.reserve.share,
                    "cost_usd": planned.reserve.cents / 100,
                    "by_month_usd": [cents / 100 for cents in planned.reserve.by_month],
                }
            )
    return rows


def difference(found: Difference) -> dict[str, object]:
    """Return the twin of a diff."""
    return {
        "before_usd": found.before.cents / 100,
        "after_usd": found.after.cents / 100,
        "difference_usd": found.cents / 100,
        "difference_share": found.cents / found.before.cents if found.before.cents else None,
        "lines": [
            {
                "stage": line.stage,
                "item": line.item,
                "category": str(line.category),
                "change": str(line.change),
                "before_usd": None if line.before is None else line.before / 100,
                "after_usd": None if line.after is None else line.after / 100,
                "difference_usd": line.cents / 100,
                "why": line.why,
            }
            for line in found.lines
        ],
        "stages": [
            {
                "stage": name,
                "before_usd": before / 100,
                "after_usd": after / 100,
                "difference_usd": (after - before) / 100,
            }
            for name, before, after in stage_sums(found)
        ],
    }


def stage_sums(found: Difference) -> list[tuple[str, int, int]]:
    """Return every stage of both budgets with its cents before and after."""
    before = {planned.stage.name: planned.cents for planned in found.before.stages}
    after = {planned.stage.name: planned.cents for planned in found.after.stages}
    return [(name, before.get(name, 0), after.get(name, 0)) for name in dict.fromkeys([*after, *before])]
