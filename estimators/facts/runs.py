"""Read a user's pilot runs from a CSV file: params, tokens, loss, and where tokens repeat, unique_tokens.

Column names are forgiving (N, D, U, parameters, val_loss, ...); numbers may be written as 1.3e9 or 1.3B. A row without a loss
is a run to forecast. Every fault names file and line.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ..errors import FactsError, InputError
from ..frozen import dataclass
from ..units import read_count

_COLUMNS = {
    "params": ("params", "n", "parameters", "model_size", "size"),
    "tokens": ("tokens", "d", "training_tokens", "train_tokens"),
    "loss": ("loss", "val_loss", "validation_loss", "eval_loss", "final_loss"),
    "unique_tokens": ("unique_tokens", "u", "unique"),
}
_LARGEST_LOSS = 20.0  # nats per token; a uniform guess over a vocabulary of 200k scores 12.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One row; `loss` is None where it is to be forecast."""

    params: float
    tokens: float
    loss: float | None
    unique_tokens: float | None
    line: int


def read_runs(path: Path) -> tuple[RunRow, ...]:
    """Return the rows of a file.

    Raises:
        InputError: the file cannot be read or lacks a column.
        FactsError: a cell cannot be used; names file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = _columns(path, reader.fieldnames or ())
            rows = tuple(_row(path, reader.line_num, columns, cells) for cells in reader if any(_texts(cells)))
    except OSError as error:
        raise InputError(f"cannot read '{path}': {(error.strerror or str(error)).lower()}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' is not a CSV file in UTF-8: {error}.") from None
    if not rows:
        raise InputError(f"'{path}' holds no runs; write one row for each run under the header params,tokens,loss.")
    return rows


def _texts(cells: Mapping[str | None, object]) -> list[str]:
    return [value.strip() for value in cells.values() if isinstance(value, str) and value.strip()]


def _columns(path: Path, header: object) -> dict[str, str]:
    names = [str(name) for name in header] if isinstance(header, (list, tuple)) else []
    folded = {name.strip().lower().replace(" ", "_"): name for name in names}
    found = {}
    for what, spellings in _COLUMNS.items():
        named = [folded[each] for each in spellings if each in folded]
        if len(named) > 1:
            raise FactsError(
                f"columns '{named[0]}' and '{named[1]}' both mean {what}; remove one", file=str(path), line=1
            )
        if named:
            found[what] = named[0]
    missing = [what for what in ("params", "tokens", "loss") if what not in found]
    if missing:
        raise FactsError(
            f"the column {' and '.join(missing)} is missing; the header is params,tokens,loss and where tokens repeat "
            "unique_tokens",
            file=str(path),
            line=1,
        )
    return found


def _row(path: Path, line: int, columns: Mapping[str, str], cells: Mapping[str, str | None]) -> RunRow:
    def number(what: str) -> float | None:
        text = (cells.get(columns[what]) or "").strip() if what in columns else ""
        if not text or text.lower() in ("nan", "na", "none"):
            return None
        try:
            return read_count(text, f"a number of {what.replace('_', ' ')}" if what != "loss" else "a loss", "1.3e9")
        except InputError as error:
            raise FactsError(str(error), file=str(path), line=line) from None

    params, tokens, loss, unique = (number(what) for what in _COLUMNS)
    if params is None or tokens is None:
        raise FactsError(f"{'params' if params is None else 'tokens'} is empty", file=str(path), line=line)
    if loss is not None and loss > _LARGEST_LOSS:
        raise FactsError(
            f"a loss of {loss:g} is not in nats per token (a perplexity must be given as its logarithm)",
            file=str(path),
            line=line,
        )
    return RunRow(params=params, tokens=tokens, loss=loss, unique_tokens=unique, line=line)
