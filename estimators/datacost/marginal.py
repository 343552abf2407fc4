"""Whether data or compute binds, and what one more dollar buys on either side.

At the plan (N, D, U unique tokens) the loss falls with compute at dL/dC, taken along the best split of compute, and
with unique tokens at dL/dU at fixed (N, D), both under the law of repetition (Muennighoff 2023). With the price of a FLOP
and of a unique token these become nats per dollar; the larger one is where the next dollar belongs, and the side whose
gain is smaller by far does not bind.
"""

from __future__ import annotations

from ..errors import InputError
from ..frozen import dataclass
from ..scaling.surface import Surface

_STEP = 1e-3  # relative; derivatives are of smooth functions
BOTH_WITHIN = 1.5  # gains closer than this factor: both bind


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """Loss (nats per token) that one more dollar takes away on either side."""

    compute_per_usd: float
    data_per_usd: float
    usd_per_flop: float
    usd_per_token: float

    @property
    def binds(self) -> str:
        """Which side the next dollar belongs on: "data", "compute" or "both"."""
        if self.data_per_usd > self.compute_per_usd * BOTH_WITHIN:
            return "data"
        return "compute" if self.compute_per_usd > self.data_per_usd * BOTH_WITHIN else "both"

    @property
    def advantage(self) -> float:
        """How many times more the better side gives."""
        low, high = sorted((self.data_per_usd, self.compute_per_usd))
        return high / low if low > 0 else float("inf")

    @property
    def break_even_usd_per_token(self) -> float:
        """Price of a unique token at which both sides give the same."""
        return self.usd_per_token * self.data_per_usd / self.compute_per_usd if self.compute_per_usd else float("inf")


def marginal(
    surface: Surface, params: float, tokens: float, unique_tokens: float, usd_per_flop: float, usd_per_token: float
) -> Marginal:
    """Return what one more dollar buys at a plan.

    Raises:
        InputError: a price is not positive.
    """
    if usd_per_flop <= 0 or usd_per_token <= 0:
        raise InputError("the price of compute and of a unique token must be more than 0 to compare them.")
    flops = 6 * params * tokens
    unique = min(unique_tokens, tokens)
    more_data = surface.loss(params, tokens, unique) - surface.loss(params, tokens, unique * (1 + _STEP))
    best = surface.optimum(flops, unique)
    better = surface.optimum(flops * (1 + _STEP), unique)
    more_compute = surface.loss(*best, unique) - surface.loss(*better, unique)
    return Marginal(
        compute_per_usd=max(0.0, more_compute) / (flops * _STEP) / usd_per_flop,
        data_per_usd=max(0.0, more_data) / (unique * _STEP) / usd_per_token if unique < tokens else 0.0,
        usd_per_flop=usd_per_flop,
        usd_per_token=usd_per_token,
    )
