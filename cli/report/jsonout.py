"""A document as JSON: the contract that scripts read.

    {"schema": "flopwise.<verb>/1", "flopwise_version", "catalog", "inputs", "result", "assumptions", "warnings"}

and, with --explain, "explanation". A `Quantity` becomes {"low", "mid", "high", "unit", "band", "basis"}, a `Value`
{"value", "unit"}. Numbers are in base units and not rounded; keys keep the order of the command and are only ever
added. NaN and infinity are refused: they are bugs, and JSON has no word for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path

from ...estimators.quantity import Quantity
from .document import Document, Value

Plain = dict[str, "Plain"] | list["Plain"] | str | int | float | bool | None

SCHEMA_VERSION = 1


def envelope(document: Document, *, explain: bool) -> dict[str, Plain]:
    """Return the document as plain mappings, lists, text and finite numbers.

    Raises:
        ValueError: a number is not finite; names where it stands.
        TypeError: a value of a kind that JSON cannot carry.
    """
    from ... import __version__

    content: dict[str, Plain] = {
        "schema": f"flopwise.{document.verb}/{SCHEMA_VERSION}",
        "flopwise_version": __version__,
        "catalog": plain(document.catalog, "catalog"),
        "inputs": plain(document.inputs, "inputs"),
        "result": plain(document.result, "result"),
        "assumptions": [{"text": each.text, "flag": each.flag} for each in document.assumptions],
        "warnings": list(document.warnings),
    }
    if explain:
        content["explanation"] = plain(document.steps, "explanation")
    return content


def render_json(document: Document, *, explain: bool) -> str:
    """Return the document as indented JSON with a final newline."""
    import json

    return json.dumps(envelope(document, explain=explain), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_yaml(document: Document, *, explain: bool) -> str:
    """Return the same content as YAML."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    content = envelope(document, explain=explain)
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100))


def plain(value: object, where: str) -> Plain:
    """Return `value` as what JSON can carry; `where` is its path, for the error."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, where)
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: a result must be a finite number")
        return value
    if isinstance(value, Value):
        return {"value": plain(value.number, where), "unit": value.unit}
    if isinstance(value, Quantity) or (is_dataclass(value) and not isinstance(value, type)):
        return {each.name: plain(getattr(value, each.name), f"{where}.{each.name}") for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key, where)): plain(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, AbstractSet):
        value = sorted(value, key=str)
    if isinstance(value, Sequence):
        return [plain(inner, f"{where}[{index}]") for index, inner in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{where} is a {type(value).__name__}, which has no JSON form")
