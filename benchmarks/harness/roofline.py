"""The roofline of a device as measured (Williams, Waterman and Patterson 2009), and how it looks on the terminal.

The roof is the best memory stream times the intensity, up to the best product; points are products by their FLOP per
byte of operands. Both axes are logarithmic. `roofline_picture.py` draws the same as SVG or PNG.
"""

from __future__ import annotations

import math

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Record
from ...estimators.frozen import dataclass
from ...estimators.units import show_rate

_MARKS = {"fp32": "o", "tf32": "t", "bf16": "b", "fp16": "h", "fp8": "8", "int8": "i"}
WIDTH, HEIGHT = 65, 18  # with the labels at the left 80 columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured product: FLOP per byte and FLOP/s."""

    intensity: float
    flops_per_s: float
    format: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The roofs (FLOP/s by format), the memory stream (bytes/s) and the points."""

    device: str
    bytes_per_s: float
    roofs: tuple[tuple[str, float], ...]
    points: tuple[Point, ...]


def roofline(record: Record) -> Roofline:
    """Return the roofline of a record.

    Raises:
        InputError: it has no products or no memory stream.
    """
    stream, best = record.best_bandwidth, record.best_flops
    if stream is None or not best:
        raise InputError(f"the measurement {record.id} needs matmul and bandwidth for a roofline.")
    points = tuple(
        Point(
            intensity=case.flops / case.bytes,
            flops_per_s=case.flops_per_s,
            format=case.text("format"),
            label=case.id.partition("/")[2],
        )
        for case in record.of("matmul")
        if case.bytes
    )
    roofs = tuple((name, case.flops_per_s) for name, case in best.items())
    return Roofline(device=record.device.name, bytes_per_s=stream.bytes_per_s, roofs=roofs, points=points)


def draw(found: Roofline, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return the plot in characters; a letter for each format."""
    x_low, x_high, y_low, y_high = bounds(found)
    grid = [[" "] * width for _ in range(height)]

    def column(x: float) -> int:
        return min(width - 1, max(0, round((math.log(x / x_low) / math.log(x_high / x_low)) * (width - 1))))

    def row(y: float) -> int:
        return min(
            height - 1, max(0, height - 1 - round(math.log(y / y_low) / math.log(y_high / y_low) * (height - 1)))
        )

    for _, roof in found.roofs:
        for at in range(width):
            x = x_low * (x_high / x_low) ** (at / (width - 1))
            y = min(roof, x * found.bytes_per_s)
            if y >= y_low:
                grid[row(y)][at] = "-" if y == roof else "/"
    for point in found.points:
        if point.flops_per_s >= y_low:
            grid[row(point.flops_per_s)][column(point.intensity)] = _MARKS.get(point.format, "*")
    lines = []
    for index, cells in enumerate(grid):
        y = y_high * (y_low / y_high) ** (index / (height - 1))
        label = show_rate(y, "FLOP/s", 2) if index % 6 == 0 or index == height - 1 else ""
        lines.append(f"{label:>13} |{''.join(cells).rstrip()}")
    lines.append(" " * 14 + "+" + "-" * width)
    ends = f"{x_low:.2g}", "FLOP per byte", f"{x_high:,.0f}"
    gap = (width - sum(map(len, ends))) // 2
    lines.append(" " * 15 + ends[0] + " " * gap + ends[1] + " " * gap + ends[2])
    names = [f"{_MARKS.get(name, '*')} {name} {show_rate(roof, 'FLOP/s')}" for name, roof in found.roofs]
    names.append(f"/ memory {show_rate(found.bytes_per_s, 'B/s')}")
    legend = [""]
    for index, name in enumerate(names):
        text = name + ("," if index + 1 < len(names) else "")
        if legend[-1] and len(legend[-1]) + 1 + len(text) > width - 2:
            legend.append("")
        legend[-1] += (" " if legend[-1] else "") + text
    lines.extend(f"{'':15}{line}" for line in legend)
    return "\n".join(lines)


def bounds(found: Roofline) -> tuple[float, float, float, float]:
    """Return the ends of both axes: FLOP per byte, then FLOP/s."""
    xs = [p.intensity for p in found.points]
    x_low, x_high = min(0.1, *xs), 2 * max(xs)
    top = max(roof for _, roof in found.roofs)
    return x_low, x_high, min(min(p.flops_per_s for p in found.points) / 1.5, x_low * found.bytes_per_s * 4), 1.5 * top
