"""`flopwise memory`: what a training job needs on one accelerator, part by part and instant by instant; what holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators.errors import DoesNotFit, InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.frozen import replace
from ...estimators.memory.overhead import MemoryKind
from ...estimators.models.resolve import resolve_model
from ...estimators.training.layout import (
    Adapter,
    Framework,
    Layout,
    Offload,
    Optimizer,
    Precision,
    Recipe,
    Workload,
    Zero,
)
from ...estimators.units import show_bytes
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    naming,
    one_of,
    panel,
    whole,
)
from ..report.document import Assumption, Document, Facts
from ..report.memory import (
    adapter_words,
    cache_facts,
    holder_result,
    holders_table,
    instants_table,
    layout_result,
    layout_words,
    memory_result,
    parts_table,
)
from ..report.output import choose, deliver
from ..report.training import risk_text
from ..training_options import (
    BatchOption,
    ContextOption,
    ExpertOption,
    InterleaveOption,
    MicroBatchOption,
    ModelOption,
    OptimizerOption,
    PipelineOption,
    PrecisionOption,
    RecomputeOption,
    SequenceOption,
    TensorOption,
    ZeroOption,
    accelerators_of,
    files,
    job_option,
    layout_option,
    read_batch,
)

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator
    from ...estimators.memory.fit import Fitting
    from ...estimators.models.resolve import ResolvedModel
    from ...estimators.models.shape import ModelShape
    from ...estimators.training.choose import Wanted

NF4_BITS = 4.5  # 4 bits and one fp32 scale per 64 weights (arXiv:2305.14314, section 3)
inference_option = panel("Inference besides")

OnOption = Annotated[
    str | None,
    job_option(
        "--on",
        metavar="CHIP[:N]",
        help="Accelerator and how many of them: h100-sxm:8. Left out, every chip that holds it is listed.",
    ),
]
LoraOption = Annotated[
    int | None, job_option("--lora", parser=whole, metavar="RANK", help="Train adapters of this rank.")
]
QloraOption = Annotated[
    int | None, job_option("--qlora", parser=whole, metavar="RANK", help="The same on a base frozen in 4 bits (NF4).")
]
FrameworkOption = Annotated[
    Framework | None,
    layout_option(
        "--framework", case_sensitive=False, help="The software whose habits count; the usual one where left out."
    ),
]
PureOption = Annotated[bool, layout_option("--pure", help="Weights and states in the compute format, no fp32 copy.")]
OffloadOption = Annotated[
    list[Offload] | None,
    layout_option("--offload", case_sensitive=False, help="What is kept in host memory. May be repeated."),
]
KindOption = Annotated[
    MemoryKind,
    layout_option(
        "--kind",
        case_sensitive=False,
        help="Which peak: live tensors, what PyTorch reserves, or what nvidia-smi shows.",
    ),
]
CacheContextOption = Annotated[
    int | None,
    inference_option(
        "--context", parser=whole, metavar="N", help="Show the key-value cache of sequences of N tokens too."
    ),
]
CacheBatchOption = Annotated[
    int | None, inference_option("--batch", parser=whole, metavar="N", help="Sequences in that cache; 1.")
]
AllOption = Annotated[bool, typer.Option("--all", help="List every accelerator that holds it.")]


def memory(
    model: ModelOption,
    on: OnOption = None,
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
    lora: LoraOption = None,
    qlora: QloraOption = None,
    framework: FrameworkOption = None,
    pure: PureOption = False,
    offload: OffloadOption = None,
    kind: KindOption = MemoryKind.DEVICE,
    context: CacheContextOption = None,
    batch: CacheBatchOption = None,
    all: AllOption = False,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
) -> None:
    """What a training job needs on one accelerator, broken down, and whether it fits.

    Without a layout the fastest that fits is taken; without --on every accelerator that holds the job is listed.
    """
    from ...estimators.training.choose import Wanted
    from ...estimators.training.job import default_sequence, usual_precision

    choose(format, output, force)
    one_of(lora=lora, qlora=qlora)
    if batch is not None and context is None:
        raise InputError("--batch: says how many sequences are in the cache; give --context, the tokens of each, too.")
    facts = load_catalog(files(catalog))
    with naming("--model"):
        resolved = resolve_model(model)
    shape = resolved.shape
    sequence = seq or default_sequence(shape)
    adapter = Adapter(rank=lora or qlora or 0, base_bits=NF4_BITS if qlora else 16) if lora or qlora else None
    recipe = Recipe(
        precision=precision or Precision.BF16,
        optimizer=optimizer,
        adapter=adapter,
        fp32_weights=not pure,
        offload=tuple(offload or ()),
        framework=framework,
    )
    wanted = Wanted(
        tp=tp,
        pp=pp,
        cp=cp,
        ep=ep,
        interleave=interleave,
        zero=None if zero is None else Zero(zero),
        micro_batch=micro_batch,
        recompute=recompute,
    )
    inputs: dict[str, object] = {
        "model": shape.name,
        "on": on,
        "sequence_tokens": sequence,
        "trains": adapter_words(adapter),
        "precision": str(recipe.precision),
        "optimizer": str(optimizer),
        "kind": str(kind),
    }
    cache = _cache(shape, context, batch or 1) if context else None
    if on is None:
        layout_flag = next((name for name, value in _layout_flags(wanted) if value is not None), None)
        if layout_flag:
            raise InputError(f"--{layout_flag}: a layout is for given accelerators; add --on, for example --on h100:8.")
        document = _holders(resolved, facts, recipe, sequence, inputs, every=all or format is not None)
        deliver(_with(document, cache, facts), format=format, output=output, force=force, explain=explain)
        return
    accelerator, count = accelerators_of(on, facts)
    recipe = replace(recipe, precision=precision or usual_precision(accelerator))
    count = count or 1
    with naming("--global-batch"):
        sequences = read_batch(global_batch, sequence) if global_batch else _default_batch(count, wanted)
    workload = Workload(sequence_tokens=sequence, global_batch=sequences)
    fitting, why = _fit(shape, accelerator, count, recipe, workload, wanted, kind)
    document = _document(resolved, fitting, workload, why, inputs)
    deliver(_with(document, cache, facts), format=format, output=output, force=force, explain=explain)
    if not fitting.memory.fits:
        raise DoesNotFit(_no(fitting))


def _layout_flags(wanted: Wanted) -> list[tuple[str, object]]:
    names = ("tp", "pp", "cp", "ep", "interleave", "zero", "micro_batch", "recompute")
    return [(name.replace("_", "-"), getattr(wanted, name)) for name in names]


def _default_batch(count: int, wanted: Wanted) -> int:
    """Return as many sequences as keep every replica busy, and pipelines full: 4 micro-batches per stage."""
    pp = wanted.pp or 1
    replicas = max(1, count // ((wanted.tp or 1) * pp * (wanted.cp or 1)))
    return replicas * (wanted.micro_batch or 1) * (4 * pp if pp > 1 else 1)


def _fit(
    shape: ModelShape,
    accelerator: Accelerator,
    count: int,
    recipe: Recipe,
    workload: Workload,
    wanted: Wanted,
    kind: MemoryKind,
) -> tuple[Fitting, str]:
    """Return a layout and its memory: what was asked, else the fastest that fits, else the leanest there is."""
    from ...estimators.memory.fit import Fitting, leanest
    from ...estimators.memory.training import training_memory
    from ...estimators.training.checks import check_layout
    from ...estimators.training.choose import Clock, choose_layout

    fixed = Layout(
        accelerators=count,
        tp=wanted.tp or 1,
        pp=wanted.pp or 1,
        cp=wanted.cp or 1,
        ep=wanted.ep or 1,
        interleave=wanted.interleave or 1,
        zero=Zero.NONE if wanted.zero is None else wanted.zero,
        micro_batch=wanted.micro_batch or 1,
    )
    check_layout(shape, fixed)
    recipe = replace(recipe, recompute=wanted.recompute) if wanted.recompute else recipe
    try:
        choice = choose_layout(
            accelerators=count, recipe=recipe, wanted=wanted, clock=Clock(shape, accelerator, workload)
        )
        layout, recipe, why = choice.layout, choice.recipe, choice.why
    except DoesNotFit:
        lean = leanest(shape, accelerator, count, recipe, workload, fixed=fixed)
        layout, why = lean.layout, "no layout is sure to fit; this is the leanest"
        recipe = replace(recipe, recompute=wanted.recompute) if wanted.recompute else lean.recipe
    sized = training_memory(shape, layout=layout, recipe=recipe, workload=workload, accelerator=accelerator, kind=kind)
    return Fitting(accelerator=accelerator, layout=layout, recipe=recipe, memory=sized), why


def _document(
    resolved: ResolvedModel, fitting: Fitting, workload: Workload, why: str, inputs: dict[str, object]
) -> Document:
    sized, layout, recipe = fitting.memory, fitting.layout, fitting.recipe
    chips = f"{layout.accelerators:,} x {fitting.accelerator.name}"
    verdict = "fits" if sized.fits else "does not fit"
    headline = (
        f"{resolved.shape.name} {verdict} on {chips}: {show_bytes(sized.peak.mid)} "
        f"({show_bytes(sized.peak.low)} to {show_bytes(sized.peak.high)}) of {show_bytes(sized.usable_bytes)} usable; "
        f"chance of running out {risk_text(sized.probability_of_running_out)}."
    )
    layout_facts = Facts(
        "layout",
        (
            ("layout", "Layout", layout_words(layout, recipe), why),
            ("trains", "Trains", adapter_words(recipe.adapter), f"{recipe.precision}, {recipe.optimizer}"),
            ("batch", "Batch", f"{workload.global_batch:,} x {workload.sequence_tokens:,} tokens", "per step"),
            ("framework", "Software", sized.framework, "" if recipe.framework else "the usual one; --framework"),
        ),
    )
    assumptions = []
    if not recipe.framework:
        assumptions.append(Assumption(f"the software is {sized.framework}; others keep more or less", "--framework"))
    if sized.is_pure and recipe.adapter is None and recipe.fp32_weights:
        assumptions.append(Assumption(f"{sized.framework} trains 16-bit weights without a 32-bit copy", "--framework"))
    return Document(
        verb="memory",
        headline=headline,
        inputs=inputs,
        result={**memory_result(sized), "layout": layout_result(layout, recipe, workload), "model": resolved.how},
        sections=(layout_facts, parts_table(sized), instants_table(sized)),
        assumptions=tuple(assumptions),
        steps=sized.steps,
    )


def _no(fitting: Fitting) -> str:
    sized = fitting.memory
    return (
        f"it does not fit: about {show_bytes(sized.needed_bytes)} are needed on each of {fitting.layout.accelerators:,} "
        f"x {fitting.accelerator.name}, {show_bytes(sized.usable_bytes)} are usable; take more of them, a shorter --seq, "
        "or leave --on out to see what holds it."
    )


def _holders(
    resolved: ResolvedModel,
    catalog: Catalog,
    recipe: Recipe,
    sequence: int,
    inputs: dict[str, object],
    *,
    every: bool,
) -> Document:
    from ...estimators.memory.fit import holders

    found = holders(
        resolved.shape,
        catalog.accelerators.values(),
        recipe,
        Workload(sequence_tokens=sequence, global_batch=1),
    )
    if not found:
        raise DoesNotFit(
            f"no accelerator of the catalog holds {resolved.shape.name} with {sequence:,} tokens a sequence."
        )
    first = found[0]
    count = f"{first.layout.accelerators:,} x " if first.layout.accelerators > 1 else "one "
    headline = (
        f"{resolved.shape.name} with {sequence:,} tokens a sequence trains on {count}{first.accelerator.name} and up: "
        f"{show_bytes(first.memory.peak.mid)} of {show_bytes(first.memory.usable_bytes)} on each, everything recomputed."
    )
    return Document(
        verb="memory",
        headline=headline,
        inputs=inputs,
        result={"model": resolved.how, "holders": [holder_result(fitting) for fitting in found]},
        sections=(holders_table(found, every=every),),
        assumptions=(Assumption("one sequence at a time, layers recomputed, all states sharded: the leanest layout"),),
        next_commands=(
            f"flopwise memory --model {resolved.shape.name} --on {first.accelerator.id}:{first.layout.accelerators}",
        ),
    )


def _cache(shape: ModelShape, context: int, batch: int) -> tuple[Facts, dict[str, object]]:
    from ...estimators.models.kv_cache import kv_cache_bytes
    from ...estimators.models.parameters import count_parameters

    per_sequence = kv_cache_bytes(shape, context)
    sizes = {
        "weights": 2.0 * count_parameters(shape).total,
        "per_sequence": per_sequence,
        "per_token": per_sequence / context,
        "cache": per_sequence * batch,
    }
    sizes["total"] = sizes["weights"] + sizes["cache"]
    result = {f"{name}_bytes": size for name, size in sizes.items()}
    return cache_facts(sizes, context=context, batch=batch), {"context_tokens": context, "sequences": batch, **result}


def _with(document: Document, cache: tuple[Facts, dict[str, object]] | None, catalog: Catalog) -> Document:
    document = replace(document, catalog=catalog.stamp())
    if cache is None:
        return document
    section, result = cache
    return replace(document, sections=(*document.sections, section), result={**document.result, "inference": result})
