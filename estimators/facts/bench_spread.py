"""Read `data/bench_spread.yaml`: by how much runs of the harness on one machine differ beyond what one run sees."""

from __future__ import annotations

from functools import cache

from ..frozen import dataclass
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/bench_spread.yaml"
ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpread:
    """Standard deviation between runs of the logarithm of a time, of a kind of device and a suite ("any": all)."""

    device: str
    suite: str
    deviation: float
    is_guess: bool
    source: str


@cache
def load_run_spreads() -> tuple[RunSpread, ...]:
    """Return the rows.

    Raises:
        FactsError: a row lacks something, or there is none for any device and suite.
    """
    return _rows(read(package_folder() / NAME, name=NAME, check=_check))


def run_spread(device: str, suite: str) -> RunSpread:
    """Return the row for a kind of device (cpu, cuda, ...) and a suite; the most special one."""
    rows = {(row.device, row.suite): row for row in load_run_spreads()}
    return next(rows[key] for key in ((device, suite), (device, ANY), (ANY, ANY)) if key in rows)


def _check(file: FactFile) -> None:
    _rows(file)


def _rows(file: FactFile) -> tuple[RunSpread, ...]:
    top = Fields(file, (), file.data, ("as_of", "rows"))
    found = []
    listed = top.values.get("rows")
    if not isinstance(listed, list):
        top.fail("rows", "rows: a list is wanted")
    for index, row in enumerate(listed):
        fields = Fields(file, ("rows", index), row, ("device", "suite", "deviation", "guess", "source"))
        guess = fields.values.get("guess", False)
        if not isinstance(guess, bool):
            fields.fail("guess", f"{fields.spelled('guess')} must be true or false")
        found.append(
            RunSpread(
                device=fields.text("device"),
                suite=fields.text("suite"),
                deviation=fields.number("deviation", above=None, at_least=0.0),
                is_guess=guess,
                source=fields.text("source"),
            )
        )
    if not any((row.device, row.suite) == (ANY, ANY) for row in found):
        top.fail("rows", "rows: there must be one for any device and any suite")
    return tuple(found)
