"""`flopwise train`: one training run on named accelerators. Reads what was typed and lays the answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.errors import AnswerIsNo, InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.records import CloudClass
from ...estimators.frozen import replace
from ...estimators.models.resolve import resolve_model
from ...estimators.models.shape import ModelKind
from ...estimators.training.choose import Wanted
from ...estimators.training.job import (
    Job,
    JobAnswer,
    answer,
    causal_mfu,
    default_sequence,
    neighbours,
    smallest_count,
    usual_precision,
)
from ...estimators.training.layout import Optimizer, Recipe, Zero
from ...estimators.units import show_count, show_duration
from ..calibration import CalibrateOption, with_calibration
from ..calibration import calibrate as put_measured
from ..clock import today
from ..options import CatalogOption, ExplainOption, ForceOption, FormatOption, OutputOption, naming
from ..report.document import Assumption, Document, Facts, Table
from ..report.output import choose, deliver
from ..report.training import (
    alternatives_table,
    job_result,
    layout_facts,
    layout_text,
    memory_table,
    mid_and_range,
    risk_text,
    run_facts,
    time_table,
)
from ..training_options import (
    AttentionFlops,
    AttentionOption,
    BatchOption,
    ClassOption,
    CloudOption,
    ContextOption,
    CountsOption,
    DeadlineOption,
    ExpertOption,
    InterleaveOption,
    LayoutsOption,
    MfuOption,
    MicroBatchOption,
    ModelOption,
    OnOption,
    OptimizerOption,
    PipelineOption,
    PlanOption,
    PrecisionOption,
    PriceAsked,
    PriceOption,
    RecomputeOption,
    ScalingOption,
    SequenceOption,
    TensorOption,
    TokensOption,
    ZeroOption,
    accelerators_of,
    files,
    price_of,
    price_steps,
    read_batch,
    read_counts,
)

if TYPE_CHECKING:
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.pricing.quote import Quote

COMPUTE_OPTIMAL = 20  # tokens per parameter (Hoffmann 2022), only to suggest a number where none is given


def train(
    model: ModelOption,
    on: OnOption,
    tokens: TokensOption = None,
    deadline: DeadlineOption = None,
    seq: SequenceOption = None,
    global_batch: BatchOption = None,
    micro_batch: MicroBatchOption = None,
    tp: TensorOption = None,
    pp: PipelineOption = None,
    cp: ContextOption = None,
    ep: ExpertOption = None,
    interleave: InterleaveOption = None,
    zero: ZeroOption = None,
    recompute: RecomputeOption = None,
    precision: PrecisionOption = None,
    optimizer: OptimizerOption = Optimizer.ADAMW,
    mfu: MfuOption = None,
    attention_flops: AttentionOption = AttentionFlops.CAUSAL,
    cloud: CloudOption = None,
    cloud_class: ClassOption = None,
    plan: PlanOption = None,
    price: PriceOption = None,
    layouts: LayoutsOption = False,
    scaling: ScalingOption = False,
    counts: CountsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
    calibrate: CalibrateOption = None,
) -> None:
    """What one training run takes: time, cost, memory and the layout, each with its range.

    The layout, the batch and the efficiency are chosen for you; whatever you fix is kept.
    """
    choose(format, output, force)
    facts = load_catalog(files(catalog))
    with naming("--model"):
        resolved = resolve_model(model)
    accelerator, count = accelerators_of(on, facts)
    as_fitted = accelerator
    if calibrate is not None:
        if mfu is not None:
            raise InputError("--calibrate and --mfu contradict each other; give one of them.")
        accelerator = put_measured(facts, calibrate, accelerator.id)
    shape = resolved.shape
    if tokens is None:
        raise InputError(_no_tokens(resolved))
    sequence = seq or default_sequence(shape)
    usd_per_hour, quote = price_of(PriceAsked(cloud, cloud_class, plan, price), accelerator, facts, count)
    with naming("--global-batch"):
        batch = read_batch(global_batch, sequence) if global_batch else None
    job = Job(
        shape=shape,
        tokens=tokens,
        accelerator=accelerator,
        sequence_tokens=sequence,
        recipe=Recipe(precision=precision or usual_precision(accelerator), optimizer=optimizer),
        global_batch=batch,
        wanted=Wanted(
            tp=tp,
            pp=pp,
            cp=cp,
            ep=ep,
            interleave=interleave,
            zero=None if zero is None else Zero(zero),
            micro_batch=micro_batch,
            recompute=recompute,
        ),
        usd_per_hour=usd_per_hour,
    )
    with naming("--counts"):
        several = read_counts(counts) if counts is not None else None
    if interleave is not None and interleave > 1 and (pp or 1) == 1:
        raise InputError("--interleave: virtual stages need a pipeline; give --pp too.")
    if mfu is not None:
        if asked := "--layouts" if layouts else "--scaling" if scaling else "--counts" if several else "":
            raise InputError(f"{asked}: at a given --mfu nothing gets slower or faster; leave --mfu out.")
        with naming("--mfu"):
            job = replace(job, mfu=mfu if attention_flops is AttentionFlops.CAUSAL else causal_mfu(job, mfu))
    if count is None and deadline is None:
        raise InputError(f"--on: say how many {accelerator.name} ('{on}:64'), or give --deadline to find out.")
    found = answer(job, count) if count else smallest_count(job, deadline or 0.0)
    others = neighbours(found)
    document = _document(found, others, resolved, quote, attention_flops, deadline, count)
    if layouts:
        document = _with_layouts(document, found)
    if scaling or several:
        document = _with_scaling(document, found, several)
    document = replace(
        document,
        catalog=facts.stamp(),
        steps=(*document.steps, *(price_steps(quote, facts) if explain else ())),
    )
    if calibrate is not None:
        before = answer(replace(job, accelerator=as_fitted), found.accelerators)
        ends = before.run.wall_s, found.run.wall_s
        document = with_calibration(document, calibrate, "the run", *ends, chip=accelerator, group=found.accelerators)
    deliver(document, format=format, output=output, force=force, explain=explain)
    if deadline is not None and found.run.wall_s.mid > deadline:
        raise AnswerIsNo(_late(found, deadline))


def _document(
    found: JobAnswer,
    others: tuple[JobAnswer, ...],
    resolved: ResolvedModel,
    quote: Quote | None,
    attention: AttentionFlops,
    deadline: float | None,
    count: int | None,
) -> Document:
    job, run = found.job, found.run
    result = job_result(found, quote, attention)
    result["binding"] = found.choice.time.binding
    result["model"] = resolved.how
    result["alternatives"] = [
        {
            "accelerators": each.accelerators,
            "wall_s": each.run.wall_s,
            "cost_usd": each.run.cost_usd,
            "mfu": each.choice.time.mfu,
            "layout": layout_text(each),
        }
        for each in others
    ]
    if deadline is not None:
        result["meets_deadline"] = run.wall_s.mid <= deadline
    return Document(
        verb="train",
        headline=_headline(found, deadline, count),
        inputs={
            "model": job.shape.name,
            "tokens": job.tokens,
            "accelerator": job.accelerator.id,
            "accelerators": found.accelerators,
            "sequence_tokens": job.sequence_tokens,
            "global_batch": found.workload.global_batch,
            "precision": str(job.recipe.precision),
            "optimizer": str(job.recipe.optimizer),
            "mfu": job.mfu,
            "deadline_s": deadline,
        },
        result=result,
        sections=(
            run_facts(found, quote, attention),
            layout_facts(found),
            time_table(found),
            memory_table(found),
            alternatives_table(found, others),
        ),
        assumptions=_assumptions(found, resolved, quote),
        warnings=_warnings(found, quote),
        steps=(*found.choice.time.steps, *run.steps, *found.choice.memory.steps),
        next_commands=_next(found),
    )


def _with_layouts(document: Document, found: JobAnswer) -> Document:
    """Return the document with what a search over more layouts finds, under the same wishes."""
    from ...estimators.planning.layouts import option_of, search_layouts
    from ..report.layouts import layouts_sections

    with naming("--layouts"):
        search = search_layouts(
            accelerators=found.accelerators,
            recipe=found.job.recipe,
            clock=found.clock,
            wanted=found.job.wanted,
            chosen=option_of(found),
        )
    sections, twin = layouts_sections(found, search)
    return replace(
        document, result={**document.result, "layouts": twin}, sections=_before_alternatives(document, sections)
    )


def _with_scaling(document: Document, found: JobAnswer, counts: tuple[int, ...] | None) -> Document:
    """Return the document with the job on several counts in the place of half and twice."""
    from ...estimators.planning.scaling_out import counts_around, scaling_curve
    from ..report.layouts import scaling_sections

    with naming("--counts"):
        curve = scaling_curve(found, counts or counts_around(found.accelerators, found.job.accelerator))
    sections, twin = scaling_sections(curve)
    kept = tuple(section for section in document.sections if section.name != "alternatives")
    return replace(
        document,
        result={**document.result, "scaling": twin},
        sections=(*kept, *sections),
        steps=(*document.steps, *curve.steps),
    )


def _before_alternatives(document: Document, sections: tuple[Table | Facts, ...]) -> tuple[Table | Facts, ...]:
    at = [section.name for section in document.sections].index("alternatives")
    return (*document.sections[:at], *sections, *document.sections[at:])


def _headline(found: JobAnswer, deadline: float | None, count: int | None) -> str:
    job, run = found.job, found.run
    chips = f"{found.accelerators:,} x {job.accelerator.name}"
    took = mid_and_range(run.wall_s)
    money = ""
    if run.cost_usd:
        money = f" and costs {mid_and_range(run.cost_usd)}"
    text = f"{job.shape.name} on {show_count(job.tokens)} tokens takes {took} on {chips}{money}."
    if deadline is not None and count is None:
        late = run.wall_s.high > deadline
        text += (
            f" They are the fewest of the usual counts that meet {show_duration(deadline)} by the middle estimate"
            + ("; at the slow end they miss it." if late else ", and at the slow end too.")
        )
    elif deadline is not None:
        text += (
            f" That {'meets' if run.wall_s.mid <= deadline else 'misses'} the deadline of {show_duration(deadline)}."
        )
    return text


def _assumptions(found: JobAnswer, resolved: ResolvedModel, quote: Quote | None) -> tuple[Assumption, ...]:
    job = found.job
    listed = [Assumption(resolved.how, "--model")]
    if job.global_batch is None:
        listed.append(
            Assumption(
                f"a batch of {show_count(found.workload.tokens_per_step)} tokens, from Step Law (arXiv:2503.04715); a "
                "factor of two either way costs about 5 % of the compute",
                "--global-batch",
            )
        )
    listed.append(Assumption(f"sequences of {job.sequence_tokens:,} tokens, packed full", "--seq"))
    if job.mfu is None:
        listed.append(
            Assumption("software as good as the median of published runs; your own measured MFU narrows this", "--mfu")
        )
    listed.append(Assumption("goodput from data/run_overheads.yaml: guesses are marked there; data loading keeps up"))
    if beyond := found.run.beyond:
        f = beyond.factor
        listed.append(
            Assumption(
                f"as published whole runs, {f.mid:.2f} ({f.low:.2f} to {f.high:.2f}) times the hours of their steps: "
                "rollbacks, waits and stretches that are not tuned are in it; teams who tune for weeks come to less"
            )
        )
    if quote:
        terms = f"{quote.plan} prices of {quote.cloud or quote.cloud_class or f'{len(quote.clouds)} clouds'}"
        if not (quote.cloud or quote.cloud_class or any(c.cloud_class is CloudClass.MARKETPLACE for c in quote.clouds)):
            terms += ", marketplaces left out"
        listed.append(
            Assumption(f"{terms}; storage, network traffic, staff and failed attempts are not in it", "--plan")
        )
    return tuple(listed)


def _warnings(found: JobAnswer, quote: Quote | None) -> tuple[str, ...]:
    job, choice = found.job, found.choice
    listed = list(quote.notes(today())) if quote else []
    if not choice.time.measured_chip:
        listed.append(
            f"No measured training run of {job.accelerator.name} is known: its speed is that of its relatives, and the "
            "range is wider."
        )
    if job.shape.kind != ModelKind.DECODER:
        listed.append(
            f"No measured training run of a model of kind '{job.shape.kind}' is in the fits: check the speed."
        )
    longest = job.shape.max_tokens
    if longest and job.sequence_tokens > longest:
        listed.append(f"{job.shape.name} was made for at most {longest:,} tokens in a sequence.")
    risk = choice.memory.probability_of_running_out
    if risk > 0.05:
        listed.append(f"Memory is tight: a {risk_text(risk)} chance of running out.")
    critical = _critical_batch(job.tokens)
    if found.workload.tokens_per_step > critical:
        listed.append(
            f"A batch of {show_count(found.workload.tokens_per_step)} tokens is beyond the critical one of about "
            f"{show_count(critical)}: over 20 % of the tokens are spent on it (arXiv:2410.21676)."
        )
    return tuple(listed)


def _critical_batch(tokens: float) -> float:
    from ...estimators.scaling.hyperparameters import critical_batch_tokens

    return critical_batch_tokens(tokens)


def _next(found: JobAnswer) -> tuple[str, ...]:
    job = found.job
    on = f"{job.accelerator.id}:{found.accelerators}"
    return (
        f"flopwise memory --model {job.shape.name} --on {on}",
        f"flopwise catalog prices {job.accelerator.id}",
    )


def _no_tokens(resolved: ResolvedModel) -> str:
    from ...estimators.models.parameters import count_parameters

    optimal = COMPUTE_OPTIMAL * count_parameters(resolved.shape).total
    return (
        f"--tokens: say on how many tokens; {show_count(optimal, 2)} would be {COMPUTE_OPTIMAL} for each parameter of "
        f"{resolved.shape.name}, the compute-optimal ratio."
    )


def _late(found: JobAnswer, deadline: float) -> str:
    run = found.run
    text = (
        f"{found.accelerators:,} x {found.job.accelerator.name} take {show_duration(run.wall_s.mid)}, "
        f"{show_duration(run.wall_s.mid - deadline)} longer than the deadline"
    )
    try:
        enough = smallest_count(replace(found.job, global_batch=found.workload.global_batch), deadline)
    except (AnswerIsNo, InputError):
        return f"{text}."
    return f"{text}; {enough.accelerators:,} would meet it."
