"""Numbers of a model, a chip and a cut that efficiency follows, so that it carries over to models and chips not measured.

Each is a logarithm with its zero near the middle of the measured rows; the fit has one slope per parameter and number
(`benchmarks/fits/serving.py`). An offset by chip or model says nothing of the next one, a slope does:

    flops per watt  a card whose peak is high for its power cannot hold its clock when it computes
    bandwidth       wide memories are harder to fill
    ridge           FLOPs per byte of the chip: many units to each channel keep more reads in flight
    slice           width of the matrices that one chip is left with: narrow ones fill few tiles
    ways            chips of a group: messages, synchronisation, scheduling
    expert width    narrow experts are small products, read and computed badly
    experts         more experts to sort tokens into
    copies          data-parallel ranks of attention, which wait for each other
    group           query heads per cached head: how often a cached number is used when read
    bits            of a weight: narrow formats cost more to expand

Outside the measured range a number is held at the nearest measured one: slopes are not for extrapolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..facts.records import Accelerator
from .equations import ModelCounts

_ZEROS = {
    "power": 1e12,  # FLOP/s per W
    "bandwidth": 2e12,  # bytes/s
    "ridge": 250.0,  # FLOPs per byte
    "hidden": 4096.0,
    "width": 2048.0,  # of an expert
    "experts": 64.0,
    "group": 4.0,
    "bits": 16.0,
}
_MATRICES = 3.0  # of a gated feed-forward network


def covariates(
    chip: Accelerator, counts: ModelCounts, *, ways: float, copies: float, weight_bits: float, cache_bits: float
) -> Mapping[str, float]:
    """Return the numbers by name; zero where a chip or a model has none."""
    names = ("bf16", "fp16", "fp32")
    rate = next((chip.peak_flops_per_s[name] for name in names if chip.peak_flops_per_s.get(name)), 0.0)
    cached = (counts.full_kv_bytes + counts.window_kv_bytes) * 8.0 / cache_bits
    pairs = counts.decode_pair_flops + counts.decode_window_pair_flops
    has_experts = counts.mixture_layers > 0
    return {
        "flops per watt": _log(rate / chip.power_w, _ZEROS["power"]) if chip.power_w else 0.0,
        "bandwidth": _log(chip.memory_bandwidth_bytes_per_s, _ZEROS["bandwidth"]),
        "ridge": _log(rate / chip.memory_bandwidth_bytes_per_s, _ZEROS["ridge"]),
        "slice": _log(counts.hidden / ways, _ZEROS["hidden"]),
        "ways": _log(ways, 1.0),
        "expert width": _log(_expert_width(counts), _ZEROS["width"]) if has_experts else 0.0,
        "experts": _log(counts.experts, _ZEROS["experts"]) if has_experts else 0.0,
        "copies": _log(copies, 1.0),
        "group": _log(pairs / (2.0 * cached), _ZEROS["group"]) if cached else 0.0,
        "bits": _log(weight_bits, _ZEROS["bits"]),
    }


def _expert_width(counts: ModelCounts) -> float:
    products = 2.0 * _MATRICES * counts.hidden * counts.mixture_layers * counts.active_experts
    return counts.expert_flops / products


def _log(value: float, zero: float) -> float:
    return math.log(value / zero) if value > 0 else 0.0
