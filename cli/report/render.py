"""One document, five formats: `render` is the only way from an answer to text."""

from __future__ import annotations

from .document import Document

FORMATS = ("table", "json", "csv", "md", "yaml")


def render(document: Document, format: str, *, width: int, color: bool, explain: bool, ascii: bool = False) -> str:
    """Return the document as text that ends with a newline.

    `format` is one of `FORMATS`; `width` (columns), `color` (ANSI escapes) and `ascii` (nothing beyond ASCII) concern
    the table format only. The modules behind a format are imported when it is asked for.

    Raises:
        ValueError: an unknown format, or a result that is not a finite number.
    """
    if format == "table":
        from .table import render_table

        return render_table(document, width=width, color=color, explain=explain, ascii=ascii)
    if format == "json":
        from .jsonout import render_json

        return render_json(document, explain=explain)
    if format == "yaml":
        from .jsonout import render_yaml

        return render_yaml(document, explain=explain)
    if format == "csv":
        from .csvout import render_csv

        return render_csv(document, explain=explain)
    if format == "md":
        from .markdown import render_markdown

        return render_markdown(document, explain=explain)
    raise ValueError(f"unknown format {format!r}; one of {', '.join(FORMATS)}")
