"""How fast, how large and how dear: the quantities that sketches and worked-out options share.

Compute is counted as laws do, 6 N D; `flop_ratio` turns it into the FLOPs of a real shape. Serving costs the dollars
of the serving model (serving.py); the law weighs them as the training compute that the same dollars buy.
"""

from __future__ import annotations

import math

from ..models.parameters import count_parameters
from ..models.shape import ModelShape
from ..training.efficiency import Efficiency, efficiency
from ..training.flops import step_flops
from ..training.job import default_sequence
from ..units import HOUR
from .hardware import Offer, has_fast_link
from .setting import Setting
from .shapes import shape_of
from .sizing import ServingLoad


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


def serving_usd(params: float, setting: Setting) -> float:
    """Return the middle cost of serving all inference tokens with a model of this size, between known sizes."""
    if setting.serving is None:
        return 0.0
    return setting.serving.usd_per_token(params) * (setting.request.inference_tokens or 0.0)


def serving_load(offer: Offer, n: int, params: float, setting: Setting) -> ServingLoad | None:
    """Return the cost of serving as the training compute (6 N D) that the same money buys here."""
    if setting.serving is None:
        return None
    bought = rate(offer, n, params, setting) * HOUR / offer.usd_per_hour.mid
    return ServingLoad(
        params=params,
        flops=serving_usd(params, setting) * bought,
        elasticity=setting.serving.elasticity(params),
    )


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
