"""How runs of one machine agree: pairs of records, and the spread that no run sees of itself."""

from __future__ import annotations

import math
import random

import pytest

from flopwise.benchmarks.harness.runner import merged
from flopwise.benchmarks.harness.store import write_record
from flopwise.benchmarks.validation.repeats import between, compare, main
from flopwise.estimators.frozen import replace

from .bench_records_made import case, record


def made(*cases):
    return record(cases)


def test_intervals_apart_are_counted_and_those_without_a_verdict_named() -> None:
    first = made(case("matmul", "a", 1.0), case("matmul", "b", 1.0), case("matmul", "c", 1.0), case("matmul", "d", 1.0))
    second = made(
        case("matmul", "a", 1.04),
        case("matmul", "b", 1.2),
        case("matmul", "c", 0.8, verdict=("noise",)),
        case("x", "y", 1),
    )
    pair = compare(first, second)
    assert (pair.cases, pair.apart, pair.unexplained) == (3, ("matmul/b", "matmul/c"), ("matmul/b",))
    assert compare(second, first).apart == pair.apart


def test_the_spread_between_runs_is_found_again() -> None:
    """Runs made with 5 % between them, and 2 % between the rounds of each."""
    chance = random.Random(11)
    records = []
    for _ in range(12):
        cases = []
        for number in range(40):
            whole = chance.gauss(0.0, 0.05)
            times = [math.exp(whole + chance.gauss(0.0, 0.02)) for _ in range(3)]
            cases.append(merged([replace(case("launch", str(number), t), rounds=(t,)) for t in times]))
        records.append(made(*cases))
    (row,) = between(records)
    assert (row.suite, row.cases) == ("launch", 40)
    assert row.seen == pytest.approx(0.02 / math.sqrt(3), rel=0.1)
    assert row.unseen == pytest.approx(0.05, rel=0.1)


def test_cases_of_one_round_say_nothing_of_the_spread() -> None:
    assert between([made(case("launch", "a", 1.0)), made(case("launch", "a", 2.0))]) == ()


def test_records_are_compared_from_their_files(tmp_path, capsys) -> None:
    for name, seconds in (("a", 1.0), ("b", 1.3)):
        write_record(made(case("launch", "add", seconds)), tmp_path / f"{name}.json")
    main([str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    out = capsys.readouterr().out
    assert " 1 and  2        1      1                  1" in out
    assert "1 x launch/add" in out
