"""The document of `flopwise bench compare` with two records: which cases became faster or slower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import Record
from .document import Cell, Column, Document, Table, Value

if TYPE_CHECKING:
    from ...benchmarks.harness.compare import Change


def changes_document(first: Record, second: Record, found: Sequence[Change], *, show_all: bool) -> Document:
    """Return the comparison of two records."""
    columns = (
        Column("case", "case"),
        Column("first", "first", right=True),
        Column("second", "second", right=True),
        Column("change", "time", right=True),
        Column("word", "is"),
    )
    shown = [change for change in found if show_all or change.word != "same"]
    rows: list[tuple[Cell, ...]] = [
        (
            change.id,
            Value(change.first.median_s, "s"),
            Value(change.second.median_s, "s"),
            f"{change.ratio - 1:+.1%}",
            change.word + (", noisy" if change.is_noisy and change.word != "same" else ""),
        )
        for change in shown
    ]
    counts = {word: sum(change.word == word for change in found) for word in ("same", "faster", "slower")}
    headline = (
        f"{second.id} against {first.id}: {counts['same']} cases are the same within their intervals, "
        f"{counts['faster']} are faster, {counts['slower']} slower."
    )
    differences = [
        f"{name}: {first.software.get(name)} then {second.software.get(name)}"
        for name in sorted({*first.software, *second.software})
        if first.software.get(name) != second.software.get(name)
    ]
    if first.device.name != second.device.name:
        differences.insert(0, f"device: {first.device.name} then {second.device.name}")
    if first.settings.get("threads") != second.settings.get("threads"):
        differences.append(f"threads: {first.settings.get('threads')} then {second.settings.get('threads')}")
    return Document(
        verb="bench.compare",
        headline=headline,
        inputs={"first": first.id, "second": second.id},
        result={
            "changes": [
                {
                    "id": change.id,
                    "first_s": change.first.median_s,
                    "second_s": change.second.median_s,
                    "ratio": change.ratio,
                    "verdict": change.word,
                    "is_noisy": change.is_noisy,
                }
                for change in found
            ],
            "counts": counts,
            "differences": differences,
        },
        sections=(Table("changes", columns, tuple(rows)),) if rows else (),
        warnings=tuple(f"Differs: {each}." for each in differences),
    )
