"""What `data` and `plan` share: unit costs and sets with the user's own, and needs from flags or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..estimators import units
from ..estimators.datacost.labels import By
from ..estimators.datacost.needs import Kind, Need
from ..estimators.datacost.sourcing import Policy
from ..estimators.datacost.ways import Way
from ..estimators.errors import InputError
from .options import facts_option, naming

if TYPE_CHECKING:
    from ..estimators.datacost.needs import DataPlan
    from ..estimators.datacost.plan import Setting
    from ..estimators.facts.catalog import Catalog
    from ..estimators.facts.needs import NeedRow

CostsOption = Annotated[
    list[Path] | None,
    facts_option(
        "--costs",
        metavar="FILE",
        help="Your own unit costs and data sets from a YAML file, on top of ours. May be repeated.",
    ),
]
MONTHS = 12.0
_GENERATOR, _API = "qwen3-8b", "gpt-5-mini"
_BOUGHT = ("photo", "video-hour", "video-minute", "book")


def default_setting(facts: Catalog, costs: list[Path] | None) -> Setting:
    """Return the setting of `flopwise data` without flags."""
    setting, _ = _built(facts, None, None, costs, None, None, None, None, None, False, None, None)
    return setting


def read_data_plan(path: Path, setting: Setting) -> DataPlan:
    """Return the data plan of a file of needs."""
    from ..estimators.datacost.plan import make_data_plan

    return make_data_plan(needs_of(path, setting), setting)


def needs_of(path: Path, setting: Setting) -> list[Need]:
    """Return the needs of a file.

    Raises:
        FactsError: the file breaks the grammar.
        InputError: a need names what does not exist.
    """
    from ..estimators.facts.needs import read_needs

    return [_from_row(row, setting) for row in read_needs(path)]


def data_setting(
    on: str | None,
    price: float | None,
    catalog: list[Path] | None,
    costs: list[Path] | None,
    months: float | None,
    store: str | None,
    egress: float | None,
    generator: str | None,
    api: str | None,
    batch: bool,
    keep_rate: float | None,
    annotators: float | None,
) -> tuple[Setting, dict[str, object], str]:
    """Return the setting, the stamp of the catalog, and the sentence about the chips.

    Raises:
        InputError: a name does not exist.
    """
    from ..estimators.facts.catalog import load_catalog
    from .training_options import files

    facts = load_catalog(files(catalog))
    setting, text = _built(facts, on, price, costs, months, store, egress, generator, api, batch, keep_rate, annotators)
    return setting, dict(facts.stamp()), text


def _built(
    facts: Catalog,
    on: str | None,
    price: float | None,
    costs: list[Path] | None,
    months: float | None,
    store: str | None,
    egress: float | None,
    generator: str | None,
    api: str | None,
    batch: bool,
    keep_rate: float | None,
    annotators: float | None,
) -> tuple[Setting, str]:
    from ..estimators.datacost.chips import chip
    from ..estimators.datacost.generator import writer
    from ..estimators.datacost.handling import STORES, Handling
    from ..estimators.datacost.plan import Setting
    from ..estimators.datacost.ways import Making
    from ..estimators.facts.datacosts import load_data_costs
    from ..estimators.facts.datasets import load_datasets
    from ..estimators.names import resolve

    overlays = tuple(costs or ())
    rates = load_data_costs(overlays)
    with naming("--on"):
        name, number = units.read_accelerators(on) if on else (None, None)
        found = chip(facts, name, price)
    with naming("--store"):
        kept_at = resolve(store or "s3", STORES, kind="store")
    if keep_rate is not None and keep_rate <= 0:
        raise InputError("--keep-rate: it must be more than 0.")
    with naming("--generator"):
        rate = writer(rates, facts, generator or _GENERATOR, found.accelerator)
    with naming("--api"):
        service = rates.api(api or _API).id
    handling = Handling(
        months=MONTHS if months is None else months,
        store=kept_at,
        egress_times=egress or 0.0,
        chip_hour=found.hour,
        chips=number or 8,
        filtered=False,
        deduplicated=False,
    )
    setting = Setting(
        datasets=load_datasets(overlays),
        costs=rates,
        handling=handling,
        making=Making(writer=rate, writer_hour=found.own_hour, api=service, batch=batch, keep_rate=keep_rate),
        chip=found.text,
        annotators=annotators,
    )
    text = f"{handling.chips} {found.text}" + (
        ", its speed scaled from an H100 by peak and bandwidth (not measured)" if found.is_scaled else ""
    )
    return setting, text


def make_need(
    setting: Setting,
    *,
    amount: float,
    of: Kind,
    language: str | None,
    domain: str | None,
    have: float | None,
    epochs: float | None,
    policy: Policy | None,
    close: Way | None,
    open_sets: bool,
    tokenizer: str | None,
    filtered: bool,
    kind: str | None,
    by: By | None,
    votes: float | None,
    name: str = "",
    active_learning: float = 0.0,
    deduplicated: bool = False,
) -> Need:
    """Return one need from what was typed.

    Raises:
        InputError: a language, domain or kind does not exist.
    """
    from ..estimators.facts.tokenizers import find_language
    from ..estimators.names import resolve

    with naming("--language"):
        code = find_language(language) if language else "en"
    with naming("--domain"):
        topic = resolve(domain, setting.datasets.domains, kind="domain") if domain else "web"
    label = kind or ""
    if of is Kind.ITEMS and label not in _BOUGHT:
        with naming("--kind"):
            label = setting.costs.label(label).id
    return Need(
        kind=of,
        amount=amount,
        name=name,
        language=code,
        domain=topic,
        modality="code" if topic == "code" else "text",
        have=have or 0.0,
        epochs=epochs,
        policy=policy or Policy.COMMERCIAL,
        close=close,
        open_sets=open_sets,
        tokenizer=tokenizer,
        filtered=filtered,
        label=label,
        by=by or By.PEOPLE,
        votes=votes,
        active_learning=active_learning,
        deduplicated=deduplicated,
    )


def _from_row(row: NeedRow, setting: Setting) -> Need:
    from ..estimators.names import resolve

    def choice(key: str, choices: type[Policy | Way | By]) -> str | None:
        if key not in row.texts:
            return None
        return resolve(row.texts[key], [str(each) for each in choices], kind=key)

    with naming(row.where):
        policy, close, by = choice("licence", Policy), choice("close", Way), choice("by", By)
        return make_need(
            setting,
            amount=row.amount,
            of={"items": Kind.ITEMS, "pages": Kind.PAGES, "speech_hours": Kind.SPEECH}.get(row.amount_of, Kind.TEXT),
            language=row.texts.get("language"),
            domain=row.texts.get("domain"),
            have=row.numbers.get("have"),
            epochs=row.numbers.get("epochs"),
            policy=Policy(policy) if policy else None,
            close=Way(close) if close else None,
            open_sets=row.switches.get("open_sets", True),
            tokenizer=row.texts.get("tokenizer"),
            filtered=row.switches.get("filter", False),
            kind=row.texts.get("kind"),
            by=By(by) if by else None,
            votes=row.numbers.get("votes"),
            name=row.texts.get("name", ""),
        )
