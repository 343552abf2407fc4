"""Fit data/efficiency/collectives.yaml on measured NCCL sweeps: `python -m flopwise.benchmarks.fits.collectives`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from ...estimators.facts.surfaces import LinkSurface
from ...estimators.stepmodel.links import domain_seconds
from .common import measured, write_yaml

FAMILY = {
    "A100 SXM 80GB": "Ampere",
    "H100 SXM 80GB": "Hopper",
    "B200 SXM 180GB": "Blackwell",
    "GB200 186GB": "Blackwell",
    "B300 SXM 288GB": "Blackwell Ultra",
    "GB300 288GB": "Blackwell Ultra",
    "RTX PRO 6000 Blackwell Server": "PCIe",
}
PCIE_LINK = 63.0  # GB/s one way of a 5.0 x16 slot, which the table leaves blank
START = (6e-6, 1e-6, 0.7, 0.5, 1.0)
LOW = (1e-7, 1e-9, 0.05, 1e-3, 1e-3)
HIGH = (1e-4, 1e-4, 1.2, 5.0, 20.0)


def surface(family: str, collective: str, constants: np.ndarray, **about: object) -> LinkSurface:
    """Return the record of fitted constants."""
    told: dict[str, object] = {
        "measured_on": "",
        "rows": 0,
        "median_error": 0.0,
        "is_measured": True,
        "basis": "",
    } | about
    latency, per_rank, fraction, group, ramp = (float(value) for value in constants)
    return LinkSurface(
        family=family,
        collective=collective,
        latency_s=latency,
        latency_per_rank_s=per_rank,
        fraction=fraction,
        small_group=group,
        ramp=ramp,
        **told,  # type: ignore[arg-type]
    )


def fit(family: str, collective: str, rows: pd.DataFrame) -> LinkSurface:
    """Return the surface of one family and collective."""
    size, ranks = rows.message_bytes.to_numpy(float), rows.n_gpus.to_numpy(float)
    link = rows.link_spec_unidir_gbs.fillna(PCIE_LINK).to_numpy(float) * 1e9
    seconds = rows.latency_us.to_numpy(float) * 1e-6

    def residuals(logs: Any) -> Any:
        told = surface(family, collective, np.exp(logs))
        return np.log(domain_seconds(told, link, size, ranks, root=np.sqrt) / seconds)

    found = least_squares(residuals, np.log(START), bounds=(np.log(LOW), np.log(HIGH)), loss="soft_l1", f_scale=0.1)
    return surface(
        family,
        collective,
        np.exp(found.x),
        measured_on=", ".join(sorted(rows.accelerator.unique())),
        rows=len(rows),
        median_error=float(np.median(np.abs(residuals(found.x)))),
        basis="collectives.csv, NCCL, 2 to 8 ranks in one domain",
    )


def main() -> None:
    """Fit and write."""
    table = pd.read_csv(measured("collectives.csv"), low_memory=False)
    table = table[table.implementation.str.startswith("NCCL 2") & (table.nodes == 1)]
    table = table[table.latency_us.notna() & table.message_bytes.notna() & table.accelerator.isin(FAMILY)]
    table = table[~table.implementation.str.contains("off")]
    table["family"] = table.accelerator.map(FAMILY)
    records = [fit(str(f), str(c), rows) for (f, c), rows in table.groupby(["family", "collective"])]
    head = {
        "about": "collectives inside one link domain: constants of estimators/stepmodel/links.py",
        "command": "python -m flopwise.benchmarks.fits.collectives",
        "source": "NCCL sweeps of ai-dynamo/aiconfigurator (Apache-2.0)",
    }
    write_yaml(
        "collectives.yaml",
        head,
        "surfaces",
        [{f: getattr(r, f) for f in LinkSurface.__dataclass_fields__} for r in records],
    )
    for record in records:
        print(record.family, record.collective, record.rows, f"{record.median_error:.3f}")


if __name__ == "__main__":
    main()
