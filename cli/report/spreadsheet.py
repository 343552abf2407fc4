"""Files for spreadsheets and data frames: a workbook with a sheet for each section, or one Parquet table.

pandas, openpyxl and pyarrow are imported inside the functions: they come with the `export` extra, and a plain estimate
must not pay for them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from ...estimators.errors import InputError
from .csvout import Field, long, records, wide
from .document import Document, Facts

_INSTALL = "pip install 'flopwise[export]'"


def xlsx_bytes(document: Document, *, explain: bool) -> bytes:
    """Return an Excel workbook: a sheet for each section, then notes.

    Raises:
        InputError: openpyxl is not installed; names the command that installs it.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.styles import Font
    except ImportError:
        raise InputError(f"--output: .xlsx files need openpyxl; install it with `{_INSTALL}`.") from None
    book = Workbook()
    book.remove(book.active)

    def sheet(title: str, header: Sequence[str], rows: Sequence[Sequence[Field]]) -> None:
        page = book.create_sheet(_sheet_name(title, book.sheetnames))
        for i, record in enumerate((header, *rows), start=1):
            for j, field in enumerate(record, start=1):
                cell = page.cell(row=i, column=j, value=field)
                if isinstance(field, str):
                    cell.data_type = "s"  # text that begins with "=" stays text
                if i == 1:
                    cell.font = Font(bold=True)
        page.freeze_panes = "A2"
        for j, title_ in enumerate(header, start=1):
            longest = max([len(title_), *(len(str(row[j - 1])) for row in rows if row[j - 1] is not None)])
            page.column_dimensions[page.cell(row=1, column=j).column_letter].width = min(longest + 2, 60)

    everything = long(document, explain=explain)
    for section in document.sections:
        if isinstance(section, Facts):
            rows = [row[1:] for row in everything if row[0] == section.name]
            sheet(section.caption or section.name, ("key", *_HEADER), rows)
        else:
            header, table_rows = wide(section)
            sheet(section.caption or section.name, header, table_rows)
    names = {section.name for section in document.sections}
    notes = [(row[0], row[1], row[-1]) for row in everything if row[0] not in names]
    sheet("notes", ("kind", "key", "text"), notes)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def parquet_bytes(document: Document, *, explain: bool) -> bytes:
    """Return the rows of the CSV format as one Parquet table.

    Raises:
        InputError: pyarrow is not installed; names the command that installs it.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(f"--output: .parquet files need pyarrow; install it with `{_INSTALL}`.") from None
    import pandas as pd

    header, rows = records(document, explain=explain)
    buffer = io.BytesIO()
    pd.DataFrame(rows, columns=list(header)).to_parquet(buffer, index=False)
    return buffer.getvalue()


_HEADER = ("label", "low", "mid", "high", "unit", "band", "basis", "text")


def _sheet_name(title: str, taken: Sequence[str]) -> str:
    """Return a name that Excel takes: at most 31 characters, no brackets, colons, stars or slashes, not used yet."""
    base = "".join("-" if mark in "[]:*?/\\" else mark for mark in title).strip("'")[:28] or "sheet"
    name, number = base, 2
    while name.lower() in {other.lower() for other in taken}:
        name, number = f"{base} {number}", number + 1
    return name
