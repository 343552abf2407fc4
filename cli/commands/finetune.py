"""`flopwise finetune`: full, LoRA and QLoRA of a model on a data set, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    answer_method,
    can_tune,
    data_of,
    enough,
)
from ...estimators.training.flops import ADAPTER_TARGETS
from ...estimators.training.job import usual_precision
from ...estimators.training.layout import Optimizer, Precision, Zero
from ...estimators.units import read_count
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
from ..report.finetune import finetune_document
from ..report.output import choose, deliver
from ..training_options import (
    ClassOption,
    CloudOption,
    MicroBatchOption,
    ModelOption,
    OptimizerOption,
    PlanOption,
    PrecisionOption,
    PriceAsked,
    PriceOption,
    RecomputeOption,
    SequenceOption,
    ZeroOption,
    accelerators_of,
    files,
    job_option,
    layout_option,
    price_of,
    price_steps,
    read_batch,
)

if TYPE_CHECKING:
    from ...estimators.facts.records import Accelerator

_items = reader(lambda text: read_count(text, "a number of examples", "50k or 1M"))
_per_example = reader(lambda text: read_count(text, "a number of tokens", "500 or 2k"))
_epochs = reader(lambda text: read_count(text, "a number of epochs", "3"))

TokensOption = Annotated[
    float | None, job_option("--tokens", parser=_per_example, metavar="N", help="Tokens of the data set: 100M.")
]
ExamplesOption = Annotated[
    float | None, job_option("--examples", parser=_items, metavar="N", help="Examples of the data set: 50k.")
]
PerExampleOption = Annotated[
    float | None,
    job_option(
        "--tokens-per-example", parser=_per_example, metavar="N", help="Tokens of a mean example, prompt included."
    ),
]
MethodOption = Annotated[Method, job_option("--method", case_sensitive=False, help="What is trained.")]
OnOption = Annotated[
    str | None,
    job_option(
        "--on",
        metavar="CHIP[:N]",
        help="Accelerator and how many of them; the smallest GPU that holds it where left out.",
    ),
]
EpochsOption = Annotated[
    float | None, job_option("--epochs", parser=_epochs, metavar="N", help="Times over the data; 3.")
]
RankOption = Annotated[int | None, job_option("--rank", parser=whole, metavar="N", help="Rank of the adapters; 16.")]
TargetsOption = Annotated[
    str | None,
    job_option(
        "--targets",
        metavar="GROUPS",
        help="What gets adapters: attention, mlp, head or all, joined by commas; attention,mlp.",
    ),
]
PackedOption = Annotated[bool, job_option("--packed", help="Join examples into full sequences instead of padding.")]
BatchOption = Annotated[str | None, layout_option("--global-batch", metavar="N", help="Sequences per optimizer step.")]


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
    usd_per_hour, quote = price_of(PriceAsked(cloud, cloud_class, plan, price), accelerator, facts, count or 1)
    tuning = replace(tuning, usd_per_hour=usd_per_hour)
    answers = {each: answer_method(tuning, each, accelerator, count or 1, gpus) for each in Method}
    if answers[method].found is None:
        raise DoesNotFit(_misfit(tuning, method, accelerator, count or 1, answers))
    faster = _packed(tuning, method, accelerator, count or 1) if not data.packed else None
    document = finetune_document(tuning, method, answers, faster, resolved, quote, given=on is not None)
    document = replace(document, catalog=facts.stamp())
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
