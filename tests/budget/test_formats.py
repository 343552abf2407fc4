"""Every format says the same to the cent; the workbook calculates it; the report needs nobody."""

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import yaml

from flopwise.estimators.facts.budget_file import load_budget, scenario_names

from .conftest import SMALL, budget_of

ENDINGS = ("csv", "md", "json", "yaml", "parquet", "tex", "html", "xlsx", "txt", "svg")


def dollars(cents: int) -> str:
    return f"${cents / 100:,.2f}"


@pytest.fixture(params=[*scenario_names(), "small"])
def exported(request, cli, tmp_path, scenario, small):
    """A budget, and the folder with it in every format."""
    name = request.param
    folder = tmp_path / "work"
    if name == "small":
        (folder / "b.yaml").write_text(SMALL, encoding="utf-8")
        budget = small
    else:
        assert cli("budget", "init", "b.yaml", "--scenario", name).code == 0
        budget = scenario(name)
    outputs = [part for ending in ENDINGS for part in ("-o", f"out.{ending}")]
    ran = cli("budget", "export", "b.yaml", *outputs)
    assert (ran.code, ran.out) == (0, "")
    return budget, folder


def test_all_formats_agree_to_the_cent(exported):
    budget, folder = exported
    stages = {planned.stage.name: planned.cents for planned in budget.stages}
    months = dict(zip(budget.months, budget.by_month, strict=True))
    categories = {str(category): cents for category, cents in budget.by_category.items()}

    for ending in ("json", "yaml"):
        text = (folder / f"out.{ending}").read_text("utf-8")
        result = (json.loads(text) if ending == "json" else yaml.safe_load(text))["result"]
        assert round(result["total_usd"] * 100) == budget.cents
        for key, label, wanted in (
            ("stages", "stage", stages),
            ("months", "month", months),
            ("categories", "category", categories),
        ):
            assert {each[label]: round(each["cost_usd"] * 100) for each in result[key]} == wanted
        assert sum(round(line["cost_usd"] * 100) for line in result["lines"]) == budget.cents

    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text("utf-8"))))
    parquet = pytest.importorskip("pandas").read_parquet(folder / "out.parquet").to_dict("records")
    for table in (rows, parquet):
        for section, wanted in (("stages", stages), ("months", months), ("categories", categories)):
            found = [row for row in table if row["section"] == section and row["key"].endswith(".cost_usd")]
            cents = [round(float(row["mid"]) * 100) for row in found]
            assert cents == [*wanted.values(), budget.cents]

    for ending in ("md", "tex", "html", "txt"):
        text = (folder / f"out.{ending}").read_text("utf-8").replace("\\$", "$")
        for cents in (budget.cents, *stages.values(), *months.values(), *categories.values()):
            assert dollars(cents) in text, f"{dollars(cents)} is not in out.{ending}"

    book = pytest.importorskip("openpyxl").load_workbook(folder / "out.xlsx", data_only=True)
    summary = [row for row in book["Summary"].iter_rows(min_row=5, values_only=True)]
    assert [round(row[2] * 100) for row in summary if row[2] is not None] == [*stages.values(), budget.cents]
    by_category = {row[4]: round(row[5] * 100) for row in summary if row[5]}
    assert by_category == {**categories, "total": budget.cents}
    *_, total = book["Months"].iter_rows(values_only=True)
    assert [round(cell * 100) for cell in total[2:]] == [*months.values(), budget.cents]


def test_every_total_of_the_workbook_is_a_formula(cli, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    cli("budget", "export", "--scenario", "code-assistant", "-o", "b.xlsx")
    book = openpyxl.load_workbook(tmp_path / "work" / "b.xlsx")
    assert book.sheetnames[:5] == ["Summary", "Inputs", "Lines", "Months", "Shares"]
    assert "Sources" in book.sheetnames
    for sheet, column in (("Summary", 3), ("Lines", 7), ("Months", 3)):
        cells = [row[column - 1] for row in book[sheet].iter_rows(min_row=5, values_only=True)]
        assert all(str(cell).startswith("=") for cell in cells if cell is not None)
    assert all(
        isinstance(row[1], (int, float)) for row in book["Inputs"].iter_rows(min_row=5, values_only=True) if row[0]
    )


class _Page(HTMLParser):
    """What a page is made of, and whatever it would fetch."""

    VOID = ("meta", "link", "rect", "line", "circle", "polyline", "polygon", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.fetched += [value for name, value in attrs if name in ("src", "href", "action") and value != "data:,"]
        if tag not in self.VOID and tag != "li":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID or tag == "li":
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_the_report_is_whole_and_needs_no_network(cli, tmp_path):
    cli("budget", "export", "--scenario", "pretrain-domain-model", "-o", "b.html")
    text = (tmp_path / "work" / "b.html").read_text("utf-8")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.fetched == []
    assert "script" not in page.count
    assert "url(" not in text
    charts = 5  # months, cash, sensitivity, loss against money, predicted against measured
    assert page.count["svg"] == 2 * charts  # for a desk and for a phone
    assert page.count["table"] >= 6
    assert "this budget" in text
    assert "off in the median" in text
    assert re.search(r'name="viewport"', text)


def test_pictures_are_pictures(cli, tmp_path):
    cli("budget", "export", "--scenario", "rag", "-o", "b.svg")
    text = (tmp_path / "work" / "b.svg").read_text("utf-8")
    from xml.etree import ElementTree

    assert ElementTree.fromstring(text).tag.endswith("svg")
    pytest.importorskip("matplotlib")
    assert cli("budget", "export", "--scenario", "rag", "-o", "b.png").code == 0
    assert (tmp_path / "work" / "b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_an_exported_budget_loads_again_as_the_same(cli, tmp_path, ending, small):
    folder = tmp_path / "work"
    (folder / "b.yaml").write_text(SMALL, encoding="utf-8")
    assert cli("budget", "export", "b.yaml", "-o", f"again.{ending}").code == 0
    again = budget_of((folder / f"again.{ending}").read_text("utf-8"))
    assert again.file.given == small.file.given
    assert again.file.stages == small.file.stages
    assert (again.cents, again.by_month) == (small.cents, small.by_month)
    assert load_budget(folder / f"again.{ending}").notices == ()
    ran = cli("budget", "diff", "b.yaml", f"again.{ending}")
    assert ran.out.startswith("Nothing changes")


def test_tables_of_a_budget_say_nothing_that_its_json_does_not(same_numbers):
    same_numbers("budget", "show", "--scenario", "finetune-open-model", "--lines")


def test_an_existing_file_is_not_overwritten(cli, tmp_path):
    (tmp_path / "work" / "budget.yaml").write_text("mine", encoding="utf-8")
    ran = cli("budget", "init", "--scenario", "rag")
    assert ran.code == 2
    assert "add --force" in ran.err
    assert (tmp_path / "work" / "budget.yaml").read_text("utf-8") == "mine"


def test_months_are_drawn_below_the_tables(cli):
    ran = cli("budget", "show", "--scenario", "rag", "--plot")
    assert (ran.code, ran.err) == (0, "")
    assert "Spent by month" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles_and_no_table_leaves_the_page(cli, tmp_path):
    folder = tmp_path / "work"
    assert cli("budget", "export", "--scenario", "medical-imaging", "-o", "b.tex").code == 0
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "b.tex"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    assert ran.returncode == 0
    assert re.findall(rb"Overfull \\hbox \((\d+)\.\d+pt too wide\) in alignment", ran.stdout) == []
    assert (folder / "b.pdf").read_bytes().startswith(b"%PDF")
