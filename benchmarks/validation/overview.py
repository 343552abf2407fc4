"""One line for each thing that can be wrong: how far this very version is off on what others published or measured.

Every figure is that of its own `validate` command on the rows that ship with flopwise: measured rows are predicted from
their configuration alone, with their kind of run left out of the fit. `python -m flopwise.benchmarks.validation.overview
README.md` writes the table between the marks of that file; a test holds the README to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...estimators.facts.catalog import load_catalog
from ...estimators.frozen import dataclass
from .rows import read_rows
from .scores import ScoredRow, quantile, scores
from .shipping import MEASURED

if TYPE_CHECKING:
    from .memory import MemorySummary
    from .scores import Score
    from .serving import ServingSummary


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

    return _checked("parameters of published models", "params", "models", (row.error for row in replay_presets()))


def _scaling() -> Line:
    from .scaling import replay_checks

    return _checked("published values of scaling laws", "scaling", "values", (row.error for row in replay_checks()))


def _checked(subject: str, command: str, over: str, errors: Iterable[float | None]) -> Line:
    """Return the line of values that nothing was fitted on: no band, and no way to do without a model."""
    sizes = [abs(error) for error in errors if error is not None]
    return Line(
        subject=subject,
        command=command,
        rows=len(sizes),
        over=over,
        median=quantile(sizes, 0.5),
        p90=quantile(sizes, 0.9),
        coverage=None,
    )


def _speed() -> Line:
    _, overall = scores(training_rows())
    return _measured("training speed", "training", "sources", overall, overall.baseline_median, "flat 40 % MFU")


def _runs() -> Line:
    from .runs import validate_runs, worth_scoring

    measured = worth_scoring(read_rows(MEASURED / "training_runs.csv"), every_quality=False)
    _, overall = scores(validate_runs(measured, load_catalog(use_config_folder=False)))
    subject = "accelerator-hours of whole runs"
    return _measured(subject, "runs", "sources", overall, overall.baseline_median, "flat 40 % MFU")


def _memory() -> Line:
    from .memory import replay_file, summarise

    results = replay_file(None, load_catalog(use_config_folder=False))
    overall = next(each for each in summarise(results) if each.source == "mean over sources")
    return _measured("peak training memory", "memory", "sources", overall, overall.states_only_median, "states alone")


def _serving() -> Iterator[Line]:
    from .serving import MEMORY, PROMPT, SPEED, read_records, replay, summarise

    records = [each for name in ("serving.csv", "serving_memory.csv") for each in read_records(MEASURED / name)]
    overall = {
        each.group: each
        for each in summarise(replay(records, load_catalog(use_config_folder=False)))
        if each.source == "all cells"
    }
    subjects = {SPEED: "serving speed", PROMPT: "time to the first token", MEMORY: "serving memory"}
    for group, subject in subjects.items():
        if found := overall.get(group):
            without = found.roofline_median
            name = "" if without is None else "data sheet's roofline"
            yield _measured(subject, "serving", f"{found.cells} cells", found, without, name)


def _measured(
    subject: str,
    command: str,
    over: str,
    overall: Score | MemorySummary | ServingSummary,
    baseline: float | None,
    baseline_name: str,
) -> Line:
    return Line(
        subject=subject,
        command=command,
        rows=overall.rows,
        over=over,
        median=overall.median,
        p90=overall.p90,
        coverage=overall.coverage,
        baseline=baseline,
        baseline_name=baseline_name,
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
