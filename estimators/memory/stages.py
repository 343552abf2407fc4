"""Which layers a pipeline stage holds and how many micro-batches are in flight on it.

1F1B (Narayanan et al. 2021, arXiv:2104.04473, section 2.2): stage i of p keeps min(m, p - i) micro-batches before
their backward passes. Interleaved with v chunks per stage, stage 0 keeps the activations of L (1 + (p - 1) / (p v))
layers (Korthikanti et al. 2022, arXiv:2205.05198, section 4.3); the general warm-up is 2 (p - i - 1) + (v - 1) p
chunks, and one more is being worked on.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: layers of each run it holds, ends of the model it holds, micro-batches in flight.

    `in_flight` is in whole-stage passes: with interleaving a chunk is 1/v of the stage's layers.
    """

    index: int
    layers: tuple[int, ...]
    has_embedding: bool
    has_head: bool
    in_flight: float


def stages(run_layers: Sequence[int], pp: int, interleave: int, micro_batches: int) -> tuple[Stage, ...]:
    """Return the stages of a pipeline over runs of `run_layers` layers.

    Layers are dealt in order, as evenly as they go over pp x interleave chunks (the first chunks take one more);
    chunk c stands on stage c mod pp. Where there are fewer layers than chunks, later chunks are empty.
    """
    chunks = pp * interleave
    total = sum(run_layers)
    runs = [run for run, count in enumerate(run_layers) for _ in range(count)]
    held = [[0] * len(run_layers) for _ in range(pp)]
    position = 0
    for chunk in range(chunks):
        take = total // chunks + (chunk < total % chunks)
        for run in runs[position : position + take]:
            held[chunk % pp][run] += 1
        position += take
    return tuple(
        Stage(
            index=index,
            layers=tuple(held[index]),
            has_embedding=index == 0,
            has_head=index == pp - 1,
            in_flight=in_flight(index, pp, interleave, micro_batches),
        )
        for index in range(pp)
    )


def in_flight(stage: int, pp: int, interleave: int, micro_batches: int) -> float:
    """Return how many passes' activations `stage` keeps at its fullest, in whole-stage passes."""
    if interleave == 1 or pp == 1:
        return float(min(micro_batches, pp - stage))
    chunks = 2 * (pp - stage - 1) + (interleave - 1) * pp + 1
    return min(micro_batches * interleave, chunks) / interleave
