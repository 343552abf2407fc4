"""The document of `flopwise bench compare` with one record: beside the spec sheet and beside published kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...estimators.facts.bench_records import Record
from ...estimators.quantity import Quantity
from ...estimators.units import show_percent
from .document import Assumption, Cell, Column, Document, Table, Value

if TYPE_CHECKING:
    from ...benchmarks.harness.against_published import AgainstPublished, PublishedComparison
    from ...benchmarks.harness.compare import AgainstSheet
    from ...estimators.facts.catalog import Catalog


def sheet_document(
    record: Record,
    found: Sequence[AgainstSheet],
    published: PublishedComparison,
    facts: Catalog,
    *,
    show_all: bool,
) -> Document:
    """Return a record beside the spec sheet and published measurements; every product with `show_all`."""
    columns = (
        Column("what", "what"),
        Column("measured", "measured", right=True),
        Column("sheet", "spec sheet", right=True),
        Column("share", "share", right=True),
        Column("published_share", "others' share", right=True),
        Column("published_on", "measured on", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            each.what,
            Value(each.measured, each.unit),
            Value(each.sheet, each.unit) if each.sheet else None,
            Value(each.share, "fraction") if each.share else None,
            Value(each.published_share, "fraction") if each.published_share else None,
            each.published_on,
        )
        for each in found
    ]
    known = record.device.catalog_id if record.device.catalog_id in facts.accelerators else ""
    headline = f"{record.device.name} as measured"
    if known:
        shares = [each for each in found if each.share]
        best = max(shares, key=lambda each: each.share or 0.0, default=None)
        headline += f", beside the sheet of {facts.accelerators[known].name}"
        if best:
            headline += f": up to {show_percent(best.share or 0.0)} of it in {best.what}"
    else:
        headline += "; the catalog has no sheet of it"
    return Document(
        verb="bench.compare",
        headline=headline + ".",
        inputs={"first": record.id, "second": None},
        result={
            "rates": [
                {
                    "what": each.what,
                    "measured": each.measured,
                    "unit": each.unit,
                    "sheet": each.sheet,
                    "share": each.share,
                    "published_share": each.published_share,
                    "published_on": each.published_on or None,
                }
                for each in found
            ],
            "published": [_published_row(each) for each in published.rows],
            "published_missing": list(published.missing),
        },
        sections=(
            *((Table("rates", columns, tuple(rows), caption="Beside the spec sheet"),) if rows else ()),
            *_published_tables(published, facts, show_all=show_all),
        ),
        warnings=_others(published, facts),
        assumptions=_assumptions(published),
        catalog=facts.stamp(),
        next_commands=() if known else ("flopwise catalog add my-device --from-bench latest",),
    )


def _published_tables(published: PublishedComparison, facts: Catalog, *, show_all: bool) -> tuple[Table, ...]:
    if not published.rows:
        return ()
    columns = (
        Column("what", "what"),
        Column("case", "case", wide_only=True),
        Column("measured", "measured", right=True),
        Column("published", "published", right=True),
        Column("change", "differs", right=True),
        Column("word", "is"),
        Column("shape", "published for"),
        Column("chip", "on", wide_only=True),
        Column("source", "by", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            each.what,
            each.case.id.partition("/")[2],
            _measured(each),
            _range(each),
            f"{each.ratio - 1:+.1%}",
            each.word,
            each.shape,
            facts.accelerators[each.accelerator].name,
            each.source,
        )
        for each in (published.rows if show_all else published.best)
    ]
    return (Table("published", columns, tuple(rows), caption="Beside published kernels of like size"),)


def _measured(each: AgainstPublished) -> Quantity:
    return Quantity(
        each.measured_low, each.measured, each.measured_high, each.unit, "95 %", "order statistics of the samples"
    )


def _range(each: AgainstPublished) -> Quantity:
    basis = f"{each.rows} engines" if each.rows > 1 else "one timing, same shape on twin chips: 90th percentile"
    return Quantity(each.published_low, each.published, each.published_high, each.unit, "published", basis)


def _published_row(each: AgainstPublished) -> dict[str, object]:
    return {
        "what": each.what,
        "case": each.case.id,
        "measured": _measured(each),
        "published": _range(each),
        "ratio": each.ratio,
        "verdict": each.word,
        "shape": each.shape,
        "accelerator": each.accelerator,
        "is_same_chip": each.is_same_chip,
        "source": each.source,
        "rows": each.rows,
    }


def _assumptions(published: PublishedComparison) -> tuple[Assumption, ...]:
    """Say how far a published timing is taken to hold."""
    if not published.rows:
        return ()
    from ...benchmarks.harness.against_published import TOLERANCE

    text = (
        f"a single published timing holds within {TOLERANCE:.0%}: H100 and H200 SXM, one die, differ by 8 to 11 % at the "
        "90th percentile of equal shapes; medians range over the engines that were published"
    )
    return (Assumption(text, ""),)


def _others(published: PublishedComparison, facts: Catalog) -> tuple[str, ...]:
    """Say which chips stand in, and what nobody published."""
    stand_in: dict[str, list[str]] = {}
    for each in published.best:
        if not each.is_same_chip:
            stand_in.setdefault(facts.accelerators[each.accelerator].name, []).append(each.what)
    named = (f"Published for another chip, {chip}: {'; '.join(what)}." for chip, what in stand_in.items())
    return (*named, *(f"{line[0].upper()}{line[1:]}." for line in published.missing))
