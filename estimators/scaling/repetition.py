"""What repeated tokens are worth: the effective data of Muennighoff et al. 2023 (arXiv:2305.16264).

    D' = U + U R_D (1 - exp(-R / R_D)),   R = D/U - 1 the repetitions after the first epoch
    N' = U_N + U_N R_N (1 - exp(-(N/U_N - 1) / R_N))

U unique tokens, U_N the best size for them alone. R_D = 15.39 and R_N = 5.31 are fitted on 182 runs. The form never
predicts harm; real runs get worse beyond about 40 epochs, which is a warning elsewhere, not part of the formula.
"""

from __future__ import annotations

import math

from ..frozen import dataclass


@dataclass(frozen=True, slots=True)
class Repetition:
    """`tokens_scale` is R_D*, `params_scale` R_N* of the paper."""

    tokens_scale: float
    params_scale: float

    def effective_tokens(self, tokens: float, unique_tokens: float) -> float:
        """Return D', the unique tokens that would be worth as much."""
        return _saturate(tokens, unique_tokens, self.tokens_scale)

    def effective_params(self, params: float, best_params: float) -> float:
        """Return N', the parameters that still count when only `best_params` suit the unique tokens."""
        return _saturate(params, best_params, self.params_scale)

    def value_of_next_token(self, epochs: float) -> float:
        """Return dD'/dD: what one more token is worth after `epochs` passes, 1 while all tokens are new."""
        return math.exp(-max(0.0, epochs - 1) / self.tokens_scale)


def _saturate(amount: float, base: float, scale: float) -> float:
    if amount <= base:
        return amount
    return base + base * scale * (1 - math.exp(-(amount / base - 1) / scale))
