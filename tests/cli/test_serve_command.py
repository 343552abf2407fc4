"""`flopwise serve`: the same numbers in every format, 80 columns, and one sentence for what a person can get wrong."""

from __future__ import annotations

import re

import pytest

LOAD = ("--model", "llama-3.1-8b", "--requests-per-second", "20", "--input-tokens", "1000", "--output-tokens", "300")


def test_a_served_load_reads_as_the_golden_file(cli, golden):
    golden("serve.txt", cli("serve", *LOAD, "--on", "h100", "--explain").out)


def test_the_batch_job_reads_as_the_golden_file(cli, golden):
    ran = cli("serve", "--model", "llama-3.3-70b", "--quant", "fp8", "--offline", "--tokens", "25B", "--on", "h200:16")
    golden("serve-offline.txt", ran.out)


@pytest.mark.parametrize(
    "more",
    [
        ("--on", "h100"),
        (),
        ("--offline", "--tokens", "1B", "--on", "h100:8"),
        ("--on", "b200", "--peak-over-mean", "1.5"),
    ],
)
def test_tables_and_json_say_the_same(same_numbers, more):
    load = ("--model", "llama-3.1-8b") if "--offline" in more else LOAD
    twin = same_numbers("serve", *load, *more)
    assert twin.json["schema"] == "flopwise.serve/1"


@pytest.mark.parametrize("more", [("--on", "h100"), ()])
def test_eighty_columns_are_enough(cli, more):
    assert max(len(line) for line in cli("serve", *LOAD, *more).out.splitlines()) <= 80


def test_json_holds_what_the_issue_asks_for(cli):
    result = cli("serve", *LOAD, "--on", "h100", "--format", "json").json["result"]
    for key in (
        "chips", "replicas", "utilisation", "first_token_s", "time_per_token_s", "cache_tokens_per_replica", "binding",
        "usd_per_hour", "usd_per_month", "usd_per_million_input", "usd_per_million_output", "memory_per_chip", "apis",
        "day", "alternatives",
    ):  # fmt: skip
        assert result[key] is not None
    assert len(result["day"]) == 24
    hourly = result["usd_per_hour"]["mid"]
    per_second = (
        20 * (1000 * result["usd_per_million_input"]["mid"] + 300 * result["usd_per_million_output"]["mid"]) / 1e6
    )
    assert per_second * 3600 == pytest.approx(hourly, rel=1e-6)  # the two prices add up to the bill


def test_a_chip_without_a_price_is_served_without_money(cli):
    ran = cli(
        "serve", *LOAD[:2], "--quant", "Q4_K_M", "--engine", "llama.cpp", "--concurrency", "1", "--on", "rtx-4070"
    )
    assert ran.code == 0
    assert "has no price" in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--on", "h10"), 2, "did you mean"),
        (("--on", "h100", "--quant", "fp9"), 2, "--quant: no weight format is called 'fp9'"),
        (("--on", "h100", "--engine", "vlm"), 2, "--engine: no serving engine is called 'vlm'"),
        (("--on", "h100", "--tpot", "1ms"), 2, "ms per token"),
        (("--offline",), 2, "--tokens"),
        (("--tokens", "5B"), 2, "--offline"),
        (("--rps", "3", "--users", "5"), 2, "contradict"),
        (("--offline", "--tokens", "5B", "--ttft", "1s"), 2, "no latency targets"),
        (("--on", "h100", "--draft-tokens", "4"), 2, "--acceptance"),
        (("--price", "2"), 2, "--on"),
        (("--on", "h100", "--peak-over-mean", "5"), 2, "between 1 and 2"),
        (("--on", "h100", "--api", "no-such-model"), 2, "no-such-model"),
    ],
)
def test_wrong_input_is_one_sentence(cli, arguments, code, sentence):
    ran = cli("serve", "--model", "llama-3.1-8b", *arguments)
    assert ran.code == code
    assert sentence in ran.err
    assert ran.out == ""
    assert ran.err.count("\n") == 1


def test_a_model_that_does_not_fit_is_a_no(cli):
    ran = cli("serve", "--model", "deepseek-v3", "--quant", "bf16", "--on", "rtx-4090")
    assert ran.code == 3
    assert "does not fit" in ran.err


def test_validation_prints_the_errors_of_this_version(cli):
    summary = cli("validate", "serving", "--format", "json").json["result"]["summary"]
    assert {each["group"] for each in summary["overall"]} >= {"speed", "prompt"}


def test_too_few_chips_are_told_how_many_would_do_and_these_do(cli):
    job = ("serve", "--model", "llama-3.1-70b", "--requests-per-second", "20", "--on")
    ran = cli(*job, "h100-sxm:4")
    assert ran.code == 2
    found = re.search(
        r"cannot carry 20 requests/s inside the targets, only about ([\d.]+); take (\d+) of them", ran.err
    )
    assert found and 0 < float(found[1]) < 20
    assert cli(*job, f"h100-sxm:{found[2]}").code == 0
    assert cli(*job, f"h100-sxm:{int(found[2]) - 4}").code == 2
