"""Charts as inline SVG: no script, no font, no file from outside; they follow the page's colours.

A picture only scales, and letters for a desk are too small on a phone: `width` draws the same chart for either.

Each function returns one `<svg>` element with a title and, for readers who cannot see it, a description. Numbers are
rounded to a tenth of a pixel, so that the same input gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from ...estimators.frozen import dataclass

COLORS = ("#2a6fbb", "#d9822b", "#3a9a5b", "#8a5cc2", "#c2484e", "#2f9aa0", "#a08128", "#7a7f87", "#b8bcc2")
DESK, PHONE = 720, 380  # units across, about a pixel each where it is read
_LETTER = 7.6  # width of a letter of 12 px in a wide font
_STYLE = "font-family:system-ui,sans-serif;font-size:12px;width:100%;height:auto;max-width:920px"


@dataclass(frozen=True, slots=True)
class Series:
    """One named row of values, one for each label of the axis."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Dots:
    """Points or a line over two numeric axes; `labels` stand beside the points where they are given."""

    name: str
    points: tuple[tuple[float, float], ...]
    is_line: bool = False
    labels: tuple[str, ...] = ()


def stacked_bars(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    title: str,
    show: Callable[[float], str],
    line: Series | None = None,
    band: Sequence[tuple[float, float]] = (),
    width: int = DESK,
) -> str:
    """Return bars stacked from `series` over `labels`, with a line (and its band) of the same unit on top."""
    height, left, top, bottom = 360, 74, 16, 58
    sums = [sum(each.values[i] for each in series) for i in range(len(labels))]
    highest = max([*sums, *(line.values if line else ()), *(high for _, high in band), 1e-9])
    lowest = min([0.0, *(line.values if line else ()), *(low for low, _ in band)])
    ticks = nice_ticks(lowest, highest)
    lowest, highest = min(lowest, ticks[0]), max(highest, ticks[-1])

    def y(value: float) -> float:
        return round(top + (highest - value) / (highest - lowest) * (height - top - bottom), 1)

    step = (width - left - 12) / len(labels)
    every = math.ceil(_LETTER * (max(map(len, labels)) + 1) / step)  # labels that have room
    parts = _axis(ticks, y, left, width, show)
    for index, label in enumerate(labels):
        x, base = left + index * step, 0.0
        for place, each in enumerate(series):
            value = each.values[index]
            if value <= 0:
                continue
            tall = round(y(base) - y(base + value), 1)
            parts.append(
                f'<rect x="{x + step * 0.12:.1f}" y="{y(base + value)}" width="{step * 0.76:.1f}" height="{tall}" '
                f'fill="{COLORS[place % len(COLORS)]}"><title>{escape(label)}, {escape(each.name)}: '
                f"{escape(show(value))}</title></rect>"
            )
            base += value
        if index % every == 0:
            across = x + step / 2
            parts.append(f'<text x="{across:.1f}" y="{height - 38}" text-anchor="middle">{escape(label)}</text>')
    middles = [left + (index + 0.5) * step for index in range(len(labels))]
    if band:
        shape = [f"{x:.1f},{y(high)}" for x, (_, high) in zip(middles, band, strict=True)]
        shape += [f"{x:.1f},{y(low)}" for x, (low, _) in zip(reversed(middles), reversed(band), strict=True)]
        parts.append(f'<polygon points="{" ".join(shape)}" fill="currentColor" opacity="0.12"/>')
    if line:
        path = " ".join(f"{x:.1f},{y(value)}" for x, value in zip(middles, line.values, strict=True))
        parts.append(f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="2"/>')
    names = [(each.name, COLORS[place % len(COLORS)]) for place, each in enumerate(series)]
    if line:
        names.append((line.name, "currentColor"))
    legend, lines = _legend(names, left, height - 18, width)
    return _svg(parts + legend, width, height + 16 * (lines - 1), title)


def tornado(
    rows: Sequence[tuple[str, float, float]],
    middle: float,
    *,
    title: str,
    show: Callable[[float], str],
    width: int = DESK,
) -> str:
    """Return a bar for each input from its low to its high end, around the middle."""
    height, left = 30 + 40 * len(rows) + 26, 12
    ends = [value for _, low, high in rows for value in (low, high)]
    lowest, highest = min([*ends, middle]), max([*ends, middle])
    spread = (highest - lowest) or 1.0

    def x(value: float) -> float:
        return round(left + 60 + (value - lowest) / spread * (width - left - 140), 1)

    parts = []
    for index, (name, low, high) in enumerate(rows):
        top = 20 + 40 * index
        parts.append(f'<text x="{left}" y="{top + 2}">{escape(_cut(name, width - left))}</text>')
        for value, color, anchor in ((low, COLORS[2], "end"), (high, COLORS[1], "start")):
            begin, end = sorted((x(value), x(middle)))
            is_right = value > middle or (value == middle and anchor == "start")
            parts.append(
                f'<rect x="{begin}" y="{top + 7}" width="{max(end - begin, 0.5):.1f}" height="16" fill="{color}"/>'
            )
            shift, side = (5, "start") if is_right else (-5, "end")
            parts.append(
                f'<text x="{x(value) + shift:.1f}" y="{top + 20}" text-anchor="{side}">{escape(show(value))}</text>'
            )
    bottom = height - 26
    parts.append(
        f'<line x1="{x(middle)}" y1="10" x2="{x(middle)}" y2="{bottom}" stroke="currentColor"/>'
        f'<text x="{x(middle)}" y="{bottom + 16}" text-anchor="middle">middle {escape(show(middle))}</text>'
    )
    return _svg(parts, width, height, title)


def scatter(
    clouds: Sequence[Dots],
    *,
    title: str,
    x_title: str,
    y_title: str,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
    log_y: bool = False,
    diagonal: bool = False,
    width: int = DESK,
) -> str:
    """Return points and lines over a logarithmic x axis; `diagonal` draws where both axes agree."""
    height, left, top, bottom = 400, 66, 18, 76
    xs = [math.log10(x) for each in clouds for x, _ in each.points]
    ys = [math.log10(y) if log_y else y for each in clouds for _, y in each.points]
    (x0, x1), (y0, y1) = _padded(xs), _padded(ys)
    if diagonal:
        x0 = y0 = min(x0, y0)
        x1 = y1 = max(x1, y1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x0) / (x1 - x0) * (width - left - 14)
        up = ((math.log10(y) if log_y else y) - y0) / (y1 - y0) * (height - top - bottom)
        return round(left + across, 1), round(height - bottom - up, 1)

    parts = []
    for value in _log_ticks(x0, x1, min(9, (width - left) // 60)):
        across, _ = at(value, 10**y0 if log_y else y0)
        shown = show_x(value)
        edge = round(width - _LETTER * len(shown) / 2, 1)  # the last one must not stand out of the picture
        parts.append(
            f'<line x1="{across}" y1="{top}" x2="{across}" y2="{height - bottom}" stroke="currentColor" opacity="0.15"/>'
            f'<text x="{min(across, edge)}" y="{height - bottom + 16}" text-anchor="middle">{escape(shown)}</text>'
        )
    for value in _log_ticks(y0, y1, 9) if log_y else nice_ticks(y0, y1):
        _, up = at(10**x0, value)
        if top <= up <= height - bottom:
            parts.append(
                f'<line x1="{left}" y1="{up}" x2="{width - 14}" y2="{up}" stroke="currentColor" opacity="0.15"/>'
                f'<text x="{left - 6}" y="{up + 4}" text-anchor="end">{escape(show_y(value))}</text>'
            )
    if diagonal:
        a, b = at(10**x0, 10**y0), at(10**x1, 10**y1)
        parts.append(
            f'<line x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}" stroke="currentColor" stroke-dasharray="4 4"/>'
        )
    for place, each in enumerate(clouds):
        color = COLORS[place % len(COLORS)]
        dots = [at(*point) for point in each.points]
        if each.is_line:
            path = " ".join(f"{x},{y}" for x, y in dots)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        else:
            size, clear = ("2.5", "0.55") if len(dots) > 40 else ("5", "1")
            parts += [f'<circle cx="{x}" cy="{y}" r="{size}" fill="{color}" opacity="{clear}"/>' for x, y in dots]
        for (x, y), label in zip(dots, each.labels, strict=False):
            side = "end" if x + 8 + _LETTER * len(label) > width else "start"
            shift = -8 if side == "end" else 8
            parts.append(f'<text x="{x + shift}" y="{y - 8}" text-anchor="{side}">{escape(label)}</text>')
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - bottom + 34}" text-anchor="middle">{escape(x_title)}</text>'
        f'<text x="{left - 56}" y="{top - 4}">{escape(y_title)}</text>'
    )
    legend, lines = _legend(
        [(each.name, COLORS[place % len(COLORS)]) for place, each in enumerate(clouds)], left, height - 18, width
    )
    return _svg(parts + legend, width, height + 16 * (lines - 1), title)


def standalone(svg: str, title: str) -> str:
    """Return a chart as a file of its own: on white, with its title as a heading."""
    opening, _, rest = svg.partition(">")
    head = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" color="#1a1a1a" ')
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><rect width="100%" height="100%" fill="white"/>{rest}\n'


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from at most `low` to at least `high`."""
    spread = (high - low) or abs(high) or 1.0
    rough = spread / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten between two logarithms; also 2 and 5 times them where there are few; at most `most`."""
    marks = (1,) if high - low > 2.5 else (1, 2, 5)
    found = [mark * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for mark in marks]
    found = [value for value in found if low <= math.log10(value) <= high]
    return found[:: math.ceil(len(found) / most)] if len(found) > most else found


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.1
    return low - pad, high + pad


def _axis(
    ticks: Sequence[float], y: Callable[[float], float], left: int, width: int, show: Callable[[float], str]
) -> list[str]:
    return [
        f'<line x1="{left}" y1="{y(value)}" x2="{width - 12}" y2="{y(value)}" stroke="currentColor" '
        f'opacity="{0.6 if value == 0 else 0.15}"/>'
        f'<text x="{left - 6}" y="{y(value) + 4}" text-anchor="end">{escape(show(value))}</text>'
        for value in ticks
    ]


def _legend(names: Sequence[tuple[str, str]], left: int, top: int, width: int) -> tuple[list[str], int]:
    parts, x, line = [], float(left), 0
    for name, color in names:
        wide = 22 + 7.0 * len(name)
        if x + wide > width and x > left:
            x, line = float(left), line + 1
        y = top + 16 * line
        parts.append(
            f'<rect x="{x:.1f}" y="{y - 9}" width="10" height="10" fill="{color}"/>'
            f'<text x="{x + 14:.1f}" y="{y}">{escape(name)}</text>'
        )
        x += wide
    return parts, line + 1


def _cut(text: str, room: float) -> str:
    """Return a text that fits, with an ellipsis where it was cut."""
    most = int(room / _LETTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _svg(parts: Sequence[str], width: int, height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" style="{_STYLE}" '
        f'fill="currentColor">' + "".join(parts) + "</svg>"
    )
