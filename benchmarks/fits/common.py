"""What the fit programs share: the measured tables, the catalog's chips, and how a fit is written down."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Names in the measured tables: (family, bf16 peak TFLOP/s, memory GB/s, compute units, watts). The peaks are those of
# data/catalog, repeated so that a fit does not move when the catalog is edited for another reason.
CHIPS: Mapping[str, tuple[str, float, float, int]] = {
    "A100 SXM 80GB": ("Ampere", 312.0, 2039.0, 108),
    "H100 SXM 80GB": ("Hopper", 989.4, 3350.0, 132),
    "H200 SXM 141GB": ("Hopper", 989.4, 4800.0, 132),
    "B200 SXM 180GB": ("Blackwell", 2250.0, 7700.0, 148),
    "B300 SXM 288GB": ("Blackwell Ultra", 2250.0, 7750.0, 148),
    "GB300 288GB": ("Blackwell Ultra", 2500.0, 8000.0, 148),
    "Arc Pro B60 24GB": ("Xe2", 98.5, 456.0, 160),
}


def measured(name: str) -> Path:
    """Return the path of a measured table in the `shared/` folder beside the checkout."""
    for parent in ROOT.parents:
        path = parent / "shared" / "data" / "measured" / name
        if path.exists():
            return path
    raise SystemExit(f"no shared/data/measured/{name} beside the checkout: the fit needs the measured tables.")


def write_yaml(
    name: str,
    head: Mapping[str, Any],
    key: str,
    records: Iterable[Mapping[str, Any]],
    maps: Mapping[str, Mapping[str, Any]] | None = None,
    lists: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
) -> None:
    """Write data/efficiency/`name`: head, records under `key`, then `maps` of plain values and more `lists` of records."""
    lines = [f"{field}: {_scalar(value)}" for field, value in head.items()]
    lines += [f'as_of: "{datetime.date.today().isoformat()}"', f"{key}:"]
    lines += _records(records)
    for title, values in (maps or {}).items():
        lines += [f"{title}:"] + [f"  {field}: {_scalar(value)}" for field, value in values.items()]
    for title, more in (lists or {}).items():
        lines += [f"{title}:", *_records(more)]
    (ROOT / "data" / "efficiency" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _records(records: Iterable[Mapping[str, Any]]) -> list[str]:
    return [
        f"{'  - ' if position == 0 else '    '}{field}: {_scalar(value)}"
        for record in records
        for position, (field, value) in enumerate(record.items())
    ]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
        if "e" in text and "." not in text:  # PyYAML reads 1e-05 as text
            text = text.replace("e", ".0e")
        return text if "." in text or "e" in text else f"{text}.0"
    return '"' + str(value).replace('"', "'") + '"'
