"""The documents of one record of `flopwise bench`: its best rates, and every case as rows."""

from __future__ import annotations

from collections.abc import Sequence

from ...estimators.facts.bench_records import Case, Record
from ...estimators.quantity import Quantity
from ...estimators.units import show_duration, show_rate
from .document import Cell, Column, Document, Facts, Table, Value

BAND, BASIS = "95 %", "order statistics of the samples"


def record_document(record: Record, *, show_all: bool) -> Document:
    """Return one record: device, best rates, whole steps; all cases with `show_all`."""
    sections: list[Table | Facts] = [_device(record)]
    if _best_cases(record):
        sections.append(_best(record))
    steps = [case for suite in ("layer", "training step", "decode step") for case in record.of(suite)]
    steps = [case for case in steps if case.number("hidden") > 64]
    if steps:
        sections.append(_cases("steps", steps, "Pieces of models"))
    lines = record.of("collectives", fit="line")
    if lines:
        sections.append(_collectives(lines))
    if show_all:
        sections.append(_cases("cases", record.cases, "All cases"))
    elif left := [case for case in record.cases if case.status in ("wrong", "failed", "out of memory")]:
        sections.append(_cases("problems", left, "Not measured"))
    return Document(
        verb="bench.run",
        headline=_headline(record),
        inputs={"record": record.id, **record.settings},
        result={
            "record": _summary(record),
            "best": [_best_row(case) for case in _best_cases(record)],
            "checks": dict(record.checks),
            "collectives": [dict(case.what) for case in lines],
            "cases": [_case_row(case) for case in record.cases],
        },
        sections=tuple(sections),
        warnings=_warnings(record),
        next_commands=_next(record),
    )


def _next(record: Record) -> tuple[str, ...]:
    """Return what a record of this content can be used for."""
    if record.best_flops and record.best_bandwidth:
        return ("flopwise bench show --roofline", "flopwise bench compare latest", "flopwise bench verify")
    return ("flopwise bench compare latest",) if record.best_flops else ()


def _headline(record: Record) -> str:
    floats = [case for case in record.best_flops.values() if case.text("format") != "int8"]
    best = max(floats, key=lambda case: case.flops_per_s, default=None)
    parts = []
    if best is not None:
        parts.append(f"reaches {show_rate(best.flops_per_s, 'FLOP/s')} in {best.text('format')}")
    stream = record.best_bandwidth
    if stream is not None:
        parts.append(f"{'moves' if parts else 'reaches'} {show_rate(stream.bytes_per_s, 'B/s')} of memory")
    if not parts:
        return f"{len(record.cases)} cases were measured on {record.device.name}."
    end = "" if not record.stopped else f" The run is not complete: {record.stopped}."
    return f"{record.device.name} {' and '.join(parts)}.{end}"


def _warnings(record: Record) -> tuple[str, ...]:
    listed = list(record.warnings)
    ours, second = record.checks.get("ours_flops_per_s"), record.checks.get("torch_best_flops_per_s")
    if ours and second and ours < 0.95 * second:
        listed.append(
            f"torch.utils.benchmark timed the fastest product at {show_rate(second, 'FLOP/s')}, "
            f"{second / ours - 1:.0%} faster than we did: the machine was not steady."
        )
    return tuple(listed)


def _device(record: Record) -> Facts:
    device = record.device
    items: list[tuple[str, str, Cell, str]] = [
        ("device", "device", device.name, f"{device.kind}, {device.architecture}"),
        ("memory_bytes", "memory", Value(device.memory_bytes, "bytes"), ""),
        (
            "compute_units",
            "compute units",
            device.compute_units,
            f"{device.threads} thread{'s' if device.threads != 1 else ''}",
        ),
        ("torch", "PyTorch", record.software.get("torch", ""), device.driver and f"driver {device.driver}"),
        ("started", "measured", record.started, f"took {show_duration(record.seconds)}"),
    ]
    if device.power_limit_w:
        items.append(("power_limit_w", "power limit", Value(device.power_limit_w, "w"), ""))
    after = record.conditions.get("after", {})
    for key, label, unit in (("temperature_c", "temperature", "°C"), ("clock_mhz", "clock", "MHz")):
        if key in after:
            items.append((key, label, f"{after[key]:.0f} {unit}", "after the run"))
    return Facts("device", tuple(items))


def _best_cases(record: Record) -> list[Case]:
    found = list(record.best_flops.values())
    stream = record.best_bandwidth
    if stream is not None:
        found.append(stream)
    for direction in ("forward", "backward"):
        own = record.of("attention", direction=direction)
        if own:
            found.append(max(own, key=lambda case: case.flops_per_s))
    copies = [
        max(own, key=lambda c: c.bytes_per_s)
        for d in ("to device", "to host")
        if (own := record.of("copies", direction=d))
    ]
    rows = record.of("launch")
    return found + copies + ([min(rows, key=lambda c: c.median_s / c.number("row"))] if rows else [])


def _best(record: Record) -> Table:
    columns = (
        Column("what", "best of"),
        Column("rate", "rate", right=True),
        Column("case", "at"),
        Column("verdict", "noise"),
        Column("reasons", "because", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (_what(case), _rate(case), case.id.partition("/")[2], "noisy" if case.verdict else "quiet", _noise(case))
        for case in _best_cases(record)
    ]
    return Table("best", columns, tuple(rows))


def _what(case: Case) -> str:
    if case.suite == "matmul":
        return f"products, {case.text('format')}"
    if case.suite == "attention":
        return f"attention, {case.text('direction')}"
    if case.suite == "copies":
        return f"copies {case.text('direction')}"
    return {"bandwidth": "memory", "launch": "launch"}.get(case.suite, case.suite)


def _rate(case: Case) -> Cell:
    if case.suite == "launch":
        row = case.number("row")
        return _quantity(case.low_s / row, case.median_s / row, case.high_s / row, "s")
    work, unit = (case.flops, "flops_per_s") if case.flops else (case.bytes, "bytes_per_s")
    return _quantity(work / case.high_s, work / case.median_s, work / case.low_s, unit)


def _quantity(low: float, mid: float, high: float, unit: str) -> Quantity:
    return Quantity(min(low, mid), mid, max(mid, high), unit, BAND, BASIS)


def _noise(case: Case) -> str:
    if not case.is_measured:
        return case.reason
    return "; ".join(case.verdict)


def _short_noise(case: Case) -> str:
    if not case.is_measured:
        return f"{case.status}: {case.reason}"
    return "quiet" if not case.verdict else f"noisy: {case.verdict[-1]}"


def _cases(name: str, cases: Sequence[Case], caption: str) -> Table:
    columns = (
        Column("case", "case"),
        Column("time", "median", right=True),
        Column("rate", "rate", right=True),
        Column("noise", "noise", wide_only=name == "steps"),
    )
    rows: list[tuple[Cell, ...]] = []
    for case in cases:
        if case.text("fit"):
            continue
        time: Cell = _quantity(case.low_s, case.median_s, case.high_s, "s") if case.is_measured else None
        rows.append(
            (
                case.id,
                time,
                _rate(case) if case.is_measured and (case.flops or case.bytes) else None,
                _short_noise(case),
            )
        )
    return Table(name, columns, tuple(rows), caption=caption)


def _collectives(lines: Sequence[Case]) -> Table:
    columns = (
        Column("kind", "collective"),
        Column("ranks", "ranks", right=True),
        Column("latency_s", "latency", right=True),
        Column("bandwidth_bytes_per_s", "algorithm bandwidth", right=True),
        Column("bus_bytes_per_s", "bus bandwidth", right=True),
        Column("backend", "backend", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            case.text("kind").replace("_", "-"),
            int(case.number("ranks")),
            Value(case.number("latency_s"), "s"),
            Value(case.number("bandwidth_bytes_per_s"), "bytes_per_s"),
            Value(case.number("bus_bytes_per_s"), "bytes_per_s"),
            case.text("backend"),
        )
        for case in lines
    ]
    return Table("collectives", columns, tuple(rows), caption="Collectives: t = latency + size / bandwidth")


def _summary(record: Record) -> dict[str, object]:
    device = record.device
    return {
        "id": record.id,
        "started": record.started,
        "finished": record.finished,
        "seconds": record.seconds,
        "stopped": record.stopped or None,
        "device": {
            "kind": device.kind,
            "name": device.name,
            "catalog_id": device.catalog_id or None,
            "memory_bytes": device.memory_bytes,
            "compute_units": device.compute_units,
            "threads": device.threads,
            "driver": device.driver or None,
            "power_limit_w": device.power_limit_w,
        },
        "software": dict(record.software),
        "conditions": dict(record.conditions),
    }


def _best_row(case: Case) -> dict[str, object]:
    return {"what": _what(case), "rate": _rate(case), "case": case.id, "verdict": list(case.verdict)}


def _case_row(case: Case) -> dict[str, object]:
    measured = case.is_measured
    return {
        "id": case.id,
        "suite": case.suite,
        "status": case.status,
        "reason": case.reason or None,
        "what": dict(case.what),
        "time_s": _quantity(case.low_s, case.median_s, case.high_s, "s") if measured else None,
        "best_s": case.best_s if measured else None,
        "rate": _rate(case) if measured and (case.flops or case.bytes) else None,
        "flops_per_s": case.flops_per_s if measured and case.flops else None,
        "bytes_per_s": case.bytes_per_s if measured and case.bytes else None,
        "relative_error": case.relative_error,
        "verdict": list(case.verdict),
        "samples": len(case.samples),
    }


def export_document(record: Record) -> Document:
    """Return every case as a row of plain values."""
    keys = sorted({key for case in record.cases for key in case.what})
    columns = (
        *(Column(name, name) for name in ("id", "suite", "status", "reason")),
        *(
            Column(name, name, right=True)
            for name in ("median_s", "low_s", "high_s", "best_s", "iqr", "samples", "flops_per_s", "bytes_per_s")
        ),
        Column("verdict", "verdict"),
        *(Column(f"what_{key}", f"what_{key}") for key in keys),
    )
    rows: list[tuple[Cell, ...]] = []
    for case in record.cases:
        rows.append(
            (
                case.id,
                case.suite,
                case.status,
                case.reason,
                *(
                    (case.median_s, case.low_s, case.high_s, case.best_s, case.iqr, len(case.samples))
                    if case.is_measured
                    else (None,) * 6
                ),
                case.flops_per_s if case.flops and case.is_measured else None,
                case.bytes_per_s if case.bytes and case.is_measured else None,
                "; ".join(case.verdict),
                *(case.what.get(key) for key in keys),
            )
        )
    return Document(
        verb="bench.export",
        headline=f"{len(rows)} cases of {record.id}.",
        inputs={"record": record.id},
        result={"record": _summary(record), "cases": [_case_row(case) for case in record.cases]},
        sections=(Table("cases", columns, tuple(rows)),),
    )
