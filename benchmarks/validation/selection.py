"""Which measured training rows are scored, and their speed where they only state a step time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .rows import Cells, MeasuredRow

SPEED = "tokens_per_s_per_gpu"


def worth_scoring(rows: Iterable[MeasuredRow], *, every_quality: bool) -> tuple[MeasuredRow, ...]:
    """Return the rows with a measured speed that are not marked as traps.

    Of our own rows those of quality A and B (configuration complete, or one field assumed); of a user's rows all. A row
    without a speed gets it from its step time: batch x sequence / (step time x accelerators).
    """
    chosen = []
    for row in rows:
        if not row.scored or not (every_quality or row.quality in ("A", "B")):
            continue
        if row.measured.number(SPEED) is None:
            speed = speed_from_step(row)
            if speed is None:
                continue
            row = replace(row, measured=Cells({**row.measured.values, SPEED: repr(speed)}))
        chosen.append(row)
    return tuple(chosen)


def speed_from_step(row: MeasuredRow) -> float | None:
    """Return tokens/s per accelerator from the step time, None where a part of it is unsaid."""
    said = row.configuration
    batch, sequence, count = (said.number(name) for name in ("global_batch", "seq_len", "accelerator_count"))
    seconds = row.measured.number("step_time_s")
    if not (batch and sequence and count and seconds):
        return None
    return batch * sequence / seconds / count
