"""Reading measured rows: spellings, chips, and that no measurement reaches a prediction."""

from __future__ import annotations

import pytest

from flopwise.benchmarks.validation import spellings
from flopwise.benchmarks.validation.chips import find_accelerator
from flopwise.benchmarks.validation.memory import score
from flopwise.benchmarks.validation.memory_cases import MemoryCase, complete, kind_of
from flopwise.benchmarks.validation.rows import MEASURED_COLUMNS, MeasuredRow, split_row
from flopwise.estimators.facts.catalog import Catalog
from flopwise.estimators.facts.memory import load_memory_facts
from flopwise.estimators.memory.overhead import MemoryKind
from flopwise.estimators.training.layout import Framework, Offload, Optimizer, Precision, Recompute, Zero

LLAMA = {
    "id": "one",
    "source": "somebody/tables:README.md@abc",
    "framework": "torchtitan",
    "task": "pretrain",
    "model": "Llama3.1-8B",
    "layers": "32.0",
    "hidden": "4096",
    "heads": "32",
    "kv_heads": "8",
    "head_dim": "128",
    "ffn": "14336",
    "gated_mlp": "yes",
    "vocab": "128256",
    "tied_embeddings": "no",
    "seq_len": "8192",
    "accelerator": "H100",
    "accelerator_mem_gb": "80",
    "accelerator_count": "8",
    "precision": "bf16",
    "micro_batch": "1",
    "global_batch": "8",
    "zero_or_fsdp": "fsdp2 (zero3)",
    "recompute": "full",
    "optimizer": "adamw fused",
    "memory_kind": "max reserved",
    "peak_memory_gib": "40",
    "fits": "yes",
}


@pytest.mark.parametrize(
    ("text", "stage", "ranks"),
    [
        ("distributed optimizer (zero1)", 1, 0),
        ("fsdp-grad-op (zero2)", 2, 0),
        ("fsdp within slice, data parallel over 4 slice(s)", 3, 0),
        ("megatron-fsdp group 64", 3, 64),
        ("zero1 within 8 GPUs (hybrid)", 1, 8),
        ("2D fsdp (256-way)", 3, 256),
        ("none (plain data parallel)", 0, 0),
        ("ZeRO-3", 3, 0),
        ("FULL_SHARD", 3, 0),
        ("hsdp (shard within node)", 3, 0),
        ("ddp", 0, 0),
    ],
)
def test_sharding_is_read_in_its_many_spellings(text: str, stage: int, ranks: int) -> None:
    found = spellings.sharding(text)
    assert found is not None
    assert (found.zero, found.ranks) == (Zero(stage), ranks)


@pytest.mark.parametrize("text", ["", "not stated", "something new"])
def test_what_cannot_be_understood_is_unsaid(text: str) -> None:
    assert spellings.sharding(text) is None
    assert spellings.recompute(text) is None
    assert spellings.optimizer(text) is None
    assert spellings.framework(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fp8 (float8 linear, tensorwise)", Precision.FP8),
        ("bf16-true", Precision.BF16),
        ("nvfp4", Precision.FP4),
        ("nf4 weights, bf16 compute", Precision.BF16),
        ("gptq-int4 weights, fp16 compute", Precision.FP16),
        ("bf16 (README also mentions fp8)", Precision.BF16),
        ("TF32", Precision.TF32),
    ],
)
def test_precisions(text: str, found: Precision) -> None:
    assert spellings.precision(text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("full (default)", Recompute.FULL),
        ("selective (op)", Recompute.PRODUCTS),
        ("selective", Recompute.SELECTIVE),
        ("custom (offload to host: decoder_layer_input)", Recompute.SELECTIVE),
        ("none", Recompute.NONE),
        ("none stated", None),
        ("True", Recompute.FULL),
    ],
)
def test_recomputation(text: str, found: Recompute | None) -> None:
    assert spellings.recompute(text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [("adamw_bnb_8bit", Optimizer.ADAMW_8BIT), ("decoupled_lionw", Optimizer.LION), ("fused adam", Optimizer.ADAMW)],
)
def test_optimizers(text: str, found: Optimizer) -> None:
    assert spellings.optimizer(text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NVIDIA NeMo Framework Release 24.04", Framework.MEGATRON),
        ("HF Transformers + PEFT + DeepSpeed", Framework.HF_DEEPSPEED),
        ("Primus-pipeline (Megatron-LM)", Framework.MEGATRON),
        ("SimuMax (Megatron-Core)", Framework.MEGATRON),
        ("MaxText", Framework.JAX),
        ("ms-swift Megatron", Framework.MEGATRON),
        ("Unsloth", Framework.UNSLOTH),
    ],
)
def test_frameworks(text: str, found: Framework) -> None:
    assert spellings.framework(text) is found


@pytest.mark.parametrize(
    ("text", "memory_gb", "identity"),
    [
        ("A100", None, "a100-sxm-80gb"),
        ("A100", 40.0, "a100-sxm-40gb"),
        ("A100-40GB", 40.0, "a100-sxm-40gb"),
        ("V100", 16.0, "v100-sxm2-16gb"),
        ("H800", None, "h800-sxm-80gb"),
        ("TPU-v5p", None, "tpu-v5p"),
        ("TPU v7x", None, "tpu-v7"),
        ("Trn1", None, "trainium1"),
        ("MI355X", None, "mi355x"),
        ("RTX4090", 24.0, "rtx-4090"),
        ("GB300", None, "gb300"),
        ("A100 80GB class (not stated)", None, "a100-sxm-80gb"),
    ],
)
def test_chips_are_found_by_what_tables_call_them(
    text: str, memory_gb: float | None, identity: str, catalog: Catalog
) -> None:
    chip = find_accelerator(text, memory_gb, catalog)
    assert chip is not None
    assert chip.id == identity


def test_a_stated_memory_size_wins(catalog: Catalog) -> None:
    chip = find_accelerator("H100-96GB-HBM2e-500W", 96.0, catalog)
    assert chip is not None
    assert chip.memory_bytes == 96e9


def test_an_unnamed_card_is_known_by_its_memory(catalog: Catalog) -> None:
    case = complete(split_row({**LLAMA, "accelerator": "card with 24 GB", "accelerator_mem_gb": "24"}), catalog)
    assert isinstance(case, MemoryCase)
    assert case.accelerator.memory_bytes == 24e9


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("torch max_memory_allocated /1e9", MemoryKind.ALLOCATED),
        ("peak active/allocated (GiB)", MemoryKind.ALLOCATED),
        ("max reserved across GPUs (GiB)", MemoryKind.RESERVED),
        ("nvidia-smi", MemoryKind.DEVICE),
        ("", MemoryKind.DEVICE),
    ],
)
def test_the_kind_of_peak_is_what_the_tool_counts(text: str, kind: MemoryKind) -> None:
    assert kind_of(text) is kind


def test_measured_columns_never_reach_a_prediction(catalog: Catalog) -> None:
    facts = load_memory_facts()
    plain = score(split_row(LLAMA), catalog, facts)
    nonsense = {name: "123456" for name in MEASURED_COLUMNS - {"fits"}}
    changed = score(split_row({**LLAMA, **nonsense}), catalog, facts)
    assert plain.predicted == changed.predicted
    assert (plain.low, plain.high) == (changed.low, changed.high)
    assert changed.measured != plain.measured


def test_everything_unsaid_is_filled_and_widens_the_range(catalog: Catalog) -> None:
    facts = load_memory_facts()
    told = score(split_row(LLAMA), catalog, facts)
    bare = {key: LLAMA[key] for key in ("model", "layers", "hidden", "heads", "accelerator", "source")}
    guessed = score(split_row(bare), catalog, facts)
    assert guessed.status == "scored"
    assert {"micro_batch", "recompute", "sequence length"} <= set(guessed.guessed)
    assert guessed.predicted and guessed.high and guessed.low and told.high and told.low
    assert guessed.high / guessed.low > told.high / told.low


def test_an_unknown_model_is_unsupported_with_its_reason(catalog: Catalog) -> None:
    result = score(split_row({"model": "Nobody-Knows", "source": "a:b"}), catalog, load_memory_facts())
    assert result.status == "unsupported"
    assert "Nobody-Knows" in result.reason


def test_megatrons_options_in_the_notes_are_configuration(catalog: Catalog) -> None:
    notes = "moe-layer-freq=([0]*3+[1]*11) moe-ffn-hidden-size=2048 multi-latent-attention=true"
    row = {**LLAMA, "layers": "14", "moe_experts": "64", "moe_topk": "8", "notes": notes}
    case = complete(split_row(row), catalog)
    assert isinstance(case, MemoryCase)
    (dense, first), (sparse, second) = case.shape.stacks[0].runs
    assert (dense, sparse) == (3, 11)
    assert first.attention is not None and first.attention.latent is not None
    assert second.mixture is not None and second.mixture.width == 2048


def completed(catalog: Catalog, **cells: str) -> MemoryCase:
    case = complete(split_row({**LLAMA, **cells}), catalog)
    assert isinstance(case, MemoryCase)
    return case


def test_what_a_tests_configuration_leaves_out_is_off(catalog: Catalog) -> None:
    cells = {"tp": "2", "accelerator_count": "8", "dp": "4", "sequence_parallel": ""}
    assert not completed(catalog, framework="Megatron-LM functional test", **cells).layout.sequence_parallel
    assert completed(catalog, framework="NeMo", **cells).layout.sequence_parallel


def test_torchtitan_compiles_the_loss_since_2025(catalog: Catalog) -> None:
    cells = {"framework": "torchtitan", "compile": "yes"}
    assert completed(catalog, year="2025", **cells).recipe.chunked_loss
    assert not completed(catalog, year="2024", **cells).recipe.chunked_loss


def test_a_script_for_one_gpu_trains_adapters_without_deepspeed(catalog: Catalog) -> None:
    cells = {"framework": "HF Transformers + DeepSpeed", "task": "lora", "lora_rank": "8", "accelerator_count": "1"}
    cells |= {"dp": "1", "zero_or_fsdp": "zero2"}
    told = completed(catalog, notes="", **cells)
    assumed = completed(catalog, notes="zero stage as the script defaults", **cells)
    assert told.recipe.framework is Framework.HF_DEEPSPEED
    assert assumed.recipe.framework is Framework.HUGGING_FACE


def test_offloading_is_read() -> None:
    assert spellings.offload("params+optimizer (CPUOffloadPolicy)") == (Offload.OPTIMIZER, Offload.PARAMETERS)


def test_sources_are_the_repositories() -> None:
    row: MeasuredRow = split_row(LLAMA)
    assert row.source == "somebody/tables"
    assert row.family == "somebody/tables | Llama3.1-8B | H100"
