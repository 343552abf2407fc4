"""Write the serving rows that may travel with the package: `data/measured/serving.csv` and `serving_memory.csv`.

    python -m flopwise.benchmarks.validation.serving_shipping --from FOLDER

Kept are rows whose source is listed in `data/measured/serving_licences.yaml`. Columns computed from others and notes
that only repeat a parser's work are left out. TensorRT-LLM's and aiconfigurator's sweeps are most of the file: of a
family with more than 40 rows, 40 spread evenly in the order of the source are kept.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...estimators.facts.yamlfile import read
from .shipping import MEASURED

LICENCES = "serving_licences.yaml"
DROPPED = ("source_kind", "out_tok_s_per_gpu", "total_tok_s_system", "ttft_p99_ms", "tpot_p99_ms", "mem_kind", "nodes")
MOST = 40
_NOISE = ("upstream parallel fields",)


def licences() -> Mapping[str, str]:
    """Return the licence by beginning of a source's name."""
    file = read(MEASURED / LICENCES, name=f"data/measured/{LICENCES}")
    if not isinstance(file.data, dict):
        raise file.error("must map sources to licences")
    return file.data


def shipped(rows: Iterable[Mapping[str, str]], allowed: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows that are shipped, in order; large families are thinned evenly."""
    allowed = tuple(allowed)
    families: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        if row["source"].startswith(allowed):
            key = tuple(row.get(name, "") for name in ("source", "model", "accelerator", "weight_prec"))
            families[key].append({name: _short(value) for name, value in row.items()})
    kept: list[dict[str, str]] = []
    for members in families.values():
        count = min(len(members), MOST)
        kept += [members[i * len(members) // count] for i in range(count)]
    return kept


def _short(value: str) -> str:
    if value.startswith(_NOISE):
        return ""
    return value.removesuffix(".0")


def write(rows: Sequence[Mapping[str, str]], columns: Sequence[str], target: Path) -> None:
    """Write rows, columns that no row fills left out."""
    used = [name for name in columns if name not in DROPPED and any(row.get(name) for row in rows)]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, used, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} rows, {target.stat().st_size / 1e6:.2f} MB: {target.name}")


def main() -> None:
    """Read the collection, write the shipped part."""
    parser = argparse.ArgumentParser(description="Write the serving rows that may travel with the package.")
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="the folder of the whole collection")
    folder = parser.parse_args().folder
    for name in ("serving.csv", "serving_memory.csv"):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = shipped(reader, licences())
            write(rows, reader.fieldnames or (), MEASURED / name)


if __name__ == "__main__":
    main()
