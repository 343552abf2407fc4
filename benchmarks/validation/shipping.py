"""Write the measured rows that may travel with the package: `data/measured/training_throughput.csv`, `training_runs.csv`.

    python -m flopwise.benchmarks.validation.shipping --rows training_throughput.csv [--output data/measured]

Kept are rows whose source is listed in `data/measured/licences.yaml`. One sweep, vTrain's single node, would be two
thirds of the file: of it every fifth row in the order of the source is kept, the multi-node rows all. Columns that are
computed from others are left out.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ...estimators.facts.yamlfile import read

MEASURED = Path(__file__).parents[2] / "data" / "measured"
SWEEP = "VIA-Research/vTrain"
EVERY = 5
NODE = 8  # accelerators
COMPUTED = (
    "peak_bf16_tflops",
    "model_gflop_per_token_full",
    "model_gflop_per_token_causal",
    "mfu_bf16_full_calc",
    "mfu_bf16_causal_calc",
    "tflops_model_full_calc",
    "tflops_model_causal_calc",
    "check",
    "config_key",
    "flop_6nd_calc",
    "mfu_6nd_calc",
)


def licences() -> Mapping[str, str]:
    """Return the licence of every repository whose rows we ship."""
    file = read(MEASURED / "licences.yaml", name="data/measured/licences.yaml")
    if not isinstance(file.data, dict):
        raise file.error("must map repositories to licences")
    return file.data


def place_of(row: Mapping[str, str]) -> str:
    """Return the repository that a row was read from."""
    return row["source"].partition(":")[0].strip()


def shipped(rows: Iterable[Mapping[str, str]], allowed: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yield the rows that are shipped, in order."""
    seen = 0
    for row in rows:
        place = place_of(row)
        if place not in allowed:
            continue
        if place == SWEEP and int(row["accelerator_count"]) <= NODE:
            seen += 1
            if seen % EVERY != 1:
                continue
        yield row


def main() -> None:
    """Read the collection, write the shipped part."""
    parser = argparse.ArgumentParser(description="Write the measured rows that may travel with the package.")
    parser.add_argument("--rows", type=Path, required=True, help="the whole collection")
    parser.add_argument("--output", type=Path, default=MEASURED)
    options = parser.parse_args()
    with options.rows.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames or () if name not in COMPUTED]
        rows = list(shipped(reader, licences()))
    target = options.output / options.rows.name
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows, {target.stat().st_size / 1e6:.2f} MB: {target}")


if __name__ == "__main__":
    main()
