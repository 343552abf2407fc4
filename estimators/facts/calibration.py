"""From a record of local measurements to the rates that estimates use instead of the fitted ones.

Products of one format are described by a line in the work and in the traffic of each operand,

    t = t0 + 2 m n k / F + a m k + b k n + c m n

(packing or loading each operand costs its share once; Goto and van de Geijn 2008, section 4), fitted with non-negative
coefficients and least relative squares. Products with few rows, which stream the weight, are a line in its bytes.
Everything between products is seconds per value, interpolated between the sizes that were measured, and attention is
seconds per pair, head and dimension. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import InputError
from ..frozen import dataclass
from .bench_records import Record, find_record, read_record
from .calibration_rules import rule
from .measured_links import measured_collectives
from .records import MeasuredRates

if TYPE_CHECKING:
    from .catalog import Catalog

FEW_ROWS = 16  # products with at most so many rows stream the weight
_LEAST_POINTS = 4
_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0}
BACKWARD, FORWARD, STEP = "backward", "forward", "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductLine:
    """The coefficients of t = t0 + 2 m n k / F + a m k + b k n + c m n, in seconds, with the error of the fit."""

    format: str
    fixed_s: float
    flops_per_s: float
    first_s: float  # per number of the first operand
    second_s: float
    out_s: float
    points: int
    median_error: float
    best_flops_per_s: float  # the fastest product that was measured

    def seconds(self, m: float, n: float, k: float) -> float:
        """Return the seconds of m x k times k x n."""
        work = 2.0 * m * n * k / self.flops_per_s
        return self.fixed_s + work + self.first_s * m * k + self.second_s * k * n + self.out_s * m * n


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Seconds per unit of work at some sizes; between them it is linear in the logarithm of the size."""

    points: tuple[tuple[float, float], ...]  # (size, seconds per unit), by size

    def at(self, size: float) -> float:
        """Return the seconds per unit at a size; beyond the ends as at the ends."""
        points = self.points
        if size <= points[0][0]:
            return points[0][1]
        for (x0, y0), (x1, y1) in pairwise(points):
            if size <= x1:
                share = math.log(size / x0) / math.log(x1 / x0)
                return float(y0 * (y1 / y0) ** share)
        return points[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """A training or decode step that was measured, with the dimensions of its model; calibration ties factors to it."""

    kind: str  # gpt or llama
    is_decode: bool
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    width: int
    vocab: int
    tokens: int
    seconds: float
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What one device was measured to do. Empty parts were not measured."""

    record: str  # id of the record
    device: str
    catalog_id: str
    kind: str  # cpu, cuda, ...
    products: tuple[ProductLine, ...]
    stream_bytes_per_s: float  # products with few rows, weight bytes per second beyond the cache
    stream_fixed_s: float
    memory_bytes_per_s: float  # the best stream beyond the cache
    pointwise: tuple[tuple[str, str, Curve], ...]  # kind, direction, seconds per value
    attention: tuple[tuple[str, Curve], ...]  # direction; seconds per pair x head x dimension, by tokens
    steps: tuple[MeasuredStep, ...]
    launch_s: float
    collectives: tuple[tuple[str, int, float, float], ...]  # kind, ranks, latency, bytes per second
    noisy_share: float  # of the measurements
    is_shared: bool  # other processes took time from the run

    def product(self, *formats: str) -> ProductLine | None:
        """Return the line of the first format that was measured."""
        by_format = {line.format: line for line in self.products}
        return next((by_format[name] for name in formats if name in by_format), None)

    def curve(self, kind: str, direction: str) -> Curve | None:
        """Return the seconds per value of a kind of work between products."""
        return next((curve for k, d, curve in self.pointwise if (k, d) == (kind, direction)), None)

    def attention_curve(self, direction: str) -> Curve | None:
        """Return the seconds per pair, head and dimension of attention."""
        return next((curve for d, curve in self.attention if d == direction), None)


@lru_cache(maxsize=8)
def load_calibration(typed: str) -> Calibration:
    """Return the calibration that a record gives; `typed` is "latest", a file or the id of a record.

    Raises:
        InputError: there is no such record, or it measured no products.
        FactsError: the record is damaged or has another version.
    """
    return calibration_from(read_record(find_record(typed)))


def calibration_from(record: Record) -> Calibration:
    """Return the calibration that a record gives.

    Raises:
        InputError: it has too few products for any format, or no memory stream.
    """
    lines = [line for line in (_line(record, name) for name in _BYTES) if line is not None]
    bandwidth = record.best_bandwidth
    if not lines:
        raise InputError(
            f"the measurement {record.id} has fewer than {_LEAST_POINTS} matrix products of any format; calibrate with "
            "one of `flopwise bench run` without --only."
        )
    if bandwidth is None:
        raise InputError(
            f"the measurement {record.id} has no memory bandwidth; run `flopwise bench run` without --only."
        )
    stream_s, stream_fixed = _stream(record, lines[0].format)
    measured = [case for case in record.cases if case.is_measured]
    return Calibration(
        record=record.id,
        device=record.device.name,
        catalog_id=record.device.catalog_id,
        kind=record.device.kind,
        products=tuple(lines),
        stream_bytes_per_s=1.0 / stream_s if stream_s else bandwidth.bytes_per_s,
        stream_fixed_s=stream_fixed,
        memory_bytes_per_s=bandwidth.bytes_per_s,
        pointwise=tuple(_pointwise(record)),
        attention=tuple(_attention(record)),
        steps=tuple(_steps(record)),
        launch_s=_launch(record),
        collectives=tuple(_collectives(record)),
        noisy_share=sum(bool(case.verdict) for case in measured) / len(measured) if measured else 1.0,
        is_shared=any(case.is_corrected for case in measured),
    )


def non_negative(rows: Sequence[Sequence[float]], target: Sequence[float], rounds: int = 4000) -> list[float]:
    """Return x >= 0 that makes |rows x - target| least, by coordinate descent on the normal equations.

    The columns should be of like size. A handful of unknowns: numpy would cost more to import than this to run.
    """
    n = len(rows[0])
    gram = [[sum(row[i] * row[j] for row in rows) for j in range(n)] for i in range(n)]
    right = [sum(row[i] * t for row, t in zip(rows, target, strict=True)) for i in range(n)]
    x = [0.0] * n
    for _ in range(rounds):
        moved = 0.0
        for i in range(n):
            if gram[i][i] <= 0:
                continue
            new = max(0.0, x[i] + (right[i] - sum(gram[i][j] * x[j] for j in range(n))) / gram[i][i])
            moved = max(moved, abs(new - x[i]))
            x[i] = new
        if moved < 1e-12:
            break
    return x


def _line(record: Record, format: str) -> ProductLine | None:
    cases = [case for case in record.of("matmul", format=format) if case.number("m") > FEW_ROWS]
    if len(cases) < _LEAST_POINTS:
        return None
    terms: list[Callable[[float, float, float], float]] = [
        lambda m, n, k: 1.0,
        lambda m, n, k: 2.0 * m * n * k,
        lambda m, n, k: m * k,
        lambda m, n, k: k * n,
        lambda m, n, k: m * n,
    ]
    sides = [(case.number("m"), case.number("n"), case.number("k")) for case in cases]
    raw = [[term(*each) / case.median_s for term in terms] for each, case in zip(sides, cases, strict=True)]
    # Columns scaled to a mean of one; the slightest pull to zero makes the answer unique with few points.
    scale = [sum(row[i] for row in raw) / len(raw) for i in range(len(terms))]
    rows = [[value / scale[i] for i, value in enumerate(row)] for row in raw]
    x = [value / scale[i] for i, value in enumerate(non_negative(rows, [1.0] * len(rows)))]
    best = max(case.flops_per_s for case in cases)
    rate = 1.0 / x[1] if x[1] > 0 else best
    errors = sorted(abs(sum(xi * ri for xi, ri in zip(x, row, strict=True)) - 1.0) for row in raw)
    return ProductLine(
        format=format,
        fixed_s=x[0],
        flops_per_s=rate,
        first_s=x[2],
        second_s=x[3],
        out_s=x[4],
        points=len(cases),
        median_error=errors[len(errors) // 2],
        best_flops_per_s=best,
    )


def _stream(record: Record, format: str) -> tuple[float, float]:
    """Return seconds per byte of the weight and the fixed seconds of products with one row; zeros where unknown."""
    width = _BYTES[format]
    cases = [case for case in record.of("matmul", format=format) if case.number("m") == 1]
    if not cases:
        return 0.0, 0.0
    if len(cases) == 1:
        return cases[0].median_s / (cases[0].number("n") * cases[0].number("k") * width), 0.0
    rows = [[case.number("n") * case.number("k") * width / case.median_s, 1.0 / case.median_s] for case in cases]
    scale = [sum(row[i] for row in rows) / len(rows) for i in range(2)]
    x = non_negative([[v / scale[i] for i, v in enumerate(row)] for row in rows], [1.0] * len(rows))
    return x[0] / scale[0], x[1] / scale[1]


def _pointwise(record: Record) -> Iterable[tuple[str, str, Curve]]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for case in record.of("pointwise"):
        values = case.number("values")
        if values > 0:
            found.setdefault((case.text("kind"), case.text("direction")), []).append((values, case.median_s / values))
    for (kind, direction), points in found.items():
        yield kind, direction, _curve(points)


def _attention(record: Record) -> Iterable[tuple[str, Curve]]:
    for direction in (FORWARD, BACKWARD):
        points = []
        for case in record.of("attention", direction=direction, mask="causal"):
            tokens = case.number("tokens")
            units = case.number("batch") * case.number("heads") * case.number("head_dim") * tokens * (tokens + 1) / 2
            points.append((tokens, case.median_s / units))
        if points:
            yield direction, _curve(points)


def _curve(points: Iterable[tuple[float, float]]) -> Curve:
    """Return a curve; several points at one size become their geometric mean."""
    by_size: dict[float, list[float]] = {}
    for size, value in points:
        by_size.setdefault(size, []).append(math.log(value))
    return Curve(points=tuple((size, math.exp(sum(v) / len(v))) for size, v in sorted(by_size.items())))


def _steps(record: Record) -> Iterable[MeasuredStep]:
    for suite in ("training step", "decode step"):
        for case in record.of(suite):
            whole = {
                name: int(case.number(name))
                for name in ("layers", "hidden", "heads", "kv_heads", "width", "vocab", "tokens")
            }
            yield MeasuredStep(
                kind=case.text("kind"),
                is_decode=suite == "decode step",
                seconds=case.median_s,
                format=case.text("format"),
                **whole,
            )


def _launch(record: Record) -> float:
    rows = [(case.number("row"), case.median_s) for case in record.of("launch")]
    return min((seconds / row for row, seconds in rows if row), default=0.0)


def _collectives(record: Record) -> Iterable[tuple[str, int, float, float]]:
    for case in record.of("collectives", fit="line"):
        yield (
            case.text("kind"),
            int(case.number("ranks")),
            case.number("latency_s"),
            case.number("bandwidth_bytes_per_s"),
        )


def measured_rates(record: Record, per_node: int | None = None) -> MeasuredRates:
    """Return what a record says about a chip of the catalog, for the planner's own surfaces.

    `per_node` is how many of these chips a node of the plan has.

    Raises:
        InputError: it has neither matrix products nor collectives that can be used.
    """
    products = tuple(
        (case.text("format"), case.number("m"), case.number("n"), case.number("k"), case.median_s)
        for case in record.of("matmul")
        if case.number("m") > FEW_ROWS
    )
    collectives, not_used = measured_collectives(record, per_node)
    if not products and not collectives:
        why = f" and no collectives that can be used ({'; '.join(not_used)})" if not_used else ""
        raise InputError(
            f"the measurement {record.id} has no matrix products{why}; run `flopwise bench run` without --only."
        )
    stream = record.best_bandwidth
    attention = [case.flops_per_s for case in record.of("attention", direction=FORWARD, mask="causal")]
    spreads, least = sorted(case.iqr for case in record.of("matmul")), rule("least_spread")
    return MeasuredRates(
        record=record.id,
        products=products,
        memory_bytes_per_s=stream.bytes_per_s if stream else 0.0,
        attention_flops_per_s=max(attention, default=0.0),
        spread=max(least, spreads[len(spreads) // 2]) if spreads else least,
        collectives=collectives,
        not_used=not_used,
    )


def calibrate_catalog(catalog: Catalog, typed: str) -> tuple[str, Record]:
    """Put the rates of a record on the catalog's chip that it measured; return the chip's id and the record.

    Raises:
        InputError: there is no such record, or the catalog does not know the chip.
        FactsError: the record is damaged or has another version.
    """
    record = read_record(find_record(typed))
    name = record.device.catalog_id
    if name not in catalog.accelerators:
        named = [each.id for each in catalog.accelerators.values() if each.name == record.device.name]
        if not named:
            raise InputError(
                f"the catalog does not know the measured {record.device.name}; add it with `flopwise catalog add "
                f"my-device --from-bench {typed}`."
            )
        name = named[-1]
    catalog.calibrate(name, measured_rates(record, catalog.accelerators[name].accelerators_per_node))
    return name, record
