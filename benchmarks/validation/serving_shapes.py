"""The model that a serving row means, from its architecture columns, its name, or its parameter counts.

Rows give layers, hidden, heads, kv_heads, head_dim, ffn, vocab, attn and the experts' columns, but not whether the
feed-forward block is gated, the embedding tied, or which layers are dense: of these the choice is taken that comes
nearest to the row's total parameter count. Names without columns are looked up among the presets, then among the
frames of `data/serving_frames.yaml`, whose feed-forward widths follow from total and active counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ...estimators.errors import FlopwiseError
from ...estimators.facts.folders import package_folder
from ...estimators.facts.yamlfile import read
from ...estimators.models.parameters import count_parameters
from ...estimators.models.shape import (
    AttentionShape,
    FeedForwardShape,
    LatentShape,
    LayerShape,
    MixtureShape,
    ModelShape,
    StackShape,
    StateSpaceShape,
)
from .rows import Cells

FRAMES_FILE = "data/serving_frames.yaml"
_QUANT = re.compile(
    r"[-_](ud[-_])?(q\d\w*|iq\d\w*|bf16|f16|fp16|fp8|fp4|nvfp4|mxfp4|int4|int8|awq|gptq|gguf)$", re.IGNORECASE
)
_TAIL = re.compile(r"[-_](it|instruct|chat|base|hf|preview|thinking|\d{4})$", re.IGNORECASE)
_ACTIVE = re.compile(r"-a(\d+(?:\.\d+)?)b", re.IGNORECASE)
_SIZED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
_ROPE, _NOPE, _VALUE, _QUERY_RANK = 64, 128, 128, 1536  # DeepSeek-V3, arXiv:2412.19437, section 4.2
_LINEAR_STATE = 128  # state width per head of gated linear mixers


def shape_of(cells: Cells) -> ModelShape | None:
    """Return the shape that a row's configuration means, None when it says too little."""
    wanted = tuple(
        (name, cells.text(name))
        for name in (
            "model",
            "n_params_b",
            "n_active_b",
            "layers",
            "hidden",
            "heads",
            "kv_heads",
            "head_dim",
            "ffn",
            "vocab",
            "attn",
            "kv_lora_rank",
            "n_experts",
            "top_k",
            "moe_ffn",
            "n_shared_experts",
        )
    )
    return _shape(wanted)


@lru_cache(maxsize=1024)
def _shape(wanted: tuple[tuple[str, str], ...]) -> ModelShape | None:
    cells = Cells(dict(wanted))
    try:
        if cells.whole("layers") and cells.whole("hidden") and cells.whole("heads"):
            return _nearest(cells)
        return _by_name(cells)
    except (FlopwiseError, ValueError, ZeroDivisionError):
        return None


def _nearest(cells: Cells) -> ModelShape:
    """Return the candidate whose parameter count is nearest to the row's; the first where it states none."""
    total = (cells.number("n_params_b") or 0.0) * 1e9
    candidates = list(_candidates(cells))
    if not total:
        return candidates[0]
    return min(candidates, key=lambda shape: abs(count_parameters(shape).total - total))


def _candidates(cells: Cells) -> Iterator[ModelShape]:
    layers, hidden = cells.whole("layers") or 1, cells.whole("hidden") or 1
    vocab = cells.whole("vocab") or 32_000
    experts = cells.whole("n_experts")
    ffn = cells.whole("ffn") or 4 * hidden
    for tied in (False, True):
        for gated in (True, False):
            dense = FeedForwardShape(width=ffn, gated=gated)
            if not experts:
                yield _model(cells, hidden, vocab, tied, [(layers, dense, None)])
                continue
            width = cells.whole("moe_ffn") or ffn
            shared = (cells.whole("n_shared_experts") or 0) * width
            mixture = MixtureShape(
                experts=experts, active=cells.whole("top_k") or 1, width=width, shared_width=shared, gated=gated
            )
            for first in (0, 1, 3, layers // 2):
                if first < layers:
                    yield _model(cells, hidden, vocab, tied, [(first, dense, None), (layers - first, None, mixture)])


_Run = tuple[int, FeedForwardShape | None, MixtureShape | None]


def _model(cells: Cells, hidden: int, vocab: int, tied: bool, runs: list[_Run]) -> ModelShape:
    heads = cells.whole("heads") or 1
    kind = cells.text("attn").lower()
    latent_rank = cells.whole("kv_lora_rank") if "mla" in kind else None
    head_dim = cells.whole("head_dim") or max(1, hidden // heads)
    kv_heads = cells.whole("kv_heads") or heads
    full = 1.0
    window = None
    if "sliding" in kind or "window" in kind:
        found = re.search(r"window\s*(\d+)", kind)
        window, full = int(found[1]) if found else 4096, 0.5 if "altern" in kind else 0.0
        if ratio := re.search(r"(\d+):1", kind):
            full = 1 / (1 + int(ratio[1]))
    linear = "delta" in kind or "mamba" in kind or "linear" in kind
    if linear:
        ratio = re.search(r"(\d+):1", kind)
        full = 1 / (1 + int(ratio[1])) if ratio else 0.1
    return _assemble(
        cells.text("model"), hidden, vocab, tied, runs,
        heads=heads, kv_heads=kv_heads, head_dim=head_dim, latent_rank=latent_rank, full=full, window=window,
        linear=linear,
    )  # fmt: skip


def _assemble(
    name: str,
    hidden: int,
    vocab: int,
    tied: bool,
    runs: list[_Run],
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    latent_rank: int | None,
    full: float,
    window: int | None,
    linear: bool,
) -> ModelShape:
    latent = (
        LatentShape(q_rank=_QUERY_RANK if hidden > 4096 else 0, kv_rank=latent_rank, rope_dim=_ROPE)
        if latent_rank
        else None
    )
    attention = AttentionShape(
        heads=heads,
        kv_heads=heads if latent else kv_heads,
        head_dim=_NOPE + _ROPE if latent else head_dim,
        value_dim=_VALUE if latent else head_dim,
        latent=latent,
    )
    others: list[LayerShape] = []
    if window:
        others = [LayerShape(attention=_windowed(attention, window))]
    elif linear:
        # two value heads for a query head, a state of 128 per channel (Gated DeltaNet, arXiv:2412.06464)
        inner = 2 * heads * _LINEAR_STATE
        others = [
            LayerShape(
                state_space=StateSpaceShape(
                    version=2, inner=inner, state=_LINEAR_STATE, conv=4, heads=inner // _LINEAR_STATE
                )
            )
        ]
    made: list[tuple[int, LayerShape]] = []
    for count, dense, mixture in runs:
        seeing = count if not others else max(1, round(count * full)) if full else 0
        seeing = min(seeing, count)
        if seeing:
            made.append((seeing, LayerShape(attention=attention, feed_forward=dense, mixture=mixture)))
        if count - seeing and others:
            other = others[0]
            made.append(
                (
                    count - seeing,
                    LayerShape(
                        attention=other.attention, state_space=other.state_space, feed_forward=dense, mixture=mixture
                    ),
                )
            )
    return ModelShape(
        name=name or "unnamed",
        family="measured",
        kind="decoder",
        stacks=(StackShape(name="decoder", hidden=hidden, runs=tuple(made)),),
        vocab=vocab,
        tied_embeddings=tied,
    )


def _windowed(attention: AttentionShape, window: int) -> AttentionShape:
    from dataclasses import replace

    return replace(attention, window_tokens=window)


def _by_name(cells: Cells) -> ModelShape | None:
    from ...estimators.models.resolve import resolve_model

    bare = cells.text("model").split("/")[-1]
    total = (cells.number("n_params_b") or 0.0) * 1e9
    active = (cells.number("n_active_b") or 0.0) * 1e9
    if found := _ACTIVE.search(bare):
        active = float(found[1]) * 1e9
    if not total and (said := _SIZED.search(bare)):
        total = float(said[1]) * (1e9 if said[2].lower() == "b" else 1e6)
    names = [bare]
    for _ in range(4):
        shorter = _TAIL.sub("", _QUANT.sub("", names[-1]))
        if shorter == names[-1]:
            break
        names.append(shorter)
    for name in names:
        try:
            shape = resolve_model(name).shape
        except FlopwiseError:
            continue
        if not total or abs(count_parameters(shape).total / total - 1) < 0.15:
            return shape
    for name in names:
        if frame := _frame(name.lower().removeprefix("nvidia-")):
            total = total if cells.number("n_params_b") else float(frame.get("total_b", total / 1e9)) * 1e9
            active = active or float(frame.get("active_b", 0.0)) * 1e9
            if total:
                return _framed(bare, frame, total, active)
    if not total:
        return None
    size = f"{total / 1e9:.3g}B" + (f"-A{active / 1e9:.3g}B" if active and active < 0.9 * total else "")
    return resolve_model(size).shape


@lru_cache(maxsize=1)
def _frames() -> Mapping[str, Mapping[str, float]]:
    data = read(package_folder() / FRAMES_FILE, name=FRAMES_FILE).data
    return data["frames"]  # type: ignore[index, no-any-return]


def _frame(name: str) -> Mapping[str, float] | None:
    return next((frame for key, frame in _frames().items() if name.startswith(key)), None)


def _framed(name: str, frame: Mapping[str, float], total: float, active: float) -> ModelShape:
    """Return the shape of a frame with the feed-forward widths that give the total and active counts."""

    def build(width: int, shared: int) -> ModelShape:
        layers = int(frame["layers"])
        run: _Run = (layers, FeedForwardShape(width=max(width, 1)), None)
        if "experts" in frame:
            mixture = MixtureShape(
                experts=int(frame["experts"]), active=int(frame["active"]), width=max(width, 1), shared_width=shared
            )
            run = (layers, None, mixture)
        return _assemble(
            name, int(frame["hidden"]), int(frame["vocab"]), False, [run],
            heads=int(frame["heads"]), kv_heads=int(frame["kv_heads"]), head_dim=int(frame["head_dim"]),
            latent_rank=int(frame["latent"]) if "latent" in frame else None, full=float(frame.get("full", 1.0)),
            window=int(frame["window"]) if "window" in frame else None,
            linear="full" in frame and "window" not in frame,
        )  # fmt: skip

    bare = count_parameters(build(1, 0)).total
    layers, hidden, each = frame["layers"], frame["hidden"], 3.0
    if "experts" not in frame:
        return build(round((total - bare) / (layers * hidden * each)), 0)
    per_width = layers * hidden * each
    width = max(1, round((total - bare) / (per_width * frame["experts"])))
    # what is active beside the routed experts: attention and head are in `bare` less one embedding
    rest = active - (bare - frame["vocab"] * hidden) - per_width * frame["active"] * width
    shared = max(0, round(rest / per_width))
    width = max(1, round((total - bare - shared * per_width) / (per_width * frame["experts"])))
    return build(width, shared)
