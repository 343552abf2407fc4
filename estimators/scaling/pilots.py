"""What pilot runs say beyond one forecast: the best D/N with its band, how the protocol does on the runs themselves,
and which further pilot would narrow the forecast most for its cost.

A next pilot helps in two ways: it brings the target closer (the band grows with the decades of compute beyond the
dearest run) and it pins the surface. The second is linear-Gaussian over the bootstrap surfaces: with v the variance of
ln L at the target, c its covariance with ln L at the pilot, v_p the variance there and s the spread of a run,

    v' = v - c^2 / (v_p + s^2)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..frozen import dataclass
from ..quantity import Quantity
from .forecast import BAND, Calibration, Forecast, Method, Run, calibrate, half_width, resampled_surfaces
from .laws import law
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface

HELD_OUT_SHARES = (0.3, 0.5, 0.7)  # of the runs, cheapest first, that a back-test fits on
LEAST_BEYOND, MOST_BEYOND = 5.0, 1000.0  # times the compute of the dearest run fitted on
PILOT_STEPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # times the dearest run so far
_LARGEST_PILOT = 0.34  # of the target's compute; beyond it one may as well train the target


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One run that a back-test forecast from cheaper ones."""

    run: Run
    forecast: Forecast

    @property
    def error(self) -> float:
        """Signed relative error."""
        return self.forecast.loss.mid / self.run.loss - 1

    @property
    def is_covered(self) -> bool:
        """Whether the band holds the measured loss."""
        return self.forecast.loss.low <= self.run.loss <= self.forecast.loss.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The protocol on the user's own runs: fitted on a share, cheapest first, held against dearer ones."""

    share: float
    fitted: int
    method: Method
    held: tuple[Held, ...]

    @property
    def mean_error(self) -> float:
        """Mean of |error|."""
        return math.fsum(abs(each.error) for each in self.held) / len(self.held)

    @property
    def coverage(self) -> float:
        """Share of the measured losses inside the band."""
        return sum(each.is_covered for each in self.held) / len(self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPilot:
    """One pilot that could be run next: the half-width of the band at the target before and after it, relative."""

    params: float
    tokens: float
    cost_usd: Quantity
    width_before: float
    width_after: float

    @property
    def narrowing_per_kusd(self) -> float:
        """How much of the half-width (in points of ln L) a thousand dollars takes away."""
        return (self.width_before - self.width_after) / (self.cost_usd.mid / 1000)


def best_ratio(calibration: Calibration, flops: float) -> Quantity | None:
    """Return the best D/N at C = `flops` from the resampled fits (80 %); None where the runs carry no shape."""
    draws = resampled_surfaces(calibration, calibration.rules.bootstrap)
    if not draws:
        return None
    logs = sorted(math.log(D / N) for N, D in (surface.optimum(flops) for surface in draws))
    low, high = logs[round(0.1 * (len(logs) - 1))], logs[round(0.9 * (len(logs) - 1))]
    N, D = calibration.members["chinchilla"].optimum(flops)
    ratio = math.log(D / N)
    basis = "bootstrap over the runs, Chinchilla and Skaling fits together"
    low, high = min(low, ratio), max(high, ratio)
    return Quantity(math.exp(low), math.exp(ratio), math.exp(high), "tokens_per_param", BAND, basis)


def best_size(calibration: Calibration, flops: float) -> tuple[float, float]:
    """Return (N, D) for C = `flops`: of the prior-regularized fit, or of the default law where the runs carry no shape."""
    surface = calibration.members.get("chinchilla") or law().required_surface("an optimum")
    return surface.optimum(flops)


def backtests(runs: Sequence[Run]) -> tuple[Backtest, ...]:
    """Return how the protocol forecasts the dearer runs from the cheaper ones; empty where none lies far enough."""
    ordered = sorted(runs, key=lambda run: run.flops)
    found = []
    for share in HELD_OUT_SHARES:
        fitted = ordered[: max(1, int(len(ordered) * share))]
        most = fitted[-1].flops
        rest = [run for run in ordered if LEAST_BEYOND <= run.flops / most <= MOST_BEYOND]
        rest = [run for run in rest if run.tokens >= run.params]
        if not rest or all(run.tokens < run.params for run in fitted):
            continue
        calibration = calibrate(fitted)
        held = tuple(
            Held(run=run, forecast=calibration.forecast(run.params, run.tokens, run.unique_tokens)) for run in rest
        )
        found.append(Backtest(share=share, fitted=len(fitted), method=calibration.method, held=held))
    return tuple(found)


def next_pilots(
    calibration: Calibration, params: float, tokens: float, usd_per_flop: Quantity, unique_tokens: float | None = None
) -> tuple[NextPilot, ...]:
    """Return pilots that could be run next for the target (params, tokens), the most narrowing per dollar first."""
    target = calibration.forecast(params, tokens, unique_tokens)
    target_flops = TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens
    draws = resampled_surfaces(calibration, calibration.rules.bootstrap)
    before = math.log(target.loss.high / target.loss.mid)
    found = []
    for step in PILOT_STEPS:
        flops = calibration.most_flops * step
        if flops > _LARGEST_PILOT * target_flops:
            break
        N, D = _pilot_size(flops, params, tokens)
        after = _after(calibration, target, draws, (N, D), flops, target_flops)
        found.append(
            NextPilot(
                params=N,
                tokens=D,
                cost_usd=usd_per_flop.scaled(flops, "usd"),
                width_before=before,
                width_after=min(before, after),
            )
        )
    return tuple(sorted(found, key=lambda each: -each.narrowing_per_kusd))


def _pilot_size(flops: float, params: float, tokens: float) -> tuple[float, float]:
    """Return the size of a pilot with the tokens per parameter of the target."""
    ratio = tokens / params
    N = math.sqrt(flops / TRAINING_FLOPS_PER_PARAM_TOKEN / ratio)
    return N, N * ratio


def _after(
    calibration: Calibration,
    target: Forecast,
    draws: Sequence[Surface],
    pilot: tuple[float, float],
    flops: float,
    target_flops: float,
) -> float:
    rules = calibration.rules
    is_scalar = calibration.method is Method.SCALAR
    rule = rules.scalar_band if is_scalar else rules.ensemble_band
    decades = math.log10(target_flops / max(flops, calibration.most_flops))
    logs = [math.log(value) for value in target.members.values()]
    spread = abs(calibration.trend) / 2 if is_scalar else (max(logs) - min(logs)) / 2
    if draws:
        at_target = [math.log(surface.loss(target.params, target.tokens)) for surface in draws]
        at_pilot = [math.log(surface.loss(*pilot)) for surface in draws]
        variance, covariance, pilot_variance = _moments(at_target, at_pilot)
        kept = 1 - covariance**2 / (pilot_variance + rules.run_sd**2) / variance if variance else 1.0
        spread *= math.sqrt(max(0.0, kept))
    return half_width(rule, decades, spread)


def _moments(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    vx = math.fsum((a - mx) ** 2 for a in x) / len(x)
    vy = math.fsum((b - my) ** 2 for b in y) / len(y)
    return vx, math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / len(x), vy
