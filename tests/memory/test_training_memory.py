"""The peak of a run: what adds up, what grows with what, and measured runs that everybody can look up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.facts.catalog import Catalog, load_catalog
from flopwise.estimators.frozen import replace
from flopwise.estimators.memory.overhead import MemoryKind
from flopwise.estimators.memory.training import TrainingMemory, training_memory
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.models.shape import ModelShape
from flopwise.estimators.training.layout import (
    Adapter,
    Framework,
    Layout,
    Optimizer,
    Precision,
    Recipe,
    Recompute,
    Workload,
    Zero,
)

GIB = 2.0**30
CATALOG = load_catalog(use_config_folder=False)
H100 = CATALOG.find("h100")
NAMES = ("llama-3-8b", "gpt2-xl", "mixtral-8x7b", "qwen2.5-7b")
RECIPES = st.builds(
    Recipe,
    precision=st.sampled_from([Precision.BF16, Precision.FP16, Precision.FP8, Precision.FP32]),
    optimizer=st.sampled_from(list(Optimizer)),
    recompute=st.sampled_from(list(Recompute)),
    flash_attention=st.booleans(),
    adapter=st.none() | st.builds(Adapter, rank=st.sampled_from([4, 64]), base_bits=st.sampled_from([4.5, 8.0, 16.0])),
    framework=st.none() | st.sampled_from(list(Framework)),
    compiled=st.booleans(),
    chunked_loss=st.booleans(),
)


def estimate(
    name: str | ModelShape, layout: Layout, recipe: Recipe, tokens: int = 2048, batch: int = 512
) -> TrainingMemory:
    shape = resolve_model(name).shape if isinstance(name, str) else name
    work = Workload(sequence_tokens=tokens, global_batch=batch)
    return training_memory(shape, layout=layout, recipe=recipe, workload=work, accelerator=H100)


@settings(max_examples=30)
@given(
    name=st.sampled_from(NAMES),
    recipe=RECIPES,
    tp=st.sampled_from([1, 2, 4]),
    pp=st.sampled_from([1, 2, 4]),
    zero=st.sampled_from(list(Zero)),
    kind=st.sampled_from(list(MemoryKind)),
)
def test_parts_add_up_to_the_peak_and_instants_to_their_parts(
    name: str, recipe: Recipe, tp: int, pp: int, zero: Zero, kind: MemoryKind
) -> None:
    layout = Layout(accelerators=32, tp=tp, pp=pp, zero=zero, sequence_parallel=tp > 1)
    memory = training_memory(
        resolve_model(name).shape,
        layout=layout,
        recipe=recipe,
        workload=Workload(sequence_tokens=1024, global_batch=64),
        accelerator=H100,
        kind=kind,
    )
    assert sum(part.bytes for part in memory.parts) == pytest.approx(memory.peak.mid, rel=1e-12)
    assert all(part.bytes >= 0 for part in memory.parts)
    assert memory.peak.low <= memory.peak.mid <= memory.peak.high
    assert 0 <= memory.probability_of_running_out <= 1
    assert memory.peak_instant in memory.instants
    live = {part.name: part.bytes for part in memory.peak_instant.parts}
    assert {part.name: part.bytes for part in memory.parts if part.name in live} == live


@settings(max_examples=30)
@given(name=st.sampled_from(NAMES[:2]), recipe=RECIPES, tp=st.sampled_from([1, 2, 4]))
def test_more_tensor_parallelism_never_takes_more_states(name: str, recipe: Recipe, tp: int) -> None:
    recipe = replace(recipe, framework=Framework.MEGATRON)
    few = estimate(name, Layout(accelerators=8, tp=tp, sequence_parallel=True), recipe)
    more = estimate(name, Layout(accelerators=8, tp=2 * tp, sequence_parallel=True), recipe)
    named = ("weights", "frozen weights", "gradients", "fp32 copy of weights", "optimizer moments", "activations")
    for part in named:
        assert _part(more, part) <= _part(few, part) * (1 + 1e-9)


@settings(max_examples=30)
@given(recipe=RECIPES, tokens=st.sampled_from([512, 2048, 8192]), micro_batch=st.sampled_from([1, 2, 4]))
def test_longer_sequences_and_larger_micro_batches_take_more(recipe: Recipe, tokens: int, micro_batch: int) -> None:
    layout = Layout(accelerators=8, micro_batch=micro_batch, zero=Zero.PARAMETERS)
    least = estimate("llama-3-8b", layout, recipe, tokens)
    assert estimate("llama-3-8b", layout, recipe, 2 * tokens).peak.mid >= least.peak.mid
    assert (
        estimate("llama-3-8b", replace(layout, micro_batch=2 * micro_batch), recipe, tokens).peak.mid >= least.peak.mid
    )


@settings(max_examples=30)
@given(recipe=RECIPES, framework=st.sampled_from([Framework.MEGATRON, Framework.FSDP, Framework.HF_DEEPSPEED]))
def test_each_zero_stage_keeps_no_more_states(recipe: Recipe, framework: Framework) -> None:
    recipe = replace(recipe, framework=framework, precision=Precision.BF16)
    kept = [
        sum(_part(estimate("llama-3-8b", Layout(accelerators=8, zero=stage), recipe), part) for part in STATES)
        for stage in (Zero.OPTIMIZER, Zero.GRADIENTS, Zero.PARAMETERS)
    ]
    assert kept[0] >= kept[1] >= kept[2]


STATES = ("weights", "frozen weights", "adapters", "gradients", "fp32 copy of weights", "optimizer moments")


@settings(max_examples=30)
@given(recipe=RECIPES)
def test_recomputing_more_never_keeps_more(recipe: Recipe) -> None:
    kept = [
        _part(estimate("llama-3-8b", Layout(accelerators=1), replace(recipe, recompute=mode)), "activations")
        for mode in (Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL)
    ]
    assert kept[0] >= kept[1] >= kept[2]


@settings(max_examples=30)
@given(pp=st.sampled_from([2, 4, 8]), recipe=RECIPES)
def test_pipeline_stages_share_the_weights(pp: int, recipe: Recipe) -> None:
    recipe = replace(recipe, framework=Framework.MEGATRON)
    whole = _weights(estimate("llama-3-8b", Layout(accelerators=8), recipe))
    assert whole / pp * 0.99 <= _weights(estimate("llama-3-8b", Layout(accelerators=8, pp=pp), recipe)) < whole


def _weights(memory: TrainingMemory) -> float:
    return sum(_part(memory, name) for name in ("weights", "frozen weights"))


def _part(memory: TrainingMemory, name: str) -> float:
    """Bytes of a part where it is largest over the instants, 0 where it is absent."""
    return max((part.bytes for instant in memory.instants for part in instant.parts if part.name == name), default=0.0)


@pytest.mark.parametrize(
    ("accelerators", "recompute", "compiled", "tokens", "micro_batch", "measured_gib"),
    [  # pytorch/torchtitan, Llama 3.1 8B on 96 GB H100s, max reserved
        (8, Recompute.PRODUCTS, True, 8192, 2, 77.0),
        (128, Recompute.PRODUCTS, True, 8192, 2, 62.0),
        (8, Recompute.FULL, True, 32768, 1, 83.9),
    ],
)
def test_torchtitan_runs_take_what_they_report(
    accelerators: int, recompute: Recompute, compiled: bool, tokens: int, micro_batch: int, measured_gib: float
) -> None:
    memory = training_memory(
        resolve_model("llama-3.1-8b").shape,
        layout=Layout(accelerators=accelerators, zero=Zero.PARAMETERS, micro_batch=micro_batch),
        recipe=Recipe(recompute=recompute, compiled=compiled, framework=Framework.FSDP),
        workload=Workload(sequence_tokens=tokens, global_batch=accelerators * micro_batch),
        accelerator=H100,
        kind=MemoryKind.RESERVED,
    )
    assert memory.peak.mid / GIB == pytest.approx(measured_gib, rel=0.1)
    assert memory.peak.low <= measured_gib * GIB <= memory.peak.high


def test_lora_takes_the_frozen_weights_and_little_else_besides_activations() -> None:
    layout = Layout(accelerators=1)
    full = estimate("llama-3-8b", layout, Recipe(framework=Framework.HUGGING_FACE))
    lora = estimate("llama-3-8b", layout, Recipe(framework=Framework.HUGGING_FACE, adapter=Adapter(rank=16)))
    qlora = estimate(
        "llama-3-8b", layout, Recipe(framework=Framework.HUGGING_FACE, adapter=Adapter(rank=16, base_bits=4.5))
    )
    assert qlora.peak.mid < lora.peak.mid < full.peak.mid
    assert _part(lora, "frozen weights") == pytest.approx(2 * 8.03e9, rel=0.001)
    # 7.0e9 weights of layers in 4.5 bits, 1.05e9 of embedding and head in 32 (PEFT)
    assert _part(qlora, "frozen weights") == pytest.approx(6.98e9 * 4.5 / 8 + 4 * 1.05e9, rel=0.15)


def test_every_guess_widens_the_range(llama_8b: ModelShape, catalog: Catalog) -> None:
    def width(unsaid: int) -> float:
        memory = training_memory(
            llama_8b,
            layout=Layout(accelerators=1),
            recipe=Recipe(framework=Framework.FSDP),
            workload=Workload(sequence_tokens=2048, global_batch=1),
            accelerator=catalog.find("h100"),
            unsaid=unsaid,
        )
        return memory.peak.high / memory.peak.low

    assert width(0) < width(1) < width(3)


def test_not_telling_the_software_widens_the_range(llama_8b: ModelShape) -> None:
    layout = Layout(accelerators=8, zero=Zero.PARAMETERS)
    told = estimate(llama_8b, layout, Recipe(framework=Framework.FSDP))
    untold = estimate(llama_8b, layout, Recipe())
    assert untold.framework == told.framework
    assert untold.peak.high / untold.peak.low > told.peak.high / told.peak.low


def test_allocated_is_less_than_reserved_is_less_than_the_device(llama_8b: ModelShape, catalog: Catalog) -> None:
    peaks = [
        training_memory(
            llama_8b,
            layout=Layout(accelerators=8, zero=Zero.PARAMETERS),
            recipe=Recipe(),
            workload=Workload(sequence_tokens=2048, global_batch=8),
            accelerator=catalog.find("h100"),
            kind=kind,
        ).peak.mid
        for kind in (MemoryKind.ALLOCATED, MemoryKind.RESERVED, MemoryKind.DEVICE)
    ]
    assert peaks[0] < peaks[1] < peaks[2]


def test_a_model_far_larger_than_the_card_runs_out_for_sure() -> None:
    memory = estimate("llama-3-70b", Layout(accelerators=1), Recipe())
    assert memory.probability_of_running_out > 0.999
    assert not memory.fits


def test_explain_names_the_part_that_dominates() -> None:
    memory = estimate("llama-3-8b", Layout(accelerators=1), Recipe(framework=Framework.MEGATRON))
    peak = next(step for step in memory.steps if step.name == "peak_memory")
    assert peak.value == pytest.approx(memory.peak.mid)
    assert sum(given.value for given in peak.inputs if isinstance(given.value, float)) == pytest.approx(peak.value)
    assert "optimizer moments" in peak.dominant


def test_a_further_predicted_token_brings_its_logits_and_the_table_to_the_last_stage(llama_8b: ModelShape) -> None:
    plain = only_last(llama_8b)
    further = only_last(replace(llama_8b, predictions=1))
    assert _part(further, "logits and loss") == pytest.approx(2 * _part(plain, "logits and loss"))
    table = 128_256 * 4096
    join = 2 * 4096**2
    assert _part(further, "weights") - _part(plain, "weights") == pytest.approx(2 * (table + join), rel=1e-6)


def only_last(shape: ModelShape) -> TrainingMemory:
    """The last of two stages, of 16 layers each: of 31 others and one that predicts further, too."""
    return training_memory(
        shape,
        layout=Layout(accelerators=2, pp=2),
        recipe=Recipe(framework=Framework.MEGATRON),
        workload=Workload(sequence_tokens=8192, global_batch=8),
        accelerator=H100,
        only_last_stage=True,
    )


def test_experts_outputs_are_kept_where_routing_weights_multiply_them() -> None:
    shape = resolve_model("mixtral-8x7b").shape
    layout, work = Layout(accelerators=8, ep=8), Workload(sequence_tokens=4096, global_batch=8)
    kept = {}
    for framework in (Framework.MEGATRON, Framework.MEGATRON_DEEPSPEED):
        recipe = Recipe(framework=framework)
        memory = training_memory(shape, layout=layout, recipe=recipe, workload=work, accelerator=H100)
        kept[framework] = _part(memory, "activations")
    outputs = 32 * 4096 * 2 * 4096 * 2  # layers x tokens x experts per token x width x 2 bytes
    assert kept[Framework.MEGATRON_DEEPSPEED] - kept[Framework.MEGATRON] == pytest.approx(outputs)
