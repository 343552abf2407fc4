"""One line for each thing that can be wrong: how far this very version is off on what others published or measured.

Every figure is that of its own `validate` command on the rows that ship with flopwise: measured rows are predicted from
their configuration alone, with their kind of run left out of the fit. `python -m flopwise.benchmarks.validation.overview
README.md` writes the table between the marks of that file; a test holds the README to it.
"""

from __future__ import annotations

from ...estimators.facts.catalog import load_catalog
from ...estimators.frozen import dataclass
from .rows import read_rows
from .scores import ScoredRow, quantile, scores
from .shipping import MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Errors of one subject, as fractions: `over` says what the median and the 90th percentile are taken over.

    `baseline` is the median error of what a person would do without a model, named by `baseline_name`.
    """

    subject: str
    command: str
    rows: int
    over: str
    median: float | None
    p90: float | None
    coverage: float | None
    baseline: float | None = None
    baseline_name: str = ""


def overview() -> tuple[Line, ...]:
    """Return a line each for parameters, scaling laws, training speed, whole runs, memory and serving."""
    return (_parameters(), _scaling(), _speed(), _runs(), _memory(), *_serving())


def training_rows() -> tuple[ScoredRow, ...]:
    """Return the shipped training rows, each predicted with its kind of run left out of the fit."""
    from .selection import worth_scoring
    from .training import validate_training

    measured = worth_scoring(read_rows(MEASURED / "training_throughput.csv"), every_quality=False)
    return validate_training(measured, load_catalog(use_config_folder=False))


def _parameters() -> Line:
    from .params import replay_presets

    errors = [abs(row.error) for row in replay_presets() if row.error is not None]
    return Line(
        subject="parameters of published models",
        command="params",
        rows=len(errors),
        over="models",
        median=quantile(errors, 0.5),
        p90=quantile(errors, 0.9),
        coverage=None,
    )


def _scaling() -> Line:
    from .scaling import replay_checks

    errors = [abs(row.error) for row in replay_checks() if row.error is not None]
    return Line(
        subject="published values of scaling laws",
        command="scaling",
        rows=len(errors),
        over="values",
        median=quantile(errors, 0.5),
        p90=quantile(errors, 0.9),
        coverage=None,
    )


def _speed() -> Line:
    _, overall = scores(training_rows())
    return Line(
        subject="training speed",
        command="training",
        rows=overall.rows,
        over="sources",
        median=overall.median,
        p90=overall.p90,
        coverage=overall.coverage,
        baseline=overall.baseline_median,
        baseline_name="flat 40 % MFU",
    )


def _runs() -> Line:
    from .runs import validate_runs, worth_scoring

    measured = worth_scoring(read_rows(MEASURED / "training_runs.csv"), every_quality=False)
    _, overall = scores(validate_runs(measured, load_catalog(use_config_folder=False)))
    return Line(
        subject="accelerator-hours of whole runs",
        command="runs",
        rows=overall.rows,
        over="sources",
        median=overall.median,
        p90=overall.p90,
        coverage=overall.coverage,
        baseline=overall.baseline_median,
        baseline_name="flat 40 % MFU",
    )


def _memory() -> Line:
    from .memory import replay_file, summarise

    results = replay_file(None, load_catalog(use_config_folder=False))
    overall = next(each for each in summarise(results) if each.source == "mean over sources")
    return Line(
        subject="peak training memory",
        command="memory",
        rows=overall.rows,
        over="sources",
        median=overall.median,
        p90=overall.p90,
        coverage=overall.coverage,
        baseline=overall.states_only_median,
        baseline_name="states alone",
    )


def _serving() -> tuple[Line, ...]:
    from .serving import MEMORY, PROMPT, SPEED, read_records, replay, summarise

    records = [each for name in ("serving.csv", "serving_memory.csv") for each in read_records(MEASURED / name)]
    overall = {
        each.group: each
        for each in summarise(replay(records, load_catalog(use_config_folder=False)))
        if each.source == "all cells"
    }
    subjects = {SPEED: "serving speed", PROMPT: "time to the first token", MEMORY: "serving memory"}
    return tuple(
        Line(
            subject=subject,
            command="serving",
            rows=overall[group].rows,
            over=f"{overall[group].cells} cells",
            median=overall[group].median,
            p90=overall[group].p90,
            coverage=overall[group].coverage,
            baseline=overall[group].roofline_median,
            baseline_name="data sheet's roofline" if overall[group].roofline_median is not None else "",
        )
        for group, subject in subjects.items()
        if group in overall
    )


BEGIN, END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"


def markdown(lines: tuple[Line, ...]) -> str:
    """Return the table of the README: what, rows, median and 90th percentile error, share in the band, baseline."""
    head = ["what", "rows", "median error", "90th percentile", "in the 80 % band", "without a model"]
    table = [f"| {' | '.join(head)} |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for line in lines:
        without = "" if line.baseline is None else f"{_percent(line.baseline)} ({line.baseline_name})"
        cells = [f"{line.subject} (`validate {line.command}`)", f"{line.rows:,}"]
        cells += [_percent(line.median), _percent(line.p90), _percent(line.coverage), without]
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def replaced(text: str, table: str) -> str:
    """Return `text` with what stands between the marks replaced by `table`.

    Raises:
        ValueError: the marks are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for the table: {BEGIN} and {END} are missing")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def _percent(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 100:.0f} %" if value >= 0.1 else f"{value * 100:.1f} %"


def main() -> None:
    """Write the table into the README that is named."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(description="Write the table of errors into a README.")
    parser.add_argument("readme", type=Path)
    path = parser.parse_args().readme
    path.write_text(replaced(path.read_text(encoding="utf-8"), markdown(overview())), encoding="utf-8")


if __name__ == "__main__":
    main()
