"""How many examples a fine-tune needs, what they cost, and how to measure one's own curve.

There are no universal coefficients: usual numbers by goal come with wide ranges, and the slope of test loss over the
number of examples, loss ~ n^-s, was .06 to .15 on three tasks (own medians over 30 models, data of arXiv:2402.02314).
Hence the advice to train on 3 to 5 sizes, each twice the last, and to read the slope from them:

    s = -d ln(loss - floor) / d ln n        (least squares; floor 0 unless known)
    doubling the examples cuts the loss by 1 - 2^-s
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import InputError
from ..facts.datacosts import BAND, DataCosts, FinetuneNeed
from ..facts.scaling import find_card
from ..frozen import dataclass
from ..quantity import Quantity
from .labels import By, LabelJob, label_lines
from .lines import CostLine, Totals, totals

LEAST_SIZES = 3
_CURVE_STEP = 2.0
_CURVE_SIZES = 5
_Z80 = 1.2816  # of a normal: 80 % lie within


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCurve:
    """The user's own learning curve: slope with its 80 % band, and the cut of one doubling."""

    slope: Quantity
    doubling: Quantity
    points: tuple[tuple[float, float], ...]

    def loss_at(self, examples: float) -> float:
        """Return the loss that the curve gives at `examples`, through the middle of the points."""
        n = math.exp(math.fsum(math.log(each[0]) for each in self.points) / len(self.points))
        loss = math.exp(math.fsum(math.log(each[1]) for each in self.points) / len(self.points))
        return float(loss * (examples / n) ** -self.slope.mid)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetunePlan:
    """Examples for a goal, their money, and the sizes on which to measure one's own curve."""

    goal: FinetuneNeed
    examples: Quantity
    lines: tuple[CostLine, ...]
    totals: Totals
    slope: Quantity
    doubling: Quantity
    curve_sizes: tuple[int, ...]
    own: OwnCurve | None
    to_reach: float | None  # examples for the wanted loss, from the own curve


def usual_slope() -> Quantity:
    """Return the slope s of loss ~ n^-s over three tasks."""
    values = sorted(find_card("finetune-slope").coefficients.values())
    return Quantity(
        values[0], values[1], values[-1], "", "three tasks", "own medians over 30 models (data of arXiv:2402.02314)"
    )


def doubling_cut(slope: Quantity) -> Quantity:
    """Return by which share one doubling of the examples cuts the loss."""
    low, mid, high = (1 - 2.0**-each for each in (slope.low, slope.mid, slope.high))
    return Quantity(low, mid, high, "fraction", slope.band, slope.basis)


def read_curve(points: Sequence[tuple[float, float]]) -> OwnCurve:
    """Return the slope of the user's own (examples, loss) points.

    Raises:
        InputError: fewer than three sizes, or the losses do not fall.
    """
    ordered = sorted(points)
    if len({n for n, _ in ordered}) < LEAST_SIZES:
        raise InputError(
            f"--curve: {len(ordered)} sizes are too few to read a slope from; train on {LEAST_SIZES} to 5, each twice "
            "the last."
        )
    x = [math.log(n) for n, _ in ordered]
    y = [math.log(loss) for _, loss in ordered]
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    sxx = math.fsum((a - mx) ** 2 for a in x)
    slope = -math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sxx
    if slope <= 0:
        raise InputError("--curve: the loss does not fall with more examples; more of them would not help.")
    left = math.fsum((b - my + slope * (a - mx)) ** 2 for a, b in zip(x, y, strict=True))
    error = math.sqrt(left / max(1, len(x) - 2) / sxx)
    half = min(_student(len(x) - 2) * error, slope * 0.99)
    found = Quantity(slope - half, slope, slope + half, "", BAND, f"least squares on {len(x)} sizes of your own")
    return OwnCurve(slope=found, doubling=doubling_cut(found), points=tuple(ordered))


def finetune_plan(
    goal: FinetuneNeed,
    costs: DataCosts,
    *,
    examples: float | None = None,
    by: By = By.PEOPLE,
    curve: Sequence[tuple[float, float]] = (),
    target_loss: float | None = None,
    annotators: float | None = None,
) -> FinetunePlan:
    """Return examples and their cost; `examples` overrules the usual number.

    Raises:
        InputError: a target loss without a curve, or one that the curve never reaches.
    """
    own = read_curve(curve) if curve else None
    to_reach = None
    if target_loss is not None:
        if own is None:
            raise InputError("--target-loss: it needs your own curve; give --curve N:LOSS for 3 to 5 sizes.")
        n, loss = own.points[-1]
        to_reach = max(n, n * (own.loss_at(n) / target_loss) ** (1 / own.slope.mid)) if target_loss < loss else n
    wanted = goal.examples
    if to_reach is not None or examples is not None:
        value = examples if examples is not None else to_reach or 0.0
        wanted = Quantity(value, value, value, "items", "exact", "given" if examples is not None else "your own curve")
    lines = label_lines(LabelJob(items=wanted, kind=costs.label(goal.label), by=by, annotators=annotators), costs)
    slope = own.slope if own else usual_slope()
    return FinetunePlan(
        goal=goal,
        examples=wanted,
        lines=lines,
        totals=totals(lines),
        slope=slope,
        doubling=own.doubling if own else doubling_cut(slope),
        curve_sizes=curve_sizes(wanted.low),
        own=own,
        to_reach=to_reach,
    )


def curve_sizes(examples: float) -> tuple[int, ...]:
    """Return the sizes to train on first: five, each twice the last, the largest the low end of what is usual."""
    return tuple(max(1, round(examples / _CURVE_STEP**step)) for step in reversed(range(_CURVE_SIZES)))


def _student(freedom: int) -> float:
    """Return the 90 % quantile of Student's t (one side), which an 80 % band needs."""
    return {0: 3.08, 1: 3.078, 2: 1.886, 3: 1.638, 4: 1.533, 5: 1.476}.get(freedom, _Z80 * 1.1)
