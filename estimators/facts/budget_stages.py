"""The grammar of one stage of a budget file: which keys each kind of stage takes, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from .. import units
from .budget_records import (
    ApiWork,
    Buying,
    DataItem,
    DataWork,
    HardwareWork,
    HoursWork,
    Kind,
    OtherItem,
    OtherWork,
    PeopleWork,
    Renting,
    Role,
    ServingWork,
    ShareWork,
    Stage,
    Terms,
    TrainingWork,
    TuningWork,
    Work,
)
from .budget_values import Values
from .schema import shown
from .yamlfile import FactFile

COMMON = ("name", "kind", "start", "months", "after", "contingency", "uncertainty", "note")
RENTING = ("plan", "cloud", "class", "price", "term_months")
TRAINING_OPTIONS = (
    *("seq", "global_batch", "micro_batch", "tp", "pp", "cp", "ep", "zero"),
    *("recompute", "precision", "optimizer", "mfu"),
)
TUNING_OPTIONS = ("epochs", "rank", "targets", "packed", "seq", "global_batch", "micro_batch", "precision")
TRAINING = ("model", "tokens", "on", *TRAINING_OPTIONS, "runs", "failed", *RENTING)
TUNING = (
    *("model", "method", "tokens", "examples", "tokens_per_example", "on"),
    *(*TUNING_OPTIONS, "runs", "failed", *RENTING),
)
SHARE = ("share", "of")
HOURS = ("hours", "on", *RENTING)
API = ("api", "requests", "input_tokens", "output_tokens", "batch")
SERVING = (
    *("model", "on", "api", "requests_per_day", "input_tokens", "output_tokens", "growth", "peak"),
    *("weights", "time_per_token", *RENTING),
)
KEYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.EXPERIMENTS: tuple(dict.fromkeys((*SHARE, *TRAINING, *HOURS, *API))),
    Kind.EVALUATION: tuple(dict.fromkeys((*SHARE, *HOURS, *API))),
    Kind.DATA: ("items",),
    Kind.PRETRAINING: TRAINING,
    Kind.FINETUNING: TUNING,
    Kind.SERVING: SERVING,
    Kind.PEOPLE: ("roles", "overhead"),
    Kind.HARDWARE: ("buy", "usd_each", "usd_per_kwh"),
    Kind.OTHER: ("items",),
}
METHODS = ("full", "lora", "qlora")
LICENCES = ("open", "commercial", "any")  # as in `flopwise data`
CLOSINGS = (
    *("synthesize", "synthesize-api", "filter", "crawl", "ocr", "ocr-api", "transcribe", "transcribe-api"),
    *("transcribe-people", "partner", "license"),
)
CLASSES = ("hyperscaler", "gpu-cloud", "marketplace")
ITEM = (
    *("what", *(str(each) for each in Buying), "items", "by", "votes", "amount", "provider", "generator", "api"),
    *("language", "domain", "have", "close", "licence"),
)
MOST_ITEMS = 200
MOST_OPTION = 1e15  # of a number handed on as typed; beyond, what it goes into is no number any more


def read_stage(
    file: FactFile, index: int, entry: object, *, terms: Values, contingency: float, start: date, months: int
) -> Stage:
    """Return the stage at `stages[index]`; `terms` and `contingency` are what the file says for all stages.

    Raises:
        FactsError: naming file, line, field and the fix.
    """
    where = ("stages", index)
    every = tuple(dict.fromkeys((*COMMON, *(key for keys in KEYS.values() for key in keys))))
    kind = Kind(Values(file, where, entry, every).choice("kind", tuple(Kind)))
    fields = Values(file, where, entry, every)
    for key in fields.values:
        if key not in COMMON and key not in KEYS[kind]:
            fields.fail(key, f"{fields.spelled(key)} has no effect on a {kind} stage; it takes {', '.join(KEYS[kind])}")
    work = _work(kind, fields, terms)
    return Stage(
        name=fields.text("name"),
        kind=kind,
        work=work,
        start=_start(fields, start, months),
        months=fields.whole("months", most=months) if "months" in fields.values else None,
        after=_after(fields),
        contingency=fields.share("contingency", contingency),
        uncertainty=fields.share("uncertainty") if "uncertainty" in fields.values else None,
        where=where,
    )


def _start(fields: Values, start: date, months: int) -> int | None:
    value = fields.values.get("start")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= months:
            fields.fail("start", f"{fields.spelled('start')} is {value}; months count from 1 to {months}")
        return value - 1
    day = fields.as_month("start", value)
    month = (day.year - start.year) * 12 + day.month - start.month
    if not 0 <= month < months:
        fields.fail("start", f"{fields.spelled('start')} is {value}, outside the {months} months from {start:%Y-%m}")
    return month


def _after(fields: Values) -> tuple[str, ...]:
    value = fields.values.get("after")
    if isinstance(value, str):
        return (fields.text("after"),)
    return fields.texts("after")


def _work(kind: Kind, fields: Values, terms: Values) -> Work:
    if kind in (Kind.EXPERIMENTS, Kind.EVALUATION):
        return _compute(kind, fields, terms)
    if kind is Kind.PRETRAINING:
        return _training(fields, terms)
    if kind is Kind.FINETUNING:
        return _tuning(fields, terms)
    if kind is Kind.SERVING:
        return _serving(fields, terms)
    if kind is Kind.DATA:
        entries = fields.listed("items", "items", MOST_ITEMS)
        return DataWork(tuple(_item(fields, index, entry) for index, entry in enumerate(entries)))
    if kind is Kind.PEOPLE:
        entries = fields.listed("roles", "roles", MOST_ITEMS)
        overhead = fields.share("overhead", most=2.0) if "overhead" in fields.values else None
        return PeopleWork(
            roles=tuple(_role(fields, index, entry) for index, entry in enumerate(entries)), overhead=overhead
        )
    if kind is Kind.HARDWARE:
        return HardwareWork(
            on=_on(fields, "buy"),
            usd_each=fields.optional_usd("usd_each"),
            usd_per_kwh=fields.optional_usd("usd_per_kwh"),
        )
    entries = fields.listed("items", "items", MOST_ITEMS)
    return OtherWork(tuple(_other(fields, index, entry) for index, entry in enumerate(entries)))


def _compute(kind: Kind, fields: Values, terms: Values) -> Work:
    """Return work that is a share of another stage, counted hours, API requests or (experiments) training runs."""
    ways = {"share": SHARE, "hours": HOURS, "api": API, "model": TRAINING}
    given = [way for way in ways if way in fields.values]
    if kind is Kind.EVALUATION and "model" in ways:
        del ways["model"]
    if len(given) != 1:
        which = " and ".join(given) + " contradict each other" if given else "nothing says how much"
        fields.fail(given[1] if given else "kind", f"{fields.spelled('kind')}: {which}; give one of {', '.join(ways)}")
    way = given[0]
    _only(fields, ways[way], f"with {way}")
    if way == "share":
        return ShareWork(share=fields.share("share", most=10.0), of=fields.text("of"))
    if way == "hours":
        return HoursWork(
            hours=fields.count("hours", "a number of accelerator-hours", "2k"),
            on=_on(fields),
            renting=_renting(fields, terms),
        )
    if way == "api":
        return ApiWork(
            api=fields.text("api"),
            requests=fields.count("requests", "a number of requests", "100k"),
            input_tokens=fields.count("input_tokens", "a number of tokens", "1k"),
            output_tokens=fields.count("output_tokens", "a number of tokens", "300"),
            batch=fields.flag("batch"),
        )
    return _training(fields, terms)


def _only(fields: Values, keys: tuple[str, ...], said: str) -> None:
    for key in fields.values:
        if key not in COMMON and key not in keys:
            fields.fail(key, f"{fields.spelled(key)} has no effect {said}; leave it out")


def _training(fields: Values, terms: Values) -> TrainingWork:
    return TrainingWork(
        model=_text(fields, "model"),
        tokens=fields.count("tokens", "a number of tokens", "1T or 300B"),
        on=_on(fields, counted=True),
        options=_options(fields, TRAINING_OPTIONS),
        runs=fields.optional_count("runs", "a number of runs", "20") or 1.0,
        failed=fields.share("failed", 0.0, most=5.0),
        renting=_renting(fields, terms),
    )


def _tuning(fields: Values, terms: Values) -> TuningWork:
    tokens = fields.optional_count("tokens", "a number of tokens", "100M")
    examples = fields.optional_count("examples", "a number of examples", "50k")
    each = fields.optional_count("tokens_per_example", "a number of tokens", "500")
    if (tokens is None) == (examples is None):
        fields.fail("tokens", f"{fields.spelled('tokens')}: give tokens, or examples and tokens_per_example")
    if (examples is None) != (each is None):
        key = "tokens_per_example" if each is None else "examples"
        fields.fail(key, f"{fields.spelled(key)} is missing; examples and tokens_per_example go together")
    return TuningWork(
        model=_text(fields, "model"),
        method=fields.choice("method", METHODS, "lora"),
        tokens=tokens,
        examples=examples,
        tokens_per_example=each,
        on=_on(fields) if "on" in fields.values else None,
        options=_options(fields, TUNING_OPTIONS),
        runs=fields.optional_count("runs", "a number of runs", "6") or 1.0,
        failed=fields.share("failed", 0.0, most=5.0),
        renting=_renting(fields, terms),
    )


def _serving(fields: Values, terms: Values) -> ServingWork:
    has_api = "api" in fields.values
    if has_api == ("model" in fields.values):
        said = "contradict each other; give one of them" if has_api else "are both missing; give one of them"
        fields.fail("api", f"{fields.spelled('model')} and api {said}")
    if has_api:
        _only(fields, (*API, "requests_per_day", "growth"), "on a public API")
    return ServingWork(
        model=None if has_api else _text(fields, "model"),
        on=None if has_api else _on(fields),
        api=fields.text("api") if has_api else None,
        requests_per_day=fields.count("requests_per_day", "a number of requests a day", "20k"),
        input_tokens=fields.count("input_tokens", "a number of tokens", "1k"),
        output_tokens=fields.count("output_tokens", "a number of tokens", "300"),
        growth=fields.share("growth", 0.0, most=3.0),
        peak=fields.optional_count("peak", "the busiest hour over the mean", "3") or 1.0 if not has_api else 1.0,
        weights=fields.text("weights") if "weights" in fields.values else None,
        time_per_token_s=fields.optional("time_per_token", units.read_duration_s, "a time (50ms as 0.05s)"),
        renting=_renting(fields, terms),
    )


def _item(fields: Values, index: int, entry: object) -> DataItem:
    item = Values(fields.file, (*fields.path, "items", index), entry, ITEM)
    ways = [way for way in Buying if str(way) in item.values]
    if len(ways) != 1:
        said = "is priced in two ways" if ways else "has no price"
        key = str(ways[1]) if ways else "what"
        item.fail(key, f"{item.spelled(key)} {said}; give one of {', '.join(Buying)}")
    way = ways[0]
    takes: dict[Buying, tuple[str, ...]] = {
        Buying.FIXED: (),
        Buying.LABELS: ("items", "by", "votes"),
        Buying.SYNTHETIC: ("generator", "api"),
        Buying.UNIT: ("amount",),
        Buying.STORAGE: ("provider",),
        Buying.EGRESS: ("provider",),
        Buying.NEED: ("language", "domain", "have", "close", "licence"),
    }
    for key in item.values:
        if key not in ("what", str(way), *takes[way]):
            item.fail(key, f"{item.spelled(key)} has no effect beside {way}; leave it out")
    what = item.text("what")
    if way is Buying.FIXED:
        return DataItem(what=what, buying=way, usd=item.usd("usd", zero=True))
    if way is Buying.LABELS:
        return DataItem(
            what=what,
            buying=way,
            amount=item.count("items", "a number of items", "30k"),
            name=item.text("labels"),
            by=item.choice("by", ("people", "model"), "people"),
            votes=item.optional_count("votes", "votes for each item", "3"),
        )
    if way is Buying.SYNTHETIC:
        if ("generator" in item) == ("api" in item):
            item.fail("synthetic_tokens", f"{item.spelled('synthetic_tokens')}: say who writes them, generator or api")
        return DataItem(
            what=what,
            buying=way,
            amount=item.count("synthetic_tokens", "a number of tokens", "2B"),
            name=item.text("generator", "") or item.text("api", ""),
            by="api" if "api" in item else "generator",
        )
    if way is Buying.UNIT:
        amount = item.count("amount", "how many units", "10k")
        return DataItem(what=what, buying=way, amount=amount, name=item.text("unit_cost"))
    if way is Buying.NEED:
        return DataItem(
            what=what,
            buying=way,
            amount=item.count("tokens", "a number of tokens", "150B"),
            language=item.text("language") if "language" in item.values else None,
            domain=item.text("domain") if "domain" in item.values else None,
            have=item.optional_count("have", "a number of tokens", "20B") or 0.0,
            close=item.choice("close", CLOSINGS) if "close" in item.values else None,
            licence=item.choice("licence", LICENCES, "commercial"),
        )
    amount = item.read(str(way), units.read_bytes, "an amount of data (20TB)")
    return DataItem(what=what, buying=way, amount=amount, name=item.text("provider", ""))


def _role(fields: Values, index: int, entry: object) -> Role:
    role = Values(fields.file, (*fields.path, "roles", index), entry, ("role", "count", "usd_per_year"))
    return Role(
        role=role.text("role"),
        count=role.optional_count("count", "a number of people", "2") or 1.0,
        usd_per_year=role.usd("usd_per_year"),
    )


def _other(fields: Values, index: int, entry: object) -> OtherItem:
    item = Values(fields.file, (*fields.path, "items", index), entry, ("what", "usd", "per"))
    per = item.choice("per", ("once", "month"), "once")
    return OtherItem(what=item.text("what"), usd=item.usd("usd", zero=True), monthly=per == "month")


def _renting(fields: Values, terms: Values) -> Renting:
    """Return the terms of a stage, from what it says or what the file says for all."""
    source = {key: (fields if key in fields.values else terms) for key in RENTING}
    plan = Terms(source["plan"].choice("plan", tuple(Terms), Terms.ON_DEMAND))
    price = fields.optional_usd("price")
    held = source["cloud"]
    cloud = held.text("cloud") if "cloud" in held.values else None
    held = source["class"]
    cloud_class = held.choice("class", CLASSES) if "class" in held.values else None
    if price is not None and ("cloud" in fields.values or "class" in fields.values):
        key = "cloud" if "cloud" in fields.values else "class"
        fields.fail(key, f"{fields.spelled(key)} has no effect beside price; leave one of them out")
    held = source["term_months"]
    term = held.whole("term_months", most=60) if "term_months" in held.values else None
    if "term_months" in fields.values and plan is not Terms.RESERVED:
        fields.fail("term_months", f"{fields.spelled('term_months')} has an effect only with plan: reserved")
    if "price" in fields.values and plan is Terms.OWNED:
        fields.fail("price", f"{fields.spelled('price')} has no effect with plan: owned; leave one of them out")
    return Renting(
        plan=plan,
        cloud=None if price is not None else cloud,
        cloud_class=None if price is not None else cloud_class,
        usd_per_hour=price,
        term_months=term,
    )


def _on(fields: Values, key: str = "on", *, counted: bool = False) -> str:
    text = _text(fields, key)
    _, count = fields.read(key, units.read_accelerators, "an accelerator and how many (h100-sxm:8)")
    if counted and count is None:
        fields.fail(key, f"{fields.spelled(key)} is '{text}'; say how many, for example '{text}:8'")
    return text


def _text(fields: Values, key: str) -> str:
    """Return a text; a number such as 7 is refused with how to write a size."""
    value = fields.values.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        fields.fail(key, f"{fields.spelled(key)} is {shown(value)}; a name or a size such as 7B is wanted")
    return fields.text(key)


def _options(fields: Values, keys: tuple[str, ...]) -> Mapping[str, object]:
    """Return options that are handed on as typed; what reads them finds wrong values."""
    found: dict[str, object] = {}
    for key in keys:
        value = fields.values.get(key)
        if value is None:
            continue
        if isinstance(value, list | dict):
            fields.fail(key, f"{fields.spelled(key)} is {shown(value)}; one value is wanted")
        try:
            size = abs(float(value)) if isinstance(value, str | int | float) else 1.0
        except (ValueError, OverflowError):
            size = 1.0  # with a unit, or no number at all: what reads it says so
        if size and not units.LEAST <= size <= MOST_OPTION:
            said = f"it must lie between {units.LEAST:g} and {MOST_OPTION:g}"
            fields.fail(key, f"{fields.spelled(key)} is {shown(value)}, {said}; is the unit right?")
        found[key] = value
    return found
