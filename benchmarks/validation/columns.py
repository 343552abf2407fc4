"""The architecture columns of a measured row into a `ModelShape`.

A row gives layers, hidden, heads, kv_heads, head_dim, ffn, gated_mlp, vocab, tied_embeddings and, for mixtures,
moe_experts, moe_topk, moe_ffn, moe_shared_experts, moe_dense_layers, attention_kind. Megatron's test recipes state the
rest in the notes as command-line options (`moe-ffn-hidden-size=2048 multi-latent-attention=true`); those are read too.
A row without these columns is looked up by model name, then made from its parameter count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...estimators.errors import FlopwiseError
from ...estimators.models.shape import (
    AttentionShape,
    FeedForwardShape,
    LatentShape,
    LayerShape,
    MixtureShape,
    ModelShape,
    StackShape,
)

# DeepSeek-V3 (arXiv:2412.19437, section 4.2); the recipes that switch latent attention on keep these ranks.
_LATENT = LatentShape(q_rank=1536, kv_rank=512, rope_dim=64)
# Vocabularies of the tokenizers that test recipes name, padded as the recipes do.
_TOKENIZERS = (("nemotron_2_256k", 256_000), ("nemotron-2-256k", 256_000), ("bert", 30_592), ("nemotron", 131_072))
_GPT2_PADDED = 50_304


@dataclass(frozen=True, slots=True)
class ShapeReading:
    """The shape and what had to be filled in ("vocab", "shape by name", "shape by size", ...)."""

    shape: ModelShape
    filled: tuple[str, ...]


def option(notes: str, name: str) -> str:
    """Return the value of `name=value` in the notes, "" when absent; bracketed lists are kept whole."""
    found = re.search(rf"(?<![\w-]){re.escape(name)}=(\[[^\]]*\]|\([^ ]*|[^\s;]+)", notes)
    return found[1] if found else ""


def shape_from_columns(columns: dict[str, str]) -> ShapeReading | None:
    """Return the shape, None when the row says too little to know the model.

    `columns` holds the configuration columns of the row as text, blank where unsaid.
    """
    layers, hidden = _whole(columns, "layers"), _whole(columns, "hidden")
    hybrid = re.search(r"hybrid|nemotron.?(3|h\b)", f"{columns.get('family', '')} {columns.get('model', '')}".lower())
    if not layers or not hidden or hybrid:
        return _by_name_or_size(columns)
    heads = _whole(columns, "heads") or max(1, hidden // 128)
    notes = columns.get("notes", "")
    filled: list[str] = []
    vocab = _whole(columns, "vocab")
    if not vocab:
        filled.append("vocab")
        vocab = _vocabulary(columns, notes)
    gated = columns.get("gated_mlp", "").lower() in ("yes", "true")
    ffn = _whole(columns, "ffn") or 4 * hidden
    is_encoder = "bert" in columns.get("model", "").lower()
    # Gated feed-forwards come with RMSNorm and without biases (Llama and after); GPT's have LayerNorm and biases.
    bias = not gated and "mpt" not in columns.get("model", "").lower()
    latent = "mla" in columns.get("attention_kind", "").lower() or option(notes, "multi-latent-attention") == "true"
    head_dim = _whole(columns, "head_dim") or hidden // heads
    attention = AttentionShape(
        heads=heads,
        kv_heads=heads if latent else _whole(columns, "kv_heads") or heads,
        head_dim=head_dim + _LATENT.rope_dim if latent else head_dim,
        value_dim=head_dim,
        causal=not is_encoder,
        window_tokens=_window(columns),
        latent=_LATENT if latent else None,
        qkv_bias=bias or "qwen2" in columns.get("model", "").lower(),
        out_bias=bias,
    )
    dense = LayerShape(
        attention=attention,
        feed_forward=FeedForwardShape(width=ffn, gated=gated, bias=bias),
        norm_params=1 if gated else 2,
    )
    predictions = _int(option(notes, "mtp-num-layers"))
    layers += predictions  # each predicts one more token with a layer of its own
    experts = _whole(columns, "moe_experts")
    runs: tuple[tuple[int, LayerShape], ...] = ((layers, dense),)
    if experts:
        mixture, moe_filled = _mixture(columns, notes, experts, ffn, gated)
        filled += moe_filled
        sparse = replace(dense, feed_forward=None, mixture=mixture)
        first = min(layers - 1, _dense_layers(columns, notes))
        runs = ((first, dense), (layers - first, sparse)) if first else ((layers, sparse),)
    shape = ModelShape(
        name=columns.get("model", "") or "model",
        family=columns.get("family", "") or "dense",
        kind="encoder" if is_encoder else "decoder",
        stacks=(StackShape(name="decoder", hidden=hidden, runs=runs, final_norm_params=1 if gated else 2),),
        vocab=vocab,
        tied_embeddings=columns.get("tied_embeddings", "").lower() in ("yes", "true"),
        predictions=predictions,
        source="columns of the measured row",
    )
    return ShapeReading(shape, tuple(filled))


def _mixture(
    columns: dict[str, str], notes: str, experts: int, ffn: int, gated: bool
) -> tuple[MixtureShape, list[str]]:
    filled: list[str] = []
    width = _whole(columns, "moe_ffn") or _int(option(notes, "moe-ffn-hidden-size"))
    if not width:  # the dense width of a mixture says nothing about its experts
        width = _named_width(columns, experts)
        if not width:
            width = ffn
            filled.append("moe_ffn")
    shared = (_whole(columns, "moe_shared_experts") or 0) * width
    shared = shared or _int(option(notes, "moe-shared-expert-intermediate-size"))
    active = _whole(columns, "moe_topk") or 2
    return MixtureShape(experts=experts, active=active, width=width, shared_width=shared, gated=gated), filled


def _named_width(columns: dict[str, str], experts: int) -> int:
    """The width of one expert of the preset with this name and as many experts, 0 where there is none."""
    named = _by_name(columns)
    mixtures = [layer.mixture for stack in named.stacks for _, layer in stack.runs] if named else []
    return next((mixture.width for mixture in mixtures if mixture and mixture.experts == experts), 0)


def _dense_layers(columns: dict[str, str], notes: str) -> int:
    """First layers without experts: the column, or Megatron's `moe-layer-freq=([0]*3+[1]*11)`."""
    stated = _whole(columns, "moe_dense_layers")
    if stated is not None:
        return stated
    frequency = re.search(r"moe-layer-freq=\(\[0\]\*(\d+)", notes)
    return int(frequency[1]) if frequency else 0


def _window(columns: dict[str, str]) -> int | None:
    stated = re.search(r"window[^0-9]{0,12}(\d{3,6})", columns.get("attention_kind", "").lower())
    return int(stated[1]) if stated else None


def _vocabulary(columns: dict[str, str], notes: str) -> int:
    text = f"{columns.get('model', '')} {notes}".lower()
    return next((size for name, size in _TOKENIZERS if name in text), _GPT2_PADDED)


def _by_name(columns: dict[str, str]) -> ModelShape | None:
    """Look the model up by name."""
    from ...estimators.models.resolve import resolve_model  # reads the model table

    name = columns.get("model", "").split("/")[-1].strip()
    for candidate in _name_candidates(name):
        try:
            return resolve_model(candidate).shape
        except FlopwiseError:
            continue
    return None


def _by_name_or_size(columns: dict[str, str]) -> ShapeReading | None:
    """Look the model up by name; else make a dense shape of the stated size. A mixture's size does not give its shape."""
    from ...estimators.models.resolve import resolve_model

    named = _by_name(columns)
    if named:
        return ShapeReading(named, ("shape by name",))
    size = columns.get("n_params", "")
    number = float(size) if size and size.lower() != "nan" else 0.0
    experts = _whole(columns, "ep") or _whole(columns, "moe_experts") or 1
    is_mixture = experts > 1 or re.search(r"\d+B-A\d", columns.get("model", "")) is not None
    if number <= 0 or is_mixture or columns.get("family", "").lower() == "hybrid":
        return None
    try:
        return ShapeReading(resolve_model(f"{number / 1e9:.4g}B").shape, ("shape by size",))
    except FlopwiseError:
        return None


def _name_candidates(name: str) -> tuple[str, ...]:
    """The name and the name without the endings that do not change a shape."""
    if not name or re.search(r"generic|^\d", name.lower()):
        return ()
    bare = re.sub(r"\s*\(.*\)", "", name)
    short = re.sub(
        r"[-_ ]*(instruct|chat|base|it|sft|dpo|rl|reasoning|preview|hf|bf16|fp8|thinking|\d{4})\b",
        "",
        bare,
        flags=re.IGNORECASE,
    )
    words = re.split(r"[-_ ]", short)
    fewer = ["-".join(words[:count]) for count in range(len(words) - 1, 1, -1)]  # Llama-4-Scout-17B-16E: without sizes
    return tuple(dict.fromkeys(text for text in (name, bare, short, *fewer) if len(text) > 2))


def _whole(columns: dict[str, str], name: str) -> int | None:
    text = columns.get(name, "").strip()
    if not text or text.lower() == "nan":
        return None
    return int(float(text))


def _int(text: str) -> int:
    return int(text) if text.isdigit() else 0
