"""The edge of the command line: whatever a person can cause is one sentence and an exit code, never a traceback."""

import os
import signal
import subprocess
import sys
import types
from enum import StrEnum
from typing import Annotated

import pytest
import typer

from flopwise.cli import app as edge
from flopwise.cli.options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    complete_accelerator,
    complete_model,
    naming,
    one_of,
    usd,
)
from flopwise.cli.report.document import Document, Facts, Value
from flopwise.cli.report.output import deliver
from flopwise.estimators.errors import DoesNotFit, InputError


class Goal(StrEnum):
    LOSS = "loss"
    COST = "cost"


def ask(
    model: Annotated[str, typer.Argument()],
    budget: Annotated[float, typer.Option("--budget", parser=usd, metavar="USD")],
    nodes: Annotated[int, typer.Option("--nodes")] = 1,
    share: Annotated[float, typer.Option("--share")] = 0.5,
    goal: Annotated[Goal, typer.Option("--goal")] = Goal.LOSS,
    fast: Annotated[bool, typer.Option("--fast")] = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Answer a question about [a model]."""
    if model == "bug":
        raise ZeroDivisionError("a bug")
    if model == "big":
        raise DoesNotFit("70B parameters do not fit one T4.")
    if model == "ctrl-c":
        raise KeyboardInterrupt
    if model == "unknown":
        with naming("--model"):
            raise InputError("no model is called 'unknown'.")
    result = {"budget": Value(budget, "usd")}
    facts = Facts("ask", (("budget", "Budget", result["budget"], ""),))
    deliver(
        Document("ask", "Done.", {"model": model}, result, (facts,)),
        format=format,
        output=output,
        force=force,
        explain=explain,
    )


NOUN = typer.Typer(no_args_is_help=True)


@NOUN.command("list")
def list_things() -> None:
    """List things."""


@NOUN.command("show")
def show_thing(name: str) -> None:
    """Show a thing."""


@pytest.fixture
def demo(monkeypatch, cli):
    """The command line with two verbs of its own, whatever the real ones are."""
    module = types.ModuleType("flopwise.cli.commands.demo")
    module.ask, module.noun = ask, NOUN
    monkeypatch.setitem(sys.modules, module.__name__, module)
    verbs = (
        edge.Verb("ask", "demo:ask", "Ask", "Answer a question.", "flopwise ask gpt --budget 5k"),
        edge.Verb("noun", "demo:noun", "Look up", "Things.", "flopwise noun list"),
    )
    monkeypatch.setattr(edge, "VERBS", verbs)
    return cli


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("aks", "`flopwise` has no command 'aks'; did you mean 'ask'?"),
        ("zebra", "`flopwise` has no command 'zebra'; use ask or noun."),
        ("noun lst", "`flopwise noun` has no command 'lst'; did you mean 'list'?"),
        ("noun zebra", "`flopwise noun` has no command 'zebra'; use list or show."),
        ("noun show", "`flopwise noun show` needs NAME; `flopwise noun show --help` shows an example."),
        ("ask gpt", "`flopwise ask` needs --budget; `flopwise ask --help` shows an example."),
        ("ask --budget 5k", "`flopwise ask` needs MODEL; `flopwise ask --help` shows an example."),
        ("ask gpt --budgt 5k", "`flopwise ask` has no option '--budgt'; did you mean --budget?"),
        ("ask gpt --budget 5k --out x", "`flopwise ask` has no option '--out'; did you mean --output?"),
        (
            "ask gpt --budget 5k --zebra",
            "`flopwise ask` has no option '--zebra'; `flopwise ask --help` lists the options.",
        ),
        ("ask gpt --budget 5k -z", "`flopwise ask` has no option '-z'; `flopwise ask --help` lists the options."),
        ("ask gpt --budget", "--budget: a value is missing behind it."),
        ("ask gpt --budget 5k --fast=yes", "--fast: it takes no value."),
        ("ask gpt --budget 50kk", "--budget: '50kk' is not an amount of US dollars: the unit 'kk' is not known"),
        ("ask gpt --budget -5", "--budget: '-5' is not an amount of US dollars: it must be more than 0."),
        ("ask gpt --budget 5€", "prices are in US dollars; convert it first, for example $50k."),
        ("ask gpt --budget 5k --nodes 2.5", "--nodes: '2.5' is not a whole number; write for example 8."),
        ("ask gpt --budget 5k --share half", "--share: 'half' is not a number; write for example 0.5."),
        ("ask gpt --budget 5k --goal lost", "--goal: 'lost' is not one of loss, cost; did you mean 'loss'?"),
        ("ask gpt --budget 5k --goal fame", "--goal: 'fame' is not one of loss, cost."),
        (
            "ask gpt --budget 5k --format jsn",
            "--format: 'jsn' is not one of table, json, csv, md, yaml; did you mean 'json'?",
        ),
        ("ask gpt --budget 5k more", "`flopwise ask` cannot take 'more': an option in front of it is missing"),
        ("ask unknown --budget 5k", "--model: no model is called 'unknown'."),
        ("ask gpt --budget 5k --force", "--force: it has no effect without --output FILE"),
        ("ask gpt --budget 5k --explain", "--explain: this answer is read from a table"),
        (
            "ask gpt --budget 5k --format csv --output a.json",
            "--format csv contradicts --output 'a.json', which means json",
        ),
        ("--verison", "`flopwise` has no option '--verison'; did you mean --version?"),
    ],
)
def test_wrong_usage_is_one_sentence_with_the_way_out(demo, argv, said, tmp_path):
    ran = demo(*argv.split())
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert list((tmp_path / "work").iterdir()) == []


def test_a_choice_may_be_typed_in_capitals(demo):
    assert demo("ask", "gpt", "--budget", "5k", "--format", "JSON").json["result"]["budget"]["value"] == 5000


def test_the_answer_is_no_leaves_with_3(demo):
    ran = demo("ask", "big", "--budget", "5k")
    assert (ran.code, ran.out, ran.err) == (3, "", "error: 70B parameters do not fit one T4.\n")


def test_ctrl_c_leaves_with_130(demo):
    ran = demo("ask", "ctrl-c", "--budget", "5k")
    assert (ran.code, ran.err) == (130, "error: interrupted.\n")


def test_a_bug_keeps_its_traceback(demo):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        demo("ask", "bug", "--budget", "5k")


def test_flopwise_alone_shows_what_can_be_asked(demo):
    ran = demo()
    assert (ran.code, ran.err) == (0, "")
    assert "flopwise ask gpt --budget 5k" in ran.out
    assert ran.out.index("Ask") < ran.out.index("Look up")


def test_a_noun_alone_shows_its_commands(demo):
    ran = demo("noun")
    assert (ran.code, ran.err) == (0, "")
    assert "list" in ran.out


@pytest.mark.parametrize(
    "argv",
    [("--help",), ("-h",), ("help",), ("ask", "--help"), ("help", "ask"), ("noun", "-h"), ("noun", "list", "--help")],
)
def test_help_is_on_stdout_and_leaves_with_0(demo, argv):
    ran = demo(*argv)
    assert (ran.code, ran.err) == (0, "")
    assert "Usage: flopwise" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_help_of_a_verb_begins_with_an_example_and_keeps_brackets(demo):
    lines = [line.strip() for line in demo("ask", "--help").out.splitlines() if line.strip()]
    assert lines[1] == "flopwise ask gpt --budget 5k"
    assert "Answer a question about [a model]." in lines


def test_the_version_is_printed(demo):
    from flopwise import __version__

    assert demo("--version").out == f"flopwise {__version__}\n"


def test_only_the_verb_that_was_asked_for_is_imported(demo, monkeypatch):
    broken = edge.Verb("broken", "missing:broken", "Ask", "A verb whose module cannot be imported.", "flopwise broken")
    monkeypatch.setattr(edge, "VERBS", (*edge.VERBS, broken))
    assert demo("ask", "gpt", "--budget", "5k").code == 0
    with pytest.raises(ModuleNotFoundError):
        demo("--help")


def test_flags_that_exclude_each_other_are_named():
    with pytest.raises(InputError, match="--tokens and --max-steps contradict each other; give one of them"):
        one_of(tokens=1e9, max_steps=10, examples=None)
    assert one_of(tokens=1e9, examples=None) == "--tokens"
    assert one_of(tokens=None) is None


def test_a_flag_is_named_once():
    with pytest.raises(InputError, match=r"^--on: no accelerator$"), naming("--on"):
        raise InputError("no accelerator")
    with pytest.raises(InputError, match=r"^--gpu: no accelerator$"), naming("--on"), naming("--gpu"):
        raise InputError("no accelerator")


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="pipes close differently here")
def test_a_reader_that_leaves_early_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "flopwise", "--help"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "flopwise"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: cannot write the answer to stdout: no space left")


def test_a_terminal_without_unicode_still_gets_help():
    done = subprocess.run(
        [sys.executable, "-m", "flopwise", "--help"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("complete", "typed", "found"),
    [(complete_accelerator, "h100-s", "h100-sxm-80gb"), (complete_model, "Llama-3-8", "llama-3-8b")],
)
def test_the_shell_completes_names_from_the_facts(complete, typed, found):
    names = complete(typed)
    assert found in names
    assert all(name.startswith(typed.lower()) for name in names)
