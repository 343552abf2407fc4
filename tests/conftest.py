"""What every test of the command line shares: a quiet terminal, an empty home, golden files and the measured rows."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Before Typer is imported: its help reads these once.
for _name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)
os.environ.update(COLUMNS="80", NO_COLOR="1", TERM="dumb")

import pytest
from hypothesis import HealthCheck, settings

# No test may depend on how busy the machine is; in CI the same examples every time.
settings.register_profile(
    "flopwise",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("flopwise")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
TODAY = "1795521600"  # 2026-11-24T12:00:00Z, the day of every test


@dataclass(frozen=True)
class Ran:
    """What one command did: its exit code and what it wrote on both streams."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


Cli = Callable[..., Ran]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden from what the program says now")


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quiet_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _cache: Path) -> Path:
    """An empty home, no settings of the developer's, a fixed day and a terminal of 80 columns without colour."""
    for name in [name for name in os.environ if name.startswith(("FLOPWISE_", "XDG_", "_FLOPWISE"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    settings = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    settings |= {"FLOPWISE_CACHE_DIR": str(_cache), "SOURCE_DATE_EPOCH": TODAY}
    settings |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run `flopwise ARGUMENTS` in this process, in an empty folder; returns code, stdout and stderr."""
    from flopwise.cli.app import main

    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*argv: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["flopwise", *argv])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
        out, err = capsys.readouterr()
        return Ran(argv, code, out, err)

    return run


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with `tests/golden/NAME`; `pytest --update-golden` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"{path} is missing; run pytest --update-golden and read what it wrote"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def same_numbers(cli: Cli) -> Callable[..., Ran]:
    """Run a command as CSV and as JSON: every number that its tables show must stand in its JSON twin.

    Tables, CSV and Markdown print the same cells, and CSV prints them unrounded, so CSV stands for all three.
    """

    def check(*argv: str) -> Ran:
        shown, twin = cli(*argv, "--format", "csv"), cli(*argv, "--format", "json")
        assert (shown.code, twin.code) == (0, 0), shown.err + twin.err
        numbers = sorted(_numbers_in_json(twin.json))
        lost = [text for text, number in _numbers_in_csv(shown.out) if not _among(number, numbers)]
        assert not lost, f"in the tables of `flopwise {' '.join(argv)}` but not in its JSON: {lost}"
        return twin

    return check


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of measured rows beside the checkout; tests that need it are skipped where it is absent."""
    for folder in ROOT.parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    pytest.skip("no shared/data beside the checkout")


def _numbers_in_json(value: object) -> Iterator[float]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, (int, float)):
        yield float(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _numbers_in_json(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers_in_json(inner)


def _numbers_in_csv(text: str) -> Iterator[tuple[str, float]]:
    header, *rows = csv.reader(io.StringIO(text))
    for row in rows:
        for column, field in zip(header, row, strict=True):
            try:
                number = float(field)
            except ValueError:
                continue
            if column not in ("key", "label", "text"):
                yield f"{row[0]}/{row[1] if len(row) > 1 else ''} {column}={field}", number


def _among(number: float, numbers: list[float]) -> bool:
    from bisect import bisect_left

    spot = bisect_left(numbers, number)
    return any(math.isclose(number, other, rel_tol=1e-9) for other in numbers[max(0, spot - 1) : spot + 2])
