"""The Typer application: every command is registered here, so the tree is read in one place."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..estimators.errors import FlopwiseError

app = typer.Typer(
    name="flopwise",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Plan the compute and the data of a model before the first dollar is spent.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"flopwise {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Root options."""


def main() -> None:
    """Run the command; an expected error becomes one line on stderr and its exit code."""
    try:
        app(prog_name="flopwise")
    except FlopwiseError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
