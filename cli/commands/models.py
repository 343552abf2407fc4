"""`flopwise models`: list, show, fetch. Reads what was typed, filters and sorts; no arithmetic."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.errors import InputError
from ...estimators.models.shape import ModelKind
from ...estimators.names import fold, nearest
from ..options import (
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    complete_model,
    count,
    naming,
    panel,
    whole,
)

if TYPE_CHECKING:
    from ..report.models import Listed

app = typer.Typer(no_args_is_help=True)

filter_option = panel("Which ones")


class Sort(StrEnum):
    """Orders of `models list`."""

    FILE = "file"
    NAME = "name"
    SIZE = "size"
    ACTIVE = "active"
    LAYERS = "layers"
    CONTEXT = "context"
    TOKENS = "tokens"


@app.command("list")
def list_models(
    family: Annotated[
        str | None, filter_option("--family", metavar="NAME", help="Only these families: Llama, or Llama 3.")
    ] = None,
    kind: Annotated[ModelKind | None, filter_option("--kind", case_sensitive=False, help="Only this kind.")] = None,
    mixtures: Annotated[bool, filter_option("--mixtures", help="Only mixtures of experts.")] = False,
    min_size: Annotated[
        float | None,
        filter_option("--min-size", parser=count, metavar="N", help="At least so many parameters, for example 7B."),
    ] = None,
    max_size: Annotated[
        float | None, filter_option("--max-size", parser=count, metavar="N", help="At most so many parameters.")
    ] = None,
    sort: Annotated[
        Sort, filter_option("--sort", case_sensitive=False, help="Largest first; name: A to Z.")
    ] = Sort.FILE,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """List model presets with their size, context and training tokens."""
    from ...estimators.facts.models import load_preset, preset_names
    from ...estimators.models.parameters import count_parameters
    from ..report.models import Listed, list_document
    from ..report.output import deliver

    if min_size and max_size and min_size > max_size:
        raise InputError("--min-size is above --max-size; no model can be both.")
    presets = [load_preset(name) for name in preset_names()]
    if family:
        families = {fold(preset.shape.family): preset.shape.family for preset in presets}
        wanted = _families(family, families)
        presets = [preset for preset in presets if preset.shape.family in wanted]
    if kind:
        presets = [preset for preset in presets if preset.shape.kind == kind]
    if mixtures:
        presets = [preset for preset in presets if preset.shape.is_mixture]
    found = [Listed(preset, count_parameters(preset.shape)) for preset in presets]
    found = [each for each in found if (min_size or 0) <= each.count.total <= (max_size or float("inf"))]
    if not found:
        raise InputError("no model matches; `flopwise models list` without filters lists all of them.")
    inputs = {
        "family": family,
        "kind": kind,
        "mixtures": mixtures,
        "min_size": min_size,
        "max_size": max_size,
        "sort": sort,
    }
    document = list_document(_sorted(found, sort), len(preset_names()), inputs)
    deliver(document, format=format, output=output, force=force)


@app.command("show")
def show_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A preset (llama-3-8b), a size (7B, 30B-A3B, 8x7B), or a config.json or the folder that holds one.",
            autocompletion=complete_model,
        ),
    ],
    seq: Annotated[
        int | None,
        typer.Option("--seq", parser=whole, metavar="N", help="Tokens per sequence, for FLOPs and cache."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
) -> None:
    """Show one model: shape, parameters by part, FLOPs per token, cache, and what is published about it."""
    from ...estimators.models.resolve import resolve_model
    from ...estimators.training.job import default_sequence
    from ..report.models import show_document
    from ..report.output import deliver

    resolved = resolve_model(model)
    if seq and resolved.shape.countable_only:
        raise InputError(f"--seq: it has no effect, for the FLOPs of a {resolved.shape.kind} are not estimated.")
    sequence = seq or default_sequence(resolved.shape)
    document = show_document(resolved, model, sequence, chosen=seq is not None)
    deliver(document, format=format, output=output, force=force, explain=explain)


@app.command("fetch")
def fetch_model(
    hub_id: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A model on the Hugging Face hub.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch again where the config is here already.")] = False,
) -> None:
    """Fetch the config.json of a model over the network and keep it, so that OWNER/NAME works everywhere.

    HF_TOKEN opens gated models; HF_ENDPOINT names another hub. No weights are fetched.
    """
    import json

    from ...estimators.models.huggingface import check_hub_id, fetch_config, shape_from_config
    from ...estimators.models.parameters import count_parameters
    from ...estimators.models.resolve import fetched_folder
    from ...estimators.units import show_count
    from ..report.output import write_atomically

    check_hub_id(hub_id)
    folder = fetched_folder(hub_id)
    file = folder / "config.json"
    if file.exists() and not force:
        raise InputError(f"the config of '{hub_id}' is here already ({file}); --force fetches it again.")
    values = fetch_config(hub_id)
    reading = shape_from_config(values, hub_id)  # refuse what we cannot read before anything is written
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder '{folder}': {(error.strerror or str(error)).lower()}.") from None
    with naming("fetch"):
        write_atomically(file, (json.dumps(values, indent=2) + "\n").encode())
    size = show_count(count_parameters(reading.shape).total)
    typer.echo(f"Fetched the config of {hub_id}: {size} parameters. Kept in {file}.", err=True)
    typer.echo(f"Next: flopwise models show {hub_id}", err=True)


def _families(typed: str, families: dict[str, str]) -> set[str]:
    """Return the families that were typed, or that begin with it; none is an error."""
    key = fold(typed)
    found = {name for folded, name in families.items() if folded == key or folded.startswith(f"{key}-")}
    if found:
        return found
    close = nearest(key, families, 1)
    hint = f"did you mean '{families[close[0]]}'?" if close else f"there are {', '.join(families.values())}."
    raise InputError(f"--family: no family is called '{typed}'; {hint}")


def _sorted(found: list[Listed], sort: Sort) -> list[Listed]:
    """Order rows, largest first; what lacks the value comes last."""
    if sort is Sort.FILE:
        return found
    if sort is Sort.NAME:
        return sorted(found, key=lambda each: each.preset.shape.name.lower())

    def value(each: Listed) -> float:
        shape = each.preset.shape
        return {
            Sort.SIZE: each.count.total,
            Sort.ACTIVE: each.count.active,
            Sort.LAYERS: shape.layers,
            Sort.CONTEXT: shape.max_tokens or 0,
            Sort.TOKENS: each.preset.published.tokens or 0,
        }[sort]

    return sorted(found, key=value, reverse=True)
