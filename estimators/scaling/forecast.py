"""From a user's pilot runs to a calibrated forecast of loss, by the protocol that held up best on public run sets.

Few runs carry one number: how far their losses lie from the default law (its scalar, taken on the most expensive third,
which is nearest to the target). Many runs carry a shape: then the forecast is the geometric mean of three members whose
errors tend to have opposite signs, namely the scalar of all runs, a Chinchilla fit with a prior on its exponents, and
a Skaling fit (fitting.py). Runs whose residuals from the scaled default law trend with compute are switched to the
shape as soon as there are enough of them. The band is calibrated on hold-out errors, never on the residuals of the fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

from ..errors import InputError
from ..facts.scaling_fit import BandRule, FitRules, load_fit_rules
from ..frozen import dataclass
from ..quantity import Quantity
from .fitting import Noise, Prior, fit_surfaces
from .laws import law
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface

BAND = "80 %"
_START_EXPONENTS = (0.2, 0.36, 0.6)
_START_FLOORS = (0.5, 0.8)  # E over the lowest loss


class Method(StrEnum):
    """How a forecast is made."""

    SCALAR = "scalar"  # the default law times one number
    ENSEMBLE = "ensemble"  # geometric mean of scalar, Chinchilla fit with prior, Skaling fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pilot: final loss in nats per token after its learning rate decayed. `label` is for messages."""

    params: float
    tokens: float
    loss: float
    unique_tokens: float | None = None
    label: str = ""

    @property
    def flops(self) -> float:
        """C = 6 N D."""
        return TRAINING_FLOPS_PER_PARAM_TOKEN * self.params * self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The loss of one (N, D): `decades` of compute beyond the dearest run used (0 inside), and what each member says."""

    params: float
    tokens: float
    unique_tokens: float | None
    loss: Quantity
    decades: float
    members: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the runs carry: the method and why, the runs used and dropped, and the members of the forecast."""

    method: Method
    why: str
    runs: tuple[Run, ...]  # used, by compute
    dropped: tuple[tuple[Run, str], ...]
    multiplier: float  # loss of the runs over that of the default law
    trend: float  # of ln residuals from the scaled law, over the span of the runs
    decades: float  # of compute that the runs span
    residual_sd: float  # of ln L around the forecast, in sample
    members: Mapping[str, Surface]
    rules: FitRules

    @property
    def most_flops(self) -> float:
        """Compute of the dearest run used."""
        return self.runs[-1].flops

    def forecast(self, params: float, tokens: float, unique_tokens: float | None = None) -> Forecast:
        """Return the loss expected for N and D, with its band."""
        N, D = _effective(params, tokens, unique_tokens)
        members = {name: surface.loss(N, D) for name, surface in self.members.items()}
        logs = [math.log(value) for value in members.values()]
        center = math.fsum(logs) / len(logs)
        flops = TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens
        decades = max(0.0, math.log10(flops / self.most_flops))
        rule = self.rules.scalar_band if self.method is Method.SCALAR else self.rules.ensemble_band
        spread = (max(logs) - min(logs)) / 2 if self.method is Method.ENSEMBLE else abs(self.trend) / 2
        half = half_width(rule, decades, spread)
        loss = Quantity(
            math.exp(center - half),
            math.exp(center),
            math.exp(center + half),
            "nats",
            BAND,
            "hold-out errors of this protocol on public run sets",
        )
        return Forecast(
            params=params, tokens=tokens, unique_tokens=unique_tokens, loss=loss, decades=decades, members=members
        )


def half_width(rule: BandRule, decades: float, spread: float) -> float:
    """Return the half-width of the band of ln L."""
    return math.sqrt(rule.base**2 + (rule.per_decade * decades) ** 2 + (rule.per_spread * spread) ** 2)


def calibrate(runs: Sequence[Run], *, method: Method | None = None) -> Calibration:
    """Return what the runs carry; `method` overrules the choice.

    Raises:
        InputError: no run is usable, or `method` asks for a fit that the runs cannot carry.
    """
    rules = load_fit_rules()
    used, dropped = _usable(runs, rules)
    span = math.log10(used[-1].flops / used[0].flops)
    residuals = [math.log(run.loss) - math.log(_base_loss(run)) for run in used]
    trend = _trend([math.log10(run.flops) for run in used], residuals) * span
    chosen, why = _choose(len(used), span, trend, rules)
    if method is not None and method is not chosen:
        if method is Method.ENSEMBLE and (len(used) < rules.least_runs or span < rules.least_decades):
            raise InputError(f"--method ensemble: {why}.")
        chosen, why = method, "asked for with --method"
    everywhere = _median(residuals)
    members: dict[str, Surface]
    if chosen is Method.SCALAR:
        nearest = residuals[-max(2, int(len(used) * rules.scalar_share)) :]
        multiplier = math.exp(_median(nearest))
        members = {"scalar": _scaled(_base(), multiplier)}
    else:
        multiplier = math.exp(everywhere)
        points = [_point(run) for run in used]
        members = {
            "scalar": _scaled(_base(), multiplier),
            "chinchilla": _best(points, rules, with_power=False),
            "skaling": _best(points, rules, with_power=True),
        }
    misses = [math.log(run.loss) - _mean_log(members, run) for run in used]
    return Calibration(
        method=chosen,
        why=why,
        runs=tuple(used),
        dropped=tuple(dropped),
        multiplier=multiplier,
        trend=trend,
        decades=span,
        residual_sd=math.sqrt(math.fsum(miss * miss for miss in misses) / len(misses)),
        members=members,
        rules=rules,
    )


def resampled_surfaces(calibration: Calibration, count: int, seed: int = 20260101) -> tuple[Surface, ...]:
    """Return fits of both shapes to `count` bootstrap resamples of the runs; empty where the runs carry no shape."""
    if calibration.method is Method.SCALAR:
        return ()
    import numpy as np

    points = [_point(run) for run in calibration.runs]
    draws = np.random.default_rng(seed).multinomial(len(points), [1 / len(points)] * len(points), size=count)
    found: list[Surface] = []
    for name, with_power in (("chinchilla", False), ("skaling", True)):
        best = calibration.members[name]
        start = {"E": best.E, "A": best.A, "B": best.B, "alpha": best.alpha, "beta": best.beta, "k": best.k}
        fitted = fit_surfaces(
            points,
            starts=[start] * count,
            priors=_priors(calibration.rules, with_power),
            noise=_noise(calibration.rules),
            weights=draws.astype(float),
        )
        found += [each.surface for each in fitted if math.isfinite(each.objective)]
    return tuple(found)


# --- choosing -------------------------------------------------------------------------------------------------------


def _usable(runs: Sequence[Run], rules: FitRules) -> tuple[list[Run], list[tuple[Run, str]]]:
    used, dropped = [], []
    for run in runs:
        if run.tokens / run.params < rules.least_tokens_per_param:
            dropped.append((run, f"fewer than {rules.least_tokens_per_param:g} tokens per parameter"))
        else:
            used.append(run)
    if not used:
        why = f": all have fewer than {rules.least_tokens_per_param:g} tokens per parameter" if dropped else ""
        raise InputError(f"none of the {len(runs)} runs can be used{why}; warm-up dominates such losses.")
    used.sort(key=lambda run: run.flops)
    return used, dropped


def _choose(count: int, span: float, trend: float, rules: FitRules) -> tuple[Method, str]:
    if count < rules.least_runs:
        return (
            Method.SCALAR,
            f"{count} {'run' if count == 1 else 'runs'} cannot carry a fit, {rules.least_runs} can; they carry one number",
        )
    if span < rules.least_decades:
        return (
            Method.SCALAR,
            f"the runs span {span:.2g} decades of compute, a fit needs {rules.least_decades:g}; they carry one number",
        )
    if abs(trend) > rules.trend_limit:
        return (
            Method.ENSEMBLE,
            f"the losses drift by {trend:+.1%} against the default law over the runs, more than one number can hold",
        )
    if count < rules.few_runs:
        return (
            Method.SCALAR,
            f"{count} runs that follow the default law forecast better with one number; {rules.few_runs} carry a fit",
        )
    return Method.ENSEMBLE, f"{count} runs over {span:.2g} decades of compute carry the shape of the surface"


def _trend(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of y over x by least squares; 0 where x does not vary."""
    middle_x, middle_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread = math.fsum((each - middle_x) ** 2 for each in x)
    if spread == 0:
        return 0.0
    return math.fsum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / spread


# --- fitting --------------------------------------------------------------------------------------------------------


def _base() -> Surface:
    return law().required_surface("a forecast")


def _effective(params: float, tokens: float, unique_tokens: float | None) -> tuple[float, float]:
    if unique_tokens is None or unique_tokens >= tokens:
        return params, tokens
    return _base().effective(params, tokens, unique_tokens)


def _base_loss(run: Run) -> float:
    return _base().loss(*_effective(run.params, run.tokens, run.unique_tokens))


def _point(run: Run) -> tuple[float, float, float]:
    return (*_effective(run.params, run.tokens, run.unique_tokens), run.loss)


def _mean_log(members: Mapping[str, Surface], run: Run) -> float:
    N, D = _effective(run.params, run.tokens, run.unique_tokens)
    return math.fsum(math.log(surface.loss(N, D)) for surface in members.values()) / len(members)


def _scaled(surface: Surface, factor: float) -> Surface:
    power = factor ** (1 / surface.k)
    return Surface(
        E=surface.E * factor,
        A=surface.A * power,
        B=surface.B * power,
        alpha=surface.alpha,
        beta=surface.beta,
        k=surface.k,
    )


def _best(points: Sequence[tuple[float, float, float]], rules: FitRules, *, with_power: bool) -> Surface:
    fitted = fit_surfaces(
        points, starts=_starts(points, with_power), priors=_priors(rules, with_power), noise=_noise(rules)
    )
    return min(fitted, key=lambda each: each.objective).surface


def _starts(points: Sequence[tuple[float, float, float]], with_power: bool) -> list[dict[str, float]]:
    """Return starts on a grid of exponents and floors, each through the middle of the runs."""
    n, d, middle = (math.exp(math.fsum(math.log(p[i]) for p in points) / len(points)) for i in range(3))
    lowest = min(p[2] for p in points)
    found = []
    for k in (1.0, 0.4) if with_power else (1.0,):
        for alpha in _START_EXPONENTS:
            for beta in _START_EXPONENTS:
                for floor in _START_FLOORS:
                    half = max(middle - floor * lowest, 0.1 * middle) ** (1 / k) / 2
                    E, A, B = floor * lowest, half * n**alpha, half * d**beta
                    found.append({"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta, "k": k})
    return found


def _priors(rules: FitRules, with_power: bool) -> dict[str, Prior]:
    if with_power:
        return {"ln_k": Prior(mean=math.log(rules.k_prior[0]), sd=rules.k_prior[1])}
    return {
        "alpha": Prior(mean=rules.alpha_prior[0], sd=rules.alpha_prior[1]),
        "beta": Prior(mean=rules.beta_prior[0], sd=rules.beta_prior[1]),
        "ln_k": Prior(mean=0.0, sd=0.0),
    }


def _noise(rules: FitRules) -> Noise:
    return Noise(huber_delta=rules.huber_delta, run_sd=rules.run_sd)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
