"""Weights, gradients and optimizer states against the published arithmetic."""

from __future__ import annotations

import pytest

from flopwise.estimators.facts.memory import load_memory_facts
from flopwise.estimators.memory.states import RankParameters, StateBytes, shard_ranks, state_bytes
from flopwise.estimators.training.layout import (
    Adapter,
    Layout,
    Offload,
    Optimizer,
    Precision,
    Recipe,
    Zero,
)

BILLION = 1e9
PROFILES = load_memory_facts().profiles


def total(states: StateBytes) -> float:
    return states.weights + states.gradients + states.master_weights + states.moments


@pytest.mark.parametrize(
    ("stage", "published_gb"),
    [(Zero.NONE, 120.0), (Zero.OPTIMIZER, 31.4), (Zero.GRADIENTS, 16.6), (Zero.PARAMETERS, 1.88)],
)
def test_zero_on_7_5b_and_64_gpus_takes_the_bytes_of_figure_1(stage: Zero, published_gb: float) -> None:
    # arXiv:1910.02054, figure 1: mixed precision Adam, K = 12
    layout = Layout(accelerators=64, zero=stage)
    states = state_bytes(RankParameters(dense=7.5 * BILLION), layout, Recipe(), PROFILES["hf-deepspeed"])
    assert total(states) / 1e9 == pytest.approx(published_gb, rel=0.01)


def test_megatron_keeps_18_bytes_a_parameter() -> None:
    states = state_bytes(RankParameters(dense=BILLION), Layout(accelerators=8, tp=8), Recipe(), PROFILES["megatron"])
    assert total(states) == 18 * BILLION


def test_megatrons_distributed_optimizer_keeps_6_and_12_over_dp() -> None:
    layout = Layout(accelerators=16, zero=Zero.OPTIMIZER)
    states = state_bytes(RankParameters(dense=BILLION), layout, Recipe(), PROFILES["megatron"])
    assert total(states) == pytest.approx((6 + 12 / 16) * BILLION)


def test_fsdp_shards_fp32_weights_gradients_and_moments() -> None:
    layout = Layout(accelerators=8, zero=Zero.PARAMETERS)
    states = state_bytes(RankParameters(dense=8 * BILLION), layout, Recipe(), PROFILES["fsdp"])
    assert total(states) == pytest.approx(16 * BILLION)
    assert states.master_weights == 0


@pytest.mark.parametrize(
    ("optimizer", "bytes_per_parameter"),
    [
        (Optimizer.ADAMW, 8.0),
        (Optimizer.LION, 4.0),
        (Optimizer.SGD, 4.0),
        (Optimizer.MUON, 4.0),
        (Optimizer.ADAMW_8BIT, 2.0),
        (Optimizer.ADAFACTOR, 0.0),
    ],
)
def test_optimizers_keep_the_states_of_their_papers(optimizer: Optimizer, bytes_per_parameter: float) -> None:
    recipe = Recipe(optimizer=optimizer)
    states = state_bytes(RankParameters(dense=BILLION), Layout(accelerators=1), recipe, PROFILES["megatron"])
    assert states.moments / BILLION == pytest.approx(bytes_per_parameter, abs=0.05)


def test_pure_bf16_halves_adam() -> None:
    recipe = Recipe(fp32_weights=False)
    states = state_bytes(RankParameters(dense=BILLION), Layout(accelerators=1), recipe, PROFILES["megatron"])
    assert total(states) == 8 * BILLION


def test_fp32_training_keeps_16_bytes() -> None:
    recipe = Recipe(precision=Precision.FP32)
    states = state_bytes(RankParameters(dense=BILLION), Layout(accelerators=1), recipe, PROFILES["fsdp"])
    assert total(states) == 16 * BILLION


@pytest.mark.parametrize(("bits", "bytes_each"), [(16.0, 2.0), (8.0, 1.0), (4.25, 4.25 / 8)])
def test_a_frozen_base_keeps_its_bits_and_nothing_else(bits: float, bytes_each: float) -> None:
    recipe = Recipe(adapter=Adapter(rank=8, base_bits=bits))
    params = RankParameters(dense=BILLION, adapter=1e6)
    states = state_bytes(params, Layout(accelerators=1), recipe, PROFILES["unsloth"])
    assert states.frozen_weights == pytest.approx(bytes_each * BILLION)
    assert states.weights == 0
    assert states.gradients + states.moments < 0.02 * BILLION


def test_quantisation_leaves_embedding_and_head_in_16_bits() -> None:
    recipe = Recipe(adapter=Adapter(rank=8, base_bits=4.5))
    states = state_bytes(RankParameters(ends=BILLION), Layout(accelerators=1), recipe, PROFILES["unsloth"])
    assert states.frozen_weights == 2 * BILLION


def test_peft_keeps_embedding_and_head_in_32_bits_beside_nf4_weights_only() -> None:
    # peft, prepare_model_for_kbit_training: not for GPTQ
    for bits, bytes_each in ((4.5, 4.0), (4.25, 2.0)):
        recipe = Recipe(adapter=Adapter(rank=8, base_bits=bits))
        states = state_bytes(RankParameters(ends=BILLION), Layout(accelerators=1), recipe, PROFILES["hugging-face"])
        assert states.frozen_weights == bytes_each * BILLION


def test_peft_trains_a_copy_of_embedding_and_head() -> None:
    recipe = Recipe(adapter=Adapter(rank=8, trains_embeddings=True))
    states = state_bytes(RankParameters(ends=BILLION), Layout(accelerators=1), recipe, PROFILES["hugging-face"])
    assert states.weights == states.frozen_weights == 2 * BILLION


def test_fsdps_root_stays_gathered_beside_two_layers() -> None:
    params = RankParameters(dense=8 * BILLION, ends=BILLION, end=BILLION / 2, layer=BILLION / 4)
    states = state_bytes(params, Layout(accelerators=8, zero=Zero.PARAMETERS), Recipe(), PROFILES["fsdp"])
    assert states.gathered == 2 * (BILLION + 2 * BILLION / 4)


def test_offloaded_optimizer_states_are_not_on_the_device() -> None:
    recipe = Recipe(offload=(Offload.OPTIMIZER,))
    states = state_bytes(RankParameters(dense=BILLION), Layout(accelerators=1), recipe, PROFILES["megatron"])
    assert states.moments == states.master_weights == 0
    assert states.weights == 2 * BILLION


def test_experts_are_split_over_the_replicas_that_expert_parallelism_leaves() -> None:
    assert shard_ranks(Layout(accelerators=64, tp=2, pp=2, ep=4)) == (16, 4)
    assert shard_ranks(Layout(accelerators=64, tp=2, pp=2, ep=8, expert_tp=1)) == (16, 4)


def test_hybrid_sharding_splits_inside_its_group_only() -> None:
    assert shard_ranks(Layout(accelerators=64, zero=Zero.PARAMETERS, zero_ranks=8))[0] == 8
