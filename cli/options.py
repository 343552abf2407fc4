"""Options that every verb shares, and readers that name the flag when a value cannot be read.

A command writes, for example:

    def train(
        budget: Annotated[float | None, typer.Option("--budget", parser=usd, metavar="USD", help="...")] = None,
        format: FormatOption = None,
        output: OutputOption = None,
        force: ForceOption = False,
        explain: ExplainOption = False,
        catalog: CatalogOption = None,
    ) -> None:

and ends with `deliver(document, format=format, output=output, force=force, explain=explain)`. A value that cannot be
read becomes "error: --budget: '50kk' is not an amount of US dollars: ...". What is found wrong only later, inside the
command, gets its flag from `naming("--on")`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..estimators import units
from ..estimators.errors import InputError

FACTS_PANEL = "Facts"

_T = TypeVar("_T")


class Format(StrEnum):
    """How an answer is printed on the screen."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"
    YAML = "yaml"


def reader(read: Callable[[str], _T]) -> Callable[[Any], _T]:
    """Return `read` as a Typer parser: its `InputError` becomes a usage error that names the flag.

    Use it for readers that take more than text: `reader(lambda text: read_count(text, "a number of tokens"))`.
    """

    def parse(value: Any) -> _T:
        if not isinstance(value, str):  # a default that is a number already
            return value  # type: ignore[no-any-return]
        try:
            return read(value)
        except InputError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


usd = reader(units.read_usd)
count = reader(units.read_count)
tokens = reader(lambda text: units.read_count(text, "a number of tokens", "1T, 300B or 2e12"))
whole = reader(units.read_whole)
duration = reader(units.read_duration_s)
memory = reader(units.read_bytes)
power = reader(units.read_power_w)
fraction = reader(units.read_fraction)
divisor = reader(partial(units.read_fraction, least=1e-3))  # a share that something is divided by
flops = reader(units.read_flops)
accelerators = reader(units.read_accelerators)


def number(least: float, most: float, example: str = "1.5") -> Callable[[Any], float]:
    """Return a Typer parser of numbers without a unit, from `least` to `most`."""
    return reader(lambda text: units.read_number(text, example=example, least=least, most=most))


def panel(title: str) -> Callable[..., Any]:
    """Return `typer.Option` for the options that stand under `title` in the help."""
    return partial(typer.Option, rich_help_panel=title)


answer_option, facts_option = panel("The answer"), panel(FACTS_PANEL)


@contextmanager
def naming(flag: str) -> Iterator[None]:
    """Put `flag` in front of an `InputError` that is raised inside, unless it is there already.

    >>> with naming("--on"):
    ...     raise InputError("no accelerator is called 'h10'")
    Traceback (most recent call last):
        ...
    flopwise.estimators.errors.InputError: --on: no accelerator is called 'h10'
    """
    try:
        yield
    except InputError as error:
        if not str(error).startswith("-"):
            error.args = (f"{flag}: {error}",)
        raise


def one_of(**flags: object) -> str | None:
    """Return the one flag among `flags` that was given (None where none was); two of them contradict each other.

    Names are Python's: `one_of(tokens=tokens, examples=examples)` says "--tokens" and "--examples".

    Raises:
        InputError: more than one was given.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} contradict each other; give one of them.")
    return given[0] if given else None


def complete_accelerator(incomplete: str) -> list[str]:
    """Complete an accelerator's name from the catalog, for the shell."""
    from ..estimators.facts.catalog import load_catalog

    return _starting(load_catalog().accelerators, incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Complete a model's preset name, for the shell."""
    from ..estimators.facts.models import preset_names

    return _starting(preset_names(), incomplete)


def _starting(names: Any, incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete.lower()))


FormatOption = Annotated[
    Format | None,
    answer_option(
        "--format", "-f", help="How to print the answer; a table where nothing else is asked for.", case_sensitive=False
    ),
]
OutputOption = Annotated[
    Path | None,
    answer_option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the answer to a file; the ending says the format: .csv, .html, .json, .md, .parquet, .tex, .txt, "
        ".xlsx or .yaml. A dash is stdout.",
    ),
]
ForceOption = Annotated[bool, answer_option("--force", help="Replace the output file where it exists.")]
ExplainOption = Annotated[bool, answer_option("--explain", help="Show every formula with its inputs and sources.")]
CatalogOption = Annotated[
    list[Path] | None,
    facts_option(
        "--catalog",
        metavar="FILE",
        help="Add your own accelerators and prices from a YAML file, on top of ours. May be repeated.",
    ),
]
