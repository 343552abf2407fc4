"""From a request to a plan: every offer is sketched, the best are worked out, one is chosen, its reasons are kept.

The discrete choices (accelerator, terms, number of them) are searched exhaustively; size and tokens follow from the
scaling law in closed form or by one-dimensional search; the winner runs through the same job model as
`flopwise train`. Chips that no measured run backs, and chips that need other software, are shown but not chosen unless
they were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import AnswerIsNo, DoesNotFit, FlopwiseError, InputError
from ..facts.plan_defaults import load_plan_defaults
from ..frozen import dataclass, replace
from ..models.shape import ModelShape
from ..quantity import Quantity
from ..scaling.hyperparameters import Hyperparameters, suggest
from ..scaling.uncertainty import compute_waste, optimum_bands, size_range
from ..units import show_count, show_duration, show_usd
from .advice import Advice, advise, open_models
from .alternatives import Alternative, alternatives, front, same_size_on
from .binding import DATA_BINDS_EPOCHS, Relaxation, binding
from .budget import MoneyTable, Reserve, from_budget, from_costs, reserves, spend
from .hardware import Offer, offers
from .option import Option, work_out
from .rates import counted_params
from .request import Objective, PlanRequest
from .setting import Limit, Setting
from .sizing import sizing
from .sketch import Sketch, sketch

if TYPE_CHECKING:
    from ..facts.catalog import Catalog

ENOUGH_COMPUTE = 0.8  # of the best offer's, below which an offer does not race for speed
ABOUT_AS_FAST = 1.25
CLOSE_RACE = 3  # sketches worked out before one is chosen
SHOWN_READY, SHOWN_OTHER = 3, 2  # accelerators shown beside the chosen one: those it could be, those it could not
MIXTURE_PAYS = 7e10  # parameters of a dense model above which nearly all open models of 2025 and later are mixtures
SMALL_LOSS = 0.02  # nats per token; halving the compute costs about 0.04 where data are new
VALLEY = 0.06  # waste at which the range of good sizes is printed


@dataclass(frozen=True, slots=True, kw_only=True)
class Valley:
    """The flat optimum at the plan's compute: the best size with its bands, and the sizes that waste little."""

    flops: float
    params: Quantity
    tokens: Quantity
    tokens_per_param: Quantity
    loss: float
    waste: float
    smallest: float
    largest: float
    plan_waste: float | None  # share of compute that the plan's size wastes; None where tokens repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer, complete: `cli/commands/plan.py` only lays it out."""

    setting: Setting
    chosen: Option
    hardware: tuple[Option, ...]  # the same model on the best accelerators, the chosen one first
    alternatives: tuple[Alternative, ...]
    front: tuple[Option, ...]
    valley: Valley
    money: MoneyTable
    reserves: tuple[Reserve, ...]
    relaxations: tuple[Relaxation, ...]  # what binds first, then what else could be relaxed
    advice: Advice
    hyperparameters: Hyperparameters
    warnings: tuple[str, ...]

    @property
    def epochs(self) -> float:
        """Passes over the unique tokens, 1 where they are not limited."""
        unique = self.setting.request.unique_tokens
        return max(1.0, self.chosen.size.tokens / unique) if unique else 1.0


def make_plan(request: PlanRequest, catalog: Catalog) -> Plan:
    """Return the plan for a request.

    Raises:
        InputError: the request contradicts itself or names what does not exist.
        AnswerIsNo: the request is clear and cannot be met (money, time, loss, memory).
    """
    setting, kept = prepare(request, catalog)
    chosen = best_option(setting, catalog)
    neighbours = alternatives(chosen, setting, catalog)
    hardware = (chosen, *_rivals(chosen, setting, catalog))
    surface, rules = setting.sizing.surface, setting.defaults.advice
    return Plan(
        setting=setting,
        chosen=chosen,
        hardware=hardware,
        alternatives=neighbours,
        front=front((*hardware, *(each.option for each in neighbours))),
        valley=_valley(chosen, setting),
        money=_money(chosen, setting, kept),
        reserves=kept,
        relaxations=binding(chosen, setting),
        advice=advise(chosen.size, chosen.loss, surface, open_models(rules), rules),
        hyperparameters=suggest(chosen.size.params, chosen.size.tokens),
        warnings=(*_warnings(chosen, setting), *_wasted_on_repeats(chosen, setting, neighbours)),
    )


def prepare(request: PlanRequest, catalog: Catalog) -> tuple[Setting, tuple[Reserve, ...]]:
    """Return the question made ready, and the reserves in force.

    Raises:
        InputError: the request contradicts itself or names what does not exist.
    """
    request.check()
    defaults = load_plan_defaults()
    kept = reserves(defaults.reserves, request.reserve_edits, none=request.no_reserves)
    shape = _shape(request)
    sized = sizing(
        law_name=request.law,
        detour=defaults.detour.value if request.detour is None else request.detour,
        params=counted_params(shape) if shape else None,
        tokens=request.tokens,
        unique_tokens=request.unique_tokens,
        inference_tokens=request.inference_tokens,
        target_loss=request.target_loss,
        compute_flops=request.compute_flops,
    )
    share = sum(reserve.share for reserve in kept)
    money = math.inf if request.budget_usd is None else request.budget_usd * (1 - share)
    prices = None
    if request.inference_tokens:
        from .serving import serving_prices

        prices = serving_prices(catalog, request, defaults, shape)
    return Setting(request=request, defaults=defaults, sizing=sized, money_usd=money, shape=shape, serving=prices), kept


def best_option(setting: Setting, catalog: Catalog) -> Option:
    """Return the best way to do what is asked.

    Raises:
        AnswerIsNo: there is none within the money, the time or the memory.
        InputError: nothing is priced on these terms.
    """
    chosen = _choose(offers(catalog, setting.request, setting.defaults), setting)
    _check_limits(chosen, setting)
    return chosen


def _shape(request: PlanRequest) -> ModelShape | None:
    if request.model is None:
        return None
    from ..models.resolve import resolve_model

    return resolve_model(request.model).shape


# --- choosing -------------------------------------------------------------------------------------------------------


def _choose(found: tuple[Offer, ...], setting: Setting) -> Option:
    """Return the best option, worked out; the sketches decide who races."""
    drawn, troubles = _sketches(found, setting)
    ready = [each for each in drawn if is_ready(each.offer, setting)] or drawn
    if setting.request.aim is Objective.TIME:  # speed must not be bought with chips that waste the money
        enough = ENOUGH_COMPUTE * max((each.size.flops for each in ready), default=0.0)
        ready = [each for each in ready if each.size.flops >= enough and each.usd <= setting.money_usd * 1.02]
    options: list[Option] = []
    for each in sorted(ready, key=_order(setting)):
        try:
            options.append(work_out(each, setting, thorough=True))
        except (DoesNotFit, InputError) as error:
            troubles.append(error)
        if len(options) == CLOSE_RACE:
            break
    if not options:
        raise _trouble(troubles, found, setting)
    if setting.request.aim is Objective.TIME:  # about as fast is fast enough; then the better and the cheaper wins
        fastest = min(option.seconds.mid for option in options)
        return min(
            (option for option in options if option.seconds.mid <= ABOUT_AS_FAST * fastest),
            key=lambda option: (option.loss, option.usd),
        )
    return min(options, key=_final_order(setting))


def is_ready(offer: Offer, setting: Setting) -> bool:
    """Whether the plan may choose this offer: asked for, or measured and of the usual software."""
    if setting.request.accelerator:
        return True
    return offer.measured and offer.accelerator.vendor in setting.defaults.hardware.vendors


def _sketches(found: tuple[Offer, ...], setting: Setting) -> tuple[list[Sketch], list[FlopwiseError]]:
    drawn: list[Sketch] = []
    troubles: list[FlopwiseError] = []
    for offer in found:
        try:
            each = sketch(offer, setting)
        except (AnswerIsNo, InputError) as error:  # the chip lacks the precision, or the target is out of reach
            troubles.append(error)
            continue
        if each:
            drawn.append(each)
    return drawn, troubles


def _order(setting: Setting) -> Callable[[Sketch], tuple[float, ...]]:
    loss, aim = setting.sizing.loss, setting.request.aim

    def order(each: Sketch) -> tuple[float, ...]:
        late = float(each.limit in (Limit.DEADLINE, Limit.ACCELERATORS))
        if aim is Objective.LOSS:
            return loss(each.size), each.usd, each.seconds
        if aim is Objective.TIME:
            return each.seconds, each.usd
        return late, each.usd, each.seconds

    return order


def _final_order(setting: Setting) -> Callable[[Option], tuple[float, ...]]:
    aim = setting.request.aim

    def order(each: Option) -> tuple[float, ...]:
        late = float(each.limit in (Limit.DEADLINE, Limit.ACCELERATORS))
        if aim is Objective.LOSS:
            return each.loss, each.usd, each.seconds.mid
        if aim is Objective.TIME:
            return each.seconds.mid, each.usd
        return late, each.usd, each.seconds.mid

    return order


def _trouble(troubles: list[FlopwiseError], found: tuple[Offer, ...], setting: Setting) -> FlopwiseError:
    if troubles:
        return troubles[0]
    size = setting.sizing.params
    what = f"a model of {show_count(size)} parameters" if size else "the model"
    names = ", ".join(sorted({offer.accelerator.name for offer in found})[:3])
    most = max(offer.most for offer in found)
    limit = setting.request.accelerators or setting.request.max_accelerators or most
    return DoesNotFit(
        f"the training states of {what} do not fit on {limit:,} {names}"
        f"{' or any other' if len(found) > 3 else ''}; allow more accelerators, name a larger one, or train a smaller "
        "model."
    )


def _rivals(chosen: Option, setting: Setting, catalog: Catalog) -> tuple[Option, ...]:
    """Return the same model and tokens on the best other accelerators, one line each, on their best terms."""
    request = setting.request
    free = replace(
        setting,
        request=replace(
            request,
            accelerator=None if request.usd_per_hour is None else request.accelerator,
            accelerators=None,
            cloud=None,
        ),
    )
    if request.usd_per_hour is not None:
        return ()
    fixed = replace(free.sizing, params=chosen.size.params, tokens=chosen.size.tokens, target_loss=None)
    target = replace(free, sizing=replace(fixed, compute_flops=None), money_usd=math.inf)
    drawn, _ = _sketches(offers(catalog, free.request, setting.defaults), target)
    found: list[Option] = []
    names = {chosen.offer.accelerator.id}
    room = {True: SHOWN_READY, False: SHOWN_OTHER}
    for each in sorted(drawn, key=_order(target)):
        ready = is_ready(each.offer, free)
        if each.offer.accelerator.id in names or not room[ready]:
            continue
        names.add(each.offer.accelerator.id)
        try:
            option = same_size_on(each.offer, chosen.size, free)
        except FlopwiseError:
            continue
        if option:
            found.append(option)
            room[ready] -= 1
    return tuple(sorted(found, key=_final_order(target)))


# --- limits, money, optimum, warnings -------------------------------------------------------------------------------


def _check_limits(chosen: Option, setting: Setting) -> None:
    """Answer no where a fixed target does not meet the deadline or the budget."""
    request, size = setting.request, chosen.size
    what = f"{show_count(size.params)} parameters on {show_count(size.tokens)} tokens"
    where = f"{chosen.accelerators:,} {chosen.offer.accelerator.name}"
    is_target = not math.isfinite(setting.money_usd) or request.is_fixed
    deadline = request.deadline_s
    if is_target and deadline and not request.is_cluster_for_a_time and chosen.seconds.mid > deadline:
        raise AnswerIsNo(
            f"{what} take {show_duration(chosen.seconds.mid)} on {where}, more than the deadline of "
            f"{show_duration(deadline)}; allow more time or more accelerators, or train on less."
        )
    if request.is_fixed and chosen.usd > setting.money_usd:
        need = chosen.usd / (setting.money_usd / (request.budget_usd or 1.0))
        served = " and to serve" if chosen.serving_usd else ""
        raise AnswerIsNo(
            f"{what} cost {show_usd(chosen.usd)} to train{served} on {where}, and a budget of "
            f"{show_usd(request.budget_usd or 0.0)} leaves {show_usd(setting.money_usd)} for it after the reserves; "
            f"it takes a budget of {show_usd(need)}."
        )


def _money(chosen: Option, setting: Setting, kept: tuple[Reserve, ...]) -> MoneyTable:
    budget = setting.request.budget_usd
    serving = chosen.serving_usd.mid if chosen.serving_usd else 0.0
    if budget is None:
        return from_costs(chosen.training_usd.mid, kept, serving_usd=serving)
    table = from_budget(budget, kept, serving_usd=serving)
    is_all_spent = chosen.limit is Limit.BUDGET and setting.sizing.tokens is None
    return table if is_all_spent else spend(table, chosen.training_usd.mid)


def _valley(chosen: Option, setting: Setting) -> Valley:
    """Return the optimum for the plan's compute with all tokens new, and how flat it is around it."""
    sized, flops = setting.sizing, setting.request.compute_flops or chosen.size.flops
    best = sized.law.optimum(flops)
    params, tokens, ratio = optimum_bands(flops, best.params, best.tokens)
    smallest, largest = size_range(sized.surface, flops, VALLEY)
    loss = sized.surface.loss(best.params, best.tokens)
    repeats = setting.request.unique_tokens is not None and chosen.size.tokens > setting.request.unique_tokens
    return Valley(
        flops=flops,
        params=params,
        tokens=tokens,
        tokens_per_param=ratio,
        loss=loss,
        waste=VALLEY,
        smallest=smallest,
        largest=largest,
        plan_waste=None if repeats else max(0.0, compute_waste(sized.surface, chosen.size.params, chosen.size.tokens)),
    )


def _warnings(chosen: Option, setting: Setting) -> tuple[str, ...]:
    request, size, offer = setting.request, chosen.size, chosen.offer
    found = list(setting.sizing.law.warnings(size.params, size.tokens, unique_tokens=request.unique_tokens))
    n, name = chosen.accelerators, offer.accelerator.name
    if n > offer.usual:
        found.append(
            f"{n:,} {name} are more than one can usually rent {offer.terms} ({offer.usual:,}); "
            "ask for a contract, which also changes the price."
        )
    if not offer.measured:
        found.append(f"No training run on {name} is in our data; its speed is that of its relatives, with a wide band.")
    if chosen.seconds.high > (request.deadline_s or math.inf):
        found.append(
            f"At the slow end of its range the run takes {show_duration(chosen.seconds.high)} and misses the deadline."
        )
    if request.deadline_s is None and chosen.seconds.mid > 1.01 * setting.longest_s:
        found.append(
            f"The run takes {show_duration(chosen.seconds.mid)}, longer than people wait for one; use more "
            "accelerators, or give a --deadline."
        )
    if chosen.shape.is_mixture:
        found.append("The law is for dense models and is used with the active parameters; a mixture does better.")
    elif size.params > MIXTURE_PAYS:
        found.append(
            "Models of this size are mixtures of experts today, which reach the same loss for several times less "
            "compute; `--model 200B-A20B --tokens 5T` plans one."
        )
    if chosen.served and not chosen.served.cost.meets_targets:
        found.append(
            f"No suitable chip serves {chosen.shape.name} at the usual latency; its serving is priced without."
        )
    if setting.sizing.law.surface is None:
        found.append(f"Law {setting.sizing.law.id} gives no loss; losses shown are those of the default law.")
    return tuple(found)


def _wasted_on_repeats(chosen: Option, setting: Setting, neighbours: tuple[Alternative, ...]) -> tuple[str, ...]:
    """Warn where half the compute would do almost as well, because tokens are repeated too often."""
    unique = setting.request.unique_tokens
    half = next((each.option for each in neighbours if each.name == "cheaper"), None)
    if unique is None or half is None or chosen.size.tokens / unique <= DATA_BINDS_EPOCHS:
        return ()
    lost = half.loss - chosen.loss
    if lost > SMALL_LOSS:
        return ()
    return (
        (
            f"Data binds: half the compute ({show_usd(half.usd)}) loses only {lost:.3f} nats per token; more unique tokens "
            "are a better use of the money."
        ),
    )
