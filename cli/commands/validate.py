"""`flopwise validate`: replay published and measured values through this very version and print its errors.

To add one, write a function from the file of cases to the document and put `@_replay("name")` on it; its engine is
`benchmarks/validation/NAME.py`, imported inside.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import ForceOption, FormatOption, OutputOption

if TYPE_CHECKING:
    from ..report.document import Document

    _DocumentOf = Callable[[Path | None, bool], Document]

app = typer.Typer(no_args_is_help=True)

CasesOption = Annotated[
    Path | None,
    typer.Option(
        "--cases", metavar="FILE", help="Replay the rows of your own CSV file, with the columns of ours, instead."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show every row in the table; JSON and CSV always have all.")]


def _replay(name: str) -> Callable[[_DocumentOf], _DocumentOf]:
    """Make a command of a function that takes `--cases` and whether every row is shown; its docstring is the help."""

    def register(document_of: _DocumentOf) -> _DocumentOf:
        def command(
            cases: CasesOption = None,
            all: AllOption = False,
            format: FormatOption = None,
            output: OutputOption = None,
            force: ForceOption = False,
        ) -> None:
            from ..report.output import choose, deliver

            chosen = choose(format, output, force)
            document = document_of(cases, all or chosen != "table")
            deliver(document, format=format, output=output, force=force)

        command.__doc__ = document_of.__doc__
        app.command(name)(command)
        return document_of

    return register


def _inputs(cases: Path | None) -> dict[str, object]:
    return {"cases": str(cases) if cases else None}


@app.command("all")
def validate_all(
    chart: Annotated[
        Path | None,
        typer.Option("--chart", metavar="FILE.svg", help="Also draw predicted against measured training speed."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Everything at once: the errors of this very version in one table, each on rows that its fit had not seen."""
    from ...benchmarks.validation.overview import overview, training_rows
    from ...estimators.errors import InputError
    from ..report.output import choose, deliver, write_atomically
    from ..report.validate_overview import overview_document, speed_chart

    choose(format, output, force and chart is None)
    if chart is not None and chart.suffix.lower() != ".svg":
        raise InputError(f"--chart: '{chart.name}' must end in .svg.")
    if chart is not None and chart.exists() and not force:
        raise InputError(f"--chart: {chart} exists already; --force replaces it.")
    lines = overview()
    if chart is not None:
        write_atomically(chart, speed_chart(training_rows()).encode())
    document = overview_document(lines, {"chart": str(chart) if chart else None})
    deliver(document, format=format, output=output, force=force and output is not None)


@_replay("params")
def _params(cases: Path | None, show_all: bool) -> Document:
    """Parameter counts of published models: to the unit where the count is exact, else within 0.5 % or explained."""
    from ...benchmarks.validation.params import replay_cases, replay_presets, summary
    from ..report.validate_params import params_document

    rows = replay_cases(cases) if cases else replay_presets()
    return params_document(rows, summary(rows), _inputs(cases), show_all=show_all)


@app.command("scaling")
def validate_scaling(
    cases: CasesOption = None,
    law: Annotated[
        str | None, typer.Option("--law", metavar="NAME", help="The law that forecasts your --cases; besiroglu.")
    ] = None,
    pilots: Annotated[
        Path | None,
        typer.Option(
            "--pilots",
            metavar="FILE",
            help="Cheaper runs of your own (params,tokens,loss) that calibrate the forecast.",
        ),
    ] = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Scaling laws: published optima and losses, each within its own tolerance; or the losses of your runs."""
    from ...benchmarks.validation.scaling import replay_cases, replay_checks
    from ...estimators.errors import InputError
    from ..report.output import choose, deliver
    from ..report.validate_scaling import scaling_document

    chosen = choose(format, output, force)
    if law and not cases:
        raise InputError("--law: the published values name their own laws; it is for runs given with --cases.")
    if pilots and not cases:
        raise InputError("--pilots: it calibrates the forecast of --cases FILE; name that file too.")
    if pilots and law:
        raise InputError("--law and --pilots contradict each other; pilots calibrate the default law.")
    rows = replay_cases(cases, law, pilots) if cases else replay_checks()
    inputs = {**_inputs(cases), "law": law, "pilots": str(pilots) if pilots else None}
    document = scaling_document(rows, inputs, show_all=all or chosen != "table")
    deliver(document, format=format, output=output, force=force)


@_replay("training")
def _training(cases: Path | None, show_all: bool) -> Document:
    """Training speed: measured runs, each predicted from its configuration alone, its kind left out of the fit."""
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.selection import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...benchmarks.validation.training import validate_training
    from ...estimators.facts.catalog import load_catalog
    from ..report.validate_training import training_document

    measured = read_rows(cases or MEASURED / "training_throughput.csv")
    rows = validate_training(worth_scoring(measured, every_quality=cases is not None), load_catalog())
    return training_document(rows, _inputs(cases), show_all=show_all, held_out=True)


@_replay("layouts")
def _layouts(cases: Path | None, show_all: bool) -> Document:
    """Layouts: jobs measured under ten layouts or more, whether we rank them right and what our pick costs."""
    from ...benchmarks.validation.layouts import rank_jobs
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.selection import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...benchmarks.validation.training import validate_training
    from ...estimators.facts.catalog import load_catalog
    from ..report.validate_layouts import layouts_document

    rows = worth_scoring(read_rows(cases or MEASURED / "training_throughput.csv"), every_quality=cases is not None)
    jobs = rank_jobs(rows, validate_training(rows, load_catalog(use_config_folder=False)))
    return layouts_document(jobs, _inputs(cases), show_all=show_all)


@_replay("memory")
def _memory(cases: Path | None, show_all: bool) -> Document:
    """Training memory: measured peaks, each predicted from its configuration alone, its kind left out of the fit."""
    from ...benchmarks.validation.memory import replay_file
    from ...estimators.facts.catalog import load_catalog
    from ..report.validate_memory import memory_document

    rows = replay_file(cases, load_catalog(use_config_folder=False))
    return memory_document(rows, _inputs(cases), show_all=show_all, held_out=cases is None)


@_replay("serving")
def _serving(cases: Path | None, show_all: bool) -> Document:
    """Serving: measured rates, latencies and memory, each predicted from its configuration alone, its kind left out."""
    from ...benchmarks.validation.serving import read_records, replay
    from ...benchmarks.validation.shipping import MEASURED
    from ...estimators.facts.catalog import load_catalog
    from ..report.validate_serving import serving_document

    files = (cases,) if cases else (MEASURED / "serving.csv", MEASURED / "serving_memory.csv")
    records = [record for path in files for record in read_records(path)]
    results = replay(records, load_catalog(use_config_folder=False))
    return serving_document(results, _inputs(cases), show_all=show_all)


@_replay("runs")
def _runs(cases: Path | None, show_all: bool) -> Document:
    """Whole runs: published accelerator-hours, each predicted from its configuration alone, its organisation left out."""
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.runs import validate_runs, worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...estimators.facts.catalog import load_catalog
    from ..report.validate_runs import runs_document

    measured = read_rows(cases or MEASURED / "training_runs.csv")
    chosen = worth_scoring(measured, every_quality=cases is not None)
    rows = validate_runs(chosen, load_catalog(use_config_folder=False))
    return runs_document(rows, _inputs(cases), show_all=show_all)
