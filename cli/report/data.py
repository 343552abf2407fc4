"""The documents of `flopwise data` and `flopwise data finetune`: the need, the sets, the ways, one table of money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.datacost.finetune import FinetunePlan
from ...estimators.datacost.lines import CENTS, CostLine, Totals
from ...estimators.datacost.needs import DataPlan, Kind, Part
from ...estimators.datacost.sourcing import Fit, Match
from ...estimators.datacost.ways import WAY_NAMES, Closing
from ...estimators.quantity import EXACT, Given, Quantity, Step
from ...estimators.units import show_count, show_duration, show_usd
from .document import Assumption, Cell, Column, Document, Facts, Table, Value

_NO_ADVICE = "Rights flags point at what a lawyer should read; they are not legal advice."
_BAND = "80 %"


def data_document(
    plan: DataPlan,
    inputs: Mapping[str, object],
    *,
    assumptions: Sequence[Assumption],
    warnings: Sequence[str],
    catalog: Mapping[str, object],
    show_sets: bool,
) -> Document:
    """Return the sourcing plan."""
    sections: list[Facts | Table] = []
    for part in plan.parts:
        sections.append(_part_facts(part, len(plan.parts) > 1))
        shown = [each for each in part.matches if show_sets or each.fit is not Fit.SPARE]
        if shown:
            sections.append(_sets_table(shown))
        if len(part.closings) > 1:
            sections.append(_ways_table(part))
    sections.append(lines_table(plan.lines, plan.totals))
    if plan.totals.people_s.mid or plan.totals.calendar_s.mid:
        sections.append(_effort(plan.totals))
    flags = [f"For a lawyer: {flag}" for part in plan.parts for flag in part.flags]
    weak = dict.fromkeys(
        each.unit_cost.id for each in plan.lines if each.unit_cost.is_guess or each.unit_cost.status == "unverified"
    )
    if weak:
        named = ", ".join(f"{name} ({plan_trust(plan, name)})" for name in weak)
        flags.insert(0, f"Unit costs to replace first, with --costs: {named}.")
    told = [*warnings, *(text for part in plan.parts for text in part.warnings), *flags]
    return Document(
        verb="data",
        headline=_headline(plan),
        inputs=inputs,
        result={
            "parts": [_part(part) for part in plan.parts],
            "lines": [line_twin(each) for each in plan.lines],
            "totals": totals_twin(plan.totals),
            "unique_tokens": plan.unique_tokens,
            "rights_flags": [flag for part in plan.parts for flag in part.flags],
        },
        sections=tuple(sections),
        assumptions=(*assumptions, Assumption(_NO_ADVICE))
        if any(part.flags for part in plan.parts)
        else tuple(assumptions),
        warnings=tuple(dict.fromkeys(told)),
        steps=tuple(line_step(each) for each in plan.lines),
        catalog=catalog,
        next_commands=_next(plan),
    )


def plan_trust(plan: DataPlan, name: str) -> str:
    """Return how far the unit cost called `name` is trusted."""
    return next(each.unit_cost.trust for each in plan.lines if each.unit_cost.id == name)


def _effort(totals: Totals) -> Facts:
    return Facts(
        "effort",
        (
            ("people_s", "Work of people", totals.people_s, "labels, audits, engineers, negotiation"),
            ("calendar_s", "Calendar", totals.calendar_s, totals.calendar_s.basis),
        ),
        caption="The time",
    )


def _headline(plan: DataPlan) -> str:
    total = plan.totals
    text = f"The data costs {show_usd(total.usd.mid)} ({show_usd(total.usd.low)} to {show_usd(total.usd.high)})"
    if total.calendar_s.mid:
        text += f" and takes {show_duration(total.calendar_s.mid)}"
    missing = sum(part.missing for part in plan.parts if part.need.kind is Kind.TEXT)
    if missing:
        text += f"; {show_count(missing)} unique tokens are missing and must be made or bought"
    elif plan.parts and all(part.need.kind is Kind.TEXT for part in plan.parts):
        text += ", to prepare and keep it: what is had and open sets are enough"
    return text + "."


def _part_facts(part: Part, named: bool) -> Facts:
    need = part.need
    items: list[tuple[str, str, Cell, str]] = []
    if need.kind is Kind.TEXT:
        items = [
            ("wanted", "Wanted", Value(need.amount, "tokens"), f"to train on; {need.language}, {need.domain}"),
            ("unique", "Unique", Value(part.unique, "tokens"), _unique_text(part)),
            ("epochs", "Epochs", Value(part.epochs, ""), "over what the plan ends with"),
            ("effective", "Worth", Value(part.effective, "tokens"), "unique tokens (arXiv:2305.16264)"),
            ("missing", "Missing", Value(part.missing, "tokens"), "unique tokens"),
            ("bounds", "Limited by", part.bounds, part.why),
        ]
        if part.chosen:
            items.append(("way", "Closed by", WAY_NAMES[part.chosen.way], part.chosen.caveat))
    else:
        unit = {Kind.ITEMS: "items", Kind.PAGES: "pages", Kind.SPEECH: "hours of speech"}[need.kind]
        what = need.label if need.kind is Kind.ITEMS else need.language
        items = [("wanted", "Wanted", Value(need.amount, ""), f"{unit}; {what}")]
        if need.have:
            items.append(("missing", "Missing", Value(part.missing, ""), f"you have {show_count(need.have)}"))
        if part.yields_tokens:
            items.append(("yields_tokens", "Gives", part.yields_tokens, ""))
        if part.chosen:
            items.append(("way", "By", WAY_NAMES[part.chosen.way], ""))
        items.append(("bounds", "Limited by", part.bounds, part.why))
    title = need.name or f"{show_count(need.amount)} {need.label or need.language}"
    return Facts("need", tuple(items), caption=f"The need: {title}" if named or need.name else "The need")


def _unique_text(part: Part) -> str:
    have, opened = part.need.have, part.unique - part.need.have
    texts = [f"{show_count(have)} of your own"] if have else []
    if opened > 0:
        texts.append(f"{show_count(opened)} from open sets")
    return " and ".join(texts) or "nothing yet"


def _sets_table(matches: Sequence[Match]) -> Table:
    columns = (
        Column("set", "Open set"),
        Column("fit", "Use"),
        Column("amount", "Holds", right=True),
        Column("taken", "Taken", right=True),
        Column("licence", "Licence", wide_only=True),
        Column("why", "Why", wide_only=True),
        Column("status", "Trust", wide_only=True),
    )
    rows = tuple(
        (
            each.dataset.name,
            str(each.fit),
            Value(each.amount, "tokens") if each.amount else "?",
            Value(each.taken, "tokens") if each.taken else None,
            each.dataset.licence,
            each.why,
            each.dataset.status,
        )
        for each in matches
    )
    return Table("sets", columns, rows, caption="Open sets that serve it")


def _ways_table(part: Part) -> Table:
    columns = (
        Column("way", "Way"),
        Column("usd", "Cost", right=True),
        Column("calendar", "Time", right=True),
        Column("caveat", "Mind", wide_only=True),
    )
    rows = tuple(
        (
            str(each.way),
            _closing_usd(each),
            _closing_time(each),
            each.caveat,
        )
        for each in part.closings
    )
    return Table("ways", columns, rows, caption="Ways to have it (--close NAME chooses one)")


def _closing_usd(each: Closing) -> Quantity:
    low, mid, high = (sum(line.cents[i] for line in each.lines) for i in range(3))
    return _usd((low, mid, high))


def _closing_time(each: Closing) -> Cell:
    times = [line.calendar_s for line in each.lines if line.calendar_s]
    return Value(max(time.mid for time in times), "s") if times else None


def lines_table(lines: Sequence[CostLine], totals: Totals) -> Table:
    """Return the table of money: one row for each line, and the total."""
    columns = (
        Column("line", "For"),
        Column("quantity", "Quantity", right=True),
        Column("unit_cost", "Unit cost", right=True),
        Column("usd", "Cost", right=True),
        Column("people_s", "People", wide_only=True),
        Column("calendar_s", "Time", wide_only=True),
        Column("source", "Source", wide_only=True),
        Column("year", "Year", wide_only=True),
        Column("trust", "Trust", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            each.what,
            Value(each.quantity.mid, each.quantity.unit),
            Value(each.unit_cost.value, each.unit_cost.unit),
            _usd(each.cents),
            Value(each.people_s.mid, "s") if each.people_s else None,
            Value(each.calendar_s.mid, "s") if each.calendar_s else None,
            each.unit_cost.source,
            each.unit_cost.year,
            each.unit_cost.trust,
        )
        for each in lines
    ]
    people, calendar = totals.people_s.mid, totals.calendar_s.mid
    rows.append(
        (
            "total",
            None,
            None,
            totals.usd,
            Value(people, "s") if people else None,
            Value(calendar, "s") if calendar else None,
            None,
            None,
            None,
        )
    )
    return Table("money", columns, tuple(rows), caption="The money", total_rows=1)


def _usd(cents: tuple[int, int, int]) -> Quantity:
    low, mid, high = (each / CENTS for each in cents)
    return Quantity(low, mid, high, "usd", EXACT if low == high else _BAND, "quantity times unit cost, in whole cents")


def line_step(each: CostLine) -> Step:
    """Return the line of --explain."""
    formula = "quantity x unit cost" if each.per == 1 else f"quantity x unit cost / {each.per:,.0f}"
    return Step(
        each.name,
        formula,
        (
            Given("quantity", each.quantity.mid, each.quantity.unit, each.quantity.basis),
            Given(
                "unit cost",
                each.unit_cost.value,
                each.unit_cost.unit,
                f"{each.unit_cost.id}: {each.unit_cost.source}, {each.unit_cost.year}, {each.unit_cost.trust}; "
                f"{each.unit_cost.low:g} to {each.unit_cost.high:g}",
            ),
        ),
        each.cents[1] / CENTS,
        "usd",
        each.unit_cost.origin,
    )


def line_twin(each: CostLine) -> dict[str, object]:
    """Return one line for JSON."""
    return {
        "name": each.name,
        "what": each.what,
        "group": each.group,
        "quantity": each.quantity,
        "unit_cost": {
            "id": each.unit_cost.id,
            "value": each.unit_cost.value,
            "low": each.unit_cost.low,
            "high": each.unit_cost.high,
            "unit": each.unit_cost.unit,
            "year": each.unit_cost.year,
            "source": each.unit_cost.source,
            "status": each.unit_cost.trust,
            "file": each.unit_cost.origin,
        },
        "per": each.per,
        "usd": {"low": each.cents[0] / CENTS, "mid": each.cents[1] / CENTS, "high": each.cents[2] / CENTS},
        "people_s": each.people_s,
        "calendar_s": each.calendar_s,
    }


def totals_twin(totals: Totals) -> dict[str, object]:
    """Return the totals for JSON."""
    return {"usd": totals.usd, "people_s": totals.people_s, "calendar_s": totals.calendar_s}


def _part(part: Part) -> dict[str, object]:
    need = part.need
    return {
        "name": need.name,
        "kind": need.kind,
        "amount": need.amount,
        "language": need.language,
        "domain": need.domain,
        "modality": need.modality,
        "label": need.label,
        "have": need.have,
        "unique": part.unique,
        "wanted_unique": part.wanted_unique,
        "missing": part.missing,
        "epochs": part.epochs,
        "effective": part.effective,
        "yields_tokens": part.yields_tokens,
        "limited_by": part.bounds,
        "why": part.why,
        "sets": [
            {
                "id": each.dataset.id,
                "name": each.dataset.name,
                "use": each.fit,
                "amount": each.amount,
                "taken": each.taken,
                "licence": each.dataset.licence,
                "commercial": each.dataset.commercial,
                "family": each.dataset.family,
                "why": each.why,
                "source": each.dataset.source,
                "status": each.dataset.status,
            }
            for each in part.matches
        ],
        "ways": [
            {
                "way": each.way,
                "usd": _closing_usd(each),
                "calendar": _closing_time(each),
                "caveat": each.caveat,
                "lines": [line_twin(line) for line in each.lines],
            }
            for each in part.closings
        ],
        "closed_by": part.chosen.way if part.chosen else None,
    }


def _next(plan: DataPlan) -> tuple[str, ...]:
    if plan.unique_before:
        return (f"flopwise plan --budget 50k --unique-tokens {show_count(plan.unique_tokens)}",)
    return ("flopwise data --items 10k --kind preference --by model",)


# --- fine-tuning ----------------------------------------------------------------------------------------------------


def finetune_document(plan: FinetunePlan, inputs: Mapping[str, object], assumptions: Sequence[Assumption]) -> Document:
    """Return examples and cost of a fine-tune."""
    items: list[tuple[str, str, Cell, str]] = [
        ("examples", "Examples", plan.examples, f"{plan.goal.what}; {plan.examples.basis}"),
        ("doubling", "A doubling", plan.doubling, f"less loss; {plan.slope.basis}"),
        ("slope", "Slope", plan.slope, "s in loss ~ n^-s"),
        (
            "curve",
            "Measure first",
            ", ".join(f"{size:,}" for size in plan.curve_sizes),
            "train on these sizes, then give --curve N:LOSS for each",
        ),
    ]
    if plan.to_reach is not None:
        items.insert(1, ("to_reach", "To reach it", Value(plan.to_reach, "items"), "by your own curve"))
    return Document(
        verb="data.finetune",
        headline=(
            f"A fine-tune for {plan.goal.id} takes about {show_count(plan.examples.mid)} examples, "
            f"{show_usd(plan.totals.usd.mid)} ({show_usd(plan.totals.usd.low)} to {show_usd(plan.totals.usd.high)})."
        ),
        inputs=inputs,
        result={
            "goal": plan.goal.id,
            "examples": plan.examples,
            "to_reach": plan.to_reach,
            "slope": plan.slope,
            "doubling": plan.doubling,
            "curve_sizes": list(plan.curve_sizes),
            "lines": [line_twin(each) for each in plan.lines],
            "totals": totals_twin(plan.totals),
        },
        sections=(Facts("finetune", tuple(items), caption="The examples"), lines_table(plan.lines, plan.totals)),
        assumptions=tuple(assumptions),
        warnings=()
        if plan.own
        else ("No coefficients carry over between tasks: measure your own curve on 3 to 5 sizes before paying.",),
        steps=tuple(line_step(each) for each in plan.lines),
        next_commands=("flopwise finetune --model llama-3-8b --examples 10k",),
    )
