"""What the operators say about pairs, kept activations, decoding and caches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.models.attention import kept_pairs
from flopwise.estimators.models.cards import DecoderCard
from flopwise.estimators.models.expansion import expand, expand_decode, expand_prefill
from flopwise.estimators.models.kv_cache import kv_cache_bytes
from flopwise.estimators.models.operators import Cut, Operator, OperatorKind
from flopwise.estimators.models.shape import AttentionShape


def attention(window: int | None, block: bool = False, causal: bool = True) -> AttentionShape:
    return AttentionShape(
        heads=1, kv_heads=1, head_dim=8, value_dim=8, causal=causal, window_tokens=window, window_is_block=block
    )


@given(st.integers(1, 60), st.integers(0, 60), st.one_of(st.none(), st.integers(1, 30)), st.booleans())
def test_kept_pairs_are_those_that_a_written_out_mask_keeps(queries, cached, window, block):
    def sees(query: int, key: int) -> bool:
        if key > query:
            return False
        if window is None:
            return True
        return query // window == key // window if block else query - key < window

    mask = [sees(query, key) for query in range(cached, cached + queries) for key in range(cached + queries)]
    assert kept_pairs(queries, cached, attention(window, block and window is not None)) == sum(mask)


def test_an_encoder_keeps_every_pair():
    assert kept_pairs(7, 0, attention(None, causal=False)) == 49


GPT = {"gated": False, "norm": "layernorm", "qkv_bias": True, "out_bias": True, "mlp_bias": True}


def gpt_layer(s: int, b: int, h: int, heads: int) -> list[Operator]:
    card = DecoderCard(layers=1, hidden=h, heads=heads, ffn=4 * h, vocab=100, position="learned", **GPT)
    return [op for op in expand(card.shape("gpt"), sequence_tokens=s, sequences=b, dropout=True) if op.run == 0]


def test_a_gpt_layer_keeps_sbh_times_34_plus_5_a_s_over_h_bytes():
    # arXiv:2205.05198, equation 1
    s, b, h, a = 2048, 4, 6144, 64
    kept = sum(op.saved_bytes(2, flash_attention=False) for op in gpt_layer(s, b, h, a))
    assert kept == pytest.approx(s * b * h * (34 + 5 * a * s / h), rel=1e-12)


def test_tensor_parallelism_divides_24_of_the_34_and_the_scores():
    # equation 2: sbh (10 + 24 / t + 5 a s / (h t)); with sequence parallelism, equation 4, all of it is divided
    s, b, h, a, t = 2048, 4, 6144, 64, 8
    layer = gpt_layer(s, b, h, a)
    kept = sum(op.saved_bytes(2, flash_attention=False) / (t if op.saved_is_divided else 1) for op in layer)
    assert kept == pytest.approx(s * b * h * (10 + 24 / t + 5 * a * s / (h * t)), rel=1e-12)
    assert all(op.saved_is_divided or op.cut in (Cut.COLUMN, Cut.SEQUENCE) for op in layer if op.saved_bytes(2))


def test_flash_attention_keeps_row_statistics_instead_of_scores():
    s, b, h, a = 2048, 4, 6144, 64
    layer = gpt_layer(s, b, h, a)
    flash = sum(op.saved_bytes(2) for op in layer)
    assert flash == 34 * s * b * h + 4 * s * b * a


def test_a_llama_layer_keeps_norm_inputs_projections_and_three_feed_forward_tensors():
    s, shape = 4096, load_preset("llama-3-8b").shape
    layer = [op for op in expand(shape, sequence_tokens=s) if op.run == 0]
    h, kv, f = 4096, 1024, 14_336
    # two norm inputs, inputs of qkv and up, q, k, v, input of out; gate, up and their product
    values = 2 * h + 2 * h + (h + 2 * kv) + h + 3 * f
    assert sum(op.saved_bytes(2) for op in layer) == 2 * s * values + 4 * s * 32
    # eager chains keep two more copies per norm and the activated gate
    eager = sum(op.saved_bytes(2, fused=False) for op in layer)
    assert eager == 2 * s * (values + 4 * h + f) + 4 * s * 32


@given(st.integers(1, 24), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 10)))
@settings(max_examples=60, deadline=None)
def test_decoding_a_sequence_token_by_token_is_the_work_of_one_pass_over_it(tokens, sequences, window):
    card = DecoderCard(layers=2, hidden=32, heads=4, kv_heads=2, ffn=48, vocab=50, window=window)
    shape = card.shape("any")
    steps = sum(
        op.forward_flops
        for context in range(1, tokens + 1)
        for op in expand_decode(shape, context_tokens=context, sequences=sequences)
    )
    whole = sum(op.forward_flops for op in expand(shape, sequence_tokens=tokens, sequences=sequences))
    assert steps == pytest.approx(whole, rel=1e-12)


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_a_prompt_in_two_chunks_is_the_work_of_one_but_for_a_second_head(first, second):
    shape = DecoderCard(layers=2, hidden=32, heads=4, ffn=48, vocab=50, window=7, full_attention_every=2).shape("any")

    def flops(new: int, cached: int) -> float:
        operators = expand_prefill(shape, prompt_tokens=new, cached_tokens=cached)
        return sum(op.forward_flops for op in operators if op.name != "decoder.head")

    assert flops(first, 0) + flops(second, first) == pytest.approx(flops(first + second, 0), rel=1e-12)


def test_absorbed_latent_attention_reads_one_latent_for_all_heads():
    shape = load_preset("deepseek-v3").shape
    step = expand_decode(shape, context_tokens=4096, sequences=3)
    cores = [op for op in step if op.kind is OperatorKind.ATTENTION]
    read = sum(op.cache_values * op.repeats for op in cores)
    assert read == 61 * 3 * 4096 * (512 + 64)
    assert {(op.heads, op.kv_heads, op.head_dim, op.value_dim) for op in cores} == {(128, 1, 576, 512)}


def test_a_window_bounds_what_a_decode_step_reads():
    shape = load_preset("gemma-3-27b").shape
    step = expand_decode(shape, context_tokens=100_000, sequences=1)
    read = sum(op.cache_values * op.repeats for op in step)
    assert read == (52 * 1024 + 10 * 100_000) * 16 * 2 * 128
    assert kv_cache_bytes(shape, 100_000) == 2 * read


def test_few_tokens_read_few_experts():
    shape = load_preset("deepseek-v3").shape

    def experts_read(sequences: int) -> float:
        step = expand_decode(shape, context_tokens=10, sequences=sequences)
        return sum(op.weights_read for op in step if op.name.startswith("decoder.experts."))

    one, many = experts_read(1), experts_read(100_000)
    every = 58 * 256 * 3 * 7168 * 2048
    assert one == pytest.approx(every * 8 / 256)
    assert many == pytest.approx(every)
    assert experts_read(64) == pytest.approx(every * (1 - (1 - 8 / 256) ** 64))


def test_one_decode_step_of_a_dense_model_reads_every_weight_but_the_unused_embedding_rows():
    shape = load_preset("llama-3-8b").shape
    read = sum(op.weights_read for op in expand_decode(shape, context_tokens=10, sequences=1))
    assert read == 8_030_261_248 - 128_256 * 4096 + 4096


@pytest.mark.parametrize(
    ("name", "kilobytes"), [("deepseek-v3", 70.272), ("qwen2.5-72b", 327.680), ("llama-3.1-405b", 516.096)]
)
def test_the_cache_per_token_is_that_of_the_deepseek_paper(name, kilobytes):
    # arXiv:2505.09343, table 1, bf16
    shape = load_preset(name).shape
    assert kv_cache_bytes(shape, 1) == kilobytes * 1000
    assert kv_cache_bytes(shape, 500, 7, 8) == pytest.approx(500 * 7 * kilobytes * 500)


def test_a_state_space_model_keeps_a_state_that_does_not_grow():
    shape = load_preset("mamba-2.8b").shape
    assert kv_cache_bytes(shape, 10) == kv_cache_bytes(shape, 100_000) == 64 * 5120 * (16 + 3) * 4


def test_whisper_reads_1500_audio_tokens_whatever_the_text():
    operators = expand(load_preset("whisper-tiny").shape, sequence_tokens=100)
    encoder = [op for op in operators if op.name == "encoder.attention.qkv"]
    assert [op.rows for op in encoder] == [1500]
    assert {op.rows for op in operators if op.name == "decoder.attention.qkv"} == {100}
    assert {op.keys for op in operators if op.name == "decoder.cross_attention.core"} == {1500}


def test_decoding_with_an_encoder_runs_the_decoder_alone():
    step = expand_decode(load_preset("t5-base").shape, context_tokens=1, source_tokens=512)
    assert {op.stack for op in step} == {"decoder"}
    cross = [op for op in step if op.name == "decoder.cross_attention.core"]
    assert [(op.rows, op.keys, op.cache_values) for op in cross] == [(1, 512, 512 * 2 * 768)]
    assert sum(op.forward_flops for op in step if op.name == "decoder.cross_attention.kv") == 0


def test_a_model_that_can_only_be_counted_refuses_flops():
    with pytest.raises(InputError, match="can be counted"):
        expand(load_preset("sdxl-unet").shape, sequence_tokens=10)


def test_a_model_that_does_not_generate_refuses_to_be_served():
    with pytest.raises(InputError, match="does not generate"):
        expand_decode(load_preset("bert-base").shape, context_tokens=10)
