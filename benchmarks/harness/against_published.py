"""A record beside published timings of the same kernel on the same chip, or on the nearest one, which is then named.

A product is put beside the published product of its format whose FLOPs are nearest (the nearest shape among equals) and
rates are compared, not times. Weights that stream, attention and memory copies are put beside medians over many shapes:
the lowest and the highest of the engines that were published. A single published timing carries no interval; it is taken
to hold within `TOLERANCE`. The two are called apart when the 95 % interval of the measurement and the published range
have no point in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import Case, Record
from ...estimators.facts.kernels import ATTENTION, PRODUCT, STREAM, WEIGHTS, PublishedKernel, load_kernels
from ...estimators.frozen import dataclass

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.facts.records import Accelerator

# The same 147 products (m of 1,024 and more) on H100 SXM and H200 SXM, one die at one power, differ by 2.4 % (bf16) and
# 3.5 % (fp8) in the median and by 11 % and 8 % at the 90th percentile: gemm.csv, one engine and version.
TOLERANCE = 0.10
FASTER, SLOWER, WITHIN = "faster", "slower", "within"
_FEW_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstPublished:
    """One measured rate beside a published one. `published_low` and `published_high` bound what was published."""

    what: str
    case: Case
    unit: str
    measured: float
    measured_low: float
    measured_high: float
    published: float
    published_low: float
    published_high: float
    accelerator: str  # of the published row
    is_same_chip: bool
    shape: str  # of the published row
    source: str
    rows: int

    @property
    def ratio(self) -> float:
        """Measured over published."""
        return self.measured / self.published

    @property
    def word(self) -> str:
        """Whether the two are apart, and which way."""
        if self.measured_low > self.published_high:
            return FASTER
        return SLOWER if self.measured_high < self.published_low else WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedComparison:
    """All comparisons of a record, of these the fastest of each kind and format, and what nothing is published of."""

    rows: tuple[AgainstPublished, ...]
    best: tuple[AgainstPublished, ...]
    missing: tuple[str, ...]


def against_published(record: Record, catalog: Catalog) -> PublishedComparison:
    """Return the measured kernels of a record beside published ones, and a line for what nobody published."""
    name = record.device.catalog_id
    chip = catalog.accelerators[name] if name and name in catalog.accelerators else None
    if chip is None:
        said = f"the catalog does not know {record.device.name}: no published kernels can be put beside it"
        return PublishedComparison(rows=(), best=(), missing=(said,))
    rows: list[AgainstPublished] = []
    best: list[AgainstPublished] = []
    missing: list[str] = []
    for what, cases, wanted, rate, unit in _subjects(record):
        found, on = _rows_for(chip, catalog, wanted)
        if not found:
            missing.append(what)
            continue
        own = [_beside(what, case, found, on, chip, rate(case), unit) for case in cases]
        rows += own
        best.append(max(own, key=lambda each: each.measured))
    lines = (
        (f"nothing published is shipped of {chip.name} or its relatives for: {'; '.join(missing)}",) if missing else ()
    )
    return PublishedComparison(rows=tuple(rows), best=tuple(best), missing=lines)


_Subject = tuple[str, list[Case], tuple[str, str], Callable[[Case], float], str]


def _subjects(record: Record) -> Iterable[_Subject]:
    """Yield what is compared: a name, the cases, the published kind and format, the work of a case and its unit."""
    products: dict[str, list[Case]] = {}
    weights: dict[str, list[Case]] = {}
    for case in record.of("matmul"):
        few = case.number("m") <= _FEW_ROWS
        if not few or case.bytes:
            (weights if few else products).setdefault(case.text("format"), []).append(case)
    for format, cases in products.items():
        yield f"products, {format}", cases, (PRODUCT, format), _flops, "flops_per_s"
    for format, cases in weights.items():
        largest = max(cases, key=lambda case: case.bytes)  # smaller weights may come from the cache
        yield f"weights, {format}", [largest], (WEIGHTS, format), _bytes, "bytes_per_s"
    attention: dict[str, list[Case]] = {}
    for case in record.of("attention", direction="forward", mask="causal"):
        attention.setdefault(case.text("format"), []).append(case)
    for format, cases in attention.items():
        longest = max(cases, key=lambda case: case.number("tokens"))
        yield f"attention, {format}", [longest], (ATTENTION, format), _flops, "flops_per_s"
    copies = [case for case in record.of("bandwidth", kernel="copy") if case.text("cache") == "cold"]
    if copies:
        yield "memory copy", [max(copies, key=lambda case: case.bytes)], (STREAM, ""), _bytes, "bytes_per_s"


def _flops(case: Case) -> float:
    return case.flops


def _bytes(case: Case) -> float:
    return case.bytes


def _rows_for(
    chip: Accelerator, catalog: Catalog, wanted: tuple[str, str]
) -> tuple[tuple[PublishedKernel, ...], Accelerator]:
    """Return the published rows of the chip, else of the nearest chip of its architecture, and that chip."""
    from ...estimators.stepmodel.chip import family_of

    kernels = [row for row in load_kernels() if (row.kind, row.format) == wanted]
    names = dict.fromkeys(row.accelerator for row in kernels)
    chips = [catalog.accelerators[name] for name in names if name in catalog.accelerators]
    family = family_of(chip.architecture)
    near = [each for each in chips if each.id == chip.id] or [
        each for each in chips if each.architecture == chip.architecture or family == family_of(each.architecture)
    ]
    if not near:
        return (), chip
    on = min(near, key=lambda each: _distance(chip, each))
    return tuple(row for row in kernels if row.accelerator == on.id), on


def _distance(first: Accelerator, second: Accelerator) -> float:
    """Return how far two chips are apart in the logarithms of peak and memory rate."""
    pairs = (
        (first.peak_flops_per_s.get("bf16"), second.peak_flops_per_s.get("bf16")),
        (first.memory_bandwidth_bytes_per_s, second.memory_bandwidth_bytes_per_s),
    )
    return sum(abs(math.log(a / b)) for a, b in pairs if a and b)


def _beside(
    what: str,
    case: Case,
    found: tuple[PublishedKernel, ...],
    on: Accelerator,
    chip: Accelerator,
    work: float,
    unit: str,
) -> AgainstPublished:
    near = found
    shape = "median, large shapes" if found[0].kind != STREAM else "one size"
    if found[0].m:
        sides = [max(1.0, case.number(side)) for side in ("m", "n", "k")]

        def distance(row: PublishedKernel) -> tuple[float, float]:
            off = sum(abs(math.log(a / b)) for a, b in zip(sides, (row.m, row.n, row.k), strict=True))
            return round(abs(math.log(row.flops / case.flops)), 6), off

        nearest = min(found, key=distance)
        near = tuple(row for row in found if (row.m, row.n, row.k) == (nearest.m, nearest.n, nearest.k))
        shape = f"{nearest.m}x{nearest.k}x{nearest.n}"  # as the cases are named: m x k times k x n
    values = sorted(row.value for row in near)
    middle = values[len(values) // 2] if len(values) % 2 else sum(values[len(values) // 2 - 1 :][:2]) / 2
    alone = len(values) == 1
    return AgainstPublished(
        what=what,
        case=case,
        unit=unit,
        measured=work / case.median_s,
        measured_low=work / case.high_s,
        measured_high=work / case.low_s,
        published=middle,
        published_low=values[0] * (1 - TOLERANCE) if alone else values[0],
        published_high=values[-1] * (1 + TOLERANCE) if alone else values[-1],
        accelerator=on.id,
        is_same_chip=on.id == chip.id,
        shape=shape,
        source=near[0].source + ": " + ", ".join(dict.fromkeys(row.note for row in near)),
        rows=len(near),
    )
