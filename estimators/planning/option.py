"""One way to do it, worked out: this chip on these terms, so many of them, this model on so many tokens, for so long.

`work_out` runs the same job that `flopwise train` runs (layout, memory, step, losses beside the steps) and sets the
tokens so that the money or the time is used exactly. Dollars and days of a plan are therefore those that `train` gives
for the same job.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import AnswerIsNo, DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..models.shape import ModelShape
from ..quantity import Quantity
from ..training.choose import Wanted
from ..training.job import Job, JobAnswer, answer, checkpoint_bytes
from ..training.run import TrainingRun, loss_of, training_run
from ..units import HOUR
from .hardware import Offer, counts
from .rates import (
    counted_params,
    least_accelerators,
    most_params,
    sequence_tokens,
    serving_load,
)
from .request import Objective
from .setting import Limit, Setting
from .shapes import shape_of, smallest_params
from .sizing import Size
from .sketch import Sketch, count_accelerators, is_size_fixed, most_fed

if TYPE_CHECKING:
    from .serving import Served

LARGER_TRIED = 3  # numbers tried beyond the fewest that meet a deadline, besides 2^k and 3 x 2^k
CLOSE_COST = 1.02  # a larger cluster must save more than this to be worth it
MOST_SERVED, SERVED_SHRINKS = 0.95, 20  # of the money, so that something is left to train
SHRINK, SHRINKS = 0.8, 6  # of a size that the money would allow and the memory does not
MOST_DATA_PARALLEL = 2e10  # parameters up to which only data-parallel layouts are tried when they fit


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
    served: Served | None
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


def work_out(drawn: Sketch, setting: Setting, *, thorough: bool = False) -> Option:
    """Return the option with its layout, memory, time and cost; tokens are set so that money or time is used up.

    `thorough` tries more numbers of accelerators for a job with a deadline.

    Raises:
        DoesNotFit: no layout fits.
        InputError: the job cannot be cut over that many accelerators.
        AnswerIsNo: serving takes all the money.
    """
    drawn = replace(drawn, size=_servable(drawn.size, setting))
    shape, found = _first_that_fits(drawn, setting)
    size = Size(counted_params(shape), drawn.size.tokens)
    if drawn.limit is Limit.TARGET or is_size_fixed(setting):
        drawn, found = _cheapest_in_time(drawn, found, setting, thorough)
        return _option(drawn, setting, shape, size, found)
    size = _servable(_resized(_spend(found, size, drawn, setting), drawn, setting), setting)
    if setting.shape is None:
        shape = shape_of(size.params)
    found = _answer(shape, size.tokens, drawn, setting)
    size = Size(counted_params(shape), size.tokens)
    if setting.sizing.tokens is None:
        size = _spend(found, size, drawn, setting)
        found = _rerun(found, size.tokens)
    return _option(drawn, setting, shape, size, found)


def _servable(size: Size, setting: Setting) -> Size:
    """Return the size, smaller where its serving leaves no money for the run; shapes come in steps, sketches do not."""
    if setting.serving is None or setting.shape or is_size_fixed(setting):
        return size
    params, tokens = size.params, setting.request.inference_tokens or 0.0
    for _ in range(SERVED_SHRINKS):
        if setting.serving.at(params).usd_for(tokens).mid < MOST_SERVED * setting.money_usd:
            break
        params = max(params * SHRINK, smallest_params())
    return Size(params, size.tokens)


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
    n, limit = count_accelerators(drawn.offer, setting, fitting, seconds, drawn.size, slow)
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
    serving = serving_load(drawn.offer, drawn.accelerators, size.params, setting)
    served = serving.flops if serving else 0.0
    largest = most_params(drawn.accelerators, drawn.offer, setting)
    if drawn.is_memory_bound:
        largest = min(largest, size.params)
    return setting.sizing.for_compute(size.flops + served, serving, largest)


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
    served = served_by(size, setting)
    money = setting.money_usd - (served.usd_for(setting.request.inference_tokens or 0.0).mid if served else 0.0)
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
    run = training_run(
        found.choice.time,
        tokens=tokens,
        accelerator=found.job.accelerator,
        layout=found.choice.layout,
        workload=found.workload,
        state_bytes=checkpoint_bytes(found.job),
        usd_per_hour=found.job.usd_per_hour,
        beyond=loss_of(found.choice.layout, found.workload, found.job.accelerator),
    )
    return replace(found, job=replace(found.job, tokens=tokens), run=run)


def _option(drawn: Sketch, setting: Setting, shape: ModelShape, size: Size, found: JobAnswer) -> Option:
    cost = found.run.cost_usd
    if cost is None:
        raise InputError(f"{drawn.offer.accelerator.name} has no price.")
    served = served_by(size, setting)
    return Option(
        offer=drawn.offer,
        accelerators=drawn.accelerators,
        size=size,
        shape=shape,
        answer=found,
        run=found.run,
        loss=setting.sizing.loss(size),
        training_usd=cost,
        serving_usd=served.usd_for(setting.request.inference_tokens or 0.0) if served else None,
        served=served,
        limit=drawn.limit,
        is_memory_bound=drawn.is_memory_bound,
    )


def served_by(size: Size, setting: Setting) -> Served | None:
    """Return the chip that serves this size and its cost; None where nothing is to be served."""
    return setting.serving.at(size.params) if setting.serving else None
