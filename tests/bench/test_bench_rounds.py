"""Further rounds in processes of their own: what they measure joins; what goes wrong in them is said, and nothing lost."""

from __future__ import annotations

import json
import sys

import pytest

torch = pytest.importorskip("torch")

from flopwise.benchmarks.harness import matmul, rounds, suite, transfers
from flopwise.benchmarks.harness.device import open_bench
from flopwise.benchmarks.harness.runner import Budget, Session
from flopwise.benchmarks.harness.trials import Scope
from flopwise.estimators.facts.bench_records import read_record

SCOPE = Scope(level="quick", cache_bytes=2.0**20)


@pytest.fixture
def bench():
    before = torch.get_num_threads()
    yield open_bench(torch, "cpu", threads=1)
    torch.set_num_threads(before)


@pytest.fixture
def session(bench):
    """Launches, and a product that only the search would find, measured once."""
    made = Session(bench, Budget(seconds=None, trial_s=0.01, least_trial_s=0.001))
    made.run([*transfers.launch_trials(SCOPE), matmul.trial("fp32", 64, 96, 128, "nt")])
    return made


def further(bench, session, count=1, **options):
    return rounds.further(
        bench, session, SCOPE, count, make=lambda scope: list(transfers.launch_trials(scope)), **options
    )


def instead(monkeypatch, code: str) -> None:
    """Let `code` run in place of the round's own process."""
    real = rounds.subprocess.Popen

    def start(command, **options):
        return real([sys.executable, "-c", code], **options)

    monkeypatch.setattr(rounds.subprocess, "Popen", start)


def test_a_round_measures_the_same_trials_in_another_process(bench, session) -> None:
    first = {case.id: case for case in session.cases}
    heard: list[int] = []
    assert further(bench, session, 2, on_round=heard.append) == ()
    assert session.processes == 3
    assert heard == [len(first)] * 2
    for case in session.cases:
        assert len(case.rounds) == 3
        assert case.rounds[0] == pytest.approx(first[case.id].median_s)
        assert len(case.samples) > len(first[case.id].samples)
        assert case.what == first[case.id].what


def test_a_process_that_cannot_start_is_replaced_by_a_round_in_this_one_and_said(bench, session, monkeypatch) -> None:
    instead(monkeypatch, "import sys; sys.exit('the device is exclusive')")
    said = further(bench, session, 2)
    assert session.processes == 1
    assert said == ("Another process could not measure (the device is exclusive); all rounds ran in one.",)
    assert {len(case.rounds) for case in session.cases} == {3}


def test_a_process_that_dies_half_way_leaves_what_it_measured(bench, session, monkeypatch) -> None:
    sent = session.cases[0]
    line = json.dumps(rounds.case_data(sent))
    instead(monkeypatch, f'import os; print({line!r}); print(\'{{"id": "cut\', flush=True); os.abort()')
    assert further(bench, session) == ()
    assert session.processes == 2
    assert [len(case.rounds) for case in session.cases] == [2] + [1] * (len(session.cases) - 1)


def test_an_interrupt_during_a_round_ends_its_process_and_keeps_what_is_done(bench, session, monkeypatch) -> None:
    sent = json.dumps(rounds.case_data(session.cases[0]))
    instead(monkeypatch, f"import time; print({sent!r}, flush=True); time.sleep(600)")
    started = []
    real = rounds.subprocess.Popen

    def start(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(rounds.subprocess, "Popen", start)

    def interrupt(case) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "_on_case", interrupt)
    with pytest.raises(KeyboardInterrupt):
        further(bench, session)
    assert session.stopped == "interrupted"
    assert len(session.cases[0].rounds) == session.processes == 2
    assert started[0].poll() is not None


def test_without_time_no_process_is_started(bench, session, monkeypatch) -> None:
    monkeypatch.setattr(rounds.subprocess, "Popen", None)
    session.budget = Budget(seconds=0.0, trial_s=0.01)
    assert further(bench, session, 2) == ()
    assert session.processes == 1
    assert {len(case.rounds) for case in session.cases} == {1}


def test_a_device_that_one_process_holds_is_measured_again_in_it(bench, session, monkeypatch) -> None:
    monkeypatch.setattr(rounds.subprocess, "Popen", None)
    monkeypatch.setattr(rounds, "_ALONE", ("cpu",))
    said = further(bench, session)
    assert session.processes == 1
    assert said == ("One process holds this device; another run may differ by more than the intervals say.",)
    assert {len(case.rounds) for case in session.cases} == {2}


def test_a_run_keeps_how_many_processes_measured(bench, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(suite._BUDGETS, "quick", (None, None, 0.03))
    kept, ended = suite.run(bench, suite.Asked(level="quick", only=("launch",)), tmp_path / "r.json")
    assert ended is None
    again = read_record(tmp_path / "r.json")
    assert again.settings["processes"] == again.settings["rounds"] == 3
    assert {len(case.rounds) for case in again.cases if case.is_measured} == {3}
    assert [case.rounds for case in again.cases] == [
        tuple(float(f"{value:.6g}") for value in case.rounds) for case in kept.cases
    ]
