"""How many numbers a model has, by group, in total and per token: sums over the operator list.

"Active" has no common definition. `active` counts everything one token touches, with only the routed experts scaled
down; `active_without_embedding` leaves out the input embedding, as gpt-oss and (nearly) DeepSeek publish;
`active_matmul` is the numbers of the matrices that one token multiplies with, the N of 6 N D.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from ..frozen import dataclass
from .expansion import owned_operators
from .operators import Group, Operator, OperatorKind
from .shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCount:
    """Parameters of a model. `total` is the sum of `by_group`; a tied head adds nothing to either.

    `head` is what the head multiplies with (tied or not); `embedding` the input table with learned positions.
    """

    by_group: Mapping[Group, int]
    active: int
    active_matmul: int
    input_table: int  # the token embedding alone
    embedding: int
    head: int
    layers: int  # all that stands inside the layers
    matrices: int  # numbers in matrices, the rest being vectors (norms, biases)

    @property
    def total(self) -> int:
        """All parameters, shared ones once."""
        return sum(self.by_group.values())

    @property
    def active_without_embedding(self) -> int:
        """Parameters that one token touches, the input embedding left out."""
        return self.active - self.input_table


@lru_cache(maxsize=128)  # searches ask for the same shape hundreds of times
def count_parameters(shape: ModelShape) -> ParameterCount:
    """Count the parameters of `shape`, exactly as a checkpoint stores them (a tied head once).

    Whatever the operators do not name (`extra_params`) is counted under the embedding of its stack.
    """
    operators = owned_operators(shape)
    by_group: dict[Group, int] = dict.fromkeys(Group, 0)
    active = 0
    for operator in operators:
        owned = operator.weight_params * operator.repeats
        by_group[operator.group] += owned
        active += _active(operator)
    return ParameterCount(
        by_group={group: owned for group, owned in by_group.items() if owned},
        active=active,
        active_matmul=sum(_used(operator) for operator in operators),
        input_table=sum(operator.weight_params for operator in operators if operator.kind is OperatorKind.EMBEDDING),
        embedding=by_group[Group.EMBEDDING],
        head=sum(int(op.matrix_values) for op in operators if op.group is Group.HEAD),
        layers=sum(op.weight_params * op.repeats for op in operators if op.run >= 0),
        matrices=sum(_matrix_numbers(operator) for operator in operators),
    )


def _active(operator: Operator) -> int:
    """Parameters one token touches: all, or the share of its experts (a whole number, as experts are equal)."""
    return round(operator.weight_params * operator.active_share) * operator.repeats


def _used(operator: Operator) -> int:
    """Numbers of the matrices that one token multiplies with, borrowed ones included."""
    if operator.kind is not OperatorKind.MATMUL:
        return 0
    return round(operator.matrix_values * operator.active_share) * operator.repeats


def _matrix_numbers(operator: Operator) -> int:
    if operator.kind is OperatorKind.EMBEDDING:
        return operator.weight_params
    return min(int(operator.matrix_values), operator.weight_params) * operator.repeats


def adapter_parameters(shape: ModelShape, rank: int, targets: tuple[str, ...]) -> int:
    """Return the trainable numbers that LoRA of `rank` adds on the matrices named by `targets` (see `adapts`).

    Each projection of in x out numbers gets factors of in x r and r x out (arXiv:2106.09685, section 4.1).
    """
    return sum(
        adapter_values(operator, rank) * operator.repeats
        for operator in owned_operators(shape)
        if adapts(operator, targets)
    )


def adapter_values(operator: Operator, rank: int) -> int:
    """Return r (in + out) over the projections that share this product, for all of its experts, per repeat."""
    columns, inner = int(operator.columns), int(operator.inner)
    return rank * (operator.matrices * inner + columns) * operator.batch


def adapts(operator: Operator, targets: tuple[str, ...]) -> bool:
    """Whether an adapter with these `targets` sits on this operator's matrices.

    "attention" are the projections around attention and state-space mixers, "mlp" feed-forward blocks and experts
    (never the router), "head" the projection to the vocabulary, "all" all of them but the head.
    """
    if operator.kind is not OperatorKind.MATMUL or math.isclose(operator.columns, 1):
        return False
    groups: set[Group] = set()
    if "attention" in targets or "all" in targets:
        groups |= {Group.ATTENTION, Group.CROSS_ATTENTION, Group.STATE_SPACE}
    if "mlp" in targets or "all" in targets:
        groups |= {Group.FEED_FORWARD, Group.EXPERTS, Group.SHARED_EXPERTS}
    if "head" in targets:
        groups.add(Group.HEAD)
    return operator.group in groups
