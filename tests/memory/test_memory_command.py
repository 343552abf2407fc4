"""`flopwise memory`: breakdown, verdict, what holds a job, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_the_answer_names_parts_instants_and_the_chance(cli: Cli) -> None:
    ran = cli("memory", "--model", "llama-3-8b", "--on", "h100:8", "--zero", "3", "--micro-batch", "1")
    assert ran.code == 0
    for words in ("optimizer moments", "backward start", "logits and loss", "chance of running out", "usable"):
        assert words in ran.out


def test_json_parts_add_up_to_the_peak(cli: Cli) -> None:
    result = cli("memory", "--model", "llama-3-8b", "--on", "h100:8", "--format", "json").json["result"]
    assert sum(part["bytes"] for part in result["parts"]) == pytest.approx(result["peak_bytes"]["mid"])
    for instant in result["instants"]:
        assert sum(part["bytes"] for part in instant["parts"]) == pytest.approx(instant["bytes"])
    assert result["fits"] is True


def test_tables_and_json_say_the_same(same_numbers: Callable[..., object]) -> None:
    same_numbers("memory", "--model", "llama-3-8b", "--on", "h100:8", "--context", "4096", "--batch", "2")
    same_numbers("memory", "--model", "llama-3.2-1b", "--seq", "2048")


def test_what_does_not_fit_is_shown_and_ends_with_3(cli: Cli) -> None:
    ran = cli("memory", "--model", "llama-3-70b", "--on", "h100:1")
    assert ran.code == 3
    assert "optimizer moments" in ran.out
    assert ran.err.count("\n") == 1 and "does not fit" in ran.err


def test_without_accelerators_everything_that_holds_it_is_listed(cli: Cli) -> None:
    holders = cli("memory", "--model", "llama-2-7b", "--qlora", "16", "--seq", "1024", "--format", "json")
    found = holders.json["result"]["holders"]
    assert {"rtx-4090", "h100-sxm-80gb"} <= {each["accelerator"] for each in found}
    assert all(each["probability_of_running_out"] <= 0.1 for each in found)


def test_lora_takes_less_than_full_training_in_one_layout(cli: Cli) -> None:
    def first(*flags: str) -> float:
        ran = cli("memory", "--model", "llama-2-13b", "--on", "h100:8", *flags, "--format", "json")
        return ran.json["result"]["peak_bytes"]["mid"]

    layout = ("--zero", "1", "--tp", "4")
    assert first(*layout, "--lora", "8") < first(*layout)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--on", "h100:8", "--tp", "3"), "take 2 or 4"),
        (("--on", "h100:8", "--ep", "2"), "has no experts"),
        (("--on", "h100:6", "--tp", "4"), "does not divide 6"),
        (("--on", "h100:8", "--lora", "8", "--qlora", "8"), "contradict each other"),
        (("--tp", "2"), "add --on"),
        (("--batch", "4"), "give --context"),
        (("--on", "h10:8"), "no accelerator is called"),
        (("--on", "h100:8", "--pp", "64"), "has 32 layers"),
    ],
)
def test_bad_input_is_one_sentence_and_2(argv: tuple[str, ...], words: str, cli: Cli) -> None:
    ran = cli("memory", "--model", "llama-3-8b", *argv)
    assert ran.code == 2
    assert ran.out == ""
    assert words in ran.err and ran.err.count("\n") == 1
