"""`flopwise finetune`: full, LoRA and QLoRA of a model on a data set, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.errors import DoesNotFit, InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.finetune import load_finetune_defaults
from ...estimators.frozen import replace
from ...estimators.models.resolve import resolve_model
from ...estimators.training.choose import Wanted
from ...estimators.training.finetune import (
    Method,
    MethodAnswer,
    Tuning,
    TuningData,
    answer_method,
    can_tune,
    data_of,
    enough,
)
from ...estimators.training.flops import ADAPTER_TARGETS
from ...estimators.training.job import usual_precision
from ...estimators.training.layout import Optimizer, Precision, Zero
from ...estimators.units import read_count
from ..clock import today
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    naming,
    one_of,
    reader,
    whole,
)
from ..report.document import Assumption, Column, Document, Table, Value
from ..report.output import choose, deliver
from ..report.training import (
    CAUSAL,
    job_result,
    layout_facts,
    memory_table,
    mid_and_range,
    risk_text,
    run_facts,
    time_table,
)
from ..training_options import (
    JOB_PANEL,
    LAYOUT_PANEL,
    ClassOption,
    CloudOption,
    MicroBatchOption,
    ModelOption,
    PlanOption,
    PrecisionOption,
    PriceAsked,
    PriceOption,
    RecomputeOption,
    SequenceOption,
    ZeroOption,
    accelerators_of,
    files,
    price_of,
    price_steps,
    read_batch,
)

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.pricing.quote import Quote

_items = reader(lambda text: read_count(text, "a number of examples", "50k or 1M"))
_per_example = reader(lambda text: read_count(text, "a number of tokens", "500 or 2k"))
_epochs = reader(lambda text: read_count(text, "a number of epochs", "3"))

TokensOption = Annotated[
    float | None,
    typer.Option(
        "--tokens", parser=_per_example, metavar="N", help="Tokens of the data set: 100M.", rich_help_panel=JOB_PANEL
    ),
]
ExamplesOption = Annotated[
    float | None,
    typer.Option(
        "--examples", parser=_items, metavar="N", help="Examples of the data set: 50k.", rich_help_panel=JOB_PANEL
    ),
]
PerExampleOption = Annotated[
    float | None,
    typer.Option(
        "--tokens-per-example",
        parser=_per_example,
        metavar="N",
        help="Tokens of a mean example, prompt included.",
        rich_help_panel=JOB_PANEL,
    ),
]
MethodOption = Annotated[
    Method, typer.Option("--method", case_sensitive=False, help="What is trained.", rich_help_panel=JOB_PANEL)
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="CHIP[:N]",
        help="Accelerator and how many of them; the smallest GPU that holds it where left out.",
        rich_help_panel=JOB_PANEL,
    ),
]
EpochsOption = Annotated[
    float | None,
    typer.Option("--epochs", parser=_epochs, metavar="N", help="Times over the data; 3.", rich_help_panel=JOB_PANEL),
]
RankOption = Annotated[
    int | None,
    typer.Option("--rank", parser=whole, metavar="N", help="Rank of the adapters; 16.", rich_help_panel=JOB_PANEL),
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        metavar="GROUPS",
        help="What gets adapters: attention, mlp, head or all, joined by commas; attention,mlp.",
        rich_help_panel=JOB_PANEL,
    ),
]
PackedOption = Annotated[
    bool,
    typer.Option("--packed", help="Join examples into full sequences instead of padding.", rich_help_panel=JOB_PANEL),
]
BatchOption = Annotated[
    str | None,
    typer.Option("--global-batch", metavar="N", help="Sequences per optimizer step.", rich_help_panel=LAYOUT_PANEL),
]
OptimizerOption = Annotated[
    Optimizer,
    typer.Option("--optimizer", case_sensitive=False, help="The optimizer.", rich_help_panel=LAYOUT_PANEL),
]


def finetune(
    model: ModelOption,
    tokens: TokensOption = None,
    examples: ExamplesOption = None,
    tokens_per_example: PerExampleOption = None,
    method: MethodOption = Method.LORA,
    on: OnOption = None,
    epochs: EpochsOption = None,
    rank: RankOption = None,
    targets: TargetsOption = None,
    packed: PackedOption = False,
    seq: SequenceOption = None,
    global_batch: BatchOption = None,
    micro_batch: MicroBatchOption = None,
    zero: ZeroOption = None,
    recompute: RecomputeOption = None,
    precision: PrecisionOption = None,
    optimizer: OptimizerOption = Optimizer.ADAMW,
    cloud: CloudOption = None,
    cloud_class: ClassOption = None,
    plan: PlanOption = None,
    price: PriceOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
) -> None:
    """What fine-tuning a model takes by each method: memory, time, cost, and the smallest GPU that holds it."""
    choose(format, output, force)
    _check(tokens, examples, tokens_per_example, method, rank, targets, packed)
    facts = load_catalog(files(catalog))
    with naming("--model"):
        resolved = resolve_model(model)
    shape, defaults = resolved.shape, load_finetune_defaults()
    data = data_of(
        tokens=tokens,
        examples=examples,
        tokens_per_example=tokens_per_example,
        epochs=epochs or defaults.epochs,
        sequence_tokens=seq,
        packed=packed,
        longest=shape.max_tokens,
    )
    with naming("--global-batch"):
        batch = read_batch(global_batch, data.sequence_tokens) if global_batch else None
    accelerator, count = accelerators_of(on, facts) if on else (None, 1)
    tuning = Tuning(
        shape=shape,
        data=data,
        rank=rank or defaults.rank,
        targets=tuple(word.strip() for word in targets.split(",")) if targets else ("attention", "mlp"),
        precision=precision or (usual_precision(accelerator) if accelerator else Precision.BF16),
        optimizer=optimizer,
        global_batch=batch,
        wanted=Wanted(micro_batch=micro_batch, zero=None if zero is None else Zero(zero), recompute=recompute),
        usd_per_hour=None,
    )
    gpus = [facts.accelerators[name] for name in facts.priced]
    gpus = [gpu for gpu in gpus if can_tune(gpu, tuning.precision)]
    accelerator = accelerator or _smallest(tuning, method, gpus)
    usd_per_hour, quote = price_of(PriceAsked(cloud, cloud_class, plan, price), accelerator, facts)
    tuning = replace(tuning, usd_per_hour=usd_per_hour)
    answers = {each: answer_method(tuning, each, accelerator, count or 1, gpus) for each in Method}
    if answers[method].found is None:
        raise DoesNotFit(_misfit(tuning, method, accelerator, count or 1, answers))
    faster = _packed(tuning, method, accelerator, count or 1) if not data.packed else None
    document = _document(tuning, method, answers, faster, resolved, quote, facts, given=on is not None)
    if explain:
        document = replace(document, steps=(*document.steps, *price_steps(quote, facts)))
    deliver(document, format=format, output=output, force=force, explain=explain)


def _check(
    tokens: float | None,
    examples: float | None,
    tokens_per_example: float | None,
    method: Method,
    rank: int | None,
    targets: str | None,
    packed: bool,
) -> None:
    """Refuse what is missing, contradicts itself or would have no effect."""
    if not one_of(tokens=tokens, examples=examples):
        raise InputError("say how much data: --tokens 100M, or --examples 50k --tokens-per-example 500.")
    if examples is not None and tokens_per_example is None:
        raise InputError("--examples: how long they are is missing; add --tokens-per-example 500, prompt included.")
    if tokens is not None and tokens_per_example is not None:
        raise InputError("--tokens-per-example: it has no effect with --tokens; give --examples, or leave it out.")
    if tokens is not None and packed:
        raise InputError("--packed: it has no effect with --tokens, which are taken as packed; leave it out.")
    if method is Method.FULL and (rank or targets):
        flag = "--rank" if rank else "--targets"
        raise InputError(f"{flag}: it has no effect on --method full; leave it out, or choose lora or qlora.")
    for word in (targets or "all").split(","):
        if word.strip() not in ADAPTER_TARGETS:
            raise InputError(f"--targets: '{word}' is not a group of matrices; use {', '.join(ADAPTER_TARGETS)}.")


def _smallest(tuning: Tuning, method: Method, gpus: list[Accelerator]) -> Accelerator:
    """Return the smallest single GPU that holds the method, for a question that names none."""
    from ...estimators.training.finetune import job_of, smallest_gpu

    found = smallest_gpu(job_of(tuning, method, gpus[0], 1), gpus)
    if found is None:
        raise DoesNotFit(
            f"no single GPU holds {method} tuning of {tuning.shape.name} in {tuning.precision}; name several with "
            "--on, for example h100-sxm:8."
        )
    return found


def _packed(tuning: Tuning, method: Method, accelerator: Accelerator, count: int) -> MethodAnswer | None:
    """Return the same job with examples packed into full sequences."""
    data = tuning.data
    packed = data_of(
        tokens=data.tokens / data.epochs,
        examples=None,
        tokens_per_example=None,
        epochs=data.epochs,
        sequence_tokens=None,
        packed=True,
        longest=tuning.shape.max_tokens,
    )
    try:
        found = answer_method(replace(tuning, data=packed, global_batch=None), method, accelerator, count, ())
    except InputError:  # a micro-batch that the longer sequences do not divide into
        return None
    return found if found.found else None


def _misfit(
    tuning: Tuning, method: Method, accelerator: Accelerator, count: int, answers: dict[Method, MethodAnswer]
) -> str:
    """Say that the method does not fit, and what would."""
    ways = [f"--method {each.method}" for each in answers.values() if each.found and each.method is not method]
    more = enough(tuning, method, accelerator, count)
    if more:
        ways.append(f"--on {accelerator.id}:{more}")
    smallest = answers[method].smallest
    if smallest:
        ways.append(f"--on {smallest.id}")
    end = f" These fit: {', '.join(ways)}." if ways else ""
    return f"{answers[method].trouble.partition('; ')[0]}.{end}"


def _document(
    tuning: Tuning,
    method: Method,
    answers: dict[Method, MethodAnswer],
    faster: MethodAnswer | None,
    resolved: ResolvedModel,
    quote: Quote | None,
    facts: Catalog,
    *,
    given: bool,
) -> Document:
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
        catalog=facts.stamp(),
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
                found.choice.memory.peak if found else "does not fit",
                found.run.wall_s if found else None,
                Value(found.run.cost_usd.mid, "usd") if found and found.run.cost_usd else None,
                each.smallest.name if each.smallest else "none",
            )
        )
    return Table(
        "methods",
        (
            Column("method", "Method"),
            Column("trainable_params", "Trained", right=True),
            Column("peak_bytes", "Memory", right=True),
            Column("wall_s", "Time", right=True),
            Column("cost_usd", "Cost", right=True),
            Column("smallest_gpu", "Smallest single GPU"),
        ),
        tuple(rows),
        caption="The three methods on the same accelerators",
    )


def _method_result(each: MethodAnswer) -> dict[str, object]:
    found = each.found
    return {
        "method": str(each.method),
        "fits": found is not None,
        "trainable_params": each.trainable_params,
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
