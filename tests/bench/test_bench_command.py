"""`flopwise bench` on made-up records: tables and their JSON twins, pictures, and sentences for wrong input."""

from __future__ import annotations

import csv
import importlib.util
import io
import sys
from pathlib import Path

import pytest

from flopwise.benchmarks.harness.roofline import draw, roofline
from flopwise.benchmarks.harness.store import default_path, write_record
from flopwise.benchmarks.harness.suite import named_formats, named_suites
from flopwise.estimators.errors import InputError

spec = importlib.util.spec_from_file_location("bench_records_made", Path(__file__).with_name("bench_records_made.py"))
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
sys.modules["bench_records_made"] = made
spec.loader.exec_module(made)

HAS_TORCH = importlib.util.find_spec("torch") is not None


def keep(name: str = "20261124-120000-made", rate: float = made.FLOPS, **device: object) -> None:
    write_record(made.record(made.cases(rate), name, **device), default_path(name))


def test_without_records_list_says_how_to_make_one(cli) -> None:
    found = cli("bench", "list")
    assert found.code == 0
    assert "No measurement is kept on this machine yet" in found.out
    assert "flopwise bench run --quick" in found.out


def test_list_shows_good_records_and_warns_of_damaged_ones(cli) -> None:
    keep()
    default_path("20261124-130000-cut").write_text("{")
    found = cli("bench", "list")
    assert "20261124-120000-made" in found.out and "100 GFLOP/s" in found.out
    assert "20261124-130000-cut" in found.out + found.err and "is damaged" in " ".join((found.out + found.err).split())


def test_show_prints_the_numbers_of_its_json_twin(same_numbers) -> None:
    keep()
    twin = same_numbers("bench", "show", "latest")
    best = {row["what"]: row["rate"]["mid"] for row in twin.json["result"]["best"]}
    assert best["products, fp32"] == pytest.approx(made.FLOPS)
    assert best["memory"] == pytest.approx(made.BYTES_PER_S)


def test_a_record_of_collectives_alone_is_shown_and_nothing_it_cannot_do_is_proposed(cli) -> None:
    record = made.record(made.collective("all_reduce", 2, 1e-4, 3e9, backend="gloo"))
    write_record(record, default_path(record.id))
    found = cli("bench", "show")
    assert found.code == 0, found.err
    assert "all-reduce" in found.out and "3.00 GB/s" in found.out
    assert "--roofline" not in found.out


def test_show_fits_80_columns(cli) -> None:
    keep()
    for argv in (("show",), ("show", "--all"), ("compare", "latest"), ("list",)):
        found = cli("bench", *argv)
        assert found.code == 0, found.err
        assert max(map(len, found.out.splitlines())) <= 80


def test_export_gives_one_row_for_each_case(cli) -> None:
    keep()
    found = cli("bench", "export", "latest")
    rows = list(csv.DictReader(io.StringIO(found.out)))
    assert len(rows) == len(made.cases())
    first = next(row for row in rows if row["id"] == "matmul/fp32/512x512x512nn")
    assert float(first["flops_per_s"]) == pytest.approx(made.FLOPS)
    assert (first["what_m"], first["what_format"]) == ("512", "fp32")


def test_compare_finds_what_became_faster(cli) -> None:
    keep("20261101-080000-old")
    keep("20261124-120000-new", rate=1.5 * made.FLOPS)
    found = cli("bench", "compare", "20261101", "20261124", "--format", "json")
    counts = found.json["result"]["counts"]
    assert counts["faster"] == 6 and counts["slower"] == 0
    assert "6 are faster" in " ".join(cli("bench", "compare", "20261101", "20261124").out.split())


def test_compare_with_the_sheet_names_published_rates(cli) -> None:
    keep(kind="cuda", catalog_id="h100-sxm-80gb")
    found = cli("bench", "compare", "latest", "--format", "json")
    memory = next(row for row in found.json["result"]["rates"] if row["what"] == "memory bandwidth")
    assert memory["share"] == pytest.approx(made.BYTES_PER_S / 3.35e12, rel=0.02)
    assert 0.5 < memory["published_share"] < 1.1


def test_records_without_a_case_in_common_cannot_be_compared(cli) -> None:
    keep("20261101-080000-a")
    write_record(made.record((made.product("int8", 64, 64, 64),), "20261124-b"), default_path("20261124-b"))
    assert "have no case in common" in cli("bench", "compare", "20261101", "20261124-b").err


def test_the_roofline_is_drawn_and_written(cli, tmp_path: Path) -> None:
    keep()
    found = cli("bench", "show", "--roofline", "--plot", "roof.svg")
    assert found.code == 0, found.err
    assert "FLOP per byte" in found.out and "/" in found.out
    picture = (tmp_path / "work" / "roof.svg").read_text()
    assert picture.startswith("<svg") and picture.count("<circle") == 6
    assert "exists; add --force" in cli("bench", "show", "--plot", "roof.svg").err
    assert cli("bench", "show", "--plot", "roof.svg", "--force").code == 0
    assert "must end in .svg or .png" in cli("bench", "show", "--plot", "roof.gif").err


def test_the_roof_is_the_slower_of_memory_and_products() -> None:
    found = roofline(made.record(made.cases()))
    assert found.bytes_per_s == pytest.approx(made.BYTES_PER_S)
    assert dict(found.roofs)["fp32"] == pytest.approx(made.FLOPS)
    lines = draw(found).splitlines()
    assert "o" in "".join(lines[:-1])


def test_suites_and_formats_are_forgiving_but_not_unknown() -> None:
    assert named_suites("matmul,decode,training-step") == ("matmul", "decode step", "training step")
    with pytest.raises(InputError, match="did you mean 'bandwidth'"):
        named_suites("bandwith")
    with pytest.raises(InputError, match="'fp12' is not measured"):
        named_formats("fp12")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("run", "--quick", "--full"), "contradict each other"),
        (("run", "--only", "nothing"), "is not a suite"),
        (("run", "--record", "here.txt"), "must end in .json"),
        (("run", "--record", "nowhere/here.json"), "there is no folder"),
        (("show", "latest"), "no measurement is kept on this machine yet"),
        (("verify",), "no measurement is kept on this machine yet"),
        (("trace", "it:build", "--input", "axb"), "is not a shape"),
        (("trace", "it:build", "--input", "1x2", "--precision", "fp7"), "is not one of fp32, bf16, fp16"),
    ],
)
def test_wrong_input_is_one_sentence(cli, argv: tuple[str, ...], said: str) -> None:
    found = cli("bench", *argv)
    assert found.code == 2
    assert said in found.err and found.err.count("\n") == 1


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
@pytest.mark.parametrize("argv", [("run",), ("trace", "it:build", "--input", "1x2")])
def test_without_torch_the_way_to_get_it_is_named(cli, argv: tuple[str, ...]) -> None:
    assert "pip install 'flopwise[bench]'" in cli("bench", *argv).err


def test_reading_records_never_imports_torch() -> None:
    import subprocess

    script = (
        "import sys, flopwise.cli.commands.bench, flopwise.cli.report.bench, flopwise.benchmarks.harness.suite\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
