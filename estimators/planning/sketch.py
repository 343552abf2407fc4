"""An offer sized in microseconds from the efficiency formula alone: how many chips, which model, how long, how dear.

Every offer is sketched; only the best are worked out (option.py). The number of accelerators is the fewest that meet
the deadline, or without one the fewest that people would wait for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..facts.plan_defaults import PlanDefaults
from ..frozen import dataclass
from ..scaling.hyperparameters import step_law_batch_tokens
from ..scaling.surface import TRAINING_FLOPS_PER_PARAM_TOKEN
from ..units import DAY, HOUR
from .hardware import Offer, counts
from .rates import least_accelerators, most_params, rate, reached, serving_load, serving_usd
from .request import Objective
from .setting import Limit, Setting
from .shapes import smallest_params
from .sizing import Size

_ROUNDS = 4  # of the fixed point between size and efficiency; it converges in two or three
_SERVED_ROUNDS = 24  # with serving, whose cost bends with size: until the size stays the same to
_SAME = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """An offer sized by the efficiency formula alone."""

    offer: Offer
    accelerators: int
    size: Size
    seconds: float
    usd: float  # the run and serving
    limit: Limit
    is_memory_bound: bool  # the memory, not the time, decided the size or the number


def sketch(offer: Offer, setting: Setting) -> Sketch | None:
    """Return the offer sized, or None where nothing it allows can hold or do the job.

    Raises:
        AnswerIsNo: the target cannot be reached at all.
        InputError: the accelerator lacks the precision.
    """
    allowed = counts(offer, setting.request, setting.defaults)
    target = fixed_size(offer, allowed, setting)
    if target:
        return _sketch_target(offer, setting, allowed, target)
    return _sketch_money(offer, setting, allowed)


def _sketch_target(offer: Offer, setting: Setting, allowed: tuple[int, ...], size: Size) -> Sketch | None:
    fitting = [n for n in allowed if n >= least_accelerators(size.params, offer, setting)]
    if not fitting:
        return None

    def seconds(n: int) -> float:
        return size.flops / (n * rate(offer, n, size.params, setting))

    n, limit = count_accelerators(offer, setting, fitting, seconds, size)
    usd = seconds(n) * n / HOUR * offer.usd_per_hour.mid + serving_usd(size.params, setting)
    return Sketch(
        offer=offer,
        accelerators=n,
        size=size,
        seconds=seconds(n),
        usd=usd,
        limit=limit if setting.request.deadline_s and limit is not Limit.BUDGET else Limit.TARGET,
        is_memory_bound=n == fitting[0] and n > allowed[0],
    )


def _sketch_money(offer: Offer, setting: Setting, allowed: tuple[int, ...]) -> Sketch | None:
    request, price = setting.request, offer.usd_per_hour.mid
    hours = setting.money_usd / price  # of accelerators, serving included
    run_hours = hours
    largest = most_params(allowed[-1], offer, setting)
    params, n, limit = 1e9, allowed[-1], Limit.BUDGET
    if setting.serving and not math.isinf(hours):  # start from the model that all the money would train
        alone = hours * HOUR * rate(offer, offer.node, params, setting)
        params = setting.sizing.params or min(largest, setting.sizing.optimum(alone).params)
    size = Size(params, 20 * params)

    def seconds(count: int) -> float:
        return run_hours * HOUR / count

    for turn in range(_SERVED_ROUNDS if setting.serving else _ROUNDS):
        before = params
        if math.isinf(hours):
            n, limit = allowed[-1], Limit.DEADLINE
        else:
            fitting = [m for m in allowed if m >= least_accelerators(min(params, largest), offer, setting)]
            if not fitting:
                return None
            # The first guess of the size may be far too large to serve, so the run keeps a part in any case.
            run_hours = max(hours - serving_usd(size.params, setting) / price, hours / 20)
            n, limit = count_accelerators(offer, setting, fitting, seconds, size)
        speed = n * rate(offer, n, params, setting)
        most_flops = math.inf if limit is Limit.BUDGET else setting.longest_s * speed
        flops = most_flops if math.isinf(hours) or not request.inference_tokens else hours / n * HOUR * speed
        if not request.inference_tokens:
            flops = min(most_flops, hours / n * HOUR * speed)
        size = setting.sizing.for_compute(flops, serving_load(offer, n, params, setting), largest)
        if (
            setting.serving and setting.sizing.params is None
        ):  # what cannot be served small is said once it is worked out
            size = Size(max(size.params, smallest_params()), size.tokens)
        size = Size(size.params, min(size.tokens, most_flops / TRAINING_FLOPS_PER_PARAM_TOKEN / size.params))
        params = size.params
        if setting.serving:
            if abs(params / before - 1) < _SAME:
                break
            if turn >= _ROUNDS:
                params = math.sqrt(before * params)  # it may swing from side to side
    if least_accelerators(params, offer, setting) > allowed[-1]:
        return None  # a size that the request fixes
    return Sketch(
        offer=offer,
        accelerators=n,
        size=size,
        seconds=size.flops / (n * rate(offer, n, params, setting)),
        usd=size.flops / rate(offer, n, params, setting) / HOUR * price + serving_usd(size.params, setting),
        limit=limit,
        is_memory_bound=params >= largest * (1 - 1e-9),
    )


def count_accelerators(
    offer: Offer,
    setting: Setting,
    fitting: list[int],
    seconds: Callable[[int], float],
    size: Size,
    slow: float | None = None,
) -> tuple[int, Limit]:
    """Return the number of accelerators and what it is limited by.

    With a deadline: the fewest that meet it even at the slow end of the range, else as many as there can be. Without:
    the fewest whose run is not longer than people wait for that many. For the fastest run: the most that can be rented and
    fed for at least a day.
    """
    request, defaults = setting.request, setting.defaults
    most = most_fed(size, offer, setting)
    fitting = [n for n in fitting if n <= most] or fitting[:1]
    if request.aim is Objective.TIME:
        usual = max(offer.usual, request.max_accelerators or 0, request.accelerators or 0)
        shortest = defaults.shortest_cluster_run_days.value * DAY
        fast = [n for n in fitting if n <= usual and (n <= offer.node or seconds(n) >= shortest)]
        return (fast[-1] if fast else fitting[0]), Limit.BUDGET
    deadline = request.deadline_s
    if deadline is None:
        calm = next((n for n in fitting if seconds(n) <= _patience_s(n, defaults)), fitting[-1])
        return calm, Limit.BUDGET if seconds(calm) <= setting.longest_s else Limit.ACCELERATORS
    if slow is None:
        band = reached(offer, fitting[0], size.params, setting).mfu
        slow = band.mid / band.low
    sure = next((n for n in fitting if seconds(n) * slow <= deadline), None)
    if sure is not None:
        return sure, Limit.BUDGET
    if seconds(fitting[-1]) <= deadline:  # not sure to meet it, so as fast as can be
        return fitting[-1], Limit.BUDGET
    is_own_limit = request.accelerators is not None or request.max_accelerators is not None
    return fitting[-1], Limit.ACCELERATORS if is_own_limit else Limit.DEADLINE


def _patience_s(n: int, defaults: PlanDefaults) -> float:
    return next((row.days for row in defaults.patience if n <= row.accelerators), defaults.patience[-1].days) * DAY


def most_fed(size: Size, offer: Offer, setting: Setting) -> int:
    """Return how many accelerators the usual batch feeds: a sequence for each, or for each group of 8 on a fast link."""
    sequences = step_law_batch_tokens(size.tokens) / setting.defaults.job.sequence_tokens(size.params)
    return max(1, int(sequences * min(offer.accelerator.link_domain or 1, 8)))


def is_size_fixed(setting: Setting) -> bool:
    """Whether the request fixes the size, so that neither the money nor the time decides it."""
    sizing = setting.sizing
    if (sizing.params is not None and sizing.tokens is not None) or sizing.compute_flops or sizing.target_loss:
        return True
    is_natural = math.isinf(setting.money_usd) and not setting.request.is_cluster_for_a_time
    return is_natural and (sizing.params is not None or sizing.tokens is not None)


def fixed_size(offer: Offer, allowed: tuple[int, ...], setting: Setting) -> Size | None:
    """Return the size that the request fixes, None where the money or the time decides.

    Serving is weighed against training on this offer, a node of it where the number is open.
    """
    if not is_size_fixed(setting):
        return None
    n = max((m for m in allowed if m <= offer.node), default=allowed[0])
    sizing, found = setting.sizing, None
    params = sizing.params or 1e9
    for _ in range(_SERVED_ROUNDS if setting.serving and sizing.params is None else 1):
        found = sizing.target(serving_load(offer, n, params, setting))
        if found is None:
            return sizing.natural()
        if abs(found.params / params - 1) < _SAME:
            break
        params = found.params
    return found
