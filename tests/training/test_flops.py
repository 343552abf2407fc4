"""FLOPs of a step against published figures and hand derivations, under both attention conventions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.models import load_preset
from flopwise.estimators.models.cards import DecoderCard
from flopwise.estimators.models.parameters import count_parameters
from flopwise.estimators.training.flops import StepFlops, step_flops
from flopwise.estimators.training.layout import Adapter, Recompute


def per_token(name: str, sequence: int) -> tuple[float, float]:
    """Model FLOPs of training on one token: causal, full."""
    model = step_flops(load_preset(name).shape, sequence_tokens=sequence).model
    return model.causal / sequence, model.full / sequence


def test_gpt3_175b_takes_the_published_3_14e23_for_its_300_billion_tokens():
    # arXiv:2005.14165, table D.1 counts 6 FLOPs per parameter and token and no attention
    matrices = count_parameters(load_preset("gpt3-175b").shape).active_matmul
    assert 6 * matrices * 300e9 == pytest.approx(3.14e23, rel=0.01)
    # with attention: 6 (12 L h^2 + V h) + 12 L h s, halved where masked pairs are skipped
    weights, attention = 6 * (12 * 96 * 12_288**2 + 50_257 * 12_288), 12 * 96 * 12_288 * 2048
    causal, full = per_token("gpt3-175b", 2048)
    assert full == pytest.approx(weights + attention, rel=1e-9)
    assert causal == pytest.approx(weights + attention / 2, rel=1e-4)
    assert (full * 300e9, causal * 300e9) == pytest.approx((3.23e23, 3.19e23), rel=0.002)


def test_full_recomputation_gives_the_formula_of_megatron():
    # arXiv:2104.04473, equation 3: 96 B s l h^2 (1 + s / 6h + V / 16 l h), four passes of the layers, three of the head
    batch, s, layers, h, vocab = 8, 2048, 96, 12_288, 50_257
    shape = load_preset("gpt3-175b").shape
    step = step_flops(shape, sequence_tokens=s, sequences=batch, recompute=Recompute.FULL)
    hardware = 96 * batch * s * layers * h**2 * (1 + s / (6 * h) + vocab / (16 * layers * h))
    model = 72 * batch * s * layers * h**2 * (1 + s / (6 * h) + vocab / (12 * layers * h))
    assert step.hardware.full == pytest.approx(hardware, rel=1e-12)
    assert step.model.full == pytest.approx(model, rel=1e-12)


def test_selective_recomputation_adds_one_pass_of_the_core_attention():
    shape, s = load_preset("gpt3-175b").shape, 2048
    step = step_flops(shape, sequence_tokens=s, recompute=Recompute.SELECTIVE)
    assert step.recompute.full == 4 * 96 * 12_288 * s * s
    assert step.model == step_flops(shape, sequence_tokens=s).model


def test_llama_3_8b_agrees_with_a_count_by_hand():
    # a layer: q and o 4096 x 4096, k and v 4096 x 1024, three matrices 4096 x 14336; head 4096 x 128256
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14_336
    weights = 6 * (32 * layer + 4096 * 128_256)  # 45.0 GFLOP
    attention = 12 * 32 * 4096 * 8192  # 12.9 GFLOP
    assert (weights, attention) == pytest.approx((45.03e9, 12.88e9), rel=0.001)
    assert per_token("llama-3-8b", 8192) == pytest.approx((weights + attention / 2, weights + attention), rel=1e-4)


def test_llama_3_70b_agrees_with_a_count_by_hand():
    layer = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28_672
    weights = 6 * (80 * layer + 8192 * 128_256)  # 417 GFLOP
    attention = 12 * 80 * 8192 * 8192  # 64.4 GFLOP
    assert (weights, attention) == pytest.approx((417.0e9, 64.4e9), rel=0.001)
    assert per_token("llama-3-70b", 8192) == pytest.approx((weights + attention / 2, weights + attention), rel=1e-4)


def test_llama_3_405b_takes_the_published_3_8e25():
    # arXiv:2407.21783, section 3.2: 3.8e25 FLOPs for 15.6T tokens, without attention
    matrices = count_parameters(load_preset("llama-3.1-405b").shape).active_matmul
    assert 6 * matrices * 15.6e12 == pytest.approx(3.8e25, rel=0.01)


def test_mixtral_8x7b_agrees_with_a_count_by_hand():
    # two of eight experts of three matrices 4096 x 14336, a router of 4096 x 8
    attention_weights = 2 * 4096 * 4096 + 2 * 4096 * 1024
    layer = attention_weights + 2 * 3 * 4096 * 14_336 + 4096 * 8
    weights = 6 * (32 * layer + 4096 * 32_000)
    attention = 12 * 32 * 4096 * 4096
    assert (weights, attention) == pytest.approx((76.5e9, 6.44e9), rel=0.001)
    assert per_token("mixtral-8x7b", 4096) == pytest.approx((weights + attention / 2, weights + attention), rel=1e-4)


def test_deepseek_v3_agrees_with_the_published_250_gflop_per_token():
    # arXiv:2505.09343, table 2, for sequences of 4096 tokens
    causal, full = per_token("deepseek-v3", 4096)
    assert causal == pytest.approx(250e9, rel=0.01)
    # by hand: latent attention, 3 dense layers, 58 layers with 8 routed and 1 shared expert and a router, the head
    latent = 7168 * 1536 + 1536 * 128 * 192 + 7168 * (512 + 64) + 512 * 128 * (128 + 128) + 128 * 128 * 7168
    sparse = 9 * 3 * 7168 * 2048 + 7168 * 256
    weights = 6 * (61 * latent + 3 * 3 * 7168 * 18_432 + 58 * sparse + 7168 * 129_280)
    attention = 6 * 61 * 128 * (192 + 128) * 4096
    assert (causal, full) == pytest.approx((weights + attention / 2, weights + attention), rel=1e-4)


def test_deepseek_v2_agrees_with_the_published_155_gflop_per_token():
    # the same table
    assert per_token("deepseek-v2", 4096)[0] == pytest.approx(155e9, rel=0.01)


def test_palm_agrees_with_its_formula():
    # arXiv:2204.02311, appendix B: 6 N + 12 L H Q T
    layers, heads, head_dim, tokens = 118, 48, 256, 2048
    palm = DecoderCard(
        layers=layers,
        hidden=18_432,
        heads=heads,
        kv_heads=1,
        head_dim=head_dim,
        ffn=4 * 18_432,
        vocab=256_000,
        tied=True,
        norms_per_layer=1,
        parallel=True,
    ).shape("palm")
    formula = 6 * count_parameters(palm).total + 12 * layers * heads * head_dim * tokens
    step = step_flops(palm, sequence_tokens=tokens)
    assert step.model.full / tokens == pytest.approx(formula, rel=1e-4)


@pytest.mark.parametrize(("name", "tokens", "gmac"), [("dit-xl-2", 256, 118.64), ("vit-b16", 197, 17.56)])
def test_image_models_agree_with_their_published_multiply_adds(name, tokens, gmac):
    # DiT: arXiv:2212.09748, table 1, XL/2; ViT-B/16: torchvision's model table. Both print multiply-adds.
    forward = step_flops(load_preset(name).shape, sequence_tokens=tokens).forward
    assert forward.full / 2 == pytest.approx(gmac * 1e9, rel=0.01)


def test_a_window_lowers_causal_flops_and_not_the_full_convention():
    wide = DecoderCard(layers=2, hidden=64, heads=2, ffn=128, vocab=100)
    narrow = DecoderCard(layers=2, hidden=64, heads=2, ffn=128, vocab=100, window=16)
    one, two = (step_flops(card.shape("x"), sequence_tokens=256).forward for card in (wide, narrow))
    assert two.causal < one.causal
    assert two.full == one.full


def test_flash_attention_computes_the_scores_once_more_in_its_backward_pass():
    shape, s = load_preset("llama-3-8b").shape, 8192
    flash = step_flops(shape, sequence_tokens=s)
    plain = step_flops(shape, sequence_tokens=s, flash_attention=False)
    attention = 4 * 32 * 4096 * s * s
    assert flash.executed.full - flash.model.full == attention / 2
    assert plain.executed == plain.hardware == plain.model == flash.model


def test_lora_drops_the_weight_gradients_of_frozen_matrices():
    shape, s = load_preset("llama-3-8b").shape, 2048
    whole = step_flops(shape, sequence_tokens=s)
    lora = step_flops(shape, sequence_tokens=s, adapter=Adapter(rank=16))
    weights = 2 * count_parameters(shape).active_matmul * s
    attention = whole.forward.causal - weights
    trained = 32 * 16 * (3 * 4096 + 6144 + 4096 + 4096 + 2 * 4096 + 28_672 + 14_336 + 4096)
    assert lora.forward.causal == pytest.approx(weights + attention + 2 * trained * s, rel=1e-12)
    assert lora.backward.causal == pytest.approx(weights + 2 * attention + 4 * trained * s, rel=1e-12)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (Adapter(rank=8, targets=("atention",)), "adapter target 'atention' is not known"),
        (Adapter(rank=0), "rank of at least 1"),
        (Adapter(rank=8, targets=()), "no matrices"),
    ],
)
def test_an_adapter_without_effect_is_refused(adapter, said):
    with pytest.raises(InputError, match=said):
        step_flops(load_preset("llama-3-8b").shape, sequence_tokens=10, adapter=adapter)


@st.composite
def steps(pick) -> StepFlops:
    kv = pick(st.integers(1, 3))
    experts = pick(st.sampled_from([0, 2, 5]))
    card = DecoderCard(
        layers=pick(st.integers(1, 5)),
        hidden=16 * pick(st.integers(1, 6)),
        heads=kv * pick(st.integers(1, 3)),
        kv_heads=kv,
        head_dim=16,
        ffn=pick(st.integers(1, 99)),
        vocab=pick(st.integers(1, 99)),
        tied=pick(st.booleans()),
        window=pick(st.one_of(st.none(), st.integers(1, 20))),
        experts=experts,
        active_experts=min(experts, 2),
        expert_ffn=33 if experts else 0,
        experts_every=pick(st.integers(1, 2)),
    )
    return step_flops(
        card.shape("any"),
        sequence_tokens=pick(st.integers(1, 70)),
        sequences=pick(st.integers(1, 9)),
        recompute=pick(st.sampled_from(Recompute)),
        adapter=pick(st.sampled_from([None, Adapter(rank=4), Adapter(rank=2, targets=("attention", "head"))])),
        flash_attention=pick(st.booleans()),
    )


@given(steps())
@settings(max_examples=150, deadline=None)
def test_parts_sum_to_totals_exactly(step):
    for convention in ("causal", "full"):

        def total(part: str, convention: str = convention) -> float:
            return getattr(getattr(step, part), convention)

        for part in ("forward", "backward", "recompute", "kernel_recompute"):
            assert total(part) == sum(getattr(getattr(group, part), convention) for group in step.groups)
        assert total("model") == total("forward") + total("backward")
        assert total("hardware") == total("model") + total("recompute")
        assert total("executed") == total("hardware") + total("kernel_recompute")
    assert 0 < step.forward.causal <= step.forward.full
    assert step.recompute.full <= step.forward.full


@given(st.integers(1, 40), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_flops_are_proportional_to_the_number_of_sequences(tokens, sequences):
    shape = DecoderCard(layers=3, hidden=32, heads=2, vocab=64, experts=4, active_experts=2, expert_ffn=24).shape("x")
    one, many = (step_flops(shape, sequence_tokens=tokens, sequences=n).model for n in (1, sequences))
    assert many.causal == pytest.approx(sequences * one.causal)
    assert many.full == pytest.approx(sequences * one.full)
