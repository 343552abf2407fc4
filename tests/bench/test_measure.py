"""How one thing is timed, on clocks that the tests wind themselves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.benchmarks.harness.measure import Effort, Timing, measure
from flopwise.benchmarks.harness.sensors import DeviceWatch, Sensors
from flopwise.benchmarks.harness.statistics import drift, overlap, spread


class Wound:
    """A clock that says what it was told, whatever the function does."""

    def __init__(self, seconds: Iterator[float], waited: Iterator[float] | None = None) -> None:
        self._seconds, self._waited, self._passed = seconds, waited, 0.0
        self.inners: list[int] = []

    def now(self) -> float:
        return self._passed

    def sample(self, run: Callable[[], object], inner: int) -> Timing:
        self.inners.append(inner)
        run()
        seconds = next(self._seconds) * inner
        self._passed += seconds
        return Timing(seconds, next(self._waited) if self._waited else 0.0)


def forever(value: float) -> Iterator[float]:
    while True:
        yield value


def around(middle: float, width: float, seed: int = 1) -> Iterator[float]:
    chance = random.Random(seed)
    while True:
        yield middle * (1 + width * (2 * chance.random() - 1))


class Told(Sensors):
    def __init__(self, throttled: tuple[str, ...] = (), others: tuple[str, ...] = ()) -> None:
        self._throttled, self._others = throttled, others

    def throttling(self) -> tuple[str, ...]:
        return self._throttled

    def foreigners(self) -> tuple[str, ...]:
        return self._others

    def conditions(self) -> dict[str, float]:
        return {"temperature_c": 84.0}


QUICK = Effort(seconds=1.0, warm_up_s=0.05)


def test_a_steady_clock_is_quiet_and_stops_early() -> None:
    found = measure(lambda: None, clock=Wound(forever(0.01)), effort=QUICK)
    assert found.is_quiet
    assert found.spread.median == pytest.approx(0.01)
    assert len(found.samples) < 20


def test_a_noisy_clock_is_called_noisy_and_uses_its_time() -> None:
    found = measure(lambda: None, clock=Wound(around(0.01, 0.6)), effort=QUICK)
    assert any("spread" in reason for reason in found.verdict)
    assert sum(found.samples) >= 1.0


def test_short_calls_are_repeated_inside_a_sample_only_when_the_cache_is_warm() -> None:
    warm, cold = Wound(forever(1e-5)), Wound(forever(1e-5))
    assert measure(lambda: None, clock=warm, effort=QUICK).inner == 100
    assert measure(lambda: None, clock=cold, effort=QUICK, is_cold=True).inner == 1
    assert set(cold.inners) == {1}


def test_the_slow_first_calls_are_warm_up_and_do_not_count() -> None:
    def rising() -> Iterator[float]:
        yield from (1.0, 0.5, 0.2)
        yield from forever(0.01)

    found = measure(lambda: None, clock=Wound(rising()), effort=Effort(seconds=1.0, warm_up_s=5.0))
    assert max(found.samples) == pytest.approx(0.01)
    assert found.warm_up_calls >= 6


def test_data_are_made_anew_before_every_sample() -> None:
    made: list[int] = []
    found = measure(lambda: None, clock=Wound(forever(0.02)), effort=QUICK, prepare=lambda: made.append(1))
    assert len(made) == len(found.samples) + found.warm_up_calls


def test_samples_that_waited_for_others_are_left_out() -> None:
    seconds = iter([0.01] * 8 + [0.04, 0.01] * 200)
    waits = iter([0.0] * 8 + [0.75, 0.0] * 200)
    found = measure(lambda: None, clock=Wound(seconds, waits), effort=QUICK)
    assert not found.is_corrected
    assert found.spread.high == pytest.approx(0.01)


def test_where_all_waited_the_waiting_is_taken_off_and_the_verdict_says_so() -> None:
    found = measure(lambda: None, clock=Wound(forever(0.04), forever(0.75)), effort=QUICK)
    assert found.is_corrected
    assert found.spread.median == pytest.approx(0.01)
    assert any("75%" in reason and "rough" in reason for reason in found.verdict)
    assert found.samples[0] == pytest.approx(0.04)  # what was seen stays in the record


def test_a_throttled_device_is_named_with_the_reason() -> None:
    watch = DeviceWatch(Told(throttled=("the power cap",)))
    found = measure(lambda: None, clock=Wound(forever(0.01)), effort=QUICK, watch=watch)
    assert found.verdict == ("throttled by the power cap",)
    assert watch.after["temperature_c"] == 84.0


def test_another_process_on_the_device_is_named() -> None:
    watch = DeviceWatch(Told(others=("process 4711",)))
    found = measure(lambda: None, clock=Wound(forever(0.01)), effort=QUICK, watch=watch)
    assert found.verdict == ("process 4711 is on the device too",)


def test_a_device_that_slows_down_is_noticed() -> None:
    heating = (0.01 * (1 + i / 100) for i in range(10_000))
    found = measure(lambda: None, clock=Wound(heating), effort=Effort(seconds=1.0, warm_up_s=0.0, target=0.0))
    assert any("slower while measuring" in reason for reason in found.verdict)


def test_a_call_far_over_its_budget_ends_after_few_samples() -> None:
    found = measure(lambda: None, clock=Wound(forever(3.0)), effort=QUICK)
    assert len(found.samples) <= 3


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60))
def test_the_interval_holds_the_median_and_lies_within_the_samples(samples: list[float]) -> None:
    found = spread(samples)
    assert min(samples) <= found.low <= found.median <= found.high <= max(samples)
    assert found.best == min(samples)


def test_the_interval_of_the_median_has_the_rank_of_the_tables() -> None:
    # Conover, table A3: for n = 20 the 95 % interval of the median runs from the 6th to the 15th.
    found = spread([float(i) for i in range(1, 21)])
    assert (found.low, found.high) == (6.0, 15.0)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(7)
    hits = 0
    for _ in range(400):
        found = spread([chance.lognormvariate(0.0, 0.5) for _ in range(25)])
        hits += found.low <= 1.0 <= found.high
    assert hits >= 0.93 * 400


def test_drift_needs_more_than_scatter() -> None:
    assert drift([1.0, 1.2, 0.9, 1.1] * 6) == 0.0
    assert drift([1.0] * 10 + [1.1] * 10 + [1.3] * 10) == pytest.approx(0.3)


def test_two_runs_overlap_or_do_not() -> None:
    assert overlap(spread([1.0, 1.1, 1.2]), spread([1.15, 1.3]))
    assert not overlap(spread([1.0, 1.1]), spread([1.2, 1.3]))
