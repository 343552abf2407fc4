"""Stages that buy data, pay people, call public models, or pay for anything else.

Data lines are those of `estimators/datacost` (labels, synthetic text, storage, egress); any unit cost of
`data/data_costs.yaml` can be bought by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..datacost.lines import CostLine
from ..errors import InputError, UnknownName
from ..facts.budget_records import ApiWork, Buying, DataItem, DataWork, OtherWork, PeopleWork, Stage
from ..facts.datacosts import DataCosts, Rate, load_data_costs
from ..names import fold
from ..quantity import Quantity, exact
from ..units import show_bytes, show_count, show_usd
from .context import Context, Worked, keys_for_flags
from .lines import Category, Draft, PriceInput

if TYPE_CHECKING:
    from ..datacost.handling import Handling
    from ..datacost.ways import Making

MILLION = 1e6
USUAL_WRITER, USUAL_API = "qwen3-8b", "gpt-5-mini"  # those of `flopwise data` where none is named
MONTHS_OF_A_YEAR = 12


def data_months(stage: Stage, work: DataWork) -> int | None:
    """Return how long data work lasts: storage until the end of the budget where nothing else is said."""
    kept = sum(item.buying in (Buying.STORAGE, Buying.EGRESS) for item in work.items)
    return stage.months or (None if kept == len(work.items) else 1)


def data(stage: Stage, work: DataWork, context: Context, months: int) -> Worked:
    """Return a stage of data work.

    Raises:
        FactsError: a label, generator, API or unit cost that does not exist.
    """
    costs = load_data_costs()
    drafts: list[Draft] = []
    notes: list[str] = []
    for index, item in enumerate(work.items):
        with context.naming(*stage.where, "items", index, str(item.buying)):
            if item.buying is Buying.NEED:
                found, told = _need(item, costs, context, months)
                drafts, notes = [*drafts, *found], [*notes, *told]
            else:
                drafts += _item(stage, item, costs, context, months)
    return Worked(drafts=tuple(drafts), lasts=months, notes=tuple(notes))


def _item(stage: Stage, item: DataItem, costs: DataCosts, context: Context, months: int) -> list[Draft]:
    if item.buying is Buying.FIXED:
        return [fixed(item.what, item.usd or 0.0, Category.DATA, stage, context)]
    amount = item.amount or 0.0
    if item.buying is Buying.LABELS:
        from ..datacost.labels import By, LabelJob, label_lines

        job = LabelJob(
            items=exact(amount, "items", "given in the budget"),
            kind=costs.label(item.name),
            by=By(item.by),
            votes=item.votes,
        )
        return [_cost_draft(item, each, context) for each in label_lines(job, costs)]
    if item.buying is Buying.SYNTHETIC:
        return [_cost_draft(item, each, context) for each in _synthetic(item, amount, costs, context)]
    if item.buying is Buying.UNIT:
        try:
            rate = costs.rate(item.name)
        except UnknownName as error:
            raise UnknownName("unit cost", item.name, error.nearest, "flopwise data --help") from None
        if not rate.unit.upper().startswith("USD"):
            raise InputError(f"'{item.name}' is in {rate.unit}, not a price in dollars")
        return [
            Draft(
                item=f"{item.what}: {rate.what}",
                category=Category.DATA,
                amount=exact(amount, rate.unit.partition("/")[2] or "units", "given in the budget"),
                price=_rate_price(rate, context),
                driver=f"amount of '{item.what}'",
            )
        ]
    return [_kept(item, amount, context, months)]


def _need(item: DataItem, costs: DataCosts, context: Context, months: int) -> tuple[list[Draft], list[str]]:
    """Return the lines of text tokens that are needed, sourced as `flopwise data` does, and what it says about them."""
    from ..datacost.needs import Kind, Need
    from ..datacost.plan import Setting, make_data_plan
    from ..datacost.sourcing import Policy
    from ..datacost.ways import Way
    from ..facts.datasets import load_datasets
    from ..facts.tokenizers import find_language
    from ..names import resolve

    making, how, chip_text = _making(USUAL_WRITER, USUAL_API, costs, context, months)
    datasets = load_datasets()
    domain = resolve(item.domain, datasets.domains, kind="domain") if item.domain else "web"
    need = Need(
        kind=Kind.TEXT,
        amount=item.amount or 0.0,
        name=item.what,
        language=find_language(item.language) if item.language else "en",
        domain=domain,
        modality="code" if domain == "code" else "text",
        have=item.have,
        policy=Policy(item.licence),
        close=Way(item.close) if item.close else None,
    )
    setting = Setting(datasets=datasets, costs=costs, handling=how, making=making, chip=chip_text)
    plan = make_data_plan((need,), setting)
    part = plan.parts[0]
    told = (part.why, *part.warnings, *part.flags)
    notes = [f"{item.what}: {keys_for_flags(text)}" for text in told]
    return [_cost_draft(item, line, context) for line in plan.lines if line.cents[1]], notes


def _making(
    generator: str, api: str, costs: DataCosts, context: Context, months: float
) -> tuple[Making, Handling, str]:
    """Return how text is made and handled: on the usual chip at its price, or by an API in batch where it has one."""
    from ..datacost.chips import REFERENCE, chip
    from ..datacost.generator import writer
    from ..datacost.handling import Handling
    from ..datacost.ways import Making

    found = chip(context.catalog, None, context.own_prices.get(REFERENCE))
    price = costs.api(api)
    making = Making(
        writer=writer(costs, context.catalog, generator, found.accelerator),
        writer_hour=found.own_hour,
        api=price.id,
        batch=price.batch_output_usd is not None,
        keep_rate=None,
    )
    handling = Handling(
        months=float(months),
        store="s3",
        egress_times=0.0,
        chip_hour=found.hour,
        chips=8,
        filtered=False,
        deduplicated=False,
    )
    return making, handling, found.text


def _synthetic(item: DataItem, tokens: float, costs: DataCosts, context: Context) -> tuple[CostLine, ...]:
    """Return the lines of text that a model writes: an open one on the usual chip, or an API in batch."""
    from ..datacost.ways import synthesize, synthesize_by_api

    need = exact(tokens, "tokens", "given in the budget")
    if item.by == "api":
        making, _, _ = _making(USUAL_WRITER, item.name, costs, context, 0.0)
        return synthesize_by_api(need, making, costs)
    making, how, _ = _making(item.name, USUAL_API, costs, context, 0.0)
    return synthesize(need, making, how, costs)


def _cost_draft(item: DataItem, line: CostLine, context: Context) -> Draft:
    return Draft(
        item=f"{item.what}: {line.what}",
        category=Category.DATA,
        amount=line.quantity.scaled(1 / line.per, line.unit_cost.unit.partition("/")[2] if line.per != 1 else None),
        price=_rate_price(line.unit_cost, context),
        driver=f"amount of '{item.what}'",
    )


def _rate_price(rate: Rate, context: Context) -> PriceInput:
    from ..datacost.chips import REFERENCE

    if rate.id == "accelerator-hour" and REFERENCE in context.own_prices:
        return context.own_hour_price(context.catalog.find(REFERENCE))
    usd = rate.quantity
    return context.named_price(
        PriceInput(
            key=rate.what if rate.what != rate.id else rate.id.replace("-", " "),
            usd=usd,
            unit=rate.unit.partition("/")[2] or "unit",
            date=rate.year,
            source=f"{rate.source} ({rate.trust})",
            is_guess=rate.is_guess,
        )
    )


def _kept(item: DataItem, stored_bytes: float, context: Context, months: int) -> Draft:
    """Return storage for the months of the stage (a price each month), or traffic out."""
    from ..facts.other_prices import Section, UnitPrice, load_other_prices

    prices = load_other_prices()
    store = item.buying is Buying.STORAGE
    section, kind = (Section.STORAGE, "object storage") if store else (Section.EGRESS, "internet")
    rows = [row for row in prices.rows if row.section is section and row.item.startswith(kind)]
    rows = [row for row in rows if row.unit in ("USD/GB-month", "USD/GB")]
    wanted = fold(item.name or ("AWS S3 Standard" if store else "AWS"))
    found: UnitPrice | None = next((row for row in rows if fold(row.provider) == wanted), None)
    if found is None:
        found = next(
            (row for row in rows if wanted in fold(row.provider).split("-") or wanted in fold(row.provider)), None
        )
    if found is None:
        from ..names import nearest

        names = list(dict.fromkeys(fold(row.provider) for row in rows))
        raise UnknownName(f"provider of {section}", item.name, nearest(wanted, names, 2) or tuple(names[:4]))
    low, high = (
        found.low if found.low is not None else found.value,
        found.high if found.high is not None else found.value,
    )
    band = "exact" if low == high else "80 %"
    price = context.named_price(
        PriceInput(
            key=f"{found.provider}: {found.item}",
            usd=Quantity(low, found.value, high, "usd", band, found.source),
            unit=found.unit.removeprefix("USD/"),
            date=found.date,
            source=f"{prices.sources[found.source].name} (data/other_prices.yaml)",
        )
    )
    gigabytes = stored_bytes / 1e9
    amount = gigabytes * months if store else gigabytes
    unit = "GB-months" if store else "GB"
    return Draft(
        item=f"{item.what}: {show_bytes(stored_bytes)}",
        category=Category.DATA,
        amount=exact(amount, unit, "given in the budget"),
        price=price,
        driver=f"amount of '{item.what}'",
    )


def api(stage: Stage, work: ApiWork, context: Context) -> Worked:
    """Return requests to a public model, in all.

    Raises:
        FactsError: no price is known for it, or it has no batch price.
    """
    drafts = token_drafts(
        stage,
        work.api,
        work.requests * work.input_tokens,
        work.requests * work.output_tokens,
        context,
        batch=work.batch,
        driver=f"requests of '{stage.name}'",
    )
    note = f"{show_count(work.requests)} requests to {work.api}" + (", in batch" if work.batch else "")
    return Worked(drafts=drafts, lasts=stage.months or 1, notes=(note,))


def token_drafts(
    stage: Stage,
    model: str,
    input_tokens: float,
    output_tokens: float,
    context: Context,
    *,
    batch: bool = False,
    driver: str,
    weights: tuple[float, ...] | None = None,
    demand: Quantity | None = None,
) -> tuple[Draft, ...]:
    """Return the lines of input and output tokens of a public model; `demand` is the range of the amounts."""
    from ..facts.other_prices import load_other_prices

    with context.naming(*stage.where, "api"):
        price = load_other_prices().token_price(model)
        pair = (price.batch_input_usd, price.batch_output_usd) if batch else (price.input_usd, price.output_usd)
        if pair[0] is None or pair[1] is None:
            raise InputError(f"no batch price is known for {price.model}; leave batch out")
    moves = context.default("api_price")
    drafts = []
    for side, tokens, usd in (("input", input_tokens, pair[0]), ("output", output_tokens, pair[1])):
        named = context.named_price(
            PriceInput(
                key=f"{price.model}, {'batch ' if batch else ''}{side} tokens",
                usd=Quantity(usd * moves.low, usd, usd * moves.high, "usd", "80 %", moves.basis),
                unit="million tokens",
                date=price.date,
                source=f"data/other_prices.yaml: {price.source}",
            )
        )
        amount = exact(tokens / MILLION, "million tokens", "given in the budget")
        if demand is not None:
            amount = demand.scaled(tokens / MILLION, "million tokens")
        drafts.append(
            Draft(
                item=f"{price.model}: {side} tokens",
                category=Category.API,
                amount=amount,
                price=named,
                driver=driver,
                weights=weights,
            )
        )
    return tuple(drafts)


def people(stage: Stage, work: PeopleWork, context: Context, months: int) -> Worked:
    """Return a team for `months`: person-months at the loaded monthly salary."""
    overhead = work.overhead
    known = context.default("people_overhead")
    delay, salary = context.default("hire_delay"), context.default("salary")
    drafts = []
    for role in work.roles:
        factor = 1 + (known.mid if overhead is None else overhead)
        monthly = role.usd_per_year / MONTHS_OF_A_YEAR * factor
        spread = (known.high - known.low) / 2 / (1 + known.mid) if overhead is None else 0.0
        low = monthly * (1 - ((1 - salary.low) ** 2 + spread**2) ** 0.5)
        high = monthly * (1 + ((salary.high - 1) ** 2 + spread**2) ** 0.5)
        price = context.named_price(
            PriceInput(
                key=f"{role.role} of '{stage.name}', a month",
                usd=Quantity(low, monthly, high, "usd", "80 %", salary.basis),
                unit="person-month",
                date="",
                source=f"{show_usd(role.usd_per_year)} a year as given, times {factor:g} for overhead",
                is_guess=overhead is None,
            )
        )
        drafts.append(
            Draft(
                item=f"{role.count:g} x {role.role}",
                category=Category.PEOPLE,
                amount=delay.scaled(role.count * months, "person-months"),
                price=price,
                driver="people hired on time",
            )
        )
    count = sum(role.count for role in work.roles)
    return Worked(drafts=tuple(drafts), lasts=None, notes=(f"{count:g} people for {months} months",))


def other(stage: Stage, work: OtherWork, context: Context, months: int) -> Worked:
    """Return what the user priced: once in the first month, or every month."""
    drafts = []
    for item in work.items:
        draft = fixed(item.what, item.usd, Category.OTHER, stage, context, months if item.monthly else None)
        drafts.append(draft)
    return Worked(drafts=tuple(drafts), lasts=None)


def fixed(
    what: str, usd: float, category: Category, stage: Stage, context: Context, months: int | None = None
) -> Draft:
    """Return a line of a price that the user gave: `months` None is paid once, in the first month."""
    moves = context.default("fixed_price")
    price = context.named_price(
        PriceInput(
            key=f"{what} of '{stage.name}'",
            usd=Quantity(usd * moves.low, usd, usd * moves.high, "usd", "80 %", moves.basis),
            unit="month" if months else "piece",
            date="",
            source="given in the budget",
        )
    )
    return Draft(
        item=what,
        category=category,
        amount=exact(float(months or 1), "months" if months else "piece", "given in the budget"),
        price=price,
        driver=f"amount of '{what}'",
        weights=None if months else (1.0,),
    )
