"""The loss surface of the Chinchilla family and its optimum in closed form.

    L(N, D) = E + (A / N^alpha + B / D^beta)^k        k = 1: Hoffmann 2022, arXiv:2203.15556, equation 2
                                                      k < 1: Skaling, arXiv:2608.07222

N parameters, D training tokens, L loss in nats per token, C = 6 N D training FLOP. At equal C the loss is least where
alpha A N^-alpha = beta B D^-beta, whatever k is, hence

    N* = G (C/6)^(beta/(alpha+beta))    D* = (C/6) / N*    G = (alpha A / (beta B))^(1/(alpha+beta))

(arXiv:2203.15556, equation 4). `repetition` adds the value of repeated tokens (repetition.py).
"""

from __future__ import annotations

import math

from ..frozen import dataclass
from .numeric import minimize_log
from .repetition import Repetition

TRAINING_FLOPS_PER_PARAM_TOKEN = 6.0  # 2 forward, 4 backward
SEARCH_FACTOR = 1e3  # half-width of numerical searches around the closed form


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Coefficients of one loss surface; with `repetition` it also values tokens seen more than once."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    k: float = 1.0
    repetition: Repetition | None = None

    def loss(self, params: float, tokens: float, unique_tokens: float | None = None) -> float:
        """Return L(N, D), or L(N', D') when fewer than D tokens are unique (needs `repetition`)."""
        if unique_tokens is not None and unique_tokens < tokens:
            params, tokens = self.effective(params, tokens, unique_tokens)
        return self.E + float((self.A / params**self.alpha + self.B / tokens**self.beta) ** self.k)

    def effective(self, params: float, tokens: float, unique_tokens: float) -> tuple[float, float]:
        """Return N' and D' of Muennighoff 2023 (arXiv:2305.16264, equations 5 to 7).

        N' discounts parameters beyond U_N, the best size for the unique tokens alone.

        Raises:
            ValueError: the surface has no `repetition`.
        """
        if self.repetition is None:
            raise ValueError("this surface has no law of repetition")
        unique = min(unique_tokens, tokens)
        best_params = min(params, self.params_for_tokens(unique))
        return (
            self.repetition.effective_params(params, best_params),
            self.repetition.effective_tokens(tokens, unique),
        )

    def optimum(self, flops: float, unique_tokens: float | None = None) -> tuple[float, float]:
        """Return (N*, D*) for C = `flops`; numerical where tokens repeat, else the closed form."""
        alpha, beta = self.alpha, self.beta
        G = (alpha * self.A / (beta * self.B)) ** (1 / (alpha + beta))
        product = flops / TRAINING_FLOPS_PER_PARAM_TOKEN
        params = G * product ** (beta / (alpha + beta))
        if unique_tokens is not None and unique_tokens < product / params:
            params = minimize_log(
                lambda size: self.loss(size, product / size, unique_tokens),
                params / SEARCH_FACTOR,
                params * SEARCH_FACTOR,
            )
        return params, product / params

    def params_for_tokens(self, tokens: float) -> float:
        """Return the size for which D = `tokens` is optimal: N = (alpha A / (beta B))^(1/alpha) D^(beta/alpha)."""
        ratio = self.alpha * self.A / (self.beta * self.B)
        return float(ratio ** (1 / self.alpha) * tokens ** (self.beta / self.alpha))

    def tokens_for_params(self, params: float) -> float:
        """Return the tokens for which N = `params` is optimal; the inverse of `params_for_tokens`."""
        ratio = self.alpha * self.A / (self.beta * self.B)
        return float((params / ratio ** (1 / self.alpha)) ** (self.alpha / self.beta))

    def cheapest(self, loss: float) -> tuple[float, float]:
        """Return the (N, D) that reaches `loss` with the least training compute, in closed form.

        With x = alpha A N^-alpha = beta B D^-beta at the optimum, (L - E)^(1/k) = x (1/alpha + 1/beta).

        Raises:
            ValueError: `loss` is not above the irreducible E.
        """
        x = self._reducible(loss) / (1 / self.alpha + 1 / self.beta)
        return (self.alpha * self.A / x) ** (1 / self.alpha), (self.beta * self.B / x) ** (1 / self.beta)

    def compute_for(self, loss: float) -> float:
        """Return the least training FLOP that reaches `loss`: the compute-equivalent of a loss."""
        params, tokens = self.cheapest(loss)
        return TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens

    def tokens_for(self, loss: float, params: float) -> float:
        """Return the unique tokens with which a model of `params` reaches `loss`; infinite when it never does."""
        rest = self._reducible(loss) - self.A / params**self.alpha
        return math.inf if rest <= 0 else float((self.B / rest) ** (1 / self.beta))

    def smallest(self, loss: float) -> float:
        """Return the size that reaches `loss` only with endless data; any smaller model never does."""
        return float((self.A / self._reducible(loss)) ** (1 / self.alpha))

    def _reducible(self, loss: float) -> float:
        if loss <= self.E:
            raise ValueError(f"a loss of {loss:.4g} is not above the irreducible loss {self.E:.4g} of this law")
        return float((loss - self.E) ** (1 / self.k))
