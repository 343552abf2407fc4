"""A document as CSV: numbers in base units, unrounded, one header.

A list (a document whose one section is a table) keeps that table's columns; a `Quantity` column splits into _low,
_mid, _high and _unit. Any other answer becomes one long table with the columns of `COLUMNS`, a row for each value, so
that facts and tables of every verb can be read by one script. Text that a spreadsheet would run as a formula gets an
apostrophe in front.
"""

from __future__ import annotations

from ...estimators.names import fold
from ...estimators.quantity import Quantity
from .document import Cell, Document, Facts, Table, Value
from .explain import given_line
from .text import mid_text

COLUMNS = ("section", "key", "label", "low", "mid", "high", "unit", "band", "basis", "text")

Field = str | int | float | None


def render_csv(document: Document, *, explain: bool) -> str:
    """Return the document as CSV text with Unix line ends."""
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header, rows = records(document, explain=explain)
    writer.writerow(header)
    writer.writerows([guarded(field) for field in row] for row in rows)
    return buffer.getvalue()


def records(document: Document, *, explain: bool) -> tuple[tuple[str, ...], list[tuple[Field, ...]]]:
    """Return header and rows, values still typed (the spreadsheet and Parquet writers use them too)."""
    if len(document.sections) == 1 and isinstance(document.sections[0], Table) and not explain:
        return wide(document.sections[0])
    return COLUMNS, long(document, explain=explain)


def wide(table: Table) -> tuple[tuple[str, ...], list[tuple[Field, ...]]]:
    """Return a table under its own columns, quantities split in four and exact values in two."""
    header: list[str] = []
    columns: list[list[Field]] = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if any(isinstance(cell, Quantity) for cell in cells):
            for position, ending in enumerate(("low", "mid", "high", "unit")):
                header.append(f"{column.key}_{ending}")
                columns.append([_split(cell)[position] for cell in cells])
        elif any(isinstance(cell, Value) for cell in cells):
            units = {cell.unit for cell in cells if isinstance(cell, Value)}
            header.append(column.key)
            columns.append([_bare(cell) for cell in cells])
            if not (len(units) == 1 and column.key.endswith(f"_{next(iter(units))}")):
                header.append(f"{column.key}_unit")
                columns.append([cell.unit if isinstance(cell, Value) else None for cell in cells])
        else:
            header.append(column.key)
            columns.append([_bare(cell) for cell in cells])
    return tuple(header), list(zip(*columns, strict=True))


def long(document: Document, *, explain: bool) -> list[tuple[Field, ...]]:
    """Return every value of the document as a row of `COLUMNS`."""
    rows: list[tuple[Field, ...]] = [("headline", "", "", None, None, None, "", "", "", document.headline)]
    for section in document.sections:
        if isinstance(section, Facts):
            rows += [_long(section.name, key, label, cell, remark) for key, label, cell, remark in section.items]
            continue
        for number, row in enumerate(section.rows, start=1):
            name = mid_text(row[0]) if row and isinstance(row[0], str) else str(number)
            rows += [
                _long(section.name, f"{fold(name)}.{column.key}", f"{name}: {column.title}", cell, "")
                for column, cell in zip(section.columns, row, strict=True)
            ]
    for kind, texts in (
        ("assumption", [f"{each.text} ({each.flag})" if each.flag else each.text for each in document.assumptions]),
        ("warning", document.warnings),
    ):
        rows += [(kind, str(i), "", None, None, None, "", "", "", text) for i, text in enumerate(texts, start=1)]
    for step in document.steps if explain else ():
        inputs = "; ".join(given_line(given) for given in step.inputs)
        told = "; ".join(part for part in (inputs, step.source, step.dominant) if part)
        rows.append(("explanation", step.name, step.formula, None, step.value, None, step.unit, "", "", told))
    return rows


def guarded(field: Field) -> str | int | float:
    """Return the field with an apostrophe in front of text that a spreadsheet would take for a formula."""
    if not isinstance(field, str):
        return "" if field is None else field
    line = " ".join(field.splitlines())
    return f"'{line}" if line[:1] in ("=", "+", "-", "@", "\t") else line


def _split(cell: Cell) -> tuple[Field, Field, Field, Field]:
    if isinstance(cell, Quantity):
        return cell.low, cell.mid, cell.high, cell.unit
    bare = _bare(cell)
    return bare, bare, bare, cell.unit if isinstance(cell, Value) else None


def _bare(cell: Cell) -> Field:
    if isinstance(cell, Quantity):
        return cell.mid
    if isinstance(cell, Value):
        return cell.number
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return cell


def _long(section: str, key: str, label: str, cell: Cell, remark: str) -> tuple[Field, ...]:
    if isinstance(cell, Quantity):
        return (section, key, label, cell.low, cell.mid, cell.high, cell.unit, cell.band, cell.basis, remark)
    if isinstance(cell, Value):
        return (section, key, label, None, cell.number, None, cell.unit, "", "", remark)
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return (section, key, label, None, cell, None, "", "", "", remark)
    text = "" if cell is None else mid_text(cell)
    return (section, key, label, None, None, None, "", "", "", "; ".join(part for part in (text, remark) if part))
