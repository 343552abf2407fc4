"""The README says how far this very version is off, and `validate all` says the same."""

import json
from pathlib import Path

import pytest

from flopwise.benchmarks.validation.overview import BEGIN, END, Line, markdown, overview, replaced

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def lines():
    return overview()


def test_the_readme_prints_the_errors_of_this_version(lines):
    text = README.read_text(encoding="utf-8")
    assert replaced(text, markdown(lines)) == text, "run python -m flopwise.benchmarks.validation.overview README.md"


def test_every_subject_beats_what_people_do_without_a_model(lines):
    compared = [line for line in lines if line.baseline is not None]
    assert len(compared) >= 4
    for line in compared:
        assert line.median < line.baseline / 2, line.subject


def test_the_command_prints_the_same_lines_as_json(cli, lines):
    ran = cli("validate", "all", "--format", "json", "--chart", "speeds.svg")
    assert ran.code == 0
    assert Path("speeds.svg").read_text(encoding="utf-8").count("<circle") > 900
    printed = json.loads(ran.out)["result"]["lines"]
    assert [each["median"] for each in printed] == [line.median for line in lines]


@pytest.mark.parametrize(("chart", "says"), [("speeds.png", "must end in .svg"), ("old.svg", "exists already")])
def test_a_chart_that_cannot_be_written_is_refused(cli, chart, says):
    Path("old.svg").write_text("mine", encoding="utf-8")
    ran = cli("validate", "all", "--chart", chart)
    assert ran.code == 2
    assert says in ran.err
    assert Path("old.svg").read_text(encoding="utf-8") == "mine"


def test_a_text_without_marks_is_refused():
    with pytest.raises(ValueError, match="missing"):
        replaced("no marks here", "table")


def test_marks_survive_a_replacement():
    line = Line(subject="x", command="training", rows=3, over="sources", median=0.123, p90=0.2, coverage=None)
    once = replaced(f"a {BEGIN}old{END} b", markdown((line,)))
    assert "12 %" in once
    assert replaced(once, markdown((line,))) == once
