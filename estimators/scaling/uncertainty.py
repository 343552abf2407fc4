"""How sure the optimum is, and how little it matters: bands of D/N and the flat valley around N*.

Two spreads add in quadrature on log(D/N): that of the fit (400 correlated bootstrap draws of the coefficients) and
that between studies (log-sd 0.30 over ten studies and corpora). At equal compute, a size that is r times the optimum
wastes a share of compute that hardly depends on C, so the optimum is reported as a range of sizes that waste little.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from ..facts.scaling import bootstrap_draws, uncertainty_facts
from ..quantity import Quantity
from .numeric import solve_log
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface


@lru_cache(maxsize=1)
def _draw_surfaces() -> tuple[Surface, ...]:
    """Return the 400 bootstrap surfaces of the default law."""
    return tuple(
        Surface(E=math.exp(d.ln_E), A=math.exp(d.ln_A), B=math.exp(d.ln_B), alpha=d.alpha, beta=d.beta)
        for d in bootstrap_draws()
    )


def fit_log_sd(flops: float) -> float:
    """Return the standard deviation of ln(D/N) over the bootstrap at C = `flops`, from its 5 and 95 % quantiles."""
    low, high = uncertainty_facts().quantiles
    logs = sorted(math.log(D / N) for N, D in (surface.optimum(flops) for surface in _draw_surfaces()))
    return (_quantile(logs, high) - _quantile(logs, low)) / (_z(high) - _z(low))


def tokens_per_param_band(flops: float) -> tuple[float, float]:
    """Return (low, high) of the best D/N at C = `flops`: 90 % of what fits and studies find.

    Centered on 20 tokens per parameter, the middle of the studies; 12 to 33 at 1e20 and 11 to 38 at 1e22 FLOP.
    """
    facts = uncertainty_facts()
    sd = math.hypot(fit_log_sd(flops), facts.between_study_log_sd)
    low, high = facts.quantiles
    center = facts.centre_tokens_per_param
    return center * math.exp(_z(low) * sd), center * math.exp(_z(high) * sd)


def optimum_bands(flops: float, params: float, tokens: float) -> tuple[Quantity, Quantity, Quantity]:
    """Return N*, D* and D/N for C = `flops` with their bands; (params, tokens) is the optimum of the chosen law.

    The band is that of the studies, widened where needed to hold the chosen law's own optimum.
    """
    facts = uncertainty_facts()
    low, high = tokens_per_param_band(flops)
    ratio = tokens / params
    low, high = min(low, ratio), max(high, ratio)
    product = flops / TRAINING_FLOPS_PER_PARAM_TOKEN
    basis = f"bootstrap of the default law and spread between studies (log-sd {facts.between_study_log_sd})"
    # An end that is the chosen optimum itself may come back from the square root a rounding beyond it.
    fewest, most = min(math.sqrt(product / high), params), max(math.sqrt(product / low), params)
    size = Quantity(fewest, params, most, "params", "90 %", basis)
    fewest, most = min(math.sqrt(product * low), tokens), max(math.sqrt(product * high), tokens)
    amount = Quantity(fewest, tokens, most, "tokens", "90 %", basis)
    return size, amount, Quantity(low, ratio, high, "tokens_per_param", "90 %", basis)


def compute_waste(surface: Surface, params: float, tokens: float) -> float:
    """Return the share of compute wasted by training N on D instead of the optimum: C / C_opt(L) - 1."""
    flops = TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens
    return flops / surface.compute_for(surface.loss(params, tokens)) - 1


def size_range(surface: Surface, flops: float, waste: float) -> tuple[float, float]:
    """Return the smallest and the largest N that waste at most `waste` of C = `flops` ("any size from A to B").

    `waste` 0.06 means that the same loss could be had for 1/1.06 of the compute.
    """
    best, _ = surface.optimum(flops)
    if waste <= 0:
        return best, best

    def over(params: float) -> float:
        return compute_waste(surface, params, flops / TRAINING_FLOPS_PER_PARAM_TOKEN / params) - waste

    return solve_log(over, best / 1e3, best, tolerance=1e-9), solve_log(over, best, best * 1e3, tolerance=1e-9)


def absolute_loss(loss: float) -> Quantity:
    """Return a loss with the band of its absolute value, which does not carry over between corpora and tokenizers."""
    facts = uncertainty_facts()
    share = facts.absolute_loss_relative
    return Quantity(loss * (1 - share), loss, loss * (1 + share), "nats_per_token", "80 %", facts.absolute_loss_source)


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _quantile(ordered: list[float], probability: float) -> float:
    position = probability * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
