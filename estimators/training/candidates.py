"""The layouts worth timing: one generator for the quick choice of every answer and for the search that a user asks for.

`USUAL` is what an expert would try: tensor parallelism inside one link domain, pipelines of two layers a stage and more,
interleaved as far as Megatron's schedule allows (at most 4), full sharding (ZeRO-3) where there is no pipeline or sharded
optimizer state (ZeRO-1), experts over ranks, micro-batches of 1 to 16 sequences (of short ones as many as come to 32,768
tokens), activations kept, products kept or all recomputed. `WIDE` holds all of these, and besides pipelines of any
length that divides the layers, every interleaving up to 12, micro-batches four times as large, selective recomputation,
and sequences split into parts of 4,096 tokens and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from ..frozen import dataclass, replace
from .checks import attention_heads, expert_count
from .layout import Layout, Recompute, Workload, Zero

if TYPE_CHECKING:
    from ..facts.records import Accelerator
    from ..models.shape import ModelShape
    from .choose import Wanted

_T = TypeVar("_T")

LONG_SEQUENCE_TOKENS = 16_384  # beyond this, splitting the sequence is worth trying however small the parts
LARGEST_TENSOR = 16
LONGEST_PIPELINE = 32
LARGEST_CONTEXT = 8
_EFFORT = {Recompute.NONE: 0, Recompute.SELECTIVE: 1, Recompute.PRODUCTS: 2, Recompute.FULL: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be tried of a layout where the user fixed nothing."""

    micro_batch: int  # the largest; of short sequences, as many as come to `micro_batch_tokens`
    micro_batch_tokens: int
    recompute: tuple[Recompute, ...]
    uneven_pipelines: tuple[int, ...] = ()  # lengths that are no power of two; they must divide the layers
    interleave: tuple[int, ...] = (1, 2, 3, 4)
    every_interleave: bool = False  # False: only the largest that the schedule allows
    least_context_tokens: int | None = None  # of a rank, where a shorter sequence is split; None: it is not


USUAL = Space(
    micro_batch=16,
    micro_batch_tokens=32_768,
    recompute=(Recompute.NONE, Recompute.PRODUCTS, Recompute.FULL),
)
WIDE = Space(
    micro_batch=64,
    micro_batch_tokens=131_072,
    recompute=tuple(Recompute),
    uneven_pipelines=(3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 18, 20, 21, 24, 28, 30),
    interleave=(1, 2, 3, 4, 5, 6, 8, 10, 12),
    every_interleave=True,
    least_context_tokens=4096,
)


def simplicity(layout: Layout, recompute: Recompute) -> tuple[int, ...]:
    """Return what ties are broken by, the simplest first."""
    cuts = (layout.tp, layout.pp, layout.cp, layout.zero, layout.ep, layout.micro_batch, layout.interleave)
    return (_EFFORT[recompute], *cuts)


def candidates(
    shape: ModelShape,
    accelerator: Accelerator,
    accelerators: int,
    workload: Workload,
    wanted: Wanted,
    space: Space = USUAL,
) -> Iterator[tuple[Layout, Recompute]]:
    """Yield the layouts worth timing; every one divides the accelerators, the heads and the batch."""
    domain = min(accelerator.link_domain or accelerator.accelerators_per_node or 1, LARGEST_TENSOR)
    heads = attention_heads(shape)
    tensor = _free(wanted.tp, [t for t in _powers(domain) if heads % t == 0])
    pipe = _free(wanted.pp, _pipelines(shape.layers, accelerators, space))
    context = _free(wanted.cp, _contexts(workload, space))
    experts = expert_count(shape) or 1
    for tp in tensor:
        for pp in pipe:
            for cp in context:
                if accelerators % (tp * pp * cp):
                    continue
                dp = accelerators // (tp * pp * cp)
                expert = _free(wanted.ep, [e for e in _powers(experts) if experts % e == 0 and (dp * cp) % e == 0])
                for ep in expert:
                    for zero in _free(wanted.zero, _shardings(dp, cp, pp)):
                        yield from _inner(
                            Layout(
                                accelerators=accelerators,
                                tp=tp,
                                pp=pp,
                                cp=cp,
                                ep=ep,
                                zero=zero,
                                sequence_parallel=tp > 1,
                            ),
                            shape,
                            workload,
                            wanted,
                            space,
                        )


def _inner(
    layout: Layout, shape: ModelShape, workload: Workload, wanted: Wanted, space: Space
) -> Iterator[tuple[Layout, Recompute]]:
    per_replica, rest = divmod(workload.global_batch, layout.dp)
    if rest:
        return
    for micro_batch in _free(wanted.micro_batch, [m for m in _micro_batches(workload, space) if per_replica % m == 0]):
        if per_replica % micro_batch:
            continue
        chunks = _interleaves(shape.layers, layout.pp, per_replica // micro_batch, space)
        for interleave in _free(wanted.interleave, chunks):
            cut = replace(layout, micro_batch=micro_batch, interleave=interleave)
            for recompute in _free(wanted.recompute, list(space.recompute)):
                yield cut, recompute


def _micro_batches(workload: Workload, space: Space) -> list[int]:
    return _powers(max(space.micro_batch, space.micro_batch_tokens // workload.sequence_tokens))


def _pipelines(layers: int, accelerators: int, space: Space) -> list[int]:
    """Return the lengths of pipelines with two layers a stage at least."""
    most = min(accelerators, LONGEST_PIPELINE, max(1, layers // 2))
    return [*_powers(most), *(p for p in space.uneven_pipelines if p <= most and layers % p == 0)]


def _contexts(workload: Workload, space: Space) -> list[int]:
    """Return in how many parts a sequence may be split."""
    tokens, least = workload.sequence_tokens, space.least_context_tokens
    if tokens > LONG_SEQUENCE_TOKENS:
        return _powers(LARGEST_CONTEXT)
    return [1] if least is None else _powers(max(1, min(LARGEST_CONTEXT, tokens // least)))


def _shardings(dp: int, cp: int, pp: int) -> list[Zero]:
    if dp * cp == 1:
        return [Zero.NONE]
    # With a pipeline, ZeRO-3 would gather every stage again for each micro-batch.
    return [Zero.OPTIMIZER] if pp > 1 else [Zero.OPTIMIZER, Zero.PARAMETERS]


def _interleaves(layers: int, pp: int, batches: int, space: Space) -> list[int]:
    """Return the virtual stages that Megatron's interleaved schedule allows (arXiv:2104.04473).

    Layers need not divide: the first and last stages hold fewer, as Llama 3's 126 layers over 16 stages
    (arXiv:2407.21783, section 3.3.2), as long as the fullest stage stays as full.
    """
    if pp == 1 or batches % pp:
        return [1]
    fullest = -(-layers // pp)
    allowed = [v for v in space.interleave if pp * v <= layers and -(-layers // (pp * v)) * v == fullest]
    return allowed if space.every_interleave else allowed[-1:]


def _powers(most: int) -> list[int]:
    return [2**i for i in range(most.bit_length()) if 2**i <= most]


def _free(fixed: _T | None, choices: list[_T]) -> list[_T]:
    return choices if fixed is None else [fixed]
