"""Why a plan is what it is: assumptions with their flags, warnings of the day, the chain of formulas, what to ask next."""

from __future__ import annotations

from datetime import date

from ...estimators.facts.records import CloudClass, PricePlan
from ...estimators.planning.budget import TRAINING
from ...estimators.planning.hardware import Offer
from ...estimators.planning.request import Objective
from ...estimators.planning.search import Plan
from ...estimators.quantity import Given, Step
from ...estimators.units import show_count
from .document import Assumption


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
    elif chosen.served:
        load = chosen.served.cost.load
        listed.append(
            Assumption(
                f"served at {load.headroom:.0%} of capacity, requests of {load.traffic.input_tokens:,.0f} tokens in and "
                f"{load.traffic.output_tokens:,.0f} out, {load.token_s * 1e3:.0f} ms per token; `{serve_command(plan)}` "
                "shows the detail",
                "data/serving_defaults.yaml",
            )
        )
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
    found = [*plan.warnings, *(quote.notes(today) if quote else ())]
    served = plan.chosen.served.offer.quote if plan.chosen.served else None
    found += served.notes(today) if served else ()
    return tuple(dict.fromkeys(found))


def serve_command(plan: Plan) -> str:
    """Return the command that shows how the plan's model is served."""
    served, request = plan.chosen.served, plan.setting.request
    if served is None:
        return ""
    traffic, rate = served.cost.load.traffic, served.cost.load.requests_per_s
    return (
        f"flopwise serve --model {request.model or show_count(plan.chosen.size.params)} --on "
        f"{served.offer.accelerator.id} --rps {rate:g} --input-tokens {traffic.input_tokens:.0f} --output-tokens "
        f"{traffic.output_tokens:.0f}{_terms(served.offer, plan, served.offer.quote.plan if served.offer.quote else None)}"
    )


def _terms(offer: Offer, plan: Plan, terms: PricePlan | None) -> str:
    """Return the flags that give the price of an offer."""
    request = plan.setting.request
    if request.usd_per_hour is not None and offer.quote is None:
        return f" --price {request.usd_per_hour:g}"
    text = ""
    if offer.seller in tuple(CloudClass):
        text = f" --class {offer.seller}"
    elif request.cloud:
        text = f" --cloud '{offer.seller}'"
    return text + (f" --plan {terms}" if terms and terms is not PricePlan.ON_DEMAND else "")


def next_commands(plan: Plan) -> tuple[str, ...]:
    """Return what to ask next."""
    chosen, request = plan.chosen, plan.setting.request
    model = request.model or show_count(chosen.size.params)
    on = f"{chosen.offer.accelerator.id}:{chosen.accelerators}"
    price = _terms(chosen.offer, plan, request.price_plan)
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
    if chosen.served and chosen.serving_usd:
        served = request.inference_tokens or 0.0
        found += [
            chosen.served.cost.step(),
            Step(
                "serving_usd",
                "tokens / 1e6 x usd per million",
                (
                    Given("tokens", served, "tokens", "--inference-tokens"),
                    Given("usd per million", chosen.served.cost.usd, "usd", "above"),
                ),
                chosen.serving_usd.mid,
                "usd",
                "the objective of arXiv:2401.00448 with these dollars in place of 2 N FLOP",
            ),
        ]
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
