"""What one layer owns and keeps, summed over its operators by how parallelism cuts it.

The sums are for one sequence, so that a search over layouts multiplies instead of walking operators; they are kept
for the last few shapes. Bytes follow Korthikanti et al. 2022 (arXiv:2205.05198, section 4) operator by operator; a
frozen base (arXiv:2106.09685) keeps no inputs of matrices that are not adapted, since it needs no weight gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from ..frozen import dataclass
from ..models.expansion import expand
from ..models.operators import Cut, Group, Operator, OperatorKind
from ..models.parameters import adapter_values, adapts
from ..models.shape import ModelShape
from ..training.layout import Adapter

BYTES = 2.0  # sums are at 16-bit activations; 32-bit activations double them


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """An amount by what divides it: nothing but sequence parallelism, tensor ranks, or expert ranks."""

    repeated: float = 0.0  # on every tensor rank, unless sequence parallelism divides it
    divided: float = 0.0  # over tensor ranks
    expert: float = 0.0  # over expert ranks, and tensor ranks inside an expert
    expert_input: float = 0.0  # over expert ranks only: what enters and leaves an expert whole

    @property
    def total(self) -> float:
        """The uncut amount."""
        return self.repeated + self.divided + self.expert + self.expert_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the software keeps activations (see `MemoryProfile`); part of the key under which sums are kept."""

    fused: bool
    expands_kv: bool
    dropout: bool
    keeps_fused_qkv: bool = False
    keeps_expert_outputs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSums:
    """One layer of a run, for one sequence.

    `params` are numbers owned, `adapter` trainable numbers that an adapter adds. Bytes kept for backward at two bytes
    per value: `kept` without scores, `scores` of unfused attention, `products` under that recompute mode, `input` the
    hidden state that enters. `largest` is the largest intermediate, whose gradient exists while it is computed.
    """

    layers: int
    params: Cuts
    adapter: Cuts
    kept: Cuts
    scores: Cuts
    products: Cuts
    input: float
    largest: Cuts


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSums:
    """All runs in order, and the ends: what stands before the layers and behind them, for one sequence."""

    runs: tuple[LayerSums, ...]
    embedding_params: float
    embedding_table: float  # of these, the table that a tied head reads
    embedding_kept: float
    head_params: float  # owned by the head; 0 when tied
    tied: bool
    head_rows: float  # tokens that reach the head
    vocab: int
    head_kept: float  # final norm and the head's input, bytes
    other_params: float  # final norm and the like, on the last stage
    hidden_bytes: float = 0.0  # of the hidden state behind the layers
    predictions: int = 0  # how many tokens more are predicted, each with logits of its own
    joining_params: float = 0.0  # matrices that join hidden state and next token for these


@lru_cache(maxsize=64)
def model_sums(shape: ModelShape, sequence_tokens: int, habits: Habits, adapter: Adapter | None = None) -> ModelSums:
    """Return the sums of `shape` for one sequence of `sequence_tokens` tokens.

    Raises:
        InputError: the shape can only be counted.
    """
    operators = expand(shape, sequence_tokens=sequence_tokens, dropout=habits.dropout)
    hidden = {stack.name: stack.hidden for stack in shape.stacks}
    by_run: dict[tuple[str, int], list[Operator]] = {}
    for operator in operators:
        if operator.run >= 0:
            by_run.setdefault((operator.stack, operator.run), []).append(operator)
    outside = [operator for operator in operators if operator.run < 0]
    embedding = [op for op in outside if op.group is Group.EMBEDDING]
    head = [op for op in outside if op.group is Group.HEAD]
    product = next((op for op in head if op.name.endswith(".head")), None)
    behind = [op for op in outside if op.group is not Group.EMBEDDING and op.kind is not OperatorKind.LOSS]
    return ModelSums(
        runs=tuple(_layer(ops, hidden[stack], habits, adapter) for (stack, _), ops in by_run.items()),
        embedding_params=sum(op.weight_params * op.repeats for op in embedding),
        embedding_table=sum(op.weight_params for op in embedding if op.kind is OperatorKind.EMBEDDING),
        embedding_kept=sum(kept_bytes(op, habits, None) for op in embedding),
        head_params=sum(op.weight_params for op in head),
        tied=bool(product and product.tied_to),
        head_rows=product.rows if product else 0.0,
        vocab=shape.vocab if product else 0,
        head_kept=sum(kept_bytes(op, habits, adapter) for op in behind),
        other_params=sum(op.weight_params for op in outside if op.group not in (Group.EMBEDDING, Group.HEAD)),
        hidden_bytes=product.rows * shape.hidden * BYTES if product else 0.0,
        predictions=shape.predictions,
        joining_params=2.0 * shape.predictions * shape.hidden**2,
    )


def _layer(operators: list[Operator], hidden: int, habits: Habits, adapter: Adapter | None) -> LayerSums:
    input_bytes = operators[0].rows * hidden * BYTES

    def adapter_params(op: Operator) -> float:
        return float(adapter_values(op, adapter.rank)) if adapter and adapts(op, adapter.targets) else 0.0

    products = _cuts(operators, _product_bytes, _kept_place)
    return LayerSums(
        layers=operators[0].repeats,
        params=_cuts(operators, lambda op: float(op.weight_params), _weight_place),
        adapter=_cuts(operators, adapter_params, _weight_place),
        kept=_cuts(operators, lambda op: kept_bytes(op, habits, adapter), _kept_place),
        scores=_cuts(operators, _score_bytes, _kept_place),
        products=Cuts(
            repeated=products.repeated + input_bytes,
            divided=products.divided,
            expert=products.expert,
            expert_input=products.expert_input,
        ),
        input=input_bytes,
        largest=_cuts(
            [max(operators, key=lambda op: op.output_values)], lambda op: op.output_values * BYTES, _out_place
        ),
    )


def kept_bytes(operator: Operator, habits: Habits, adapter: Adapter | None) -> float:
    """Bytes that one repeat of `operator` keeps for backward, without scores, at two bytes per value.

    Under an adapter the base is frozen: a matrix keeps its input only where a factor pair reads it, or where flash
    attention keeps it as its output; a norm keeps what the gradient of its input needs (eager: x in fp32).
    Attention that expands keys and values to all heads before its kernel keeps the expanded ones; values that are a
    view of the joint projection keep all of it.
    """
    eager = 0.0 if habits.fused else operator.saved_values_eager
    extra = operator.saved_bytes_extra
    if operator.kind is OperatorKind.ATTENTION:
        added = 0.0
        if habits.expands_kv and operator.kv_heads < operator.heads:
            added += operator.rows * (operator.heads - operator.kv_heads) * (operator.head_dim + operator.value_dim)
        if habits.keeps_fused_qkv:
            added += operator.rows * (operator.heads + operator.kv_heads) * operator.head_dim
        return (operator.saved_values + added) * BYTES + extra
    if adapter is not None and operator.kind is OperatorKind.MATMUL:
        kept = operator.saved_values if operator.name.endswith("attention.out") else 0.0
        if adapts(operator, adapter.targets):
            kept = operator.saved_values + operator.rows * operator.batch * operator.matrices * adapter.rank
            kept += operator.output_values * adapter.scales_outputs
        return kept * BYTES + extra
    if operator.name.endswith("experts.combine") and not habits.keeps_expert_outputs:
        return extra
    if adapter is not None and operator.kind is OperatorKind.NORM and eager:
        return eager * BYTES
    return (operator.saved_values + eager) * BYTES + extra


def _score_bytes(operator: Operator) -> float:
    """What unfused attention keeps besides: the softmax output, under dropout its mask and the dropped copy."""
    if operator.kind is not OperatorKind.ATTENTION:
        return 0.0
    return operator.score_values * (2 * BYTES + 1 if operator.dropout else BYTES) - operator.saved_bytes_extra


def _product_bytes(operator: Operator) -> float:
    """What "products" recompute keeps: attention's output and, on average, every second matrix product's."""
    if operator.kind is OperatorKind.ATTENTION:
        return operator.output_values * BYTES + operator.saved_bytes_extra
    return operator.output_values * BYTES / 2 if operator.kind is OperatorKind.MATMUL else 0.0


def _cuts(operators: Iterable[Operator], amount: Callable[[Operator], float], place: Callable[[Operator], int]) -> Cuts:
    sums = [0.0, 0.0, 0.0, 0.0]
    for operator in operators:
        sums[place(operator)] += amount(operator)
    return Cuts(repeated=sums[0], divided=sums[1], expert=sums[2], expert_input=sums[3])


def _weight_place(operator: Operator) -> int:
    if operator.cut is Cut.EXPERT:
        return 2
    return 1 if operator.cut in (Cut.COLUMN, Cut.ROW, Cut.HEADS, Cut.VOCABULARY) else 0


def _kept_place(operator: Operator) -> int:
    if operator.cut is Cut.EXPERT:
        whole = operator.kind is OperatorKind.ROUTING or operator.name.endswith("experts.up")
        return 3 if whole else 2
    return 1 if operator.saved_is_divided else 0


def _out_place(operator: Operator) -> int:
    """Where an operator's output is cut: a column-parallel product's over tensor ranks, a row-parallel one's not."""
    if operator.cut is Cut.EXPERT:
        return 2
    return 1 if operator.cut in (Cut.COLUMN, Cut.HEADS, Cut.VOCABULARY) else 0
