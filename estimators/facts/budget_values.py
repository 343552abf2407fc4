"""Reading what people write in a budget file: `1T`, `$50k`, `15%`, `2027-03`, plain numbers; each error names its line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from datetime import date
from typing import TypeVar

from .. import units
from ..errors import InputError
from .schema import Fields, shown
from .yamlfile import FactFile, Key

_T = TypeVar("_T")
_UNPRINTED = ("Cc", "Cf", "Zl", "Zp")  # control and direction marks, other line ends: Unicode's categories
_JOINERS = "\u200c\u200d"  # inside words of some scripts


class Values(Fields):
    """A mapping of a budget file whose numbers may carry people's units."""

    def __init__(self, file: FactFile, path: tuple[Key, ...], value: object, known: Collection[str]) -> None:
        super().__init__(file, path, value, known)

    def read(self, key: str, reader: Callable[[str], _T], what: str) -> _T:
        """Return the value that `reader` makes of the text or number at `key`."""
        value = self._wanted(key, what)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.fail(key, f"{self.spelled(key)} is {shown(value)}; {what} is wanted")
        try:
            found = reader(value if isinstance(value, str) else f"{value:.15g}")
        except InputError as error:
            self.fail(key, f"{self.spelled(key)}: {error}")
        if isinstance(found, float) and found > units.MOST:
            self.fail(
                key, f"{self.spelled(key)} is {shown(value)}, it must be at most {units.MOST:g}; is the unit right?"
            )
        return found

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that a terminal, a sheet and a page can show, without spaces around it."""
        value = super().text(key, default)
        for mark in value.replace("\n", "") if key == "note" else value:
            if unicodedata.category(mark) in _UNPRINTED and mark not in _JOINERS:
                said = f"{self.spelled(key)} holds the character U+{ord(mark):04X}, which cannot be shown; remove it"
                self.fail(key, said)
        return value.strip()

    def optional(self, key: str, reader: Callable[[str], _T], what: str) -> _T | None:
        """Return the same, or None where the key is not there."""
        return self.read(key, reader, what) if key in self.values else None

    def usd(self, key: str, *, zero: bool = False) -> float:
        """Return dollars."""
        return self.read(key, lambda text: units.read_usd(text, zero=zero), "an amount of US dollars (50k)")

    def optional_usd(self, key: str, *, zero: bool = False) -> float | None:
        """Return dollars, or None where the key is not there."""
        return self.usd(key, zero=zero) if key in self.values else None

    def count(self, key: str, what: str = "a count", example: str = "50k, 1M or 2e9") -> float:
        """Return a positive count."""
        return self.read(key, lambda text: units.read_count(text, what, example), f"{what} ({example})")

    def optional_count(self, key: str, what: str = "a count", example: str = "50k, 1M or 2e9") -> float | None:
        """Return a positive count, or None where the key is not there."""
        return self.count(key, what, example) if key in self.values else None

    def share(self, key: str, default: float | None = None, *, most: float = 1.0) -> float:
        """Return a share: 0.15 or 15%; at most `most` (which may be above 1)."""
        if default is not None and key not in self.values:
            return default
        value = self.read(key, lambda text: _share(text, most), "a share (15% or 0.15)")
        if value > most:
            self.fail(key, f"{self.spelled(key)} is {shown(self.values[key])}, it must be at most {most:.0%}")
        return value

    def whole(self, key: str, default: int | None = None, *, most: int) -> int:
        """Return a whole number from 1 to `most`."""
        if default is not None and key not in self.values:
            return default
        value = self.read(key, lambda text: units.read_whole(text, example="6"), "a whole number (6)")
        if value > most:
            self.fail(key, f"{self.spelled(key)} is {shown(self.values[key])}, it must be at most {most}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is not there."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.fail(key, f"{self.spelled(key)} is {shown(value)}; write true or false")
        return value

    def month(self, key: str) -> date:
        """Return the first day of a month written as 2027-03."""
        value = self._wanted(key, "a month (2027-03)")
        return self.as_month(key, value)

    def as_month(self, key: str, value: object) -> date:
        """Return the first day of the month that `value`, the value of `key`, says."""
        text = value if isinstance(value, str) else ""
        year, _, month = text.partition("-")
        if len(year) == 4 and len(month) == 2 and (year + month).isascii() and (year + month).isdigit():
            if 1 <= int(month) <= 12 and 2000 <= int(year) <= 2200:
                return date(int(year), int(month), 1)
            self.fail(key, f"{self.spelled(key)} is '{text}', and there is no such month; write for example 2027-03")
        self.fail(key, f"{self.spelled(key)} is {shown(value)}, not a month; write for example 2027-03")

    def listed(self, key: str, what: str, most: int) -> list[object]:
        """Return a list that is there and not empty."""
        value = self.values.get(key)
        if value is None:
            self.fail(key, f"{self.spelled(key) or key} is missing; a list of {what} is wanted")
        if not isinstance(value, list) or not value:
            self.fail(key, f"{self.spelled(key)} is {shown(value)}; a list of {what} is wanted (lines with a dash)")
        if len(value) > most:
            self.fail(
                key, f"{self.spelled(key)} holds {len(value):,} {what}; at most {most} can be planned in one file"
            )
        return value


def _share(text: str, most: float) -> float:
    bare = text.strip().removesuffix("%").strip()
    if most <= 1:
        return units.read_fraction(text, "a share")
    if text.strip().endswith("%"):
        return units.read_count(bare, "a share", "15%") / 100 if bare.strip("0.") else 0.0
    return units.read_count(text, "a share", "1.5 or 150%") if bare.strip("0.") else 0.0
