"""Whether to pre-train at all: the plan beside open models of about its size that somebody has already paid for.

An open model is compared by the compute it has had (6 N D of its published tokens) and by the loss that the law gives
for it. Losses of different corpora do not compare exactly; a factor of several in compute does. Where the open model
is far ahead, fine-tuning it costs a small part of the plan and ends with a better model, unless the data are of a kind
that it has hardly seen: another language, another notation, DNA, or rights that forbid it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..facts.plan_defaults import AdviceRules
from ..frozen import dataclass
from ..names import fold
from ..scaling.surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface
from .sizing import Size


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A dense model whose weights anyone may download: its parameters and training tokens."""

    name: str
    params: float
    tokens: float

    @property
    def flops(self) -> float:
        """6 N D."""
        return TRAINING_FLOPS_PER_PARAM_TOKEN * self.params * self.tokens


@dataclass(frozen=True, slots=True)
class Advice:
    """The verdict. `rival` is the open model of about this size with the most compute, None where there is none."""

    fine_tune: bool
    rival: OpenModel | None
    compute_ratio: float  # of the rival over the plan
    rival_loss: float | None  # by the law of the plan
    loss: float


def advise(size: Size, loss: float, surface: Surface, rivals: Iterable[OpenModel], rules: AdviceRules) -> Advice:
    """Return whether an open model of about this size makes pre-training pointless."""
    near = [m for m in rivals if 1 / rules.size_ratio <= m.params / size.params <= rules.size_ratio]
    if not near:
        return Advice(False, None, 0.0, None, loss)
    rival = max(near, key=lambda model: model.flops)
    rival_loss = surface.loss(rival.params, rival.tokens)
    ratio = rival.flops / size.flops
    return Advice(ratio >= rules.compute_ratio and rival_loss < loss, rival, ratio, rival_loss, loss)


def open_models(rules: AdviceRules) -> tuple[OpenModel, ...]:
    """Return the dense decoders of `data/models.yaml` with published tokens whose weights are open."""
    from ..facts.models import published_decoders

    return tuple(
        OpenModel(name, params, tokens)
        for name, params, tokens in published_decoders()
        if not any(fold(name).startswith(closed) for closed in rules.closed)
    )
