"""One way to do it: this chip on these terms, so many of them, this model on so many tokens, for so long and so much.

`sketch` sizes an offer from the efficiency formula alone, in microseconds; `work_out` then runs the same job that
`flopwise train` runs (layout, memory, step, losses beside the steps) and sets the tokens so that the money or the time
is used exactly. Dollars and days of a plan are therefore those that `train` gives for the same job.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

from ..errors import AnswerIsNo, DoesNotFit, InputError
from ..facts.plan_defaults import PlanDefaults
from ..frozen import dataclass, replace
from ..models.parameters import count_parameters
from ..models.shape import ModelShape
from ..quantity import Quantity
from ..scaling.surface import TRAINING_FLOPS_PER_PARAM_TOKEN
from ..training.choose import Wanted
from ..training.efficiency import Efficiency, efficiency
from ..training.flops import step_flops
from ..training.job import Job, JobAnswer, answer, default_sequence
from ..training.layout import Recipe
from ..training.run import TrainingRun
from ..units import DAY, HOUR, show_count
from .hardware import Offer, counts, has_fast_link
from .request import Objective, PlanRequest
from .sizing import Size, Sizing

_ROUNDS = 4  # of the fixed point between size and efficiency; it converges in two or three
LARGER_TRIED = 3  # numbers tried beyond the fewest that meet a deadline, besides 2^k and 3 x 2^k
CLOSE_COST = 1.02  # a larger cluster must save more than this to be worth it
SHRINK, SHRINKS = 0.8, 6  # of a size that the money would allow and the memory does not
MOST_DATA_PARALLEL = 2e10  # parameters up to which only data-parallel layouts are tried when they fit


class Limit(StrEnum):
    """What stopped the plan from being larger."""

    BUDGET = "budget"
    DEADLINE = "deadline"
    ACCELERATORS = "accelerators"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The question, made ready. `money_usd` is what the run and serving may cost, infinite without a budget."""

    request: PlanRequest
    defaults: PlanDefaults
    sizing: Sizing
    money_usd: float
    shape: ModelShape | None  # of a named model

    @property
    def longest_s(self) -> float:
        """How long a run that takes all the money may be: to the deadline, else the longest that people wait."""
        return self.request.deadline_s or self.defaults.patience[-1].days * DAY

    @property
    def recipe(self) -> Recipe:
        """The numerical recipe of the run."""
        return Recipe(precision=self.request.precision)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An offer worked out. `size.params` counts the shape's own parameters (those active, in a mixture)."""

    offer: Offer
    accelerators: int
    size: Size
    shape: ModelShape
    answer: JobAnswer
    run: TrainingRun
    loss: float
    training_usd: Quantity
    serving_usd: Quantity | None
    limit: Limit
    is_memory_bound: bool

    @property
    def seconds(self) -> Quantity:
        """Wall time of the main run."""
        return self.run.wall_s

    @property
    def usd(self) -> float:
        """Middle cost of the run and of serving."""
        return self.training_usd.mid + (self.serving_usd.mid if self.serving_usd else 0.0)


# --- sketch ---------------------------------------------------------------------------------------------------------


def sketch(offer: Offer, setting: Setting) -> Sketch | None:
    """Return the offer sized, or None where nothing it allows can hold or do the job.

    Raises:
        AnswerIsNo: the target cannot be reached at all.
        InputError: the accelerator lacks the precision.
    """
    allowed = counts(offer, setting.request, setting.defaults)
    target = _target(setting)
    if target:
        return _sketch_target(offer, setting, allowed, target)
    return _sketch_money(offer, setting, allowed)


def _sketch_target(offer: Offer, setting: Setting, allowed: tuple[int, ...], size: Size) -> Sketch | None:
    fitting = [n for n in allowed if n >= least_accelerators(size.params, offer, setting)]
    if not fitting:
        return None

    def seconds(n: int) -> float:
        return size.flops / (n * rate(offer, n, size.params, setting))

    n, limit = _count(offer, setting, fitting, seconds, size)
    usd = seconds(n) * n / HOUR * offer.usd_per_hour.mid + serving_usd(offer, n, size, setting)
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
    size = Size(params, 20 * params)

    def seconds(count: int) -> float:
        return run_hours * HOUR / count

    for _ in range(_ROUNDS):
        weight = inference_weight(params, setting)
        if math.isinf(hours):
            n, limit = allowed[-1], Limit.DEADLINE
        else:
            fitting = [m for m in allowed if m >= least_accelerators(min(params, largest), offer, setting)]
            if not fitting:
                return None
            # The first guess of the size may be far too large to serve, so the run keeps a part in any case.
            run_hours = max(hours - serving_usd(offer, n, size, setting) / price, hours / 20)
            n, limit = _count(offer, setting, fitting, seconds, size)
        speed = n * rate(offer, n, params, setting)
        most_flops = math.inf if limit is Limit.BUDGET else setting.longest_s * speed
        flops = most_flops if math.isinf(hours) or not request.inference_tokens else hours / n * HOUR * speed
        if not request.inference_tokens:
            flops = min(most_flops, hours / n * HOUR * speed)
        size = setting.sizing.for_compute(flops, weight, largest)
        size = Size(size.params, min(size.tokens, most_flops / TRAINING_FLOPS_PER_PARAM_TOKEN / size.params))
        params = size.params
    if least_accelerators(params, offer, setting) > allowed[-1]:
        return None  # a size that the request fixes
    return Sketch(
        offer=offer,
        accelerators=n,
        size=size,
        seconds=size.flops / (n * rate(offer, n, params, setting)),
        usd=size.flops / rate(offer, n, params, setting) / HOUR * price + serving_usd(offer, n, size, setting),
        limit=limit,
        is_memory_bound=params >= largest * (1 - 1e-9),
    )


def _count(
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
    from ..scaling.hyperparameters import step_law_batch_tokens

    sequences = step_law_batch_tokens(size.tokens) / setting.defaults.job.sequence_tokens(size.params)
    return max(1, int(sequences * min(offer.accelerator.link_domain or 1, 8)))


# --- rates ----------------------------------------------------------------------------------------------------------


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


def _target(setting: Setting) -> Size | None:
    weight = inference_weight(setting.sizing.params or 1e9, setting)
    target = setting.sizing.target(weight)
    if target is None and math.isinf(setting.money_usd) and not setting.request.is_cluster_for_a_time:
        target = setting.sizing.natural()
    return target


# --- work out -------------------------------------------------------------------------------------------------------


def work_out(drawn: Sketch, setting: Setting, *, thorough: bool = False) -> Option:
    """Return the option with its layout, memory, time and cost; tokens are set so that money or time is used up.

    `thorough` tries more numbers of accelerators for a job with a deadline.

    Raises:
        DoesNotFit: no layout fits.
        InputError: the job cannot be cut over that many accelerators.
        AnswerIsNo: serving takes all the money.
    """
    shape, found = _first_that_fits(drawn, setting)
    size = Size(counted_params(shape), drawn.size.tokens)
    if drawn.limit is Limit.TARGET or _target(setting) is not None:
        drawn, found = _cheapest_in_time(drawn, found, setting, thorough)
        return _option(drawn, setting, shape, size, found)
    size = _resized(_spend(found, size, drawn, setting), drawn, setting)
    if setting.shape is None:
        shape = shape_of(size.params)
    found = _answer(shape, size.tokens, drawn, setting)
    size = Size(counted_params(shape), size.tokens)
    if setting.sizing.tokens is None:
        size = _spend(found, size, drawn, setting)
        found = _rerun(found, size.tokens)
    return _option(drawn, setting, shape, size, found)


def _cheapest_in_time(drawn: Sketch, found: JobAnswer, setting: Setting, thorough: bool) -> tuple[Sketch, JobAnswer]:
    """Return the number of accelerators that meets the deadline at the least cost, by the worked-out speed.

    Costs rise slowly with the number, but some numbers cut a batch badly, so a few larger ones are tried as well; the
    fewest that are within 2 % of the least cost win.
    """
    request = setting.request
    if request.deadline_s is None:
        return drawn, found
    allowed = counts(drawn.offer, request, setting.defaults)
    fitting = [n for n in allowed if n >= least_accelerators(drawn.size.params, drawn.offer, setting)]
    hours = found.run.wall_s.mid * drawn.accelerators

    def seconds(n: int) -> float:
        return hours / n

    slow = found.run.wall_s.high / found.run.wall_s.mid
    n, limit = _count(drawn.offer, setting, fitting, seconds, drawn.size, slow)
    again = replace(drawn, accelerators=n, limit=Limit.TARGET if limit is Limit.BUDGET else limit)
    tried = [n]
    if thorough and request.aim is not Objective.TIME:
        most = min(most_fed(drawn.size, drawn.offer, setting), max(n, drawn.offer.usual))
        larger = [m for m in fitting if n < m <= most]
        tried += [m for index, m in enumerate(larger) if index < LARGER_TRIED or m // (m & -m) in (1, 3)]
    answers: list[tuple[Sketch, JobAnswer]] = []
    for count in tried:
        sketched = replace(again, accelerators=count)
        try:
            is_known = count == drawn.accelerators
            answered = found if is_known else _answer(found.job.shape, found.job.tokens, sketched, setting)
        except (DoesNotFit, InputError):
            continue
        answers.append((sketched, answered))
    in_time = [each for each in answers if each[1].run.wall_s.mid <= request.deadline_s] or answers
    enough = CLOSE_COST * min((_cost(each[1]) for each in in_time), default=0.0)
    return next((each for each in in_time if _cost(each[1]) <= enough), (drawn, found))


def _cost(found: JobAnswer) -> float:
    return found.run.cost_usd.mid if found.run.cost_usd else 0.0


def _first_that_fits(drawn: Sketch, setting: Setting) -> tuple[ModelShape, JobAnswer]:
    """Return the sketched size worked out; where the money chose it and it does not fit, a smaller one.

    Raises:
        DoesNotFit: what the request fixes does not fit, or even much smaller models do not.
    """
    params = drawn.size.params
    is_free = setting.shape is None and drawn.limit is not Limit.TARGET
    for attempt in range(SHRINKS + 1):
        shape = setting.shape or shape_of(params)
        try:
            return shape, _answer(shape, drawn.size.tokens, drawn, setting)
        except DoesNotFit:
            if not is_free or attempt == SHRINKS:
                raise
            params *= SHRINK
    raise AssertionError("unreachable")


def _resized(size: Size, drawn: Sketch, setting: Setting) -> Size:
    """Return the size that the law takes for the compute that the worked-out job really gets."""
    weight = inference_weight(size.params, setting)
    served = 2 * size.params * (setting.request.inference_tokens or 0.0) * weight
    largest = most_params(drawn.accelerators, drawn.offer, setting)
    if drawn.is_memory_bound:
        largest = min(largest, size.params)
    return setting.sizing.for_compute(size.flops + served, weight, largest)


def _answer(shape: ModelShape, tokens: float, drawn: Sketch, setting: Setting) -> JobAnswer:
    job = Job(
        shape=shape,
        tokens=tokens,
        accelerator=drawn.offer.accelerator,
        sequence_tokens=sequence_tokens(shape, setting),
        recipe=setting.recipe,
        usd_per_hour=drawn.offer.usd_per_hour,
        wanted=_simple(shape, drawn, setting),
    )
    try:
        return answer(job, drawn.accelerators)
    except (DoesNotFit, InputError):
        if job.wanted is None:
            raise
        return answer(replace(job, wanted=None), drawn.accelerators)


def _simple(shape: ModelShape, drawn: Sketch, setting: Setting) -> Wanted | None:
    """Return the layouts to try first: data parallel only for models of a usual size that clearly fit; else all."""
    if (
        counted_params(shape) > MOST_DATA_PARALLEL
        or 2 * least_accelerators(counted_params(shape), drawn.offer, setting) > drawn.accelerators
    ):
        return None
    return Wanted(tp=1, pp=1, cp=1, ep=1)


def _spend(found: JobAnswer, size: Size, drawn: Sketch, setting: Setting) -> Size:
    """Return the size that takes exactly the hours that the money or the deadline allow."""
    n, price = drawn.accelerators, drawn.offer.usd_per_hour.mid
    run = found.run
    startup = next(loss.seconds.mid for loss in run.losses if loss.name == "start-up")
    per_token = (run.wall_s.mid - startup) / run.tokens
    money = setting.money_usd - serving_usd(drawn.offer, drawn.accelerators, size, setting)
    seconds = money / price * HOUR / n
    if drawn.limit is not Limit.BUDGET:
        seconds = min(seconds, setting.longest_s)
    if seconds <= startup:
        if money <= 0:
            raise AnswerIsNo("serving takes all the money; raise --budget or lower --inference-tokens.")
        raise AnswerIsNo(
            f"the money that is left for the run pays for {seconds / 60:.0f} minutes on {n} "
            f"{drawn.offer.accelerator.name}, less than the start-up takes; raise --budget."
        )
    units = (seconds - startup) / per_token  # tokens of this size that the hours allow
    if setting.sizing.tokens is not None:
        return Size(size.params * units / size.tokens, size.tokens)
    step = found.workload.tokens_per_step
    return Size(size.params, max(1, math.floor(units / step)) * step)  # whole steps, so that no limit is overstepped


def _rerun(found: JobAnswer, tokens: float) -> JobAnswer:
    """Return the same layout and step over another number of tokens."""
    from ..training.job import checkpoint_bytes
    from ..training.run import training_run

    run = training_run(
        found.choice.time,
        tokens=tokens,
        accelerator=found.job.accelerator,
        layout=found.choice.layout,
        workload=found.workload,
        state_bytes=checkpoint_bytes(found.job),
        usd_per_hour=found.job.usd_per_hour,
    )
    return replace(found, job=replace(found.job, tokens=tokens), run=run)


def _option(drawn: Sketch, setting: Setting, shape: ModelShape, size: Size, found: JobAnswer) -> Option:
    cost = found.run.cost_usd
    if cost is None:
        raise InputError(f"{drawn.offer.accelerator.name} has no price.")
    return Option(
        offer=drawn.offer,
        accelerators=drawn.accelerators,
        size=size,
        shape=shape,
        answer=found,
        run=found.run,
        loss=setting.sizing.loss(size),
        training_usd=cost,
        serving_usd=_serving(drawn, size, setting),
        limit=drawn.limit,
        is_memory_bound=drawn.is_memory_bound,
    )


def _serving(drawn: Sketch, size: Size, setting: Setting) -> Quantity | None:
    mid = serving_usd(drawn.offer, drawn.accelerators, size, setting)
    if not mid:
        return None
    known, price = setting.defaults.inference, drawn.offer.usd_per_hour
    down = math.hypot(math.log(known.high / known.mid), math.log(price.mid / price.low))
    up = math.hypot(math.log(known.mid / known.low), math.log(price.high / price.mid))
    basis = "2 N FLOP per token; efficiency of serving is a guess (data/plan_defaults.yaml)"
    return Quantity(mid * math.exp(-down), mid, mid * math.exp(up), "usd", "80 %", basis)
