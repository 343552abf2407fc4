"""`flopwise datasets`: the open data sets and the user's own, with licences and what overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...estimators.errors import InputError
from ...estimators.facts.datasets import Dataset, Datasets, load_datasets
from ..options import ForceOption, FormatOption, OutputOption
from ..report.document import Cell, Column, Document, Facts, Table, Value
from ..report.output import deliver

app = typer.Typer(no_args_is_help=True)

CostsOption = Annotated[
    list[Path] | None,
    typer.Option("--costs", metavar="FILE", help="Your own data sets from a YAML file. May be repeated."),
]


@app.command("list")
def list_sets(
    modality: Annotated[
        str | None, typer.Option("--modality", metavar="NAME", help="text, code, sft, preference, image, audio, video.")
    ] = None,
    language: Annotated[str | None, typer.Option("--language", "-l", metavar="CODE", help="en, bn, ...")] = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only those whose card says commercial use is fine.")
    ] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    costs: CostsOption = None,
) -> None:
    """Every data set: size, licence, whether it may be used commercially, and its family of overlapping sets."""
    from ...estimators.facts.tokenizers import find_language

    sets = load_datasets(tuple(costs or ()))
    code = find_language(language) if language else None
    found = [each for each in sets.all if not commercial or each.commercial == "yes"]
    if modality:
        found = [each for each in found if modality.lower() in each.modality.lower()]
        if not found:
            known = sorted({each.modality for each in sets.all})
            raise InputError(f"--modality: no data set is '{modality}'; there are {', '.join(known)}.")
    if code:
        found = [each for each in found if each.speaks(code) is not False]
    _deliver(found, sets, f"{len(found)} data sets.", "datasets.list", format, output, force)


@app.command("search")
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A word of its name, domain, licence, note or source.")],
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    costs: CostsOption = None,
) -> None:
    """Data sets that mention a word."""
    sets = load_datasets(tuple(costs or ()))
    words = text.lower().split()
    if not words:
        raise InputError("search needs a word; write for example `flopwise datasets search math`.")
    found = [each for each in sets.all if all(word in _haystack(each) for word in words)]
    _deliver(found, sets, f"{len(found)} data sets mention '{text}'.", "datasets.search", format, output, force)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set: fineweb-edu.")],
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    costs: CostsOption = None,
) -> None:
    """One data set, and which others hold much of the same."""
    sets = load_datasets(tuple(costs or ()))
    each = sets.find(name)
    same = [other.name for other in sets.all if each.family and other.family == each.family and other.id != each.id]
    items: list[tuple[str, str, Cell, str]] = [
        ("modality", "Modality", each.modality, each.domain),
        ("languages", "Languages", each.languages_text, ""),
        ("tokens", "Tokens", Value(each.tokens, "tokens") if each.tokens else "not given", each.tokens_basis),
        ("by_language", "By language", _counted_languages(each), each.language_basis),
        ("items", "Items", Value(each.items, "items") if each.items else "not given", each.item_unit),
        ("size", "Size", Value(each.size_bytes, "bytes") if each.size_bytes else "not given", ""),
        ("licence", "Licence", each.licence, each.terms),
        ("commercial", "Commercial use", each.commercial, "from the card, not checked by a lawyer"),
        ("gated", "Gated", each.gated, "gated is not non-commercial"),
        (
            "family",
            "Overlaps with",
            ", ".join(same) or "nothing known",
            "their tokens must not be added" if same else "",
        ),
        ("note", "Note", each.note or "none", ""),
        ("source", "Source", each.source, f"{each.year}, {each.status}; {each.origin}"),
    ]
    document = Document(
        verb="datasets.show",
        headline=f"{each.name}: {each.modality}, {each.domain}.",
        inputs={"name": name},
        result={"dataset": {**_twin(each), **_by_language(each)}, "overlaps_with": same},
        sections=(Facts("dataset", tuple(items)),),
    )
    deliver(document, format=format, output=output, force=force)


def _deliver(
    found: list[Dataset],
    sets: Datasets,
    headline: str,
    verb: str,
    format: str | None,
    output: Path | None,
    force: bool,
) -> None:
    columns = (
        Column("id", "Set"),
        Column("modality", "Modality"),
        Column("languages", "Languages", wide_only=True),
        Column("tokens", "Tokens", right=True),
        Column("items", "Items", right=True, wide_only=True),
        Column("commercial", "Commercial"),
        Column("licence", "Licence", wide_only=True),
        Column("family", "Family"),
        Column("status", "Trust", wide_only=True),
    )
    rows = tuple(
        (
            each.id,
            each.modality,
            each.languages_text,
            Value(each.tokens, "tokens") if each.tokens else None,
            Value(each.items, "items") if each.items else None,
            each.commercial,
            each.licence,
            each.family,
            each.status,
        )
        for each in found
    )
    document = Document(
        verb=verb,
        headline=headline,
        inputs={},
        result={"datasets": [_twin(each) for each in found], "overlays": list(sets.overlays)},
        sections=(Table("datasets", columns, rows),),
        next_commands=("flopwise datasets show fineweb-edu",),
    )
    deliver(document, format=format, output=output, force=force)


def _counted_languages(each: Dataset) -> str:
    text = [
        f"{code} {held / 1e9:,.3g} GB" if held < 1e12 else f"{code} {held / 1e12:.3g} TB" for code, held in _sizes(each)
    ]
    tokens = [f"{code} {count / 1e9:,.3g}B tokens" for code, count in sorted(each.tokens_by_language.items())]
    return ", ".join((*text, *tokens)) or "not given"


def _by_language(each: Dataset) -> dict[str, object]:
    return {
        "tokens_by_language": dict(each.tokens_by_language),
        "text_bytes_by_language": dict(each.text_bytes_by_language),
        "language_basis": each.language_basis,
    }


def _sizes(each: Dataset) -> list[tuple[str, float]]:
    return sorted(each.text_bytes_by_language.items(), key=lambda item: -item[1])


def _haystack(each: Dataset) -> str:
    parts = (each.id, each.name, each.modality, each.domain, each.languages_text, each.licence, each.note, each.source)
    return " ".join(parts).lower()


def _twin(each: Dataset) -> dict[str, object]:
    names = ("id", "name", "modality", "domain", "languages_text", "tokens", "tokens_basis", "items", "item_unit")
    more = (
        "size_bytes",
        "licence",
        "gated",
        "commercial",
        "terms",
        "family",
        "year",
        "note",
        "source",
        "status",
        "origin",
    )
    return {name: getattr(each, name) for name in (*names, *more)}
