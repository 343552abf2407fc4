"""Laying text out in columns of characters: styled text, wrapping, and columns that share a width.

This is the small part of rich that an answer needs, without the 40 ms that importing and running rich takes (rich
still prints Typer's help and every progress bar). A `Styled` is text with styles on stretches of it; it wraps at word
ends and is painted with ANSI codes last, so that no width ever counts an escape.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BOLD, DIM, CYAN, YELLOW = "1", "2", "36", "1;33"
_WORD = re.compile(r"\S+(?: %)?")  # a percentage stays together


class Styled:
    """Text and the styles of its stretches, each (start, end, ANSI code)."""

    __slots__ = ("stretches", "text")

    def __init__(self, text: str = "", style: str = "") -> None:
        self.text = text
        self.stretches: list[tuple[int, int, str]] = [(0, len(text), style)] if style and text else []

    def add(self, text: str, style: str = "") -> Styled:
        """Append text in a style and return self."""
        if style and text:
            self.stretches.append((len(self.text), len(self.text) + len(text), style))
        self.text += text
        return self

    def cut(self, start: int, end: int) -> Styled:
        """Return the part from `start` to `end` with its styles."""
        part = Styled(self.text[start:end])
        part.stretches = [
            (max(a, start) - start, min(b, end) - start, style)
            for a, b, style in self.stretches
            if a < end and b > start
        ]
        return part

    def lines(self, width: int) -> list[Styled]:
        """Return the text in lines of at most `width` columns; a word that is longer is folded, never dropped."""
        found: list[Styled] = []
        offset = 0
        for paragraph in self.text.split("\n"):
            found += [self.cut(offset + a, offset + b) for a, b in _breaks(paragraph, max(width, 1))]
            offset += len(paragraph) + 1
        return found

    def painted(self, color: bool) -> str:
        """Return the text with ANSI codes around its stretches, or without."""
        if not color or not self.stretches:
            return self.text
        parts, at = [], 0
        for start, end, style in self.stretches:
            parts += [self.text[at:start], f"\x1b[{style}m", self.text[start:end], "\x1b[0m"]
            at = end
        return "".join(parts) + self.text[at:]


def columns_of(text: str) -> int:
    """Return how many columns `text` takes: two for a wide character (Chinese, Japanese, Korean), none for a mark."""
    if text.isascii() or (text.isprintable() and max(text, default="") < "\u0300"):
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(mark) else 2 if east_asian_width(mark) in "WF" else 1 for mark in text)


def widest(text: str) -> int:
    """Return the columns of the longest line of `text`."""
    return max(columns_of(line) for line in text.split("\n"))


def longest_word(text: str) -> int:
    """Return the columns of the longest word of `text`."""
    return max((columns_of(word) for word in text.split()), default=0)


def share(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return column widths that add up to at most `room`: the widest give way first, none below its least.

    Where even the least do not fit, all give way.
    """
    widths = list(natural)
    for floors in (least, [1] * len(widths)):
        while sum(widths) > room:
            loose = [i for i in range(len(widths)) if widths[i] > floors[i]]
            if not loose:
                break
            widths[max(loose, key=lambda i: widths[i])] -= 1
    return widths


def beside(cells: Sequence[Styled], widths: Sequence[int], right: Sequence[bool], gap: int, color: bool) -> list[str]:
    """Return the lines of one row: each cell wrapped in its column, padded on the left where it aligns right."""
    wrapped = [cell.lines(width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for index in range(max(map(len, wrapped), default=0)):
        parts = []
        for cell, width, is_right in zip(wrapped, widths, right, strict=True):
            line = cell[index] if index < len(cell) else Styled()
            space = " " * (width - columns_of(line.text))
            parts.append(space + line.painted(color) if is_right else line.painted(color) + space)
        lines.append((" " * gap).join(parts).rstrip())
    return lines


def _breaks(text: str, width: int) -> list[tuple[int, int]]:
    """Return start and end of each line of one paragraph."""
    lines: list[tuple[int, int]] = []
    start = end = 0
    for match in _WORD.finditer(text):
        first, last = match.span()
        if not lines and end == 0 and columns_of(text[:last]) <= width:  # leading spaces indent the first line
            end = last
            continue
        if end > start and columns_of(text[start:last]) <= width:
            end = last
            continue
        if end > start:
            lines.append((start, end))
        start, end = first, last
        while columns_of(text[start:end]) > width:
            fold = start + 1
            while fold < end and columns_of(text[start : fold + 1]) <= width:
                fold += 1
            lines.append((start, fold))
            start = fold
    if end > start or not lines:
        lines.append((start, end))
    return lines
