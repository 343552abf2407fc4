"""`flopwise budget`: init, scenarios, check, show, diff, export. Reads what was typed and lays the answer out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.budget.build import Budget, build
from ...estimators.errors import AnswerIsNo, InputError
from ...estimators.facts.budget_file import load_budget, parse_budget, scenario_names, scenario_text, schema_path
from ...estimators.facts.catalog import load_catalog
from ...estimators.units import show_usd
from ..clock import today
from ..options import CatalogOption, ForceOption, FormatOption, OutputOption, naming, usd
from ..report.document import Column, Document, Facts, Table
from ..report.output import choose, deliver, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...estimators.facts.budget_records import BudgetFile

app = typer.Typer(no_args_is_help=True)

WHAT_PANEL = "Which budget"

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The budget file; budget.yaml.", show_default=False)
]
ScenarioOption = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        metavar="NAME",
        help="A shipped scenario instead of a file; `flopwise budget scenarios` lists them.",
        autocompletion=lambda incomplete: [name for name in scenario_names() if name.startswith(incomplete)],
        rich_help_panel=WHAT_PANEL,
    ),
]
FailOverOption = Annotated[
    float | None,
    typer.Option(
        "--fail-over",
        parser=usd,
        metavar="USD",
        help="Leave with 3 where the total is more; for CI.",
        rich_help_panel=WHAT_PANEL,
    ),
]
DEFAULT_FILE, SCHEMA_FILE = Path("budget.yaml"), "budget.schema.json"


@app.command("init")
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write; budget.yaml. A dash is stdout.")
    ] = None,
    scenario: ScenarioOption = None,
    with_schema: Annotated[
        bool,
        typer.Option("--schema", help="Write budget.schema.json beside it too, so that editors complete and check."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files where they exist.")] = False,
) -> None:
    """Write a commented budget to start from."""
    if scenario is None:
        raise InputError(f"--scenario: say which one: {', '.join(scenario_names())}.")
    with naming("--scenario"):
        name, text = scenario_text(scenario)
    target = file or DEFAULT_FILE
    if str(target) == "-":
        if with_schema:
            raise InputError("--schema: it has no effect on stdout; name a file, or use `flopwise budget schema`.")
        sys.stdout.write(text)
        return
    beside = target.parent / SCHEMA_FILE
    if target.is_dir():
        raise InputError(f"'{target}' is a folder; name a file.")
    if target.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"'{target}' does not end in .yaml; a budget is YAML.")
    for path in (target, beside) if with_schema else (target,):
        if path.exists() and not force:
            raise InputError(f"'{path}' exists; add --force to replace it, or name another file.")
    if with_schema:
        write_atomically(beside, schema_path().read_bytes())
        text = f"# yaml-language-server: $schema={SCHEMA_FILE}\n{text}"
    write_atomically(target, text.encode())
    print(f"Wrote {target} ({name}). Edit it, then `flopwise budget show {target}`.", file=sys.stderr)


@app.command("scenarios")
def scenarios(format: FormatOption = None, output: OutputOption = None, force: ForceOption = False) -> None:
    """List the shipped scenarios."""
    found = [parse_budget(scenario_text(name)[1], name=f"{name}.yaml") for name in scenario_names()]
    rows = tuple((name, each.name, each.months, each.note) for name, each in zip(scenario_names(), found, strict=True))
    document = Document(
        verb="budget-scenarios",
        headline=f"{len(rows)} scenarios to start a budget from.",
        inputs={},
        result={"scenarios": [{"scenario": a, "name": b, "months": c, "note": d} for a, b, c, d in rows]},
        sections=(
            Table(
                "scenarios",
                (
                    Column("scenario", "Scenario"),
                    Column("name", "What it plans"),
                    Column("months", "Months", right=True),
                    Column("note", "Note", wide_only=True),
                ),
                rows,
            ),
        ),
        next_commands=(f"flopwise budget init --scenario {rows[0][0]}",),
    )
    deliver(document, format=format, output=output, force=force)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of budget files, for editors that complete and check them."""
    sys.stdout.write(schema_path().read_text(encoding="utf-8"))


@app.command("check")
def check(
    file: FileArgument = None,
    scenario: ScenarioOption = None,
    fail_over: FailOverOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Check a budget: its grammar, its names and prices, whether everything fits, and whether the cash lasts."""
    choose(format, output, force)
    budget = _worked_out(file, scenario, catalog)
    from ...estimators.budget.uncertainty import runway_months

    runway = runway_months(budget)
    short = runway is not None and runway < budget.file.months
    document = Document(
        verb="budget-check",
        headline=f"{_name(file, scenario)} is sound: {len(budget.stages)} stages, {len(budget.lines)} lines, "
        f"${budget.cents / 100:,.2f} over {budget.file.months} months.",
        inputs={"file": _name(file, scenario), "fail_over_usd": fail_over},
        result={
            "stages": len(budget.stages),
            "lines": len(budget.lines),
            "total_usd": budget.cents / 100,
            "months": budget.file.months,
            "runway_months": runway,
            "cash_lasts": None if runway is None else not short,
        },
        sections=(Facts("check", (("stages", "Stages", len(budget.stages), "all of them fit and are priced"),)),),
        warnings=(*_told(budget), *((_short(budget, runway),) if short and runway is not None else ())),
        catalog=budget.context.catalog.stamp(),
        next_commands=(f"flopwise budget show {_again(file, scenario)}",),
    )
    deliver(document, format=format, output=output, force=force)
    _fail_over(budget, fail_over)


@app.command("show")
def show(
    file: FileArgument = None,
    scenario: ScenarioOption = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Every line with its amount and price, and every price's source.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the months as bars below the tables.")] = False,
    fail_over: FailOverOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """What a budget costs: by stage, month and category, with its range, its runway, and other ways to have it."""
    chosen = choose(format, output, force)
    if plot and (chosen != "table" or (output and str(output) != "-")):
        raise InputError("--plot: it draws on the screen only; write a picture with `flopwise budget export -o x.svg`.")
    budget = _worked_out(file, scenario, catalog)
    document, writers = _document(budget, everything=lines)
    deliver(document, format=format, output=output, force=force, writers=writers)
    if plot:
        from ..report.budget_plot import month_bars
        from ..report.output import screen_width

        sys.stdout.write("\n" + month_bars(budget, width=screen_width()))
    _fail_over(budget, fail_over)


@app.command("export")
def export(
    file: FileArgument = None,
    scenario: ScenarioOption = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write, in the format of the ending: .csv, .html, .json, .md, .parquet, .png, .svg, .tex, "
            ".txt, .xlsx or .yaml. May be repeated.",
        ),
    ] = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Write a budget with every line and price: a workbook with live formulas, a report, or data.

    The workbook's totals are formulas over its prices and amounts; the HTML report needs no network.
    """
    if not output:
        raise InputError("--output: say where to: budget.xlsx, budget.html, budget.csv, budget.json, ...")
    pictures = (".svg", ".png")
    for path in output:
        if path.suffix.lower() in pictures:
            choose(None, path.with_suffix(".html"), True)
            if path.exists() and not force:
                raise InputError(f"--output: '{path}' exists; add --force to replace it.")
        elif str(path) == "-":
            raise InputError("--output: '-' has no ending to tell the format; use `flopwise budget show --format csv`.")
        else:
            choose(None, path, force)
    if len(set(output)) < len(output):
        raise InputError("--output: the same file is named twice; name each once.")
    budget = _worked_out(file, scenario, catalog)
    document, writers = _document(budget, everything=True)
    for path in output:
        if path.suffix.lower() in pictures:
            from ..report.budget_plot import picture

            write_atomically(path, picture(budget, path.suffix.lower()))
            print(f"Wrote {path}.", file=sys.stderr)
        else:
            deliver(document, output=path, force=force, writers=writers)


@app.command("diff")
def diff(
    before: Annotated[Path, typer.Argument(metavar="FILE", help="The budget before, or the file of both revisions.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="[AFTER]", help="The budget after; left out with --from.")
    ] = None,
    from_revision: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="REV", help="Compare the file of this git revision: HEAD~1.", rich_help_panel=WHAT_PANEL
        ),
    ] = None,
    to_revision: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="REV",
            help="With that of this one; the file as it is now where left out.",
            rich_help_panel=WHAT_PANEL,
        ),
    ] = None,
    fail_over: FailOverOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """What changed between two budgets, or two git revisions of one: lines, totals, and why."""
    from ...estimators.budget.difference import difference
    from ..report import budget_diff, budget_twin

    choose(format, output, force)
    old, new = _both(before, after, from_revision, to_revision)
    facts = load_catalog(catalog or ())
    found = difference(build(old, facts), build(new, facts))
    document = Document(
        verb="budget-diff",
        headline=budget_diff.headline(found),
        inputs={"before": old.file.file, "after": new.file.file},
        result=budget_twin.difference(found),
        sections=(budget_diff.line_table(found),) if found.changed else (),
        warnings=tuple(dict.fromkeys((*found.before.notices, *found.after.notices))),
        catalog=facts.stamp(),
    )
    deliver(document, format=format, output=output, force=force)
    _fail_over(found.after, fail_over)


def _both(before: Path, after: Path | None, start: str | None, end: str | None) -> tuple[BudgetFile, BudgetFile]:
    """Return the two budgets that were named."""
    if start is None:
        if end is not None:
            raise InputError("--to: it has no effect without --from; name the earlier revision too.")
        if after is None:
            raise InputError(f"name a second file, or --from REV to compare '{before}' with an earlier revision.")
        return load_budget(before), load_budget(after)
    if after is not None:
        raise InputError("--from: two files and a revision contradict each other; name one file.")
    from ..revisions import text_at

    old = parse_budget(text_at(start, before), name=f"{start}:{before}")
    if end is None:
        return old, load_budget(before)
    return old, parse_budget(text_at(end, before), name=f"{end}:{before}")


def _worked_out(file: Path | None, scenario: str | None, catalog: list[Path] | None) -> Budget:
    if file is not None and scenario is not None:
        raise InputError("--scenario: a file and a scenario contradict each other; give one of them.")
    if scenario is not None:
        with naming("--scenario"):
            name, text = scenario_text(scenario)
        given = parse_budget(text, name=f"{name}.yaml")
    else:
        given = load_budget(file or DEFAULT_FILE)
    return build(given, load_catalog(catalog or ()))


def _document(budget: Budget, *, everything: bool) -> tuple[Document, dict[str, Callable[[], bytes]]]:
    """Return the document, and the writers of the formats that a budget writes in its own way."""
    from ...estimators.budget.alternatives import alternatives
    from ...estimators.budget.uncertainty import uncertainty
    from ..report import budget as sections
    from ..report import budget_twin

    found, ways = uncertainty(budget), alternatives(budget)
    tables: list[Table | Facts] = [
        sections.budget_facts(budget, found),
        sections.stage_table(budget, found),
        sections.category_table(budget),
        sections.month_table(budget),
    ]
    if budget.commitments:
        tables.append(sections.commitment_table(budget))
    if found.swings:
        tables.append(sections.swing_table(found))
    if ways:
        tables.append(sections.way_table(ways))
    if everything:
        tables += [sections.line_table(budget), sections.price_table(budget)]
    document = Document(
        verb="budget",
        headline=sections.headline(budget, found),
        inputs=budget_twin.inputs(budget),
        result=budget_twin.result(budget, found, ways),
        sections=tuple(tables),
        assumptions=sections.assumptions(budget),
        warnings=_told(budget),
        catalog=budget.context.catalog.stamp(),
        next_commands=() if everything else ("flopwise budget export FILE --output budget.xlsx",),
    )

    def workbook() -> bytes:
        from ..report.budget_sheet import workbook_bytes

        return workbook_bytes(budget, found, document)

    def report() -> bytes:
        from ..report.budget_page import report_bytes

        return report_bytes(budget, found, ways, document)

    return document, {"xlsx": workbook, "html": report}


def _told(budget: Budget) -> tuple[str, ...]:
    """Return what a reader must be told: notices of the file, and prices that are old."""
    now = today()
    prices = [note for quote in budget.context.quotes.values() for note in quote.notes(now)]
    return tuple(dict.fromkeys((*budget.notices, *prices)))


def _fail_over(budget: Budget, limit: float | None) -> None:
    if limit is not None and budget.cents > round(limit * 100):
        raise AnswerIsNo(
            f"the total of ${budget.cents / 100:,.2f} is {show_usd(budget.cents / 100 - limit)} over the limit of "
            f"{show_usd(limit)} (--fail-over)."
        )


def _short(budget: Budget, runway: float) -> str:
    return (
        f"The cash is gone after {runway:.1f} of {budget.file.months} months, in {budget.file.month_name(int(runway))}."
    )


def _name(file: Path | None, scenario: str | None) -> str:
    return f"The scenario {scenario}" if scenario else str(file or DEFAULT_FILE)


def _again(file: Path | None, scenario: str | None) -> str:
    return f"--scenario {scenario}" if scenario else str(file or "")
