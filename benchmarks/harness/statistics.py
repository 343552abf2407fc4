"""Statistics of repeated timings: the median with its confidence interval, and whether the samples can be trusted.

Timings are skewed and have outliers, so nothing here assumes a normal distribution. The interval of the median comes
from order statistics: with n samples the number below the true median is binomial(n, 1/2), so the samples of rank l and
n + 1 - l enclose it with a probability that can be summed exactly (Conover, Practical Nonparametric Statistics, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...estimators.frozen import dataclass

CONFIDENCE = 0.95
NOISY_SPREAD = 0.10  # interquartile range over median; torch.utils.benchmark warns at the same point
DRIFT = 0.05  # between the medians of the first and the last third


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle of the samples, its confidence interval, and the quartiles."""

    median: float
    low: float  # of the 95 % confidence interval of the median
    high: float
    best: float
    quartile_1: float
    quartile_3: float
    count: int

    @property
    def half_width(self) -> float:
        """Half of the confidence interval as a share of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0

    @property
    def iqr(self) -> float:
        """The interquartile range as a share of the median."""
        return (self.quartile_3 - self.quartile_1) / self.median if self.median else 0.0


def spread(samples: Sequence[float]) -> Spread:
    """Return the statistics of at least one sample; with fewer than six the interval is the whole range."""
    ordered = sorted(samples)
    n = len(ordered)
    rank = _rank(n)
    return Spread(
        median=quantile(ordered, 0.5),
        low=ordered[rank],
        high=ordered[n - 1 - rank],
        best=ordered[0],
        quartile_1=quantile(ordered, 0.25),
        quartile_3=quantile(ordered, 0.75),
        count=n,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile of sorted samples, linear between neighbours."""
    spot = share * (len(ordered) - 1)
    below = math.floor(spot)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (spot - below)


def overlap(first: Spread, second: Spread) -> bool:
    """Whether the confidence intervals of two medians have a point in common."""
    return first.low <= second.high and second.low <= first.high


def drift(samples: Sequence[float]) -> float:
    """Return by how much the last third is slower than the first, as a share (in the order of measuring).

    0 where there are too few samples to tell, or where the change is within the spread of either third.
    """
    third = len(samples) // 3
    if third < 4:
        return 0.0
    first, last = spread(samples[:third]), spread(samples[-third:])
    if overlap(first, last):
        return 0.0
    return last.median / first.median - 1.0


def _rank(n: int) -> int:
    """Return the largest rank (from 0) whose order statistics enclose the median with the wanted confidence."""
    tail, rank = 0.0, 0
    while rank < n // 2:
        tail += math.comb(n, rank) / 2**n
        if 1 - 2 * tail < CONFIDENCE:
            break
        rank += 1
    return max(0, rank - 1)
