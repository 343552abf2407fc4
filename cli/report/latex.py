"""A document as LaTeX tables (booktabs and longtable) that compile alone or go into a paper with the input command."""

from __future__ import annotations

from collections.abc import Sequence

from .document import Document, Facts
from .text import cell_text, is_number

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    "│": "|",
    "├": "|",
    "└": "|",
    "─": "-",
    "\n": " ",
}
_PAGE_CM, _GAP_CM, _LETTER_CM = 17.0, 0.43, 0.185  # of an A4 page with the margins below, in 10 pt
_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,longtable,array}
\begin{document}
"""


def latex_bytes(document: Document, *, explain: bool) -> bytes:
    """Return a whole LaTeX document as UTF-8."""
    parts = [_HEAD, f"\\section*{{flopwise {escaped(document.verb)}}}\n{escaped(document.headline)}\n"]
    for section in document.sections:
        if section.caption:
            parts.append(f"\\subsection*{{{escaped(section.caption)}}}\n")
        if isinstance(section, Facts):
            rows = [
                [label, cell_text(cell) + (f"; {remark}" if remark else "")] for _, label, cell, remark in section.items
            ]
            parts.append(_table(["", "Value"], rows, "lp{11cm}", 0))
            continue
        right = [
            column.right or any(is_number(row[i]) for row in section.rows) for i, column in enumerate(section.columns)
        ]
        titles = [column.title for column in section.columns]
        texts = [[cell_text(cell) for cell in row] for row in section.rows]
        parts.append(_table(titles, texts, _kinds([titles, *texts], right), section.total_rows))
    parts += [f"\\paragraph{{Warning}} {escaped(text)}\n" for text in document.warnings]
    if document.assumptions:
        items = "".join(f"\\item {escaped(each.text)}\n" for each in document.assumptions)
        parts.append(f"\\subsection*{{Assumed}}\n\\begin{{itemize}}\n{items}\\end{{itemize}}\n")
    if explain:
        from .explain import step_line

        items = "".join(f"\\item {escaped(step_line(step))}\n" for step in document.steps)
        parts.append(f"\\subsection*{{How it was computed}}\n\\begin{{itemize}}\n{items}\\end{{itemize}}\n")
    return ("\n".join(parts) + "\\end{document}\n").encode()


def escaped(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_SPECIAL.get(mark, mark) for mark in text)


def _kinds(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return the column types: as wide as their longest text where all fit on the page, else the long ones broken."""
    wanted = [max(map(len, column)) * _LETTER_CM for column in zip(*rows, strict=True)]
    left, widths = _PAGE_CM - _GAP_CM * len(wanted), dict[int, float]()
    for done, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = min(wanted[column], left / (len(wanted) - done))
        left -= widths[column]
    kinds = []
    for column, is_right in enumerate(right):
        if widths[column] >= wanted[column]:
            kinds.append("r" if is_right else "l")
        else:
            side = r"\raggedleft" if is_right else r"\raggedright"
            kinds.append(f">{{{side}\\arraybackslash}}p{{{widths[column]:.1f}cm}}")
    return "".join(kinds)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], kinds: str, total_rows: int) -> str:
    lines = [f"\\begin{{longtable}}{{{kinds}}}", "\\toprule", _row(header), "\\midrule", "\\endhead"]
    for index, row in enumerate(rows):
        if total_rows and index == len(rows) - total_rows:
            lines.append("\\midrule")
        lines.append(_row(row))
    return "\n".join([*lines, "\\bottomrule", "\\end{longtable}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"
