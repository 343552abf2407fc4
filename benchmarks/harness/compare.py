"""Comparison of records: run against run with significance, and one run against the spec sheet and published rates.

Two medians differ when their 95 % intervals have no point in common; this is stricter than a test at 5 %, on purpose:
runs on one machine share neither heat nor neighbours. A change below 2 % is never called one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import Case, Record
from ...estimators.frozen import dataclass

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog

SAME, FASTER, SLOWER = "same", "faster", "slower"
_LEAST = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One case in two runs; `ratio` is the second's time over the first's."""

    id: str
    suite: str
    first: Case
    second: Case
    ratio: float
    word: str  # same, faster, slower
    is_noisy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstSheet:
    """One rate: measured, of the spec sheet, and the share of the sheet that published measurements reach."""

    what: str
    measured: float
    unit: str
    sheet: float | None
    published_share: float | None
    published_on: str
    case: Case

    @property
    def share(self) -> float | None:
        """Measured over the sheet."""
        return self.measured / self.sheet if self.sheet else None


def changes(first: Record, second: Record) -> tuple[Change, ...]:
    """Return the cases that both runs measured, in the order of the second."""
    earlier = {case.id: case for case in first.cases if case.is_measured}
    found = []
    for case in second.cases:
        other = earlier.get(case.id)
        if other is None or not case.is_measured or case.text("fit"):
            continue
        ratio = case.median_s / other.median_s
        apart = case.low_s > other.high_s or case.high_s < other.low_s
        word = SAME if not apart or abs(ratio - 1) < _LEAST else FASTER if ratio < 1 else SLOWER
        found.append(
            Change(
                id=case.id,
                suite=case.suite,
                first=other,
                second=case,
                ratio=ratio,
                word=word,
                is_noisy=bool(case.verdict or other.verdict),
            )
        )
    return tuple(found)


def against_sheet(record: Record, catalog: Catalog) -> tuple[AgainstSheet, ...]:
    """Return the best rates of a record beside those of the catalog's chip and of published measurements.

    A device that the catalog does not know has no sheet; its rates stand alone.
    """
    from ...estimators.facts.surfaces import load_surfaces
    from ...estimators.stepmodel.chip import family_of

    chip = catalog.accelerators.get(record.device.catalog_id) if record.device.catalog_id else None
    surfaces = load_surfaces()
    family = family_of(chip.architecture) if chip else ""
    found = []
    for format, case in record.best_flops.items():
        surface = surfaces.matrices.get((family, format))
        is_published = surface is not None and surface.is_measured
        found.append(
            AgainstSheet(
                what=f"matrix products, {format}",
                measured=case.flops_per_s,
                unit="flops_per_s",
                sheet=chip.peak_flops_per_s.get(format) if chip else None,
                published_share=surface.peak_fraction if surface and is_published else None,
                published_on=surface.measured_on if surface and is_published else "",
                case=case,
            )
        )
    stream = record.best_bandwidth
    if stream is not None:
        rates = surfaces.rates.get(family)
        found.append(
            AgainstSheet(
                what="memory bandwidth",
                measured=stream.bytes_per_s,
                unit="bytes_per_s",
                sheet=chip.memory_bandwidth_bytes_per_s if chip else None,
                published_share=rates.memory_fraction if rates else None,
                published_on=rates.basis if rates else "",
                case=stream,
            )
        )
    return tuple(found)
