"""Training and a life of inference together: the objective of Sardana et al. 2023 (arXiv:2401.00448).

    minimize  6 N D + 2 N T w   subject to  L(N, D) = l

T tokens to be served, w the price of one inference FLOP over that of one training FLOP (1 when only FLOP count; with
money it is the ratio of dollars per delivered FLOP, since prefill and decode use less of the chip than training).
For k = 1 the first-order condition is alpha A N^-alpha / (beta B D^-beta) = 1 + T w / (3 D), their equation 5.
"""

from __future__ import annotations

from ..frozen import dataclass
from .numeric import minimize_log, solve_log
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface

INFERENCE_FLOPS_PER_PARAM_TOKEN = 2.0  # one forward pass; attention over the context comes on top
_WIDEST = 1e6  # how many times the training-optimal tokens a search may reach


@dataclass(frozen=True, slots=True)
class LifetimeOptimum:
    """The cheapest way to a loss over training and serving; FLOP counts weigh inference with `weight`."""

    params: float
    tokens: float
    loss: float
    training_flops: float
    inference_flops: float  # 2 N T, not weighted
    weight: float

    @property
    def weighted_flops(self) -> float:
        """6 N D + 2 N T w, what was minimized."""
        return self.training_flops + self.inference_flops * self.weight


def lifetime_optimum_at_loss(
    surface: Surface, loss: float, inference_tokens: float, weight: float = 1.0
) -> LifetimeOptimum:
    """Return the (N, D) of `loss` that costs least over training and `inference_tokens` served.

    Raises:
        ValueError: `loss` is not above the irreducible loss.
    """
    params, tokens = surface.cheapest(loss)
    T = inference_tokens * weight

    def condition(D: float) -> float:
        # N from the loss, then equation 5; it rises with D, since N falls.
        N = _params_for(surface, loss, D)
        alpha, beta = surface.alpha, surface.beta
        return float(alpha * surface.A * N**-alpha / (beta * surface.B * D**-beta) - (1 + T / (3 * D)))

    if T > 0 and condition(tokens) < 0:  # not so when T is too small to count
        tokens = solve_log(condition, tokens, tokens * _WIDEST)
        params = _params_for(surface, loss, tokens)
    return _lifetime(surface, params, tokens, inference_tokens, weight)


def lifetime_optimum_at_compute(
    surface: Surface,
    flops: float,
    inference_tokens: float,
    weight: float = 1.0,
    unique_tokens: float | None = None,
) -> LifetimeOptimum:
    """Return the (N, D) of least loss with 6 N D + 2 N T w = `flops`.

    Raises:
        ValueError: serving alone uses the whole compute for any model the law knows.
    """
    T = inference_tokens * weight
    best, _ = surface.optimum(flops)

    def tokens_left(N: float) -> float:
        return (flops / N - INFERENCE_FLOPS_PER_PARAM_TOKEN * T) / TRAINING_FLOPS_PER_PARAM_TOKEN

    largest = best if T == 0 else min(best, flops / (INFERENCE_FLOPS_PER_PARAM_TOKEN * T) * (1 - 1e-9))
    if unique_tokens is not None:
        # Scarce data can only make the best model larger, up to what serving leaves.
        largest = best * 1e3 if T == 0 else min(best * 1e3, flops / (INFERENCE_FLOPS_PER_PARAM_TOKEN * T) * (1 - 1e-9))
    params = minimize_log(lambda N: surface.loss(N, tokens_left(N), unique_tokens), largest / 1e4, largest)
    return _lifetime(surface, params, tokens_left(params), inference_tokens, weight, unique_tokens)


def _params_for(surface: Surface, loss: float, tokens: float) -> float:
    """Return N with L(N, tokens) = loss; the roles of A and B swap in `Surface.tokens_for`."""
    rest = (loss - surface.E) ** (1 / surface.k) - surface.B / tokens**surface.beta
    return float((surface.A / rest) ** (1 / surface.alpha))


def _lifetime(
    surface: Surface,
    params: float,
    tokens: float,
    inference_tokens: float,
    weight: float,
    unique_tokens: float | None = None,
) -> LifetimeOptimum:
    return LifetimeOptimum(
        params=params,
        tokens=tokens,
        loss=surface.loss(params, tokens, unique_tokens),
        training_flops=TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens,
        inference_flops=INFERENCE_FLOPS_PER_PARAM_TOKEN * params * inference_tokens,
        weight=weight,
    )
