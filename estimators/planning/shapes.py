"""From a number of parameters to a shape, for everything in a plan that needs more than a number."""

from __future__ import annotations

from functools import lru_cache

from ..errors import AnswerIsNo
from ..models.shape import ModelShape
from ..units import show_count


def shape_of(params: float) -> ModelShape:
    """Return a sensible modern shape of about this size: the one that `--model 6.24B` means, three digits."""
    return _sized(float(f"{params:.3g}"))


def smallest_params() -> float:
    """Return the size below which no shape is made."""
    from ..facts.sizing import load_sizing

    return float(load_sizing().least)


@lru_cache(maxsize=64)
def _sized(params: float) -> ModelShape:
    from ..facts.sizing import load_sizing
    from ..models.sized import SizeWanted, sized_shape

    least, most = load_sizing().least, load_sizing().most
    if not least <= params <= most:
        what, change = ("small", "raise") if params < least else ("large", "lower")
        raise AnswerIsNo(
            f"this comes to a model of {show_count(params)} parameters, too {what} to plan (shapes are made from "
            f"{show_count(least)} to {show_count(most)}); {change} the money, the time or the target."
        )
    return sized_shape(SizeWanted(params), show_count(params))
