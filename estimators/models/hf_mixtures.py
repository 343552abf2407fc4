"""Hugging Face configs of decoders with experts, latent attention or state spaces; see `hf_decoders.py`."""

from __future__ import annotations

from collections.abc import Mapping

from ..frozen import replace
from .cards import DecoderCard
from .hf_config import Config
from .hf_decoders import Reader, base, biased, olmo2, qwen2
from .shape import StateSpaceShape


def _local_experts(c: Config, card: DecoderCard, experts: str = "num_local_experts") -> DecoderCard:
    """Return the card with experts in every layer, all of the config's width."""
    return replace(
        card,
        ffn=0,
        experts=c.whole(experts),
        active_experts=c.whole("num_experts_per_tok"),
        expert_ffn=c.whole("intermediate_size"),
    )


def mixtral(c: Config) -> DecoderCard:
    """Mixtral: every layer has experts, all of the config's width."""
    return replace(_local_experts(c, base(c)), window=c.optional_whole("sliding_window"))


def phimoe(c: Config) -> DecoderCard:
    """Phi 3.5 MoE: LayerNorm, and biases by two switches."""
    bias = c.flag("attention_bias", False)
    return replace(
        _local_experts(c, base(c)),
        norm="layernorm",
        qkv_bias=bias,
        out_bias=bias,
        head_bias=c.flag("lm_head_bias", False),
        window=c.optional_whole("sliding_window"),
    )


def gpt_oss(c: Config) -> DecoderCard:
    """gpt-oss: learned sinks, biases everywhere, every second layer sees everything."""
    bias = c.flag("attention_bias", True)
    return replace(
        _local_experts(c, base(c, head_dim=64)),
        qkv_bias=bias,
        out_bias=bias,
        sinks=True,
        router_bias=True,
        expert_bias=True,
        window=c.whole("sliding_window", default=128),
        full_attention_layers=c.full_layers(2),
    )


def olmoe(c: Config) -> DecoderCard:
    """OLMoE: OLMo 2's attention, all layers with experts."""
    return _local_experts(c, olmo2(c), "num_experts")


def granitemoe(c: Config) -> DecoderCard:
    """Granite 3 with experts."""
    return replace(_local_experts(c, biased(base(c), c)), mlp_bias=False)


def _qwen_experts(c: Config, card: DecoderCard) -> DecoderCard:
    return replace(
        card,
        experts=c.whole("num_experts", "num_local_experts"),
        active_experts=c.whole("num_experts_per_tok"),
        expert_ffn=c.whole("moe_intermediate_size"),
        experts_every=c.whole("decoder_sparse_step", default=1),
        dense_layers=_numbers(c, "mlp_only_layers"),
    )


def _numbers(c: Config, key: str) -> tuple[int, ...]:
    """Return layers that the config counts from 0, counted from 1."""
    return tuple(int(str(index)) + 1 for index in c.items(key))


def qwen2_moe(c: Config) -> DecoderCard:
    """Qwen 1.5 and 2 with experts: a gated shared expert, dense layers by step and by list."""
    card = _qwen_experts(c, qwen2(c))
    width = c.whole("shared_expert_intermediate_size")
    return replace(card, qkv_bias=c.flag("qkv_bias", True), shared_ffn=width, shared_gate=True)


def qwen3_moe(c: Config) -> DecoderCard:
    """Qwen 3 with experts, none of them shared."""
    card = _qwen_experts(c, biased(base(c), c))
    return replace(card, qk_norm="head", mlp_bias=False)


def _latent(c: Config, card: DecoderCard) -> DecoderCard:
    rope, value = c.whole("qk_rope_head_dim"), c.whole("v_head_dim")
    return replace(
        card,
        kv_heads=card.heads,
        head_dim=c.whole("qk_nope_head_dim") + rope,
        value_dim=value,
        q_rank=c.optional_whole("q_lora_rank") or 0,
        kv_rank=c.whole("kv_lora_rank"),
        rope_dim=rope,
    )


def _routed_experts(c: Config, card: DecoderCard) -> DecoderCard:
    width = c.whole("moe_intermediate_size")
    return replace(
        card,
        experts=c.whole("n_routed_experts"),
        active_experts=c.whole("num_experts_per_tok"),
        expert_ffn=width,
        shared_ffn=width * (c.optional_whole("n_shared_experts") or 0),
        dense_first=c.optional_whole("first_k_dense_replace") or 0,
    )


def deepseek_v2(c: Config) -> DecoderCard:
    """DeepSeek V2: latent attention, shared experts, first layers dense."""
    card = replace(base(c), experts_every=c.whole("moe_layer_freq", default=1))
    return _routed_experts(c, _latent(c, card))


def deepseek_v3(c: Config) -> DecoderCard:
    """DeepSeek V3, R1 and Kimi K2: as V2, with a balancing bias per expert (stored, not trained by gradients)."""
    return _routed_experts(c, replace(_latent(c, base(c)), score_bias=True))


def glm4_moe(c: Config) -> DecoderCard:
    """GLM 4.5: grouped attention with DeepSeek's experts; the multi-token-prediction layer is left out."""
    card = replace(base(c), qkv_bias=c.flag("attention_bias", False), score_bias=True)
    return _routed_experts(c, replace(card, qk_norm="head" if c.flag("use_qk_norm", False) else ""))


def glm4_moe_lite(c: Config) -> DecoderCard:
    """GLM 4.7 Flash: DeepSeek V3 in small; the first layer is dense unless said otherwise."""
    return _dense_listed(c, deepseek_v3(c))


def mistral4(c: Config) -> DecoderCard:
    """Mistral Small 4, text part: DeepSeek V3 without the balancing bias."""
    return _routed_experts(c, _latent(c, base(c)))


def minimax_m2(c: Config) -> DecoderCard:
    """MiniMax M2: norms on all queries and keys at once, experts in every layer, none of them shared."""
    return replace(
        _local_experts(c, base(c)),
        qk_norm="full" if c.flag("use_qk_norm", True) else "",
        score_bias=c.flag("use_routing_bias", True),
    )


def hy_v3(c: Config) -> DecoderCard:
    """Hunyuan 3: Qwen 3's attention, a shared expert, the first layer dense unless said otherwise."""
    width = c.whole("moe_intermediate_size")
    card = replace(
        biased(base(c, head_dim=128), c),
        qk_norm="head",
        experts=c.whole("num_experts", "num_local_experts"),
        active_experts=c.whole("num_experts_per_tok"),
        expert_ffn=width,
        shared_ffn=width * (c.optional_whole("num_shared_experts") or 0),
        score_bias=True,
    )
    return _dense_listed(c, card)


def _dense_listed(c: Config, card: DecoderCard) -> DecoderCard:
    """Return the card with the dense layers of `mlp_layer_types`, or else the first `first_k_dense_replace` (1)."""
    kinds = c.items("mlp_layer_types")
    if kinds:
        return replace(card, dense_first=0, dense_layers=tuple(n for n, kind in enumerate(kinds, 1) if kind == "dense"))
    return card if "first_k_dense_replace" in c else replace(card, dense_first=1)


def llama4(c: Config) -> DecoderCard:
    """Llama 4, text part: blocks of 8192 tokens but in every fourth layer, one shared expert, one routed per token."""
    bias = c.flag("attention_bias", False)
    width = c.whole("intermediate_size")
    layers = c.whole("num_hidden_layers")
    step = c.whole("interleave_moe_layer_step", default=1)
    listed = _numbers(c, "moe_layers")
    dense = tuple(n for n in range(1, layers + 1) if n not in listed) if listed else ()
    rope = c.items("no_rope_layers")  # 1: rotary and blocks, 0: everything is seen
    full = tuple(n for n, flag in enumerate(rope, 1) if not flag) if rope else c.full_layers(4)
    return replace(
        base(c),
        ffn=c.whole("intermediate_size_mlp", default=width),
        qkv_bias=bias,
        out_bias=bias,
        window=c.whole("attention_chunk_size", default=8192),
        window_is_block=True,
        full_attention_layers=full,
        experts=c.whole("num_local_experts"),
        active_experts=c.whole("num_experts_per_tok", default=1),
        expert_ffn=width,
        shared_ffn=width,
        experts_every=1 if listed else step,
        dense_layers=dense,
    )


def dbrx(c: Config) -> DecoderCard:
    """DBRX: sizes in two inner parts."""
    attention, block = c.inner("attn_config"), c.inner("ffn_config")
    return DecoderCard(
        layers=c.whole("n_layers"),
        hidden=c.whole("d_model"),
        heads=c.whole("n_heads"),
        kv_heads=attention.whole("kv_n_heads", default=1),
        vocab=c.whole("vocab_size"),
        tied=c.tied(False),
        norm="layernorm-no-bias",
        max_tokens=c.optional_whole("max_seq_len"),
        experts=block.whole("moe_num_experts", default=4),
        active_experts=block.whole("moe_top_k", default=1),
        expert_ffn=block.whole("ffn_hidden_size", default=3584),
    )


def mamba(c: Config) -> DecoderCard:
    """Mamba and Falcon Mamba (version 1)."""
    hidden = c.whole("hidden_size", "d_model")
    rank = c.values.get("time_step_rank", "auto")
    mixer = StateSpaceShape(
        version=1,
        inner=c.whole("intermediate_size", default=hidden * c.whole("expand", default=2)),
        state=c.whole("state_size", default=16),
        conv=c.whole("conv_kernel", default=4),
        dt_rank=-(-hidden // 16) if rank in ("auto", None) else c.whole("time_step_rank"),
    )
    return _state_space(c, hidden, mixer, tied=True)


def mamba2(c: Config) -> DecoderCard:
    """Mamba 2."""
    hidden = c.whole("hidden_size", "d_model")
    mixer = StateSpaceShape(
        version=2,
        inner=hidden * c.whole("expand", default=2),
        state=c.whole("state_size", default=128),
        conv=c.whole("conv_kernel", default=4),
        heads=c.whole("num_heads"),
        groups=c.whole("n_groups", default=8),
    )
    return _state_space(c, hidden, mixer, tied=False)


def _state_space(c: Config, hidden: int, mixer: StateSpaceShape, *, tied: bool) -> DecoderCard:
    return DecoderCard(
        layers=c.whole("num_hidden_layers", "n_layer"),
        hidden=hidden,
        vocab=c.whole("vocab_size"),
        tied=c.tied(tied),
        norms_per_layer=1,
        position="none",
        state_space=mixer,
    )


def jamba(c: Config) -> DecoderCard:
    """Jamba: attention in one layer of a period, experts in every second."""
    hidden = c.whole("hidden_size")
    rank = c.values.get("mamba_dt_rank", "auto")
    mixer = StateSpaceShape(
        version=1,
        inner=hidden * c.whole("mamba_expand", default=2),
        state=c.whole("mamba_d_state", default=16),
        conv=c.whole("mamba_d_conv", default=4),
        dt_rank=-(-hidden // 16) if rank in ("auto", None) else c.whole("mamba_dt_rank"),
        inner_norms=True,
    )
    layers, every = c.whole("num_hidden_layers"), c.whole("expert_layer_period", default=2)
    offset = c.optional_whole("expert_layer_offset") or 0
    experts = c.whole("num_experts", default=16)
    dense = tuple(n for n in range(1, layers + 1) if (n - 1) % every != offset % every)
    return replace(
        base(c),
        position="none",
        experts=experts if experts > 1 else 0,
        active_experts=c.whole("num_experts_per_tok", default=2),
        expert_ffn=c.whole("intermediate_size"),
        dense_layers=dense,
        attention_every=c.whole("attn_layer_period", default=8),
        attention_at=(c.optional_whole("attn_layer_offset") or 0) + 1,
        state_space=mixer,
    )


_BLOCKS = {"mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "moe": "E", "mlp": "-"}


def nemotron_h(c: Config) -> DecoderCard:
    """Nemotron-H, Nemotron Nano 2 and 3: a Mamba 2 mixer, attention or a block of squared ReLU in each layer, alone."""
    if c.optional_whole("moe_latent_size"):
        c.fail("has a 'moe_latent_size' (Nemotron 3 Super and Ultra): experts of another width are not covered.")
    if c.flag("use_bias", False) or c.flag("mamba_proj_bias", False):
        c.fail("has biases in its mixers, which are not covered.")
    kinds = c.items("layers_block_type") or c.items("layer_types")
    pattern = "".join(_BLOCKS.get(str(kind), "?") for kind in kinds) or c.text("hybrid_override_pattern")
    if not pattern:
        c.fail("has no 'hybrid_override_pattern' (or 'layers_block_type'), so its layers are not known.")
    heads = c.whole("mamba_num_heads", default=128)
    mixer = StateSpaceShape(
        version=2,
        inner=heads * c.whole("mamba_head_dim", default=64),
        state=c.whole("ssm_state_size", default=128),
        conv=c.whole("conv_kernel", default=4),
        heads=heads,
        groups=c.whole("n_groups", default=8),
    )
    card = DecoderCard(
        layers=len(pattern),
        hidden=c.whole("hidden_size"),
        heads=c.whole("num_attention_heads"),
        kv_heads=c.whole("num_key_value_heads", default=8),
        head_dim=c.whole("head_dim", default=128),
        ffn=c.whole("intermediate_size", default=21504) if "-" in pattern else 0,
        vocab=c.whole("vocab_size"),
        tied=c.tied(False),
        gated=False,
        mlp_bias=c.flag("mlp_bias", False),
        norms_per_layer=1,
        position="none",
        max_tokens=c.optional_whole("max_position_embeddings"),
        pattern=pattern,
        state_space=mixer,
    )
    if "E" not in pattern:
        return card
    return replace(
        card,
        experts=c.whole("n_routed_experts"),
        active_experts=c.whole("num_experts_per_tok", default=2),
        expert_ffn=c.whole("moe_intermediate_size"),
        shared_ffn=c.whole("moe_shared_expert_intermediate_size") * c.whole("n_shared_experts", default=1),
        score_bias=True,
    )


MIXTURE_READERS: Mapping[str, Reader] = {
    "granitemoe": granitemoe,
    "mixtral": mixtral,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
    "phimoe": phimoe,
    "deepseek_v2": deepseek_v2,
    "deepseek_v3": deepseek_v3,
    "kimi_k2": deepseek_v3,
    "glm4_moe": glm4_moe,
    "glm4_moe_lite": glm4_moe_lite,
    "mistral4": mistral4,
    "minimax_m2": minimax_m2,
    "hy_v3": hy_v3,
    "gpt_oss": gpt_oss,
    "olmoe": olmoe,
    "llama4_text": llama4,
    "dbrx": dbrx,
    "mamba": mamba,
    "falcon_mamba": mamba,
    "mamba2": mamba2,
    "jamba": jamba,
    "nemotron_h": nemotron_h,
}
