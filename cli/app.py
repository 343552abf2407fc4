"""The command line: every verb is named here, with the panel it stands in and the example that opens its help.

To add a verb, add one line to `VERBS`. "train:train" is the function `train` in `commands/train.py`; "catalog:app" is a
`typer.Typer` there (a noun with commands of its own). The module is imported only when its verb is used, or when all
are listed: a command starts as fast as if it were alone. The example comes first in the verb's help, its docstring
behind it.

`main` is the edge. Whatever a person can cause becomes one sentence on stderr and an exit code: 2 for wrong usage or
input, 3 where the answer is no, 130 for Ctrl-C, 141 when the reader of a pipe has gone. Any other exception is a bug,
keeps its traceback and leaves with 1.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from inspect import getdoc
from typing import Annotated

import typer

from ..estimators.errors import FlopwiseError
from ..estimators.frozen import dataclass

TAGLINE = "Plan the compute and the data of a model before the first dollar is spent."

PLAN, DATA, FACTS, MEASURE = "Plan", "Data and money", "Facts", "Measure and check"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: where its code is ("module:object" under `commands`), its panel, one line on it, and an example.

    `more` holds the examples of a noun's commands: "flopwise catalog show h100" is that of `show`.
    """

    name: str
    target: str
    panel: str
    summary: str
    example: str
    more: tuple[str, ...] = ()


VERBS: tuple[Verb, ...] = (
    Verb("plan", "plan:plan", PLAN, "What a budget, a deadline or a target buys.", "flopwise plan --budget 50k"),
    Verb(
        "train",
        "train:train",
        PLAN,
        "One training run: memory, layout, step time, days, cost.",
        "flopwise train --model llama-3-8b --tokens 1T --on h100-sxm:64",
    ),
    Verb(
        "finetune",
        "finetune:finetune",
        PLAN,
        "Full, LoRA or QLoRA tuning of a named model.",
        "flopwise finetune --model llama-3-8b --tokens 10M --on h100",
    ),
    Verb(
        "memory",
        "memory:memory",
        PLAN,
        "What fits where, broken down.",
        "flopwise memory --model llama-3-8b --on h100:8",
    ),
    Verb(
        "serve",
        "serve:serve",
        PLAN,
        "A model under a load: chips, latency, $ per million tokens.",
        "flopwise serve --model llama-3.1-8b --requests-per-second 20 --on h100",
    ),
    Verb(
        "compare",
        "compare:compare",
        PLAN,
        "Models x chips x clouds x sizes, ranked.",
        "flopwise compare --model 1B,7B --tokens 100B --on h100-sxm,h200",
    ),
    Verb(
        "budget",
        "budget:app",
        DATA,
        "A project over months: totals, cash, runway, spreadsheets.",
        "flopwise budget show --scenario code-assistant",
        (
            "flopwise budget init FILE --scenario code-assistant",
            "flopwise budget scenarios",
            "flopwise budget schema > FILE",
            "flopwise budget check --scenario code-assistant --fail-over 5M",
            "flopwise budget export FILE --output budget.xlsx",
            "flopwise budget diff FILE --from HEAD~1",
        ),
    ),
    Verb(
        "catalog",
        "catalog:app",
        FACTS,
        "Accelerators and their dated prices.",
        "flopwise catalog list",
        (
            "flopwise catalog show h100",
            "flopwise catalog prices h200 --class gpu-cloud",
            "flopwise catalog validate",
            "flopwise catalog add h100 --usd-per-hour 2.10 --cloud CoreWeave --plan reserved",
        ),
    ),
    Verb(
        "data",
        "data:app",
        DATA,
        "Tokens or items: which sets, what is missing, what it costs.",
        "flopwise data --tokens 150B --language bn --have 20B",
        ("flopwise data finetune --goal domain",),
    ),
    Verb(
        "datasets",
        "datasets:app",
        FACTS,
        "Open data sets, their licences, and what overlaps.",
        "flopwise datasets list --modality code",
        ("flopwise datasets show fineweb-edu", "flopwise datasets search math"),
    ),
    Verb(
        "models",
        "models:app",
        FACTS,
        "Model shapes and their parameter counts.",
        "flopwise models list",
        ("flopwise models show llama-3-8b", "flopwise models fetch OWNER/NAME"),
    ),
    Verb(
        "scale",
        "scale:app",
        PLAN,
        "Scaling laws, the best size for a compute, and forecasts from your own runs.",
        "flopwise scale optimum --compute 1e22",
        ("flopwise scale laws", "flopwise scale show kumar --at Pw=8", "flopwise scale fit RUNS.csv --target 7B:1T"),
    ),
    Verb(
        "bench",
        "bench:app",
        MEASURE,
        "Measure this machine, and predict from what was measured.",
        "flopwise bench list",
        (
            "flopwise bench run --quick --record RECORD.json",
            "flopwise bench show RECORD --roofline",
            "flopwise bench compare RECORD OTHER",
            "flopwise bench export RECORD --output cases.csv",
            "flopwise bench verify --calibrate RECORD",
            "flopwise bench trace MODULE:FUNCTION --input 1x128:int",
        ),
    ),
    Verb(
        "validate",
        "validate:app",
        MEASURE,
        "The errors of this version.",
        "flopwise validate all",
        (
            "flopwise validate params",
            "flopwise validate scaling",
            "flopwise validate training",
            "flopwise validate layouts",
            "flopwise validate memory",
            "flopwise validate serving",
            "flopwise validate runs",
        ),
    ),
)


def build(verbs: Iterable[Verb]) -> typer.Typer:
    """Return the application with these verbs registered."""
    app = typer.Typer(
        name="flopwise",
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help=f"{TAGLINE}\n\n`flopwise` alone shows what you can ask.",
    )
    app.callback(invoke_without_command=True)(_root)
    for verb in verbs:
        module, _, name = verb.target.partition(":")
        found = getattr(import_module(f".commands.{module}", __package__), name)
        if isinstance(found, typer.Typer):
            text = _help(verb.example, verb.summary)
            app.add_typer(found, name=verb.name, help=text, short_help=verb.summary, rich_help_panel=verb.panel)
            _lead_with_examples(found, (verb.example, *verb.more))
        else:
            text = _help(verb.example, getdoc(found) or verb.summary)
            app.command(verb.name, help=text, short_help=verb.summary, rich_help_panel=verb.panel)(found)
    return app


def main() -> None:
    """Run the command and leave with its exit code."""
    if sys.stdout is None or sys.stderr is None:  # closed by the shell (`>&-`)
        sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except FlopwiseError as error:
        code = _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        code = _usage(error, sys.argv[1:])
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted.", 130)
    except OSError as error:
        code = _lost_stdout(error)
    except SystemExit as leaving:  # Typer leaves with 1 when the pipe is closed
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        code = _lost_stdout(leaving.__context__)
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    """Run with only the verb that was asked for, or with all of them where none was (help, completion)."""
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    word = next((each for each in arguments if not each.startswith("-")), None)
    completing = "_FLOPWISE_COMPLETE" in os.environ
    chosen = [verb for verb in VERBS if verb.name == word]
    if word and not chosen and not completing:
        from .usage import unknown_verb

        return _fail(unknown_verb(word, (verb.name for verb in VERBS)), 2)
    if not arguments and not completing:
        from .welcome import welcome

        sys.stdout.write(welcome(VERBS, TAGLINE))
        return 0
    needed = chosen or (() if "--version" in arguments else VERBS)
    left = build(needed)(arguments, prog_name="flopwise", standalone_mode=False)
    if left == 130:  # Typer has caught Ctrl-C
        raise KeyboardInterrupt
    return left if isinstance(left, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"flopwise {__version__}")
        raise typer.Exit()


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def _lead_with_examples(noun: typer.Typer, examples: Iterable[str]) -> None:
    """Put in front of the help of each command of a noun its example, found by the command's name in third place."""
    by_name = {example.split()[2]: example for example in reversed(tuple(examples))}
    for command in noun.registered_commands:
        if command.callback and command.name in by_name and not command.help:
            text = getdoc(command.callback) or ""
            command.help = _help(by_name[command.name], text)
            command.short_help = command.short_help or text.partition("\n\n")[0].replace("\n", " ")


def _help(example: str, text: str) -> str:
    example, text = (part.replace("[", r"\[") for part in (example, text))  # brackets are markup in Typer's help
    return f"[bold]{example}[/bold]\n\n{text}"


def _usage(error: typer.TyperException, arguments: list[str]) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # `flopwise catalog`: Typer has printed the help already
        sys.stdout.write(error.format_message())
        return 0
    from .usage import sentence

    return _fail(sentence(error, arguments), 2)


def _fail(message: str, code: int) -> int:
    from .report.output import wants_color

    red, plain = ("\x1b[31m", "\x1b[0m") if wants_color(sys.stderr) else ("", "")
    print(f"{red}error:{plain} {' '.join(message.split())}", file=sys.stderr)
    return code


def _lost_stdout(error: OSError) -> int:
    """Leave quietly where the reader of a pipe has gone, with a sentence where the disk is full; others are bugs."""
    if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter would complain when it flushes at the end
    if error.errno == errno.EPIPE:
        return 141
    return _fail(f"cannot write the answer to stdout: {(error.strerror or str(error)).lower()}.", 2)
