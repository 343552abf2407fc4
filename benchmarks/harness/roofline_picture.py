"""The roofline of a device as a picture: SVG without any library, PNG by matplotlib; both show the same.

Each roof carries its name at its right end, in its colour; names of roofs that lie close are moved apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ...estimators.errors import InputError
from ...estimators.units import show_rate
from .roofline import Roofline, bounds

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_GREY = "#555"
_WIDTH, _HEIGHT = 760, 460  # of the SVG; the PNG has the same proportions
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 140, 40, 50
_LINE = 16  # between two names, in the units of the SVG


def write_picture(found: Roofline, path: Path) -> None:
    """Write the plot as .svg (no library needed) or .png (matplotlib).

    Raises:
        InputError: the ending is neither, or matplotlib is missing.
    """
    ending = path.suffix.lower()
    if ending == ".svg":
        content = svg(found).encode()
    elif ending == ".png":
        content = png(found)
    else:
        raise InputError(f"--plot: '{path}' must end in .svg or .png.")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"--plot: cannot write '{path}': {(error.strerror or str(error)).lower()}.") from None


def apart(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Return places in the same order of size, at least `least` apart and between `low` and `high`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    floor, ceiling = low, high
    for i in order:
        moved[i] = max(moved[i], floor)
        floor = moved[i] + least
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - least
    return moved


def corners(found: Roofline, roof: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return both ends of a roof: where it leaves the memory line (or the picture begins), and the right end."""
    x_low, x_high, _, _ = bounds(found)
    return (min(max(roof / found.bytes_per_s, x_low), x_high), roof), (x_high, roof)


def slope(found: Roofline) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return both ends of the memory line inside the picture; it rises to the highest roof."""
    x_low, x_high, y_low, _ = bounds(found)
    first = max(x_low, y_low / found.bytes_per_s)
    last = min(x_high, max(roof for _, roof in found.roofs) / found.bytes_per_s)
    last = max(first, last)
    return (first, first * found.bytes_per_s), (last, last * found.bytes_per_s)


def powers(low: float, high: float) -> list[float]:
    """Return the powers of ten between two ends."""
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def svg(found: Roofline) -> str:
    """Return the picture as SVG."""
    from html import escape

    x_low, x_high, y_low, y_high = bounds(found)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def spot(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / x_low) / math.log(x_high / x_low)
        up = math.log(max(y, y_low) / y_low) / math.log(y_high / y_low)
        return _LEFT + across * (right - _LEFT), bottom - up * (bottom - _TOP)

    def line(ends: Sequence[tuple[float, float]], colour: str) -> str:
        places = " ".join("{:.1f},{:.1f}".format(*spot(*end)) for end in ends)
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<style>text {{ font-size: 12px }}</style><rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" style="font-size: 15px">Roofline of {escape(found.device)}, measured</text>',
    ]
    for value in powers(y_low, y_high):
        _, y = spot(x_low, value)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        label = escape(show_rate(value, "FLOP/s", 2))
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value in powers(x_low, x_high):
        x, _ = spot(value, y_low)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">FLOP per byte of operands</text>')
    ends = slope(found)
    parts.append(line(ends, _GREY))
    x, y = spot(*ends[1])
    text = escape(f"memory {show_rate(found.bytes_per_s, 'B/s')}")
    (x0, y0), steep = spot(*ends[0]), 0.0
    steep = math.degrees(math.atan2(y - y0, x - x0))
    place = f"{(x0 + x) / 2 - 6:.1f} {(y0 + y) / 2 - 8:.1f}"
    parts.append(
        f'<text transform="translate({place}) rotate({steep:.1f})" text-anchor="middle" fill="{_GREY}">{text}</text>'
    )
    names = apart([spot(x_high, roof)[1] for _, roof in found.roofs], _LINE, _TOP + 4, bottom)
    for index, (name, roof) in enumerate(found.roofs):
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(line(corners(found, roof), colour))
        text = escape(f"{name} {show_rate(roof, 'FLOP/s')}")
        parts.append(f'<text x="{right + 8}" y="{names[index] + 4:.1f}" fill="{colour}">{text}</text>')
        for point in found.points:
            if point.format == name:
                x, y = spot(point.intensity, point.flops_per_s)
                title = escape(f"{point.label}: {show_rate(point.flops_per_s, 'FLOP/s')}")
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}" fill-opacity="0.7">'
                    f"<title>{title}</title></circle>"
                )
    return "\n".join([*parts, "</svg>", ""])


def png(found: Roofline) -> bytes:
    """Return the picture as PNG.

    Raises:
        InputError: matplotlib is missing.
    """
    import io

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "--plot: a .png needs matplotlib; get it with `pip install 'flopwise[plot]'`, or write an .svg."
        ) from None
    x_low, x_high, y_low, y_high = bounds(found)
    figure = Figure(figsize=(_WIDTH / 95, _HEIGHT / 95), dpi=190)
    FigureCanvasAgg(figure)
    wide, high = 1 - (_LEFT + _RIGHT) / _WIDTH, 1 - (_TOP + _BOTTOM) / _HEIGHT
    axes = figure.add_axes((_LEFT / _WIDTH, _BOTTOM / _HEIGHT, wide, high))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    axes.set_xticks(powers(x_low, x_high), [f"{value:g}" for value in powers(x_low, x_high)])
    axes.set_yticks(powers(y_low, y_high), [show_rate(value, "FLOP/s", 2) for value in powers(y_low, y_high)])
    axes.tick_params(which="both", length=0, labelsize=9)
    axes.minorticks_off()
    axes.grid(True, color="#ddd")
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    ends = slope(found)
    axes.plot(*zip(*ends, strict=True), color=_GREY, linewidth=1.8)
    # The line rises one decade in one: its angle on paper follows from the lengths of the decades.
    up = high * _HEIGHT / math.log10(y_high / y_low)
    steep = math.degrees(math.atan2(up, wide * _WIDTH / math.log10(x_high / x_low)))
    middle = math.sqrt(ends[0][0] * ends[1][0]), math.sqrt(ends[0][1] * ends[1][1])
    axes.annotate(
        f"memory {show_rate(found.bytes_per_s, 'B/s')}",
        middle,
        xytext=(-5, 6),
        textcoords="offset points",
        rotation=steep,
        rotation_mode="anchor",
        ha="center",
        color=_GREY,
        fontsize=9,
    )
    span = math.log(y_high / y_low)
    names = apart([math.log(roof / y_low) / span for _, roof in found.roofs], _LINE / (high * _HEIGHT), 0.0, 1.0)
    for index, (name, roof) in enumerate(found.roofs):
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(*zip(*corners(found, roof), strict=True), color=colour, linewidth=1.8)
        own = [point for point in found.points if point.format == name]
        axes.plot(
            [point.intensity for point in own],
            [point.flops_per_s for point in own],
            "o",
            color=colour,
            alpha=0.7,
            markersize=5,
            markeredgewidth=0,
            clip_on=False,
        )
        text = f"{name} {show_rate(roof, 'FLOP/s')}"
        axes.text(1.015, names[index], text, transform=axes.transAxes, color=colour, va="center", fontsize=9)
    axes.set_xlabel("FLOP per byte of operands", fontsize=9)
    axes.set_title(f"Roofline of {found.device}, measured", loc="left", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
