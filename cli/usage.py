"""Wrong usage in one sentence: what was typed, why it cannot be taken, and the nearest thing that can.

Typer's own errors come as a box of five lines around a sentence that names neither choices nor a way out. `sentence`
reads the public fields of the error (the option, the parameter, the command) and says it our way. Nothing is imported
from inside Typer; an error of a kind not known here keeps Typer's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from ..estimators.names import nearest


def sentence(error: typer.TyperException, arguments: Sequence[str] = ()) -> str:
    """Return the error as one sentence without "error:" in front; `arguments` is what was typed behind `flopwise`."""
    context: Any = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "flopwise")
    option = getattr(error, "option_name", None)
    if option is not None:
        return _about_option(error, option, context, path)
    if hasattr(error, "param_type"):
        return _missing(error, path, arguments)
    if isinstance(error, typer.BadParameter):
        return _bad_value(error)
    return _about_command(error, context, path)


def unknown_verb(name: str, known: Iterable[str]) -> str:
    """Return the sentence for a verb that does not exist."""
    return _unknown("flopwise", name, known)


def _about_option(error: typer.TyperException, option: str, context: Any, path: str) -> str:
    if not hasattr(error, "possibilities"):  # the option exists but its value is missing, or it takes none
        takes_none = "does not take" in error.message
        return f"{option}: it takes no value." if takes_none else f"{option}: a value is missing behind it."
    options = [name for each in _parameters(context) for name in (*each.opts, *each.secondary_opts) if name[:1] == "-"]
    bare = {name.strip("-"): name for name in reversed([*options, "--help"])}
    close = tuple(bare[name] for name in nearest(option.strip("-"), bare, 1)) or _by_content(option, options)
    hint = f"; did you mean {close[0]}?" if close else f"; `{path} --help` lists the options."
    return f"`{path}` has no option '{option}'{hint}"


def _missing(error: typer.TyperException, path: str, arguments: Sequence[str]) -> str:
    parameter: Any = getattr(error, "param", None)
    name = _name(parameter) if parameter is not None else "a parameter"
    bare = [*arguments[len(path.split()) - 1 :], "-"][0]  # "flopwise train llama-3-8b"
    takes_bare = any(each.param_type_name == "argument" for each in _parameters(getattr(error, "ctx", None)))
    if name.startswith("-") and not bare.startswith("-") and not takes_bare:
        return f"`{path}` needs {name} in front of '{bare}': write `{path} {name} {bare}`."
    choices = [str(getattr(each, "value", each)) for each in getattr(getattr(parameter, "type", None), "choices", ())]
    what = f" (one of {', '.join(choices)})" if choices else ""
    return f"`{path}` needs {name}{what}; `{path} --help` shows an example."


def _bad_value(error: typer.BadParameter) -> str:
    parameter: Any = error.param
    name = _name(parameter) if parameter is not None else ""
    text = _joined(error.message)
    choices = [str(getattr(each, "value", each)) for each in getattr(getattr(parameter, "type", None), "choices", ())]
    if choices and (match := re.match(r"^(['\"])(.*?)\1 is not one of", text)):
        close = nearest(match[2].lower(), choices, 1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        text = f"'{match[2]}' is not one of {', '.join(choices)}{hint}"
    text = re.sub(r"is not a valid int(?:eger)?\.$", "is not a whole number; write for example 8.", text)
    text = re.sub(r"is not a valid float\.$", "is not a number; write for example 0.5.", text)
    text = re.sub(r"is not in the range ([\d.]+)<=x<=([\d.]+)\.$", r"must lie between \1 and \2.", text)
    text = re.sub(r"is not in the range x>=([\d.]+)\.$", r"must be at least \1.", text)
    text = text[:1].lower() + text[1:] if text[:2].istitle() else text
    return f"{name}: {text}" if name else text


def _about_command(error: typer.TyperException, context: Any, path: str) -> str:
    known = list(getattr(getattr(context, "command", None), "commands", ()))
    text = _joined(error.format_message())
    if match := re.match(r"^No such command '(.*?)'\.", text):
        return _unknown(path, match[1], known)
    if text.startswith("Missing command"):
        return f"`{path}` needs a command: {_either(known)}."
    if match := re.match(r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)$", text):
        return f"`{path}` cannot take '{match[1]}': an option in front of it is missing; `{path} --help` lists them."
    return text[:1].lower() + text[1:]


def _unknown(path: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = nearest(name.lower(), known, 1) or _by_content(name, known)
    hint = f"did you mean '{close[0]}'?" if close else f"use {_either(known)}."
    return f"`{path}` has no command '{name}'; {hint}"


def _by_content(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the first of `known` that begins with what was typed or the other way round ("--out" is --output)."""
    bare = name.strip("-").lower()
    found = (each for each in known if len(bare) > 1 and len(each.strip("-")) > 1)
    return tuple(each for each in found if each.strip("-").startswith(bare) or bare.startswith(each.strip("-")))[:1]


def _parameters(context: Any) -> list[Any]:
    return list(getattr(getattr(context, "command", None), "params", ()))


def _name(parameter: Any) -> str:
    if getattr(parameter, "param_type_name", "") == "argument":
        return str(parameter.metavar or parameter.name or "an argument").upper()
    return str(max(parameter.opts, key=len))


def _joined(text: str) -> str:
    return " ".join(text.split())


def _either(names: Iterable[str]) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else "another one"
