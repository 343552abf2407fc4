"""The shape of a model: every dimension that decides its parameters, FLOPs, bytes and memory, and nothing else.

A `ModelShape` is one or more stacks of layers; a stack holds runs of equal layers. A dense decoder has one stack with
one run; DeepSeek-V3 has one stack with a dense run and a mixture-of-experts run; T5 has an encoder and a decoder.
Presets (`data/models.yaml`), Hugging Face configs and sizes ("7B") all become this one dataclass.
"""

from __future__ import annotations

from enum import StrEnum

from ..frozen import dataclass


class ModelKind(StrEnum):
    """What a model reads and writes; decides which stacks it has and whether it can generate."""

    DECODER = "decoder"
    ENCODER = "encoder"
    ENCODER_DECODER = "encoder-decoder"
    STATE_SPACE = "state space"
    HYBRID = "hybrid"  # state-space and attention layers
    VISION = "vision encoder"
    DUAL_ENCODER = "dual encoder"  # images and text into one space (CLIP)
    SPEECH = "speech encoder-decoder"
    DIFFUSION = "diffusion transformer"
    UNET = "diffusion u-net"


class AttentionKind(StrEnum):
    """How keys and values are made."""

    GROUPED = "grouped"  # multi-head, grouped-query and multi-query: one form, kv_heads decides
    LATENT = "latent"  # multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentShape:
    """Ranks of multi-head latent attention. `q_rank` 0 means that the query is not compressed."""

    q_rank: int
    kv_rank: int
    rope_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """One attention block. `head_dim` is that of queries and keys, `value_dim` that of values."""

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    causal: bool = True
    window_tokens: int | None = None  # sliding window: keys that one query sees
    window_is_block: bool = False  # the window is a fixed block of the sequence (Llama 4), not the last keys
    latent: LatentShape | None = None
    qkv_bias: bool = False
    key_bias: bool = True  # False: keys have none where queries and values do (Whisper)
    out_bias: bool = False
    qk_norm: str = ""  # "", "head" (head_dim weights each) or "full" (heads x head_dim weights each)
    sinks: bool = False  # one learned logit per head (gpt-oss)
    relative_buckets: int = 0  # learned relative bias, buckets x heads, once per stack (T5)

    @property
    def kind(self) -> AttentionKind:
        """Which of the two forms this is."""
        return AttentionKind.LATENT if self.latent else AttentionKind.GROUPED

    @property
    def kv_cache_values_per_token(self) -> int:
        """Numbers kept per token and layer for decoding: keys and values, or the latent with its rotary part."""
        if self.latent:
            return self.latent.kv_rank + self.latent.rope_dim
        return self.kv_heads * (self.head_dim + self.value_dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForwardShape:
    """A dense feed-forward block: two matrices, or three when gated."""

    width: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureShape:
    """A mixture of experts: `active` of `experts` per token, plus shared experts that every token visits.

    `width` is that of one routed expert, `shared_width` that of all shared experts together.
    """

    experts: int
    active: int
    width: int
    shared_width: int = 0
    gated: bool = True
    router_bias: bool = False
    expert_bias: bool = False
    shared_gate: bool = False  # one learned gate on the shared experts (Qwen MoE)
    score_bias: bool = False  # one learned balancing bias per expert (DeepSeek-V3)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpaceShape:
    """A Mamba mixer (version 1, arXiv:2312.00752, or 2, arXiv:2405.21060)."""

    version: int
    inner: int
    state: int
    conv: int
    dt_rank: int = 0  # version 1
    heads: int = 0  # version 2
    groups: int = 1  # version 2
    inner_norms: bool = False  # extra norms on dt, B and C (Jamba)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionShape:
    """One more matrix product: a patch or audio convolution, a pooler, a classifier, an adaptive norm.

    `inputs` is kernel size times channels for a convolution. It has `rows_per_token` rows for each token of the stack
    that comes from the input (a class token does not), or one row per sequence when that is 0.
    """

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    rows_per_token: float = 0.0
    convolution: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One kind of layer; absent parts are None. `norms` counts the norm layers of hidden width in it."""

    attention: AttentionShape | None = None
    cross_attention: AttentionShape | None = None
    state_space: StateSpaceShape | None = None
    feed_forward: FeedForwardShape | None = None
    mixture: MixtureShape | None = None
    norms: int = 2
    norm_params: int = 1  # vectors of hidden width per norm: 1 RMSNorm, 2 LayerNorm, 0 without parameters
    parallel: bool = False  # attention and feed-forward read the same input
    conditioning: tuple[ProjectionShape, ...] = ()  # once per sequence: scale and shift of norms (DiT)
    extra_params: int = 0  # parameters of parts that the fields above do not name; `ModelShape.note` says which


@dataclass(frozen=True, slots=True, kw_only=True)
class StackShape:
    """Layers of one width: `runs` lists (how many, which layer). Order inside a stack does not matter to us."""

    name: str  # "decoder", "encoder", "vision", "text"
    hidden: int
    runs: tuple[tuple[int, LayerShape], ...]
    final_norm_params: int = 1  # vectors of hidden width, as LayerShape.norm_params
    extra_params: int = 0  # other parameters that belong to this stack only
    stem: tuple[ProjectionShape, ...] = ()  # how images, audio or latents become tokens; such a stack reads no words
    outputs: tuple[ProjectionShape, ...] = ()  # behind the last layer, besides the head over the vocabulary
    tokens: int | None = None  # always this many (30 s of audio, one image); None: as many as asked
    class_tokens: int = 0  # learned tokens that the stem does not make
    position_rows: int = 0  # learned position table of this stack alone, vectors of hidden width
    embed_norm_params: int = 0  # vectors of hidden width in a norm behind this stack's own embedding

    @property
    def layers(self) -> int:
        """How many layers the stack has."""
        return sum(count for count, _ in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A whole model. `vocab` 0 means that it reads no tokens (vision)."""

    name: str
    family: str
    kind: str  # a ModelKind
    stacks: tuple[StackShape, ...]
    vocab: int
    tied_embeddings: bool
    has_head: bool = True  # projects back to the vocabulary
    head_bias: bool = False
    position: str = "rope"
    position_params: int = 0  # vectors of hidden width in a learned position table
    embed_norm_params: int = 0  # vectors of hidden width in a norm behind the embedding
    max_tokens: int | None = None  # longest sequence it was made for
    extra_params: int = 0
    predictions: int = 0  # last layers that each predict one token more (arXiv:2412.19437, section 2.2)
    countable_only: bool = False  # parts that operators do not cover: parameters are right, FLOPs are refused
    source: str = ""
    note: str = ""

    @property
    def layers(self) -> int:
        """Layers over all stacks."""
        return sum(stack.layers for stack in self.stacks)

    @property
    def hidden(self) -> int:
        """Width of the last stack, the one that the head reads."""
        return self.stacks[-1].hidden

    @property
    def is_mixture(self) -> bool:
        """Whether any layer has routed experts."""
        return any(layer.mixture for stack in self.stacks for _, layer in stack.runs)
