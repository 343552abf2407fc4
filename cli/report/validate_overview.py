"""The document of `flopwise validate all`: the errors of this version in one table, and the chart of the speeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...benchmarks.validation.overview import Line
from ...benchmarks.validation.scores import ScoredRow
from .document import Cell, Column, Document, Table, Value

COLUMNS = (
    Column("subject", "What"),
    Column("rows", "Rows", right=True),
    Column("over", "Over"),
    Column("median", "Median\nerror", right=True),
    Column("p90", "90th\nperc.", right=True),
    Column("coverage", "In\nband", right=True),
    Column("baseline", "Without\na model", right=True),
    Column("baseline_name", "which is", wide_only=True),
)


def overview_document(lines: Sequence[Line], inputs: Mapping[str, object]) -> Document:
    """Return the table with one line for each subject."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            line.subject,
            line.rows,
            line.over,
            _share(line.median),
            _share(line.p90),
            _share(line.coverage),
            _share(line.baseline),
            line.baseline_name or "-",
        )
        for line in lines
    )
    return Document(
        verb="validate.all",
        headline="How far this version is off, on published values and on measured runs that the fit of each had not "
        "seen. `In band` is the share of rows inside the 80 % band; medians and percentiles are means over sources "
        "where it says sources.",
        inputs=inputs,
        result={
            "lines": [
                {
                    "subject": line.subject,
                    "command": f"flopwise validate {line.command}",
                    "rows": line.rows,
                    "over": line.over,
                    "median": line.median,
                    "p90": line.p90,
                    "coverage": line.coverage,
                    "baseline": line.baseline,
                    "baseline_name": line.baseline_name or None,
                }
                for line in lines
            ]
        },
        sections=(Table("errors", COLUMNS, rows),),
        next_commands=("flopwise validate training --all", "flopwise validate memory --cases YOURS.csv"),
    )


def speed_chart(rows: Sequence[ScoredRow]) -> str:
    """Return predicted against measured training speed as an SVG file, one dot for each run."""
    from ...estimators.units import show_count
    from .charts import Dots, scatter, standalone

    points = tuple((row.measured, row.predicted) for row in rows if row.measured and row.predicted)
    title = "Predicted against measured training speed, each run left out of the fit"
    drawn = scatter(
        [Dots(f"{len(points):,} measured training runs", points)],
        title=title,
        x_title="measured tokens/s per accelerator",
        y_title="predicted",
        show_x=show_count,
        show_y=show_count,
        log_y=True,
        diagonal=True,
    )
    return standalone(drawn, title)


def _share(value: float | None) -> Cell:
    return None if value is None else Value(value, "fraction")
