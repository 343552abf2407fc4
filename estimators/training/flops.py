"""FLOPs of one training step: forward, backward and recomputation, by group, under both attention conventions.

    forward    F = sum over operators (2 m n k for a product; 2 p H (d + dv) for attention over p query-key pairs)
    backward   2 F: each product again for the gradient of its input and of its weights, each attention product twice
    recompute  the part of the forward pass that runs once more: the layers (full), the core attention (selective)

`causal` counts the pairs that the mask and the window keep, s (s + 1) / 2 per sequence without a window; `full` counts
all s s, as PaLM (arXiv:2204.02311, appendix B: 6 N + 12 L H Q T per token) and Megatron (arXiv:2104.04473, equation 3)
do. Model FLOPs (MFU) are forward and backward; hardware FLOPs (HFU) add the recomputation that was asked for.

A flash attention kernel computes the scores once more inside its backward pass, 5 products instead of 4
(arXiv:2307.08691, section 3.1.2), so its backward is 2.5 F on the chip. Published MFU and HFU leave that out: it is
`kernel_recompute`, part of `executed` only.

With an adapter the frozen matrices need no gradient of their weights: their backward is 1 F, and the adapter's own
products are added (arXiv:2106.09685).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..errors import InputError
from ..frozen import dataclass
from ..models.expansion import expand
from ..models.operators import Group, Operator, OperatorKind
from ..models.parameters import adapter_values, adapts
from ..models.shape import ModelShape
from .layout import Adapter, Recompute

ADAPTER_TARGETS = ("attention", "mlp", "head", "all")


@dataclass(frozen=True, slots=True)
class FlopCount:
    """FLOPs with masked query-key pairs skipped (`causal`) and with all pairs counted (`full`)."""

    causal: float = 0.0
    full: float = 0.0

    def __add__(self, other: FlopCount) -> FlopCount:
        return FlopCount(self.causal + other.causal, self.full + other.full)

    def scaled(self, factor: float) -> FlopCount:
        """Return both counts times `factor`."""
        return FlopCount(self.causal * factor, self.full * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFlops:
    """The FLOPs of one part of the model."""

    group: Group
    forward: FlopCount
    backward: FlopCount
    recompute: FlopCount
    kernel_recompute: FlopCount


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlops:
    """FLOPs of a step over all its sequences. Totals are the sums of `groups`, in their order.

    `tokens` are those of the last stack, the ones that a loss is taken on.
    """

    groups: tuple[GroupFlops, ...]
    tokens: float

    @property
    def forward(self) -> FlopCount:
        """The forward pass."""
        return _sum([part.forward for part in self.groups])

    @property
    def backward(self) -> FlopCount:
        """The backward pass, recomputation left out."""
        return _sum([part.backward for part in self.groups])

    @property
    def recompute(self) -> FlopCount:
        """Forward work that runs once more because its results were not kept."""
        return _sum([part.recompute for part in self.groups])

    @property
    def kernel_recompute(self) -> FlopCount:
        """Scores that flash attention computes once more inside its backward pass."""
        return _sum([part.kernel_recompute for part in self.groups])

    @property
    def model(self) -> FlopCount:
        """Model FLOPs, the numerator of MFU."""
        return self.forward + self.backward

    @property
    def hardware(self) -> FlopCount:
        """Hardware FLOPs, the numerator of HFU."""
        return self.model + self.recompute

    @property
    def executed(self) -> FlopCount:
        """What the chip really computes in matrix products."""
        return self.hardware + self.kernel_recompute


@lru_cache(maxsize=64)  # searches over layouts ask for the same step hundreds of times
def step_flops(
    shape: ModelShape,
    *,
    sequence_tokens: int,
    sequences: float = 1,
    recompute: Recompute = Recompute.NONE,
    adapter: Adapter | None = None,
    flash_attention: bool = True,
    source_tokens: int | None = None,
) -> StepFlops:
    """Return the FLOPs of forward, backward and recomputation over `sequences` sequences of `sequence_tokens`.

    Raises:
        InputError: the shape can only be counted, or the adapter fits nothing in it.
    """
    operators = expand(shape, sequence_tokens=sequence_tokens, sequences=sequences, source_tokens=source_tokens)
    if adapter:
        check_adapter(shape, operators, adapter)
    parts: dict[Group, list[tuple[FlopCount, FlopCount, FlopCount, FlopCount]]] = {}
    for operator in operators:
        counted = _counts(operator, recompute, adapter, flash_attention)
        if counted:
            parts.setdefault(operator.group, []).append(counted)
    groups = tuple(
        GroupFlops(
            group=group,
            forward=_sum([part[0] for part in listed]),
            backward=_sum([part[1] for part in listed]),
            recompute=_sum([part[2] for part in listed]),
            kernel_recompute=_sum([part[3] for part in listed]),
        )
        for group, listed in parts.items()
    )
    return StepFlops(groups=groups, tokens=sequence_tokens * sequences)


def check_adapter(shape: ModelShape, operators: Sequence[Operator], adapter: Adapter) -> None:
    """Refuse an adapter that would have no effect or that names unknown targets.

    Raises:
        InputError: it would; says why.
    """
    unknown = [target for target in adapter.targets if target not in ADAPTER_TARGETS]
    if unknown:
        raise InputError(f"adapter target '{unknown[0]}' is not known; use {', '.join(ADAPTER_TARGETS)}.")
    if adapter.rank < 1:
        raise InputError(f"an adapter needs a rank of at least 1, not {adapter.rank}.")
    if not any(adapts(operator, adapter.targets) for operator in operators):
        raise InputError(f"'{shape.name}' has no matrices for an adapter on {', '.join(adapter.targets) or 'nothing'}.")


def _counts(
    operator: Operator, recompute: Recompute, adapter: Adapter | None, flash_attention: bool
) -> tuple[FlopCount, FlopCount, FlopCount, FlopCount] | None:
    """Return forward, backward, recompute and kernel recompute of one operator; None where it does no matrix work."""
    forward = FlopCount(operator.forward_flops, operator.forward_flops_full)
    if not forward.full:
        return None
    is_attention = operator.kind is OperatorKind.ATTENTION
    has_weights = operator.kind is OperatorKind.MATMUL or operator.kind is OperatorKind.CONVOLUTION
    backward = forward.scaled(1.0 if adapter and has_weights else 2.0)
    if adapter and adapts(operator, adapter.targets):
        flops = 2.0 * operator.rows * adapter_values(operator, adapter.rank) * operator.repeats
        added = FlopCount(flops, flops)
        forward, backward = forward + added, backward + added.scaled(2.0)
    again = operator.run >= 0 and (recompute is Recompute.FULL or (recompute is Recompute.SELECTIVE and is_attention))
    nothing = FlopCount()
    in_kernel = forward.scaled(0.5) if is_attention and flash_attention else nothing
    return forward, backward, forward if again else nothing, in_kernel


def _sum(counts: list[FlopCount]) -> FlopCount:
    total = FlopCount()
    for count in counts:
        total += count
    return total
