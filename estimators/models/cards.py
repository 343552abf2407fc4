"""Model cards: the flat descriptions that people write and publish, and the shapes they become.

A decoder (dense, mixture of experts, latent attention, sliding window, Mamba, hybrids) is one `DecoderCard`; the other
kinds are in `other_cards.py`. Presets (`data/models.yaml`), Hugging Face configs and sizes are turned into cards, and
only `shape()` knows how a card becomes stacks and runs of layers. Field names are the keys of `data/models.yaml`.
"""

from __future__ import annotations

from collections import Counter

from ..errors import InputError
from ..frozen import dataclass
from .shape import (
    AttentionShape,
    FeedForwardShape,
    LatentShape,
    LayerShape,
    MixtureShape,
    ModelKind,
    ModelShape,
    StackShape,
    StateSpaceShape,
)

NORM_PARAMS = {"rmsnorm": 1, "layernorm": 2, "layernorm-no-bias": 1, "no-parameters": 0}  # vectors of hidden width


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderCard:
    """A decoder-only model. Layers count from 1 in the `every` fields: 6 means layers 6, 12, 18 and so on."""

    layers: int
    hidden: int
    vocab: int
    heads: int = 0  # 0: no attention (Mamba)
    kv_heads: int | None = None  # as many as heads
    head_dim: int | None = None  # hidden / heads
    value_dim: int | None = None  # head_dim
    ffn: int = 0  # width of a dense feed-forward block; 0: none
    gated: bool = True
    tied: bool = False
    norm: str = "rmsnorm"
    norms_per_layer: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    qk_norm: str = ""  # "", head or full
    sinks: bool = False
    parallel: bool = False
    position: str = "rope"
    position_rows: int = 0
    max_tokens: int | None = None
    window: int | None = None
    window_is_block: bool = False
    full_attention_every: int = 0  # with a window: these layers see everything; 0: none does
    full_attention_layers: tuple[int, ...] = ()  # the same as a list, counted from 1
    experts: int = 0
    active_experts: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0  # all shared experts together
    experts_every: int = 1  # these layers have experts, the others the dense block
    dense_first: int = 0  # so many first layers have the dense block
    dense_layers: tuple[int, ...] = ()  # these layers too, counted from 1
    router_bias: bool = False
    expert_bias: bool = False
    shared_gate: bool = False
    score_bias: bool = False
    q_rank: int = 0
    kv_rank: int = 0  # above 0: multi-head latent attention
    rope_dim: int = 0
    state_space: StateSpaceShape | None = None
    attention_every: int = 1  # in a hybrid: one layer of so many has attention, the others the state-space mixer
    attention_at: int = 1  # which of them, counted from 1
    pattern: str = (
        ""  # each layer has one block only, a letter for each: M state space, * attention, E experts, - dense
    )
    extra_params: int = 0

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return the shape; layers that are equal become one run.

        Raises:
            InputError: the pattern has a letter that is none, or not one for each layer.
        """
        if self.pattern and (len(self.pattern) != self.layers or set(self.pattern) - set("M*E-")):
            raise InputError(
                f"the pattern '{self.pattern}' of '{name}' has {len(self.pattern)} letters; "
                f"{self.layers} of M, *, E and - are wanted, one for each layer."
            )
        layers = Counter(self._layer(number) for number in range(1, self.layers + 1))
        vectors = NORM_PARAMS[self.norm]
        stack = StackShape(
            name="decoder",
            hidden=self.hidden,
            runs=tuple((count, layer) for layer, count in layers.items()),
            final_norm_params=vectors if self.final_norm else 0,
        )
        return ModelShape(
            name=name,
            family=family,
            kind=self._kind(),
            stacks=(stack,),
            vocab=self.vocab,
            tied_embeddings=self.tied,
            head_bias=self.head_bias,
            position=self.position,
            position_params=self.position_rows,
            embed_norm_params=vectors if self.embedding_norm else 0,
            max_tokens=self.max_tokens,
            extra_params=self.extra_params,
            source=source,
            note=note,
        )

    def _kind(self) -> ModelKind:
        if not self.state_space:
            return ModelKind.DECODER
        return ModelKind.HYBRID if self.heads else ModelKind.STATE_SPACE

    def _layer(self, number: int) -> LayerShape:
        """Return layer `number`, counted from 1."""
        if self.pattern:
            return self._single(self.pattern[number - 1], number)
        has_attention = self.heads > 0 and (
            self.state_space is None or number % self.attention_every == self.attention_at % self.attention_every
        )
        has_experts = (
            self.experts > 0
            and number > self.dense_first
            and number % self.experts_every == 0
            and number not in self.dense_layers
        )
        return LayerShape(
            attention=self._attention(number) if has_attention else None,
            state_space=None if has_attention else self.state_space,
            feed_forward=None if has_experts else self._dense(),
            mixture=self._mixture() if has_experts else None,
            norms=self.norms_per_layer,
            norm_params=NORM_PARAMS[self.norm],
            parallel=self.parallel,
        )

    def _single(self, letter: str, number: int) -> LayerShape:
        """Return a layer of one block (Nemotron-H, arXiv:2504.03624, section 2)."""
        return LayerShape(
            attention=self._attention(number) if letter == "*" else None,
            state_space=self.state_space if letter == "M" else None,
            feed_forward=self._dense() if letter == "-" else None,
            mixture=self._mixture() if letter == "E" else None,
            norms=self.norms_per_layer,
            norm_params=NORM_PARAMS[self.norm],
        )

    def _dense(self) -> FeedForwardShape | None:
        return FeedForwardShape(width=self.ffn, gated=self.gated, bias=self.mlp_bias) if self.ffn else None

    def _attention(self, number: int) -> AttentionShape:
        every = self.full_attention_every
        sees_all = number in self.full_attention_layers or (every > 0 and number % every == 0)
        head_dim = self.head_dim or self.hidden // self.heads
        latent = LatentShape(q_rank=self.q_rank, kv_rank=self.kv_rank, rope_dim=self.rope_dim) if self.kv_rank else None
        return AttentionShape(
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            head_dim=head_dim,
            value_dim=self.value_dim or head_dim,
            window_tokens=None if sees_all else self.window,
            window_is_block=self.window_is_block and not sees_all,
            latent=latent,
            qkv_bias=self.qkv_bias,
            out_bias=self.out_bias,
            qk_norm=self.qk_norm,
            sinks=self.sinks,
        )

    def _mixture(self) -> MixtureShape:
        return MixtureShape(
            experts=self.experts,
            active=self.active_experts,
            width=self.expert_ffn,
            shared_width=self.shared_ffn,
            gated=self.gated,
            router_bias=self.router_bias,
            expert_bias=self.expert_bias,
            shared_gate=self.shared_gate,
            score_bias=self.score_bias,
        )
