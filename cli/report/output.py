"""Where an answer goes: to the screen as text, or to a file whose ending says the format.

A file is written beside its final place and then renamed, so that a reader never sees half of it and an error leaves
nothing behind. An existing file is refused unless --force is given, and keeps its permissions when it is replaced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from ...estimators.errors import InputError
from .document import Document

ENDINGS = {
    ".csv": "csv",
    ".htm": "html",
    ".html": "html",
    ".json": "json",
    ".md": "md",
    ".parquet": "parquet",
    ".tex": "latex",
    ".txt": "table",
    ".xlsx": "xlsx",
    ".yaml": "yaml",
    ".yml": "yaml",
}
FILE_WIDTH = 80  # columns of a .txt file
_ENDINGS_SHOWN = ".csv, .html, .json, .md, .parquet, .tex, .txt, .xlsx or .yaml"


def deliver(
    document: Document,
    *,
    format: str | None = None,
    output: Path | None = None,
    force: bool = False,
    explain: bool = False,
    writers: Mapping[str, Callable[[], bytes]] | None = None,
) -> None:
    """Print the document on stdout, or write it to `output` ("-" is stdout).

    `format` None means the ending of `output`, or a table. `writers` are a verb's own for some formats of files.

    Raises:
        InputError: the file exists and `force` is not given, its ending is unknown or contradicts `format`, it cannot
            be written, or a package that its format needs is missing. Nothing is written then.
    """
    chosen = choose(format, output, force)
    if explain and not document.steps:
        raise InputError("--explain: this answer is read from a table, there is nothing to explain; leave it out.")
    if output is None or str(output) == "-":
        _print(document, chosen, explain)
        return
    own = (writers or {}).get(chosen)
    write_atomically(output, own() if own else _content(document, chosen, explain))
    print(f"Wrote {output}.", file=sys.stderr)


def choose(format: str | None, output: Path | None, force: bool) -> str:
    """Return the format that `format` and `output` ask for together; refuses what cannot be written.

    A command that takes long calls this before it starts.

    Raises:
        InputError: the ending is not known, contradicts the format, or the file is there or cannot be written.
    """
    if output is None or str(output) == "-":
        if force:
            raise InputError("--force: it has no effect without --output FILE; leave it out or name a file.")
        return format or "table"
    ending = output.suffix.lower()
    if ending not in ENDINGS:
        said = f"the ending '{ending}' is not known" if ending else "the name has no ending"
        raise InputError(f"--output: cannot tell the format of '{output}', {said}; end it in {_ENDINGS_SHOWN}.")
    if format and format != ENDINGS[ending]:
        raise InputError(
            f"--format {format} contradicts --output '{output}', which means {ENDINGS[ending]}; leave --format out."
        )
    _check_place(output, force)
    return ENDINGS[ending]


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all; a file that is replaced keeps its permissions.

    Raises:
        InputError: the place cannot be written.
    """
    import tempfile

    target = path.resolve()  # a link stays a link
    try:
        if target.exists() and not target.is_file():  # a pipe or a device cannot be replaced
            target.write_bytes(content)
            return
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise InputError(f"--output: cannot write '{path}': {_reason(error)}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise InputError(f"--output: cannot write '{path}': {_reason(error)}.") from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def screen_width() -> int:
    """Return the columns of the screen: COLUMNS, else the terminal's, else 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):  # a pipe, or a stdout without a file below it
        return 80


def wants_color(stream: TextIO | None = None) -> bool:
    """Return whether to colour a stream (stdout): NO_COLOR says no, FORCE_COLOR yes, else a terminal not dumb."""
    if os.environ.get("NO_COLOR"):
        return False
    if forced := os.environ.get("FORCE_COLOR"):
        return forced not in ("0", "false")
    return (stream or sys.stdout).isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown", "")


def _print(document: Document, format: str, explain: bool) -> None:
    if format not in ("table", "json", "csv", "md", "yaml"):
        raise InputError(f"--format: '{format}' cannot be printed; write it to a file with --output.")
    from .render import render

    ascii = not _can_show(sys.stdout.encoding)
    width, color = screen_width(), wants_color()
    text = render(document, format, width=width, color=color, explain=explain, ascii=ascii)
    if ascii and format == "md":
        from .text import to_ascii

        text = to_ascii(text)
    if ascii and format in ("json", "csv", "yaml") and hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # data is UTF-8 whatever the terminal shows
        sys.stdout.buffer.flush()
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def _can_show(encoding: str | None) -> bool:
    try:
        "─×µ±→≥…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _content(document: Document, format: str, explain: bool) -> bytes:
    writers: dict[str, Callable[..., bytes]] = {}
    if format in ("xlsx", "parquet"):
        from .spreadsheet import parquet_bytes, xlsx_bytes

        writers = {"xlsx": xlsx_bytes, "parquet": parquet_bytes}
    elif format == "html":
        from .page import html_bytes

        writers = {"html": html_bytes}
    elif format == "latex":
        from .latex import latex_bytes

        writers = {"latex": latex_bytes}
    if format in writers:
        return writers[format](document, explain=explain)
    from .render import render

    return render(document, format, width=FILE_WIDTH, color=False, explain=explain).encode()


def _check_place(output: Path, force: bool) -> None:
    folder = output.resolve().parent
    if output.is_dir():
        raise InputError(f"--output: '{output}' is a folder; name a file.")
    if not folder.is_dir():
        raise InputError(f"--output: there is no folder '{folder}'; create it first.")
    if output.is_file() and not force:
        raise InputError(f"--output: '{output}' exists; add --force to replace it.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output: cannot write '{output}': the folder '{folder}' is not writable.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
