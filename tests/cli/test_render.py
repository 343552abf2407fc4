"""One document reads the same in every format, fits the screen, and never says less than its JSON twin."""

import csv
import io
import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flopwise.cli.report.document import Assumption, Column, Document, Facts, Table, Value
from flopwise.cli.report.render import FORMATS, render
from flopwise.cli.report.text import cell_text, range_text
from flopwise.estimators.quantity import Given, Quantity, Step, exact, unranged

DAY = 86_400.0


def between(low: float, mid: float, high: float, unit: str) -> Quantity:
    return Quantity(low, mid, high, unit, "80 %", "residuals of 41 comparable runs")


TIME = between(9.8 * DAY, 12.3 * DAY, 15.9 * DAY, "s")
COST = between(98_000, 123_456.78, 159_000, "usd")
RUN = Facts(
    "run",
    (
        ("time", "Time", TIME, "restarts and evaluation of the held-out set included, queueing in the cloud not"),
        ("cost", "Cost", COST, "$2.49/hour, 2026-10-01"),
        ("parameters", "Parameters", Value(8_030_261_248, "params"), ""),
        ("cache", "Cache", unranged(3.2e9, "bytes", "a guess"), ""),
        ("interconnect", "Interconnect", None, ""),
    ),
    caption="Run",
)
MEMORY = Table(
    "memory",
    (
        Column("part", "Part"),
        Column("bytes", "Memory", right=True),
        Column("why", "Why it is what it is", wide_only=True),
        Column("cost", "Cost", right=True),
        Column("time", "Time", right=True),
    ),
    (
        ("weights", Value(16.1e9, "bytes"), "bf16, sharded over 64 accelerators", COST, TIME),
        ("activations", between(1e9, 2e9, 3e9, "bytes"), "flash attention, one sequence × 8,192", COST, TIME),
        ("total", between(17.1e9, 18.1e9, 19.1e9, "bytes"), "", COST, TIME),
    ),
    caption="Memory per accelerator",
    total_rows=1,
)
ANSWER = Document(
    verb="train",
    headline="Llama 3 8B on 1T tokens takes 64 H100 about 12.3 days and costs $123,457 ($98,000 to $159,000).",
    inputs={"model": "llama-3-8b", "tokens": 1e12},
    result={
        "time": TIME,
        "cost": COST,
        "parameters": Value(8_030_261_248, "params"),
        "cache": unranged(3.2e9, "bytes", "a guess"),
        "memory": [{"part": row[0], "memory": row[1]} for row in MEMORY.rows],
    },
    sections=(RUN, MEMORY),
    assumptions=(
        Assumption("one sequence of 8,192 tokens in a micro-batch, the most that fits", "--micro-batch"),
        Assumption("no failures"),
    ),
    warnings=("the price of h100-sxm-80gb is 112 days old; ask for a new one before anything is signed",),
    steps=(
        Step(
            "training_flops",
            "6 N D",
            (Given("N", 8.03e9, "params", "data/models.yaml"), Given("D", 1e12, "tokens", "--tokens")),
            4.818e22,
            "flops",
            "Kaplan 2020, equation 2.2",
            "D",
        ),
    ),
    catalog={"version": "7", "prices_as_of": "2026-11-01"},
    next_commands=("flopwise memory --model llama-3-8b --on h100-sxm:64",),
)
LIST = Document(
    verb="catalog.list",
    headline="2 accelerators",
    inputs={},
    result={"accelerators": [{"name": "h100", "price": COST}, {"name": "=cmd()", "price": None}]},
    sections=(
        Table("accelerators", (Column("name", "Name"), Column("price", "Price")), (("h100", COST), ("=cmd()", None))),
    ),
)


@pytest.mark.parametrize("format", FORMATS)
def test_the_answer_reads_as_it_did(format, golden):
    golden(f"answer.{format}.txt", render(ANSWER, format, width=80, color=False, explain=True))


def test_a_wide_screen_shows_every_column(golden):
    golden("answer.wide.txt", render(ANSWER, "table", width=132, color=False, explain=False))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_screen(width):
    lines = render(ANSWER, "table", width=width, color=False, explain=True).splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


@given(
    st.integers(44, 160),
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=30), max_size=4),
)
def test_words_of_any_length_wrap_and_are_never_cut(width, words):
    table = Table("t", (Column("a", "A"), Column("b", "B")), tuple((word, word) for word in words))
    text = render(Document("x", " ".join(words), {}, {}, (table,)), "table", width=width, color=False, explain=False)
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("…") == 0
    together = re.sub(r"\s", "", text)
    assert all(word in together for word in words if len(word) <= 15)


def test_a_pipe_gets_no_escapes_and_a_terminal_does():
    plain = render(ANSWER, "table", width=80, color=False, explain=True)
    coloured = render(ANSWER, "table", width=80, color=True, explain=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == plain.splitlines()


def test_an_ascii_terminal_gets_ascii_only():
    text = render(ANSWER, "table", width=80, color=False, explain=True, ascii=True)
    assert text.isascii()
    assert "----" in text


@pytest.mark.parametrize("format", ["table", "md", "csv"])
def test_every_number_of_the_tables_is_printed(format):
    text = render(ANSWER, format, width=200, color=False, explain=False)
    for shown in ["12.3", "9.8", "15.9"] if format != "csv" else ["1062720.0", "846720.0", "1373760.0"]:
        assert shown in text


def test_totals_stand_below_a_rule():
    lines = render(ANSWER, "table", width=132, color=False, explain=False).splitlines()
    total = next(i for i, line in enumerate(lines) if line.startswith("total"))
    assert set(lines[total - 1].strip()) == {"─"}


def test_what_is_not_known_is_a_dash_and_never_a_zero():
    assert re.search(r"Interconnect +-\n", render(ANSWER, "table", width=80, color=False, explain=False))


def test_an_estimate_without_a_range_says_so():
    assert cell_text(unranged(3.2e9, "bytes", "a guess")).endswith("(no range known)")
    assert "(" not in cell_text(exact(3.2e9, "bytes"))


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (TIME, "9.8 to 15.9"),
        (COST, "$98,000 to $159,000"),
        (between(0.5 * DAY, DAY, 3 * DAY, "s"), "12 hours to 3 days"),
        (between(2.1, 2.49, 3.0, "usd_per_hour"), "$2.10 to $3.00"),
        (between(0.35, 0.41, 0.46, "fraction"), "35 to 46"),
        (between(6e9, 7e9, 8e9, "params"), "6.00B to 8.00B"),
    ],
)
def test_a_range_repeats_the_unit_only_where_it_differs(quantity, text):
    assert range_text(quantity) == text


def test_json_is_the_contract():
    content = json.loads(render(ANSWER, "json", width=80, color=False, explain=False))
    assert list(content) == ["schema", "flopwise_version", "catalog", "inputs", "result", "assumptions", "warnings"]
    assert content["schema"] == "flopwise.train/1"
    assert content["result"]["cost"] == {
        "low": 98_000.0,
        "mid": 123_456.78,
        "high": 159_000.0,
        "unit": "usd",
        "band": "80 %",
        "basis": "residuals of 41 comparable runs",
    }
    assert content["result"]["parameters"] == {"value": 8_030_261_248, "unit": "params"}
    assert content["assumptions"][0]["flag"] == "--micro-batch"


def test_json_explains_only_when_asked():
    content = json.loads(render(ANSWER, "json", width=80, color=False, explain=True))
    (step,) = content["explanation"]
    assert step["formula"] == "6 N D"
    assert step["inputs"][0] == {"symbol": "N", "value": 8.03e9, "unit": "params", "source": "data/models.yaml"}


def test_yaml_says_what_json_says():
    as_json = json.loads(render(ANSWER, "json", width=80, color=False, explain=True))
    assert yaml.safe_load(render(ANSWER, "yaml", width=80, color=False, explain=True)) == as_json


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(number):
    document = Document("train", "", {}, {"loss": {"mid": number}}, ())
    with pytest.raises(ValueError, match=r"result\.loss\.mid"):
        render(document, "json", width=80, color=False, explain=False)


def test_csv_of_an_answer_is_one_long_table():
    rows = list(csv.DictReader(io.StringIO(render(ANSWER, "csv", width=80, color=False, explain=False))))
    assert list(rows[0]) == ["section", "key", "label", "low", "mid", "high", "unit", "band", "basis", "text"]
    cost = next(row for row in rows if row["section"] == "run" and row["key"] == "cost")
    assert (cost["low"], cost["mid"], cost["high"], cost["unit"]) == ("98000", "123456.78", "159000", "usd")
    assert any(row["section"] == "warning" for row in rows)


def test_csv_of_a_list_keeps_its_columns_and_splits_quantities():
    header, first, second = csv.reader(io.StringIO(render(LIST, "csv", width=80, color=False, explain=False)))
    assert header == ["name", "price_low", "price_mid", "price_high", "price_unit"]
    assert first == ["h100", "98000", "123456.78", "159000", "usd"]
    assert second == ["'=cmd()", "", "", "", ""]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\tx"])
def test_a_spreadsheet_never_takes_text_for_a_formula(text):
    document = Document("x", "", {}, {}, (Table("t", (Column("a", "A"),), ((text,),)),))
    _, (cell,) = csv.reader(io.StringIO(render(document, "csv", width=80, color=False, explain=False), newline=""))
    assert cell == f"'{text}"


def test_markdown_escapes_what_would_break_its_tables():
    document = Document("x", "a | b", {}, {}, (Table("t", (Column("a", "A|B"),), (("x|y\nz",),), total_rows=1),))
    lines = render(document, "md", width=80, color=False, explain=False).splitlines()
    assert r"| A\|B |" in lines
    assert r"| **x\|y z** |" in lines


def test_wide_characters_take_two_columns():
    table = Table("t", (Column("a", "名"), Column("b", "B")), (("数据", 1), ("abc", 22)))
    lines = render(Document("x", "", {}, {}, (table,)), "table", width=80, color=False, explain=False).splitlines()
    assert lines == ["名     B", "────────", "数据   1", "abc   22"]


def test_a_table_with_columns_dropped_says_which():
    text = render(ANSWER, "table", width=80, color=False, explain=False)
    assert "Not shown at this width: Why it is what it is (--format csv has all)." in text
