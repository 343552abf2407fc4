"""The runner: what does not fit, fails or computes wrong numbers becomes a case; what was measured is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flopwise.benchmarks.harness.clocks import HostClock
from flopwise.benchmarks.harness.measure import Timing
from flopwise.benchmarks.harness.runner import Budget, Session, Stopped, merged
from flopwise.benchmarks.harness.sensors import Sensors
from flopwise.benchmarks.harness.trials import Built, Trial, Unsupported
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


def test_bursts_that_agree_narrow_the_interval_and_bursts_that_differ_widen_it_and_say_so() -> None:
    run = session(made_bench())
    run.run([trial("it")])
    (first,) = run.cases
    agreeing = merged([first, first, first])
    assert agreeing.median_s == pytest.approx(first.median_s)
    assert agreeing.low_s < first.median_s < agreeing.high_s
    assert agreeing.verdict == ()
    slower = replace(first, median_s=1.2 * first.median_s, low_s=1.2 * first.low_s, high_s=1.2 * first.high_s)
    apart = merged([first, slower, first])
    assert apart.low_s < first.low_s < slower.high_s < apart.high_s
    assert "3 bursts some time apart differ by 20%" in apart.verdict
    assert len(apart.samples) == 3 * len(first.samples)


def test_measuring_again_joins_bursts_and_stops_when_time_is_up() -> None:
    run = session(made_bench(), seconds=3.0)
    trials = [trial(str(i)) for i in range(4)]
    run.run(trials)
    counts = [len(case.samples) for case in run.cases]
    assert run.again(trials)
    assert all(len(case.samples) > count for case, count in zip(run.cases, counts, strict=True))
    while run.again(trials):
        pass
    assert len(run.cases) == 4
