"""`flopwise bench`: measure this machine, keep what was measured, compare it, and check what is predicted from it.

torch is imported by `run`, `verify` and `trace` only; the others read records.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.errors import InputError
from ..options import CatalogOption, ForceOption, FormatOption, OutputOption, naming

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(no_args_is_help=True)

MEASURE_PANEL = "What is measured"

DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="KIND[:N]", help="cpu, cuda (also ROCm), mps, xpu or xla; the fastest one where left out."
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="COUNT", min=1, help="Threads of the CPU; PyTorch's choice.")
]
RecordArgument = Annotated[
    str, typer.Argument(metavar="RECORD", help="latest, a file, or the beginning of an id (see `bench list`).")
]


@app.command("run")
def bench_run(
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute instead of several.", rich_help_panel=MEASURE_PANEL)
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Everything, without hurry.", rich_help_panel=MEASURE_PANEL)
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="SUITES",
            help="Some of: matmul, bandwidth, pointwise, attention, launch, training, decode, layer, copies, "
            "collectives; with commas between.",
            rich_help_panel=MEASURE_PANEL,
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--formats", metavar="LIST", help="Number formats of products: fp32,bf16.", rich_help_panel=MEASURE_PANEL
        ),
    ] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Where to keep the record; your data folder where left out."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Measure this machine: products, memory, attention, steps, copies, and collectives under torchrun."""
    from ...benchmarks.harness.suite import Asked, named_formats, named_suites
    from ..report.bench import record_document
    from ..report.output import choose, deliver

    if quick and full:
        raise InputError("--quick and --full contradict each other; give one of them.")
    replace = force and output is not None  # --force may also be meant for the other file
    chosen = choose(format, output, replace)
    if record is not None:
        _check_record(record, force)
    asked = Asked(
        level="quick" if quick else "full" if full else "normal",
        only=named_suites(only) if only else (),
        formats=named_formats(formats) if formats else (),
    )
    from ...benchmarks.harness.torch_needed import need_torch

    torch = need_torch()
    from ...benchmarks.harness import collectives, suite
    from ...benchmarks.harness.device import open_bench
    from ...benchmarks.harness.store import default_path

    if asked.only == (collectives.SUITE,) and collectives.group_size() == 1:
        raise InputError(
            "--only collectives: they need ranks; start them with `torchrun --nproc-per-node 2 -m flopwise bench run "
            "--only collectives`."
        )
    local = collectives.local_rank()
    bench = open_bench(torch, device, local, threads)
    with _bar(collectives.is_first_rank()) as bar:
        task = bar.add_task("measuring", total=None)
        progress = suite.Progress(
            plan=lambda count: bar.update(task, total=count, completed=0),
            start=lambda trial: bar.update(task, description=trial.id[:44]),
            done=lambda case: bar.advance(task),
        )
        kept, ended = suite.run(bench, asked, record or default_path, progress)
    where = record or default_path(kept.id)
    if collectives.is_first_rank() and kept.cases:
        print(f"Kept {len(kept.cases)} cases in {where}.", file=sys.stderr)
        deliver(record_document(kept, show_all=chosen != "table"), format=format, output=output, force=replace)
    if isinstance(ended, KeyboardInterrupt):
        raise ended
    if ended is not None:
        raise InputError(f"the run ended early: {ended}; what was measured before is kept.")


@app.command("list")
def bench_list(format: FormatOption = None, output: OutputOption = None, force: ForceOption = False) -> None:
    """The records on this machine, newest first."""
    from ...estimators.errors import FactsError
    from ...estimators.facts.bench_records import read_record, record_files
    from ..report.bench_list import list_document
    from ..report.output import deliver

    good, bad = [], []
    for path in reversed(record_files()):
        try:
            good.append((path, read_record(path)))
        except FactsError as error:
            bad.append(str(error))
    deliver(list_document(good, bad), format=format, output=output, force=force)


@app.command("show")
def bench_show(
    record: RecordArgument = "latest",
    all: Annotated[bool, typer.Option("--all", help="Every case with its verdict.")] = False,
    roofline: Annotated[bool, typer.Option("--roofline", help="Draw the roofline on the screen.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Write the roofline as .svg or .png.")
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """One record: the best rates, and every case with --all."""
    from ...estimators.facts.bench_records import find_record, read_record
    from ..report.bench import record_document
    from ..report.output import choose, deliver

    replace = force and output is not None  # --force may also be meant for the other file
    chosen = choose(format, output, replace)
    found = read_record(find_record(record))
    if roofline or plot:
        from ...benchmarks.harness import roofline as drawing

        lines = drawing.roofline(found)
        if plot:
            if plot.exists() and not force:
                raise InputError(f"--plot: '{plot}' exists; add --force to replace it.")
            from ...benchmarks.harness.roofline_picture import write_picture

            write_picture(lines, plot)
            print(f"Wrote {plot}.", file=sys.stderr)
        if roofline:
            if chosen != "table":
                raise InputError("--roofline: it is drawn beside a table; use --plot FILE for a picture.")
            print(drawing.draw(lines))
    deliver(record_document(found, show_all=all or chosen != "table"), format=format, output=output, force=replace)


@app.command("compare")
def bench_compare(
    first: RecordArgument = "latest",
    second: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="A second record; the spec sheet where left out.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Every case, unchanged ones too.")] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """A record against another one, with significance; or against the spec sheet and published measurements."""
    from ...benchmarks.harness.against_published import against_published
    from ...benchmarks.harness.compare import against_sheet, changes
    from ...estimators.facts.bench_records import find_record, read_record
    from ...estimators.facts.catalog import load_catalog
    from ..report.bench_changes import changes_document
    from ..report.bench_sheet import sheet_document
    from ..report.output import choose, deliver

    chosen = choose(format, output, force)
    one = read_record(find_record(first))
    if second is None:
        facts = load_catalog(catalog or ())
        document = sheet_document(
            one,
            against_sheet(one, facts),
            against_published(one, facts),
            facts,
            show_all=all or chosen != "table",
        )
    else:
        if catalog:
            raise InputError("--catalog: it has no effect on a comparison of two records; leave it out.")
        two = read_record(find_record(second))
        found = changes(one, two)
        if not found:
            raise InputError(f"the records {one.id} and {two.id} have no case in common.")
        document = changes_document(one, two, found, show_all=all or chosen != "table")
    deliver(document, format=format, output=output, force=force)


@app.command("export")
def bench_export(
    record: RecordArgument = "latest",
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Every case of a record as rows: --output cases.csv (or .xlsx, .parquet, .json)."""
    from ...estimators.facts.bench_records import find_record, read_record
    from ..report.bench import export_document
    from ..report.output import deliver

    found = read_record(find_record(record))
    chosen = format or (None if output else "csv")
    deliver(export_document(found), format=chosen, output=output, force=force)


@app.command("verify")
def bench_verify(
    calibrate: Annotated[
        str, typer.Option("--calibrate", metavar="RECORD", help="latest, a file, or the beginning of an id.")
    ] = "latest",
    quick: Annotated[bool, typer.Option("--quick", help="Three models instead of six.")] = False,
    device: DeviceOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Predict steps and memory of small models from a record alone, run them, and print both."""
    from ...estimators.facts.bench_records import find_record, read_record
    from ..report.bench_verify import verify_document
    from ..report.output import choose, deliver

    choose(format, output, force)
    with naming("--calibrate"):
        record = read_record(find_record(calibrate))
    from ...benchmarks.harness.torch_needed import need_torch

    torch = need_torch()
    from ...benchmarks.harness import verify
    from ...benchmarks.harness.device import open_bench

    bench = open_bench(torch, device or record.device.kind, threads=int(record.settings.get("threads") or 0) or None)
    models = verify.sizes(is_cpu=bench.is_cpu, is_quick=quick)
    with _bar(True) as bar:
        task = bar.add_task("verifying", total=verify.parts(models))

        def done(each: verify.Prediction) -> None:
            bar.update(task, advance=1, description=f"{each.model}, {each.what}")

        verified = verify.run(bench, record, is_quick=quick, on_done=done)
    print(f"Predictions were written before the runs, to {verified.file}.", file=sys.stderr)
    deliver(verify_document(record, verified), format=format, output=output, force=force)


@app.command("trace")
def bench_trace(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="What builds the module: my_model:build, or file.py:build.")
    ],
    input: Annotated[
        list[str],
        typer.Option(
            "--input",
            metavar="SHAPE[:TYPE]",
            help="An example input: 1x128:int (token ids), 8x3x224x224. May be repeated.",
        ),
    ],
    forward_only: Annotated[bool, typer.Option("--forward-only", help="Leave the backward pass out.")] = False,
    precision: Annotated[
        str, typer.Option("--precision", metavar="FORMAT", help="Of the weights: fp32, bf16 or fp16.")
    ] = "fp32",
    on: Annotated[
        str | None, typer.Option("--on", metavar="CHIP", help="Estimate the time of a training pass on an accelerator.")
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """FLOPs, bytes and memory of any torch.nn.Module, without allocating it."""
    from ...benchmarks.harness import trace as tracing
    from ..report.bench_verify import trace_document
    from ..report.output import choose, deliver

    choose(format, output, force)
    if precision not in ("fp32", "bf16", "fp16"):
        raise InputError(f"--precision: '{precision}' is not one of fp32, bf16, fp16.")
    if catalog and not on:
        raise InputError("--catalog: it has no effect without --on; leave it out.")
    inputs = [tracing.read_input(text) for text in input]
    chip = None
    if on:
        from ...estimators.facts.catalog import load_catalog
        from ...estimators.facts.devices import find_device

        with naming("--on"):
            chip = find_device(on, load_catalog(catalog or ()))
    from ...benchmarks.harness.torch_needed import need_torch

    need_torch()
    found = tracing.trace(tracing.load_builder(target), inputs, name=target, backward=not forward_only, dtype=precision)
    times = None
    if chip is not None:
        from ...benchmarks.harness.planning import pass_seconds

        times = pass_seconds(found, chip)
    deliver(trace_document(found, inputs, chip, times), format=format, output=output, force=force)


def _check_record(record: Path, force: bool) -> None:
    if record.suffix != ".json":
        raise InputError(f"--record: '{record}' must end in .json.")
    if record.exists() and not force:
        raise InputError(f"--record: '{record}' exists; add --force to replace it.")
    if not record.resolve().parent.is_dir():
        raise InputError(f"--record: there is no folder '{record.resolve().parent}'; create it first.")


def _bar(is_shown: bool) -> Progress:
    """Return a progress bar on stderr; none where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not (is_shown and console.is_terminal))
