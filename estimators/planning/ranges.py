"""Lists and ranges on one flag: `7B,13B`, `8..512`, `1B..64Bx2`, `100B..500B+100B`.

A range goes from its first to its last value, doubling unless it says otherwise: `x3` multiplies, `+8` adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..errors import InputError
from ..units import show_count

MOST_VALUES = 10_000
_STEP = re.compile(r"(.+?)(?:x(\d+(?:\.\d+)?)|\+(\S+))?$")


def read_values(text: str, read: Callable[[str], float], example: str = "8,64 or 8..512x2") -> tuple[float, ...]:
    """Return the numbers that a list or a range means, ascending and each once.

    >>> read_values("1..8, 5", float)
    (1.0, 2.0, 4.0, 5.0, 8.0)

    Raises:
        InputError: a part that cannot be read, or a range that goes nowhere.
    """
    found: set[float] = set()
    for part in text.split(","):
        part = part.strip()
        if not part:
            raise InputError(f"'{text}' has an empty place between commas; write for example {example}.")
        low, dots, rest = part.partition("..")
        if not dots:
            found.add(read(part))
            continue
        match = _STEP.fullmatch(rest.strip())
        if not match or not low.strip():
            raise InputError(f"'{part}' is not a range; write for example {example}.")
        found.update(_range(part, read(low), read(match[1]), match[2], match[3], read))
    if len(found) > MOST_VALUES:
        raise InputError(f"'{text}' means {len(found):,} values; at most {MOST_VALUES:,} can be compared on one flag.")
    return tuple(sorted(found))


def read_names(text: str, every: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of a list, each once; `all` means every one there is.

    Raises:
        InputError: there is nothing between two commas.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in names:
        raise InputError(f"'{text}' has an empty place between commas; remove one comma.")
    return tuple(every) if names == ("all",) and every else names


def _range(
    part: str, low: float, high: float, factor: str | None, step: str | None, read: Callable[[str], float]
) -> list[float]:
    if high < low:
        raise InputError(f"'{part}' runs downwards; write {show_count(high)}..{show_count(low)}.")
    values, value = [], low
    if step is not None:
        size = read(step)
        if (high - low) / size > MOST_VALUES:
            raise InputError(f"'{part}' means more than {MOST_VALUES:,} values; take a larger step.")
        return [low + index * size for index in range(int((high - low) / size * (1 + 1e-12)) + 1)]
    by = float(factor) if factor else 2.0
    if by <= 1:
        raise InputError(f"'{part}' multiplies by {by:g}; write a factor above 1, for example x2.")
    while value <= high * (1 + 1e-9):
        values.append(value)
        value *= by
        if len(values) > MOST_VALUES:
            raise InputError(f"'{part}' means more than {MOST_VALUES:,} values; take a larger factor.")
    return values
