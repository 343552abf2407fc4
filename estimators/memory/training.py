"""Peak memory of one accelerator in a training run: parts, instants, the range and the chance of running out.

The peak is the largest instant on the fullest pipeline stage (`instants.py`), plus what the allocator and the device
take besides (`overhead.py`). The range is what measured peaks did around predictions that had not seen them. The
chance of running out compares live tensors, the part of the allocator's cache that it cannot give back, and the
device's own share with the memory that a program can use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..facts.memory import MemoryBand, MemoryFacts, MemoryProfile, StateScheme, load_memory_facts
from ..facts.records import Accelerator
from ..frozen import dataclass, replace
from ..models.shape import ModelShape
from ..quantity import Given, Quantity, Step
from ..training.layout import Framework, Layout, Precision, Recipe, Workload
from .instants import Instant, Part, instants, micro_batches
from .overhead import MemoryKind, cache_bytes, device_bytes
from .stages import Stage, stages
from .sums import Habits, ModelSums, model_sums

_BAND_SIGMAS = 1.2816  # 80 % of a normal distribution lies within this many standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Memory of the fullest rank.

    `parts` are the components at the peak instant as `kind` counts them; they sum to `peak.mid`. `instants` are those
    of the fullest stage, live tensors only. `probability_of_running_out` is about the device, whatever `kind` is.
    """

    kind: MemoryKind
    framework: str
    is_pure: bool  # weights and states are kept in the compute format alone
    stage: int
    pipeline_stages: int
    parts: tuple[Part, ...]
    instants: tuple[Instant, ...]
    peak_instant: Instant
    peak: Quantity
    needed_bytes: float  # the least with which the job runs, middle estimate
    usable_bytes: float
    probability_of_running_out: float
    steps: tuple[Step, ...]

    @property
    def fits(self) -> bool:
        """Whether it more likely fits than not."""
        return self.probability_of_running_out < 0.5


def training_memory(
    shape: ModelShape,
    *,
    layout: Layout,
    recipe: Recipe,
    workload: Workload,
    accelerator: Accelerator,
    kind: MemoryKind = MemoryKind.DEVICE,
    unsaid: int = 0,
    facts: MemoryFacts | None = None,
    only_last_stage: bool = False,
) -> TrainingMemory:
    """Return the peak memory of training `shape`, per accelerator.

    `unsaid` counts settings that were guessed and widens the range. `only_last_stage` reports the last pipeline stage
    (some logs show that one). `facts` default to the shipped ones.

    Raises:
        InputError: the shape's parameters can only be counted.
        FactsError: the fact file is broken.
    """
    facts = facts or load_memory_facts()
    profile = profile_of(recipe, layout, accelerator, facts)
    sums = _sums(shape, recipe, workload, profile)
    chosen = _candidates(stages_of(sums, layout, workload), only_last_stage)
    outside = device_bytes(layout, facts, accelerator.vendor)
    best: tuple[float, Instant, Stage, tuple[Instant, ...]] | None = None
    for stage in chosen:
        found = instants(sums, stage, layout, recipe, workload, profile)
        for instant in found:
            total = instant.bytes + cache_bytes(instant, profile, ragged=workload.ragged)
            if best is None or total > best[0]:
                best = (total, instant, stage, found)
    assert best is not None  # a pipeline has at least one stage and a stage its instants
    _, instant, stage, found = best
    parts = list(instant.parts)
    cache = cache_bytes(instant, profile, ragged=workload.ragged)
    if kind is not MemoryKind.ALLOCATED:
        parts.append(Part("allocator cache", cache))
    if kind is MemoryKind.DEVICE:
        parts.append(Part("context and communicators", outside))
    mid = math.fsum(part.bytes for part in parts)
    band = facts.bands.get(profile.name if recipe.framework else "unknown", facts.bands["unknown"])
    down, up = _spread(band, unsaid, facts.unsaid_log)
    needed = instant.bytes + facts.cache_needed_share * cache + outside
    usable = accelerator.usable_memory_bytes
    return TrainingMemory(
        kind=kind,
        framework=profile.name,
        is_pure=profile.scheme is StateScheme.PURE or not recipe.fp32_weights,
        stage=stage.index,
        pipeline_stages=layout.pp,
        parts=tuple(parts),
        instants=found,
        peak_instant=instant,
        peak=Quantity(mid * math.exp(-down), mid, mid * math.exp(up), "bytes", "80 %", band.basis),
        needed_bytes=needed,
        usable_bytes=usable,
        probability_of_running_out=_chance_over(needed, usable, up / _BAND_SIGMAS),
        steps=_steps(sums, stage, layout, workload, profile, parts, facts),
    )


def profile_of(recipe: Recipe, layout: Layout, accelerator: Accelerator, facts: MemoryFacts) -> MemoryProfile:
    """Return the memory profile of the recipe's framework; a likely one where it is not decided."""
    framework = recipe.framework or likely_framework(recipe, layout, accelerator)
    half = f"{framework}-fp16"
    if recipe.precision is Precision.FP16 and half in facts.profiles:
        return facts.profiles[half]
    return facts.profiles[framework]


def likely_framework(recipe: Recipe, layout: Layout, accelerator: Accelerator) -> Framework:
    """Return the software that most people would use for this job on this chip."""
    if accelerator.id.startswith("tpu"):
        return Framework.JAX
    if accelerator.id.startswith(("trainium", "inferentia")):
        return Framework.NEURON
    if accelerator.id.startswith("gaudi"):
        return Framework.HABANA
    if layout.tp > 1 or layout.pp > 1 or layout.ep > 1:
        return Framework.MEGATRON
    return Framework.HUGGING_FACE if recipe.adapter or layout.accelerators == 1 else Framework.FSDP


def habits_of(shape: ModelShape, recipe: Recipe, profile: MemoryProfile) -> Habits:
    """Return how activations are kept: dropout belongs to pre-training GPT's kind of layer."""
    return Habits(
        fused=profile.fused or recipe.compiled,
        expands_kv=profile.expands_kv and not recipe.grouped_kernel,
        keeps_fused_qkv=profile.keeps_fused_qkv,
        keeps_expert_outputs=profile.keeps_expert_outputs,
        dropout=recipe.dropout,
    )


def _sums(shape: ModelShape, recipe: Recipe, workload: Workload, profile: MemoryProfile) -> ModelSums:
    return model_sums(shape, workload.sequence_tokens, habits_of(shape, recipe, profile), recipe.adapter)


def stages_of(sums: ModelSums, layout: Layout, workload: Workload) -> tuple[Stage, ...]:
    """Return the pipeline stages of a model under `layout`; layers that predict further tokens stand on the last."""
    layers = [run.layers for run in sums.runs]
    if not sums.predictions:
        return stages(layers, layout.pp, layout.interleave, micro_batches(layout, workload))
    layers[-1] -= sums.predictions
    found = stages(layers, layout.pp, layout.interleave, micro_batches(layout, workload))
    last = found[-1]
    held = (*last.layers[:-1], last.layers[-1] + sums.predictions)
    return (*found[:-1], replace(last, layers=held))


def _candidates(every: tuple[Stage, ...], only_last: bool) -> Iterable[Stage]:
    """The stages among which the fullest must be: ends, and the first of each make-up of layers in between."""
    if only_last or len(every) == 1:
        return every[-1:]
    seen: set[tuple[int, ...]] = set()
    middle = [stage for stage in every[1:-1] if not (stage.layers in seen or seen.add(stage.layers))]  # type: ignore[func-returns-value]
    return (every[0], *middle, every[-1])


def _spread(band: MemoryBand, unsaid: int, unsaid_log: float) -> tuple[float, float]:
    """Half-widths of the range in log space; a guessed setting adds its variance. Each side keeps at least 1 %."""
    extra = unsaid * (unsaid_log * _BAND_SIGMAS) ** 2
    return math.sqrt(max(-band.low_log, 0.01) ** 2 + extra), math.sqrt(max(band.high_log, 0.01) ** 2 + extra)


def _chance_over(needed: float, usable: float, sigma: float) -> float:
    """Chance that a log-normal need with this middle and scatter exceeds what is usable."""
    return 0.5 * (1 + math.erf(math.log(needed / usable) / sigma / math.sqrt(2)))


def _steps(
    sums: ModelSums,
    stage: Stage,
    layout: Layout,
    workload: Workload,
    profile: MemoryProfile,
    parts: list[Part],
    facts: MemoryFacts,
) -> tuple[Step, ...]:
    largest = max(parts, key=lambda part: part.bytes)
    where = f"{profile.name}: {profile.source}"
    total = math.fsum(part.bytes for part in parts)
    stage_step = Step(
        name="layers_on_stage",
        formula="layers dealt evenly over pipeline stages and chunks",
        inputs=(
            Given("L", float(sum(run.layers for run in sums.runs)), "layers", "model shape"),
            Given("pp", float(layout.pp), "stages", "layout"),
            Given("in flight", stage.in_flight, "micro-batches", "arXiv:2104.04473, section 2.2"),
        ),
        value=float(sum(stage.layers)),
        unit="layers",
        source="estimators/memory/stages.py",
    )
    peak_step = Step(
        name="peak_memory",
        formula=" + ".join(part.name for part in parts),
        inputs=tuple(Given(part.name, part.bytes, "bytes", where) for part in parts),
        value=total,
        unit="bytes",
        source=f"arXiv:2205.05198, arXiv:1910.02054; factors {facts.as_of}",
        dominant=f"{largest.name}: {largest.bytes / total:.0%} of the peak" if total else "",
    )
    tokens = Step(
        name="tokens_per_micro_batch",
        formula="micro-batch x sequence / cp",
        inputs=(
            Given("micro-batch", float(layout.micro_batch), "sequences", "layout"),
            Given("s", float(workload.sequence_tokens), "tokens", "workload"),
            Given("cp", float(layout.cp), "ranks", "layout"),
        ),
        value=layout.micro_batch * workload.sequence_tokens / layout.cp,
        unit="tokens",
        source="estimators/memory/instants.py",
    )
    return (stage_step, tokens, peak_step)
