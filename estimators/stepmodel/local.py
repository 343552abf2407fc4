"""Time and memory of plain eager PyTorch on one device that was measured: the prediction that `bench verify` tests.

The operator list is the planner's; the rates are those of a calibration and nothing else. A step is

    t = f (products + attention + norms, activations, sums + loss + embedding + optimizer) + g P + (layers + 1) h

with h the host's time per layer, from a step of a tiny model; f what whole steps take over the sum of their kernels
(copies between layouts, the framework) and g the seconds per parameter for gradients in fresh memory, both from the small
training steps in the record. On an accelerator the host works beside the device and only the larger of both counts.
Decoding streams every weight once.

Memory is that of the allocator: weights, gradients, two moments of AdamW, and what backward keeps, at the instant of the
step that needs most.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ..errors import InputError
from ..facts.calibration import (
    BACKWARD,
    FEW_ROWS,
    FORWARD,
    STEP,
    Calibration,
    MeasuredStep,
    ProductLine,
    non_negative,
)
from ..facts.calibration_rules import rule
from ..frozen import dataclass, replace
from ..models.expansion import expand, expand_decode
from ..models.operators import Operator, OperatorKind
from ..models.parameters import count_parameters
from ..models.shape import AttentionShape, FeedForwardShape, LayerShape, ModelShape, StackShape

_TINY = 64  # a measured model up to this width shows the host, not the device
_PER_PARAM_S = 1e-9  # scale of g, so that both unknowns are of like size
_MOST_HOST = 4.0  # times the host of a tiny model that a decode step can take
_OVERLAP = 4  # power of the smooth maximum of host and device
_BAND = 1.28  # standard deviations on either side of 80 %


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTime:
    """Seconds of one step with an 80 % range, and what they are made of."""

    seconds: float
    low: float
    high: float
    parts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMemory:
    """Bytes at the fullest instant of a training step, and what they are made of."""

    peak: float
    instant: str
    parts: tuple[tuple[str, float], ...]


def train_seconds(
    shape: ModelShape, calibration: Calibration, *, sequence_tokens: int, sequences: int = 1, format: str = "fp32"
) -> LocalTime:
    """Return the seconds of one eager training step with AdamW.

    Raises:
        InputError: the calibration lacks a part that is needed.
    """
    parts = _train_parts(shape, calibration, sequence_tokens, sequences, format)
    tie = _tied(calibration, is_decode=False)
    fresh = tie.second * float(count_parameters(shape).total)
    return _joined(parts, calibration, tie, fresh, "fresh gradients", (shape.layers + 1) * tie.host(_kind(shape)))


def decode_seconds(
    shape: ModelShape, calibration: Calibration, *, context_tokens: int, sequences: int = 1, format: str = "fp32"
) -> LocalTime:
    """Return the seconds of one eager decode step.

    Raises:
        InputError: the calibration lacks a part that is needed.
    """
    parts = _decode_parts(shape, calibration, context_tokens, sequences, format)
    tie = _tied(calibration, is_decode=True)
    host = tie.second * (shape.layers + 1) * tie.host(_kind(shape))
    return _joined(parts, calibration, tie, 0.0, "", host)


def _joined(
    parts: dict[str, float], calibration: Calibration, tie: _Tie, more: float, name: str, host: float
) -> LocalTime:
    shown = {part: value * tie.factor for part, value in parts.items()}
    if more:
        shown[name] = more
    device = math.fsum(shown.values())
    seconds = _together(device, host, calibration)
    shown["host and launches"] = seconds - device
    ratio = math.exp(_BAND * max(tie.spread, rule("least_step_spread")))
    return LocalTime(seconds=seconds, low=seconds / ratio, high=seconds * ratio, parts=tuple(shown.items()))


def _together(device: float, host: float, calibration: Calibration) -> float:
    if calibration.kind == "cpu":
        return device + host  # one and the same processor
    return float((device**_OVERLAP + host**_OVERLAP) ** (1 / _OVERLAP))


def _kind(shape: ModelShape) -> str:
    """Return which of the two measured architectures a shape is like: the one with rotary positions is a Llama."""
    return "llama" if shape.position == "rope" else "gpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """What whole steps of the record say: host seconds per layer by architecture, the factor on kernels, and `second`.

    `second` is seconds per parameter in training (memory that is mapped anew for gradients in every step) and a factor on
    the host's time in decoding (its caches are swept by the weights).
    """

    hosts: tuple[tuple[str, float], ...]
    factor: float
    second: float
    spread: float

    def host(self, kind: str) -> float:
        """Return the host's seconds per layer."""
        known = dict(self.hosts)
        return known.get(kind, sum(known.values()) / len(known))


@lru_cache(maxsize=16)
def _tied(calibration: Calibration, *, is_decode: bool) -> _Tie:
    """Return what the steps of a record say, by least relative squares of two non-negative unknowns."""
    steps = [step for step in calibration.steps if step.is_decode is is_decode]
    tiny = [step for step in steps if step.hidden <= _TINY]
    others = [step for step in steps if step.hidden > _TINY]
    if not tiny or not others:
        what = "decode" if is_decode else "training"
        raise InputError(
            f"the measurement {calibration.record} has no {what} steps; measure with `flopwise bench run` without --only."
        )
    on_cpu = calibration.kind == "cpu"
    hosts = {
        step.kind: max(0.0, step.seconds - on_cpu * _kernels(step, calibration)) / (step.layers + 1) for step in tiny
    }
    tie = _Tie(hosts=tuple(hosts.items()), factor=1.0, second=1.0, spread=0.0)
    rows, left = [], []
    for step in others:
        host = (step.layers + 1) * tie.host(step.kind) if on_cpu else 0.0
        kernels = _kernels(step, calibration)
        if is_decode:
            rows.append([kernels / step.seconds, host / step.seconds])
            left.append(1.0)
        else:
            params = float(count_parameters(_shape(step)).total)
            rows.append([kernels / step.seconds, _PER_PARAM_S * params / step.seconds])
            left.append(max(0.2, 1.0 - host / step.seconds))
    if len(others) < 3:  # too few for two unknowns
        rows = [[row[0], 0.0] for row in rows]
        if is_decode:
            left = [1.0 - (step.layers + 1) * tie.host(step.kind) * on_cpu / step.seconds for step in others]
    factor, second = non_negative(rows, left)
    factor = factor or 1.0
    if is_decode:
        second = min(max(second, 1.0), _MOST_HOST)
    logs = [
        math.log(max(0.1, factor * row[0] + second * row[1] + (1.0 - t))) for row, t in zip(rows, left, strict=True)
    ]
    spread = math.sqrt(sum(each**2 for each in logs) / max(1, len(logs) - 1))
    return replace(tie, factor=factor, second=second if is_decode else second * _PER_PARAM_S, spread=spread)


def _kernels(step: MeasuredStep, calibration: Calibration) -> float:
    make = _decode_parts if step.is_decode else _train_parts
    return math.fsum(make(_shape(step), calibration, step.tokens, 1, step.format).values())


def _shape(step: MeasuredStep) -> ModelShape:
    """Return the shape of a model that the harness builds (benchmarks/harness/models.py)."""
    is_gpt = step.kind == "gpt"
    dim = step.hidden // step.heads
    attention = AttentionShape(
        heads=step.heads,
        kv_heads=step.kv_heads,
        head_dim=dim,
        value_dim=dim,
        qkv_bias=is_gpt,
        out_bias=is_gpt,
    )
    layer = LayerShape(
        attention=attention,
        feed_forward=FeedForwardShape(width=step.width, gated=not is_gpt, bias=is_gpt),
        norm_params=2 if is_gpt else 1,
    )
    stack = StackShape(name="decoder", hidden=step.hidden, runs=((step.layers, layer),), final_norm_params=1 + is_gpt)
    return ModelShape(
        name=step.kind,
        family=step.kind,
        kind="decoder",
        stacks=(stack,),
        vocab=step.vocab,
        tied_embeddings=is_gpt,
        position="learned" if is_gpt else "rope",
    )


def _train_parts(
    shape: ModelShape, calibration: Calibration, sequence_tokens: int, sequences: int, format: str
) -> dict[str, float]:
    line = calibration.product(format, "fp32", "bf16")
    assert line is not None  # a calibration has at least one format
    parts = dict.fromkeys(("products", "attention", "between products", "loss and embedding", "optimizer"), 0.0)
    for op in expand(shape, sequence_tokens=sequence_tokens, sequences=sequences):
        m, n, k = op.rows, op.columns, op.inner
        if op.kind is OperatorKind.MATMUL:
            each = _product(calibration, line, m, n, k) + _product(calibration, line, m, k, n)
            parts["products"] += op.repeats * op.batch * (each + _product(calibration, line, n, k, m))
        elif op.kind is OperatorKind.ATTENTION:
            units = op.pairs * op.heads * op.head_dim
            each = sum(_attention(calibration, direction, op.keys) for direction in (FORWARD, BACKWARD))
            parts["attention"] += op.repeats * units * each
            if op.kv_heads != op.heads:  # keys and values are copied out to all heads, and their gradients summed
                copied = 2.0 * op.rows * op.heads * op.head_dim
                parts["between products"] += op.repeats * 2.0 * copied * _value(calibration, "add", FORWARD, copied)
        elif op.kind in (OperatorKind.NORM, OperatorKind.ELEMENTWISE):
            values = m * n
            for direction in (FORWARD, BACKWARD):
                kind = _between(op, shape)
                if kind != "add" or direction == FORWARD:  # the gradient of a sum is the same tensor
                    each = _value(calibration, kind, direction, values)
                    parts["between products"] += op.repeats * values * each
                elif kind == "add":  # two paths meet: their gradients are added
                    parts["between products"] += op.repeats * values * _value(calibration, "add", FORWARD, values)
        elif op.kind is OperatorKind.LOSS:
            values = m * n
            each = sum(_value(calibration, "cross_entropy", d, values) for d in (FORWARD, BACKWARD))
            parts["loss and embedding"] += values * each
        elif op.kind is OperatorKind.EMBEDDING:
            table = float(shape.vocab * n)
            parts["loss and embedding"] += m * n * _value(calibration, "embedding", FORWARD, m * n)
            parts["loss and embedding"] += (table + m * n) * _value(calibration, "embedding", BACKWARD, table + m * n)
            if shape.tied_embeddings:  # the head's gradient is added to the table's
                parts["loss and embedding"] += table * _value(calibration, "add", FORWARD, table)
    total = float(count_parameters(shape).total)
    parts["optimizer"] = total * _value(calibration, "adamw", STEP, total)
    return parts


def _decode_parts(
    shape: ModelShape, calibration: Calibration, context_tokens: int, sequences: int, format: str
) -> dict[str, float]:
    line = calibration.product(format, "fp32", "bf16")
    assert line is not None
    width = 4.0 if line.format == "fp32" else 2.0
    parts = dict.fromkeys(("weights", "cache"), 0.0)
    for op in expand_decode(shape, context_tokens=context_tokens, sequences=sequences):
        if op.kind is OperatorKind.MATMUL:
            # What one product costs besides its bytes is in the host's time per layer.
            stream = op.columns * op.inner * width / calibration.stream_bytes_per_s
            each = stream if op.rows <= 1 else max(stream, line.seconds(op.rows, op.columns, op.inner))
            parts["weights"] += op.repeats * op.batch * each
        elif op.kind is OperatorKind.ATTENTION:
            parts["cache"] += op.repeats * op.cache_values * width / calibration.stream_bytes_per_s
            if op.kv_heads != op.heads and op.kv_heads:  # grouped keys and values are copied out to all heads first
                copied = op.cache_values * op.heads / op.kv_heads
                parts["cache"] += op.repeats * copied * _value(calibration, "add", FORWARD, copied)
    return parts


def _product(calibration: Calibration, line: ProductLine, m: float, n: float, k: float) -> float:
    """Return the seconds of m x k times k x n; few rows stream the weight instead."""
    if m > FEW_ROWS:
        return line.seconds(m, n, k)
    width = 4.0 if line.format in ("fp32", "tf32") else 2.0
    stream = calibration.stream_fixed_s + n * k * width / calibration.stream_bytes_per_s
    return stream if m <= 1 else max(stream, line.seconds(m, n, k))


def _between(op: Operator, shape: ModelShape) -> str:
    """Return the kind of work, as the harness names it."""
    if op.kind is OperatorKind.NORM:
        return "layer_norm" if _is_layer_norm(shape) else "rms_norm"
    if op.name.endswith("activation"):
        gated = any(x.feed_forward and x.feed_forward.gated for stack in shape.stacks for _, x in stack.runs)
        return "silu_gate" if gated else "gelu"
    return "rotary" if op.name.endswith("rotary") else "add"


def _is_layer_norm(shape: ModelShape) -> bool:
    return any(layer.norm_params == 2 for stack in shape.stacks for _, layer in stack.runs)


def _value(calibration: Calibration, kind: str, direction: str, values: float) -> float:
    curve = calibration.curve(kind, direction)
    if curve is None:
        raise InputError(
            f"the measurement {calibration.record} has no {kind} {direction}; measure with `flopwise bench run` without "
            "--only."
        )
    return curve.at(max(values, 1.0))


def _attention(calibration: Calibration, direction: str, tokens: float) -> float:
    curve = calibration.attention_curve(direction)
    if curve is None:
        raise InputError(
            f"the measurement {calibration.record} has no attention {direction}; measure with `flopwise bench run` "
            "without --only."
        )
    return curve.at(max(tokens, 1.0))


def train_memory(
    shape: ModelShape, *, sequence_tokens: int, sequences: int = 1, bytes_per_value: float = 4.0
) -> LocalMemory:
    """Return the allocator's peak of an eager training step with AdamW, weights and states in one format.

    Instants: the loss begins its backward pass (all activations, three copies of the logits); the head's weight gets its
    gradient; backward ends (all gradients); the optimizer works on the largest tensor (two temporary copies of it).
    """
    operators = expand(shape, sequence_tokens=sequence_tokens, sequences=sequences)
    w = bytes_per_value
    params = float(count_parameters(shape).total)
    kept = math.fsum(op.repeats * _kept(op, w) for op in operators if op.kind is not OperatorKind.LOSS)
    logits = math.fsum(4.0 * op.rows * op.columns for op in operators if op.kind is OperatorKind.LOSS)
    head = float(shape.vocab * shape.hidden)
    first = max((op for op in operators if op.run >= 0), key=lambda op: op.repeats, default=None)
    layers = max(1, first.repeats if first else 1)
    largest = max(float(op.weight_params) for op in operators)
    base = 3.0 * params * w
    instants = {
        "loss, backward": (("activations", kept), ("logits", 3.0 * logits)),
        "gradient of the head": (
            ("activations", kept),
            ("logits", logits * (2.0 if w < 4 else 1.0)),
            ("gradients", head * w),
        ),
        "end of backward": (
            ("activations", kept / layers * 0.5),
            ("gradients", params * w + (head * w if shape.tied_embeddings else 0.0)),
        ),
        "optimizer": (("gradients", params * w), ("temporary copies", 2.0 * largest * w)),
    }
    name = max(instants, key=lambda key: sum(size for _, size in instants[key]))
    parts = (("weights and moments", base), *instants[name])
    return LocalMemory(peak=math.fsum(size for _, size in parts), instant=name, parts=parts)


def _kept(op: Operator, width: float) -> float:
    """Return the bytes that one repeat keeps for backward in eager PyTorch."""
    if op.kind is OperatorKind.NORM:
        return op.saved_values * width  # the fused kernels keep their input and one or two numbers a row
    if op.kind is OperatorKind.ATTENTION and op.kv_heads != op.heads:
        return op.rows * op.heads * (2 * op.head_dim + op.value_dim) * width + op.saved_bytes_extra
    return op.saved_bytes(width, fused=False)
