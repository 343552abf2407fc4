"""The instants of a training step at which memory can peak, each as a sum of named parts; the peak is their maximum.

A sum of every part's own maximum would count things that are never there together: activations are gone when the
optimizer steps, logits are gone when the first layer runs backward. The instants are

    forward         all in-flight micro-batches' activations kept, working on the last layer (stages without a head)
    loss            the same plus logits and what cross-entropy makes of them (the stage with the head)
    backward start  the last layer recomputed whole (under recompute) and gradients of its largest intermediate
    backward end    all gradients, the first layer recomputed, activations of the other in-flight micro-batches
    optimizer step  states, gradients and temporaries of the step, no activations

on each pipeline stage; the fullest stage counts. Activations are those of Korthikanti et al. 2022 (arXiv:2205.05198).
"""

from __future__ import annotations

from ..facts.memory import MemoryProfile, StateScheme
from ..frozen import dataclass
from ..training.layout import Layout, Offload, Recipe, Recompute, Workload, Zero
from .stages import Stage
from .states import RankParameters, StateBytes, compute_bytes, state_bytes
from .sums import BYTES, Cuts, LayerSums, ModelSums

LASTING = frozenset(
    (
        "weights",
        "frozen weights",
        "adapters",
        "gradients",
        "fp32 copy of weights",
        "optimizer moments",
        "communication buffers",
        "workspaces",
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """A named component of memory, in bytes."""

    name: str
    bytes: float


@dataclass(frozen=True, slots=True)
class Instant:
    """One instant on one stage; `bytes` of live tensors is the sum of its parts."""

    name: str
    stage: int
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> float:
        """Live tensors at this instant."""
        return sum(part.bytes for part in self.parts)


def instants(
    sums: ModelSums, stage: Stage, layout: Layout, recipe: Recipe, workload: Workload, profile: MemoryProfile
) -> tuple[Instant, ...]:
    """Return the instants of `stage`, in the order in which they come."""
    several = workload.global_batch > layout.dp * layout.micro_batch
    rank = rank_parameters(sums, stage, layout, unties=profile.unties_embeddings)
    states = state_bytes(rank, layout, recipe, profile)
    work = _Activations(sums, stage, layout, recipe, profile, micro_batches(layout, workload))
    persistent = {
        "weights": states.weights,
        "frozen weights": states.frozen_weights,
        "adapters": states.adapters,
        "fp32 copy of weights": states.master_weights,
        "optimizer moments": states.moments,
        "communication buffers": _buffers(states, layout, profile),
        "workspaces": profile.workspace_bytes,
    }
    accumulates = several or profile.gradients_persist
    gradients = {"gradients": states.gradients}
    before = gradients if accumulates else {}
    gathered = {"gathered layers": states.gathered}
    # whole gradients of a layer exist before they are reduced to shards (ZeRO-2 and 3)
    whole = {"whole gradients of a layer": _whole_gradients(rank, recipe, profile)} if layout.zero >= 2 else {}
    if not whole and several and profile.scheme is StateScheme.PURE and not recipe.step_in_backward:
        # a fresh gradient stands beside the sum of those before until it is added
        trains_ends = recipe.adapter is None or recipe.adapter.trains_embeddings
        whole = {"whole gradients of a layer": compute_bytes(recipe.precision) * rank.end * trains_ends}
    found = [
        _instant(
            "forward", stage, persistent, before, gathered, {"activations": work.kept, "working set": work.forward}
        )
    ]
    if stage.has_head:
        loss = {"activations": work.kept, "logits and loss": work.loss}
        found.append(_instant("loss", stage, persistent, before, gathered, loss))
    start = {"activations": work.kept_at_start, "recomputed layer": work.recomputed, "working set": work.backward}
    end = {**start, "activations": work.kept_at_end}
    found += [
        _instant("backward start", stage, persistent, before, gathered, whole, start),
        _instant("backward end", stage, persistent, gradients, gathered, whole, end),
        _instant("optimizer step", stage, persistent, gradients, {"step temporaries": states.step_temporaries}),
    ]
    return tuple(found)


def micro_batches(layout: Layout, workload: Workload) -> int:
    """Return how many micro-batches one pipeline works on per step."""
    return max(1, workload.global_batch // (layout.dp * layout.micro_batch))


def _instant(name: str, stage: Stage, *groups: dict[str, float]) -> Instant:
    merged: dict[str, float] = {}
    for group in groups:
        for part, size in group.items():
            merged[part] = merged.get(part, 0.0) + size
    return Instant(name, stage.index, tuple(Part(part, size) for part, size in merged.items() if size > 0))


def rank_parameters(sums: ModelSums, stage: Stage, layout: Layout, *, unties: bool = False) -> RankParameters:
    """Return the parameters that one rank of `stage` holds after tensor and expert cuts.

    A tied table is held again by a last stage without the embedding, and by software that `unties` it. Layers that
    predict further tokens need the table on the last stage too.
    """
    inside = layout.expert_tp or layout.tp
    dense = expert = adapter = adapter_expert = 0.0
    for count, run in zip(stage.layers, sums.runs, strict=True):
        dense += count * (run.params.repeated + run.params.divided / layout.tp)
        expert += count * run.params.expert / (layout.ep * inside)
        adapter += count * (run.adapter.repeated + run.adapter.divided / layout.tp)
        adapter_expert += count * run.adapter.expert / (layout.ep * inside)
    embedding = sums.embedding_params / layout.tp if stage.has_embedding else 0.0
    head = (sums.head_params + sums.other_params) / layout.tp if stage.has_head else 0.0
    elsewhere = (sums.tied or sums.predictions > 0) and not stage.has_embedding
    again = elsewhere or (sums.tied and unties)
    if stage.has_head:
        head += (sums.embedding_table * again + sums.joining_params) / layout.tp
    largest = max(
        (
            run.params.repeated + run.params.divided / layout.tp + run.params.expert / (layout.ep * inside)
            for count, run in zip(stage.layers, sums.runs, strict=True)
            if count
        ),
        default=0.0,
    )
    return RankParameters(
        dense=dense,
        expert=expert,
        ends=embedding + head,
        adapter=adapter,
        adapter_expert=adapter_expert,
        layer=largest,
        end=max(embedding, head),
    )


def _buffers(states: StateBytes, layout: Layout, profile: MemoryProfile) -> float:
    """Buckets have a set size; most software needs no more than two 16-bit copies of what is trained."""
    if layout.dp * layout.cp == 1 and not profile.gradients_persist:
        return 0.0
    if profile.whole_buckets:
        return profile.buffer_bytes
    return min(profile.buffer_bytes, 4.0 * states.trained)


def _whole_gradients(rank: RankParameters, recipe: Recipe, profile: MemoryProfile) -> float:
    """Gradients before they are reduced: of the largest group; FSDP's root keeps those of the head until the end.

    FSDP copies a layer's gradients into one buffer to reduce them, while those of the next layer appear.
    """
    size = compute_bytes(recipe.precision)
    if recipe.adapter:
        return size * rank.end if recipe.adapter.trains_embeddings else 0.0
    if profile.gathers_ends:
        return size * (rank.end + 2 * rank.layer)
    return size * max(rank.layer, rank.end)


class _Activations:
    """Bytes of activations of one stage under the recipe. Sizes for one micro-batch unless said otherwise."""

    def __init__(
        self,
        sums: ModelSums,
        stage: Stage,
        layout: Layout,
        recipe: Recipe,
        profile: MemoryProfile,
        micro_batches: int,
    ) -> None:
        self.layout, self.recipe = layout, recipe
        self.tp = layout.tp
        self.sequence = layout.tp if layout.sequence_parallel else 1
        self.scale = layout.micro_batch / layout.cp * compute_bytes(recipe.precision) / BYTES
        held = [(count, run) for count, run in zip(stage.layers, sums.runs, strict=True) if count]
        one_pass = sum(count * self._kept_layer(run) for count, run in held)
        ends = 0.0
        if stage.has_embedding:
            ends += sums.embedding_kept / self.sequence * self.scale
        if stage.has_head:
            ends += sums.head_kept / self.sequence * self.scale
        on_device = Offload.ACTIVATIONS not in recipe.offload
        self.kept = (one_pass * stage.in_flight if on_device else self._offloaded(held)) + ends
        # behind the head only the gradient of the hidden state is left
        behind = max(0.0, sums.head_kept - sums.hidden_bytes) / self.sequence * self.scale if stage.has_head else 0.0
        self.kept_at_start = self.kept - behind
        self.kept_at_end = max(0.0, one_pass * (stage.in_flight - 1)) * on_device
        full = max((self._whole_layer(run) for _, run in held), default=0.0)
        largest = max((self._cut(run.largest) for _, run in held), default=0.0)
        recomputes = recipe.recompute is not Recompute.NONE
        scores = max((self._cut(run.scores) for _, run in held), default=0.0) * (not recipe.flash_attention)
        self.recomputed = full if recipe.recompute in (Recompute.FULL, Recompute.PRODUCTS) else scores * recomputes
        # sequence parallelism gathers a product's whole input (arXiv:2205.05198, section 4.2.2), and its gradient
        gathered = max((run.input for _, run in held), default=0.0) * self.scale * (self.sequence > 1)
        self.forward = largest + gathered + (scores if recipe.recompute is not Recompute.NONE else 0.0)
        # fused kernels write gradients of a gated product over what they were made from (Liger, donated buffers)
        self.backward = (largest / 2 if recipe.compiled else largest) + scores + 2 * gathered
        per_logit = profile.chunked_loss_bytes_per_logit if recipe.chunked_loss else profile.loss_bytes_per_logit
        logits = sums.head_rows * sums.vocab / layout.tp * layout.micro_batch / layout.cp * (1 + sums.predictions)
        self.loss = logits * per_logit + gathered
        if layout.zero is Zero.PARAMETERS and layout.pp > 1:
            # PyTorch's pipeline schedules hand all micro-batches' outputs back at the end of the step
            self.loss += logits * compute_bytes(recipe.precision) * (micro_batches - 1)

    def _offloaded(self, held: list[tuple[int, LayerSums]]) -> float:
        """Layer inputs go to the host while the next layer runs: two stay."""
        return 2 * max((self._kept_layer(run) for _, run in held), default=0.0)

    def _cut(self, amount: Cuts) -> float:
        """Bytes on one rank for one micro-batch. Experts get as many rows as without expert parallelism on average."""
        inside = self.layout.expert_tp or self.tp
        tokens = self.tp if inside == 1 else 1  # ranks that route their own tokens, each with whole experts
        expert = amount.expert / (inside * tokens)
        expert_input = amount.expert_input / (tokens if tokens > 1 else self.sequence)
        return (amount.repeated / self.sequence + amount.divided / self.tp + expert + expert_input) * self.scale

    def _whole_layer(self, run: LayerSums) -> float:
        """A layer that keeps everything."""
        kept = self._cut(run.kept)
        return kept if self.recipe.flash_attention else kept + self._cut(run.scores)

    def _kept_layer(self, run: LayerSums) -> float:
        recompute = self.recipe.recompute
        if recompute is Recompute.FULL:
            return run.input / self.sequence * self.scale
        if recompute is Recompute.PRODUCTS:
            return min(self._cut(run.products), self._whole_layer(run))
        if recompute is Recompute.SELECTIVE:
            return self._cut(run.kept)
        return self._whole_layer(run)
