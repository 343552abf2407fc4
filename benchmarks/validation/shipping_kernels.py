"""Write the published kernel timings that may travel with the package: `data/measured/kernels.csv`.

    python -m flopwise.benchmarks.validation.shipping_kernels --folder ../shared/data/measured [--output data/measured]

Kept are rows of sources that `data/measured/licences.yaml` lists: products of ai-dynamo/aiconfigurator whose weight is
square (one shape in seven), its medians of attention and of weights that stream, and what Google's recipes print.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from .shipping import MEASURED, licences

COLUMNS = ("id", "accelerator", "kind", "format", "m", "n", "k", "value", "unit", "source", "note")
AICONFIGURATOR, GOOGLE = "ai-dynamo/aiconfigurator", "AI-Hypercomputer/tpu-recipes"
_CHIPS = {
    "A100 SXM 80GB": "a100-sxm-80gb",
    "H100 SXM 80GB": "h100-sxm-80gb",
    "H200 SXM 141GB": "h200-sxm-141gb",
    "B200 SXM 180GB": "b200-sxm",
    "B300 SXM 288GB": "b300-sxm",
    "GB200 186GB": "gb200",
    "GB300 288GB": "gb300",
    "TPU v6e": "tpu-v6e",
}
_FORMATS = {"bfloat16": "bf16", "bf16": "bf16", "fp8": "fp8", "attn bfloat16 kv bfloat16": "bf16"}
_FORMATS |= {"attn fp8 kv fp8": "fp8", "copy": ""}
_KINDS = {
    "matmul": "product",
    "gemv_weight_bandwidth": "weights",
    "prefill_attention": "attention",
    "bandwidth": "stream",
}


def products(rows: Iterator[Mapping[str, str]]) -> Iterator[dict[str, object]]:
    """Yield the timed products that are shipped."""
    for row in rows:
        if row["accelerator"] in _CHIPS and row["dtype"] in _FORMATS and row["n"] == row["k"]:
            m, n, k, seconds = int(row["m"]), int(row["n"]), int(row["k"]), float(row["latency_ms"]) / 1e3
            yield {
                "accelerator": _CHIPS[row["accelerator"]],
                "kind": "product",
                "format": _FORMATS[row["dtype"]],
                "m": m,
                "n": n,
                "k": k,
                "value": f"{2.0 * m * n * k / seconds:.4g}",
                "unit": "flops_per_s",
                "source": f"{AICONFIGURATOR}: GEMM database",
                "note": f"{row['framework']} {row['version']}",
            }


def rates(rows: Iterator[Mapping[str, str]]) -> Iterator[dict[str, object]]:
    """Yield the medians and single rates that are shipped."""
    for row in rows:
        is_median = row["source"].startswith("ai-dynamo aiconfigurator") and "median" in row["source"]
        is_google = row["source"].startswith("AI-Hypercomputer tpu-recipes") and "host timed" not in row["notes"]
        if row["accelerator"] not in _CHIPS or row["precision"] not in _FORMATS or not (is_median or is_google):
            continue
        if row["metric"] not in _KINDS or (is_median and row["metric"] == "matmul"):
            continue
        sides = row["shape_mnk"].split("x") if is_google and "x" in row["shape_mnk"] else ["", "", ""]
        value, unit = (
            (float(row["achieved_tflops"]) * 1e12, "flops_per_s")
            if row["achieved_tflops"]
            else (float(row["achieved_bw_gbs"]) * 1e9, "bytes_per_s")
        )
        database = "attention" if row["metric"] == "prefill_attention" else "GEMM"
        yield {
            "accelerator": _CHIPS[row["accelerator"]],
            "kind": _KINDS[row["metric"]],
            "format": _FORMATS[row["precision"]],
            **dict(zip(("m", "n", "k"), sides, strict=True)),
            "value": f"{value:.4g}",
            "unit": unit,
            "source": f"{GOOGLE}: microbenchmarks" if is_google else f"{AICONFIGURATOR}: {database} database",
            "note": row["notes"].partition(";" if ";" in row["notes"] else ",")[0],
        }


def main() -> None:
    """Read the collections, write the shipped part."""
    parser = argparse.ArgumentParser(description="Write the kernel timings that may travel with the package.")
    parser.add_argument("--folder", type=Path, required=True, help="holds gemm.csv and hardware.csv")
    parser.add_argument("--output", type=Path, default=MEASURED)
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    for name, kept in (("gemm.csv", products), ("hardware.csv", rates)):
        with (options.folder / name).open(newline="", encoding="utf-8") as file:
            found += kept(iter(csv.DictReader(file)))
    assert {str(row["source"]).partition(":")[0] for row in found} <= set(licences())
    target = options.output / "kernels.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({"id": f"kernel-{index:04d}", **row} for index, row in enumerate(found, 1))
    print(f"{len(found)} rows, {target.stat().st_size / 1e6:.2f} MB: {target}")


if __name__ == "__main__":
    main()
