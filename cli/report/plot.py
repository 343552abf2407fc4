"""Loss against compute as a small picture: in characters for the terminal, as SVG for a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ...estimators.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one line or cloud: (compute, loss); `mark` draws it in characters, `band` is (low, high) at each."""

    name: str
    points: tuple[tuple[float, float], ...]
    mark: str
    band: tuple[tuple[float, float], ...] = ()
    is_line: bool = False


def text_plot(curves: Sequence[Curve], *, width: int = 72, height: int = 16) -> str:
    """Return the picture as lines of at most `width` columns; both axes are logarithmic."""
    xs, ys = _extent(curves)
    grid = [[" "] * (width - 9) for _ in range(height)]

    def place(x: float, y: float, mark: str) -> None:
        column = round((math.log(x) - xs[0]) / (xs[1] - xs[0]) * (width - 10))
        row = round((ys[1] - math.log(y)) / (ys[1] - ys[0]) * (height - 1))
        if 0 <= row < height and 0 <= column < width - 9 and grid[row][column] in (" ", "."):
            grid[row][column] = mark

    for curve in sorted(curves, key=lambda each: each.is_line):
        for x, y in curve.points:
            place(x, y, curve.mark)
        for (x, _), (low, high) in zip(curve.points, curve.band, strict=False):
            place(x, low, ".")
            place(x, high, ".")
    lines = []
    for row, cells in enumerate(grid):
        label = f"{math.exp(ys[1] - (ys[1] - ys[0]) * row / (height - 1)):7.3f}" if row % 5 == 0 else " " * 7
        lines.append(f"{label} |{''.join(cells)}".rstrip())
    left, right = f"{math.exp(xs[0]):.1e}", f"{math.exp(xs[1]):.1e} FLOP"
    lines.append(" " * 8 + "+" + "-" * (width - 9))
    lines.append(" " * 8 + left + right.rjust(width - 8 - len(left)))
    lines.append(" " * 8 + "   ".join(f"{curve.mark} {curve.name}" for curve in curves) + "   . 80 % band")
    return "\n".join(lines)


def svg_plot(curves: Sequence[Curve], *, title: str) -> str:
    """Return the picture as an SVG document that needs nothing else."""
    width, height, left, bottom = 720, 420, 60, 40
    xs, ys = _extent(curves)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - xs[0]) / (xs[1] - xs[0]) * (width - left - 20)
        up = (math.log(y) - ys[0]) / (ys[1] - ys[0]) * (height - bottom - 40)
        return round(left + across, 1), round(height - bottom - up, 1)

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
    parts = [
        f'{head} font-size="12"><title>{escape(title)}</title><rect width="{width}" height="{height}" fill="white"/>'
    ]
    for exponent in range(math.ceil(xs[0] / math.log(10)), math.floor(xs[1] / math.log(10)) + 1):
        x, _ = at(10.0**exponent, math.exp(ys[0]))
        parts.append(
            f'<line x1="{x}" y1="40" x2="{x}" y2="{height - bottom}" stroke="#ddd"/>'
            f'<text x="{x}" y="{height - bottom + 16}" text-anchor="middle">1e{exponent}</text>'
        )
    for step in range(6):
        value = math.exp(ys[0] + (ys[1] - ys[0]) * step / 5)
        _, y = at(math.exp(xs[0]), value)
        parts.append(
            f'<line x1="{left}" y1="{y}" x2="{width - 20}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{value:.3g}</text>'
        )
    colors = ("#1f77b4", "#d62728", "#2ca02c")
    for index, curve in enumerate(curves):
        color = colors[index % len(colors)]
        if curve.band:
            upper = [at(x, high) for (x, _), (_, high) in zip(curve.points, curve.band, strict=True)]
            lower = [at(x, low) for (x, _), (low, _) in zip(curve.points, curve.band, strict=True)]
            if curve.is_line:
                shape = " ".join(f"{x},{y}" for x, y in (*upper, *reversed(lower)))
                parts.append(f'<polygon points="{shape}" fill="{color}" opacity="0.15"/>')
            else:
                for (x, y1), (_, y2) in zip(upper, lower, strict=True):
                    parts.append(f'<line x1="{x}" y1="{y1}" x2="{x}" y2="{y2}" stroke="{color}"/>')
        if curve.is_line:
            path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in curve.points))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        else:
            parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in (at(*p) for p in curve.points)]
        parts.append(f'<text x="{left + 10 + 170 * index}" y="24" fill="{color}">{escape(curve.name)}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">training compute 6ND, FLOP</text></svg>')
    return "\n".join(parts) + "\n"


def _extent(curves: Sequence[Curve]) -> tuple[tuple[float, float], tuple[float, float]]:
    x = [math.log(point[0]) for curve in curves for point in curve.points]
    y = [math.log(point[1]) for curve in curves for point in curve.points]
    y += [math.log(value) for curve in curves for pair in curve.band for value in pair]
    return _padded(min(x), max(x)), _padded(min(y), max(y))


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.03 * (high - low) or 0.05
    return low - pad, high + pad
