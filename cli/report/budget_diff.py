"""The difference of two budgets as sections: marked lines under their stages, then the totals of each stage."""

from __future__ import annotations

from ...estimators.budget.difference import Change, Difference
from .budget_twin import stage_sums
from .document import Cell, Column, Table, money

MARKS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~", Change.SAME: " "}


def headline(found: Difference) -> str:
    """Return the sentence that a reviewer reads first: by how much the total rises or falls, and from what to what."""
    before, after = found.before.cents, found.after.cents
    if not found.changed:
        return f"Nothing changes: ${after / 100:,.2f} in both."
    ends = f"from ${before / 100:,.2f} to ${after / 100:,.2f}"
    if before == after:
        return f"{len(found.changed)} lines change and the total stays at ${after / 100:,.2f}."
    verb = "rises" if after > before else "falls"
    return (
        f"{found.after.file.name}: the budget {verb} by ${abs(found.cents) / 100:,.2f}{percent(before, after)}, {ends}."
    )


def percent(before: int, after: int) -> str:
    """Return " (+57 %)", nothing where it was nothing before."""
    return f" ({(after - before) / before:+.1%})".replace("%)", " %)") if before else ""


def line_table(found: Difference) -> Table:
    """Return the lines that changed, under their stages, in infracost's manner."""
    rows: list[tuple[Cell, ...]] = []
    for name, before, after in stage_sums(found):
        lines = [line for line in found.changed if line.stage == name]
        if not lines:
            continue
        kind = Change.ADDED if not before else Change.REMOVED if not after else Change.CHANGED
        whole = [line for line in found.lines if line.stage == name]
        mark = MARKS[kind] if len({line.change for line in whole}) == 1 or kind is Change.CHANGED else "~"
        rows.append((f"{mark} {name}", money(before), money(after), money(after - before), ""))
        for line in lines:
            rows.append(
                (
                    f"   {MARKS[line.change]} {line.item}",
                    None if line.before is None else money(line.before),
                    None if line.after is None else money(line.after),
                    money(line.cents),
                    line.why,
                )
            )
    before, after = found.before.cents, found.after.cents
    rows.append(("TOTAL", money(before), money(after), money(found.cents), percent(before, after).strip(" ()")))
    return Table(
        "changes",
        (
            Column("item", "Name"),
            Column("before_usd", "Before", right=True),
            Column("after_usd", "After", right=True),
            Column("difference_usd", "Change", right=True),
            Column("why", "Why", wide_only=True),
        ),
        tuple(rows),
        caption=f"{len(found.changed)} of {len(found.lines)} lines changed (~ changed, + added, - removed)",
        total_rows=1,
    )
