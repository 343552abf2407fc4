"""The document of `flopwise finetune`: the method asked for in full, the others beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.facts.finetune import load_finetune_defaults
from ...estimators.training.finetune import Method, MethodAnswer, Tuning, TuningData
from ..clock import today
from .document import Assumption, Column, Document, Table, Value
from .training import (
    CAUSAL,
    job_result,
    layout_facts,
    memory_table,
    mid_and_range,
    risk_text,
    run_facts,
    time_table,
)

if TYPE_CHECKING:
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.pricing.quote import Quote


def finetune_document(
    tuning: Tuning,
    method: Method,
    answers: dict[Method, MethodAnswer],
    faster: MethodAnswer | None,
    resolved: ResolvedModel,
    quote: Quote | None,
    *,
    given: bool,
) -> Document:
    """Return the answer about `method`, the other methods beside it; `faster` is the same with packed examples."""
    found = answers[method].found
    assert found is not None  # checked before
    data, job = tuning.data, found.job
    result = job_result(found, quote, CAUSAL)
    result |= {
        "model": resolved.how,
        "method": str(method),
        "data": {
            "tokens": data.tokens,
            "epochs": data.epochs,
            "sequence_tokens": data.sequence_tokens,
            "packed": data.packed,
            "padding": data.padding,
        },
        "trainable_params": answers[method].trainable_params,
        "methods": [_method_result(each) for each in answers.values()],
        "packed": None
        if faster is None or faster.found is None
        else {"wall_s": faster.found.run.wall_s, "cost_usd": faster.found.run.cost_usd},
    }
    return Document(
        verb="finetune",
        headline=_headline(method, answers[method], data),
        inputs={
            "model": job.shape.name,
            "method": str(method),
            "tokens": data.tokens,
            "epochs": data.epochs,
            "accelerator": job.accelerator.id,
            "accelerators": found.accelerators,
            "rank": None if method is Method.FULL else tuning.rank,
            "sequence_tokens": data.sequence_tokens,
            "global_batch": found.workload.global_batch,
            "precision": str(tuning.precision),
            "optimizer": str(tuning.optimizer),
        },
        result=result,
        sections=(
            run_facts(found, quote, CAUSAL),
            _methods_table(answers),
            layout_facts(found),
            memory_table(found),
            time_table(found),
        ),
        assumptions=_assumptions(tuning, method, quote, resolved, given=given),
        warnings=_warnings(tuning, answers[method], faster, quote),
        steps=(
            *found.choice.time.steps,
            *found.run.steps,
            *found.choice.memory.steps,
        ),
        next_commands=(
            f"flopwise memory --model {job.shape.name} --on {job.accelerator.id}:{found.accelerators}",
            f"flopwise catalog prices {job.accelerator.id}",
        ),
    )


def _headline(method: Method, answered: MethodAnswer, data: TuningData) -> str:
    found = answered.found
    assert found is not None  # checked before
    run, job = found.run, found.job
    name = {Method.FULL: "Full tuning", Method.LORA: "LoRA", Method.QLORA: "QLoRA"}[method]
    text = (
        f"{name} of {job.shape.name} on {data.said} takes {mid_and_range(run.wall_s)} on {found.accelerators:,} x "
        f"{job.accelerator.name}"
    )
    return text + (f" and costs {mid_and_range(run.cost_usd)}." if run.cost_usd else ".")


def _methods_table(answers: dict[Method, MethodAnswer]) -> Table:
    rows = []
    for each in answers.values():
        found = each.found
        rows.append(
            (
                str(each.method),
                Value(each.trainable_params, "params"),
                each.alone,
                found.run.wall_s if found else "does not fit",
                Value(found.run.cost_usd.mid, "usd") if found and found.run.cost_usd else None,
                each.smallest.name if each.smallest else "none",
            )
        )
    return Table(
        "methods",
        (
            Column("method", "Method"),
            Column("trainable_params", "Trained", right=True),
            Column("alone_bytes", "Memory alone", right=True),
            Column("wall_s", "Time", right=True),
            Column("cost_usd", "Cost", right=True),
            Column("smallest_gpu", "Smallest single GPU"),
        ),
        tuple(rows),
        caption="The three methods; memory alone is the least that one accelerator without others needs",
    )


def _method_result(each: MethodAnswer) -> dict[str, object]:
    found = each.found
    return {
        "method": str(each.method),
        "fits": found is not None,
        "trainable_params": each.trainable_params,
        "alone_bytes": each.alone,
        "peak_bytes": found.choice.memory.peak if found else None,
        "wall_s": found.run.wall_s if found else None,
        "cost_usd": found.run.cost_usd if found else None,
        "smallest_gpu": each.smallest.id if each.smallest else None,
        "reason": each.trouble or None,
    }


def _assumptions(
    tuning: Tuning, method: Method, quote: Quote | None, resolved: ResolvedModel, *, given: bool
) -> tuple[Assumption, ...]:
    data = tuning.data
    listed = [Assumption(resolved.how, "--model")]
    if not given:
        listed.append(Assumption("the smallest single GPU that holds it", "--on"))
    if data.packed:
        listed.append(Assumption(f"examples packed into sequences of {data.sequence_tokens:,} tokens", "--seq"))
    elif data.padding.is_exact:
        listed.append(Assumption(f"every example padded to {data.sequence_tokens:,} tokens", "--seq"))
    else:
        listed.append(
            Assumption(
                f"batches padded to {data.sequence_tokens:,} tokens, {data.padding.low:g} to {data.padding.high:g} times "
                "the data (a guess); memory is for this length, longer examples need more",
                "--seq",
            )
        )
    if method is not Method.FULL:
        listed.append(
            Assumption(f"adapters of rank {tuning.rank} on {' and '.join(tuning.targets)}", "--rank, --targets")
        )
    listed.append(Assumption(f"{data.epochs:g} times over the data, one run that works", "--epochs"))
    if quote:
        terms = f"{quote.plan} prices of {quote.cloud or quote.cloud_class or f'{len(quote.clouds)} clouds'}"
        listed.append(Assumption(terms, "--plan"))
    return tuple(listed)


def _warnings(
    tuning: Tuning, answered: MethodAnswer, faster: MethodAnswer | None, quote: Quote | None
) -> tuple[str, ...]:
    found, data = answered.found, tuning.data
    assert found is not None  # checked before
    listed = list(quote.notes(today())) if quote else []
    short = load_finetune_defaults().short_sequence_tokens
    if not data.packed and data.sequence_tokens < short:
        text = (
            f"Sequences of {data.sequence_tokens:,} tokens are short: launches, padding and data loading weigh more than "
            "arithmetic, and published fine-tunes of this kind differ by a factor of two"
        )
        if faster and faster.found and faster.found.run.wall_s.mid < found.run.wall_s.mid:
            text += (
                f"; packed into {faster.found.job.sequence_tokens:,} tokens it would take "
                f"{mid_and_range(faster.found.run.wall_s)} (--packed)"
            )
        listed.append(f"{text}.")
    if found.run.optimizer_steps < 30:
        listed.append(
            f"Only {found.run.optimizer_steps} optimizer steps: the batch of {found.workload.global_batch:,} sequences is "
            "large for so little data (--global-batch)."
        )
    longest = found.job.shape.max_tokens
    if longest and data.sequence_tokens > longest:
        listed.append(f"{found.job.shape.name} was made for at most {longest:,} tokens in a sequence.")
    risk = found.choice.memory.probability_of_running_out
    if risk > 0.05:
        listed.append(f"Memory is tight: a {risk_text(risk)} chance of running out.")
    return tuple(listed)
