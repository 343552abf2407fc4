"""The document of `flopwise bench list`: all records of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...estimators.facts.bench_records import Record
from .document import Cell, Column, Document, Table, Value


def list_document(records: Sequence[tuple[Path, Record]], damaged: Sequence[str]) -> Document:
    """Return the list of records."""
    columns = (
        Column("id", "record"),
        Column("device", "device", wide_only=True),
        Column("level", "level"),
        Column("cases", "cases", right=True),
        Column("best", "best", right=True),
        Column("state", "state"),
    )
    rows: list[tuple[Cell, ...]] = []
    twins: list[dict[str, object]] = []
    for path, record in records:
        best = max((c.flops_per_s for c in record.best_flops.values()), default=None)
        state = record.stopped or "complete"
        level, count = str(record.settings.get("level", "")), sum(c.is_measured for c in record.cases)
        rows.append((record.id, record.device.name, level, count, Value(best, "flops_per_s") if best else None, state))
        twins.append(
            {
                "id": record.id,
                "file": str(path),
                "device": record.device.name,
                "level": level,
                "cases": count,
                "best_flops_per_s": best,
                "state": state,
            }
        )
    count = len(rows)
    headline = f"{count} measurement{'s are' if count != 1 else ' is'} kept on this machine."
    if not rows:
        headline = "No measurement is kept on this machine yet."
    return Document(
        verb="bench.list",
        headline=headline,
        inputs={},
        result={"records": twins},
        sections=(Table("records", columns, tuple(rows)),) if rows else (),
        warnings=tuple(damaged),
        next_commands=("flopwise bench run --quick",) if not rows else ("flopwise bench show latest",),
    )
