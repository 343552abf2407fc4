"""What one micro-batch costs on one rank, from the operator list: seconds by cause, before overlap and schedule.

`layer_work` walks operators, those of the layers or those of embedding, head and loss, once for a (micro-batch, tp, cp,
ep, format) and returns a `Work`: seconds of matrix products, attention, memory traffic and collectives at the fitted
surfaces, and the number of kernels launched, forward and backward apart. Backward of a product is two
products (arXiv:2104.04473, section 5.1): the gradient of the input, m x n by n x k, and of the weights, n x m by m x k.
How tensor, sequence, context and expert parallelism cut an operator is the `Cut` that the expansion gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..facts.surfaces import Collective
from ..frozen import dataclass
from ..models.operators import Cut, Group, Operator, OperatorKind
from .chip import Chip
from .links import collective_seconds
from .surface import MatrixRates, matrix_seconds

# A search asks for the same products again under other degrees of expert and data parallelism.
_seconds = lru_cache(maxsize=65_536)(matrix_seconds)


@dataclass(slots=True)
class Work:
    """Seconds (at fitted surfaces) and kernels of one micro-batch on one rank; `_f` forward, `_b` backward.

    `experts` are grouped products of routed experts, `convert` the conversion to low precision (part of neither matrix
    nor traffic), `scores` the memory traffic of attention that writes its scores; collectives come as time inside a
    link domain and time across the network (`_n`).
    """

    matrix_f: float = 0.0
    matrix_b: float = 0.0
    low_f: float = 0.0  # products in the low-precision format
    low_b: float = 0.0
    experts_f: float = 0.0
    experts_b: float = 0.0
    convert_f: float = 0.0
    convert_b: float = 0.0
    attention_f: float = 0.0
    attention_b: float = 0.0
    scores_f: float = 0.0
    scores_b: float = 0.0
    traffic_f: float = 0.0
    traffic_b: float = 0.0
    routing_f: float = 0.0
    routing_b: float = 0.0
    kernels_f: float = 0.0
    kernels_b: float = 0.0
    tensor_f: float = 0.0
    tensor_b: float = 0.0
    tensor_nf: float = 0.0
    tensor_nb: float = 0.0
    expert_f: float = 0.0  # all-to-all
    expert_b: float = 0.0
    expert_nf: float = 0.0
    expert_nb: float = 0.0
    context_f: float = 0.0
    context_b: float = 0.0
    context_nf: float = 0.0
    context_nb: float = 0.0
    cover_b: float = 0.0  # weight gradients of column-parallel products: the input's all-reduce runs beside them
    hooks: float = 0.0  # layers whose parameters the host fetches and releases by hooks (DeepSpeed ZeRO-3)
    calls_f: float = 0.0  # collectives launched
    calls_b: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How one rank's share is cut; `low` is the low-precision format of the layers' products, "" for none."""

    tp: int = 1
    cp: int = 1
    ep: int = 1
    sequence_parallel: bool = False
    low: str = ""
    flash: bool = True
    frozen: bool = False  # LoRA: no weight gradients
    dispatch_bytes: float = 2.0
    active: int = 1  # experts that one token visits


def layer_work(chip: Chip, operators: Iterable[Operator], cut: Cutting) -> Work:
    """Return the work of all `operators` (times their repeats) for one micro-batch on one rank."""
    work = Work()
    plain = chip.matrices["bf16"]
    low = chip.matrices.get(cut.low, plain) if cut.low else plain
    for op in operators:
        if op.kind is OperatorKind.MATMUL or op.kind is OperatorKind.CONVOLUTION:
            _product(work, chip, op, cut, plain, low if cut.low else plain)
        elif op.kind is OperatorKind.ATTENTION:
            _attention(work, chip, op, cut, plain)
        elif op.kind is OperatorKind.ROUTING:
            _routing(work, chip, op, cut)
        else:
            _traffic(work, chip, op, cut)
    return work


def _rows(op: Operator, cut: Cutting) -> float:
    rows = op.rows / cut.cp
    return rows / cut.tp if op.cut is Cut.SEQUENCE and cut.sequence_parallel else rows


def _product(work: Work, chip: Chip, op: Operator, cut: Cutting, plain: MatrixRates, low: MatrixRates) -> None:
    m, n, k, batch = _rows(op, cut), op.columns, op.inner, float(op.batch)
    if m <= 0:
        return
    is_expert = op.cut is Cut.EXPERT
    if is_expert:
        # ep ranks pool their tokens and share out the experts; inside an expert, tp cuts the width.
        batch = max(1.0, batch / cut.ep)
        m = m * op.batch / batch
        if op.name.endswith("down"):
            k = k / cut.tp
        else:
            n = n / cut.tp
    elif op.cut is Cut.COLUMN or op.cut is Cut.VOCABULARY:
        n = n / cut.tp
    elif op.cut is Cut.ROW:
        k = k / cut.tp
    elif op.cut is Cut.HEADS:
        batch = batch / cut.tp
    is_low = bool(cut.low) and op.group is not Group.HEAD and op.group is not Group.ROUTER
    rates = low if is_low else plain
    repeats = op.repeats
    forward = _seconds(rates, m, n, k, batch)
    inputs = _seconds(rates, m, k, n, batch)
    weights = 0.0 if cut.frozen and op.weight_params else _seconds(rates, n, k, m, batch)
    convert_f = convert_b = 0.0
    if is_low:
        per_value = rates.convert_s_per_value * batch
        convert_f = per_value * m * k
        # matrix_seconds has charged a conversion of its first operand; the gradient m x n is converted once for both.
        convert_b = per_value * (m * n + (n * m if weights else 0.0))
        forward, inputs = forward - convert_f, inputs - per_value * m * n
        weights = weights - per_value * n * m if weights else 0.0
        work.convert_f += repeats * convert_f
        work.convert_b += repeats * convert_b
    if is_expert:
        work.experts_f += repeats * forward
        work.experts_b += repeats * (inputs + weights)
    elif is_low:
        work.low_f += repeats * forward
        work.low_b += repeats * (inputs + weights)
    else:
        work.matrix_f += repeats * forward
        work.matrix_b += repeats * (inputs + weights)
    if cut.tp > 1 and op.cut is Cut.COLUMN:
        work.cover_b += repeats * weights
    launches = 1.0 + (2.0 if is_low else 0.0)
    work.kernels_f += repeats * launches
    work.kernels_b += repeats * (launches + (1.0 if weights else 0.0))
    if op.cut is Cut.ROW and cut.tp > 1:
        # One all-reduce of the output forward and one of the input's gradient backward (arXiv:1909.08053, section 3);
        # with sequence parallelism a gather and a scatter each, the same bytes, and the input is gathered once more.
        message = 2.0 * m * n
        inside, across = collective_seconds(chip, Collective.ALL_REDUCE, message, cut.tp)
        work.tensor_f += repeats * inside
        work.tensor_nf += repeats * across
        again = 1.5 if cut.sequence_parallel else 1.0
        work.tensor_b += repeats * inside * again
        work.tensor_nb += repeats * across * again
        work.calls_f += repeats * (2.0 if cut.sequence_parallel else 1.0)
        work.calls_b += repeats * (3.0 if cut.sequence_parallel else 1.0)


def _attention(work: Work, chip: Chip, op: Operator, cut: Cutting, plain: MatrixRates) -> None:
    heads = op.heads / cut.tp
    width = op.head_dim + op.value_dim
    repeats = op.repeats
    if cut.flash:
        # FlashAttention (arXiv:2205.14135, 2307.08691): causal blocks are skipped; backward is 2.5 times the products.
        # Head sizes below 128 fill the matrix units less (arXiv:2307.08691, figures 4 to 7).
        fill = min(1.0, (width / 2 / 128.0) ** 0.5) if width < 256 else 1.0
        tokens = max(1.0, op.keys)
        ramp = 1.0 + 512.0 / tokens  # short sequences do not fill the pipeline
        flops = 2.0 * op.pairs / cut.cp * heads * width
        seconds = flops / (chip.attention_flops_per_s * fill) * ramp
        work.attention_f += repeats * seconds
        work.attention_b += repeats * seconds * 2.5
        work.kernels_f += repeats * 2.0
        work.kernels_b += repeats * 4.0
    else:
        # Scores written out: two batched products over all pairs, and passes over the scores for scale, mask, softmax,
        # dropout (forward 6.5 16-bit passes, backward 9.5, counting a mask as half).
        rows = op.rows / cut.cp
        sequences = max(1.0, rows / max(1.0, op.keys))
        batch = sequences * heads
        s = rows / sequences
        forward = _seconds(plain, s, op.keys, float(op.head_dim), batch)
        forward += _seconds(plain, s, float(op.value_dim), op.keys, batch)
        work.attention_f += repeats * forward
        work.attention_b += repeats * forward * 2.0
        values = 2.0 * batch * s * op.keys / chip.memory_bytes_per_s
        work.scores_f += repeats * 6.5 * values
        work.scores_b += repeats * 9.5 * values
        work.kernels_f += repeats * 8.0
        work.kernels_b += repeats * 11.0
    if cut.cp > 1:
        # Keys and values go round the ring once forward; backward brings them again and returns their gradients
        # (arXiv:2310.01889).
        kv = 2.0 * op.rows / cut.cp * max(1.0, op.kv_heads / cut.tp) * width
        inside, across = collective_seconds(chip, Collective.ALL_GATHER, kv * cut.cp, cut.cp, cut.tp)
        work.context_f += repeats * inside
        work.context_nf += repeats * across
        work.context_b += repeats * inside * 2.0
        work.context_nb += repeats * across * 2.0
        work.calls_f += repeats * 2.0
        work.calls_b += repeats * 4.0


def _routing(work: Work, chip: Chip, op: Operator, cut: Cutting) -> None:
    """Permutation of tokens to experts, and the all-to-all to where the experts are."""
    rows = op.rows / cut.cp / (max(1, cut.tp))
    values = 2.0 * rows * op.columns / chip.memory_bytes_per_s
    repeats = op.repeats
    work.routing_f += repeats * 3.0 * values
    work.routing_b += repeats * 3.0 * values
    work.kernels_f += repeats * 15.0
    work.kernels_b += repeats * 12.0
    if cut.ep > 1:
        message = cut.dispatch_bytes * rows * op.columns
        inside, across = collective_seconds(chip, Collective.ALL_TO_ALL, message, cut.ep, cut.tp)
        across *= _sent_once(chip, cut)
        work.expert_f += repeats * inside
        work.expert_nf += repeats * across
        work.expert_b += repeats * inside
        work.expert_nb += repeats * across
        work.calls_f += repeats * 1.0
        work.calls_b += repeats * 1.0


def _sent_once(chip: Chip, cut: Cutting) -> float:
    """Return the share of the all-to-all that crosses domains when a token goes to each domain once and spreads there.

    k experts drawn evenly hit D (1 - (1 - 1/D)^k) of D domains (DeepEP, arXiv:2412.19437, section 3.2.2).
    """
    domains = -(-cut.ep * cut.tp // chip.domain)
    if domains <= 1:
        return 1.0
    hit = domains * (1.0 - (1.0 - 1.0 / domains) ** cut.active)
    return hit / cut.active


# 16-bit passes over rows x columns: (forward, backward), and kernels launched when nothing is fused beyond one module.
_PASSES = {
    OperatorKind.NORM: (2.0, 4.0, 1.0, 2.0),
    OperatorKind.ELEMENTWISE: (3.0, 3.0, 2.0, 2.0),
    OperatorKind.EMBEDDING: (2.0, 3.0, 3.0, 3.0),
    OperatorKind.LOSS: (8.0, 6.0, 8.0, 6.0),  # fp32 copy, maximum, exponent, sum; softmax minus one-hot
    OperatorKind.SCAN: (6.0, 12.0, 6.0, 10.0),
}


def _traffic(work: Work, chip: Chip, op: Operator, cut: Cutting) -> None:
    forward, backward, launches, launches_back = _PASSES[op.kind]
    columns = op.columns
    if (
        op.cut in (Cut.COLUMN, Cut.HEADS)
        or (op.cut is Cut.VOCABULARY and op.kind is OperatorKind.LOSS)
        or op.cut is Cut.EXPERT
    ):
        columns = columns / cut.tp
    values = 2.0 * _rows(op, cut) * columns / chip.memory_bytes_per_s
    work.traffic_f += op.repeats * forward * values
    work.traffic_b += op.repeats * backward * values
    work.kernels_f += op.repeats * launches
    work.kernels_b += op.repeats * launches_back
    if op.kind is OperatorKind.SCAN:
        seconds = op.forward_flops / op.repeats / cut.tp / cut.cp / (0.1 * chip.dense_flops_per_s)
        work.matrix_f += op.repeats * seconds
        work.matrix_b += op.repeats * seconds * 2.0
