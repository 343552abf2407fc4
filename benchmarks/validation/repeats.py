"""Whether runs of `bench run` on one machine agree: `python -m flopwise.benchmarks.validation.repeats RECORD...`.

For each pair of records: of the cases that both measured, those whose 95 % intervals have no point in common, and those
of them that neither run called noisy (the intervals of these were wrong and nothing said so). For the first kind a few
are due: intervals of 95 % of two runs lie apart in about one case of two hundred even where nothing is amiss. Below,
how far runs differ in each suite beyond what their rounds see, which is what `data/bench_spread.yaml` holds.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...estimators.facts.bench_records import Case, Record, read_record
from ...estimators.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two runs: cases that both measured, ids of those apart, and ids of those apart that neither calls noisy."""

    cases: int
    apart: tuple[str, ...]
    unexplained: tuple[str, ...]


def compare(first: Record, second: Record) -> Pair:
    """Return how two runs of one machine agree."""
    earlier = {case.id: case for case in first.cases if case.is_measured}
    both = [(earlier[case.id], case) for case in second.cases if case.is_measured and case.id in earlier]
    apart = [(a, b) for a, b in both if a.low_s > b.high_s or b.low_s > a.high_s]
    return Pair(
        cases=len(both),
        apart=tuple(b.id for _, b in apart),
        unexplained=tuple(b.id for a, b in apart if not a.verdict and not b.verdict),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Of a suite: root mean square over its cases of the standard deviation of the logarithm of the time.

    `between` runs as they came, `seen` by the rounds within runs, and `unseen`, the root of the difference of their
    squares: the `deviation` of `data/bench_spread.yaml`.
    """

    suite: str
    cases: int
    between: float
    seen: float

    @property
    def unseen(self) -> float:
        """What no run sees of itself."""
        return math.sqrt(max(0.0, self.between**2 - self.seen**2))


def between(records: Sequence[Record]) -> tuple[Between, ...]:
    """Return for each suite how runs differ, over cases that all of them measured in two rounds or more."""
    found: dict[str, dict[str, list[Case]]] = {}
    for record in records:
        for case in record.cases:
            if case.is_measured and len(case.rounds) > 1:
                found.setdefault(case.suite, {}).setdefault(case.id, []).append(case)
    rows = []
    for suite, by_id in found.items():
        whole = [cases for cases in by_id.values() if len(cases) == len(records) > 1]
        if whole:
            rows.append(
                Between(
                    suite=suite,
                    cases=len(whole),
                    between=_root_mean(_variance([case.median_s for case in cases]) for cases in whole),
                    seen=_root_mean(_variance(case.rounds) / len(case.rounds) for cases in whole for case in cases),
                )
            )
    return tuple(rows)


def _variance(seconds: Sequence[float]) -> float:
    logs = [math.log(each) for each in seconds]
    middle = math.fsum(logs) / len(logs)
    return math.fsum((each - middle) ** 2 for each in logs) / (len(logs) - 1)


def _root_mean(variances: Iterable[float]) -> float:
    listed = list(variances)
    return math.sqrt(math.fsum(listed) / len(listed))


def main(paths: Sequence[str]) -> None:
    """Print one line a pair, the cases behind it, and the spread between runs."""
    records = [read_record(Path(path)) for path in paths]
    names: dict[str, int] = {}
    print(f"{'pair':<12} {'cases':>6} {'apart':>6} {'without a verdict':>18}")
    for one, other in itertools.combinations(range(len(records)), 2):
        pair = compare(records[one], records[other])
        print(f"{one + 1:>2} and {other + 1:>2}   {pair.cases:>6} {len(pair.apart):>6} {len(pair.unexplained):>18}")
        for name in pair.unexplained:
            names[name] = names.get(name, 0) + 1
    for name, count in sorted(names.items(), key=lambda each: -each[1]):
        print(f"  {count} x {name}")
    print(f"{'between runs':<16} {'cases':>6} {'in all':>7} {'seen':>7} {'unseen':>7}   (standard deviations)")
    for row in between(records):
        print(f"{row.suite:<16} {row.cases:>6} {row.between:>7.1%} {row.seen:>7.1%} {row.unseen:>7.1%}")
    for number, record in enumerate(records, start=1):
        measured = [case for case in record.cases if case.is_measured]
        quiet = sum(not case.verdict for case in measured)
        half = sorted(math.log(case.high_s / case.low_s) / 2 for case in measured)[len(measured) // 2]
        print(
            f"{number:>2}: {record.seconds:.0f} s, {quiet} of {len(measured)} quiet, intervals ±{half:.1%} in the median"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
