"""What the documents show works: every command runs, every flag exists, every link leads somewhere."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from flopwise.cli.app import VERBS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def commands(path: Path) -> list[str]:
    """Return the `flopwise` lines of the console blocks of a document."""
    lines = [line.removeprefix("$ ") for block in BLOCK.findall(path.read_text("utf-8")) for line in block.splitlines()]
    return [line for line in lines if line.startswith("flopwise ")]


# A command that several documents show is run once.
SHOWN = list({command: (command, path.name) for path in DOCUMENTS for command in commands(path)}.values())


@pytest.mark.parametrize(("command", "document"), SHOWN)
def test_a_command_in_the_documents_answers(cli, command, document):
    shutil.copytree(ROOT / "examples", "examples", dirs_exist_ok=True)
    ran = cli(*shlex.split(command)[1:])
    assert ran.code in (0, 3), f"{document}: {command}: {ran.err}"  # 3: the answer is no, and why
    assert (ran.err == "") == (ran.code == 0)
    assert ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_readme_opens_with_the_two_lines_that_set_themselves_up():
    text = (ROOT / "README.md").read_text("utf-8")
    plan, tests = (block.strip() for block in BLOCK.findall(text)[:2])
    assert plan.count("\n") == tests.count("\n") == 0
    assert re.fullmatch(r"python3 -m venv (\S+) && \1/bin/pip install -q \. && \1/bin/flopwise plan --budget \S+", plan)
    assert re.fullmatch(r"python3 -m venv (\S+) && \1/bin/pip install -q '\.\[dev\]' && \1/bin/pytest", tests)


def test_ci_runs_the_second_line_of_the_readme():
    pattern = re.search(r"grep -m1 -E '(.*?)' README\.md", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert pattern
    text = (ROOT / "README.md").read_text("utf-8")
    found = [line for line in text.splitlines() if re.search(pattern[1], line)]
    assert found == [BLOCK.findall(text)[1].strip()]


def test_every_flag_in_the_documents_exists(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    known = {"--update-golden"} | set(FLAG.findall(cli("--help").out))
    for verb in VERBS:
        text = cli(verb.name, "--help").out
        known |= set(FLAG.findall(text))
        for command in re.findall(r"^│ ([a-z][\w-]*) ", text, re.MULTILINE):  # those of a noun
            known |= set(FLAG.findall(cli(verb.name, command, "--help").out))
    for path in DOCUMENTS:
        text = re.sub(r"^Not yet.*?(?=^#|\Z)", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        if path.name != "CHANGELOG.md":
            assert set(FLAG.findall(text)) - known == set(), path.name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path):
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8"))
    missing = [each for each in targets if "://" not in each and not (path.parent / each).exists()]
    assert missing == []


def test_twenty_questions_are_answered_or_say_what_stands_in_the_way():
    text = (ROOT / "docs" / "questions.md").read_text("utf-8")
    questions = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [question.split(".")[0] for question in questions] == [str(n) for n in range(1, 21)]
    open_ones = [question for question in questions if "```console\n$ flopwise " not in question]
    assert all(re.search(r"Not yet.*issue [3-7]", question, re.DOTALL) for question in open_ones)
    assert len(questions) - len(open_ones) >= 5
