"""`flopwise validate`: replay published and measured values through this very version and print its errors.

To add one, add a function with `@app.command("name")`; its engine is `benchmarks/validation/NAME.py`, imported inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import ForceOption, FormatOption, OutputOption

app = typer.Typer(no_args_is_help=True)

CasesOption = Annotated[
    Path | None,
    typer.Option(
        "--cases", metavar="FILE", help="Replay the rows of your own CSV file, with the columns of ours, instead."
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Show every row in the table; JSON and CSV always have all.")]


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


@app.command("params")
def validate_params(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Parameter counts of published models: to the unit where the count is exact, else within 0.5 % or explained."""
    from ...benchmarks.validation.params import replay_cases, replay_presets, summary
    from ..report.output import choose, deliver
    from ..report.validate_params import params_document

    chosen = choose(format, output, force)
    rows = replay_cases(cases) if cases else replay_presets()
    document = params_document(
        rows, summary(rows), {"cases": str(cases) if cases else None}, show_all=all or chosen != "table"
    )
    deliver(document, format=format, output=output, force=force)


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
    document = scaling_document(
        rows,
        {"cases": str(cases) if cases else None, "law": law, "pilots": str(pilots) if pilots else None},
        show_all=all or chosen != "table",
    )
    deliver(document, format=format, output=output, force=force)


@app.command("training")
def validate_training(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Training speed: measured runs, each predicted from its configuration alone, its kind left out of the fit."""
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.selection import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...benchmarks.validation.training import validate_training as replay
    from ...estimators.facts.catalog import load_catalog
    from ..report.output import choose, deliver
    from ..report.validate_training import training_document

    chosen = choose(format, output, force)
    measured = read_rows(cases or MEASURED / "training_throughput.csv")
    rows = replay(worth_scoring(measured, every_quality=cases is not None), load_catalog())
    document = training_document(
        rows, {"cases": str(cases) if cases else None}, show_all=all or chosen != "table", held_out=True
    )
    deliver(document, format=format, output=output, force=force)


@app.command("layouts")
def validate_layouts(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Layouts: jobs measured under ten layouts or more, whether we rank them right and what our pick costs."""
    from ...benchmarks.validation.layouts import rank_jobs
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.selection import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...benchmarks.validation.training import validate_training as replay
    from ...estimators.facts.catalog import load_catalog
    from ..report.output import choose, deliver
    from ..report.validate_layouts import layouts_document

    chosen = choose(format, output, force)
    rows = worth_scoring(read_rows(cases or MEASURED / "training_throughput.csv"), every_quality=cases is not None)
    jobs = rank_jobs(rows, replay(rows, load_catalog(use_config_folder=False)))
    document = layouts_document(jobs, {"cases": str(cases) if cases else None}, show_all=all or chosen != "table")
    deliver(document, format=format, output=output, force=force)


@app.command("memory")
def validate_memory(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Training memory: measured peaks, each predicted from its configuration alone, its kind left out of the fit."""
    from ...benchmarks.validation.memory import replay_file
    from ...estimators.facts.catalog import load_catalog
    from ..report.output import choose, deliver
    from ..report.validate_memory import memory_document

    chosen = choose(format, output, force)
    rows = replay_file(cases, load_catalog(use_config_folder=False))
    document = memory_document(
        rows,
        {"cases": str(cases) if cases else None},
        show_all=all or chosen != "table",
        held_out=cases is None,
    )
    deliver(document, format=format, output=output, force=force)


@app.command("serving")
def validate_serving(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Serving: measured rates, latencies and memory, each predicted from its configuration alone, its kind left out."""
    from ...benchmarks.validation.serving import read_records, replay
    from ...benchmarks.validation.shipping import MEASURED
    from ...estimators.facts.catalog import load_catalog
    from ..report.output import choose, deliver
    from ..report.validate_serving import serving_document

    chosen = choose(format, output, force)
    files = (cases,) if cases else (MEASURED / "serving.csv", MEASURED / "serving_memory.csv")
    records = [record for path in files for record in read_records(path)]
    results = replay(records, load_catalog(use_config_folder=False))
    document = serving_document(results, {"cases": str(cases) if cases else None}, show_all=all or chosen != "table")
    deliver(document, format=format, output=output, force=force)


@app.command("runs")
def validate_runs(
    cases: CasesOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Whole runs: published accelerator-hours, each predicted from its configuration alone, its organisation left out."""
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.runs import validate_runs as replay
    from ...benchmarks.validation.runs import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...estimators.facts.catalog import load_catalog
    from ..report.output import choose, deliver
    from ..report.validate_runs import runs_document

    chosen = choose(format, output, force)
    measured = read_rows(cases or MEASURED / "training_runs.csv")
    rows = replay(worth_scoring(measured, every_quality=cases is not None), load_catalog(use_config_folder=False))
    document = runs_document(rows, {"cases": str(cases) if cases else None}, show_all=all or chosen != "table")
    deliver(document, format=format, output=output, force=force)
