"""How large a model and how many tokens: the scaling law applied to what is given.

Compute is that of the laws, C = 6 N D; the search turns it into the FLOPs of a real shape. With a compute and nothing
else fixed, the size is the smallest that wastes at most the detour (5 %) of it: the optimum is flat, and a smaller
model is cheaper to serve. With tokens to be served, training and serving are weighed exactly (Sardana 2023). With few
unique tokens, repetition is weighed exactly (Muennighoff 2023). What the request fixes is never moved.
"""

from __future__ import annotations

import math

from ..errors import AnswerIsNo, InputError
from ..facts.scaling import default_law
from ..frozen import dataclass
from ..scaling.inference import lifetime_optimum_at_compute, lifetime_optimum_at_loss
from ..scaling.laws import Law, law
from ..scaling.numeric import minimize_log, solve_log
from ..scaling.surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface
from ..scaling.uncertainty import size_range
from ..units import show_count

_SMALLEST, _LARGEST = 1e5, 1e15  # parameters and tokens between which everything is searched


@dataclass(frozen=True, slots=True)
class Size:
    """A size and a number of tokens."""

    params: float
    tokens: float

    @property
    def flops(self) -> float:
        """C = 6 N D."""
        return TRAINING_FLOPS_PER_PARAM_TOKEN * self.params * self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """The law and what the request fixes. `surface` is the law's own, or the default's where it has no loss."""

    law: Law
    surface: Surface
    detour: float
    params: float | None = None
    tokens: float | None = None
    unique_tokens: float | None = None
    inference_tokens: float | None = None
    target_loss: float | None = None
    compute_flops: float | None = None

    def loss(self, size: Size) -> float:
        """Return the loss, repetition counted."""
        return self.surface.loss(size.params, size.tokens, self.unique_tokens)

    def optimum(self, flops: float) -> Size:
        """Return the compute-optimal size, before detour, serving or anything fixed."""
        best = self.law.optimum(flops, self.unique_tokens)
        return Size(best.params, best.tokens)

    def for_compute(self, flops: float, weight: float = 0.0, most_params: float = math.inf) -> Size:
        """Return the size for C = `flops`, serving included where tokens are to be served.

        `weight` is the price of an inference FLOP over that of a training FLOP; `most_params` what fits the memory.

        Raises:
            AnswerIsNo: serving alone takes more than the compute.
        """
        if self.params is not None:
            return Size(self.params, self._left(flops, self.params, weight))
        if self.tokens is not None:
            served = (self.inference_tokens or 0.0) * weight
            return Size(flops / (TRAINING_FLOPS_PER_PARAM_TOKEN * self.tokens + 2 * served), self.tokens)
        if self.inference_tokens:
            best = lifetime_optimum_at_compute(self.surface, flops, self.inference_tokens, weight, self.unique_tokens)
            params = min(best.params, most_params)
            return Size(params, self._left(flops, params, weight))
        params = min(self.optimum(flops).params * self._detour_ratio(flops), most_params)
        return Size(params, flops / TRAINING_FLOPS_PER_PARAM_TOKEN / params)

    def target(self, weight: float = 0.0) -> Size | None:
        """Return the size that the request itself fixes, None where the money or the time decides.

        Raises:
            AnswerIsNo: no amount of data brings this size to the target loss.
            InputError: the target loss cannot be reached under this law at all.
        """
        if self.params is not None and self.tokens is not None:
            return Size(self.params, self.tokens)
        if self.compute_flops is not None:
            return self.for_compute(self.compute_flops, weight)
        if self.target_loss is not None:
            return self._for_loss(self.target_loss, weight)
        return None

    def natural(self) -> Size | None:
        """Return the compute-optimal partner of a fixed size or number of tokens, where nothing else sizes the plan."""
        if self.params is None and self.tokens is None:
            return None

        def misses(flops: float) -> float:
            best = self.law.optimum(flops)
            return best.params - self.params if self.params is not None else best.tokens - (self.tokens or 0.0)

        best = self.law.optimum(solve_log(misses, 1e8, 1e32, tolerance=1e-9))
        return Size(self.params or best.params, self.tokens or best.tokens)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _detour_ratio(self, flops: float) -> float:
        """Return the size taken over the optimum; 1 where data is scarce, since fewer parameters need more epochs."""
        if self.detour <= 0 or self.unique_tokens is not None:
            return 1.0
        smallest, _ = size_range(self.surface, flops, self.detour)
        return smallest / self.surface.optimum(flops)[0]

    def _left(self, flops: float, params: float, weight: float) -> float:
        """Return the tokens that can be trained once serving is paid."""
        served = 2 * (self.inference_tokens or 0.0) * weight
        tokens = (flops / params - served) / TRAINING_FLOPS_PER_PARAM_TOKEN
        if tokens <= 0:
            raise AnswerIsNo(
                f"serving {show_count(self.inference_tokens or 0.0)} tokens with a model of {show_count(params)} "
                "parameters alone costs more than there is; raise --budget or lower --inference-tokens."
            )
        return tokens

    def _for_loss(self, loss: float, weight: float) -> Size:
        if loss <= self.surface.E:
            raise InputError(
                f"--target-loss: {loss:g} is not above {self.surface.E:.4g} nats per token, the loss that law "
                f"{self.law.id if self.law.surface else default_law()} cannot go below with any model."
            )
        if self.params is not None:
            return Size(self.params, self._tokens_for(loss, self.params))
        if self.tokens is not None:
            return Size(self._params_for(loss, self.tokens), self.tokens)
        if self.inference_tokens and self.unique_tokens is None:
            best = lifetime_optimum_at_loss(self.surface, loss, self.inference_tokens, weight)
            return Size(best.params, best.tokens)
        if self.unique_tokens is None:
            params, tokens = self.surface.cheapest(loss)
            params *= self._detour_ratio(TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens)
            return Size(params, self.surface.tokens_for(loss, params))
        return self._scarce_for_loss(loss, weight)

    def _scarce_for_loss(self, loss: float, weight: float) -> Size:
        """Return the cheapest size that reaches `loss` on few unique tokens; sizes that never do cost the earth."""
        served = 2 * (self.inference_tokens or 0.0) * weight

        def cost(params: float) -> float:
            tokens = self._repeated_tokens_for(loss, params)
            if tokens is None:  # fall towards where it becomes possible
                return 1e60 * self.surface.loss(params, _LARGEST, self.unique_tokens)
            return params * (TRAINING_FLOPS_PER_PARAM_TOKEN * tokens + served)

        params = minimize_log(cost, _SMALLEST, _LARGEST)
        return Size(params, self._tokens_for(loss, params))

    def _tokens_for(self, loss: float, params: float) -> float:
        tokens = self._repeated_tokens_for(loss, params)
        if tokens is None:
            why = f" on {show_count(self.unique_tokens)} unique tokens" if self.unique_tokens else ""
            raise AnswerIsNo(
                f"a model of {show_count(params)} parameters never reaches a loss of {loss:g}{why}, however long it "
                f"trains; with endless new data it takes more than {show_count(self.surface.smallest(loss))}."
            )
        return tokens

    def _repeated_tokens_for(self, loss: float, params: float) -> float | None:
        def misses(tokens: float) -> float:
            return self.surface.loss(params, tokens, self.unique_tokens) - loss

        if misses(_LARGEST) > 0 or misses(1.0) <= 0:
            return None
        return solve_log(misses, 1.0, _LARGEST, tolerance=1e-9)

    def _params_for(self, loss: float, tokens: float) -> float:
        def misses(params: float) -> float:
            return self.surface.loss(params, tokens, self.unique_tokens) - loss

        if misses(_LARGEST) > 0:
            raise AnswerIsNo(
                f"{show_count(tokens)} tokens never bring any model to a loss of {loss:g}; more tokens are needed."
            )
        return solve_log(misses, 1.0, _LARGEST, tolerance=1e-9)


def sizing(
    *,
    law_name: str | None,
    detour: float,
    params: float | None = None,
    tokens: float | None = None,
    unique_tokens: float | None = None,
    inference_tokens: float | None = None,
    target_loss: float | None = None,
    compute_flops: float | None = None,
) -> Sizing:
    """Return the sizing of a request.

    Raises:
        UnknownName: no law is called so.
        InputError: the request needs a loss that the law does not give.
    """
    chosen = law(law_name)
    for given, what in (
        (unique_tokens, "--unique-tokens"),
        (inference_tokens, "--inference-tokens"),
        (target_loss, "--target-loss"),
    ):
        if given is not None:
            chosen.required_surface(what)
    surface = chosen.surface or law().required_surface("a loss")
    return Sizing(
        law=chosen,
        surface=surface,
        detour=detour,
        params=params,
        tokens=tokens,
        unique_tokens=unique_tokens,
        inference_tokens=inference_tokens,
        target_loss=target_loss,
        compute_flops=compute_flops,
    )
