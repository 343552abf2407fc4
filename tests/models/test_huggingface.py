"""Hugging Face configs: every architecture counts what its own class holds.

COUNTS: small configs of each architecture and the number of parameters of the class of `transformers` 5.24.0 that is
built from them without weights (with the balancing biases that DeepSeek V3 and its kin store beside the parameters).
"""

from __future__ import annotations

import pytest

from flopwise.estimators.models.huggingface import shape_from_config
from flopwise.estimators.models.parameters import count_parameters

from .configs_made import LATENT, SMALL

COUNTS: dict[str, tuple[dict, int]] = {
    "llama": ({}, 2742528),
    "smollm3": ({}, 2486528),
    "granite": ({}, 2742528),
    "mistral": ({}, 2742528),
    "qwen2": ({}, 2744064),
    "qwen3": ({"head_dim": 64}, 3398400),
    "gemma": ({"head_dim": 32}, 2486528),
    "gemma2": ({"head_dim": 32, "query_pre_attn_scalar": 32}, 2488576),
    "gemma3_text": ({"head_dim": 32}, 2488832),
    "phi": ({}, 2225128),
    "phi3": ({}, 2742528),
    "gpt2": ({"n_embd": 256, "n_layer": 4, "n_head": 8, "n_positions": 512}, 3546624),
    "gpt_bigcode": ({"n_embd": 256, "n_layer": 4, "n_head": 8, "n_positions": 512}, 3086080),
    "gptj": ({"n_embd": 256, "n_layer": 4, "n_head": 8, "n_positions": 512, "rotary_dim": 16}, 3666408),
    "gpt_neox": ({}, 2620928),
    "opt": ({"ffn_dim": 512, "word_embed_proj_dim": 256}, 2496512),
    "bloom": ({"n_layer": 4, "n_head": 8}, 3416064),
    "falcon": ({"num_kv_heads": 2}, 2945536),
    "mpt": ({"d_model": 256, "n_heads": 8, "n_layers": 4, "max_seq_len": 512}, 3404032),
    "glm": ({"head_dim": 32}, 2744064),
    "glm4": ({"head_dim": 32}, 2746112),
    "olmo": ({}, 2740224),
    "olmo2": ({}, 2743808),
    "olmo3": ({}, 2743808),
    "cohere": ({"use_qk_norm": True}, 2486784),
    "cohere2": ({}, 2485504),
    "starcoder2": ({}, 1970176),
    "stablelm": ({"use_parallel_residual": True, "use_qkv_bias": True}, 2744320),
    "nemotron": ({"head_dim": 32}, 2220544),
    "seed_oss": ({"head_dim": 32}, 2744064),
    "granitemoe": ({"num_local_experts": 4, "num_experts_per_tok": 2}, 7465216),
    "mixtral": ({"num_local_experts": 4, "num_experts_per_tok": 2}, 7465216),
    "qwen2_moe": (
        {
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "shared_expert_intermediate_size": 160,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [3],
        },
        2917888,
    ),
    "qwen3_moe": (
        {
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [0],
            "head_dim": 64,
        },
        3550464,
    ),
    "phimoe": (
        {"num_local_experts": 4, "num_experts_per_tok": 2, "attention_bias": True, "lm_head_bias": True},
        7471080,
    ),
    "deepseek_v2": (
        {
            "q_lora_rank": None,
            "kv_lora_rank": 64,
            "qk_nope_head_dim": 32,
            "qk_rope_head_dim": 16,
            "v_head_dim": 32,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "n_shared_experts": 2,
            "first_k_dense_replace": 1,
            "num_key_value_heads": 8,
            "n_group": 1,
            "topk_group": 1,
        },
        3994112,
    ),
    "deepseek_v3": (
        {
            "q_lora_rank": 48,
            "kv_lora_rank": 64,
            "qk_nope_head_dim": 32,
            "qk_rope_head_dim": 16,
            "v_head_dim": 32,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "n_shared_experts": 1,
            "first_k_dense_replace": 2,
            "num_key_value_heads": 8,
            "n_group": 1,
            "topk_group": 1,
        },
        3230416,
    ),
    "glm4_moe": (
        {
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "attention_bias": True,
            "use_qk_norm": True,
            "head_dim": 32,
            "n_group": 1,
            "topk_group": 1,
        },
        3561496,
    ),
    "gpt_oss": ({"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 32}, 7488304),
    "olmoe": ({"num_experts": 4, "num_experts_per_tok": 2}, 7466496),
    "llama4_text": (
        {
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 2,
            "intermediate_size_mlp": 768,
            "head_dim": 32,
        },
        6283520,
    ),
    "mamba": ({"intermediate_size": 512, "state_size": 8}, 1959168),
    "falcon_mamba": ({"intermediate_size": 512, "state_size": 8}, 1959168),
    "mamba2": ({"num_heads": 16, "head_dim": 32, "n_groups": 2, "state_size": 32}, 2248640),
    "ministral3": ({"head_dim": 64}, 3397888),
    "mistral4": (LATENT, 3775168),
    "glm4_moe_lite": (LATENT, 3502808),
    "minimax_m2": ({"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 64}, 8123152),
    "hy_v3": (
        {
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "num_shared_experts": 2,
            "head_dim": 64,
        },
        3992850,
    ),
    "nemotron_h": (
        {
            "hybrid_override_pattern": "M*E-",
            "mamba_num_heads": 8,
            "mamba_head_dim": 32,
            "ssm_state_size": 16,
            "n_groups": 2,
            "conv_kernel": 4,
            "n_routed_experts": 6,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 96,
            "moe_shared_expert_intermediate_size": 160,
            "head_dim": 64,
        },
        1698398,
    ),
    "jamba": ({"num_experts": 4, "num_hidden_layers": 16, "attn_layer_period": 8, "attn_layer_offset": 4}, 22714272),
}


@pytest.mark.parametrize("model_type", COUNTS)
def test_an_architecture_counts_what_its_class_holds(model_type):
    values, held = COUNTS[model_type]
    reading = shape_from_config({"model_type": model_type, **SMALL, **values}, model_type)
    assert count_parameters(reading.shape).total == held


OTHERS = {
    "bert": ({}, 2_562_304),
    "roberta": ({}, 2_562_304),
    "distilbert": ({"n_layers": 4, "dim": 256, "hidden_dim": 512, "n_heads": 8}, 2_496_000),
    "t5": ({"d_model": 256, "d_kv": 32, "d_ff": 512, "num_layers": 4, "num_heads": 8}, 5_505_024),
    "mt5": (
        {"d_model": 256, "d_kv": 32, "d_ff": 512, "num_layers": 4, "num_heads": 8, "feed_forward_proj": "gated-gelu"},
        6_553_600,
    ),
    "vit": ({"patch_size": 16, "image_size": 224, "id2label": {"0": "a", "1": "b"}}, 2_356_994),
    "clip": ({"projection_dim": 512}, 151_277_313),
}


@pytest.mark.parametrize("model_type", OTHERS)
def test_encoders_count_what_their_class_holds(model_type):
    values, held = OTHERS[model_type]
    reading = shape_from_config({"model_type": model_type, **SMALL, **values}, model_type)
    assert count_parameters(reading.shape).total == held
