"""The serving model: counts from published shapes, limits nobody beats, loads that behave, parts that sum."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.errors import DoesNotFit, InputError
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.devices import find_device
from flopwise.estimators.facts.serving import load_serving_rules
from flopwise.estimators.facts.serving_fit import band_of, load_serving_fit
from flopwise.estimators.models.parameters import count_parameters
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.serving.counts import count_model, weight_bytes
from flopwise.estimators.serving.equations import joined, touched_experts
from flopwise.estimators.serving.memory import room_sequences, serving_memory
from flopwise.estimators.serving.money import prompt_share, serving_usd_per_million_tokens
from flopwise.estimators.serving.performance import Replica, Traffic, Tricks
from flopwise.estimators.serving.setup import Setup, levels, parameter_value, slopes
from flopwise.estimators.serving.sizing import Choice, Demand, rank, size
from flopwise.estimators.units import GIB

CHIPS = ("h100-sxm-80gb", "b200-sxm", "a100-sxm-80gb", "mi300x", "l40s", "tpu-v6e", "rtx-4090")
MODELS = ("llama-3.1-8b", "llama-3.3-70b", "gpt-oss-120b", "deepseek-v3", "gemma-3-27b")


@cache
def catalog():
    return load_catalog(use_config_folder=False)


@cache
def setup_of(model="llama-3.1-8b", chip="h100-sxm-80gb", weights="bf16", engine="vllm", tensor=1, copies=1):
    rules = load_serving_rules()
    return Setup(
        shape=resolve_model(model).shape,
        accelerator=find_device(chip, catalog()),
        engine=rules.engines[engine],
        weights=rules.format(weights),
        cache_bits=16.0,
        tensor=tensor,
        attention_copies=copies,
        mode="closed, spread lengths",
    )


def replica_of(setup, prompt=1000.0, output=300.0, **tricks):
    return Replica(setup, load_serving_fit(), Traffic(input_tokens=prompt, output_tokens=output), Tricks(**tricks))


def demand_of(rate=10.0, **changes):
    base = Demand(
        requests_per_s=rate,
        traffic=Traffic(input_tokens=1000.0, output_tokens=300.0),
        tricks=Tricks(),
        token_s=0.05,
        first_s=2.0,
        headroom=0.8,
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("model", "weights", "gib"),
    [
        ("llama-3-8b", "Q4_K_M", 4.58),  # GGUF sizes in XiongjieDai's README
        ("llama-3-70b", "Q4_K_M", 39.60),
        ("llama-3-70b", "Q5_K_M", 46.52),
        ("llama-3-70b", "Q6_K", 53.91),
        ("llama-3-70b", "Q8_0", 69.83),
        ("llama-3-70b", "IQ4_XS", 35.30),
        ("llama-3-70b", "Q2_K", 24.56),
        ("llama-3-70b", "F16", 131.43),
    ],
)
def test_weights_have_the_size_of_published_files(model, weights, gib):
    found = weight_bytes(resolve_model(model).shape, load_serving_rules().format(weights)).total / GIB
    assert found == pytest.approx(gib, rel=0.012)


def test_quantised_checkpoints_keep_embedding_and_head_in_bf16():
    shape, rules = resolve_model("llama-3.1-8b").shape, load_serving_rules()
    sizes = {name: weight_bytes(shape, rules.format(name)).total / 1e9 for name in ("bf16", "fp8", "mxfp8", "nvfp4")}
    # torchao's inference docs: 16.1, 9.1, 9.32, 6.05 GB
    assert sizes == pytest.approx({"bf16": 16.1, "fp8": 9.1, "mxfp8": 9.32, "nvfp4": 6.05}, rel=0.01)


@pytest.mark.parametrize(("model", "bytes_per_token"), [("deepseek-v3", 70_272), ("llama-3.1-405b", 516_096)])
def test_a_token_in_the_cache_has_the_published_size(model, bytes_per_token):
    # arXiv:2505.09343, table 1, bf16
    counts = count_model(resolve_model(model).shape, load_serving_rules().format("bf16"), 16.0)
    assert counts.full_kv_bytes == bytes_per_token


@pytest.mark.parametrize("model", MODELS)
def test_parts_of_the_weights_sum_to_the_parameters(model):
    shape = resolve_model(model).shape
    parts = weight_bytes(shape, load_serving_rules().format("bf16"))
    assert parts.total == pytest.approx(2 * count_parameters(shape).total, rel=1e-3)


def test_windowed_layers_see_no_more_than_their_window():
    counts = count_model(resolve_model("gpt-oss-120b").shape, load_serving_rules().format("mxfp4"), 16.0)
    assert counts.window_tokens == 128
    assert counts.window_kv_bytes == counts.full_kv_bytes


@given(experts=st.integers(2, 512), share=st.floats(0.01, 1), tokens=st.floats(1, 1e5))
def test_a_batch_touches_between_one_tokens_experts_and_all(experts, share, tokens):
    active = max(1.0, experts * share)
    touched = touched_experts(experts, active, tokens)
    assert active * (1 - 1e-6) <= touched <= experts * (1 + 1e-9)


@given(first=st.floats(1e-9, 1e3), second=st.floats(1e-9, 1e3))
def test_joined_limits_are_never_below_either(first, second):
    assert joined(first, second, 3.0) >= max(first, second) * (1 - 1e-9)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("batch", [1, 16, 256])
def test_no_step_beats_the_data_sheet(chip, batch):
    replica = replica_of(setup_of(chip=chip))
    counts, sheet = replica.machine.model, find_device(chip, catalog())
    weights = counts.attention_bytes + counts.dense_bytes + counts.head_bytes
    cache = batch * replica.context * counts.full_kv_bytes
    flops = batch * (counts.attention_flops + counts.dense_flops + counts.head_flops)
    least = max((weights + cache) / sheet.memory_bandwidth_bytes_per_s, flops / sheet.peak_flops_per_s["bf16"])
    assert replica.step_s(batch) > least


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("model", ["llama-3.1-8b", "gpt-oss-120b"])
def test_a_larger_batch_never_lowers_the_rate(chip, model):
    replica = replica_of(setup_of(model=model, chip=chip, weights="bf16" if "8b" in model else "mxfp4"))
    rates = [replica.rate_at(2.0**i) for i in range(11)]
    assert all(after >= before for before, after in pairwise(rates))


@given(batch=st.floats(1, 200), prompt=st.floats(10, 20_000), longer=st.floats(1.01, 4))
def test_longer_prompts_never_come_sooner(batch, prompt, longer):
    short = replica_of(setup_of(), prompt=prompt).at_batch(batch)
    long = replica_of(setup_of(), prompt=prompt * longer).at_batch(batch)
    assert long.first.mean >= short.first.mean
    assert long.token.mean >= short.token.mean


@given(share=st.floats(0.05, 0.95))
def test_percentiles_are_ordered_and_grow_with_the_load(share):
    replica = replica_of(setup_of())
    capacity = replica.capacity(0.05, 2.0)
    light, heavy = (
        replica.at_rate(capacity.requests_per_s * share * 0.5),
        replica.at_rate(capacity.requests_per_s * share),
    )
    for found in (light, heavy):
        assert found.first.p50 <= found.first.p90 <= found.first.p99
        assert found.token.mean <= found.token.p90 <= found.token.p99
    assert light.first.p90 <= heavy.first.p90
    assert light.token.p90 <= heavy.token.p90


def test_littles_law_holds():
    replica = replica_of(setup_of())
    found = replica.at_rate(5.0)
    held = 5.0 * (replica.prefill_s + replica.traffic.output_tokens * found.token.mean)
    assert found.batch == pytest.approx(held, rel=1e-3)


def test_the_capacity_meets_the_targets_and_a_little_more_does_not():
    replica = replica_of(setup_of())
    capacity = replica.capacity(0.02, 2.0)
    assert capacity.token.p90 <= 0.02
    assert replica.at_batch(capacity.batch * 1.05).token.p90 > 0.02


def test_speculation_pays_at_batch_one_and_less_when_full():
    plain, drafted = replica_of(setup_of()), replica_of(setup_of(), draft_tokens=4, acceptance=0.8, draft_share=0.08)
    gain = [plain.step_s(b) / drafted.step_s(b) for b in (1.0, 512.0)]
    assert gain[0] > 1.5
    assert gain[1] < gain[0]


def test_expected_tokens_per_step_follow_the_paper():
    # arXiv:2211.17192, equation 1
    assert Tricks(draft_tokens=4, acceptance=0.8).tokens_per_step == pytest.approx((1 - 0.8**5) / 0.2)


def test_a_cached_prompt_costs_less():
    fit, setup = load_serving_fit(), setup_of()
    whole = Replica(setup, fit, Traffic(input_tokens=4000, output_tokens=300))
    cached = Replica(setup, fit, Traffic(input_tokens=4000, output_tokens=300, cached_share=0.75))
    assert cached.prefill_s < 0.6 * whole.prefill_s


def test_memory_parts_sum_to_what_is_usable():
    memory = serving_memory(setup_of(tensor=2))
    assert memory.weights + memory.reserve + memory.cache + memory.unused == pytest.approx(memory.total)


def test_tensor_parallelism_beyond_the_heads_copies_the_cache():
    two, eight = setup_of(model="qwen2.5-7b", tensor=2), setup_of(model="qwen2.5-7b", tensor=8)
    each = [serving_memory(setup).bytes_per_token for setup in (two, eight)]
    assert each[1] == 2 * each[0]  # four KV heads over eight ranks


def test_latent_attention_shares_the_cache_only_with_data_parallel_attention():
    whole = setup_of(model="deepseek-v3", chip="b200-sxm", weights="fp8", tensor=8)
    spread = setup_of(model="deepseek-v3", chip="b200-sxm", weights="fp8", tensor=8, copies=8)
    assert room_sequences(spread, 4096) > 4 * room_sequences(whole, 4096)


@pytest.mark.parametrize(("model", "weights"), [("llama-3.1-8b", "bf16"), ("llama-3.3-70b", "fp8")])
def test_more_load_never_needs_fewer_chips(model, weights):
    shape, chip = resolve_model(model).shape, catalog().find("h100")
    choice = Choice(weights=load_serving_rules().format(weights))
    counts = [size(shape, chip, demand_of(rate), choice)[0].chips for rate in (1, 5, 20, 100)]
    assert counts == sorted(counts)


def test_a_model_that_fits_nowhere_says_what_would():
    shape, chip = resolve_model("deepseek-v3").shape, catalog().find("rtx-4090")
    with pytest.raises(DoesNotFit, match="narrower weights"):
        size(shape, chip, demand_of(), Choice(weights=load_serving_rules().format("bf16")))


def test_targets_that_no_chip_meets_say_what_an_unloaded_one_needs():
    shape, chip = resolve_model("llama-3.3-70b").shape, catalog().find("a100-sxm-80gb")
    with pytest.raises(InputError, match=r"ms per token"):
        size(shape, chip, demand_of(token_s=0.001), Choice(weights=load_serving_rules().format("bf16")))


def test_every_priced_chip_is_ranked_or_left_out_with_a_reason():
    choice = Choice(weights=load_serving_rules().format("bf16"))
    ranked, left_out = rank(resolve_model("llama-3.1-8b").shape, catalog(), demand_of(), choice)
    named = {each.setup.accelerator.id for each in ranked} | {name for name, _ in left_out}
    assert named == set(catalog().priced)
    bills = [each.usd_per_hour.mid for each in ranked]
    assert bills == sorted(bills)
    assert all(reason for _, reason in left_out)


def test_the_shares_of_prompts_and_answers_are_a_whole():
    replica = replica_of(setup_of())
    assert 0 < prompt_share(replica, 32.0) < 1
    assert prompt_share(replica_of(setup_of(), prompt=8000.0), 32.0) > prompt_share(replica, 32.0)


def test_a_bigger_model_costs_more_per_token():
    costs = [
        serving_usd_per_million_tokens(resolve_model(model).shape, catalog(), accelerator_id="h100-sxm-80gb")
        for model in ("llama-3.2-1b", "llama-3.1-8b", "llama-3.3-70b")
    ]
    assert [cost.mid for cost in costs] == sorted(cost.mid for cost in costs)
    assert all(cost.low < cost.mid < cost.high for cost in costs)


def test_an_unknown_engine_is_the_mean_of_the_fit():
    setup = replace_engine_level("never heard of")
    assert math.isfinite(replica_of(setup).step_s(8.0))


def replace_engine_level(level):
    base = setup_of()
    return Setup(
        shape=base.shape,
        accelerator=base.accelerator,
        engine=base.engine,
        weights=base.weights,
        cache_bits=base.cache_bits,
        level=level,
        mode=base.mode,
    )


def test_every_level_of_the_fit_is_one_that_a_setup_has():
    fit = load_serving_fit()
    used = {level for parameter in fit.parameters.values() for level in parameter.offsets}
    assert used <= set(levels(setup_of())) | {"suite"}
    assert {number for parameter in fit.parameters.values() for number in parameter.slopes} <= set(slopes(setup_of()))


def test_slopes_hold_outside_the_measured_range():
    fit = load_serving_fit()
    low, high = fit.ranges["bandwidth"]
    keys = levels(setup_of())

    def weight_bandwidth(number):
        return parameter_value(fit, "weight_bandwidth", keys, {"bandwidth": number})

    assert weight_bandwidth(high + 5) == weight_bandwidth(high) != weight_bandwidth(low) == weight_bandwidth(low - 5)


def test_tunes_of_one_model_share_an_architecture_and_other_models_do_not():
    keys = [setup_of(model=name).architecture_key for name in ("llama-3.1-8b", "llama-3-8b", "qwen2.5-7b")]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("kind", ["speed", "first token", "prompt rate"])
def test_what_was_not_measured_has_a_wider_band(kind):
    fit, known = load_serving_fit(), setup_of().architecture_key
    seen = band_of(fit, kind, "h100-sxm-80gb", known)
    assert seen == fit.bands[kind] == band_of(fit, kind, "h100-sxm-80gb")
    for chip, model in (("a new chip", known), ("h100-sxm-80gb", "a new model"), ("a new chip", "a new model")):
        band = band_of(fit, kind, chip, model)
        assert band.high / band.low > seen.high / seen.low
    assert band.low == min(fit.bands[f"{kind}, new chip"].low, fit.bands[f"{kind}, new model"].low)
