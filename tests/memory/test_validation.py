"""`flopwise validate memory`: out of fold on shipped rows, no leak, and the bars that this version meets."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopwise.benchmarks.validation.memory import MemoryResult, replay, replay_file, summarise
from flopwise.benchmarks.validation.rows import Cells, MeasuredRow, read_rows
from flopwise.estimators.facts.catalog import Catalog

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def shipped(catalog: Catalog) -> tuple[MemoryResult, ...]:
    return replay_file(None, catalog)


def median(results: list[MemoryResult]) -> float:
    sizes = sorted(abs(result.error) for result in results if result.error is not None)
    return sizes[len(sizes) // 2]


def test_the_median_error_out_of_fold_is_small_and_far_below_counting_states(shipped: tuple[MemoryResult, ...]) -> None:
    pooled = summarise(shipped)[-1]
    assert pooled.median is not None and pooled.states_only_median is not None
    assert pooled.median < 0.08
    assert pooled.states_only_median > 4 * pooled.median


def test_at_most_a_twentieth_of_the_rows_is_unsupported(shipped: tuple[MemoryResult, ...]) -> None:
    assert sum(result.status == "unsupported" for result in shipped) <= 0.05 * len(shipped)


def test_the_band_holds_on_shipped_rows(shipped: tuple[MemoryResult, ...]) -> None:
    pooled = summarise(shipped)[-1]
    assert pooled.coverage is not None
    assert 0.7 <= pooled.coverage <= 0.9


def test_shuffling_what_was_measured_destroys_the_score(catalog: Catalog, shared_data: Path) -> None:
    rows = [row for row in read_rows(shared_data / "measured" / "training_memory.csv") if row.scored]
    peaks = [row.measured for row in rows]
    random.Random(1).shuffle(peaks)
    mixed = [replace_measured(row, peak) for row, peak in zip(rows, peaks, strict=True)]
    honest = [r for r in replay(rows, catalog) if r.counts]
    shuffled = [r for r in replay(mixed, catalog) if r.counts]
    assert median(honest) < 0.1
    assert median(shuffled) > 0.4


def replace_measured(row: MeasuredRow, measured: Cells) -> MeasuredRow:
    return replace(row, measured=measured)


def test_boundaries_and_runs_out_of_memory_are_judged_apart(shipped: tuple[MemoryResult, ...]) -> None:
    assert any(result.ran_out for result in shipped)
    assert any(result.is_boundary for result in shipped)
    assert not any(result.counts for result in shipped if result.ran_out or result.is_boundary)


def test_the_command_prints_rows_and_summary_as_json(cli: Cli) -> None:
    ran = cli("validate", "memory", "--format", "json")
    assert ran.code == 0
    result = ran.json["result"]
    row = result["rows"][0]
    assert {"id", "measured", "predicted", "low", "high", "error", "status", "reason"} <= set(row)
    assert {"overall", "sources"} <= set(result["summary"])


def test_rows_of_ones_own_are_scored(cli: Cli, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text(
        "id,source,framework,model,accelerator,accelerator_count,seq_len,micro_batch,zero_or_fsdp,recompute,"
        "memory_kind,peak_memory_gib\n"
        "mine,us:runs,torchtitan,llama-3.1-8b,H100,8,8192,1,fsdp2,full,max reserved,40\n"
    )
    ran = cli("validate", "memory", "--cases", str(cases), "--format", "json")
    rows = ran.json["result"]["rows"]
    assert [row["id"] for row in rows] == ["mine"]
    assert rows[0]["status"] == "scored"


def test_a_file_without_the_columns_is_refused_in_one_sentence(cli: Cli, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text("a,b\n1,2\n")
    ran = cli("validate", "memory", "--cases", str(cases))
    assert ran.code == 2
    assert ran.err.count("\n") == 1 and "none of the columns" in ran.err
