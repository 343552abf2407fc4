"""How fast, how large and how dear: the quantities that sketches and worked-out options share.

Compute is counted as laws do, 6 N D; `flop_ratio` turns it into the FLOPs of a real shape. Serving costs 2 N FLOP per
token at a share of the efficiency that training reaches on the same chip, a stand-in until the serving model takes
over.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ..errors import AnswerIsNo
from ..models.parameters import count_parameters
from ..models.shape import ModelShape
from ..training.efficiency import Efficiency, efficiency
from ..training.flops import step_flops
from ..training.job import default_sequence
from ..units import HOUR, show_count
from .hardware import Offer, has_fast_link
from .setting import Setting
from .sizing import Size


def rate(offer: Offer, n: int, params: float, setting: Setting) -> float:
    """Return the FLOP/s of one accelerator in the law's count, 6 N D."""
    known = reached(offer, n, params, setting)
    return known.peak_flops_per_s * known.mfu.mid / flop_ratio(params, setting)


def reached(offer: Offer, n: int, params: float, setting: Setting) -> Efficiency:
    """Return the efficiency formula at this number and size."""
    return efficiency(
        offer.accelerator,
        precision=setting.request.precision,
        active_params=params,
        accelerators=n,
        mixture=setting.shape.is_mixture if setting.shape else False,
    )


def inference_weight(params: float, setting: Setting) -> float:
    """Return the price of an inference FLOP over that of a training FLOP (6 N D) on the same chip."""
    return 1 / (setting.defaults.inference.mid * flop_ratio(params, setting))


def serving_usd(offer: Offer, n: int, size: Size, setting: Setting) -> float:
    """Return the cost of serving all inference tokens at 2 N FLOP each, middle efficiency and price."""
    tokens = setting.request.inference_tokens
    if not tokens:
        return 0.0
    flops = 2 * size.params * tokens * inference_weight(size.params, setting)
    return flops / rate(offer, n, size.params, setting) / HOUR * offer.usd_per_hour.mid


def flop_ratio(params: float, setting: Setting) -> float:
    """Return the model FLOPs of a real shape (causal attention counted half) over the law's 6 N D."""
    # A tenth of a decade is near enough for a ratio.
    shape = setting.shape or shape_of(10 ** round(math.log10(params), 1))
    tokens = sequence_tokens(shape, setting)
    return step_flops(shape, sequence_tokens=tokens).model.causal / tokens / (6 * counted_params(shape))


def sequence_tokens(shape: ModelShape, setting: Setting) -> int:
    """Return the sequence length to train with: as asked, as the named model was made for, or usual for the size."""
    if setting.request.sequence_tokens:
        return setting.request.sequence_tokens
    if setting.shape:
        return default_sequence(shape)
    return setting.defaults.job.sequence_tokens(counted_params(shape))


def counted_params(shape: ModelShape) -> int:
    """Return the parameters that the law counts: all, or those one token uses in a mixture."""
    found = count_parameters(shape)
    return found.active if shape.is_mixture else found.total


def shape_of(params: float) -> ModelShape:
    """Return a sensible modern shape of about this size: the one that `--model 6.24B` means, three digits."""
    return _sized(float(f"{params:.3g}"))


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


def least_accelerators(params: float, offer: Offer, setting: Setting) -> float:
    """Return how many accelerators hold the states of training, sharded, with a part left for activations.

    Infinite where one is not enough and no link is fast enough to shard.
    """
    job = setting.defaults.job
    total = count_parameters(setting.shape).total if setting.shape else params
    held = total * job.bytes_per_param / (offer.accelerator.usable_memory_bytes * job.usable_share)
    return held if held <= 1 or has_fast_link(offer.accelerator, setting.defaults.hardware) else math.inf


def most_params(n: int, offer: Offer, setting: Setting) -> float:
    """Return the largest model whose states `n` accelerators hold; only one where no link is fast enough to shard."""
    job = setting.defaults.job
    shards = n if has_fast_link(offer.accelerator, setting.defaults.hardware) else 1
    return shards * offer.accelerator.usable_memory_bytes * job.usable_share / job.bytes_per_param
