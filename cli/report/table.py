"""A document as text for a person: the headline, facts, tables, warnings, assumptions, and what to ask next.

Everything fits the width asked for: text wraps, ranges move to a second line, `wide_only` columns go first where a
table is still too wide. Lines are drawn only under a header and above totals. The console is built in a function, so
that it takes the width and the colours of the moment; without `color` the text holds no escapes at all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.box import Box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table as Grid
from rich.text import Text

from ...estimators.quantity import NO_RANGE, Quantity
from .document import Cell, Document, Facts, Table
from .explain import after_lines, given_line, step_line
from .text import cell_text, has_range, is_number, mid_text, range_text, to_ascii

PROSE = 100  # columns; longer lines are hard to read
_GAP = 2
_LONG = 24  # columns; text beyond this may wrap to make room

# Only two horizontal lines: below the header and above the totals.
_LINES = Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
_LINES_ASCII = Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)


def render_table(document: Document, *, width: int, color: bool, explain: bool, ascii: bool = False) -> str:
    """Return the document as text of at most `width` columns."""
    printer = _Printer(width, color, ascii)
    if document.headline:
        printer.prose(document.headline, style="bold")
    for section in document.sections:
        printer.blank()
        if section.caption:
            printer.prose(section.caption, style="bold")
        if isinstance(section, Facts):
            printer.facts(section)
        else:
            printer.table(section)
    if document.warnings:
        printer.blank()
        for text in document.warnings:
            printer.marked("warning:", text, style="bold yellow")
    if document.assumptions:
        printer.blank()
        printer.prose("Assumed (change with)", style="bold")
        for each in document.assumptions:
            printer.marked("-", each.text, after=f"({each.flag})" if each.flag else "")
    if explain and document.steps:
        printer.blank()
        printer.prose("How it was computed", style="bold")
        for step in document.steps:
            printer.marked("-", step_line(step))
            for line in (*(given_line(given) for given in step.inputs), *after_lines(step)):
                printer.prose(line, indent=4, style="dim")
    if document.next_commands:
        printer.blank()
        printer.prose("Next", style="bold")
        for command in document.next_commands:
            printer.prose(command, indent=2, style="cyan")
    return printer.text()


class _Printer:
    """Collects the blocks of one document; knows width, colour and character set."""

    def __init__(self, width: int, color: bool, ascii: bool) -> None:
        self.width, self.ascii = max(width, 20), ascii
        self.buffer = io.StringIO()
        self.console = Console(
            file=self.buffer,
            width=self.width,
            color_system="standard" if color else None,
            force_terminal=color,
            no_color=not color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=False,
        )

    def text(self) -> str:
        """Return what was printed, without spaces at line ends."""
        return "\n".join(line.rstrip() for line in self.buffer.getvalue().splitlines()) + "\n"

    def blank(self) -> None:
        if self.buffer.tell():
            self.buffer.write("\n")

    def clean(self, text: str) -> str:
        return to_ascii(text) if self.ascii else text

    def prose(self, text: str, *, indent: int = 0, style: str = "") -> None:
        """Print text wrapped at word ends."""
        self._print(Padding(Text(self.clean(text), style=style), (0, 0, 0, indent)), min(self.width, PROSE))

    def marked(self, mark: str, text: str, *, after: str = "", style: str = "") -> None:
        """Print a mark and text that hangs behind it, and `after` (a flag) in another colour."""
        grid = Grid.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        body = Text(self.clean(text))
        if after:
            body.append(f" {self.clean(after)}", style="cyan")
        grid.add_row(Text(mark, style=style), body)
        self._print(grid, min(self.width, PROSE))

    def facts(self, facts: Facts) -> None:
        """Print labels, values and remarks in three aligned columns; remarks below the value where it is narrow."""
        values = [self.clean(cell_text(cell)) for _, _, cell, _ in facts.items]
        labels = [self.clean(label) for _, label, _, _ in facts.items]
        remarks = [self.clean(remark) for *_, remark in facts.items]
        left = max(map(len, labels), default=0) + max(map(len, values), default=0) + 2 + 2 * _GAP
        beside = any(remarks) and left + max(map(len, remarks), default=0) <= self.width
        grid = Grid.grid(padding=(0, _GAP), pad_edge=False)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        if beside:
            grid.add_column(overflow="fold", style="dim")
        for label, value, remark in zip(labels, values, remarks, strict=True):
            cell = Text(value)
            if remark and not beside:
                room = min(self.width, PROSE) - max(map(len, labels)) - 2 - _GAP
                cell.append("; " if len(value) + len(remark) + 2 <= room else "\n")
                cell.append(remark, style="dim")
            grid.add_row(Text(label), cell, *([Text(remark)] if beside else []))
        self._print(Padding(grid, (0, 0, 0, 2)), min(self.width, PROSE) if not beside else self.width)

    def table(self, table: Table) -> None:
        """Print rows under columns; drops `wide_only` columns and stacks ranges until it fits."""
        if not table.rows:
            self.prose("(nothing)", indent=2, style="dim")
            return
        shown = list(range(len(table.columns)))
        stacked = False
        while self._needed(table, shown, stacked) > self.width:
            if not stacked and any(has_range(row[i]) for row in table.rows for i in shown):
                stacked = True
                continue
            spare = [i for i in shown if table.columns[i].wide_only]
            if not spare:
                break
            shown.remove(spare[-1])
        grid = Grid(
            box=_LINES_ASCII if self.ascii else _LINES,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),  # the divider of the box, here a space, is the rest of the gap
            header_style="bold",
            border_style="dim",
            collapse_padding=True,
        )
        fits = self._needed(table, shown, stacked) <= self.width
        for i in shown:
            column = table.columns[i]
            numbers = any(is_number(row[i]) for row in table.rows)
            grid.add_column(
                Text(self._title(table, i, stacked) if numbers and fits else self.clean(column.title)),
                justify="right" if numbers or column.right else "left",
                overflow="fold",
                no_wrap=numbers and fits,  # text gives way first
            )
        first_total = len(table.rows) - table.total_rows
        for index, row in enumerate(table.rows):
            total = index >= first_total
            cells = [self._cell(row[i], stacked) for i in shown]
            grid.add_row(*cells, style=Style(bold=True) if total else None, end_section=index == first_total - 1)
        self._print(grid, self.width)
        self._notes(table, shown)

    def _notes(self, table: Table, shown: list[int]) -> None:
        cells = [row[i] for row in table.rows for i in shown]
        bands = dict.fromkeys(cell.band for cell in cells if isinstance(cell, Quantity) and not cell.is_exact)
        if bands:
            self.prose(f"Ranges are {' and '.join(bands)} bands.", style="dim")
        if any(isinstance(cell, Quantity) and cell.is_exact and cell.band == NO_RANGE for cell in cells):
            self.prose("~ marks an estimate for which no range is known.", style="dim")
        dropped = [table.columns[i].title for i in range(len(table.columns)) if i not in shown]
        if dropped:
            titles = ", ".join(title.replace("\n", " ") for title in dropped)
            self.prose(f"Not shown at this width: {titles} (--format csv has all).", style="dim")

    def _cell(self, cell: Cell, stacked: bool) -> Text:
        text = Text(self.clean(_value(cell)))
        if isinstance(cell, Quantity) and has_range(cell):
            text.append("\n" if stacked else " ")
            ends = range_text(cell)
            text.append(self.clean(ends if stacked else f"({ends})"), style="dim")
        return text

    def _needed(self, table: Table, shown: list[int], stacked: bool) -> int:
        """Return the width of the table when only titles and long text are allowed to wrap."""
        return sum(self._column_width(table, i, stacked) + _GAP for i in shown) - _GAP

    def _column_width(self, table: Table, i: int, stacked: bool) -> int:
        widths = [max(map(len, table.columns[i].title.split()), default=0)]
        for row in table.rows:
            longest = max(map(len, self._cell(row[i], stacked).plain.split("\n")))
            widths.append(longest if is_number(row[i]) else min(longest, _LONG))
        return max(widths)

    def _title(self, table: Table, i: int, stacked: bool) -> str:
        import textwrap

        return "\n".join(textwrap.wrap(self.clean(table.columns[i].title), self._column_width(table, i, stacked)))

    def _print(self, content: RenderableType, width: int) -> None:
        self.console.print(content, width=width)


def _value(cell: Cell) -> str:
    marked = isinstance(cell, Quantity) and cell.is_exact and cell.band == NO_RANGE
    return f"~{mid_text(cell)}" if marked else mid_text(cell)


def printed_cells(sections: Iterable[Table | Facts]) -> list[Cell]:
    """Return every cell of the sections, for the check that each number also stands in the JSON twin."""
    cells: list[Cell] = []
    for section in sections:
        if isinstance(section, Facts):
            cells += [cell for _, _, cell, _ in section.items]
        else:
            cells += [cell for row in section.rows for cell in row]
    return cells
