"""`flopwise plan`: the answers of four usual questions as printed, their twins, and what is refused."""

import re

import pytest

QUESTIONS = {
    "budget": ("--budget", "50k"),
    "target": ("--model", "llama-3-8b", "--tokens", "1T", "--deadline", "30d", "--accelerator", "h100-sxm"),
    "scarce": ("--budget", "200k", "--unique-tokens", "20B"),
    "served": ("--budget", "200k", "--inference-tokens", "1T", "--no-reserves", "--reserve", "contingency=20"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_answer_is_as_printed_before(cli, golden, name):
    ran = cli("plan", *QUESTIONS[name])
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    golden(f"plan.{name}.txt", ran.out)


@pytest.mark.parametrize("name", ["budget", "served"])
def test_every_number_of_the_tables_stands_in_the_twin(same_numbers, name):
    found = same_numbers("plan", *QUESTIONS[name]).json
    assert found["schema"] == "flopwise.plan/1"
    assert found["catalog"]["prices_as_of"]


def test_the_lines_of_the_money_add_up_to_the_budget_to_the_cent(cli):
    found = cli("plan", "--budget", "49999.99", "--format", "json").json["result"]
    assert sum(round(line["usd"] * 100) for line in found["money"]) == 4_999_999
    assert found["total_usd"] == 49_999.99


def test_the_twin_holds_the_verdict_the_optimum_and_what_binds(cli):
    found = cli("plan", "--budget", "50k", "--format", "json").json["result"]
    assert found["verdict"] == "fine-tune"
    assert found["binding"] == "budget"
    optimum = found["compute_optimal"]
    assert optimum["params"]["low"] < optimum["params"]["mid"] < optimum["params"]["high"]
    assert optimum["good_sizes"]["from_params"] <= found["model"]["params"] * 1.05
    assert {each["name"] for each in found["alternatives"]} >= {"faster", "cheaper", "better"}
    assert found["pareto_front"]


def test_explain_prints_the_chain_with_its_sources(cli):
    out = cli("plan", "--budget", "50k", "--explain").out
    for said in (
        "How it was computed",
        "budget - reserves - serving",
        "G (C/6)^(beta/(alpha+beta))",
        "arXiv:2404.10102",
    ):
        assert said in out
    assert "arXiv:2503.05804" in re.sub(r"\s+", " ", out)


def test_the_next_command_gives_the_time_and_the_cost_of_the_plan(cli):
    plan = cli("plan", "--budget", "50k", "--format", "json").json["result"]["training"]
    table = cli("plan", "--budget", "50k").out
    command = re.search(r"flopwise (train .*?)\n\s+flopwise memory", table, re.DOTALL)[1]
    run = cli(*command.split(), "--format", "json").json["result"]["run"]
    assert run["wall_s"]["mid"] == pytest.approx(plan["wall_s"]["mid"], rel=0.02)
    assert run["cost_usd"]["mid"] == pytest.approx(plan["training_usd"]["mid"], rel=0.02)


@pytest.mark.parametrize("law", ["hoffmann-1", "kaplan", "porian", "deepseek", "llama-3", "minicpm", "muennighoff"])
def test_every_kind_of_law_plans(cli, law):
    found = cli("plan", "--budget", "50k", "--law", law, "--format", "json").json
    assert found["inputs"]["law"] == law
    assert found["result"]["model"]["params"] > 0


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ((), 2, "needs something to size from"),
        (("--budget", "-5"), 2, "--budget"),
        (("--budget", "50kk"), 2, "the unit 'kk' is not known"),
        (("--budget", "€50k"), 2, "prices are in US dollars"),
        (("--budget", "50k", "--deadline", "30"), 2, "a unit is missing"),
        (("--budget", "50k", "--accelerator", "h1000"), 2, "did you mean 'h100'"),
        (("--budget", "50k", "--model", "lama-3-8b"), 2, "did you mean 'llama-3-8b'"),
        (("--budget", "50k", "--law", "besirolgu"), 2, "did you mean 'besiroglu'"),
        (("--budget", "50k", "--reserve", "contingensy=3"), 2, "did you mean 'contingency'"),
        (("--budget", "50k", "--reserve", "contingency"), 2, "NAME=PERCENT"),
        (("--budget", "50k", "--reserve", "a=1", "--reserve", "a=2"), 2, "given twice"),
        (("--budget", "50k", "--objective", "cost"), 2, "nothing says what must be reached"),
        (("--budget", "50k", "--price", "2"), 2, "name it with --accelerator"),
        (("--budget", "50k", "--target-loss", "0"), 2, "--target-loss"),
        (("--budget", "50k", "--precision", "fp4", "--accelerator", "h100"), 2, "has no fp4 rate"),
        (("--model", "7B", "--tokens", "1T", "--budget", "10k"), 3, "it takes a budget of"),
        (("--model", "7B", "--tokens", "1T", "--deadline", "1h"), 3, "more than the deadline"),
        (("--budget", "1"), 3, "raise"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_planned_is_one_sentence(cli, argv, code, said):
    ran = cli("plan", *argv)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
