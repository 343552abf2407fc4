"""The roofline as a picture: both formats are readable files that show every roof, and lines lie where they should."""

from __future__ import annotations

import importlib.util
import re
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.benchmarks.harness.roofline import Roofline, draw, roofline
from flopwise.benchmarks.harness.roofline_picture import apart, corners, powers, slope, svg
from flopwise.benchmarks.harness.store import default_path, write_record

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


def found(rates: dict[str, float] | None = None) -> Roofline:
    rates = rates or {"fp32": 1e11, "bf16": 4e11, "fp16": 3.99e11, "int8": 8e11}
    products = tuple(
        made.product(name, n, n, n, rate / share) for name, rate in rates.items() for n, share in ((256, 2), (2048, 1))
    )
    stream = made.case("bandwidth", "triad/64MiB", 1e-2, bytes=2e8, kernel="triad", cache="cold")
    return roofline(made.record((*products, stream), name="20261124-120000-made"))


def keep() -> None:
    record = made.record(made.cases())
    write_record(record, default_path(record.id))


@pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib is an extra")
def test_the_png_is_a_whole_picture_that_holds_the_colours_of_roof_and_memory(cli, tmp_path: Path) -> None:
    keep()
    shown = cli("bench", "show", "--plot", "roof.png")
    assert shown.code == 0, shown.err
    from matplotlib import image

    pixels = image.imread(tmp_path / "work" / "roof.png")
    assert pixels.shape[:2] == (920, 1520)
    colours = {
        tuple(round(255 * part) for part in pixel[:3])
        for pixel in set(map(tuple, pixels[:, ::4].reshape(-1, pixels.shape[2]).tolist()))
    }
    assert {tuple(bytes.fromhex(name)) for name in ("ffffff", "1f77b4", "555555", "dddddd")} <= colours


@pytest.mark.skipif(HAS_MATPLOTLIB, reason="matplotlib is installed")
def test_without_matplotlib_the_way_to_a_png_is_named(cli) -> None:
    keep()
    shown = cli("bench", "show", "--plot", "roof.png")
    assert shown.code == 2 and "pip install 'flopwise[plot]'" in shown.err


def test_the_svg_is_well_formed_and_names_every_roof_once() -> None:
    root = ElementTree.fromstring(svg(found()))
    said = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("fp32 100 GFLOP/s", "bf16 400 GFLOP/s", "fp16 399 GFLOP/s", "int8 800 GFLOP/s", "memory 20.0 GB/s"):
        assert said.count(name) == 1, said
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 8


def test_names_of_roofs_that_lie_close_do_not_cover_each_other() -> None:
    ys = sorted(float(y) for y in re.findall(r'<text x="628" y="([\d.]+)"', svg(found())))
    assert len(ys) == 4
    assert all(after - before > 15.9 for before, after in pairwise(ys))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_places_moved_apart_keep_their_order_and_their_bounds(places: list[float]) -> None:
    moved = apart(places, 10.0, 0.0, 100.0)
    order = sorted(range(len(places)), key=lambda i: places[i])
    rising = [moved[i] for i in order]
    assert all(after - before > 9.999 for before, after in pairwise(rising))
    assert rising[0] >= -1e-9 and rising[-1] <= 100 + 1e-9


def test_the_memory_line_and_the_roofs_meet_where_the_roofline_says() -> None:
    # All roofs on one chip share one memory line, also where it leaves the picture at the bottom.
    drawn = found({"bf16": 4e14, "fp32": 1e12})
    (x0, y0), (x1, y1) = slope(drawn)
    assert y0 / x0 == pytest.approx(drawn.bytes_per_s) == y1 / x1
    assert y1 <= 4e14
    (ridge, roof), _ = corners(drawn, 1e12)
    assert ridge == pytest.approx(min(1e12 / drawn.bytes_per_s, corners(drawn, 1e12)[1][0]))
    assert roof == 1e12


def test_powers_of_ten_lie_within_their_ends() -> None:
    assert powers(0.1, 300.0) == pytest.approx([0.1, 1.0, 10.0, 100.0])


def test_the_drawing_on_the_terminal_fits_80_columns_with_many_formats() -> None:
    assert max(map(len, draw(found()).splitlines())) <= 80
