"""`flopwise train` and `flopwise finetune`: what a person reads, what a program reads, and what is refused."""

import math
import re
import shlex

import pytest

TRAIN = "train --model llama-3-8b --tokens 1T --on h100-sxm:64"
TUNE = "finetune --model llama-3-8b --examples 50k --tokens-per-example 500 --on h100"


def words(text: str) -> str:
    """The answer with every number as # and rules and spaces evened out: what is said, not how much."""
    text = re.sub(r"─+", "---", re.sub(r"\d[\d,.]*", "#", text))
    return "\n\n".join(" ".join(block.split()) for block in text.split("\n\n")) + "\n"


def test_the_answer_of_train_reads_like_this(cli, golden):
    # A given MFU, layout and price leave nothing to a fit but the memory.
    ran = cli(*shlex.split(f"{TRAIN} --mfu 40% --price 2.50 --tp 2 --pp 1 --micro-batch 1 --recompute none"))
    golden("train.words.txt", words(ran.out))


def test_the_answer_of_finetune_reads_like_this(cli, golden):
    ran = cli(*shlex.split(f"{TUNE} --method qlora --price 2.50 --micro-batch 1 --recompute none"))
    golden("finetune.words.txt", words(ran.out))


def test_every_step_of_train_is_explained(cli):
    out = cli(*shlex.split(f"{TRAIN} --explain")).out
    for name in ("model flops per step", "step time s", "train s", "wall s", "cost usd", "peak memory", "usd per hour"):
        assert f"- {name} = " in out


def test_the_json_of_train_adds_up(cli):
    result = cli(*shlex.split(f"{TRAIN} --price 3 --format json")).json["result"]
    run, step, memory = result["run"], result["step"], result["memory"]
    assert run["cost_usd"]["mid"] == pytest.approx(3 * run["accelerator_hours"]["mid"], rel=1e-12)
    assert run["accelerator_hours"]["mid"] == pytest.approx(run["wall_s"]["mid"] * 64 / 3600, rel=1e-12)
    losses = math.fsum(loss["seconds"]["mid"] for loss in run["losses"])
    assert run["wall_s"]["mid"] == pytest.approx(run["train_s"]["mid"] + losses, rel=1e-12)
    assert math.fsum(part["seconds"] for part in step["parts"]) == pytest.approx(step["step_time_s"]["mid"], rel=1e-9)
    assert math.fsum(part["bytes"] for part in memory["parts"]) == pytest.approx(memory["peak_bytes"]["mid"], rel=1e-9)
    layout = result["layout"]
    assert layout["dp"] * layout["tp"] * layout["pp"] * layout["cp"] == 64


def test_attention_counted_in_full_changes_the_count_and_not_the_time(cli):
    half = cli(*shlex.split(f"{TRAIN} --format json")).json["result"]
    full = cli(*shlex.split(f"{TRAIN} --attention-flops full --format json")).json["result"]
    assert half["run"]["wall_s"] == full["run"]["wall_s"]
    assert full["step"]["mfu"]["mid"] > half["step"]["mfu"]["mid"]
    assert full["run"]["model_flops"] > half["run"]["model_flops"]


def test_a_given_mfu_counted_in_full_takes_as_long_as_its_causal_twin(cli):
    def step(*options: str) -> float:
        ran = cli(*shlex.split(TRAIN), *options, "--format", "json")
        return ran.json["result"]["step"]["step_time_s"]["mid"]

    assert step("--mfu", "0.4", "--attention-flops", "full") > step("--mfu", "0.4")


def test_a_deadline_without_a_count_finds_one(cli):
    ran = cli(*shlex.split("train --model llama-3-8b --tokens 1T --on h100-sxm --deadline 10d --format json"))
    result = ran.json["result"]
    assert ran.code == 0
    assert result["meets_deadline"]
    assert result["run"]["wall_s"]["mid"] <= 10 * 86_400


def test_a_missed_deadline_shows_the_answer_and_says_no(cli):
    ran = cli(*shlex.split(f"{TRAIN} --deadline 5d"))
    assert ran.code == 3
    assert "misses the deadline of 5 days" in " ".join(ran.out.split())
    assert re.search(r"longer than the deadline; \d+ would meet it\.", ran.err)


def test_a_chip_that_nobody_sells_is_answered_without_money(cli):
    ran = cli(*shlex.split("train --model llama-3-8b --tokens 1T --on h800:64 --format json"))
    assert ran.code == 0
    assert ran.json["result"]["run"]["cost_usd"] is None
    assert ran.json["result"]["price"] is None


@pytest.mark.parametrize("batch", ["512", "512 sequences", "4194304 tokens", "4M tokens", "4.2M tokens"])
def test_a_batch_is_sequences_or_about_so_many_tokens(cli, batch):
    ran = cli(*shlex.split(TRAIN), "--global-batch", batch, "--format", "json")
    assert ran.json["result"]["layout"]["global_batch"] == 512


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{TRAIN} --tp 3", "--tp 3: llama-3-8b has 32 attention heads, which 3 does not divide"),
        (f"{TRAIN} --pp 64", "--pp 64: llama-3-8b has 32 layers"),
        (f"{TRAIN} --ep 4", "--ep 4: llama-3-8b has no experts; leave it out"),
        (f"{TRAIN} --tp 8 --pp 16", "does not divide 64 accelerators"),
        (f"{TRAIN} --mfu 0", "--mfu: '0' is not a fraction: it must lie between 0.001 and 1"),
        (f"{TRAIN} --global-batch 4M", "if tokens are meant, write '4M tokens'"),
        ("train --model llama-3-8b --tokens 1T --on h100:60 --global-batch 512", "take 480 or 540"),
        (f"{TRAIN} --price 2 --cloud lambda", "--price and --cloud contradict each other"),
        (f"{TRAIN} --price 2 --class marketplace", "--price and --class contradict each other"),
        (f"{TRAIN} --price 2 --plan spot", "--price and --plan contradict each other"),
        (f"{TRAIN} --zero 4", "--zero"),
        ("train --model llama-3-8b --tokens 1T --on h100", "or give --deadline to find out"),
        ("train --model llama-3-8b --tokens 1T --on a100:64 --precision fp8", "no fp8 rate in the catalog"),
        ("finetune --model llama-3-8b --on h100", "say how much data"),
        ("finetune --model llama-3-8b --examples 5k --on h100", "add --tokens-per-example 500"),
        ("finetune --model llama-3-8b --tokens 3M --tokens-per-example 9 --on h100", "it has no effect with --tokens"),
        ("finetune --model llama-3-8b --tokens 3M --packed --on h100", "--packed: it has no effect"),
        ("finetune --model llama-3-8b --tokens 3M --targets attn --on h100", "--targets: 'attn' is not a group"),
        (f"{TUNE} --seq 256", "--seq: sequences of 256 tokens cannot hold examples of 500"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(cli, command, said):
    ran = cli(*shlex.split(command))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_what_does_not_fit_is_a_no_with_what_would(cli):
    ran = cli(*shlex.split("finetune --model llama-3-8b --tokens 10M --method full --on a100"))
    assert (ran.code, ran.out) == (3, "")
    assert re.search(r"does not fit on 1 x A100.*These fit: --method lora, --method qlora, --on \S+:\d", ran.err)


def test_finetune_compares_the_methods(cli):
    result = cli(*shlex.split(f"{TUNE} --format json")).json["result"]
    full, lora, qlora = result["methods"]
    assert [each["method"] for each in result["methods"]] == ["full", "lora", "qlora"]
    assert full["trainable_params"] > 100 * lora["trainable_params"] == 100 * qlora["trainable_params"]
    assert qlora["alone_bytes"]["mid"] < lora["alone_bytes"]["mid"] < full["alone_bytes"]["mid"]
    assert not full["fits"]
    assert full["smallest_gpu"] not in (None, lora["smallest_gpu"])


def test_finetune_without_a_chip_takes_the_smallest_gpu_that_holds_it(cli):
    content = cli(*shlex.split("finetune --model llama-3-8b --tokens 10M --method qlora --format json")).json
    smallest = {each["method"]: each["smallest_gpu"] for each in content["result"]["methods"]}
    assert content["inputs"]["accelerator"] == smallest["qlora"]


def test_lora_needs_a_third_fewer_flops_than_full_tuning(cli):
    def flops(method: str) -> float:
        ran = cli(*shlex.split(f"finetune --model llama-3-8b --tokens 10M --method {method} --on h200:8 --format json"))
        return ran.json["result"]["run"]["model_flops"]

    assert flops("lora") / flops("full") == pytest.approx(
        2 / 3, rel=0.06
    )  # the adapters and the attention have full backward passes


def test_short_examples_are_said_to_be_overhead_and_packing_is_offered(cli):
    ran = cli(*shlex.split(TUNE))
    text = " ".join(ran.out.split())
    assert "are short: launches, padding and data loading weigh more than arithmetic" in text
    assert re.search(r"packed into 4,096 tokens it would take .*\(--packed\)", text)


def test_epochs_multiply_the_tokens(cli):
    def tokens(epochs: int) -> float:
        return cli(*shlex.split(f"{TUNE} --epochs {epochs} --format json")).json["result"]["data"]["tokens"]

    assert tokens(1) == 25e6
    assert tokens(4) == 100e6
