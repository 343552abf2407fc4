"""A document as one HTML page that needs nothing else: no script, no font, no picture from outside."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .document import Cell, Document, Facts, Table
from .explain import after_lines, given_line, step_line
from .text import cell_text, has_range, is_number, mid_text

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
thead th { border-bottom: 1px solid; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td small { display: block; opacity: .75; white-space: nowrap; }
tr.total td { font-weight: 600; }
tr.first td { border-top: 1px solid; }
.wide { overflow-x: auto; }
.warning { border-left: 4px solid #c80; padding-left: .6rem; }
.remark { opacity: .7; }
"""


def html_bytes(document: Document, *, explain: bool) -> bytes:
    """Return the page as UTF-8."""
    parts = [f"<h1>{escape(document.headline)}</h1>"]
    parts += [section_html(section) for section in document.sections]
    parts += [f'<p class="warning">Warning: {escape(text)}</p>' for text in document.warnings]
    if document.assumptions:
        assumed = (f"{each.text} ({each.flag})" if each.flag else each.text for each in document.assumptions)
        parts.append(f"<h2>Assumed</h2>{_bullets(assumed)}")
    if explain:
        parts.append("<h2>How it was computed</h2>")
        for step in document.steps:
            below = [*(given_line(given) for given in step.inputs), *after_lines(step)]
            parts.append(f"<p><code>{escape(step_line(step))}</code></p>{_bullets(below)}")
    title = escape(f"flopwise {document.verb}")
    page = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
    )
    return (page + "\n".join(parts) + "\n</html>\n").encode()


def section_html(section: Table | Facts) -> str:
    """Return a caption and a table; a wide table scrolls by itself on a narrow screen."""
    parts = [f"<h2>{escape(section.caption)}</h2>"] if section.caption else []
    parts.append('<div class="wide"><table>')
    if isinstance(section, Facts):
        for _, label, cell, remark in section.items:
            told = f' <span class="remark">{escape(remark)}</span>' if remark else ""
            parts.append(f"<tr><th>{escape(label)}</th><td>{escape(cell_text(cell))}{told}</td></tr>")
    else:
        right = [
            column.right or any(is_number(row[i]) for row in section.rows) for i, column in enumerate(section.columns)
        ]
        marks = [' class="number"' if each else "" for each in right]
        heads = "".join(
            f"<th{mark}>{escape(column.title)}</th>" for mark, column in zip(marks, section.columns, strict=True)
        )
        parts.append(f"<thead><tr>{heads}</tr></thead>")
        first_total = len(section.rows) - section.total_rows
        for index, row in enumerate(section.rows):
            kind = "" if index < first_total else ' class="total first"' if index == first_total else ' class="total"'
            cells = "".join(f"<td{mark}>{_cell_html(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
            parts.append(f"<tr{kind}>{cells}</tr>")
    parts.append("</table></div>")
    return "".join(parts)


def _cell_html(cell: Cell) -> str:
    """Return a cell with its range below the middle: on one line they would push the last columns off the page."""
    text, middle = cell_text(cell), mid_text(cell)
    if not has_range(cell) or not text.startswith(middle):
        return escape(text)
    return f"{escape(middle)} <small>{escape(text.removeprefix(middle).strip())}</small>"


def _bullets(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
