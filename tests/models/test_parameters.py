"""Parameter counts are those of the released checkpoints, and come from the operators alone."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.facts.models import CountKind, load_preset, preset_names
from flopwise.estimators.models.cards import DecoderCard
from flopwise.estimators.models.expansion import expand, expand_decode, owned_operators
from flopwise.estimators.models.operators import Group
from flopwise.estimators.models.parameters import adapter_parameters, count_parameters


def total(name: str) -> int:
    return count_parameters(load_preset(name).shape).total


def test_gpt3_175b_has_the_published_parameter_count():
    assert total("gpt3-175b") == pytest.approx(174.6e9, rel=1e-3)
    # 96 layers of 12 h^2 + 13 h (weights, biases, norms), two tables of h, a final norm of 2 h
    h, vocab, positions = 12_288, 50_257, 2_048
    assert total("gpt3-175b") == 96 * (12 * h * h + 13 * h) + (vocab + positions) * h + 2 * h


def test_llama_3_8b_has_the_published_parameter_count():
    assert total("llama-3-8b") == 8_030_261_248


def test_deepseek_v3_has_671_billion_parameters_of_which_37_are_active():
    count = count_parameters(load_preset("deepseek-v3").shape)
    assert count.total == 671_026_419_200
    assert count.active == pytest.approx(37e9, rel=0.02)


def test_mixtral_8x7b_uses_12_9_billion_parameters_per_token():
    assert count_parameters(load_preset("mixtral-8x7b").shape).active == pytest.approx(12.9e9, rel=0.002)


def test_gpt_oss_publishes_active_parameters_without_the_input_embedding():
    count = count_parameters(load_preset("gpt-oss-20b").shape)
    assert count.active_without_embedding == pytest.approx(3.6e9, rel=0.005)


def test_nemotron_3_nano_uses_3_5_of_31_6_billion_parameters_in_layers_of_one_block_each():
    shape = load_preset("nemotron-3-nano-30b").shape
    count = count_parameters(shape)
    # the class of transformers 5.24.0, built without weights, and 23 balancing biases of 128
    assert count.total == 31_577_937_344 + 23 * 128
    assert count.active == pytest.approx(3.5e9, rel=0.03)
    for _, layer in shape.stacks[0].runs:
        blocks = (layer.attention, layer.state_space, layer.feed_forward, layer.mixture)
        assert sum(block is not None for block in blocks) == 1


@pytest.mark.parametrize(
    ("name", "held", "biases"),
    [
        ("mistral-small-3-24b", 23_572_403_200, 0),
        ("mistral-small-4-119b", 118_972_826_624, 0),
        ("ministral-3-3b", 3_429_006_336, 0),
        ("ministral-3-8b", 8_489_553_920, 0),
        ("ministral-3-14b", 13_506_073_600, 0),
        ("glm-4.7", 352_797_814_784, 89 * 160),
        ("glm-4.7-flash", 29_943_390_976, 46 * 64),
        ("minimax-m2", 228_689_748_992, 62 * 256),
        ("hy3", 295_033_528_320, 79 * 192),
        ("olmo-3-7b", 7_298_011_136, 0),
        ("olmo-3-32b", 32_233_522_176, 0),
        ("seed-oss-36b", 36_151_104_512, 0),
    ],
)
def test_models_with_a_rounded_published_count_hold_what_their_class_holds(name, held, biases):
    # transformers 5.24.0 built without weights; the stored balancing biases stand beside its parameters
    assert total(name) == held + biases


def test_palm_540b_has_the_published_parameter_count():
    # arXiv:2204.02311, table 1: 118 layers, 48 heads, 18432, 540.35B; multi-query, SwiGLU of 4 x width, shared tables
    palm = DecoderCard(
        layers=118,
        hidden=18_432,
        heads=48,
        kv_heads=1,
        head_dim=256,
        ffn=4 * 18_432,
        vocab=256_000,
        tied=True,
        norm="layernorm-no-bias",
        norms_per_layer=1,
        parallel=True,
    )
    assert count_parameters(palm.shape("palm")).total == pytest.approx(540.35e9, rel=1e-4)


@pytest.mark.parametrize("name", preset_names())
def test_every_published_count_is_matched_or_the_difference_explained(name):
    preset = load_preset(name)
    difference = count_parameters(preset.shape).total / preset.published.params - 1
    if preset.published.how is CountKind.EXACT:
        assert difference == 0
    elif abs(difference) > 0.005:
        assert len(preset.published.explanation) > 20
    else:
        assert not preset.published.explanation, "a rounded figure that is met needs no explanation"


def test_there_are_171_presets_of_which_115_have_an_exact_count():
    kinds = [load_preset(name).published.how for name in preset_names()]
    assert (len(kinds), kinds.count(CountKind.EXACT)) == (171, 115)


def test_both_definitions_of_active_parameters_agree_with_the_shared_table(shared_data):
    with (shared_data / "catalog" / "models.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["computed_active_all"]]
    assert len(rows) > 15
    for row in rows:
        count = count_parameters(load_preset(row["name"]).shape)
        assert count.active == int(row["computed_active_all"]), row["name"]
        assert count.active_without_embedding == int(row["computed_active_less_input_embedding"]), row["name"]


def cards() -> st.SearchStrategy[DecoderCard]:
    """Decoders of all kinds: grouped or latent attention, dense or with experts, tied or not, with or without biases."""

    @st.composite
    def draw(pick) -> DecoderCard:
        kv_heads, group, head_dim = pick(st.integers(1, 4)), pick(st.integers(1, 4)), 8 * pick(st.integers(1, 4))
        heads = kv_heads * group
        mixture = pick(st.booleans())
        experts = pick(st.integers(2, 8)) if mixture else 0
        latent = pick(st.booleans())
        return DecoderCard(
            layers=pick(st.integers(1, 6)),
            hidden=16 * pick(st.integers(1, 8)),
            vocab=pick(st.integers(1, 300)),
            heads=heads,
            kv_heads=heads if latent else kv_heads,
            head_dim=head_dim,
            value_dim=8 * pick(st.integers(1, 4)) if latent else None,
            ffn=pick(st.integers(1, 64)),
            gated=pick(st.booleans()),
            tied=pick(st.booleans()),
            norm=pick(st.sampled_from(["rmsnorm", "layernorm", "layernorm-no-bias", "no-parameters"])),
            qkv_bias=pick(st.booleans()) and not latent,
            out_bias=pick(st.booleans()),
            mlp_bias=pick(st.booleans()),
            head_bias=pick(st.booleans()),
            qk_norm="" if latent else pick(st.sampled_from(["", "head", "full"])),
            sinks=pick(st.booleans()) and not latent,
            window=pick(st.one_of(st.none(), st.integers(1, 40))),
            full_attention_every=pick(st.integers(0, 3)),
            experts=experts,
            active_experts=pick(st.integers(1, experts)) if mixture else 0,
            expert_ffn=pick(st.integers(1, 32)) if mixture else 0,
            shared_ffn=pick(st.integers(0, 32)) if mixture else 0,
            dense_first=pick(st.integers(0, 2)) if mixture else 0,
            experts_every=pick(st.integers(1, 2)) if mixture else 1,
            score_bias=mixture and pick(st.booleans()),
            q_rank=pick(st.integers(0, 1)) * 24 if latent else 0,
            kv_rank=32 if latent else 0,
            rope_dim=4 if latent else 0,
        )

    return draw()


def by_hand(c: DecoderCard) -> int:
    """Count a decoder layer by layer, straight from the formulas of the papers."""
    h, d, heads, kv = c.hidden, c.head_dim or 0, c.heads, c.kv_heads or c.heads
    v = c.value_dim or d
    vectors = {"rmsnorm": 1, "layernorm": 2, "layernorm-no-bias": 1, "no-parameters": 0}[c.norm]
    if c.kv_rank:
        query = h * c.q_rank + c.q_rank + c.q_rank * heads * d if c.q_rank else h * heads * d
        keys = h * (c.kv_rank + c.rope_dim) + c.kv_rank + c.kv_rank * heads * (d - c.rope_dim + v)
        attention = query + keys
    else:
        width = heads * d + kv * (d + v)
        attention = h * width + c.qkv_bias * width
        attention += {"": 0, "head": 2 * d, "full": (heads + kv) * d}[c.qk_norm] + c.sinks * heads
    attention += heads * v * h + c.out_bias * h
    up = 2 if c.gated else 1
    dense = (up + 1) * h * c.ffn + c.mlp_bias * (up * c.ffn + h)
    experts = c.experts * (up + 1) * h * c.expert_ffn + (up + 1) * h * c.shared_ffn
    experts += h * c.experts + c.score_bias * c.experts
    total = c.vocab * h * (1 if c.tied else 2) + c.head_bias * c.vocab + vectors * h
    for number in range(1, c.layers + 1):
        sparse = c.experts and number > c.dense_first and number % c.experts_every == 0
        total += attention + 2 * vectors * h + (experts if sparse else dense)
    return total


@given(cards())
@settings(max_examples=200, deadline=None)
def test_any_decoder_counts_what_the_formulas_say(card):
    count = count_parameters(card.shape("any"))
    assert count.total == by_hand(card)
    assert count.total == sum(count.by_group.values())
    assert 0 < count.active <= count.total
    if not card.experts:
        assert count.active == count.total


@given(cards(), st.integers(1, 50), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_training_prefill_and_decoding_run_on_the_same_weights(card, tokens, sequences):
    shape = card.shape("any")
    owned = sum(op.weight_params * op.repeats for op in owned_operators(shape))
    for operators in (
        expand(shape, sequence_tokens=tokens, sequences=sequences),
        expand_decode(shape, context_tokens=tokens, sequences=sequences),
    ):
        assert sum(op.weight_params * op.repeats for op in operators) == owned


def test_a_tied_head_adds_nothing_and_still_multiplies():
    untied = DecoderCard(layers=2, hidden=64, heads=2, ffn=128, vocab=1000)
    tied = DecoderCard(layers=2, hidden=64, heads=2, ffn=128, vocab=1000, tied=True)
    with_head, without = count_parameters(untied.shape("a")), count_parameters(tied.shape("b"))
    assert with_head.total - without.total == 64_000
    assert Group.HEAD not in without.by_group
    assert with_head.active_matmul == without.active_matmul


def test_lora_on_llama_2_7b_attention_of_rank_8_trains_16_8_million_parameters():
    # q, k, v and o are 4096 x 4096 in 32 layers: 4 x 32 x 8 x (4096 + 4096)
    shape = load_preset("llama-2-7b").shape
    assert adapter_parameters(shape, 8, ("attention",)) == 4 * 32 * 8 * 8192
    # gate and up 4096 x 11008, down 11008 x 4096
    assert adapter_parameters(shape, 8, ("mlp",)) == 3 * 32 * 8 * (4096 + 11_008)
    assert adapter_parameters(shape, 8, ("all",)) == adapter_parameters(shape, 8, ("attention", "mlp"))
