"""From a shape and a workload to the one list of operators: a training forward pass, a prefill, or a decode step.

The list is the only description of the work that other rooms see: parameters, FLOPs, bytes, memory and time are sums
over it. All sizes are those of the uncut model for all sequences together.

    expand          forward pass of training, with the loss; what backward must keep is filled in
    expand_prefill  forward pass over new tokens behind cached ones; the head runs on the last token of each sequence
    expand_decode   one new token per sequence, latent attention in its absorbed form
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InputError
from ..frozen import dataclass, replace
from .attention import attention_operators, cross_attention_operators
from .blocks import (
    feed_forward_operators,
    mixture_operators,
    projection_operator,
    state_space_operators,
)
from .operators import Cut, Group, Operator, OperatorKind
from .shape import LayerShape, ModelShape, StackShape
from .site import Site

GENERATING = ("decoder", "encoder-decoder", "state space", "hybrid", "speech encoder-decoder")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What one pass computes; `source_tokens` are those of an encoder, where there is one."""

    tokens: int
    sequences: float
    source_tokens: int
    cached_tokens: int = 0
    dropout: bool = False
    loss: bool = True
    generating: bool = False


def expand(
    shape: ModelShape,
    *,
    sequence_tokens: int,
    sequences: float = 1,
    source_tokens: int | None = None,
    dropout: bool = False,
) -> tuple[Operator, ...]:
    """Return the operators of one training forward pass over `sequences` sequences of `sequence_tokens` tokens.

    In an encoder-decoder `sequence_tokens` are those of the decoder and `source_tokens` (by default as many) those of
    the encoder; stacks with a fixed number of tokens (audio, images) keep it. `dropout` adds the masks of the GPT
    recipe: one byte for each number that leaves a block, and the attention's own when it is not fused.

    Raises:
        InputError: no tokens, or a shape that can only be counted.
    """
    _check(shape, sequence_tokens, sequences)
    work = _Work(
        tokens=sequence_tokens,
        sequences=sequences,
        source_tokens=source_tokens or sequence_tokens,
        dropout=dropout,
    )
    return tuple(_model(shape, work))


def expand_prefill(
    shape: ModelShape,
    *,
    prompt_tokens: int,
    sequences: float = 1,
    cached_tokens: int = 0,
    source_tokens: int | None = None,
) -> tuple[Operator, ...]:
    """Return the operators of a forward pass over `prompt_tokens` new tokens behind `cached_tokens` per sequence.

    Nothing is kept for a backward pass; the head runs on one row per sequence.

    Raises:
        InputError: no tokens, or a shape that can only be counted or does not generate.
    """
    _check(shape, prompt_tokens, sequences)
    _check_generates(shape)
    work = _Work(
        tokens=prompt_tokens,
        sequences=sequences,
        source_tokens=source_tokens or prompt_tokens,
        cached_tokens=cached_tokens,
        loss=False,
    )
    return tuple(_inference(operator, sequences) for operator in _model(shape, work))


def expand_decode(
    shape: ModelShape, *, context_tokens: int, sequences: float = 1, source_tokens: int | None = None
) -> tuple[Operator, ...]:
    """Return the operators of one decode step: one new token in each sequence, which attends to `context_tokens`.

    The context includes the new token. An encoder has run already, so it is left out and its keys and values are read
    from the cache (`source_tokens` of them, by default as many as the context). Bytes moved follow from `weights_read`
    and `cache_values`.

    Raises:
        InputError: no context, or a shape that can only be counted or does not generate.
    """
    _check(shape, context_tokens, sequences)
    _check_generates(shape)
    work = _Work(
        tokens=1,
        sequences=sequences,
        source_tokens=source_tokens or context_tokens,
        cached_tokens=context_tokens - 1,
        loss=False,
        generating=True,
    )
    return tuple(_inference(operator, sequences) for operator in _model(shape, work))


def owned_operators(shape: ModelShape) -> tuple[Operator, ...]:
    """Return the operators for one token, for counting weights; this works for every shape."""
    return tuple(_model(shape, _Work(tokens=1, sequences=1, source_tokens=1)))


def _check(shape: ModelShape, tokens: int, sequences: float) -> None:
    if shape.countable_only:
        raise InputError(
            f"'{shape.name}' ({shape.kind}) has parts that our operators do not cover: its parameters can be counted, "
            "its FLOPs, memory and time cannot be estimated."
        )
    if tokens < 1 or sequences <= 0:
        raise InputError(f"a pass needs at least one token and a sequence, not {tokens} tokens in {sequences}.")


def _check_generates(shape: ModelShape) -> None:
    if shape.kind not in GENERATING:
        raise InputError(
            f"'{shape.name}' ({shape.kind}) does not generate text; only decoders can be served token by token."
        )


def _inference(operator: Operator, sequences: float) -> Operator:
    """Return the operator as a server runs it: nothing kept, the head on one row per sequence."""
    rows = sequences if operator.group is Group.HEAD and operator.name.endswith(".head") else operator.rows
    return replace(
        operator,
        rows=rows,
        output_values=operator.output_values if rows == operator.rows else rows * operator.columns,
        saved_values=0,
        saved_bytes_extra=0,
        saved_values_eager=0,
        score_values=0,
    )


def _model(shape: ModelShape, work: _Work) -> Iterator[Operator]:
    owner = ""  # the operator that owns the token embedding
    last = shape.stacks[-1]
    source = shape.stacks[0].tokens or work.source_tokens
    for stack in shape.stacks:
        is_last = stack is last
        if work.generating and not is_last:
            continue
        site = Site(
            stack=stack.name,
            run=-1,
            repeats=1,
            hidden=stack.hidden,
            tokens=work.tokens if is_last else stack.tokens or work.source_tokens,
            sequences=work.sequences,
            cached_tokens=work.cached_tokens if is_last else 0,
            source_tokens=source,
            rotary=shape.position == "rope",
            dropout=work.dropout,
            decoding=work.generating,
        )
        yield from _inputs(shape, stack, site, owner)
        if shape.vocab and not stack.stem:
            owner = owner or f"{stack.name}.embedding"
        yield from _layers(stack, site)
        if stack.final_norm_params or not stack.stem:
            yield site.norm("final_norm", stack.final_norm_params)
        for projection in stack.outputs:
            yield projection_operator(site, projection, Group.HEAD, _input_tokens(stack, site))
    yield from _head(shape, replace(site, stack=last.name), owner, work.loss)


def _input_tokens(stack: StackShape, site: Site) -> int:
    return max(site.tokens - stack.class_tokens, 1)


def _inputs(shape: ModelShape, stack: StackShape, site: Site, owner: str) -> Iterator[Operator]:
    """Yield what turns words, patches or audio into the first hidden state."""
    h, group = stack.hidden, Group.EMBEDDING
    for projection in stack.stem:
        yield projection_operator(site, projection, group, _input_tokens(stack, site))
    if shape.vocab and not stack.stem:
        embedding = site.operator(
            "embedding",
            group,
            OperatorKind.EMBEDDING,
            Cut.VOCABULARY,
            columns=h,
            weight_params=0 if owner else shape.vocab * h,
            saved_bytes_extra=8 * site.rows + (site.rows * h if site.dropout else 0),  # token ids, dropout mask
            output_values=site.rows * h,
            dropout=site.dropout,
        )
        yield replace(embedding, tied_to=owner)
    is_last = stack is shape.stacks[-1]
    positions = stack.position_rows + (shape.position_params if is_last else 0)
    if positions or stack.class_tokens:
        yield site.elementwise("position", group, Cut.SEQUENCE, h, weight_params=(positions + stack.class_tokens) * h)
    norm_params = stack.embed_norm_params + (shape.embed_norm_params if is_last else 0)
    if norm_params:
        yield site.norm("embedding_norm", norm_params)
    extra = stack.extra_params + (shape.extra_params if is_last else 0)
    if extra:
        yield _weights_only(site, "other", group, extra)
    buckets = {layer.attention.relative_buckets * layer.attention.heads for _, layer in stack.runs if layer.attention}
    if any(buckets):
        yield _weights_only(site, "attention.relative_bias", Group.ATTENTION, max(buckets))


def _weights_only(site: Site, name: str, group: Group, params: int) -> Operator:
    return site.operator(name, group, OperatorKind.ELEMENTWISE, Cut.WHOLE, rows=0, weight_params=params)


def _layers(stack: StackShape, outer: Site) -> Iterator[Operator]:
    for run, (repeats, layer) in enumerate(stack.runs):
        if repeats:
            yield from _layer(layer, replace(outer, run=run, repeats=repeats))


def _layer(layer: LayerShape, site: Site) -> Iterator[Operator]:
    """Yield one layer in the order in which it runs; norms beyond those in front of a block stand behind it."""
    blocks = [b for b in (layer.attention, layer.state_space, layer.cross_attention) if b is not None]
    has_feed_forward = layer.feed_forward is not None or layer.mixture is not None
    in_front = len(blocks) + has_feed_forward
    norms = iter(range(layer.norms))

    def norm(name: str, wanted: bool = True) -> Iterator[Operator]:
        if wanted and next(norms, None) is not None:
            yield site.norm(name, layer.norm_params)

    for projection in layer.conditioning:
        yield projection_operator(site, projection, Group.NORM, site.tokens)
    behind = layer.norms > in_front  # Gemma 2 and 3: a norm on either side of each block
    if layer.attention:
        yield from norm("attention.norm")
        yield from attention_operators(site, layer.attention)
        yield from norm("attention.post_norm", behind)
        if not (layer.parallel and has_feed_forward):
            yield site.residual("attention.residual", Group.ATTENTION)
    if layer.state_space:
        yield from norm("mixer.norm_in")
        yield from state_space_operators(site, layer.state_space)
        yield site.residual("mixer.residual", Group.STATE_SPACE)
    if layer.cross_attention:
        yield from norm("cross_attention.norm")
        yield from cross_attention_operators(site, layer.cross_attention)
        yield site.residual("cross_attention.residual", Group.CROSS_ATTENTION)
    if has_feed_forward:
        shares = layer.parallel and layer.norms < in_front  # one norm feeds both blocks
        if not shares:
            yield from norm("feed_forward.norm")
        if layer.feed_forward:
            yield from feed_forward_operators(site, layer.feed_forward, shares_input=shares)
        if layer.mixture:
            yield from mixture_operators(site, layer.mixture)
        yield from norm("feed_forward.post_norm", behind)
        yield site.residual("feed_forward.residual", Group.FEED_FORWARD)
    for _ in norms:
        yield site.norm("norm", layer.norm_params)
    if layer.extra_params:
        yield _weights_only(site, "extra", Group.FEED_FORWARD, layer.extra_params)


def _head(shape: ModelShape, site: Site, owner: str, loss: bool) -> Iterator[Operator]:
    if not (shape.vocab and shape.has_head):
        return
    own = 0 if shape.tied_embeddings else shape.vocab * shape.hidden
    head = site.product(
        "head",
        Group.HEAD,
        Cut.VOCABULARY,
        inner=shape.hidden,
        columns=shape.vocab,
        weight_params=own + (shape.vocab if shape.head_bias else 0),
    )
    yield replace(head, tied_to=owner) if shape.tied_embeddings else head
    if loss:
        yield site.operator(
            "loss",
            Group.HEAD,
            OperatorKind.LOSS,
            Cut.VOCABULARY,
            columns=shape.vocab,
            saved_bytes_extra=4 * site.rows * shape.vocab,  # logits in fp32
        )
