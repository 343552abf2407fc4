"""By how much runs differ: the shipped rows, which of them counts, and faults in the file."""

import pytest

from flopwise.benchmarks.harness.suite import SUITES
from flopwise.estimators.errors import FactsError
from flopwise.estimators.facts import bench_spread
from flopwise.estimators.facts.bench_spread import load_run_spreads, run_spread
from flopwise.estimators.facts.yamlfile import FactFile


def test_every_device_and_suite_has_a_row_with_its_source() -> None:
    for device in ("cpu", "cuda", "mps", "xpu", "xla"):
        for suite in SUITES:
            found = run_spread(device, suite)
            assert 0 < found.deviation < 0.2
            assert found.source
    assert {row.suite for row in load_run_spreads()} <= {*SUITES, "any"}


def test_the_most_special_row_counts() -> None:
    rows = {(row.device, row.suite): row for row in load_run_spreads()}
    assert run_spread("nothing known", "launch") is rows["any", "any"]
    assert run_spread("cpu", "no such suite") is rows["cpu", "any"]
    for (device, suite), row in rows.items():
        assert run_spread(device, suite) is row


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "there must be one for any device and any suite"),
        ([{"device": "cpu", "suite": "any", "deviation": -0.1, "source": "x"}], "deviation"),
        ([{"device": "cpu", "suite": "any", "deviation": 0.1}], "source"),
        ([{"device": "cpu", "suite": "any", "deviation": 0.1, "source": "x", "guess": 3}], "true or false"),
    ],
)
def test_a_fault_in_the_file_is_named(rows, said) -> None:
    file = FactFile("spread.yaml", "", {"as_of": "2026-11-25", "rows": rows}, {})
    with pytest.raises(FactsError, match=said):
        bench_spread._rows(file)
