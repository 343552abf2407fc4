"""Writing records: whole or not at all, in the user's data folder or where asked."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Record, bench_folder, record_data
from ...estimators.names import fold


def default_path(record_id: str) -> Path:
    """Return the file of a record in the data folder."""
    return bench_folder() / f"{record_id}.json"


def new_id(started: str, device: str) -> str:
    """Return an id that sorts by time: 20261124-120000-amd-epyc."""
    stamp = started.replace("-", "").replace(":", "").replace("T", "-")[:15]
    name = "".join(letter for letter in fold(device) if letter.isalnum() or letter == "-")[:40].strip("-")
    return f"{stamp}-{name or 'device'}"


def write_record(record: Record, path: Path) -> None:
    """Write a record to `path` by way of a file beside it.

    Raises:
        InputError: the folder cannot be made or written.
    """
    text = json.dumps(record_data(record), indent=1, allow_nan=False, ensure_ascii=False)
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True) if name else None
        raise InputError(f"cannot write the record '{path}': {(error.strerror or str(error)).lower()}.") from None
    except BaseException:
        Path(name).unlink(missing_ok=True) if name else None
        raise
