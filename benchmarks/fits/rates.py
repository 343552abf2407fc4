"""Fit data/efficiency/rates.yaml (attention and memory rates) on hardware.csv: `python -m flopwise.benchmarks.fits.rates`.

The table gives medians over many shapes, so that a family has one figure each: the share of the dense bf16 peak that
fused causal attention reaches forward on long sequences, and the share of the memory rate that streaming reaches.
"""

from __future__ import annotations

import pandas as pd

from .common import measured, write_yaml

CHIPS = {
    "A100 SXM 80GB": "Ampere",
    "A100 SXM 40GB": "Ampere",
    "H100 SXM 80GB": "Hopper",
    "H100 PCIe 80GB": "Hopper",
    "H200 SXM 141GB": "Hopper",
    "B200 SXM 180GB": "Blackwell",
    "GB200 186GB": "Blackwell",
    "B300 SXM 288GB": "Blackwell Ultra",
    "L40": "Ada",
    "MI100": "CDNA2",
    "V100 SXM 32GB": "Volta",
}
# Guesses, marked as such in the file: (attention share, memory share, basis).
GUESSES = {
    "Volta": (0.25, None, "attention: no fused kernel before Ampere in use"),
    "Turing": (0.25, 0.85, "attention: no fused kernel before Ampere in use"),
    "Ada": (0.55, None, "attention: as Ampere"),
    "CDNA2": (0.35, None, "attention: less than CDNA3"),
    "CDNA3": (0.40, 0.80, "attention: share of the matrix maximum as Hopper"),
    "CDNA4": (0.40, 0.80, "attention: share of the matrix maximum as Hopper"),
    "Gaudi2": (0.50, 0.85, "as Ampere"),
    "Gaudi3": (0.45, 0.85, "as Ampere"),
    "TPU": (0.45, 0.90, "attention: splash kernel, as Ampere less"),
    "NeuronCore": (0.40, 0.85, "as Ampere less"),
    "Xe2": (0.40, 0.85, "as Ampere less"),
    "other": (0.40, 0.80, "as Ampere less"),
}


def main() -> None:
    """Fit and write."""
    table = pd.read_csv(measured("hardware.csv"))
    table["family"] = table.accelerator.map(CHIPS)
    prefill = table[(table.metric == "prefill_attention") & table.shape_mnk.str.startswith("median", na=False)]
    prefill = prefill[prefill.precision == "attn bfloat16 kv bfloat16"]
    stream = table[(table.metric == "bandwidth") & table.precision.isin(["scale", "triad", "copy"])]
    weights = table[(table.metric == "gemv_weight_bandwidth") & (table.precision == "bfloat16")]
    records = []
    for family in sorted({*CHIPS.values(), *GUESSES}):
        attention = prefill[prefill.family == family].efficiency
        memory = stream[stream.family == family].bw_efficiency
        if memory.empty:
            memory = weights[weights.family == family].bw_efficiency
        guess = GUESSES.get(family, (None, None, ""))
        records.append(
            {
                "family": family,
                "attention_fraction": float(attention.median()) if len(attention) else guess[0],
                "attention_rows": len(attention),
                "attention_spread": float(attention.max() - attention.min()) if len(attention) > 1 else 0.1,
                "memory_fraction": float(memory.median()) if len(memory) else guess[1] or 0.85,
                "memory_rows": len(memory),
                "basis": "hardware.csv" + (f"; guess: {guess[2]}" if guess[2] else ""),
            }
        )
    head = {
        "about": "attention and memory rates as shares of the sheet, used by estimators/stepmodel/chip.py",
        "command": "python -m flopwise.benchmarks.fits.rates",
        "source": "medians of ai-dynamo/aiconfigurator (Apache-2.0) kernels and of te42kyfo/gpu-benches in hardware.csv",
    }
    write_yaml("rates.yaml", head, "rates", records)


if __name__ == "__main__":
    main()
