"""Read a file of data needs: a list under `needs`, each a mapping with one amount and what it is of.

    needs:
      - {name: Bengali web, tokens: 150B, language: bn, have: 20B, epochs: 4}
      - {name: preferences, items: 100k, kind: preference-expert}
      - {pages: 10M}
      - {speech_hours: 20k}

Amounts may be written as 150B. Every fault names file and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..frozen import dataclass
from ..units import read_count
from .schema import Fields
from .yamlfile import read

AMOUNTS = ("tokens", "items", "pages", "speech_hours")
_KEYS = (
    *AMOUNTS,
    "name",
    "language",
    "domain",
    "modality",
    "have",
    "epochs",
    "licence",
    "close",
    "open_sets",
    "tokenizer",
    "filter",
    "kind",
    "by",
    "votes",
)
_TEXTS = ("name", "language", "domain", "modality", "licence", "close", "tokenizer", "kind", "by")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedRow:
    """One need as written: what the amount counts, the amount, and the other keys."""

    amount_of: str
    amount: float
    texts: Mapping[str, str]
    numbers: Mapping[str, float]
    switches: Mapping[str, bool]
    where: str


def read_needs(path: Path) -> tuple[NeedRow, ...]:
    """Return the needs of a file.

    Raises:
        FactsError: the file breaks the grammar.
    """
    file = read(path)
    top = Fields(file, (), {} if file.data is None else file.data, ("needs",))
    listed = top.values.get("needs")
    if not isinstance(listed, list) or not listed:
        top.fail("needs", "needs must be a list (lines that start with a dash) with at least one need")
    found = []
    for index, entry in enumerate(listed):
        fields = Fields(file, ("needs", index), entry, _KEYS)
        amounts = [key for key in AMOUNTS if key in fields]
        if len(amounts) != 1:
            raise file.error(f"needs[{index}] must give one of {', '.join(AMOUNTS)}", "needs", index)
        numbers = {key: _number(fields, key) for key in ("have", "epochs", "votes") if key in fields}
        switches = {}
        for key in ("open_sets", "filter"):
            if key in fields:
                value = fields.values[key]
                if not isinstance(value, bool):
                    fields.fail(key, f"{fields.spelled(key)} must be true or false")
                switches[key] = value
        found.append(
            NeedRow(
                amount_of=amounts[0],
                amount=_number(fields, amounts[0]),
                texts={key: fields.text(key) for key in _TEXTS if key in fields},
                numbers=numbers,
                switches=switches,
                where=f"{file.file}:{file.line('needs', index)}",
            )
        )
    return tuple(found)


def _number(fields: Fields, key: str) -> float:
    value = fields.values[key]
    if isinstance(value, str):
        try:
            return read_count(value)
        except InputError as error:
            fields.fail(key, f"{fields.spelled(key)}: {error}")
    return fields.number(key)
