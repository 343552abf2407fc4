"""The JSON twin of a plan: what was asked, and every number of the tables with what they leave out."""

from __future__ import annotations

from ...estimators.models.parameters import count_parameters
from ...estimators.planning.budget import TRAINING, chance_within
from ...estimators.planning.option import Option
from ...estimators.planning.search import Plan, is_ready
from ...estimators.scaling.uncertainty import absolute_loss
from .planning import hardware_note, price_date, tokens
from .training import layout_text


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


def _served(option: Option) -> dict[str, object] | None:
    """Return how the model is served, None where nothing is to be served."""
    if option.served is None:
        return None
    cost = option.served.cost
    return {
        "accelerator": cost.setup.accelerator.id,
        "chips": cost.chips,
        "usd_per_million_tokens": cost.per_million(),
        "usd_per_hour": cost.usd_per_hour,
        "prices_newest": option.served.offer.quote.newest if option.served.offer.quote else None,
        "input_tokens": cost.load.traffic.input_tokens,
        "output_tokens": cost.load.traffic.output_tokens,
        "utilisation": cost.load.headroom,
        "meets_targets": cost.meets_targets,
        "binding": cost.capacity.binding,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def result(plan: Plan) -> dict[str, object]:
    """Return the JSON twin: every number of the tables, and what they leave out."""
    chosen, valley, advice = plan.chosen, plan.valley, plan.advice
    request, repeated = plan.setting.request, None
    if request.unique_tokens is not None:
        best = plan.setting.sizing.optimum(valley.flops)
        repeated = {"params": best.params, "tokens": best.tokens, "epochs": best.tokens / request.unique_tokens}
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
        "serving": _served(chosen),
        "compute_optimal": {
            "law": plan.setting.sizing.law.id,
            "flops_6nd": valley.flops,
            "params": valley.params,
            "tokens": valley.tokens,
            "tokens_per_param": valley.tokens_per_param,
            "loss": valley.loss,
            "good_sizes": {"waste": valley.waste, "from_params": valley.smallest, "to_params": valley.largest},
            "waste_of_this_plan": valley.plan_waste,
            "with_repeated_data": repeated,
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
                "note": hardware_note(option, plan),
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
        "priced": price_date(option),
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
