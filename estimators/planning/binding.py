"""What stops the plan from being better, and what relaxing each limit would buy.

A relaxation is answered with the plan's own efficiency: so much more compute, the size that the law takes for it, the
loss that follows. Gains are in nats per token and as the compute that the plan itself would need for that loss.
"""

from __future__ import annotations

import math

from ..frozen import dataclass, replace
from ..units import show_count
from .option import Option
from .setting import Limit, Setting
from .sizing import Size

MORE_MONEY = 1.5
DATA_BINDS_EPOCHS = 4.0  # up to here repeated tokens are worth almost as much as new ones (arXiv:2305.16264)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A limit: `binds` says whether it stops the plan now; `what` is how far it is relaxed."""

    limit: str  # budget, deadline, accelerators, data, memory, target
    binds: bool
    what: str
    size: Size | None
    loss_gain: float  # nats per token, positive is better; 0 where nothing is gained
    compute_gain: float  # the same as a factor of compute, 1 where nothing is gained


def binding(chosen: Option, setting: Setting) -> tuple[Relaxation, ...]:
    """Return the limits, the one that binds first."""
    request = setting.request
    found: list[Relaxation] = []
    is_cluster = math.isinf(setting.money_usd) and request.is_cluster_for_a_time
    if chosen.limit is Limit.TARGET or (request.is_fixed and not is_cluster):
        found.append(Relaxation("target", True, "the request fixes what is trained", None, 0.0, 1.0))
    elif chosen.limit is Limit.BUDGET:
        found.append(_grown(chosen, setting, "budget", f"{MORE_MONEY - 1:.0%} more money", MORE_MONEY))
    elif is_cluster:
        found.append(_grown(chosen, setting, "accelerators", "twice the accelerators", 2.0))
        found.append(_grown(chosen, setting, "deadline", "twice the time", 2.0, binds=False))
    else:
        factor = setting.money_usd / max(chosen.usd, 1e-9)
        what = "more time" if chosen.limit is Limit.DEADLINE else "more accelerators"
        found.append(_grown(chosen, setting, str(chosen.limit), f"{what} to use all the money", factor))
    if request.unique_tokens is not None:
        found.append(_new_data(chosen, setting, request.unique_tokens))
    if chosen.is_memory_bound:
        found.append(Relaxation("memory", True, "larger or more accelerators", None, 0.0, 1.0))
    found.sort(key=lambda each: (not each.binds, each.limit != "data" or each.compute_gain < MORE_MONEY))
    return tuple(found)


def _grown(chosen: Option, setting: Setting, limit: str, what: str, factor: float, *, binds: bool = True) -> Relaxation:
    sizing = replace(setting.sizing, inference_tokens=None, target_loss=None, compute_flops=None)
    if sizing.params is not None and sizing.tokens is not None:
        sizing = replace(sizing, tokens=None)
    size = sizing.for_compute(chosen.size.flops * factor)
    if setting.sizing.inference_tokens:
        size = Size(chosen.size.params * math.sqrt(factor), chosen.size.tokens * math.sqrt(factor))
    return _relaxed(chosen, setting, limit, what, size, sizing.loss(size), binds)


def _new_data(chosen: Option, setting: Setting, unique: float) -> Relaxation:
    """Return what it buys when no token has to be repeated."""
    size = setting.sizing.law.optimum(chosen.size.flops)
    better = Size(size.params, size.tokens)
    if setting.sizing.params is not None or setting.sizing.tokens is not None:
        better = chosen.size
    epochs = chosen.size.tokens / unique
    need = f"{show_count(better.tokens)} unique tokens instead of {show_count(unique)}"
    loss = setting.sizing.surface.loss(better.params, better.tokens)
    return _relaxed(chosen, setting, "data", need, better, min(loss, chosen.loss), epochs > DATA_BINDS_EPOCHS)


def _relaxed(
    chosen: Option, setting: Setting, limit: str, what: str, size: Size, loss: float, binds: bool
) -> Relaxation:
    surface = setting.sizing.surface
    gain = chosen.loss - loss
    factor = surface.compute_for(loss) / surface.compute_for(chosen.loss) if gain > 0 else 1.0
    return Relaxation(limit, binds, what, size, max(0.0, gain), factor)
