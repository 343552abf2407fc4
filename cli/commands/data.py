"""`flopwise data`: a need becomes a sourcing plan with its money. `data finetune`: how many examples, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators import units
from ...estimators.datacost.labels import By
from ...estimators.datacost.needs import Kind
from ...estimators.datacost.sourcing import Policy
from ...estimators.datacost.ways import Way
from ...estimators.errors import InputError
from ..data_options import MONTHS, CostsOption, data_setting, make_need, needs_of
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    count,
    fraction,
    naming,
    number,
    one_of,
    panel,
    tokens,
    usd,
)

if TYPE_CHECKING:
    from ...estimators.datacost.needs import DataPlan
    from ..report.document import Assumption

app = typer.Typer(invoke_without_command=True)

need_option, source_option = panel("The need"), panel("Where it comes from")
making_option, keeping_option = panel("How it is made"), panel("How it is kept")


@app.callback()
def data(
    context: typer.Context,
    tokens_wanted: Annotated[
        float | None, need_option("--tokens", parser=tokens, metavar="N", help="Tokens to train on: 150B.")
    ] = None,
    model: Annotated[
        float | None,
        need_option(
            "--model",
            "-m",
            parser=count,
            metavar="SIZE",
            help="Or the tokens that are best for a model of this size: 7B.",
        ),
    ] = None,
    items: Annotated[
        float | None, need_option("--items", parser=count, metavar="N", help="Or items of one --kind: 100k.")
    ] = None,
    pages: Annotated[
        float | None, need_option("--pages", parser=count, metavar="N", help="Or scanned pages to read: 10M.")
    ] = None,
    speech_hours: Annotated[
        float | None, need_option("--speech-hours", parser=count, metavar="N", help="Or hours of speech: 20k.")
    ] = None,
    needs: Annotated[
        Path | None, need_option("--needs", metavar="FILE", help="Or many needs from a YAML file.")
    ] = None,
    kind: Annotated[
        str | None,
        need_option(
            "--kind",
            metavar="NAME",
            help="classification, ner, box, polygon, segmentation, preference, preference-expert, reasoning, sft, "
            "sft-expert, photo, video-hour, video-minute or book.",
        ),
    ] = None,
    language: Annotated[
        str | None, need_option("--language", "-l", metavar="CODE", help="en, bn, Bengali, ...; en.")
    ] = None,
    domain: Annotated[
        str | None,
        need_option(
            "--domain",
            metavar="NAME",
            help="web, code, math, science, books, legal, finance, biomedical, encyclopedia, documents or synthetic.",
        ),
    ] = None,
    have: Annotated[
        float | None, source_option("--have", parser=count, metavar="N", help="Unique tokens or items you have: 20B.")
    ] = None,
    epochs: Annotated[
        float | None, source_option("--epochs", parser=count, metavar="N", help="Most passes over the data; 4.")
    ] = None,
    licence: Annotated[
        Policy | None, source_option("--licence", case_sensitive=False, help="Which open sets count; commercial.")
    ] = None,
    no_open_sets: Annotated[bool, source_option("--no-open-sets", help="Count no open set at all.")] = False,
    filter_domain: Annotated[
        bool, source_option("--filter", help="Pay for a domain filter over the open sets that are used.")
    ] = False,
    dedup: Annotated[bool, source_option("--dedup", help="Pay for removing near-duplicates too.")] = False,
    close: Annotated[
        Way | None, making_option("--close", case_sensitive=False, help="How what is missing is had.")
    ] = None,
    by: Annotated[By | None, making_option("--by", case_sensitive=False, help="Who labels; people.")] = None,
    votes: Annotated[
        float | None, making_option("--votes", parser=count, metavar="N", help="Answers per item.")
    ] = None,
    annotators: Annotated[
        float | None, making_option("--annotators", parser=count, metavar="N", help="People who label.")
    ] = None,
    active_learning: Annotated[
        float | None,
        making_option(
            "--active-learning",
            parser=fraction,
            metavar="SHARE",
            help="Items that need no label because a model chooses: 30%.",
        ),
    ] = None,
    generator: Annotated[
        str | None, making_option("--generator", metavar="MODEL", help="Open model that writes; qwen3-8b.")
    ] = None,
    api: Annotated[str | None, making_option("--api", metavar="MODEL", help="API that writes; gpt-5-mini.")] = None,
    batch: Annotated[bool, making_option("--batch", help="Take the API's batch price.")] = False,
    keep_rate: Annotated[
        float | None,
        making_option(
            "--keep-rate", parser=fraction, metavar="SHARE", help="Of synthetic text that survives filtering; 50%."
        ),
    ] = None,
    on: Annotated[str | None, making_option("--on", metavar="CHIP[:N]", help="Your chips; h100-sxm:8.")] = None,
    price: Annotated[
        float | None, making_option("--price", parser=usd, metavar="USD", help="Price of one chip an hour.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        keeping_option(
            "--tokenizer",
            metavar="NAME",
            help="llama-3, llama-2, llama-4, o200k, cl100k, gpt2, qwen or tekken; llama-3.",
        ),
    ] = None,
    months: Annotated[
        float | None,
        keeping_option(
            "--months", parser=number(0, 1200, "12"), metavar="N", help="How long it is kept; 12. 0 keeps nothing."
        ),
    ] = None,
    store: Annotated[str | None, keeping_option("--store", metavar="NAME", help="s3, r2 or b2; s3.")] = None,
    egress: Annotated[
        float | None,
        keeping_option("--egress", parser=number(0, 1e6, "2"), metavar="N", help="How often it is taken out whole; 0."),
    ] = None,
    all_sets: Annotated[bool, typer.Option("--all", help="List the sets that are not needed too.")] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
    costs: CostsOption = None,
) -> None:
    """Tokens or items, from which sets, under which licence, what is missing, and what each way to close the gap costs.

    Every line carries its unit cost, quantity, source, year and range; totals are sums to the cent. `flopwise data finetune`
    says how many examples a fine-tune takes.
    """
    if context.invoked_subcommand:
        return
    given = one_of(tokens=tokens_wanted, model=model, items=items, pages=pages, speech_hours=speech_hours, needs=needs)
    if given is None:
        raise InputError("`flopwise data` needs --tokens, --model, --items, --pages, --speech-hours or --needs FILE.")
    from ...estimators.datacost.plan import make_data_plan, tokens_for_model
    from ..report.data import data_document
    from ..report.output import choose, deliver

    choose(format, output, force)
    setting, stamp, chip_text = data_setting(
        on, price, catalog, costs, months, store, egress, generator, api, batch, keep_rate, annotators
    )
    wanted = tokens_wanted if tokens_wanted is not None else tokens_for_model(model) if model else None
    if needs is not None:
        for flag, value in (("--kind", kind), ("--language", language), ("--domain", domain), ("--have", have)):
            if value is not None:
                raise InputError(f"{flag}: with --needs it stands in the file; leave it out.")
        asked = needs_of(needs, setting)
    else:
        if active_learning is not None and (given != "--items" or active_learning >= 1):
            raise InputError("--active-learning: it is for --items, and below 100%; leave it out.")
        if dedup and given not in ("--tokens", "--model"):
            raise InputError("--dedup: it is for --tokens or --model; leave it out.")
        _check_flags(given, kind, by, votes, domain, language, epochs, tokenizer, filter_domain)
        asked = [
            make_need(
                setting,
                amount=wanted or items or pages or speech_hours or 0.0,
                of={"--items": Kind.ITEMS, "--pages": Kind.PAGES, "--speech-hours": Kind.SPEECH}.get(given, Kind.TEXT),
                language=language,
                domain=domain,
                have=have,
                epochs=epochs,
                policy=licence,
                close=close,
                open_sets=not no_open_sets,
                tokenizer=tokenizer,
                filtered=filter_domain,
                kind=kind,
                by=by,
                votes=votes,
                active_learning=active_learning or 0.0,
                deduplicated=dedup,
            )
        ]
    plan = make_data_plan(asked, setting)
    document = data_document(
        plan,
        {
            "tokens": tokens_wanted,
            "model_params": model,
            "items": items,
            "pages": pages,
            "speech_hours": speech_hours,
            "needs": str(needs) if needs else None,
            "kind": kind,
            "language": language,
            "domain": domain,
            "have": have,
            "epochs": epochs,
            "licence": licence,
            "close": close,
            "by": by,
            "months": MONTHS if months is None else months,
            "store": store or "s3",
            "costs": list(setting.costs.overlays),
        },
        assumptions=_assumptions(plan, chip_text, epochs, months, store, model),
        warnings=(),
        catalog=stamp,
        show_sets=all_sets,
    )
    deliver(document, format=format, output=output, force=force, explain=explain)


@app.command("finetune")
def finetune(
    goal: Annotated[
        str,
        typer.Option(
            "--goal", "-g", metavar="NAME", help="style, classification, domain, general, preference or reasoning."
        ),
    ],
    examples: Annotated[
        float | None, typer.Option("--examples", parser=count, metavar="N", help="Price so many instead: 10k.")
    ] = None,
    by: Annotated[By | None, typer.Option("--by", case_sensitive=False, help="Who makes them; people.")] = None,
    curve: Annotated[
        list[str] | None,
        typer.Option("--curve", metavar="N:LOSS", help="Your own test loss at N examples. Give 3 to 5 sizes."),
    ] = None,
    target_loss: Annotated[
        float | None, typer.Option("--target-loss", metavar="LOSS", help="With --curve: examples to reach it.")
    ] = None,
    annotators: Annotated[
        float | None, typer.Option("--annotators", parser=count, metavar="N", help="People who label.")
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    costs: CostsOption = None,
) -> None:
    """How many examples a fine-tune takes, what they cost, and how to measure your own curve first."""
    from ...estimators.datacost.finetune import finetune_plan
    from ...estimators.facts.datacosts import load_data_costs
    from ..report.data import finetune_document
    from ..report.document import Assumption
    from ..report.output import choose, deliver

    choose(format, output, force)
    if target_loss is not None and not target_loss > 0:
        raise InputError("--target-loss: it must be more than 0.")
    facts = load_data_costs(tuple(costs or ()))
    with naming("--goal"):
        wanted = facts.finetune(goal)
    with naming("--curve"):
        points = [_curve_point(text) for text in curve or ()]
    plan = finetune_plan(
        wanted,
        facts,
        examples=examples,
        by=by or By.PEOPLE,
        curve=points,
        target_loss=target_loss,
        annotators=annotators,
    )
    document = finetune_document(
        plan,
        {"goal": wanted.id, "examples": examples, "by": by or By.PEOPLE, "curve": list(curve or ())},
        (Assumption(f"made by {by or By.PEOPLE}", "--by"),),
    )
    deliver(document, format=format, output=output, force=force, explain=explain)


def _curve_point(text: str) -> tuple[float, float]:
    size, colon, loss = text.partition(":")
    if not colon:
        raise InputError(f"'{text}' is not examples and loss; write for example 1k:0.82.")
    return units.read_count(size, "a number of examples", "1k"), units.read_count(loss, "a loss", "0.82")


def _check_flags(
    given: str,
    kind: str | None,
    by: By | None,
    votes: float | None,
    domain: str | None,
    language: str | None,
    epochs: float | None,
    tokenizer: str | None,
    filtered: bool,
) -> None:
    is_text = given in ("--tokens", "--model")
    if given == "--items" and kind is None:
        raise InputError("--items: of which kind? Add --kind, for example --kind preference.")
    for flag, value in (("--kind", kind), ("--by", by), ("--votes", votes)):
        if value is not None and given != "--items":
            raise InputError(f"{flag}: it is for --items; leave it out.")
    for flag, wanted in (("--domain", domain), ("--epochs", epochs), ("--filter", filtered or None)):
        if wanted is not None and not is_text:
            raise InputError(f"{flag}: it is for --tokens or --model; leave it out.")
    if (language is not None or tokenizer is not None) and given == "--items":
        flag = "--language" if language is not None else "--tokenizer"
        raise InputError(f"{flag}: the price of items is known without it; leave it out.")


def _assumptions(
    plan: DataPlan, chip_text: str, epochs: float | None, months: float | None, store: str | None, model: float | None
) -> tuple[Assumption, ...]:
    from ...estimators.datacost.plan import FREE_EPOCHS
    from ..report.document import Assumption

    found = []
    ids = {each.unit_cost.id for each in plan.lines} | {
        each.unit_cost.id for part in plan.parts for way in part.closings for each in way.lines
    }
    if model:
        found.append(Assumption("the tokens that law besiroglu finds best for the size", "--tokens"))
    if any(part.need.kind is Kind.TEXT for part in plan.parts):
        found.append(Assumption(f"at most {epochs or FREE_EPOCHS:g} epochs", "--epochs"))
    if "accelerator-hour" in ids:
        found.append(Assumption(f"chips: {chip_text}", "--on, --price"))
    if any(each.startswith("object-storage") for each in ids):
        kept = f"kept {MONTHS if months is None else months:g} months at {store or 's3'}"
        found.append(Assumption(kept, "--months, --store"))
    found.append(Assumption("unit costs are what was published: replace them with your quotes", "--costs"))
    return tuple(found)
