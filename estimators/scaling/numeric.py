"""Two classical one-dimensional searches, so that no estimate needs scipy.

Both work on the logarithm of a positive unknown (a size, a token count), where our functions are smooth and well
scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_GOLDEN = (math.sqrt(5) - 1) / 2


def minimize_log(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-7) -> float:
    """Return the x in [low, high] that minimizes a unimodal `function`, by golden-section search on ln x.

    `tolerance` is relative in x; 60 evaluations over six decades.
    """
    a, b = math.log(low), math.log(high)
    left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_left, at_right = function(math.exp(left)), function(math.exp(right))
    while b - a > tolerance:
        if at_left <= at_right:
            b, right, at_right = right, left, at_left
            left = b - _GOLDEN * (b - a)
            at_left = function(math.exp(left))
        else:
            a, left, at_left = left, right, at_right
            right = a + _GOLDEN * (b - a)
            at_right = function(math.exp(right))
    return math.exp((a + b) / 2)


def solve_log(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-12) -> float:
    """Return the x in [low, high] where `function` changes sign, by bisection on ln x.

    Raises:
        ValueError: the function has the same sign at both ends.
    """
    a, b = math.log(low), math.log(high)
    at_a, at_b = function(low), function(high)
    if at_a == 0 or at_b == 0:
        return low if at_a == 0 else high
    if (at_a > 0) == (at_b > 0):
        raise ValueError(f"no change of sign between {low:g} and {high:g}")
    while b - a > tolerance:
        middle = (a + b) / 2
        if (function(math.exp(middle)) > 0) == (at_a > 0):
            a = middle
        else:
            b = middle
    return math.exp((a + b) / 2)
