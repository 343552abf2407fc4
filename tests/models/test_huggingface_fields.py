"""Fields of Hugging Face configs: presets come out the same, parts and layer types are read, faults are named."""

from __future__ import annotations

import re

import pytest

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.models.huggingface import model_types, shape_from_config
from flopwise.estimators.models.parameters import count_parameters

from .configs_made import LATENT, LLAMA_3_8B, SMALL


def test_the_config_of_a_preset_gives_the_same_stacks_as_the_preset():
    assert shape_from_config(LLAMA_3_8B, "x").shape.stacks == load_preset("llama-3-8b").shape.stacks


def test_the_config_of_gemma_3_may_leave_out_what_its_class_assumes():
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    reading = shape_from_config({"model_type": "gemma3", "text_config": text, "vision_config": {}}, "gemma")
    assert reading.shape.stacks == load_preset("gemma-3-4b").shape.stacks
    assert count_parameters(reading.shape).total == 3_880_263_168
    assert reading.remarks == ("only the text part of 'gemma3' is counted, its other parts are left out",)


@pytest.mark.parametrize("nested", [True, False])
def test_a_model_that_sees_is_read_by_its_text_part(nested):
    text = {**LLAMA_3_8B, "model_type": "qwen2_5_vl_text" if nested else "qwen2_5_vl"}
    config = {"model_type": "qwen2_5_vl", "text_config": text, "vision_config": {}} if nested else text
    reading = shape_from_config(config, "x")
    biases = 32 * (4096 + 2 * 1024)  # of queries, keys and values
    assert count_parameters(reading.shape).total == 8_030_261_248 + biases
    assert "only the text part of 'qwen2_5_vl'" in reading.remarks[0]


def test_the_config_of_deepseek_v3_gives_the_preset_and_says_what_is_left_out():
    config = {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "first_k_dense_replace": 3,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
        "max_position_embeddings": 163840,
        "num_nextn_predict_layers": 1,
    }
    reading = shape_from_config(config, "deepseek")
    assert reading.shape.stacks == load_preset("deepseek-v3").shape.stacks
    assert "multi-token prediction" in reading.remarks[0]


KIMI_K25 = {  # aiconfigurator's copy of moonshotai/Kimi-K2.5
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "intermediate_size": 18432,
    "vocab_size": 163840,
    "max_position_embeddings": 262144,
    "n_routed_experts": 384,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


@pytest.mark.parametrize("nested", [True, False])
def test_kimi_k25_is_read_by_its_text_part(nested):
    config = {"model_type": "kimi_k25", "vision_config": {}}
    config |= {"text_config": {"model_type": "kimi_k2", **KIMI_K25}} if nested else KIMI_K25
    reading = shape_from_config(config, "kimi")
    assert reading.shape.stacks == load_preset("kimi-k2.5").shape.stacks
    assert "only the text part of 'kimi_k25'" in reading.remarks[0]


NEMOTRON_3_NANO = {  # NVIDIA/Megatron-LM's arguments of NVIDIA-Nemotron-3-Nano-30B-A3B, in the names of the hub
    "model_type": "nemotron_h",
    "hidden_size": 2688,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "vocab_size": 131072,
    "max_position_embeddings": 262144,
}


def test_layers_of_one_block_are_read_from_the_pattern_or_the_list():
    reading = shape_from_config(NEMOTRON_3_NANO, "x")
    assert reading.shape.stacks == load_preset("nemotron-3-nano-30b").shape.stacks
    assert sorted(count for count, _ in reading.shape.stacks[0].runs) == [6, 23, 23]
    names = {"M": "linear_attention", "*": "full_attention", "E": "moe"}
    listed = {**NEMOTRON_3_NANO, "layers_block_type": [names[c] for c in NEMOTRON_3_NANO["hybrid_override_pattern"]]}
    del listed["hybrid_override_pattern"]
    assert shape_from_config(listed, "x").shape.stacks == reading.shape.stacks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"moe_latent_size": 1024}, "has a 'moe_latent_size'"),
        ({"use_bias": True}, "has biases in its mixers"),
        ({"hybrid_override_pattern": None}, "has no 'hybrid_override_pattern'"),
        ({"hybrid_override_pattern": "M*EX"}, "4 of M, *, E and - are wanted"),
    ],
)
def test_a_hybrid_that_is_not_covered_says_so(change, said):
    with pytest.raises(InputError, match=re.escape(said)):
        shape_from_config({**NEMOTRON_3_NANO, **change}, "x")


def test_dense_layers_are_listed_or_counted():
    config = {"model_type": "glm4_moe_lite", **SMALL, **LATENT}

    def dense(**change: object) -> int:
        runs = shape_from_config({**config, **change}, "x").shape.stacks[0].runs
        return sum(count for count, layer in runs if layer.feed_forward)

    assert (dense(), dense(first_k_dense_replace=2)) == (1, 2)
    assert dense(mlp_layer_types=["dense", "sparse", "dense", "dense"]) == 3


def test_layer_types_decide_which_layers_have_a_window():
    config = {**LLAMA_3_8B, "model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2}
    config |= {"num_hidden_layers": 3, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}
    runs = shape_from_config(config, "x").shape.stacks[0].runs
    assert {layer.attention.window_tokens: count for count, layer in runs} == {None: 2, 128: 1}


def test_an_unknown_architecture_lists_those_known_and_the_nearest():
    with pytest.raises(InputError) as caught:
        shape_from_config({"model_type": "lama"}, "x")
    assert "the nearest known is 'llama'" in str(caught.value)
    assert all(known in str(caught.value) for known in ("qwen3_moe", "whisper", "gpt_oss"))
    assert len(model_types()) > 62


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, "has no 'hidden_size'"),
        ({"num_hidden_layers": "many"}, "has 'num_hidden_layers': 'many', where a whole number is wanted"),
        ({"vocab_size": -5}, "has 'vocab_size': -5"),
        ({"attention_bias": "no"}, "has 'attention_bias': 'no', where true or false is wanted"),
        ({"model_type": None}, "has no 'model_type'"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(change, said):
    with pytest.raises(InputError, match=said):
        shape_from_config({**LLAMA_3_8B, **change}, "x")
