"""Fit data/efficiency/gemm.yaml on the measured products: `python -m flopwise.benchmarks.fits.gemm`.

Per family and number format, least squares on the log of the time with a soft L1 loss, over products with at least 256
rows (training never has fewer). The quoted error is that of the fit on its own rows; five-fold figures differ by less
than 0.5 points because six constants meet 200 to 800 rows.
Families without products in the table take Hopper's shape and the best rate of hardware.csv, and are marked so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from ...estimators.stepmodel.surface import MatrixRates, matrix_seconds
from .common import CHIPS, measured, write_yaml

FORMATS = {
    "bfloat16": ("bf16", 1.0, 2.0),
    "fp8": ("fp8", 2.0, 1.0),
    "fp8_block": ("fp8-block", 2.0, 1.0),
    "nvfp4": ("fp4", 0.0, 0.5625),
}
FP4_TIMES_BF16 = {"B200 SXM 180GB": 4.0, "B300 SXM 288GB": 14000 / 2250, "GB300 288GB": 6.0}

# (family, format, best measured fraction of the dense peak, where from). Shape constants are Hopper's.
BY_MAXIMUM = (
    ("Volta", "bf16", 0.76, "V100 SXM, mag- gpu_benchmark in hardware.csv (fp16)"),
    ("Turing", "bf16", 0.70, "guess: between Volta and Ampere"),
    ("Ada", "bf16", 0.77, "RTX 6000 Ada, L4, RTX 4000 Ada: 0.755 to 0.774 in hardware.csv"),
    ("Ada", "fp8", 0.74, "guess: Ada bf16 less the fp8 to bf16 gap of Hopper"),
    ("CDNA2", "bf16", 0.50, "guess: below CDNA3"),
    ("CDNA3", "bf16", 0.57, "MI300X 0.51 to 0.60 in hardware.csv"),
    ("CDNA3", "fp8", 0.48, "guess: CDNA3 bf16 less the fp8 to bf16 gap of Hopper"),
    ("CDNA4", "bf16", 0.68, "MI355X, stas00 MAMF in hardware.csv"),
    ("CDNA4", "fp8", 0.60, "guess: CDNA4 bf16 less the fp8 to bf16 gap of Hopper"),
    ("Gaudi2", "bf16", 0.95, "Gaudi 2, stas00 MAMF in hardware.csv"),
    ("Gaudi2", "fp8", 0.93, "Gaudi 2, stas00 MAMF in hardware.csv"),
    ("Gaudi3", "bf16", 0.74, "Gaudi 3, stas00 MAMF in hardware.csv"),
    ("Gaudi3", "fp8", 0.76, "Gaudi 3, stas00 MAMF in hardware.csv"),
    ("TPU", "bf16", 0.90, "TPU v6e 8192 cubed, tpu-recipes in hardware.csv"),
    ("TPU", "fp8", 0.88, "guess: TPU bf16"),
    ("NeuronCore", "bf16", 0.70, "guess: no measured product"),
    ("NeuronCore", "fp8", 0.65, "guess: no measured product"),
    ("other", "bf16", 0.70, "guess: no measured product"),
    ("other", "fp8", 0.60, "guess: no measured product"),
)
# A TPU works on blocks in its vector memory: with the 512 x 1024 output blocks of the Pallas guide to matrix products
# (docs.jax.dev, pallas/tpu/matmul) each multiply-add reads 2 bytes x (1/512 + 1/1024) again. That is 341 FLOP per byte:
# more than v4, v5e and v5p need (224, 240, 166), less than v6e does (560). That XLA uses such blocks is a guess; training
# steps on v5e and v6e, each left out of the fit, agree with it (9 and 3 % off; 18 and 16 % with blocks of 1024).
SCRATCHPAD_TILE = {"TPU": 2.0 / 512 + 2.0 / 1024}
START = (0.8, 200.0, 5e-6, 0.8, 0.5, 0.9, 0.5)
LOW = (0.05, 1.0, 1e-7, 0.2, 0.01, 0.4, 0.001)
HIGH = (1.0, 8000.0, 5e-5, 1.0, 1.0, 1.0, 8.0)


def rates(constants: np.ndarray, peak: float, memory: float, units: int, bytes_in: float) -> MatrixRates:
    """Set fitted constants on a chip."""
    fraction, startup, launch, streaming, quantisation, small, passes = constants
    convert = passes * (2.0 + bytes_in) / memory if bytes_in < 2 else 0.0
    return MatrixRates(
        peak * fraction, memory * streaming, units, startup, launch, quantisation, small, convert, bytes_in, 2.0
    )


def fit(table: pd.DataFrame, kind: str) -> dict[str, object]:
    """Return the record of one family and format."""
    name, times, bytes_in = FORMATS[kind]
    groups = []
    for chip, rows in table.groupby("accelerator"):
        _, peak, memory, units = CHIPS[str(chip)]
        m, n, k = (rows[c].to_numpy(float) for c in "mnk")
        groups.append(
            (
                peak * 1e12 * (times or FP4_TIMES_BF16[str(chip)]),
                memory * 1e9,
                units,
                m,
                n,
                k,
                rows.latency_ms.to_numpy() * 1e-3,
            )
        )

    def residuals(logs: np.ndarray) -> np.ndarray:
        parts = []
        for peak, memory, units, m, n, k, seconds in groups:
            on_chip = rates(np.exp(logs), peak, memory, units, bytes_in)
            parts.append(np.log(matrix_seconds(on_chip, m, n, k, least=np.minimum) / seconds))
        return np.concatenate(parts)

    found = least_squares(residuals, np.log(START), bounds=(np.log(LOW), np.log(HIGH)), loss="soft_l1", f_scale=0.1)
    values = np.exp(found.x)
    if bytes_in == 2:
        values[6] = 0.0
    chips = sorted(table.accelerator.unique())
    fields = (
        "peak_fraction",
        "startup_inner",
        "launch_s",
        "memory_fraction",
        "quantisation",
        "small_tile",
        "convert_passes",
    )
    return {
        "family": CHIPS[chips[0]][0],
        "format": name,
        **{field: float(value) for field, value in zip(fields, values, strict=True)},
        "tile_bytes": 0.0,
        "measured_on": ", ".join(chips),
        "rows": len(table),
        "median_error": float(np.median(np.abs(residuals(found.x)))),
        "is_measured": True,
        "basis": "gemm.csv, products of at least 256 rows",
    }


def main() -> None:
    """Fit and write."""
    table = pd.read_csv(measured("gemm.csv"))
    table = table[table.m >= 256]
    table["family"] = [CHIPS[chip][0] for chip in table.accelerator]
    records = [fit(rows, str(kind)) for (_, kind), rows in table.groupby(["family", "dtype"])]
    hopper = {record["format"]: record for record in records if record["family"] == "Hopper"}
    for family, kind, fraction, basis in BY_MAXIMUM:
        records.append(
            hopper[kind]
            | {"tile_bytes": SCRATCHPAD_TILE.get(family, 0.0)}
            | {"family": family, "format": kind, "peak_fraction": fraction, "measured_on": "", "rows": 0}
            | {"median_error": 0.15, "is_measured": False, "basis": f"shape of Hopper, maximum: {basis}"}
        )
    head = {
        "about": "matrix products: constants of estimators/stepmodel/surface.py",
        "command": "python -m flopwise.benchmarks.fits.gemm",
        "source": "measured products of ai-dynamo/aiconfigurator (Apache-2.0), TensorRT-LLM and vLLM kernels; maxima of stas00/ml-engineering and others",
    }
    write_yaml("gemm.yaml", head, "surfaces", records)
    for record in records:
        print(record["family"], record["format"], record["rows"], f"{record['median_error']:.3f}")


if __name__ == "__main__":
    main()
