"""The errors a person can cause, each one sentence with the value, what was expected and the nearest match.

    FlopwiseError            exit code
    ├── InputError           2    an option, a name, a unit or a file that we cannot take
    │   └── UnknownName      2    a name that no table holds
    ├── FactsError           2    a fact file (catalog, overlay, measurement) that breaks its schema
    └── AnswerIsNo           3    the question was fine and the answer is no
        └── DoesNotFit       3    no layout fits the memory

`cli.app.main` prints the sentence on stderr and leaves with the exit code; anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations


class FlopwiseError(Exception):
    """Something a person can cause and repair; `str(error)` is the whole sentence to print."""

    exit_code = 2


class InputError(FlopwiseError):
    """An input that cannot be used: wrong unit, negative number, contradiction, unreadable file."""


class UnknownName(InputError):
    """A name that no table holds.

    `kind` is the noun ("accelerator"), `name` what was typed, `nearest` the closest valid names, best first,
    `listing` the command that lists all valid names.
    """

    def __init__(self, kind: str, name: str, nearest: tuple[str, ...] = (), listing: str = "") -> None:
        self.kind, self.name, self.nearest, self.listing = kind, name, nearest, listing
        hint = f"; did you mean {_either(nearest)}?" if nearest else ""
        where = f" `{listing}` lists them." if listing else ""
        end = "" if hint else "."
        super().__init__(f"no {kind} is called '{name}'{hint}{end}{where}")


class FactsError(FlopwiseError):
    """A fact file breaks its schema; names the file, line, field and the fix.

    `file` is the name as the user knows it, `line` counts from 1 (None when the file has no such place).
    """

    def __init__(self, message: str, *, file: str = "", line: int | None = None) -> None:
        self.file, self.line = file, line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{place}{message}")


class AnswerIsNo(FlopwiseError):
    """The question was understood and the answer is no (does not fit, over the limit)."""

    exit_code = 3


class DoesNotFit(AnswerIsNo):
    """No layout fits the memory of the accelerators asked for."""


def _either(names: tuple[str, ...]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
