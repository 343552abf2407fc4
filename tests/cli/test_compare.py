"""compare: every combination once, ranked, the same as one at a time; lists and ranges on every flag."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.estimators.errors import InputError
from flopwise.estimators.planning.ranges import read_names, read_values
from flopwise.estimators.units import read_count

BASE = (
    "compare",
    "--model",
    "1B,7B",
    "--tokens",
    "20B,100B",
    "--on",
    "h100-sxm,a100-sxm4-80gb",
    "--accelerators",
    "8..32",
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8", (8,)),
        ("8,64", (8, 64)),
        ("64,8,8", (8, 64)),
        ("8..64", (8, 16, 32, 64)),
        ("8..70x3", (8, 24)),
        ("8..32+8", (8, 16, 24, 32)),
        ("100B..300B+100B", (1e11, 2e11, 3e11)),
        ("1..4, 100", (1, 2, 4, 100)),
    ],
)
def test_lists_and_ranges(text, values):
    assert read_values(text, read_count) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8..", "not a range"),
        ("..8", "not a range"),
        ("64..8", "runs downwards"),
        ("1..8x1", "a factor above 1"),
        ("8,,9", "an empty place"),
        ("1..1e9+1", "a larger step"),
        ("a..b", "is not a count"),
    ],
)
def test_a_wrong_range_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        read_values(text, read_count)


@given(st.floats(1, 1e6), st.floats(1.01, 10), st.floats(1, 1e3))
def test_a_range_keeps_its_ends_and_its_factor(low, factor, times):
    values = read_values(f"{low:.9f}..{low * times:.9f}x{factor:.6f}", float)
    assert values[0] == pytest.approx(low)
    assert values[-1] <= low * times * (1 + 1e-6)
    for before, after in pairwise(values):
        assert after / before == pytest.approx(factor, rel=1e-4)


def test_names_are_kept_in_order_and_once():
    assert read_names("b,a,b") == ("b", "a")
    assert read_names("all", ("x", "y")) == ("x", "y")


def test_every_combination_is_there_once_and_ranked(cli):
    ran = cli(*BASE, "--top", "100", "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    result = ran.json["result"]
    rows = result["rows"]
    assert result["configurations"] == 2 * 2 * 2 * 3
    assert len({(r["model"], r["tokens"], r["accelerator"], r["accelerators"]) for r in rows}) == len(rows)
    assert len(rows) + result["too_large"] + result["over_limits"] == result["configurations"]
    costs = [row["cost_usd"]["mid"] for row in rows]
    assert costs == sorted(costs)


def test_the_best_of_many_is_the_best_of_all(cli):
    every = cli(*BASE, "--top", "100", "--format", "json").json["result"]["rows"]
    for order, key in (("cost", "cost_usd"), ("time", "wall_s")):
        few = cli(*BASE, "--top", "3", "--rank", order, "--format", "json").json["result"]["rows"]
        best = sorted(row[key]["mid"] for row in every)[:3]
        assert [row[key]["mid"] for row in few] == pytest.approx(best)


def test_a_row_is_near_what_train_says(cli):
    row = cli("compare", "--model", "llama-3-8b", "--tokens", "100B", "--on", "h100-sxm:64", "--format", "json")
    found = row.json["result"]["rows"][0]
    train = cli("train", "--model", "llama-3-8b", "--tokens", "100B", "--on", "h100-sxm:64", "--format", "json")
    assert found["wall_s"]["mid"] == pytest.approx(train.json["result"]["run"]["wall_s"]["mid"], rel=0.15)


def test_limits_leave_rows_out_and_say_how_many(cli):
    ran = cli(*BASE, "--budget", "3000", "--deadline", "5d", "--top", "100", "--format", "json")
    result = ran.json["result"]
    assert result["over_limits"] > 0
    assert all(row["cost_usd"]["mid"] <= 3000 and row["wall_s"]["mid"] <= 5 * 86400 for row in result["rows"])


def test_more_tokens_cost_more_and_lose_less(cli):
    rows = cli("compare", "-m", "1B", "--tokens", "10B..160B", "--on", "h100-sxm:8", "--format", "json").json["result"][
        "rows"
    ]
    assert [row["tokens"] for row in rows] == [1e10, 2e10, 4e10, 8e10, 1.6e11]
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_clouds_are_compared_one_by_one(cli):
    rows = cli("compare", "-m", "1B", "--tokens", "10B", "--on", "h100-sxm:8", "--cloud", "all", "--format", "json")
    sellers = [row["seller"] for row in rows.json["result"]["rows"]]
    assert len(sellers) == len(set(sellers)) > 5


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--model", "1B"], 2, "--tokens: say on how many"),
        (["--model", "1B", "--tokens", "1T..1B"], 2, "--tokens: '1T..1B' runs downwards"),
        (["--model", "lama", "--tokens", "1B"], 2, "--model"),
        (["--model", "1B", "--tokens", "1B", "--on", "h10"], 2, "--on"),
        (["--model", "1B", "--tokens", "1B", "--plan", "sport"], 2, "did you mean 'spot'?"),
        (["--model", "1B", "--tokens", "1B", "--precision", "bf17"], 2, "--precision"),
        (["--model", "1B", "--tokens", "1B", "--accelerators", "1.5"], 2, "not a whole number"),
        (["--model", "1B", "--tokens", "1B", "--on", "h100-sxm:8", "--accelerators", "8"], 2, "has no effect"),
        (["--model", "1B", "--tokens", "1B", "--price", "2", "--cloud", "Lambda"], 2, "contradict"),
        (["--model", "405B", "--tokens", "1B", "--on", "l40s:1"], 3, "do not fit the memory"),
        (["--model", "7B", "--tokens", "1T", "--budget", "5"], 3, "over the budget"),
    ],
)
def test_wrong_comparisons_get_one_sentence(cli, argv, code, words):
    ran = cli("compare", *argv)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_a_hundred_thousand_combinations_use_little_memory_and_show_early(cli):
    import tracemalloc

    tracemalloc.start()
    began = time.process_time()
    ran = cli(
        *("compare", "--model", "0.5B..32Bx1.3", "--tokens", "10B..1Tx1.2", "--on", "all", "--cloud", "all"),
        *("--accelerators", "8..512", "--top", "5", "--format", "json"),
    )
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ran.code == 0
    assert ran.json["result"]["configurations"] > 100_000
    assert ran.err.startswith("Best of the first ")
    assert peak < 100e6
    assert seconds < 60  # of CPU, traced; a plain run takes about one
