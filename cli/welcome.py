"""What a person sees who types `flopwise` alone: questions first, each with the command that answers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .report.output import wants_color

if TYPE_CHECKING:
    from .app import Verb


def welcome(verbs: Iterable[Verb], tagline: str) -> str:
    """Return the page: the verbs by panel, each with an example to paste."""
    verbs = tuple(verbs)
    bold, cyan, plain = ("\x1b[1m", "\x1b[36m", "\x1b[0m") if wants_color() else ("", "", "")
    lines = [f"{bold}{tagline}{plain}"]
    for panel in dict.fromkeys(verb.panel for verb in verbs):
        lines += ["", f"{bold}{panel}{plain}"]
        for verb in verbs:
            if verb.panel == panel:
                lines += [f"  {verb.summary}", f"    {cyan}{verb.example}{plain}"]
    lines += [
        "",
        "Every verb takes --format table|json|csv|md|yaml, --output FILE and --help.",
    ]
    return "\n".join(lines) + "\n"
