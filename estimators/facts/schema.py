"""Taking fields out of a YAML mapping, strictly: the sentences that a person sees when a fact file is wrong.

A `Fields` wraps one mapping of a `FactFile`. It refuses unknown keys with the nearest known one, and each reader
refuses a value of the wrong kind with what was found, what is wanted and how to write it. Nothing is converted in
silence: a number given as text is an error.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from ..names import nearest
from .yamlfile import FactFile, Key, spell

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


class Fields:
    """One mapping at `path` of `file`; `known` are the keys that it may hold."""

    def __init__(self, file: FactFile, path: tuple[Key, ...], value: object, known: Collection[str]) -> None:
        self.file, self.path = file, path
        if not isinstance(value, dict):
            raise file.error(f"{spell(path)} is {shown(value)}, a mapping (key: value lines) is wanted", *path)
        self.values: Mapping[str, object] = value
        for key in value:
            if key not in known:
                close = nearest(key, known)
                hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
                self.fail(key, f"{spell((*path, key))} is not a known key; {hint}")

    def fail(self, key: str, message: str) -> NoReturn:
        """Raise the error that says `message` about `key`."""
        raise self.file.error(message, *self.path, key)

    def spelled(self, key: str) -> str:
        """Return the full name of `key`, as errors print it."""
        return spell((*self.path, key))

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def _wanted(self, key: str, what: str) -> object:
        value = self.values.get(key)
        if value is None:
            said = "is empty" if key in self.values else "is missing"
            self.fail(key, f"{self.spelled(key)} {said}; {what} is wanted")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without `default` it must be there."""
        if default is not None and key not in self:
            return default
        value = self._wanted(key, "a text")
        if not isinstance(value, str):
            self.fail(key, f"{self.spelled(key)} is {shown(value)}, a text is wanted; write it in quotes")
        if not value.strip():
            self.fail(key, f"{self.spelled(key)} is empty; a text is wanted")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return one of `choices`."""
        if default is not None and key not in self:
            return default
        value = self._wanted(key, f"one of {', '.join(choices)}")
        if value not in choices:
            close = nearest(str(value), choices)
            hint = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(choices)}"
            self.fail(key, f"{self.spelled(key)} is {shown(value)}, which is not a choice; {hint}")
        return str(value)

    def number(self, key: str, *, above: float | None = 0.0, at_least: float | None = None) -> float:
        """Return a number, which must be there: above 0 unless said otherwise."""
        return as_number(self.file, (*self.path, key), self._wanted(key, "a number"), above=above, at_least=at_least)

    def optional_number(self, key: str, *, above: float | None = 0.0, at_least: float | None = None) -> float | None:
        """Return a number, or None where the key is not there."""
        return self.number(key, above=above, at_least=at_least) if key in self else None

    def optional_whole(self, key: str) -> int | None:
        """Return a whole number of at least 1, or None where the key is not there."""
        value = self.optional_number(key)
        if value is None:
            return None
        if value != int(value):
            self.fail(key, f"{self.spelled(key)} is {shown(self.values[key])}, a whole number is wanted")
        return int(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the key is not there."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fail(key, f"{self.spelled(key)} is {shown(value)}, a list is wanted; write [{value}]")
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item.strip():
                path = (*self.path, key, index)
                raise self.file.error(f"{spell(path)} is {shown(item)}, a text is wanted; write it in quotes", *path)
        if len(set(value)) < len(value):
            self.fail(key, f"{self.spelled(key)} holds an entry twice; remove one")
        return tuple(value)

    def date(self, key: str, *, bracket: bool = False) -> str:
        """Return an ISO date, month or year; with `bracket` also two of them with `..` between."""
        value = self.text(key)
        parts = value.split("..") if bracket else [value]
        if len(parts) > 2 or not all(is_date(part) for part in parts) or parts[0] > parts[-1]:
            also = ' or "2025-09..2026-08" (first to last)' if bracket else ""
            self.fail(key, f'{self.spelled(key)} is \'{value}\', not a date; write "2026-11-22", "2026-11"{also}')
        return value


def as_number(
    file: FactFile, path: tuple[Key, ...], value: object, *, above: float | None = 0.0, at_least: float | None = None
) -> float:
    """Return `value` as a number within its limits, or raise the error about it at `path`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise file.error(f"{spell(path)} is {shown(value)}, not a number{_hint(value)}", *path)
    if at_least is not None and value < at_least:
        raise file.error(f"{spell(path)} is {value}, it must be at least {at_least:g}", *path)
    if at_least is None and above is not None and value <= above:
        raise file.error(f"{spell(path)} is {value}, it must be more than {above:g}", *path)
    if abs(value) > 1e30:
        raise file.error(f"{spell(path)} is {value:g}, which is too large to be true", *path)
    return float(value)


def _hint(value: object) -> str:
    """How to write a number that was given as text."""
    if isinstance(value, str):
        bare = value.strip().replace(",", "").replace("_", "")
        if match := re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+))[eE]([-+]?\d+)", bare):
            mantissa = match[1] if "." in match[1] else f"{match[1]}.0"
            return f" (YAML wants a dot and a signed exponent: {mantissa}e{int(match[2]):+d})"
        if match := re.match(r"[-+$]*\s*(\d+\.?\d*|\.\d+)", bare):
            return f"; write {match[1]} without quotes or unit, the unit is in the key"
    return "; write a plain number, the unit is in the key"


def shown(value: object) -> str:
    """Return a value as errors quote it."""
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def is_date(text: str) -> bool:
    """Whether `text` is an ISO date, month or year that exists."""
    try:
        first_day(text)
    except ValueError:
        return False
    return True


def first_day(text: str) -> datetime.date:
    """Return the first day that an ISO date, month or year can mean.

    >>> first_day("2026-11")
    datetime.date(2026, 11, 1)
    """
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not an ISO date")
    return datetime.date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
