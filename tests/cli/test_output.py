"""An answer arrives whole or not at all, in the format that the ending says, and never over a file unasked."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from flopwise.cli.report import output
from flopwise.cli.report.document import Column, Document, Facts, Table, Value
from flopwise.cli.report.output import deliver
from flopwise.estimators.errors import InputError
from flopwise.estimators.quantity import Quantity, Step

COST = Quantity(1.0, 2.0, 3.0, "usd", "80 %", "prices of 3 clouds")
ANSWER = Document(
    "train",
    "It costs $2.",
    {},
    {"cost": COST},
    (
        Facts("run", (("cost", "Cost", COST, ""),), caption="Run"),
        Table(
            "parts", (Column("part", "Part"), Column("cost", "Cost")), (("=SUM(A1)", COST), ("rest", Value(1.5, "usd")))
        ),
    ),
    steps=(Step("cost", "hours times price", (), 2.0, "usd", "a test"),),
    warnings=("a <warning>",),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("ending", ["csv", "json", "md", "txt", "yaml", "yml", "html", "htm", "markdown"])
def test_the_ending_says_the_format(folder, ending, capsys):
    if ending == "markdown":
        with pytest.raises(InputError, match=r"'\.markdown' is not known; end it in \.csv"):
            deliver(ANSWER, output=Path("answer.markdown"))
        return
    deliver(ANSWER, output=Path(f"answer.{ending}"))
    text = (folder / f"answer.{ending}").read_text(encoding="utf-8")
    shape = {"csv": "section,", "json": "{\n", "md": "**It", "txt": "It costs", "yaml": "schema:", "yml": "schema:"}
    assert text.startswith(shape.get(ending, "<!doctype html>"))
    assert capsys.readouterr().out == ""


def test_a_dash_is_stdout(folder, capsys):
    deliver(ANSWER, format="json", output=Path("-"))
    assert json.loads(capsys.readouterr().out)["schema"] == "flopwise.train/1"
    assert list(folder.iterdir()) == []


def test_an_existing_file_is_kept_without_force(folder):
    Path("answer.json").write_text("precious")
    with pytest.raises(InputError, match=r"'answer\.json' exists; add --force"):
        deliver(ANSWER, output=Path("answer.json"))
    assert Path("answer.json").read_text() == "precious"
    assert [path.name for path in folder.iterdir()] == ["answer.json"]


def test_force_replaces_and_keeps_permissions_and_links(folder):
    Path("real.json").write_text("old")
    os.chmod("real.json", 0o640)
    Path("link.json").symlink_to("real.json")
    deliver(ANSWER, output=Path("link.json"), force=True)
    assert Path("link.json").is_symlink()
    assert json.loads(Path("real.json").read_text())["result"]
    assert stat.S_IMODE(Path("real.json").stat().st_mode) == 0o640


def test_a_new_file_has_the_permissions_of_the_umask(folder):
    before = os.umask(0o027)
    try:
        deliver(ANSWER, output=Path("answer.csv"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("answer.csv").stat().st_mode) == 0o640


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "replace", full)
    with pytest.raises(InputError, match="no space left on device"):
        deliver(ANSWER, output=Path("answer.csv"))
    assert list(folder.iterdir()) == []


def test_a_result_that_cannot_be_written_leaves_nothing(folder):
    with pytest.raises(ValueError, match="finite"):
        deliver(Document("x", "", {}, {"loss": float("nan")}, ()), output=Path("answer.json"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"output": Path("answer")}, "the name has no ending"),
        ({"output": Path("answer.doc")}, r"the ending '\.doc' is not known"),
        ({"output": Path("nowhere/answer.csv")}, "there is no folder"),
        ({"output": Path("sub.csv")}, "is a folder"),
        ({"output": Path("answer.csv"), "format": "json"}, "--format json contradicts --output 'answer.csv'"),
        ({"force": True}, "--force: it has no effect without --output"),
        ({"output": Path("-"), "force": True}, "--force: it has no effect"),
    ],
)
def test_what_contradicts_or_has_no_effect_is_refused(folder, arguments, said):
    Path("sub.csv").mkdir()
    with pytest.raises(InputError, match=said):
        deliver(ANSWER, **arguments)
    assert [path.name for path in folder.iterdir()] == ["sub.csv"]


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    monkeypatch.setattr(output.os, "access", lambda *_: False)  # root may write anywhere, so modes would not tell
    with pytest.raises(InputError, match=r"the folder '.*' is not writable"):
        deliver(ANSWER, output=folder / "answer.csv")


def test_a_list_has_nothing_to_explain(folder):
    with pytest.raises(InputError, match="nothing to explain"):
        deliver(Document("models.list", "", {}, {}, ()), explain=True)


def test_a_page_needs_nothing_else_and_escapes(folder):
    deliver(ANSWER, output=Path("answer.html"))
    page = Path("answer.html").read_text(encoding="utf-8")
    assert "a &lt;warning&gt;" in page
    assert "http" not in page
    assert "<script" not in page


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_a_missing_package_names_the_extra(folder, ending, monkeypatch):
    for name in ("openpyxl", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install 'flopwise\[export\]'"):
        deliver(ANSWER, output=Path(f"answer.{ending}"))
    assert list(folder.iterdir()) == []


def test_a_workbook_has_a_sheet_for_each_section_and_no_formulas(folder):
    openpyxl = pytest.importorskip("openpyxl")
    deliver(ANSWER, output=Path("answer.xlsx"), explain=True)
    book = openpyxl.load_workbook("answer.xlsx")
    assert book.sheetnames == ["Run", "parts", "notes"]
    assert book["parts"]["A2"].value == "=SUM(A1)"
    assert book["parts"]["A2"].data_type == "s"
    assert [cell.value for cell in book["Run"][2]][:5] == ["cost", "Cost", 1, 2, 3]


def test_parquet_holds_the_rows_of_the_csv(folder):
    pytest.importorskip("pyarrow")
    import pandas as pd

    deliver(ANSWER, output=Path("answer.parquet"))
    frame = pd.read_parquet("answer.parquet")
    assert frame.loc[frame["key"] == "cost", "mid"].tolist() == [2.0]


@pytest.mark.parametrize(
    ("settings", "terminal", "colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "0"}, True, False),
    ],
)
def test_colour_follows_the_environment(monkeypatch, settings, terminal, colour):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert output.wants_color() is colour


@pytest.mark.parametrize(("columns", "width"), [("120", 120), ("0", 80), ("wide", 80), ("", 80)])
def test_the_width_follows_columns(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert output.screen_width() == width
