"""The roofline of a device as measured (Williams, Waterman and Patterson 2009): on the terminal, as SVG or as PNG.

The roof is the best memory stream times the intensity, up to the best product; points are products by their FLOP per
byte of operands. Both axes are logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ...estimators.errors import InputError
from ...estimators.facts.bench_records import Record
from ...estimators.frozen import dataclass
from ...estimators.units import show_rate

_MARKS = {"fp32": "o", "tf32": "t", "bf16": "b", "fp16": "h", "fp8": "8", "int8": "i"}
WIDTH, HEIGHT = 68, 18


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
    x_low, x_high, y_low, y_high = _bounds(found)
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
    ends = f"{x_low:.2g}", "FLOP per byte", f"{x_high:.3g}"
    gap = (width - sum(map(len, ends))) // 2
    lines.append(" " * 15 + ends[0] + " " * gap + ends[1] + " " * gap + ends[2])
    names = ", ".join(f"{_MARKS.get(name, '*')} {name} {show_rate(roof, 'FLOP/s')}" for name, roof in found.roofs)
    lines.append(f"{'':15}{names}; / {show_rate(found.bytes_per_s, 'B/s')}")
    return "\n".join(lines)


def _bounds(found: Roofline) -> tuple[float, float, float, float]:
    xs = [p.intensity for p in found.points]
    x_low, x_high = min(0.1, *xs), 2 * max(xs)
    top = max(roof for _, roof in found.roofs)
    return x_low, x_high, min(min(p.flops_per_s for p in found.points) / 1.5, x_low * found.bytes_per_s * 4), 1.5 * top


def write_picture(found: Roofline, path: Path) -> None:
    """Write the plot as .svg (no library needed) or .png (matplotlib).

    Raises:
        InputError: the ending is neither, or matplotlib is missing.
    """
    ending = path.suffix.lower()
    if ending == ".svg":
        content = _svg(found).encode()
    elif ending == ".png":
        content = _png(found)
    else:
        raise InputError(f"--plot: '{path}' must end in .svg or .png.")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"--plot: cannot write '{path}': {(error.strerror or str(error)).lower()}.") from None


_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


def _svg(found: Roofline) -> str:
    from html import escape

    x_low, x_high, y_low, y_high = _bounds(found)
    width, height, left, top = 760, 460, 90, 40

    def spot(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / x_low) / math.log(x_high / x_low)
        up = math.log(max(y, y_low) / y_low) / math.log(y_high / y_low)
        return left + across * (width - left - 30), height - 50 - up * (height - 50 - top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<style>text {{ font-size: 12px }}</style><rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="24" style="font-size: 15px">Roofline of {escape(found.device)}, measured</text>',
    ]
    for power in range(math.ceil(math.log10(y_low)), math.floor(math.log10(y_high)) + 1):
        _, y = spot(x_low, 10.0**power)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 30}" y2="{y:.1f}" stroke="#ddd"/>')
        label = escape(show_rate(10.0**power, "FLOP/s", 2))
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for power in range(math.ceil(math.log10(x_low)), math.floor(math.log10(x_high)) + 1):
        x, _ = spot(10.0**power, y_low)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 50}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 32}" text-anchor="middle">{10.0**power:g}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">FLOP per byte of operands</text>')
    for index, (name, roof) in enumerate(found.roofs):
        colour = _COLOURS[index % len(_COLOURS)]
        ridge = roof / found.bytes_per_s
        corners = [spot(x, min(roof, x * found.bytes_per_s)) for x in (x_low, min(max(ridge, x_low), x_high), x_high)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        text = escape(f"{name} {show_rate(roof, 'FLOP/s')}")
        parts.append(f'<text x="{left + 8}" y="{top + 14 + 16 * index}" fill="{colour}">{text}</text>')
        for point in found.points:
            if point.format == name:
                x, y = spot(point.intensity, point.flops_per_s)
                title = escape(f"{point.label}: {show_rate(point.flops_per_s, 'FLOP/s')}")
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{title}</title></circle>')
    return "\n".join([*parts, "</svg>", ""])


def _png(found: Roofline) -> bytes:
    import io

    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise InputError(
            "--plot: a .png needs matplotlib; get it with `pip install 'flopwise[plot]'`, or write an .svg."
        ) from None
    x_low, x_high, _, _ = _bounds(found)
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for index, (name, roof) in enumerate(found.roofs):
        colour = _COLOURS[index % len(_COLOURS)]
        xs = [x_low * (x_high / x_low) ** (i / 200) for i in range(201)]
        axes.loglog(
            xs,
            [min(roof, x * found.bytes_per_s) for x in xs],
            color=colour,
            label=f"{name} {show_rate(roof, 'FLOP/s')}",
        )
        own: Sequence[Point] = [p for p in found.points if p.format == name]
        axes.loglog([p.intensity for p in own], [p.flops_per_s for p in own], "o", color=colour)
    axes.set_xlabel("FLOP per byte of operands")
    axes.set_ylabel("FLOP/s")
    axes.set_title(f"Roofline of {found.device}, measured")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    pyplot.close(figure)
    return buffer.getvalue()
