"""How large a model and how many tokens: the scaling law applied to what is given.

Compute is that of the laws, C = 6 N D; the search turns it into the FLOPs of a real shape. With a compute and nothing
else fixed, the size is the smallest that wastes at most the detour (5 %) of it: the optimum is flat, and a smaller
model is cheaper to serve. With tokens to be served, training and serving are weighed exactly: the objective of Sardana
2023 with the serving model's dollars in place of 2 N FLOP. With few unique tokens, repetition is weighed exactly (Muennighoff 2023). What the request fixes is never moved.
"""

from __future__ import annotations

import math

from ..errors import AnswerIsNo, InputError
from ..facts.scaling import default_law
from ..frozen import dataclass
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
class ServingLoad:
    """What serving takes, as training compute (6 N D) of the same cost: `flops` at `params`, a power law around it."""

    params: float
    flops: float
    elasticity: float

    def at(self, params: float) -> float:
        """Return the compute at another size."""
        return self.flops * float((params / self.params) ** self.elasticity)

    def largest(self, flops: float) -> float:
        """Return the size whose serving alone takes `flops`."""
        return self.params * float((flops / self.flops) ** (1 / self.elasticity))


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

    def for_compute(self, flops: float, serving: ServingLoad | None = None, most_params: float = math.inf) -> Size:
        """Return the size for C = `flops`, serving included where tokens are to be served.

        `most_params` is what fits the memory.

        Raises:
            AnswerIsNo: serving alone takes more than the compute.
        """
        if self.params is not None:
            return Size(self.params, self._left(flops, self.params, serving))
        if self.tokens is not None:
            return Size(self._params_left(flops, self.tokens, serving), self.tokens)
        if serving:
            params = min(self._lifetime(flops, serving), most_params)
            return Size(params, self._left(flops, params, serving))
        params = min(self.optimum(flops).params * self._detour_ratio(flops), most_params)
        return Size(params, flops / TRAINING_FLOPS_PER_PARAM_TOKEN / params)

    def target(self, serving: ServingLoad | None = None) -> Size | None:
        """Return the size that the request itself fixes, None where the money or the time decides.

        Raises:
            AnswerIsNo: no amount of data brings this size to the target loss.
            InputError: the target loss cannot be reached under this law at all.
        """
        if self.params is not None and self.tokens is not None:
            return Size(self.params, self.tokens)
        if self.compute_flops is not None:
            return self.for_compute(self.compute_flops, serving)
        if self.target_loss is not None:
            return self._for_loss(self.target_loss, serving)
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

    def _lifetime(self, flops: float, serving: ServingLoad) -> float:
        """Return the size of least loss with 6 N D + served(N) = `flops`."""
        best = self.surface.optimum(flops)[0]
        # Serving only makes the best model smaller, scarce data only larger.
        most = best if self.unique_tokens is None else 1e3 * best
        largest = min(most, serving.largest(flops) * (1 - 1e-9))

        def loss(params: float) -> float:
            tokens = (flops - serving.at(params)) / (TRAINING_FLOPS_PER_PARAM_TOKEN * params)
            return self.surface.loss(params, tokens, self.unique_tokens)

        return minimize_log(loss, largest / 1e4, largest)

    def _left(self, flops: float, params: float, serving: ServingLoad | None) -> float:
        """Return the tokens that can be trained once serving is paid."""
        served = serving.at(params) if serving else 0.0
        if flops <= served:
            raise AnswerIsNo(
                f"serving {show_count(self.inference_tokens or 0.0)} tokens with a model of {show_count(params)} "
                "parameters alone costs more than there is; raise --budget or lower --inference-tokens."
            )
        return (flops - served) / TRAINING_FLOPS_PER_PARAM_TOKEN / params

    @staticmethod
    def _params_left(flops: float, tokens: float, serving: ServingLoad | None) -> float:
        """Return the size that training on these tokens and serving together leave room for."""
        alone = flops / (TRAINING_FLOPS_PER_PARAM_TOKEN * tokens)
        if serving is None:
            return alone

        def over(params: float) -> float:
            return TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens + serving.at(params) - flops

        return solve_log(over, min(alone, serving.largest(flops)) / 1e3, alone, tolerance=1e-9)

    def _for_loss(self, loss: float, serving: ServingLoad | None) -> Size:
        if loss <= self.surface.E:
            raise InputError(
                f"--target-loss: {loss:g} is not above {self.surface.E:.4g} nats per token, the loss that law "
                f"{self.law.id if self.law.surface else default_law()} cannot go below with any model."
            )
        if self.params is not None:
            return Size(self.params, self._tokens_for(loss, self.params))
        if self.tokens is not None:
            return Size(self._params_for(loss, self.tokens), self.tokens)
        if serving and self.unique_tokens is None:
            params = self._lifetime_for_loss(loss, serving)
            return Size(params, self.surface.tokens_for(loss, params))
        if self.unique_tokens is None:
            params, tokens = self.surface.cheapest(loss)
            params *= self._detour_ratio(TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens)
            return Size(params, self.surface.tokens_for(loss, params))
        return self._scarce_for_loss(loss, serving)

    def _lifetime_for_loss(self, loss: float, serving: ServingLoad) -> float:
        """Return the size that reaches `loss` at the least 6 N D + served(N)."""

        def cost(params: float) -> float:
            return TRAINING_FLOPS_PER_PARAM_TOKEN * params * self.surface.tokens_for(loss, params) + serving.at(params)

        return minimize_log(cost, self.surface.smallest(loss) * (1 + 1e-9), self.surface.cheapest(loss)[0])

    def _scarce_for_loss(self, loss: float, serving: ServingLoad | None) -> Size:
        """Return the cheapest size that reaches `loss` on few unique tokens; sizes that never do cost the earth."""

        def cost(params: float) -> float:
            tokens = self._repeated_tokens_for(loss, params)
            if tokens is None:  # fall towards where it becomes possible
                return 1e60 * self.surface.loss(params, _LARGEST, self.unique_tokens)
            return TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens + (serving.at(params) if serving else 0.0)

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
