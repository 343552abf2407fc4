"""Fitting loss surfaces to runs: many starts at once, Huber loss on ln L, priors on what the runs leave open.

    L(N, D) = E + (exp(a - alpha ln N/N0) + exp(b - beta ln D/D0))^k

is the Chinchilla form (k = 1) or Skaling (arXiv:2608.07222), written around the middle (N0, D0) of the runs so that the
parameters hardly depend on each other. What is minimized is

    sum_i w_i h(ln L_i - ln l_i) / (delta s) + 1/2 sum_j ((theta_j - m_j) / sd_j)^2

h the Huber loss with threshold delta (summed, not averaged: the mistake behind Chinchilla's approach 3,
arXiv:2404.10102), s the spread of a run around its surface, m and sd the priors. The minimizer is a damped Gauss-Newton
iteration with reweighting, over an axis of starts or of bootstrap resamples, in numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..frozen import dataclass
from .surface import Surface

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

PARAMETERS = ("ln_E", "a", "b", "alpha", "beta", "ln_k")
_ITERATIONS = 80
_STEP_TOLERANCE = 1e-7
_LARGEST_STEP = 1.0  # in any parameter; keeps exponentials tame far from the minimum


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A normal prior on one parameter; `sd` 0 fixes it."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """`huber_delta` and the spread of one run around the surface, both relative to the loss."""

    huber_delta: float
    run_sd: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """One fitted surface in plain coefficients, and the objective it reached."""

    surface: Surface
    objective: float


def fit_surfaces(
    runs: Sequence[tuple[float, float, float]],
    *,
    starts: Sequence[Mapping[str, float]],
    priors: Mapping[str, Prior],
    noise: Noise,
    weights: Array | None = None,
) -> tuple[Fitted, ...]:
    """Return one fitted surface for each start.

    `runs` are (params, tokens, loss), tokens effective where they repeat. `starts` give E, A, B, alpha, beta, k of a
    surface each. `weights` (starts x runs) counts how often each run was drawn in a bootstrap; one each by default.
    """
    import numpy as np

    data = np.asarray(runs, dtype=float)
    n, d, y = np.log(data[:, 0]), np.log(data[:, 1]), np.log(data[:, 2])
    n0, d0 = float(n.mean()), float(d.mean())
    theta = np.array([_centered(start, n0, d0) for start in starts])
    counts = np.ones((len(theta), len(y))) if weights is None else weights
    mean, precision, free = _prior_arrays(priors)
    theta = np.where(free, theta, mean)
    theta, objective = _minimize(theta, n - n0, d - d0, y, counts, mean, precision, free, noise)
    return tuple(Fitted(_surface(row, n0, d0), float(value)) for row, value in zip(theta, objective, strict=True))


def _centered(start: Mapping[str, float], n0: float, d0: float) -> list[float]:
    import math

    alpha, beta = start["alpha"], start["beta"]
    a, b = math.log(start["A"]) - alpha * n0, math.log(start["B"]) - beta * d0
    return [math.log(start["E"]), a, b, alpha, beta, math.log(start["k"])]


def _surface(row: Array, n0: float, d0: float) -> Surface:
    import math

    ln_E, a, b, alpha, beta, ln_k = map(float, row)
    return Surface(
        E=math.exp(ln_E),
        A=math.exp(a + alpha * n0),
        B=math.exp(b + beta * d0),
        alpha=alpha,
        beta=beta,
        k=math.exp(ln_k),
    )


def _prior_arrays(priors: Mapping[str, Prior]) -> tuple[Array, Array, Any]:
    import numpy as np

    mean, precision, free = np.zeros(6), np.zeros(6), np.ones(6, dtype=bool)
    for name, prior in priors.items():
        index = PARAMETERS.index(name)
        mean[index] = prior.mean
        if prior.sd == 0:
            free[index] = False
        else:
            precision[index] = prior.sd**-2
    return mean, precision, free


def _minimize(
    theta: Array,
    n: Array,
    d: Array,
    y: Array,
    counts: Array,
    mean: Array,
    precision: Array,
    free: Any,
    noise: Noise,
) -> tuple[Array, Array]:
    """Return the parameters (starts x 6) and objectives where the iteration settled."""
    import numpy as np

    delta, scale = noise.huber_delta, 1 / (noise.huber_delta * noise.run_sd)

    def evaluate(at: Array) -> tuple[Array, Array]:
        r = _log_loss(at, n, d) - y
        size = np.abs(r)
        huber = np.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
        value = scale * (counts * huber).sum(1) + 0.5 * (precision * (at - mean) ** 2).sum(1)
        return np.where(np.isfinite(value), value, np.inf), r

    damping = np.full(len(theta), 1e-2)
    objective, r = evaluate(theta)
    for _ in range(_ITERATIONS):
        J = _jacobian(theta, n, d)
        w = scale * counts * np.minimum(1.0, delta / np.maximum(np.abs(r), 1e-12))
        H = np.einsum("sni,sn,snj->sij", J, w, J)
        g = np.einsum("sni,sn,sn->si", J, w, r) + precision * (theta - mean)
        H[:, range(6), range(6)] += precision
        diagonal = H[:, range(6), range(6)]
        H[:, range(6), range(6)] = diagonal * (1 + damping[:, None]) + 1e-9
        H[:, ~free, :] = 0.0
        H[:, :, ~free] = 0.0
        H[:, ~free, ~free] = 1.0
        g[:, ~free] = 0.0
        step = -np.linalg.solve(H, g[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, _LARGEST_STEP / np.maximum(np.abs(step).max(1), 1e-12))[:, None]
        trial = theta + step
        trial[:, 3:5] = np.clip(trial[:, 3:5], 0.02, 2.0)
        value, residuals = evaluate(trial)
        better = value < objective
        theta = np.where(better[:, None], trial, theta)
        r = np.where(better[:, None], residuals, r)
        gain = np.where(better, objective - value, 0.0)
        objective = np.where(better, value, objective)
        damping = np.clip(np.where(better, damping / 4, damping * 5), 1e-8, 1e8)
        if np.all((gain < _STEP_TOLERANCE * (1 + objective)) & (better | (damping >= 1e4))):
            break
    return theta, objective


def _parts(theta: Array, n: Array, d: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return k, s = ln(A/N^alpha + B/D^beta), the share of the first term, the reducible loss and the loss."""
    import numpy as np

    ln_E, a, b, alpha, beta, ln_k = (theta[:, i : i + 1] for i in range(6))
    u, v = a - alpha * n, b - beta * d
    s = np.logaddexp(u, v)
    k = np.exp(np.clip(ln_k, -4, 2))
    R = np.exp(np.clip(k * s, -60, 60))
    return k, s, np.exp(u - s), R, np.exp(np.clip(ln_E, -30, 30)) + R


def _log_loss(theta: Array, n: Array, d: Array) -> Array:
    import numpy as np

    return np.asarray(np.log(_parts(theta, n, d)[4]))


def _jacobian(theta: Array, n: Array, d: Array) -> Array:
    import numpy as np

    k, s, p, R, L = _parts(theta, n, d)
    da, db = R * k * p / L, R * k * (1 - p) / L
    return np.stack([(L - R) / L, da, db, -da * n, -db * d, R * s * k / L], axis=2)
