"""The runner: what does not fit, fails or computes wrong numbers becomes a case; what was measured is kept."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pytest

from flopwise.benchmarks.harness.clocks import HostClock
from flopwise.benchmarks.harness.measure import Timing
from flopwise.benchmarks.harness.runner import Budget, Session, Stopped, merged
from flopwise.benchmarks.harness.sensors import Sensors
from flopwise.benchmarks.harness.trials import Built, Trial, Unsupported
from flopwise.estimators.facts.bench_records import Case
from flopwise.estimators.frozen import replace


class Steady:
    """A clock on which every call takes a hundredth of a second."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    def sample(self, run, inner: int) -> Timing:
        for _ in range(inner):
            run()
        self.passed += 0.01 * inner
        return Timing(0.01 * inner)


def made_bench(room: float = 1e9) -> SimpleNamespace:
    clock = Steady()
    return SimpleNamespace(
        room_bytes=lambda: room,
        free=lambda: None,
        clock=lambda host=False: clock,
        sensors=Sensors(),
        is_out_of_memory=lambda error: isinstance(error, MemoryError),
        now=clock.now,
    )


def trial(name: str, built: Built | None = None, error: BaseException | None = None, **facts) -> Trial:
    def build(bench) -> Built:
        if error:
            raise error
        return built or Built(run=lambda: None)

    return Trial(suite="matmul", name=name, what={"format": "fp32"}, build=build, **facts)


def session(bench: SimpleNamespace, seconds: float | None = None) -> Session:
    return Session(bench, Budget(seconds=seconds, trial_s=0.2), now=bench.now)


def statuses(run: Session) -> dict[str, str]:
    return {case.id.partition("/")[2]: case.status for case in run.cases}


def test_each_way_to_fail_is_a_case_and_the_run_goes_on() -> None:
    run = session(made_bench())
    run.run(
        [
            trial("unsupported", error=Unsupported("no such format")),
            trial("memory", error=MemoryError()),
            trial("broken", error=RuntimeError("first line\nsecond line")),
            trial("wrong", Built(run=lambda: None, check=lambda: 0.5, tolerance=0.01)),
            trial("nan", Built(run=lambda: None, check=lambda: float("nan"), tolerance=0.01)),
            trial("right", Built(run=lambda: None, check=lambda: 0.001, tolerance=0.01)),
        ]
    )
    assert statuses(run) == {
        "unsupported": "unsupported",
        "memory": "out of memory",
        "broken": "failed",
        "wrong": "wrong",
        "nan": "wrong",
        "right": "measured",
    }
    assert run.cases[2].reason == "first line"
    assert "0.5 from a higher precision" in run.cases[3].reason


def test_a_shape_that_cannot_fit_is_not_tried() -> None:
    run = session(made_bench(room=1e9))
    run.run([trial("large", error=AssertionError("it was tried"), needs_bytes=9e8)])
    assert statuses(run) == {"large": "out of memory"}
    assert "858 MiB" in run.cases[0].reason


def test_an_interrupted_run_keeps_what_is_done() -> None:
    run = session(made_bench())
    with pytest.raises(KeyboardInterrupt):
        run.run([trial("first"), trial("second", error=KeyboardInterrupt()), trial("third")])
    assert statuses(run) == {"first": "measured"}
    assert run.stopped == "interrupted"


@pytest.mark.parametrize(
    "said", ["[tcp/pair.cc:537] Read error: Connection reset by peer", "Connection closed by peer [127.0.0.1]:9"]
)
def test_a_dead_rank_ends_the_run_with_its_reason_and_keeps_what_is_done(said: str) -> None:
    run = session(made_bench())
    with pytest.raises(Stopped, match="another rank is gone during matmul/second"):
        run.run([trial("first"), trial("second", error=RuntimeError(said)), trial("third")])
    assert statuses(run) == {"first": "measured"}
    assert "another rank is gone" in run.stopped


def test_when_time_is_up_the_rest_is_skipped_by_name() -> None:
    run = session(made_bench(), seconds=1.0)
    run.run([trial(str(i)) for i in range(60)])
    found = [case.status for case in run.cases]
    assert found[0] == "measured" and found[-1] == "skipped"
    assert len(found) == 60


def test_the_time_left_is_shared_out_so_that_the_last_trials_get_some() -> None:
    bench = made_bench()
    run = session(bench, seconds=10.0)
    run.run([trial(str(i)) for i in range(40)])
    assert all(case.is_measured for case in run.cases)
    assert bench.now() <= 10.5


def test_a_format_that_is_hopelessly_slow_is_foreseen() -> None:
    run = session(made_bench())
    run.run(
        [
            trial("small", flops=1e6, rate_key="fp16"),
            trial("large", flops=1e12, rate_key="fp16", error=AssertionError()),
        ]
    )
    assert statuses(run) == {"small": "measured", "large": "skipped"}
    assert "one call would take about" in run.cases[1].reason


def test_the_clock_of_the_host_measures_something() -> None:
    found = HostClock().sample(lambda: sum(range(1000)), 10)
    assert found.seconds > 0 and found.waited == 0.0


def test_rounds_that_agree_narrow_the_interval_and_rounds_that_differ_widen_it_and_say_so() -> None:
    run = session(made_bench())
    run.run([trial("it")])
    (first,) = run.cases
    known_to = replace(first, low_s=0.97 * first.median_s, high_s=1.03 * first.median_s)
    agreeing = merged([known_to, known_to, known_to])
    assert agreeing.median_s == pytest.approx(first.median_s)
    assert known_to.low_s < agreeing.low_s < first.median_s < agreeing.high_s < known_to.high_s
    assert agreeing.verdict == ()
    slower = replace(first, median_s=1.2 * first.median_s, low_s=1.2 * first.low_s, high_s=1.2 * first.high_s)
    apart = merged([first, slower, first])
    assert apart.low_s < first.low_s < slower.high_s < apart.high_s
    assert "3 rounds differ by 20%" in apart.verdict
    assert len(apart.samples) == 3 * len(first.samples)
    assert apart.rounds == (first.median_s, slower.median_s, first.median_s)


def test_what_no_run_sees_of_itself_is_in_every_interval() -> None:
    bench = made_bench()
    run = Session(bench, Budget(seconds=None, trial_s=0.2), now=bench.now, run_spread=lambda suite: 0.03)
    run.run([trial("it")])
    (once,) = run.cases
    assert once.high_s / once.median_s == pytest.approx(math.exp(1.96 * 0.03), rel=1e-6)
    assert once.median_s / once.low_s == pytest.approx(math.exp(1.96 * 0.03), rel=1e-6)
    run.again([trial("it")])
    assert run.cases[0].high_s / run.cases[0].median_s >= math.exp(1.96 * 0.03) * (1 - 1e-9)


@pytest.mark.parametrize(("count", "least"), [(3, 0.95), (4, 0.95), (5, 0.95)])
def test_intervals_of_rounds_cover_the_truth_as_often_as_they_say(count: int, least: float) -> None:
    """Rounds that differ by 6 % and samples that do not: what two processes of one program look like."""
    chance = random.Random(5)
    run = session(made_bench())
    run.run([trial("it")])
    (first,) = run.cases

    def one_round() -> Case:
        median = first.median_s * math.exp(chance.gauss(0.0, 0.06))
        return replace(first, median_s=median, low_s=0.99 * median, high_s=1.01 * median)

    found = [merged([one_round() for _ in range(count)]) for _ in range(4000)]
    covered = sum(each.low_s <= first.median_s <= each.high_s for each in found) / len(found)
    assert covered > least - 0.01
    pairs = list(zip(found[::2], found[1::2], strict=True))
    apart = sum(a.low_s > b.high_s or b.low_s > a.high_s for a, b in pairs) / len(pairs)
    assert apart < 0.02


def test_measuring_again_joins_rounds_and_stops_when_time_is_up() -> None:
    run = session(made_bench(), seconds=3.0)
    trials = [trial(str(i)) for i in range(4)]
    run.run(trials)
    counts = [len(case.samples) for case in run.cases]
    assert run.again(trials)
    assert all(len(case.samples) > count for case, count in zip(run.cases, counts, strict=True))
    while run.again(trials):
        pass
    assert len(run.cases) == 4


def test_what_was_measured_in_one_round_says_so_and_what_was_in_two_does_not() -> None:
    run = session(made_bench())
    first, second = trial("first"), trial("second")
    run.run([first, second])
    run.again([first])
    run.settle()
    run.settle()  # saying it twice would be once too often
    assert [len(case.rounds) for case in run.cases] == [2, 1]
    assert run.cases[0].verdict == ()
    assert run.cases[1].verdict == ("measured in one round only: by how much another run would differ is not known",)


def test_a_result_that_is_wrong_in_any_round_is_wrong() -> None:
    errors = iter([0.001, 0.5, 0.001])
    it = trial("it", Built(run=lambda: None, check=lambda: next(errors), tolerance=0.01))
    run = session(made_bench())
    run.run([it])
    assert statuses(run) == {"it": "measured"}
    run.again([it])
    assert statuses(run) == {"it": "wrong"}
    run.again([it])
    assert statuses(run) == {"it": "wrong"}


def test_a_trial_that_fails_in_a_later_round_keeps_the_first() -> None:
    run = session(made_bench())
    run.run([trial("it")])
    (before,) = run.cases
    run.again([trial("it", error=RuntimeError("gone"))])
    assert run.cases == [before]
