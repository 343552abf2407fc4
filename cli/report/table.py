"""A document as text for a person: the headline, facts, tables, warnings, assumptions, and what to ask next.

Everything fits the width asked for: text wraps, ranges move to a second line, `wide_only` columns go first where a
table is still too wide. Lines are drawn only under a header and above totals. Without `color` the text holds no
escapes at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...estimators.quantity import NO_RANGE, Quantity
from .document import Cell, Document, Facts, Table
from .explain import after_lines, given_line, step_line
from .layout import BOLD, CYAN, DIM, YELLOW, Styled, beside, longest_word, share, widest
from .text import cell_text, has_range, is_number, mid_text, range_text, to_ascii

PROSE = 100  # columns; longer lines are hard to read
_GAP = 2
_LONG = 24  # columns; text beyond this may wrap to make room


def render_table(document: Document, *, width: int, color: bool, explain: bool, ascii: bool = False) -> str:
    """Return the document as text of at most `width` columns."""
    printer = _Printer(width, color, ascii)
    if document.headline:
        printer.prose(document.headline, style=BOLD)
    for section in document.sections:
        printer.blank()
        if section.caption:
            printer.prose(section.caption, style=BOLD)
        if isinstance(section, Facts):
            printer.facts(section)
        else:
            printer.table(section)
    if document.warnings:
        printer.blank()
        for text in document.warnings:
            printer.marked("warning:", text, style=YELLOW)
    if document.assumptions:
        printer.blank()
        printer.prose("Assumed (change with)", style=BOLD)
        for each in document.assumptions:
            printer.marked("-", each.text, after=f"({each.flag})" if each.flag else "")
    if explain and document.steps:
        printer.blank()
        printer.prose("How it was computed", style=BOLD)
        for step in document.steps:
            printer.marked("-", step_line(step))
            for line in (*(given_line(given) for given in step.inputs), *after_lines(step)):
                printer.prose(line, indent=4, style=DIM)
    if document.next_commands:
        printer.blank()
        printer.prose("Next", style=BOLD)
        for command in document.next_commands:
            printer.prose(command, indent=2, style=CYAN)
    return "\n".join(printer.lines) + "\n"


class _Printer:
    """Collects the lines of one document; knows width, colour and character set."""

    def __init__(self, width: int, color: bool, ascii: bool) -> None:
        self.width, self.color, self.ascii = max(width, 20), color, ascii
        self.text_width = min(self.width, PROSE)
        self.lines: list[str] = []

    def blank(self) -> None:
        if self.lines:
            self.lines.append("")

    def clean(self, text: str) -> str:
        return to_ascii(text) if self.ascii else text

    def prose(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Print text wrapped at word ends."""
        found = Styled(self.clean(text), style).lines(self.text_width - indent)
        self.lines += [f"{' ' * indent}{line.painted(self.color)}".rstrip() for line in found]

    def marked(self, mark: str, text: str, *, after: str = "", style: str = "") -> None:
        """Print a mark and text that hangs behind it, and `after` (a flag) in another colour."""
        body = Styled(self.clean(text))
        if after:
            body.add(" ").add(self.clean(after), CYAN)
        widths = [len(mark), self.text_width - len(mark) - 1]
        self.lines += beside([Styled(mark, style), body], widths, [False, False], 1, self.color)

    def facts(self, facts: Facts) -> None:
        """Print labels, values and remarks in three aligned columns; remarks below the value where it is narrow."""
        rows = [
            (self.clean(label), self.clean(cell_text(cell)), self.clean(rem)) for _, label, cell, rem in facts.items
        ]
        if not rows:
            return
        label_width, value_width, remark_width = (max(map(widest, column)) for column in zip(*rows, strict=True))
        together = label_width + value_width + remark_width + 2 + 2 * _GAP <= self.width
        room = self.text_width - label_width - 2 - _GAP
        for label, value, remark in rows:
            cells = [Styled(), Styled(label), Styled(value)]
            widths = [2 - _GAP, label_width, value_width if together else room]
            if together:
                cells.append(Styled(remark, DIM))
                widths.append(remark_width)
            elif remark:
                cells[2].add("; " if widest(value) + widest(remark) + 2 <= room else "\n").add(remark, DIM)
            self.lines += beside(cells, widths, [False] * len(cells), _GAP, self.color)

    def table(self, table: Table) -> None:
        """Print rows under columns; stacks ranges and drops `wide_only` columns until it fits."""
        if not table.rows:
            self.prose("(nothing)", indent=2, style=DIM)
            return
        columns = self._columns(table, stacked=False)
        if _together(columns) > self.width and any(has_range(cell) for row in table.rows for cell in row):
            columns = self._columns(table, stacked=True)
        while _together(columns) > self.width and any(column.spare for column in columns):
            del columns[max(i for i, column in enumerate(columns) if column.spare)]
        self._grid(table, columns)
        self._notes(table, [column.place for column in columns])

    def _columns(self, table: Table, *, stacked: bool) -> list[_Column]:
        """Return the columns as text, with the width each asks for and the least it can do with."""
        first_total = len(table.rows) - table.total_rows
        found = []
        for i, column in enumerate(table.columns):
            cells = [
                self._cell(row[i], stacked, row_number >= first_total) for row_number, row in enumerate(table.rows)
            ]
            title = Styled(self.clean(column.title), BOLD)
            numbers = any(is_number(row[i]) for row in table.rows)
            widths = [widest(cell.text) for cell in cells]
            # All of a number, the words of a title and some text are kept; a long title over numbers wraps.
            least = max(longest_word(title.text), *(width if numbers else min(width, _LONG) for width in widths))
            natural = max(least, *widths) if numbers else max(least, widest(title.text), *widths)
            found.append(_Column(i, title, cells, natural, least, column.right or numbers, column.wide_only))
        return found

    def _grid(self, table: Table, columns: list[_Column]) -> None:
        room = self.width - _GAP * (len(columns) - 1)
        widths = share([column.natural for column in columns], [column.least for column in columns], room)
        right = [column.right for column in columns]
        titles = [column.title.lines(width) for column, width in zip(columns, widths, strict=True)]
        height = max(map(len, titles))
        rule = Styled(("-" if self.ascii else "─") * (sum(widths) + _GAP * (len(columns) - 1)), DIM).painted(self.color)
        for level in zip(*([Styled()] * (height - len(lines)) + lines for lines in titles), strict=True):
            self.lines += beside(level, widths, right, _GAP, self.color)
        self.lines.append(rule)
        for index in range(len(table.rows)):
            if index and index == len(table.rows) - table.total_rows:
                self.lines.append(rule)
            self.lines += beside([column.cells[index] for column in columns], widths, right, _GAP, self.color)

    def _notes(self, table: Table, shown: Sequence[int]) -> None:
        cells = [row[i] for row in table.rows for i in shown]
        bands = dict.fromkeys(cell.band for cell in cells if isinstance(cell, Quantity) and not cell.is_exact)
        if bands:
            self.prose(f"Ranges are {' and '.join(bands)} bands.", style=DIM)
        if any(isinstance(cell, Quantity) and cell.is_exact and cell.band == NO_RANGE for cell in cells):
            self.prose("~ marks an estimate for which no range is known.", style=DIM)
        dropped = [table.columns[i].title for i in range(len(table.columns)) if i not in shown]
        if dropped:
            titles = ", ".join(title.replace("\n", " ") for title in dropped)
            self.prose(f"Not shown at this width: {titles} (--format csv has all).", style=DIM)

    def _cell(self, cell: Cell, stacked: bool, total: bool) -> Styled:
        unranged = isinstance(cell, Quantity) and cell.is_exact and cell.band == NO_RANGE
        text = Styled(self.clean(f"~{mid_text(cell)}" if unranged else mid_text(cell)), BOLD if total else "")
        if isinstance(cell, Quantity) and has_range(cell):
            ends = range_text(cell)
            text.add("\n" if stacked else " ").add(self.clean(ends if stacked else f"({ends})"), DIM)
        return text


class _Column(NamedTuple):
    """One column as it will be printed; `place` is where it stands in the table."""

    place: int
    title: Styled
    cells: list[Styled]
    natural: int
    least: int
    right: bool
    spare: bool


def _together(columns: list[_Column]) -> int:
    return sum(column.least + _GAP for column in columns) - _GAP
