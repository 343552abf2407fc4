"""A budget as a workbook whose totals are formulas: change a price, an amount or a month's share, and all follows.

    Lines    cost  = ROUND(amount x Inputs!price, 2)
    Months   month = ROUND(cost x share until then, 2) - ROUND(cost x share until the month before, 2)
             contingency the same, of its share of what the stage has paid until then
    Summary  sums of Lines and Months by stage, category and month; Cash sets them against the funding

The formulas are those of `estimators/budget/lines.py`, cent for cent. Yellow cells are inputs. Every formula carries
the value it has now, so that a viewer that does not calculate shows the same.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ...estimators.budget.build import Budget
from ...estimators.budget.lines import Category
from ...estimators.budget.uncertainty import Uncertainty, cash_in
from ...estimators.errors import InputError
from .budget import cash_left, months_text
from .csvout import wide
from .document import Document, Table

if TYPE_CHECKING:
    import xlsxwriter

_FIRST = 4  # row (from 0) of the first entry of every sheet
_INSTALL = "pip install 'flopwise[export]'"


def workbook_bytes(budget: Budget, found: Uncertainty, document: Document) -> bytes:
    """Return the workbook.

    Raises:
        InputError: xlsxwriter is not installed; names the command that installs it.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise InputError(f"--output: a budget's .xlsx needs xlsxwriter; install it with `{_INSTALL}`.") from None
    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        _Book(book, budget, found, document).write()
    return buffer.getvalue()


class _Book:
    """Writes the sheets; knows in which row each price, line and month stands."""

    def __init__(self, book: xlsxwriter.Workbook, budget: Budget, found: Uncertainty, document: Document) -> None:
        self.book, self.budget, self.found, self.document = book, budget, found, document
        self.months = budget.file.months
        self.price_row = {price.key: _FIRST + index for index, price in enumerate(budget.prices)}
        self.lines = budget.lines
        self.reserves = budget.reserves
        self.last_line = _FIRST + len(self.lines) - 1
        self.last_row = self.last_line + len(self.reserves)
        self.share_row = {each.stage: _FIRST + index for index, each in enumerate(self.reserves)}
        add = book.add_format
        self.title = add({"bold": True, "font_size": 14})
        self.bold = add({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self.note = add({"italic": True, "font_color": "#555555"})
        self.usd = add({"num_format": "$#,##0.00"})
        self.total = add({"num_format": "$#,##0.00", "bold": True, "top": 1})
        self.strong = add({"bold": True, "top": 1})
        yellow = {"bg_color": "#FFF6CC", "font_color": "#1F3FBF", "border": 1, "border_color": "#E0D9B0"}
        self.price_in = add({"num_format": "$#,##0.00####", **yellow})
        self.number_in = add({"num_format": "#,##0.00##", **yellow})
        self.share_in = add({"num_format": "0.0000####", **yellow})
        self.percent_in = add({"num_format": "0.##%", **yellow})
        self.small = add({"num_format": "$#,##0.00####"})
        self.number = add({"num_format": "#,##0.00##"})
        self.percent = add({"num_format": "0.##%"})
        # Made first, so that they stand in this order.
        self.sheets = {name: book.add_worksheet(name) for name in (*_NAMES, *self._more())}

    def write(self) -> None:
        """Write all sheets."""
        self._inputs()
        self._lines()
        self._shares()
        self._months()
        self._cash()
        self._summary()
        self._tables()
        self._sources()

    def _more(self) -> tuple[str, ...]:
        return ("Cash",) if self.budget.file.funding else ()

    def _head(self, name: str, title: str, note: str, header: tuple[str, ...], widths: tuple[int, ...]) -> Any:
        sheet = self.sheets[name]
        sheet.write_string(0, 0, title, self.title)
        sheet.write_string(1, 0, note, self.note)
        for column, text in enumerate(header):
            sheet.write_string(_FIRST - 1, column, text, self.bold)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(_FIRST, 1)
        _for_paper(sheet)
        return sheet

    def _inputs(self) -> None:
        sheet = self._head(
            "Inputs",
            "Prices and contingency",
            "Change a yellow cell: every sheet follows. Low and high are 80 % ranges, for reference.",
            ("Price", "USD", "for one", "Low", "High", "Date", "Source"),
            (48, 16, 20, 14, 14, 24, 80),
        )
        for price in self.budget.prices:
            row = self.price_row[price.key]
            sheet.write_string(row, 0, price.key)
            sheet.write_number(row, 1, price.usd.mid, self.price_in)
            sheet.write_string(row, 2, price.unit)
            sheet.write_number(row, 3, price.usd.low, self.small)
            sheet.write_number(row, 4, price.usd.high, self.small)
            sheet.write_string(row, 5, price.date)
            sheet.write_string(row, 6, price.source)
        sheet.write_string(_FIRST - 1, 8, "Stage", self.bold)
        sheet.write_string(_FIRST - 1, 9, "Contingency", self.bold)
        sheet.set_column(8, 8, 28)
        sheet.set_column(9, 9, 14)
        for reserve in self.reserves:
            row = self.share_row[reserve.stage]
            sheet.write_string(row, 8, reserve.stage)
            sheet.write_number(row, 9, reserve.share, self.percent_in)

    def _lines(self) -> None:
        sheet = self._head(
            "Lines",
            "Every line",
            "Cost = amount x price of the Inputs sheet, to the cent. Amounts are what flopwise estimated: change them too.",
            (
                "Stage",
                "For what",
                "Item",
                "Amount",
                "Unit",
                "Price",
                "Cost",
                "Low amount",
                "High amount",
                "What moves it",
            ),
            (24, 18, 46, 16, 18, 16, 18, 14, 14, 36),
        )
        for index, line in enumerate(self.lines):
            row = _FIRST + index
            for column, text in ((0, line.stage), (1, str(line.category)), (2, line.item), (4, line.amount.unit)):
                sheet.write_string(row, column, text)
            sheet.write_number(row, 3, line.amount.mid, self.number_in)
            price = f"=Inputs!$B${self.price_row[line.price.key] + 1}"
            sheet.write_formula(row, 5, price, self.small, line.price.usd.mid)
            sheet.write_formula(row, 6, f"=ROUND(D{row + 1}*F{row + 1},2)", self.usd, line.cents / 100)
            sheet.write_number(row, 7, line.amount.low, self.number)
            sheet.write_number(row, 8, line.amount.high, self.number)
            sheet.write_string(row, 9, line.driver)
        for index, reserve in enumerate(self.reserves):
            row = self.last_line + 1 + index
            for column, text in ((0, reserve.stage), (1, str(Category.CONTINGENCY)), (2, "contingency"), (4, "share")):
                sheet.write_string(row, column, text)
            share = f"Inputs!$J${self.share_row[reserve.stage] + 1}"
            sheet.write_formula(row, 3, f"={share}", self.percent, reserve.share)
            names, costs = (f"${letter}${_FIRST + 1}:${letter}${self.last_line + 1}" for letter in "AG")
            paid = _sum_where(costs, names, f"$A{row + 1}")
            sheet.write_formula(row, 6, f"=ROUND(D{row + 1}*{paid},2)", self.usd, reserve.cents / 100)
        total = self.last_row + 1
        sheet.write_string(total, 0, "total", self.strong)
        formula = f"=SUM(G{_FIRST + 1}:G{self.last_row + 1})"
        sheet.write_formula(total, 6, formula, self.total, self.budget.cents / 100)

    def _shares(self) -> None:
        sheet = self._head(
            "Shares",
            "When each line is paid",
            "Share of the line that is paid by the end of each month; the last is 1.",
            ("Stage", "Item", *self.budget.months),
            (24, 46, *(11,) * self.months),
        )
        for index, line in enumerate(self.lines):
            row = _FIRST + index
            sheet.write_string(row, 0, line.stage)
            sheet.write_string(row, 1, line.item)
            for month, share in enumerate(line.until):
                sheet.write_number(row, 2 + month, share, self.share_in)

    def _months(self) -> None:
        sheet = self._head(
            "Months",
            "Cash by month",
            "Each month is what is paid until its end less what was paid until the month before, so rows add up to Lines.",
            ("Stage", "Item", *self.budget.months, "Total"),
            (24, 46, *(14,) * self.months, 16),
        )
        for index, line in enumerate(self.lines):
            row = _FIRST + index
            sheet.write_string(row, 0, line.stage)
            sheet.write_string(row, 1, line.item)
            cost = f"Lines!$G${row + 1}"
            for month, cents in enumerate(line.by_month):
                now = f"ROUND({cost}*Shares!{_column(2 + month)}{row + 1},2)"
                before = f"-ROUND({cost}*Shares!{_column(1 + month)}{row + 1},2)" if month else ""
                sheet.write_formula(row, 2 + month, f"={now}{before}", self.usd, cents / 100)
            self._row_sum(sheet, row, line.cents)
        first, last = _FIRST + 1, self.last_line + 1
        for index, reserve in enumerate(self.reserves):
            row = self.last_line + 1 + index
            sheet.write_string(row, 0, reserve.stage)
            sheet.write_string(row, 1, "contingency")
            share = f"Inputs!$J${self.share_row[reserve.stage] + 1}"
            stages = f"EXACT($A${first}:$A${last},$A{row + 1})"
            for month, cents in enumerate(reserve.by_month):
                now = f"ROUND({share}*SUMPRODUCT(({stages})*$C${first}:{_column(2 + month)}${last}),2)"
                before = (
                    f"-ROUND({share}*SUMPRODUCT(({stages})*$C${first}:{_column(1 + month)}${last}),2)" if month else ""
                )
                sheet.write_formula(row, 2 + month, f"={now}{before}", self.usd, cents / 100)
            self._row_sum(sheet, row, reserve.cents)
        total = self.last_row + 1
        sheet.write_string(total, 0, "total", self.strong)
        sums = (*self.budget.by_month, self.budget.cents)
        for month, cents in enumerate(sums):
            column = _column(2 + month)
            formula = f"=SUM({column}{first}:{column}{self.last_row + 1})"
            sheet.write_formula(total, 2 + month, formula, self.total, cents / 100)

    def _row_sum(self, sheet: Any, row: int, cents: int) -> None:
        formula = f"=SUM(C{row + 1}:{_column(1 + self.months)}{row + 1})"
        sheet.write_formula(row, 2 + self.months, formula, self.usd, cents / 100)

    def _cash(self) -> None:
        funding = self.budget.file.funding
        if funding is None:
            return
        sheet = self._head(
            "Cash",
            "Cash against funding",
            "Yellow cells are what comes in.",
            ("Month", "Spent", "Came in", "Cash left"),
            (12, 18, 18, 18),
        )
        came, left = cash_in(funding, self.months), cash_left(self.budget)
        for month, name in enumerate(self.budget.months):
            row = _FIRST + month
            sheet.write_string(row, 0, name)
            spent = f"=Months!{_column(2 + month)}{self.last_row + 2}"
            sheet.write_formula(row, 1, spent, self.usd, self.budget.by_month[month] / 100)
            sheet.write_number(row, 2, came[month] / 100, self.price_in)
            before = f"D{row}+" if month else ""
            sheet.write_formula(row, 3, f"={before}C{row + 1}-B{row + 1}", self.usd, left[month] / 100)
        chart = self.book.add_chart({"type": "line"})
        last = _FIRST + self.months - 1
        chart.add_series(
            {"name": "cash left", "categories": ["Cash", _FIRST, 0, last, 0], "values": ["Cash", _FIRST, 3, last, 3]}
        )
        chart.set_title({"name": "Cash left"})
        chart.set_y_axis({"num_format": "$#,##0"})
        sheet.insert_chart(_FIRST, 5, chart, {"x_scale": 1.4})

    def _summary(self) -> None:
        budget = self.budget
        sheet = self._head(
            "Summary",
            budget.file.name,
            "Every sum is a formula: change a yellow cell of Inputs, Lines, Shares or Cash, and it follows.",
            ("By stage", "Months", "Cost"),
            (30, 24, 20, 4, 26, 20),
        )
        rows = f"${_FIRST + 1}:$%s${self.last_row + 1}"
        stages, costs, kinds = (f"Lines!${letter}{rows % letter}" for letter in "AGB")
        for index, planned in enumerate(budget.stages):
            row = _FIRST + index
            sheet.write_string(row, 0, planned.stage.name)
            sheet.write_string(row, 1, months_text(budget, planned))
            formula = f"={_sum_where(costs, stages, f'A{row + 1}')}"
            sheet.write_formula(row, 2, formula, self.usd, planned.cents / 100)
        row = _FIRST + len(budget.stages)
        sheet.write_string(row, 0, "total", self.strong)
        formula = f"=SUM(C{_FIRST + 1}:C{row})"
        sheet.write_formula(row, 2, formula, self.total, budget.cents / 100)
        sheet.write_string(_FIRST - 1, 4, "By category", self.bold)
        sheet.write_string(_FIRST - 1, 5, "Cost", self.bold)
        paid = budget.by_category
        present = {line.category for line in self.lines} | set(paid)
        categories = [
            category for category in Category if category in present
        ]  # one at $0 may cost money after an edit
        for index, category in enumerate(categories):
            cents = paid.get(category, 0)
            sheet.write_string(_FIRST + index, 4, str(category))
            formula = f"={_sum_where(costs, kinds, f'E{_FIRST + index + 1}')}"
            sheet.write_formula(_FIRST + index, 5, formula, self.usd, cents / 100)
        end = _FIRST + len(categories)
        sheet.write_string(end, 4, "total", self.strong)
        sheet.write_formula(end, 5, f"=SUM(F{_FIRST + 1}:F{end})", self.total, budget.cents / 100)
        chart = self.book.add_chart({"type": "column"})
        first, last = 2, 1 + self.months
        chart.add_series(
            {
                "name": "spent",
                "categories": ["Months", _FIRST - 1, first, _FIRST - 1, last],
                "values": ["Months", self.last_row + 1, first, self.last_row + 1, last],
            }
        )
        chart.set_title({"name": "Cost by month"})
        chart.set_y_axis({"num_format": "$#,##0"})
        chart.set_legend({"none": True})
        sheet.insert_chart(max(row, end) + 3, 0, chart, {"x_scale": 1.8})
        self.book.define_name("Total", f"=Summary!$C${row + 1}")

    def _tables(self) -> None:
        """Write the tables that are not formulas: how it may vary, and other ways to have the accelerators."""
        for name in ("sensitivity", "ways", "commitments"):
            table = next((section for section in self.document.sections if section.name == name), None)
            if not isinstance(table, Table):
                continue
            sheet = self.book.add_worksheet(name.title())
            _for_paper(sheet)
            sheet.write_string(0, 0, table.caption, self.title)
            sheet.write_string(1, 0, "As flopwise worked it out; not formulas.", self.note)
            header, rows = wide(table)
            for column, text in enumerate(header):
                sheet.write_string(_FIRST - 1, column, text, self.bold)
                sheet.set_column(column, column, 46 if column == 0 or text == "what" else 16)
            for index, record in enumerate(rows):
                for column, field in enumerate(record):
                    if isinstance(field, (int, float)):
                        sheet.write_number(_FIRST + index, column, field, self.usd)
                    elif field is not None:
                        sheet.write_string(_FIRST + index, column, field)

    def _sources(self) -> None:
        from ... import __version__

        sheet = self.book.add_worksheet("Sources")
        _for_paper(sheet)
        sheet.set_column(0, 0, 52)
        sheet.set_column(1, 2, 28)
        sheet.set_column(3, 3, 110)
        sheet.write_string(0, 0, "Sources", self.title)
        stamp = self.document.catalog
        made = f"flopwise {__version__}, catalog {stamp.get('version')}, prices as of {stamp.get('prices_as_of')}"
        sheet.write_string(1, 0, made, self.note)
        for column, text in enumerate(("What", "Date", "Range", "Source")):
            sheet.write_string(_FIRST - 1, column, text, self.bold)
        sheet.write_string(_FIRST, 0, "as exported")
        sheet.write_string(_FIRST, 3, self.document.headline)
        row = _FIRST + 1
        for price in self.budget.prices:
            band = "exact" if price.usd.is_exact else f"{price.usd.low:,.6g} to {price.usd.high:,.6g}"
            for column, text in enumerate((price.key, price.date, band, price.source)):
                sheet.write_string(row, column, text)
            row += 1
        for line in self.lines:
            for column, text in enumerate((f"{line.stage}: {line.item}", "", line.amount.band, line.amount.basis)):
                sheet.write_string(row, column, text)
            row += 1
        for each in self.document.assumptions:
            sheet.write_string(row, 0, "assumed")
            sheet.write_string(row, 3, each.text)
            row += 1
        for text in self.document.warnings:
            sheet.write_string(row, 0, "warning")
            sheet.write_string(row, 3, text)
            row += 1


_NAMES = ("Summary", "Inputs", "Lines", "Months", "Shares")


def _for_paper(sheet: Any) -> None:
    """Print a sheet across, on one page's width."""
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)


def _sum_where(costs: str, names: str, name: str) -> str:
    """Return the sum of `costs` where the name is this very one; SUMIFS takes "<5" or "a*" as a pattern, Team as team."""
    return f"SUMPRODUCT(--EXACT({names},{name}),{costs})"


def _column(index: int) -> str:
    """Return the letters of a column counted from 0: A, B, ..., Z, AA."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
