"""Hugging Face configs of dense decoders: one reader per architecture, each returns a `DecoderCard`.

What a field means, which biases and norms there are and what is left out follow the model classes of the
`transformers` library; every reader was compared with the parameter count of the class itself, built without weights
in version 5.x (the counts are in the tests). Mixtures of experts and state spaces are in `hf_mixtures.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..frozen import replace
from .cards import DecoderCard
from .hf_config import Config

Reader = Callable[[Config], DecoderCard]


def base(c: Config, *, tied: bool = False, head_dim: int | None = None) -> DecoderCard:
    """Return the dense card that Llama's field names describe, without biases."""
    heads = c.whole("num_attention_heads")
    return DecoderCard(
        layers=c.whole("num_hidden_layers"),
        hidden=c.whole("hidden_size"),
        heads=heads,
        kv_heads=c.whole("num_key_value_heads", default=heads),
        head_dim=c.head_dim(head_dim),
        ffn=c.whole("intermediate_size"),
        vocab=c.whole("vocab_size"),
        tied=c.tied(tied),
        max_tokens=c.optional_whole("max_position_embeddings"),
    )


def biased(card: DecoderCard, c: Config, *, attention: bool = False, mlp: bool = False) -> DecoderCard:
    """Return the card with Llama's two switches: biases on all four attention matrices, and on the feed-forward."""
    bias = c.flag("attention_bias", attention)
    return replace(card, qkv_bias=bias, out_bias=bias, mlp_bias=c.flag("mlp_bias", mlp))


def llama(c: Config) -> DecoderCard:
    """Llama 1 to 3, Yi, SmolLM, DeepSeek LLM."""
    return biased(base(c), c)


def smollm3(c: Config) -> DecoderCard:
    """SmolLM3, ties by default."""
    return biased(base(c, tied=True), c)


def granite(c: Config) -> DecoderCard:
    """Granite 3: Llama with four scalars that are not learned."""
    return biased(base(c), c)


def mistral(c: Config) -> DecoderCard:
    """Mistral 7B and its successors: a window over all layers, over those that `layer_types` names, or none."""
    return replace(base(c), window=c.optional_whole("sliding_window"), full_attention_layers=c.full_layers())


def qwen2(c: Config) -> DecoderCard:
    """Qwen 1.5 to 2.5: biases on queries, keys and values; a window only where it is switched on."""
    card = replace(base(c), qkv_bias=True)
    if not c.flag("use_sliding_window", False) or not c.optional_whole("sliding_window"):
        return card
    first_windowed = c.whole("max_window_layers", default=28)
    full = c.full_layers() or tuple(range(1, first_windowed + 1))
    return replace(card, window=c.whole("sliding_window"), full_attention_layers=full)


def qwen3(c: Config) -> DecoderCard:
    """Qwen 3: norms on the queries and keys of each head, head_dim 128 unless said."""
    card = biased(base(c, head_dim=128), c)
    return replace(card, qk_norm="head", mlp_bias=False)


def gemma(c: Config) -> DecoderCard:
    """Gemma 1."""
    return replace(biased(base(c, tied=True, head_dim=256), c), mlp_bias=False)


def gemma2(c: Config) -> DecoderCard:
    """Gemma 2: norms on both sides of each block, every second layer sees everything."""
    window = c.whole("sliding_window", default=4096)
    return replace(gemma(c), norms_per_layer=4, window=window, full_attention_layers=c.full_layers(2))


def gemma3(c: Config) -> DecoderCard:
    """Gemma 3, text part; its files leave out what equals the class defaults."""
    defaults = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208, "hidden_size": 2304}
    defaults |= {"num_hidden_layers": 26, "intermediate_size": 9216, "max_position_embeddings": 131072}
    c = Config({**defaults, **{k: v for k, v in c.values.items() if v is not None}}, c.model_type, c.part)
    every = c.whole("sliding_window_pattern", default=6)
    window = c.whole("sliding_window", default=4096)
    card = replace(gemma(c), norms_per_layer=4, qk_norm="head", window=window)
    return replace(card, full_attention_layers=c.full_layers(every))


def phi(c: Config) -> DecoderCard:
    """Phi 1 to 2: one LayerNorm for both blocks, biases everywhere, head included."""
    return replace(
        base(c),
        gated=False,
        norm="layernorm",
        norms_per_layer=1,
        parallel=True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        head_bias=True,
    )


def phi3(c: Config) -> DecoderCard:
    """Phi 3 and 4."""
    return replace(base(c), window=c.optional_whole("sliding_window"))


def gpt2(c: Config) -> DecoderCard:
    """GPT-2 and models of its form: learned positions, LayerNorm, biases everywhere, tied."""
    hidden = c.whole("n_embd", "hidden_size")
    rows = c.whole("n_positions", "max_position_embeddings")
    return DecoderCard(
        layers=c.whole("n_layer", "num_hidden_layers"),
        hidden=hidden,
        heads=c.whole("n_head", "num_attention_heads"),
        ffn=c.whole("n_inner", default=4 * hidden),
        vocab=c.whole("vocab_size"),
        tied=c.tied(True),
        gated=False,
        norm="layernorm",
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        position="learned",
        position_rows=rows,
        max_tokens=rows,
    )


def gpt_bigcode(c: Config) -> DecoderCard:
    """StarCoder 1: GPT-2 with one key and value head."""
    card = gpt2(c)
    return replace(card, kv_heads=1 if c.flag("multi_query", True) else card.heads)


def gptj(c: Config) -> DecoderCard:
    """GPT-J: rotary, one norm for both blocks, biases on the feed-forward block and the head."""
    return replace(
        gpt2(c),
        tied=c.tied(False),
        qkv_bias=False,
        out_bias=False,
        norms_per_layer=1,
        parallel=True,
        head_bias=True,
        position="rope",
        position_rows=0,
    )


def gpt_neox(c: Config) -> DecoderCard:
    """Pythia, GPT-NeoX-20B: two LayerNorms, parallel blocks, biases everywhere but on the head."""
    bias = c.flag("attention_bias", True)
    return replace(
        base(c),
        kv_heads=None,
        gated=False,
        norm="layernorm",
        parallel=c.flag("use_parallel_residual", True),
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=True,
    )


def opt(c: Config) -> DecoderCard:
    """OPT: GPT-2 with two position rows more."""
    hidden = c.whole("hidden_size")
    if c.whole("word_embed_proj_dim", default=hidden) != hidden:
        c.fail("has a 'word_embed_proj_dim' other than 'hidden_size' (opt-350m), which is not covered.")
    bias = c.flag("enable_bias", True)
    positions = c.whole("max_position_embeddings")
    return DecoderCard(
        layers=c.whole("num_hidden_layers"),
        hidden=hidden,
        heads=c.whole("num_attention_heads"),
        ffn=c.whole("ffn_dim"),
        vocab=c.whole("vocab_size"),
        tied=c.tied(True),
        gated=False,
        norm="layernorm",
        final_norm=c.flag("do_layer_norm_before", True) and not c.flag("_remove_final_layer_norm", False),
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=bias,
        position="learned",
        position_rows=positions + 2,
        max_tokens=positions,
    )


def bloom(c: Config) -> DecoderCard:
    """BLOOM: ALiBi, a norm behind the embedding."""
    hidden = c.whole("hidden_size", "n_embed")
    return DecoderCard(
        layers=c.whole("n_layer", "num_hidden_layers"),
        hidden=hidden,
        heads=c.whole("n_head", "num_attention_heads"),
        ffn=4 * hidden,
        vocab=c.whole("vocab_size"),
        tied=c.tied(True),
        gated=False,
        norm="layernorm",
        embedding_norm=True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        position="alibi",
        max_tokens=c.optional_whole("seq_length"),
    )


def falcon(c: Config) -> DecoderCard:
    """Falcon: the number of norms and key heads follows from three switches."""
    hidden, heads = c.whole("hidden_size"), c.whole("num_attention_heads", "n_head")
    new, parallel = c.flag("new_decoder_architecture", False), c.flag("parallel_attn", True)
    multi_query = c.flag("multi_query", True)
    kv_heads = c.whole("num_kv_heads", "n_head_kv", default=heads) if new or not multi_query else 1
    two_norms = c.whole("num_ln_in_parallel_attn", default=2) == 2 if new else not parallel
    bias = c.flag("bias", False)
    return DecoderCard(
        layers=c.whole("num_hidden_layers", "n_layer"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        ffn=c.whole("ffn_hidden_size", default=4 * hidden),
        vocab=c.whole("vocab_size"),
        tied=c.tied(True),
        gated=False,
        norm="layernorm",
        norms_per_layer=2 if two_norms else 1,
        parallel=parallel or new,
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=bias,
        position="alibi" if c.flag("alibi", False) else "rope",
        max_tokens=c.optional_whole("max_position_embeddings"),
    )


def mpt(c: Config) -> DecoderCard:
    """MPT: no biases at all, ALiBi."""
    hidden = c.whole("d_model")
    return DecoderCard(
        layers=c.whole("n_layers"),
        hidden=hidden,
        heads=c.whole("n_heads"),
        kv_heads=c.inner("attn_config").optional_whole("kv_n_heads"),
        ffn=round(hidden * c.number("expansion_ratio", 4)),
        vocab=c.whole("vocab_size"),
        tied=c.tied(True),
        gated=False,
        norm="layernorm-no-bias",
        position="alibi",
        max_tokens=c.optional_whole("max_seq_len"),
    )


def glm(c: Config) -> DecoderCard:
    """GLM 4 9B: biases on queries, keys and values."""
    return replace(base(c, head_dim=128), qkv_bias=c.flag("attention_bias", True))


def glm4(c: Config) -> DecoderCard:
    """GLM 4 0414: norms on both sides of each block."""
    card = base(c, head_dim=128)
    return replace(card, qkv_bias=c.flag("attention_bias", True), norms_per_layer=4)


def chatglm(c: Config) -> DecoderCard:
    """ChatGLM 2 to GLM 4, in the field names of their own code."""
    heads = c.whole("num_attention_heads")
    grouped = c.flag("multi_query_attention", False)
    bias = c.flag("add_bias_linear", False)
    return DecoderCard(
        layers=c.whole("num_layers"),
        hidden=c.whole("hidden_size"),
        heads=heads,
        kv_heads=c.whole("multi_query_group_num") if grouped else heads,
        head_dim=c.optional_whole("kv_channels"),
        ffn=c.whole("ffn_hidden_size"),
        vocab=c.whole("padded_vocab_size", "vocab_size"),
        tied=c.tied(False),
        qkv_bias=bias or c.flag("add_qkv_bias", False),
        out_bias=bias,
        mlp_bias=bias,
        max_tokens=c.optional_whole("seq_length"),
    )


def olmo(c: Config) -> DecoderCard:
    """OLMo 1: norms without parameters."""
    return replace(biased(base(c), c), norm="no-parameters", mlp_bias=False)


def olmo2(c: Config) -> DecoderCard:
    """OLMo 2: norms on all queries and keys at once."""
    return replace(biased(base(c), c), qk_norm="full", mlp_bias=False)


def olmo3(c: Config) -> DecoderCard:
    """OLMo 3: OLMo 2 with a window, every fourth layer sees everything."""
    window = c.whole("sliding_window", default=4096)
    return replace(olmo2(c), window=window, full_attention_layers=c.full_layers(4))


def cohere(c: Config) -> DecoderCard:
    """Command-R: one norm for both blocks."""
    return replace(
        biased(base(c, tied=True), c),
        norm="layernorm-no-bias",
        norms_per_layer=1,
        parallel=True,
        mlp_bias=False,
        qk_norm="full" if c.flag("use_qk_norm", False) else "",
    )


def cohere2(c: Config) -> DecoderCard:
    """Command-R 7B and Command A: a window, every fourth layer sees everything."""
    window = c.whole("sliding_window", default=4096)
    every = c.whole("sliding_window_pattern", default=4)
    return replace(cohere(c), window=window, full_attention_layers=c.full_layers(every))


def starcoder2(c: Config) -> DecoderCard:
    """StarCoder 2: LayerNorm and biases."""
    bias = c.flag("use_bias", True)
    return replace(
        base(c, tied=True),
        gated=False,
        norm="layernorm",
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=bias,
        window=c.optional_whole("sliding_window"),
    )


def internlm2(c: Config) -> DecoderCard:
    """InternLM 2 and 2.5."""
    bias = c.flag("bias", False)
    return replace(base(c), qkv_bias=bias, out_bias=bias)


def stablelm(c: Config) -> DecoderCard:
    """StableLM: LayerNorm; parallel blocks share it."""
    parallel = c.flag("use_parallel_residual", False)
    return replace(
        base(c),
        norm="layernorm",
        norms_per_layer=1 if parallel else 2,
        parallel=parallel,
        qkv_bias=c.flag("use_qkv_bias", False),
    )


def nemotron(c: Config) -> DecoderCard:
    """Nemotron 4 and Minitron: squared ReLU without gate, LayerNorm."""
    return replace(biased(base(c), c), gated=False, norm="layernorm")


def seed_oss(c: Config) -> DecoderCard:
    """Seed-OSS: separate switches for the two kinds of attention bias."""
    return replace(
        base(c),
        qkv_bias=c.flag("attention_bias", True),
        out_bias=c.flag("attention_out_bias", False),
        mlp_bias=c.flag("mlp_bias", False),
    )


DENSE_READERS: Mapping[str, Reader] = {
    "llama": llama,
    "smollm3": smollm3,
    "granite": granite,
    "mistral": mistral,
    "ministral": mistral,
    "ministral3": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "phi": phi,
    "phi3": phi3,
    "gpt2": gpt2,
    "gpt_bigcode": gpt_bigcode,
    "gptj": gptj,
    "gpt_neox": gpt_neox,
    "opt": opt,
    "bloom": bloom,
    "falcon": falcon,
    "mpt": mpt,
    "glm": glm,
    "glm4": glm4,
    "chatglm": chatglm,
    "olmo": olmo,
    "olmo2": olmo2,
    "olmo3": olmo3,
    "cohere": cohere,
    "cohere2": cohere2,
    "starcoder2": starcoder2,
    "internlm2": internlm2,
    "stablelm": stablelm,
    "nemotron": nemotron,
    "seed_oss": seed_oss,
}
