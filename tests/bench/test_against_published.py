"""A record beside published kernels: the right row, the right verdict, stand-ins named, and nothing invented."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from flopwise.benchmarks.harness.against_published import TOLERANCE, against_published
from flopwise.benchmarks.harness.store import default_path, write_record
from flopwise.benchmarks.validation.shipping import licences
from flopwise.benchmarks.validation.shipping_kernels import products, rates
from flopwise.estimators.facts.catalog import load_catalog
from flopwise.estimators.facts.kernels import load_kernels
from flopwise.estimators.frozen import replace

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)

CATALOG = load_catalog(use_config_folder=False)
SIDES = (4096, 4096, 4096)


def published(chip: str = "h100-sxm-80gb", format: str = "bf16") -> float:
    (row,) = (r for r in load_kernels() if (r.accelerator, r.format, r.m, r.n, r.k) == (chip, format, *SIDES))
    return row.value


def record(rate: float, chip: str = "h100-sxm-80gb", format: str = "bf16", sides=SIDES):
    m, n, k = sides
    return made.record((made.product(format, m, k, n, rate),), kind="cuda", name="a chip", catalog_id=chip)


def test_every_shipped_row_is_of_a_chip_of_the_catalog_and_below_its_sheet() -> None:
    for row in load_kernels():
        chip = CATALOG.accelerators[row.accelerator]
        sheet = (
            chip.peak_flops_per_s[row.format or "bf16"]
            if row.unit == "flops_per_s"
            else chip.memory_bandwidth_bytes_per_s
        )
        assert 0 < row.value <= sheet, row.id
        assert row.source.partition(":")[0] in licences()


def test_the_shipped_file_is_what_the_script_writes_from_the_collection(shared_data: Path) -> None:
    import csv

    found = []
    for name, kept in (("gemm.csv", products), ("hardware.csv", rates)):
        with (shared_data / "measured" / name).open(newline="", encoding="utf-8") as file:
            found += kept(iter(csv.DictReader(file)))
    assert [(row["accelerator"], row["kind"], float(str(row["value"]))) for row in found] == [
        (row.accelerator, row.kind, row.value) for row in load_kernels()
    ]


@pytest.mark.parametrize(("factor", "word"), [(1.0, "within"), (0.92, "within"), (1.5, "faster"), (0.5, "slower")])
def test_a_product_is_put_beside_its_own_shape_and_apart_only_beyond_both_ranges(factor: float, word: str) -> None:
    (found,) = against_published(record(factor * published()), CATALOG).rows
    assert (found.shape, found.accelerator, found.is_same_chip) == ("4096x4096x4096", "h100-sxm-80gb", True)
    assert found.published == published()
    assert found.ratio == pytest.approx(factor, rel=1e-6)
    assert found.word == word
    assert found.published_low == pytest.approx((1 - TOLERANCE) * published())


def test_the_nearest_shape_is_nearest_in_flops_and_of_the_same_format() -> None:
    (found,) = against_published(record(1e14, sides=(4000, 4200, 4100)), CATALOG).rows
    assert found.shape == "4096x4096x4096"
    (low,) = against_published(record(1e14, format="fp8"), CATALOG).rows
    assert low.published == published(format="fp8") != published()


def test_a_relative_stands_in_by_name_and_an_unrelated_chip_never() -> None:
    (found,) = against_published(record(1e14, "h100-nvl-94gb"), CATALOG).rows
    assert (found.accelerator, found.is_same_chip) == ("h100-sxm-80gb", False)
    none = against_published(record(1e14, "mi300x"), CATALOG)
    assert none.rows == () and none.best == ()
    assert "nothing published is shipped of Instinct MI300X or its relatives for: products, bf16" in none.missing[0]
    assert "fp32" in against_published(record(1e13, format="fp32"), CATALOG).missing[0]
    assert "the catalog does not know" in against_published(record(1e13, chip=""), CATALOG).missing[0]


def test_medians_of_several_engines_span_their_range() -> None:
    k, n = 8192, 28672
    case = made.case(
        "matmul", "bf16/row", 2.0 * k * n / 2.85e12, flops=2.0 * k * n, bytes=2.0 * k * n, format="bf16", m=1, n=n, k=k
    )
    whole = made.record((case,), kind="cuda", catalog_id="h100-sxm-80gb")
    (found,) = against_published(whole, CATALOG).rows
    values = [
        r.value for r in load_kernels() if (r.accelerator, r.kind, r.format) == ("h100-sxm-80gb", "weights", "bf16")
    ]
    assert len(values) > 2
    assert (found.published_low, found.published_high) == (min(values), max(values))
    assert (found.rows, found.word) == (len(values), "within")


def keep(found) -> None:
    write_record(found, default_path(found.id))


def test_compare_prints_the_numbers_of_its_json_twin(same_numbers) -> None:
    keep(record(1.5 * published()))
    twin = same_numbers("bench", "compare", "latest")
    (row,) = twin.json["result"]["published"]
    assert row["ratio"] == pytest.approx(1.5)
    assert (row["verdict"], row["accelerator"]) == ("faster", "h100-sxm-80gb")
    assert row["published"]["mid"] == published()


def test_compare_names_the_chip_that_stands_in_and_fits_80_columns(cli) -> None:
    keep(record(6e14, "h100-nvl-94gb"))
    found = cli("bench", "compare")
    assert found.code == 0, found.err
    assert "Published for another chip, H100 SXM5 80GB: products, bf16." in " ".join((found.out + found.err).split())
    assert max(map(len, found.out.splitlines())) <= 80


def test_compare_of_a_chip_that_nobody_knows_says_so_in_one_line(cli) -> None:
    keep(replace(made.record(made.cases()), id="20261124-120000-made"))
    found = cli("bench", "compare")
    assert found.code == 0, found.err
    said = " ".join((found.out + found.err).split())
    assert said.count("no published kernels can be put beside it") == 1


def test_a_record_of_a_chip_that_left_the_catalog_is_no_bug(cli) -> None:
    keep(record(1e14, "no-such-chip"))
    found = cli("bench", "compare")
    assert found.code == 0, found.err
    assert "the catalog has no sheet of it" in " ".join(found.out.split())
