"""Records: written whole or not at all, read back the same, refused when damaged or of another version."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from flopwise.benchmarks.harness.compare import changes
from flopwise.benchmarks.harness.store import default_path, new_id, write_record
from flopwise.estimators.errors import FactsError, InputError
from flopwise.estimators.facts.bench_records import find_record, read_record, record_files

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)


def kept(path: Path, **changed: object) -> Path:
    write_record(made.record(made.cases()), path)
    data = json.loads(path.read_text()) | changed
    path.write_text(json.dumps(data))
    return path


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    wanted = made.record(made.cases())
    write_record(wanted, tmp_path / "a.json")
    found = read_record(tmp_path / "a.json")
    assert found.device == wanted.device
    assert [case.id for case in found.cases] == [case.id for case in wanted.cases]
    assert found.cases[0].median_s == wanted.cases[0].median_s
    assert found.best_flops["fp32"].flops_per_s == pytest.approx(made.FLOPS)


def test_a_record_that_was_cut_short_says_so(tmp_path: Path) -> None:
    path = kept(tmp_path / "a.json")
    path.write_text(path.read_text()[:-200])
    with pytest.raises(FactsError, match=r"a\.json.* is damaged: it is not whole JSON; measure again"):
        read_record(path)


def test_a_record_of_an_older_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match=r"older flopwise \(schema 0, now 1\); measure again"):
        read_record(kept(tmp_path / "a.json", schema="flopwise.bench/0"))


def test_a_record_of_a_newer_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(FactsError, match=r"newer flopwise \(schema 9, this one reads 1\)"):
        read_record(kept(tmp_path / "a.json", schema="flopwise.bench/9"))


def test_another_json_file_is_not_a_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(FactsError, match="is not a record of `flopwise bench run`"):
        read_record(tmp_path / "a.json")


def test_a_record_with_a_part_missing_names_it(tmp_path: Path) -> None:
    path = kept(tmp_path / "a.json")
    data = json.loads(path.read_text())
    del data["device"]
    path.write_text(json.dumps(data))
    with pytest.raises(FactsError, match="'device' is missing"):
        read_record(path)


def test_times_out_of_order_are_damage(tmp_path: Path) -> None:
    path = kept(tmp_path / "a.json")
    data = json.loads(path.read_text())
    data["cases"][0]["low_s"] = 9e9
    path.write_text(json.dumps(data))
    with pytest.raises(FactsError, match="has no ordered times"):
        read_record(path)


def test_a_record_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder is needed")
    with pytest.raises(InputError, match="cannot write the record"):
        write_record(made.record(made.cases()), tmp_path / "folder" / "a.json")
    assert [each.name for each in tmp_path.iterdir() if each.name not in ("folder", "home")] == []


def test_records_are_found_by_the_beginning_of_their_id_and_latest_is_the_last(tmp_path: Path) -> None:
    for name in ("20261101-080000-a", "20261124-120000-b"):
        write_record(made.record(made.cases(), name), default_path(name))
    assert [path.stem for path in record_files()] == ["20261101-080000-a", "20261124-120000-b"]
    assert find_record("latest").stem == "20261124-120000-b"
    assert find_record("20261101").stem == "20261101-080000-a"
    with pytest.raises(InputError, match="could be 20261101-080000-a, 20261124-120000-b"):
        find_record("2026")
    with pytest.raises(InputError, match="neither a file nor the id"):
        find_record("nothing")


def test_without_records_the_way_out_is_named() -> None:
    with pytest.raises(InputError, match="run `flopwise bench run --quick`"):
        find_record("latest")


def test_ids_sort_by_time_and_are_file_names() -> None:
    assert new_id("2026-11-24T12:00:00+00:00", "AMD EPYC 9654 (R)") == "20261124-120000-amd-epyc-9654-r"


def test_a_change_needs_intervals_apart_and_two_percent() -> None:
    first = made.record((made.product("fp32", 512, 512, 512),))
    for rate, word in ((1.0, "same"), (1.01, "same"), (1.04, "same"), (1.2, "faster"), (0.8, "slower")):
        second = made.record((made.product("fp32", 512, 512, 512, rate * made.FLOPS),))
        (change,) = changes(first, second)
        assert change.word == word, rate
