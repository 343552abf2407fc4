"""Hugging Face configs: every architecture counts what its own class holds; what cannot be read says so.

COUNTS: small configs of each architecture and the number of parameters of the class of `transformers` 5.24.0 that is
built from them without weights (with the balancing biases that DeepSeek V3 and its kin store beside the parameters).
"""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request

import pytest

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.models.huggingface import fetch_config, model_types, shape_from_config
from flopwise.estimators.models.parameters import count_parameters
from flopwise.estimators.models.resolve import Origin, resolve_model

SMALL = {
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
}
LATENT = {
    "q_lora_rank": 48,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
    "n_shared_experts": 1,
    "num_key_value_heads": 8,
}
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


LLAMA_3_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "holds no mapping"),
        ('{"a": ', "is not JSON: .* in line 1"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_no_config_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        resolve_model(str(path))


def test_a_config_is_found_by_its_path_or_by_its_folder(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_3_8B), encoding="utf-8")
    by_folder, by_path = resolve_model(str(folder)), resolve_model(str(folder / "config.json"))
    assert by_folder.shape == by_path.shape
    assert (by_folder.shape.name, by_folder.origin) == ("my-model", Origin.CONFIG)


class Answer(io.BytesIO):
    """What the hub answers."""


def test_fetching_asks_the_hub_for_the_config_alone(monkeypatch):
    asked = []

    def answer(request, timeout):
        asked.append((request.full_url, request.get_header("Authorization")))
        return Answer(json.dumps(LLAMA_3_8B).encode())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HF_TOKEN", "abc")
    assert fetch_config("owner/name") == LLAMA_3_8B
    assert asked == [("https://hub.example/owner/name/resolve/main/config.json", "Bearer abc")]


def hub_error(code):
    def answer(request, timeout):
        raise urllib.error.HTTPError(request.full_url, code, "no", None, None)

    return answer


def no_network(request, timeout):
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (hub_error(404), "there is no such model"),
        (hub_error(401), "gated"),
        (hub_error(500), "the hub answered 500"),
        (no_network, "no route to host"),
        (lambda request, timeout: Answer(b"<html>"), "is no config.json"),
    ],
)
def test_a_hub_that_cannot_answer_gives_one_sentence(monkeypatch, answer, said):
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(InputError, match=said):
        fetch_config("owner/name")


def test_what_is_no_hub_id_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    for text in ("name", "../secret/x", "a/b/c", "owner/na me"):
        with pytest.raises(InputError, match="is no hub id"):
            fetch_config(text)
