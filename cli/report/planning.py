"""The sections of a plan: headline, facts and tables. No arithmetic beyond shares of a total."""

from __future__ import annotations

import math

from ...estimators.models.parameters import count_parameters
from ...estimators.planning.budget import TRAINING, chance_within
from ...estimators.planning.option import Option
from ...estimators.planning.search import Plan
from ...estimators.planning.setting import Limit
from ...estimators.quantity import Quantity, exact
from ...estimators.scaling.uncertainty import absolute_loss
from ...estimators.units import show, show_count, show_duration, show_percent, show_usd
from .document import Cell, Column, Facts, Table, Value
from .training import layout_text, price_text


def headline(plan: Plan) -> str:
    """Return the sentence a person reads first, and the verdict behind it."""
    chosen, request = plan.chosen, plan.setting.request
    model = f"{_model_text(plan)} on {show_count(chosen.size.tokens)} tokens"
    if request.inference_tokens:
        serves = "serves" if request.budget_usd is not None else "serve"
        model += f" and {serves} it for {show_count(request.inference_tokens)}"
    run = f"{hardware_text(chosen)} for {show_duration(chosen.seconds.mid)}"
    prices = "at your price" if chosen.offer.quote is None else f"at {chosen.offer.terms} prices"
    if request.budget_usd is not None:
        text = f"{show_usd(request.budget_usd)} pre-trains {model}: {run} {prices}."
    else:
        total = show_usd(plan.money.total_usd)
        text = (
            f"To pre-train {model}, plan {total} in all, {show_usd(plan.chosen.training_usd.mid)} of it for the run: "
        )
        text += f"{run} {prices}."
    if plan.advice.fine_tune and plan.advice.rival:
        text += f" Do not pre-train: fine-tune {plan.advice.rival.name}, which is open, of this size, and has had "
        text += f"{_times(plan.advice.compute_ratio)} the compute."
    return text


def _model_text(plan: Plan) -> str:
    shape = plan.setting.shape
    if shape is not None and shape.family != "sized":
        return shape.name
    size = shape.name if shape else show_count(plan.chosen.size.params)
    return f"{'an' if size.startswith(('8', '11.', '18.', '11B', '18B')) else 'a'} {size} model"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"


def hardware_text(option: Option) -> str:
    """Return "16 B200 SXM" without what stands in parentheses."""
    return f"{option.accelerators:,} {option.offer.accelerator.name.partition(' (')[0]}"


# --- facts ----------------------------------------------------------------------------------------------------------


def plan_facts(plan: Plan) -> Facts:
    """Return the plan itself: model, data, hardware, time, money, loss, and what binds."""
    chosen, found = plan.chosen, plan.chosen.answer
    ratio = chosen.size.tokens / chosen.size.params
    first = plan.relaxations[0]
    params = exact(chosen.size.params, "params")
    items: list[tuple[str, str, Cell, str]] = [
        ("params", "Active" if chosen.shape.is_mixture else "Model", params, shape_text(chosen)),
        ("tokens", "Tokens", tokens(plan), f"{show_count(ratio, 3)} per parameter"),
        ("accelerators", "Hardware", hardware_text(chosen), price_text(chosen.offer.quote, found.job.usd_per_hour)),
        ("wall_s", "Time", chosen.seconds, f"goodput {show_percent(chosen.run.goodput.mid)}"),
        ("training_usd", "Cost of the run", chosen.training_usd, _within(plan)),
    ]
    if chosen.serving_usd:
        items.append(("serving_usd", "Cost of serving", chosen.serving_usd, serving_text(plan)))
    items += [
        ("mfu", "MFU", found.choice.time.mfu, layout_text(found)),
        ("loss", "Loss", absolute_loss(chosen.loss), "on MassiveText-like text; elsewhere only differences hold"),
        ("binding", "What binds", first.limit, _relaxation_text(plan, 0)),
    ]
    for index, other in enumerate(plan.relaxations[1:], start=1):
        items.append(
            (
                f"binding_{index}",
                "Also binds" if other.binds else "Not binding",
                other.limit,
                _relaxation_text(plan, index),
            )
        )
    return Facts("plan", tuple(items), caption="Plan")


def serving_text(plan: Plan) -> str:
    """Return the cost per million tokens, the chip, and the price with its date."""
    served = plan.chosen.served
    if served is None:
        return ""
    price = price_text(served.offer.quote, served.cost.usd_per_hour)
    chips = f"{served.cost.chips} x " if served.cost.chips > 1 else ""
    chip = served.offer.accelerator.name.partition(" (")[0]
    return f"${served.cost.usd:.3g} per million tokens on {chips}{chip}, {price}"


def shape_text(option: Option) -> str:
    """Return the shape in a few words."""
    shape = option.shape
    total = f"of {show_count(count_parameters(shape).total)} in all; " if shape.is_mixture else ""
    return f"{total}{shape.layers} layers of width {shape.hidden:,}, vocabulary {show_count(shape.vocab)}"


def tokens(plan: Plan) -> Quantity:
    """Return the tokens; with a budget, what it buys at the ends of the range of the cost."""
    chosen = plan.chosen
    cost = chosen.training_usd
    is_bought = chosen.limit is not Limit.TARGET and plan.setting.sizing.tokens is None
    if not is_bought or cost.is_exact:
        return exact(chosen.size.tokens, "tokens")
    d = chosen.size.tokens
    return Quantity(d * cost.mid / cost.high, d, d * cost.mid / cost.low, "tokens", cost.band, "what the money buys")


def _within(plan: Plan) -> str:
    spare = plan.money.usd("contingency")
    chance = chance_within(plan.chosen.training_usd, plan.money.usd(TRAINING) + spare)
    if chance is None or not spare:
        return ""
    return f"with the contingency it stays within the plan in {chance:.0%} of cases"


def _relaxation_text(plan: Plan, index: int) -> str:
    found = plan.relaxations[index]
    if found.compute_gain <= 1.0:
        return found.what if found.size is None else f"{found.what} would change nothing"
    return f"{found.what}: loss -{found.loss_gain:.3f}, as from {found.compute_gain:.2g} times the compute"


def optimum_facts(plan: Plan) -> Facts:
    """Return the flat optimum: the best size with its band, the range of good sizes, and what the plan's size costs."""
    valley, sizing = plan.valley, plan.setting.sizing
    items: list[tuple[str, str, Cell, str]] = [
        ("best_params", "Best size", valley.params, f"law {sizing.law.id}"),
        ("best_tokens_per_param", "Best ratio", valley.tokens_per_param, ""),
        (
            "good_sizes",
            "Any size",
            f"from {show_count(valley.smallest)} to {show_count(valley.largest)}",
            f"costs at most {valley.waste:.0%} more compute for the same loss",
        ),
    ]
    if valley.plan_waste is not None:
        items.append(("detour", "This size", Value(valley.plan_waste, "fraction"), _detour_text(plan)))
    return Facts("optimum", tuple(items), caption=f"The optimum for {show(valley.flops, 'flops')} (6ND) is flat")


def _detour_text(plan: Plan) -> str:
    request, ratio = plan.setting.request, plan.chosen.size.params / plan.valley.params.mid
    if request.model or request.tokens:
        return "of the compute, because the size or the tokens are given"
    if request.inference_tokens:
        return f"of the compute, on purpose: {1 - ratio:.0%} less to serve for every token"
    if ratio < 0.97:
        return f"of the compute for a model {1 - ratio:.0%} smaller, which costs as much less to serve"
    return "of the compute"


def advice_facts(plan: Plan) -> Facts | None:
    """Return the open model of about this size beside the plan."""
    advice = plan.advice
    rival = advice.rival
    if rival is None or advice.rival_loss is None:
        return None
    trained = f"{show_count(rival.params)} on {show_count(rival.tokens)} tokens"
    items: list[tuple[str, str, Cell, str]] = [
        ("rival", "Open model", rival.name, trained),
        ("compute_ratio", "Its compute", f"{_times(advice.compute_ratio)} the plan's", ""),
        ("rival_loss", "Its loss", f"{advice.rival_loss:.3f} by the same law, the plan's is {advice.loss:.3f}", ""),
    ]
    if advice.fine_tune:
        reasons = "its licence forbids your use, or it has hardly seen your language, notation or kind of data"
        items.append(("exception", "Pre-train only if", reasons, ""))
    return Facts("advice", tuple(items), caption="Fine-tune or pre-train" if advice.fine_tune else "Beside open models")


def data_facts(plan: Plan) -> Facts:
    """Return what the plan needs of data and where to start its hyperparameters."""
    chosen, request, start = plan.chosen, plan.setting.request, plan.hyperparameters
    unique = request.unique_tokens
    need: Cell = Value(min(chosen.size.tokens, unique or math.inf), "tokens")
    items: list[tuple[str, str, Cell, str]] = [
        ("unique_tokens", "Unique tokens", need, "as many as are trained on" if unique is None else "as given"),
        ("epochs", "Epochs", Value(plan.epochs, ""), _epoch_text(plan)),
        ("learning_rate", "Learning rate", start.learning_rate, "Step Law, to start a sweep"),
        ("batch_tokens", "Batch", start.batch_tokens, "Step Law; costs little"),
    ]
    return Facts("data", tuple(items), caption="Data and first settings")


def _epoch_text(plan: Plan) -> str:
    repetition = plan.setting.sizing.surface.repetition
    if plan.epochs <= 1 or repetition is None:
        return "every token once"
    value = repetition.value_of_next_token(plan.epochs)
    return f"one more repeated token is worth {value:.2g} of a new one"


# --- tables ---------------------------------------------------------------------------------------------------------


def money_table(plan: Plan) -> Table:
    """Return where the money goes, to the cent, the total last."""
    total = plan.money.total_usd
    rows: list[tuple[Cell, ...]] = [
        (line.name, Value(line.usd, "usd"), Value(line.usd / total, "fraction"), line.what) for line in plan.money.lines
    ]
    rows.append(("total", Value(total, "usd"), Value(1.0, "fraction"), ""))
    columns = (
        Column("line", "Money"),
        Column("usd", "Amount", right=True),
        Column("share", "Share", right=True),
        Column("what", "For"),
    )
    return Table("money", columns, tuple(rows), caption="Where the money goes", total_rows=1)


def alternatives_table(plan: Plan) -> Table:
    """Return the plan beside its neighbours."""
    every = (("this plan", "", plan.chosen), *((each.name, each.trade, each.option) for each in plan.alternatives))
    rows = tuple(
        (
            name,
            exact(option.size.params, "params"),
            exact(option.size.tokens, "tokens"),
            option.accelerators,
            option.seconds,
            option.training_usd,
            Value(option.loss - plan.chosen.loss, ""),
            trade,
        )
        for name, trade, option in every
    )
    columns = (
        Column("name", "Neighbour"),
        Column("params", "Model", right=True),
        Column("tokens", "Tokens", right=True),
        Column("accelerators", "Chips", right=True),
        Column("wall_s", "Time", right=True),
        Column("training_usd", "Cost", right=True),
        Column("loss_change", "Loss", right=True),
        Column("trade", "What changes", wide_only=True),
    )
    caption = (
        f"Neighbours on {plan.chosen.offer.accelerator.id}. faster: more chips; cheaper, better: half, twice the "
        "compute; leaner: half the size; spot: stops at any time. Loss is against this plan"
    )
    return Table("alternatives", columns, rows, caption=caption)


def hardware_table(plan: Plan) -> Table:
    """Return the same model and tokens on the best accelerators, the plan's own first."""
    rows = tuple(
        (
            f"{option.accelerators:,} {option.offer.accelerator.id}",
            Value(option.offer.usd_per_hour.mid, "usd"),
            option.seconds,
            option.training_usd,
            price_date(option)[:7],
            hardware_note(option, plan),
            option.offer.terms,
        )
        for option in plan.hardware
    )
    columns = (
        Column("accelerators", "Accelerators"),
        Column("usd_per_hour", "$/hour", right=True),
        Column("wall_s", "Time", right=True),
        Column("training_usd", "Cost", right=True),
        Column("priced", "Priced"),
        Column("note", "Note"),
        Column("terms", "Terms", wide_only=True),
    )
    caption = "The same model on other accelerators (port: no CUDA or ROCm; no runs: unmeasured)"
    return Table("hardware", columns, rows, caption=caption)


def price_date(option: Option) -> str:
    """Return the date of the newest price, or that it is the user's own."""
    quote = option.offer.quote
    return "your price" if quote is None else quote.newest


def hardware_note(option: Option, plan: Plan) -> str:
    """Return why an accelerator is shown but not chosen, in a word."""
    if option is plan.chosen:
        return "the plan"
    offer = option.offer
    if offer.accelerator.vendor not in plan.setting.defaults.hardware.vendors:
        return "port"
    return "" if offer.measured else "no runs"
