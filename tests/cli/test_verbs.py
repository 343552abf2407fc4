"""What holds for every verb alike: it starts light, its help leads with an example, its example works, all formats agree."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from flopwise.cli.app import VERBS

EXAMPLES = [verb.example for verb in VERBS]
ANSWERS = [verb.example for verb in VERBS if verb.name != "validate"]  # validate prints rows, by its own contract

FORBID = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "pandas", "numpy", "scipy", "matplotlib", "pyarrow"}:
            raise AssertionError(f"{name} was imported on the way to a plain answer")

sys.meta_path.insert(0, Forbid())
sys.argv = ["flopwise", *sys.argv[1:]]
from flopwise.cli.app import main
main()
"""


def arguments(example: str) -> list[str]:
    return shlex.split(example)[1:]


def alone(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run in a fresh interpreter where the heavy libraries cannot be imported."""
    command = [sys.executable, "-c", FORBID, *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})


def test_the_import_ban_bites():
    done = subprocess.run(
        [sys.executable, "-c", FORBID.replace("from flopwise", "import numpy\nfrom flopwise")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "numpy was imported" in done.stderr


@pytest.mark.parametrize("argv", [[], ["--help"], ["--version"], *[[verb.name, "--help"] for verb in VERBS]], ids=str)
def test_help_needs_no_heavy_library(argv):
    done = alone(*argv)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("example", [each for each in EXAMPLES if not each.startswith("flopwise compare")])  # a sweep
def test_the_example_of_a_verb_works_without_heavy_libraries(example):
    done = alone(*arguments(example))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_answer_fits_80_columns_without_escapes(cli, example):
    ran = cli(*arguments(example))
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("example", ANSWERS)
def test_every_number_of_the_tables_stands_in_the_json_twin(same_numbers, example):
    content = same_numbers(*arguments(example)).json
    assert list(content)[:7] == [
        "schema",
        "flopwise_version",
        "catalog",
        "inputs",
        "result",
        "assumptions",
        "warnings",
    ]
    assert content["schema"].startswith("flopwise.")


@pytest.mark.parametrize("example", ANSWERS)
def test_yaml_says_what_json_says(cli, example):
    twin = cli(*arguments(example), "--format", "json").json
    assert yaml.safe_load(cli(*arguments(example), "--format", "yaml").out) == json.loads(json.dumps(twin))


@pytest.mark.parametrize("example", ANSWERS)
def test_the_same_question_gives_the_same_bytes(cli, example):
    assert cli(*arguments(example), "--format", "json").out == cli(*arguments(example), "--format", "json").out


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_help_leads_with_the_example(cli, verb):
    lines = [line.strip() for line in cli(verb.name, "--help").out.splitlines() if line.strip()]
    assert lines[0].startswith(f"Usage: flopwise {verb.name}")
    assert " ".join(lines[1:4]).startswith(verb.example)


NOUNS = [verb for verb in VERBS if verb.target.endswith(":app")]
MORE = [example for verb in NOUNS for example in verb.more if not re.search(r"\b[A-Z]{3,}\b", example)]


@pytest.mark.parametrize("verb", NOUNS, ids=lambda verb: verb.name)
def test_the_help_of_every_command_of_a_noun_leads_with_an_example(cli, verb):
    known = re.findall(r"^│ ([a-z][\w-]*) ", cli(verb.name, "--help").out, re.MULTILINE)
    assert known
    for command in known:
        lines = [line.strip() for line in cli(verb.name, command, "--help").out.splitlines() if line.strip()]
        assert lines[1].startswith(f"flopwise {verb.name} {command}"), command


@pytest.mark.parametrize("example", MORE)
def test_the_examples_of_a_noun_work(cli, example):
    ran = cli(*arguments(example))
    assert ran.code == 0, ran.err
    assert ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_flopwise_alone_shows_every_verb(cli):
    ran = cli()
    assert all(verb.example in ran.out for verb in VERBS)
    assert max(map(len, ran.out.splitlines())) <= 80
