"""`validate serving`: rows are predicted from configuration alone, odd texts are survived, the bars hold out of fold."""

from __future__ import annotations

import csv
from functools import cache

import pytest

from flopwise.benchmarks.validation.serving import MEMORY, PROMPT, SPEED, read_records, replay, summarise
from flopwise.benchmarks.validation.serving_chips import find_chip
from flopwise.benchmarks.validation.serving_rows import MEASURED as MEASURED_COLUMNS
from flopwise.benchmarks.validation.shipping import MEASURED as FOLDER
from flopwise.estimators.errors import InputError
from flopwise.estimators.facts.catalog import load_catalog

ROW = {
    "id": "x1", "source": "me", "framework": "vLLM", "model": "Llama-3.1-8B", "n_params_b": "8.03", "layers": "32",
    "hidden": "4096", "heads": "32", "kv_heads": "8", "head_dim": "128", "ffn": "14336", "vocab": "128256",
    "attn": "gqa", "accelerator": "H100 SXM 80GB", "count": "1", "tp": "1", "pp": "1", "weight_prec": "bf16",
    "input_len": "1024", "output_len": "256", "batch": "32", "batch_kind": "max concurrency (closed loop)",
    "scenario": "server (closed-loop concurrency)", "tpot_ms": "11", "ttft_ms": "160",
}  # fmt: skip


@cache
def catalog():
    return load_catalog(use_config_folder=False)


@cache
def shipped():
    return replay(read_records(FOLDER / "serving.csv"), catalog())


def test_what_was_measured_does_not_move_the_prediction():
    base = replay([ROW], catalog())
    other = replay([{**ROW, "tpot_ms": "99", "ttft_ms": "5"}], catalog())
    assert [r.predicted for r in base] == [r.predicted for r in other]
    assert {"tpot_ms", "ttft_ms", "out_tok_s_system", "prefill_tok_s", "latency_ms"} <= MEASURED_COLUMNS


def test_a_row_without_measurements_is_still_predicted():
    (found,) = replay([{**ROW, "tpot_ms": "", "ttft_ms": ""}], catalog())
    assert found.status == "scored"
    assert found.low < found.predicted < found.high
    assert found.error is None


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("ttft_ms", "ms to the first token"),
        ("TPOT", "ms per output token"),
        ("output tokens/s", "output tokens/s"),
        ("time_per_output_token_ms", "ms per output token"),
        ("prefill_tok_s", "prompt tokens/s"),
        ("e2e_latency_ms", "ms per request"),
    ],
)
def test_the_metric_column_says_what_is_predicted(metric, unit):
    (found,) = replay([{**ROW, "metric": metric}], catalog())
    assert found.unit == unit


@pytest.mark.parametrize(
    "changes",
    [
        {"framework": "an engine of 2027", "framework_version": "9.9"},
        {"weight_prec": "int3"},
        {"weight_prec": "exl2-4.25"},
        {"kv_prec": "fp8_e5m2"},
        {"attn": "gqa, 5:1 sliding-window 4096"},
        {"accelerator": "NVIDIA RTX PRO 6000 Blackwell Server Edition 96GB"},
        {"accelerator": "M2 Ultra (76-core GPU)", "framework": "llama.cpp", "weight_prec": "Q4_K_M"},
        {"layers": "", "hidden": "", "heads": ""},
        {"model": "Some-New-20B-A2B-UD-Q4_K_XL", "n_params_b": "20", "layers": "", "hidden": "", "heads": ""},
        {"tp": "", "pp": "", "count": "8", "scenario": "offline", "batch": "", "batch_kind": ""},
        {"input_len": "", "output_len": "", "batch": ""},
        {"n_experts": "128", "top_k": "8", "moe_ffn": "768", "n_params_b": "30.5"},
        {"scenario": "a scenario we have not seen"},
    ],
)
def test_odd_rows_are_predicted_not_refused(changes):
    found = replay([{**ROW, **changes}], catalog())
    assert all(result.status == "scored" for result in found), [result.reason for result in found]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"accelerator": "Abacus 3000"}, "no accelerator"),
        ({"weight_prec": "roman numerals"}, "weight format"),
        ({"scenario": "offline_offload"}, "host memory"),
    ],
)
def test_what_cannot_be_predicted_says_why(changes, reason):
    (found,) = replay([{**ROW, **changes}], catalog())
    assert found.status == "unsupported"
    assert reason in found.reason


def test_a_file_of_other_columns_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], ["1", "2"]])
    with pytest.raises(InputError, match="lacks the columns"):
        read_records(path)


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("B200 SXM 180GB", "b200-sxm"),
        ("Inferentia2 chip", "inferentia2"),
        ("M1 Max (32-core GPU)", "apple-m1-max"),
        ("RTX 4070 Ti Super", "rtx-4070-ti-super"),
        ("TPU v7x", "tpu-v7"),
        ("Wormhole n300 (chip)", "wormhole-n300-chip"),
        ("A100 SXM 40GB", "a100-sxm-40gb"),
    ],
)
def test_chips_are_found_by_what_rows_call_them(written, identity):
    assert find_chip(written, catalog()).id == identity


def test_shipped_rows_keep_the_bars_out_of_fold():
    overall = {each.group: each for each in summarise(shipped()) if each.source == "all cells"}
    assert overall[SPEED].median < 0.14
    assert overall[SPEED].p90 < 0.46
    assert 0.7 < overall[SPEED].coverage < 0.9
    assert overall[SPEED].roofline_median > 3 * overall[SPEED].median
    assert overall[PROMPT].median < 0.33


def test_no_prediction_beats_the_roofline():
    for found in shipped():
        if found.predicted and found.roofline:
            is_rate = found.metric in ("out_tok_s_system", "prefill_tok_s")
            assert found.predicted <= found.roofline * 1.001 if is_rate else found.predicted >= found.roofline * 0.999


def test_cache_and_weight_sizes_are_within_three_percent(shared_data):
    results = replay(read_records(shared_data / "measured" / "serving_memory.csv"), catalog())
    memory = next(each for each in summarise(results) if each.group == MEMORY)
    assert memory.median < 0.03


def test_all_measured_rows_keep_the_bars_out_of_fold(shared_data):
    results = replay(read_records(shared_data / "measured" / "serving.csv"), catalog())
    overall = {each.group: each for each in summarise(results) if each.source == "all cells"}
    assert overall[SPEED].median <= 0.13
    assert overall[SPEED].p90 <= 0.40
    assert overall[PROMPT].median <= 0.25
    assert all(0.7 <= overall[group].coverage <= 0.9 for group in (SPEED, PROMPT))
    cells = {r.cell for r in results}
    assert overall[SPEED].unsupported_cells / len(cells) <= 0.07
