"""The sections, the JSON twin, the assumptions and the explanation of a plan. No arithmetic beyond shares of a total."""

from __future__ import annotations

import math
from datetime import date

from ...estimators.facts.records import CloudClass
from ...estimators.models.parameters import count_parameters
from ...estimators.planning.budget import TRAINING, chance_within
from ...estimators.planning.option import Limit, Option
from ...estimators.planning.request import Objective
from ...estimators.planning.search import Plan, is_ready
from ...estimators.quantity import Given, Quantity, Step, exact
from ...estimators.scaling.uncertainty import absolute_loss
from ...estimators.units import show, show_count, show_duration, show_percent, show_usd
from .document import Assumption, Cell, Column, Facts, Table, Value
from .training import layout_text, price_text


def headline(plan: Plan) -> str:
    """Return the sentence a person reads first, and the verdict behind it."""
    chosen, request = plan.chosen, plan.setting.request
    model = f"{_model_text(plan)} on {show_count(chosen.size.tokens)} tokens"
    if request.inference_tokens:
        model += f" and serves it for {show_count(request.inference_tokens)}"
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
        served = show_count(plan.setting.request.inference_tokens or 0.0)
        items.append(("serving_usd", "Cost of serving", chosen.serving_usd, f"{served} tokens, a rough stand-in"))
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
            _price_date(option)[:7],
            _hardware_note(option, plan),
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


def _price_date(option: Option) -> str:
    quote = option.offer.quote
    return "your price" if quote is None else quote.newest


def _hardware_note(option: Option, plan: Plan) -> str:
    if option is plan.chosen:
        return "the plan"
    offer = option.offer
    if offer.accelerator.vendor not in plan.setting.defaults.hardware.vendors:
        return "port"
    return "" if offer.measured else "no runs"


# --- twin -----------------------------------------------------------------------------------------------------------


def inputs(plan: Plan) -> dict[str, object]:
    """Return the request as JSON."""
    request = plan.setting.request
    return {
        "budget_usd": request.budget_usd,
        "deadline_s": request.deadline_s,
        "model": request.model,
        "tokens": request.tokens,
        "unique_tokens": request.unique_tokens,
        "inference_tokens": request.inference_tokens,
        "target_loss": request.target_loss,
        "compute_flops": request.compute_flops,
        "objective": str(request.aim),
        "accelerator": request.accelerator,
        "accelerators": request.accelerators,
        "max_accelerators": request.max_accelerators,
        "cloud": request.cloud,
        "class": _text(request.cloud_class),
        "plan": _text(request.price_plan),
        "price_usd_per_hour": request.usd_per_hour,
        "precision": str(request.precision),
        "sequence_tokens": request.sequence_tokens,
        "law": plan.setting.sizing.law.id,
        "detour": plan.setting.sizing.detour,
        "reserves": {reserve.name: reserve.share for reserve in plan.reserves},
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def result(plan: Plan) -> dict[str, object]:
    """Return the JSON twin: every number of the tables, and what they leave out."""
    chosen, valley, advice = plan.chosen, plan.valley, plan.advice
    request = plan.setting.request
    return {
        "verdict": "fine-tune" if advice.fine_tune else "pre-train",
        "model": {
            "params": chosen.size.params,
            "total_params": count_parameters(chosen.shape).total,
            "shape": chosen.shape.name,
            "layers": chosen.shape.layers,
            "hidden": chosen.shape.hidden,
            "vocabulary": chosen.shape.vocab,
            "tokens_per_param": chosen.size.tokens / chosen.size.params,
        },
        "tokens": tokens(plan),
        "loss": absolute_loss(chosen.loss),
        "training": {**_option_result(chosen), "usd_per_hour": chosen.offer.usd_per_hour},
        "serving_usd": chosen.serving_usd,
        "compute_optimal": {
            "law": plan.setting.sizing.law.id,
            "flops_6nd": valley.flops,
            "params": valley.params,
            "tokens": valley.tokens,
            "tokens_per_param": valley.tokens_per_param,
            "loss": valley.loss,
            "good_sizes": {"waste": valley.waste, "from_params": valley.smallest, "to_params": valley.largest},
            "waste_of_this_plan": valley.plan_waste,
        },
        "money": [
            {"line": line.name, "usd": line.usd, "share": line.usd / plan.money.total_usd, "what": line.what}
            for line in plan.money.lines
        ],
        "total_usd": plan.money.total_usd,
        "chance_within_contingency": chance_within(
            chosen.training_usd, plan.money.usd(TRAINING) + plan.money.usd("contingency")
        ),
        "binding": plan.relaxations[0].limit,
        "relaxations": [
            {
                "limit": each.limit,
                "binds": each.binds,
                "what": each.what,
                "params": each.size.params if each.size else None,
                "tokens": each.size.tokens if each.size else None,
                "loss_gain": each.loss_gain,
                "compute_gain": each.compute_gain,
            }
            for each in plan.relaxations
        ],
        "alternatives": [
            {
                "name": each.name,
                "trade": each.trade,
                **_option_result(each.option),
                "loss_change": each.option.loss - chosen.loss,
            }
            for each in plan.alternatives
        ],
        "hardware": [
            {
                **_option_result(option),
                "note": _hardware_note(option, plan),
                "eligible": is_ready(option.offer, plan.setting),
            }
            for option in plan.hardware
        ],
        "pareto_front": [_option_result(option) for option in plan.front],
        "data": {
            "unique_tokens": request.unique_tokens or chosen.size.tokens,
            "epochs": plan.epochs,
            "learning_rate": plan.hyperparameters.learning_rate,
            "batch_tokens": plan.hyperparameters.batch_tokens,
            "critical_batch_tokens": plan.hyperparameters.critical_batch_tokens,
        },
        "advice": {
            "fine_tune": advice.fine_tune,
            "open_model": advice.rival.name if advice.rival else None,
            "open_model_params": advice.rival.params if advice.rival else None,
            "open_model_tokens": advice.rival.tokens if advice.rival else None,
            "compute_ratio": advice.compute_ratio,
            "open_model_loss": advice.rival_loss,
        },
        "reserves": [
            {
                "name": reserve.name,
                "share": reserve.share,
                "usual_low": reserve.low,
                "usual_high": reserve.high,
                "guess": reserve.is_guess,
                "source": reserve.source,
            }
            for reserve in plan.reserves
        ],
    }


def _option_result(option: Option) -> dict[str, object]:
    found = option.answer
    return {
        "accelerator": option.offer.accelerator.id,
        "accelerators": option.accelerators,
        "terms": option.offer.terms,
        "priced": _price_date(option),
        "usd_per_hour_mid": option.offer.usd_per_hour.mid,
        "params": option.size.params,
        "tokens": option.size.tokens,
        "sequence_tokens": found.job.sequence_tokens,
        "global_batch": found.workload.global_batch,
        "wall_s": option.seconds,
        "accelerator_hours": option.run.accelerator_hours,
        "training_usd": option.training_usd,
        "loss": option.loss,
        "mfu": found.choice.time.mfu,
        "goodput": option.run.goodput,
        "model_flops": option.run.model_flops,
        "layout": layout_text(found),
        "peak_memory": found.choice.memory.peak,
        "chance_of_running_out": found.choice.memory.probability_of_running_out,
        "measured_chip": option.offer.measured,
        "limit": str(option.limit),
    }


# --- words and reasons ----------------------------------------------------------------------------------------------


def assumptions(plan: Plan) -> tuple[Assumption, ...]:
    """Return what was taken for granted, with the flag that changes it."""
    request, sizing, chosen = plan.setting.request, plan.setting.sizing, plan.chosen
    guesses = ", ".join(reserve.name for reserve in plan.reserves if reserve.is_guess)
    listed: list[Assumption] = []
    if plan.reserves:
        share = sum(reserve.share for reserve in plan.reserves)
        marked = f"; guesses: {guesses}" if guesses else ""
        listed.append(Assumption(f"{share:.0%} of the money is kept back by name{marked}", "--reserve, --no-reserves"))
    listed.append(Assumption(f"law {sizing.law.id} ({sizing.law.card.source}), dense model, text", "--law"))
    if request.model is None and request.tokens is None and not request.inference_tokens and not request.unique_tokens:
        listed.append(
            Assumption(f"the smallest size that wastes at most {sizing.detour:.0%} of the compute", "--detour")
        )
    if request.unique_tokens is None:
        listed.append(
            Assumption("enough new text: no token is repeated, and getting it is not priced", "--unique-tokens")
        )
    if request.inference_tokens is None:
        listed.append(Assumption("serving the model is not in the plan", "--inference-tokens"))
    if request.deadline_s is None:
        text = "no deadline: the smallest cluster that people would wait for"
        if request.aim is Objective.TIME:
            text = "as many accelerators as one can usually rent and feed, for at least a day"
        listed.append(Assumption(text, "--deadline"))
    if chosen.offer.quote:
        listed.append(Assumption(f"{chosen.offer.terms} prices", "--class, --cloud, --plan, --price"))
    if request.accelerator is None:
        listed.append(
            Assumption(
                "chips with a fast link and a network that measured runs back; others are listed, not chosen",
                "--accelerator",
            )
        )
    job = chosen.answer.job
    listed.append(Assumption(f"{job.recipe.precision}, {job.recipe.optimizer}", "--precision"))
    listed.append(Assumption(f"sequences of {job.sequence_tokens:,} tokens", "--seq"))
    return tuple(listed)


def warnings(plan: Plan, today: date) -> tuple[str, ...]:
    """Return the plan's warnings, and those of its prices on this day."""
    quote = plan.chosen.offer.quote
    return (*plan.warnings, *(quote.notes(today) if quote else ()))


def next_commands(plan: Plan) -> tuple[str, ...]:
    """Return what to ask next."""
    chosen, request = plan.chosen, plan.setting.request
    model = request.model or show_count(chosen.size.params)
    on = f"{chosen.offer.accelerator.id}:{chosen.accelerators}"
    price = ""
    if request.usd_per_hour is not None:
        price = f" --price {request.usd_per_hour:g}"
    elif chosen.offer.seller in tuple(CloudClass):
        price = f" --class {chosen.offer.seller}"
    elif request.cloud:
        price = f" --cloud '{chosen.offer.seller}'"
    if request.price_plan:
        price += f" --plan {request.price_plan}"
    amount = show_count(chosen.size.tokens)
    sequence = chosen.answer.job.sequence_tokens
    found = [
        f"flopwise train --model {model} --tokens {amount} --on {on} --seq {sequence}{price}",
        f"flopwise memory --model {model} --on {on}",
    ]
    if plan.advice.fine_tune and plan.advice.rival:
        found.insert(0, f"flopwise finetune --model {plan.advice.rival.name} --method lora --tokens 100M --on h100:8")
    return tuple(found)


def steps(plan: Plan) -> tuple[Step, ...]:
    """Return the chain from the question to the answer, for --explain."""
    chosen, sizing = plan.chosen, plan.setting.sizing
    found: list[Step] = []
    request = plan.setting.request
    if request.budget_usd is not None:
        found.append(
            Step(
                "money_for_the_run",
                "budget - reserves - serving",
                (
                    Given("budget", request.budget_usd, "usd", "--budget"),
                    *(
                        Given(r.name, r.share, "fraction", f"{'a guess: ' if r.is_guess else ''}{r.source}")
                        for r in plan.reserves
                    ),
                ),
                plan.money.usd(TRAINING),
                "usd",
                "data/plan_defaults.yaml",
            )
        )
    found.append(
        Step(
            "compute_6nd",
            "hours x 3600 x peak x MFU x goodput / k",
            (
                Given(
                    "hours", chosen.run.accelerator_hours.mid, "accelerator_hours", "money over price, or the target"
                ),
                Given("peak", chosen.answer.choice.time.peak_flops_per_s, "flops_per_s", "catalog, dense"),
                Given("MFU", chosen.answer.choice.time.mfu.mid, "fraction", chosen.answer.choice.time.mfu.basis),
                Given("goodput", chosen.run.goodput.mid, "fraction", "data/run_overheads.yaml"),
                Given("k", chosen.run.model_flops / chosen.size.flops, "", "FLOPs of the shape over 6ND"),
            ),
            chosen.size.flops,
            "flops",
            "definition of MFU (PaLM, arXiv:2204.02311, appendix B)",
        )
    )
    found.append(_optimum_step(plan))
    found.append(
        Step(
            "tokens",
            "C / (6 N)",
            (
                Given("C", chosen.size.flops, "flops", "above"),
                Given("N", chosen.size.params, "params", _size_reason(plan)),
            ),
            chosen.size.tokens,
            "tokens",
            "6 N D, 2 forward and 4 backward FLOP per parameter and token",
        )
    )
    surface = sizing.surface
    found.append(
        Step(
            "loss",
            "E + (A / N^alpha + B / D^beta)^k" + (", with repeated tokens discounted" if plan.epochs > 1 else ""),
            (
                Given("E", surface.E, "", sizing.law.card.source),
                Given("A / N^alpha", surface.A / chosen.size.params**surface.alpha, "", "left of a small model"),
                Given("B / D^beta", surface.B / chosen.size.tokens**surface.beta, "", "left of little data"),
            ),
            chosen.loss,
            "nats_per_token",
            f"law {sizing.law.id}, {sizing.law.card.source} ({sizing.law.card.status})",
        )
    )
    quote = chosen.offer.quote
    found += [*chosen.answer.choice.time.steps, *chosen.run.steps, *((quote.step(),) if quote else ())]
    return tuple(found)


def _size_reason(plan: Plan) -> str:
    request = plan.setting.request
    if request.model:
        return "--model"
    if request.inference_tokens:
        return "cheapest over training and serving (arXiv:2401.00448)"
    if request.unique_tokens:
        return "best with repeated data (arXiv:2305.16264)"
    return f"smallest that wastes at most {plan.setting.sizing.detour:.0%}"


def _optimum_step(plan: Plan) -> Step:
    valley, law = plan.valley, plan.setting.sizing.law
    coefficients = tuple(Given(name, value, "", law.card.source) for name, value in law.card.coefficients.items())
    formula = law.card.form
    if law.surface:
        formula = "G (C/6)^(beta/(alpha+beta)), G = (alpha A / (beta B))^(1/(alpha+beta))"
    return Step(
        "best_params",
        formula,
        (Given("C", valley.flops, "flops", "above"), *coefficients),
        valley.params.mid,
        "params",
        f"{law.card.source} ({law.card.status}); fitted on {law.card.fit_data}",
        valley.params.basis,
    )
