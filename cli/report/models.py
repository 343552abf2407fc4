"""Documents about models: the list of presets, and one model with its shape, parameters, FLOPs and cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.facts.models import MODELS_FILE, ModelPreset, Published, as_of
from ...estimators.frozen import dataclass
from ...estimators.models.expansion import GENERATING
from ...estimators.models.kv_cache import kv_cache_bytes
from ...estimators.models.operators import Group
from ...estimators.models.parameters import ParameterCount, count_parameters
from ...estimators.models.resolve import Origin, ResolvedModel
from ...estimators.models.shape import AttentionShape, LayerShape, ModelShape, StackShape
from ...estimators.quantity import Given, Step
from ...estimators.training.flops import StepFlops, step_flops
from ...estimators.units import show_count, show_percent
from .document import Assumption, Cell, Column, Document, Facts, Table, Value

NEAR = 0.005  # a difference to a published count that needs an explanation


@dataclass(frozen=True, slots=True)
class Listed:
    """A preset with its count."""

    preset: ModelPreset
    count: ParameterCount


def list_document(found: Sequence[Listed], of: int, inputs: Mapping[str, object]) -> Document:
    """Return the table of presets."""
    columns = (
        Column("model", "model"),
        Column("parameters", "parameters", right=True),
        Column("active_parameters", "active", right=True),
        Column("layers", "layers", right=True),
        Column("hidden", "width", right=True),
        Column("max_tokens", "context", right=True),
        Column("training_tokens", "trained on", right=True),
        Column("kind", "kind", wide_only=True),
        Column("family", "family", wide_only=True),
        Column("vocabulary", "vocabulary", right=True, wide_only=True),
        Column("published_parameters", "published", right=True, wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        shape, published = each.preset.shape, each.preset.published
        rows.append(
            (
                shape.name,
                Value(each.count.total, "params"),
                Value(each.count.active, "params") if shape.is_mixture else None,
                shape.layers or None,
                shape.hidden,
                shape.max_tokens,
                Value(published.tokens, "tokens") if published.tokens else None,
                shape.kind,
                shape.family,
                shape.vocab or None,
                Value(published.params, "params"),
            )
        )
    names = [column.key for column in columns]
    return Document(
        verb="models.list",
        headline=f"{len(found)} of {of} models.",
        inputs=inputs,
        result={"models": [dict(zip(names, row, strict=True)) for row in rows]},
        sections=(Table("models", columns, tuple(rows)),),
        catalog={"models": MODELS_FILE, "as_of": as_of()},
        next_commands=("flopwise models show NAME",),
    )


def show_document(resolved: ResolvedModel, typed: str, sequence_tokens: int, *, chosen: bool) -> Document:
    """Return the card of one model. `chosen` says that the sequence was asked for."""
    shape, count = resolved.shape, count_parameters(resolved.shape)
    flops = None
    if not shape.countable_only:
        flops = step_flops(shape, sequence_tokens=sequence_tokens, sequences=1)
    generates = shape.kind in GENERATING and not shape.countable_only
    facts = [*_shape_items(resolved), *_count_items(shape, count, resolved.published)]
    if flops:
        facts += _flops_items(flops, sequence_tokens)
    if generates:
        facts += _cache_items(shape, sequence_tokens)
    groups = _groups(count, flops)
    result: dict[str, object] = {key: cell for key, _, cell, _ in facts}
    result["groups"] = [
        dict(zip(("group", "parameters", "share", "forward_flops"), row, strict=True)) for row in groups
    ]
    result["stacks"] = [_stack_result(stack) for stack in shape.stacks]
    size = show_count(count.total)
    active = f", {show_count(count.active)} active" if shape.is_mixture else ""
    return Document(
        verb="models.show",
        headline=f"{shape.name}: {size} parameters{active}, {resolved.how}.",
        inputs={"model": typed, "sequence_tokens": sequence_tokens},
        result=result,
        sections=(Facts("model", tuple(facts)), _group_table(groups, sequence_tokens, count, flops)),
        assumptions=() if chosen or not flops else (Assumption(_sequence_text(shape, sequence_tokens), "--seq"),),
        warnings=tuple(_sentence(remark) for remark in resolved.remarks),
        steps=_steps(shape, count, flops, sequence_tokens),
        catalog={"models": MODELS_FILE, "as_of": as_of()},
        next_commands=()
        if shape.countable_only
        else (f"flopwise train --model {shape.name} --tokens 1T --on h100:64",),
    )


Item = tuple[str, str, Cell, str]


def _shape_items(resolved: ResolvedModel) -> list[Item]:
    shape = resolved.shape
    items: list[Item] = [
        ("model", "model", shape.name, ""),
        ("kind", "kind", shape.kind, f"family {shape.family}" if resolved.origin is Origin.PRESET else ""),
    ]
    for stack in shape.stacks:
        prefix = f"{stack.name} " if len(shape.stacks) > 1 else ""
        key = f"{stack.name}_" if len(shape.stacks) > 1 else ""
        for run, (layers, layer) in enumerate(stack.runs):
            which = f"_{run + 1}" if len(stack.runs) > 1 else ""
            items.append((f"{key}layers{which}", f"{prefix}layers", layers, _layer_text(layer, stack.hidden)))
    if shape.vocab:
        head = "tied to the head" if shape.tied_embeddings else "the head has its own matrix"
        items.append(("vocabulary", "vocabulary", shape.vocab, head if shape.has_head else "no head"))
    if shape.max_tokens:
        items.append(("max_tokens", "longest sequence", shape.max_tokens, f"positions: {shape.position}"))
    items.append(("source", "source", shape.source, ""))
    if shape.note:
        items.append(("note", "note", shape.note, ""))
    return items


def _layer_text(layer: LayerShape, hidden: int) -> str:
    parts = [f"width {hidden}"]
    if layer.attention:
        parts.append(_attention_text(layer.attention))
    if layer.cross_attention:
        parts.append("cross attention")
    if layer.state_space:
        parts.append(f"Mamba {layer.state_space.version} of width {layer.state_space.inner}")
    if layer.feed_forward:
        parts.append(f"{'gated ' if layer.feed_forward.gated else ''}feed-forward {layer.feed_forward.width}")
    if layer.mixture:
        shared = f", shared {layer.mixture.shared_width}" if layer.mixture.shared_width else ""
        parts.append(f"{layer.mixture.active} of {layer.mixture.experts} experts of {layer.mixture.width}{shared}")
    return "; ".join(parts)


def _attention_text(attention: AttentionShape) -> str:
    if attention.latent:
        text = f"{attention.heads} heads on a latent of {attention.latent.kv_rank}"
    else:
        text = f"{attention.heads} heads of {attention.head_dim}"
        if attention.kv_heads < attention.heads:
            text += f", {attention.kv_heads} for keys"
    if attention.window_tokens:
        text += f", {'blocks' if attention.window_is_block else 'window'} of {attention.window_tokens}"
    return text


def _count_items(shape: ModelShape, count: ParameterCount, published: Published | None) -> list[Item]:
    items: list[Item] = [("parameters", "parameters", Value(count.total, "params"), f"{count.total:,} exactly")]
    if shape.is_mixture:
        without = show_count(count.active_without_embedding)
        items.append(
            ("active_parameters", "active", Value(count.active, "params"), f"{without} without the input embedding")
        )
    if published:
        difference = count.total / published.params - 1
        if not difference:
            remark = f"the same to the unit ({_where(published)})"
        else:
            remark = f"{published.how} ({_where(published)}); ours differs by {show_percent(difference)}"
        items.append(("published_parameters", "published", Value(published.params, "params"), remark))
        if abs(difference) > NEAR:
            items.append(("explanation", "why", published.explanation, ""))
        if published.active:
            items.append(
                ("published_active", "published active", Value(published.active, "params"), "in the publisher's way")
            )
        if published.tokens:
            items.append(("training_tokens", "trained on", Value(published.tokens, "tokens"), "as published, recalled"))
    return items


def _where(published: Published) -> str:
    where = published.where or "announcement"
    return f"{where}, recalled" if published.recalled else where


def _flops_items(flops: StepFlops, sequence_tokens: int) -> list[Item]:
    forward, model = flops.forward.scaled(1 / flops.tokens), flops.model.scaled(1 / flops.tokens)

    masked, every = "masked pairs of attention left out", "every pair of attention counted"
    return [
        ("sequence_tokens", "sequence", sequence_tokens, "tokens long, for the figures below"),
        ("forward_flops_per_token", "forward, a token", Value(forward.causal, "flops"), masked),
        ("forward_flops_per_token_full", "forward, all pairs", Value(forward.full, "flops"), every),
        ("training_flops_per_token", "training, a token", Value(model.causal, "flops"), masked),
        ("training_flops_per_token_full", "training, all pairs", Value(model.full, "flops"), every),
    ]


def _cache_items(shape: ModelShape, sequence_tokens: int) -> list[Item]:
    sequence = kv_cache_bytes(shape, sequence_tokens)
    grows = sequence - kv_cache_bytes(shape, sequence_tokens - 1)
    return [
        ("kv_cache_bytes_per_token", "cache, a token more", Value(grows, "bytes"), "keys and values at 16 bits"),
        ("kv_cache_bytes_per_sequence", "cache, a sequence", Value(sequence, "bytes"), "states, if any, at 32 bits"),
    ]


Row = tuple[str, Value, Value, Value | None]


def _groups(count: ParameterCount, flops: StepFlops | None) -> list[Row]:
    work = {part.group: part.forward.causal / flops.tokens for part in flops.groups} if flops else {}
    groups: list[Row] = []
    for group in Group:
        owned = count.by_group.get(group, 0)
        if owned or group in work:
            forward = Value(work[group], "flops") if group in work else None
            groups.append((group, Value(owned, "params"), Value(owned / count.total, "fraction"), forward))
    return groups


def _group_table(groups: list[Row], sequence_tokens: int, count: ParameterCount, flops: StepFlops | None) -> Table:
    columns = [
        Column("group", "part"),
        Column("parameters", "parameters", right=True),
        Column("share", "share", right=True),
    ]
    total: list[Cell] = ["total", Value(count.total, "params"), None]
    rows: list[tuple[Cell, ...]] = [tuple(row[:3]) for row in groups]
    if flops:
        columns.append(Column("forward_flops_per_token", "forward, a token", right=True))
        rows = [tuple(row) for row in groups]
        total.append(Value(flops.forward.causal / flops.tokens, "flops"))
    caption = f"Parts, with masked pairs of {sequence_tokens} tokens left out" if flops else "Parts"
    return Table("parts", tuple(columns), (*rows, tuple(total)), caption=caption, total_rows=1)


def _stack_result(stack: StackShape) -> dict[str, object]:
    return {
        "name": stack.name,
        "hidden": stack.hidden,
        "runs": [{"layers": layers, "layer": _layer_text(layer, stack.hidden)} for layers, layer in stack.runs],
    }


def _sequence_text(shape: ModelShape, sequence_tokens: int) -> str:
    if shape.max_tokens == sequence_tokens:
        return f"Sequences of {sequence_tokens} tokens, what the model was made for."
    return f"Sequences of {sequence_tokens} tokens."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _steps(shape: ModelShape, count: ParameterCount, flops: StepFlops | None, tokens: int) -> tuple[Step, ...]:
    parts = tuple(
        Given(f"N_{group.replace(' ', '_')}", owned, "params", "sum of the operators' weights")
        for group, owned in count.by_group.items()
    )
    largest = max(count.by_group, key=lambda group: count.by_group[group])
    steps = [
        Step(
            name="parameters",
            formula="N = sum over parts",
            inputs=parts,
            value=count.total,
            unit="params",
            source=shape.source,
            dominant=f"{largest} holds {show_percent(count.by_group[largest] / count.total)}",
        )
    ]
    if flops:
        forward = flops.forward.scaled(1 / flops.tokens)
        attention = forward.causal - 2 * count.active_matmul
        n = Given("N", count.active_matmul, "params", "matrices that one token multiplies with")
        rest = Given("A", attention, "flops", f"attention over {tokens} tokens and other work without weights")
        f = Given("F", forward.causal, "flops", "the line above")
        steps += [
            Step("forward_flops_per_token", "F = 2 N + A", (n, rest), forward.causal, "flops", "arXiv:2204.02311, B"),
            Step("training_flops_per_token", "C = 3 F", (f,), 3 * forward.causal, "flops", "backward is twice forward"),
        ]
    return tuple(steps)
