"""A document as GitHub Markdown: the headline, a table for each section, lists for assumptions and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .document import Document, Facts, Table
from .explain import after_lines, given_line, step_line
from .text import cell_text


def render_markdown(document: Document, *, explain: bool) -> str:
    """Return the document as Markdown with a final newline."""
    blocks = [f"**{_escaped(document.headline)}**"] if document.headline else []
    for section in document.sections:
        if section.caption:
            blocks.append(f"### {_escaped(section.caption)}")
        blocks.append(_facts(section) if isinstance(section, Facts) else _table(section))
    if document.warnings:
        blocks.append(_bullets(f"**Warning:** {_escaped(text)}" for text in document.warnings))
    if document.assumptions:
        lines = (_escaped(each.text) + (f" (`{each.flag}`)" if each.flag else "") for each in document.assumptions)
        blocks.append("### Assumed\n\n" + _bullets(lines))
    if explain and document.steps:
        blocks.append("### How it was computed")
        for step in document.steps:
            below = [*(given_line(given) for given in step.inputs), *after_lines(step)]
            blocks.append(f"`{step_line(step)}`\n\n" + _bullets(_escaped(line) for line in below))
    if document.next_commands:
        blocks.append("### Next\n\n```console\n" + "\n".join(document.next_commands) + "\n```")
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _facts(facts: Facts) -> str:
    remarks = any(remark for *_, remark in facts.items)
    rows = [[label, cell_text(cell), remark][: 3 if remarks else 2] for _, label, cell, remark in facts.items]
    escaped = [[_escaped(text) for text in row] for row in rows]
    return _grid(["", "Value", "Remark"][: 3 if remarks else 2], escaped, [False] * 3)


def _table(table: Table) -> str:
    first_total = len(table.rows) - table.total_rows
    rows = []
    for index, row in enumerate(table.rows):
        texts = [_escaped(cell_text(cell)) for cell in row]
        rows.append([f"**{text}**" if text and index >= first_total else text for text in texts])
    header = [_escaped(column.title) for column in table.columns]
    return _grid(header, rows, [column.right for column in table.columns])


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    marks = ["---:" if is_right else "---" for is_right in right[: len(header)]]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, marks, *rows))


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("\n", " ")
