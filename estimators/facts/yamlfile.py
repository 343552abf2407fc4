"""Reading YAML fact files: strict, with line numbers for errors, and quick the second time.

YAML as PyYAML reads it has traps that change numbers without a word: a key given twice keeps the last value, `9.89e14`
is text, `no` is False, `12:30` is 750 and `010` is 8. `read` closes them: duplicate keys, anchors, tags and odd
spellings of numbers and truth values are errors that name file, line and fix; dates stay text. What remains are
mappings with text keys, lists, text, int, float, bool and None, the same that JSON holds.

A file that passed its check is kept as JSON in the user's cache folder, under the hash of its content and of the
program that checked it, so that an unchanged file is neither parsed nor checked again. The cache is an optimization
only: a folder that cannot be written, or an entry that is cut short or altered, costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ... import __version__
from ..errors import FactsError
from .folders import cache_folder

if TYPE_CHECKING:
    import yaml

Key = str | int
Check = Callable[["FactFile"], None]

MOST_BYTES = 32 * 2**20  # a fact file is typed by people; more than this is a mistake
_MOST_LEVELS = 50  # our files have fewer than 10; a limit of our own, since Python's own allows more from 3.12 on
_MOST_ENTRIES = 64  # files kept in the cache folder
_FORMAT = 1  # raised when `_plain` gives other values for the same text
_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*(?:[eE][-+][0-9]+)?")


class FactFile:
    """The content of one YAML file, and where each value stands in it.

    `file` is the name as the user knows it; `data` the content as plain values; `line("a", 3, "b")` the line of
    a[3].b, counted from 1.
    """

    def __init__(self, file: str, text: str, data: object, lines: dict[tuple[Key, ...], int] | None = None) -> None:
        self.file, self.data = file, data
        self._text, self._given_lines = text, lines

    @cached_property
    def _lines(self) -> dict[tuple[Key, ...], int]:
        # A cached file comes without line numbers: they are only wanted once something is wrong.
        if self._given_lines is None:
            return _parse(self.file, self._text)[1]
        return self._given_lines

    def line(self, *path: Key) -> int | None:
        """Return the line of the value at `path`, or of the nearest place above it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)

    def error(self, message: str, *path: Key) -> FactsError:
        """Return the error that says `message` about the value at `path`; what cannot be printed is spelled out."""
        said = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in message)
        return FactsError(said, file=self.file, line=self.line(*path))


def read(path: Path, *, name: str = "", check: Check | None = None) -> FactFile:
    """Read a YAML file, from the cache where its content is known.

    `name` is what errors call the file (the path by default). `check` raises `FactsError` where the content breaks a
    schema; a content that passed is not checked again until it or the module of `check` changes.

    Raises:
        FactsError: the file cannot be read, is no YAML, or fails `check`.
    """
    name = name or str(path)
    raw = _bytes_of(path, name)
    entry = _entry(raw, check)
    cached = _load(entry)
    if cached is not None:
        return FactFile(name, raw.decode("utf-8-sig"), cached[0])
    file = read_text(_decoded(raw, name), name=name)
    if check:
        check(file)
    _save(entry, file.data)
    return file


def read_text(text: str, *, name: str) -> FactFile:
    """Read YAML from text, without the cache."""
    data, lines = _parse(name, text)
    return FactFile(name, text, data, lines)


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise FactsError("this is a folder, a YAML file is wanted", file=name)
        if path.stat().st_size > MOST_BYTES:
            raise FactsError(f"larger than {MOST_BYTES >> 20} MiB, which no fact file is", file=name)
        return path.read_bytes()
    except FileNotFoundError:
        raise FactsError("there is no such file", file=name) from None
    except OSError as error:
        raise FactsError(f"cannot be read: {(error.strerror or str(error)).lower()}", file=name) from None


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FactsError("is not UTF-8 text; save it as UTF-8", file=name, line=line) from None


# --- parsing --------------------------------------------------------------------------------------------------------


def _parse(name: str, text: str) -> tuple[object, dict[tuple[Key, ...], int]]:
    import yaml  # 28 ms; needed only where the cache does not know the content

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise FactsError(_syntax(error, text, line), file=name, line=line) from None
    except yaml.YAMLError as error:  # an illegal character
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise FactsError("holds a character that YAML does not allow", file=name, line=line) from None
    except RecursionError:  # the loader in Python, where there is none in C
        raise FactsError("is nested too deeply", file=name) from None
    lines: dict[tuple[Key, ...], int] = {(): 1}
    if root is None:
        return None, lines
    return _plain(root, (), name, lines, set()), lines


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int | None) -> str:
    problem = error.problem or "cannot be understood"
    rows = text.splitlines()
    row = rows[line - 1] if line and line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        return "is not YAML: the line starts with a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return f"is not YAML: {problem}; put a text with ': ' in quotes, or mend the indentation"
    if "another document" in problem or "expected '<document start>'" in problem:
        return "is not YAML: one document is wanted; remove what follows"
    return f"is not YAML: {problem}"


def _plain(
    node: yaml.Node, path: tuple[Key, ...], name: str, lines: dict[tuple[Key, ...], int], seen: set[int]
) -> object:
    line = node.start_mark.line + 1

    def fail(message: str) -> NoReturn:
        raise FactsError(message, file=name, line=line)

    if len(path) > _MOST_LEVELS:
        fail(f"is nested too deeply: {_MOST_LEVELS} levels are the most")
    tag = node.tag.removeprefix(_TAG)
    if id(node) in seen:
        fail(f"{spell(path)} uses an anchor (&name, *name); write the value out")
    if tag not in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"):
        fail(f"{spell(path)} carries the tag {node.tag}; remove it")
    lines.setdefault(path, line)
    if tag == "map":
        seen.add(id(node))
        return {key: _plain(value, (*path, key), name, lines, seen) for key, value in _pairs(node, path, name, lines)}
    if tag == "seq":
        seen.add(id(node))
        return [_plain(value, (*path, index), name, lines, seen) for index, value in enumerate(node.value)]
    text: str = node.value
    if tag == "null":
        return None
    if tag == "bool":
        if text.lower() not in ("true", "false"):
            fail(f"{spell(path)} is {text}, which YAML reads as a truth value; write true, false or '{text}' in quotes")
        return text.lower() == "true"
    if tag == "int":
        if not _WHOLE.fullmatch(text):
            fail(f"{spell(path)} is {text}, which YAML does not read as it looks; write a plain number or use quotes")
        return int(text.replace("_", ""))
    if tag == "float":
        if not _FLOAT.fullmatch(text):
            fail(f"{spell(path)} is {text}, not a plain number; write for example 9.89e+14, or use quotes")
        return float(text.replace("_", ""))
    return text  # a date stays as it was typed


def _pairs(
    node: yaml.Node, path: tuple[Key, ...], name: str, lines: dict[tuple[Key, ...], int]
) -> Iterator[tuple[str, yaml.Node]]:
    first: dict[str, int] = {}
    for key_node, value in node.value:
        line = key_node.start_mark.line + 1
        tag = key_node.tag.removeprefix(_TAG)
        where = f" in {spell(path)}" if path else ""
        if tag == "merge":
            raise FactsError(f"merge keys (<<) are not used here{where}; write the values out", file=name, line=line)
        if tag in ("map", "seq"):
            raise FactsError(f"a key{where} must be text", file=name, line=line)
        key: str = key_node.value  # a key such as 4090 or no is meant as text
        if key in first:
            raise FactsError(
                f"{spell((*path, key))} is given twice, first in line {first[key]}; remove one", file=name, line=line
            )
        first[key] = line
        lines[*path, key] = line
        yield key, value


def spell(path: tuple[Key, ...]) -> str:
    """Return `a.b[3].c` for the path ("a", "b", 3, "c")."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text or "the file"


# --- cache ----------------------------------------------------------------------------------------------------------


def _entry(raw: bytes, check: Check | None) -> Path | None:
    """Return where the parsed form of `raw` is kept, or None where there is no place for it."""
    stamp = f"{_FORMAT} {__version__}"
    if check:  # a changed program checks again: all readers of facts lie in one folder
        try:
            folder = Path(check.__code__.co_filename).parent
            changed = max(entry.stat().st_mtime_ns for entry in os.scandir(folder) if entry.name.endswith(".py"))
            stamp += f" {check.__module__} {check.__qualname__} {changed}"
        except (AttributeError, OSError, ValueError):
            return None
    digest = hashlib.sha256(stamp.encode() + b"\0" + raw).hexdigest()
    try:
        return cache_folder() / "facts" / f"{digest}.json"
    except (OSError, RuntimeError):  # no home folder
        return None


def _load(entry: Path | None) -> list[object] | None:
    """Return [data], or None where the cache does not hold it whole."""
    if entry is None:
        return None
    try:
        seal, _, payload = entry.read_bytes().partition(b"\n")
        if seal.decode() != _seal(entry, payload):
            return None
        return [json.loads(payload)]
    except (OSError, ValueError, RecursionError):
        return None


def _save(entry: Path | None, data: object) -> None:
    if entry is None:
        return
    payload = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    partial = entry.with_name(f".{entry.stem}.{os.getpid()}")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(_seal(entry, payload).encode() + b"\n" + payload)
        os.replace(partial, entry)
        kept = sorted(entry.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in kept[_MOST_ENTRIES:]:
            old.unlink(missing_ok=True)
    except OSError:
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            pass


def _seal(entry: Path, payload: bytes) -> str:
    return hashlib.sha256(entry.stem.encode() + payload).hexdigest()
