"""What a measured row leaves unsaid, filled in as an expert would who knows the stack and the year.

Each function takes what the row says and returns the setting; `case_of` notes what was filled. None of them looks at
a measurement. Where a row states the power of its chip or the network of its nodes, that replaces the catalog's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ...estimators.models.parameters import count_parameters
from ...estimators.training.layout import AttentionKernel, Framework, Precision, Recompute, Scaling, Zero

if TYPE_CHECKING:
    from ...estimators.facts.records import Accelerator
    from .rows import MeasuredRow, Settings

_ACTIVATION_BYTES = 34  # per token, hidden unit and layer with fused attention (arXiv:2205.05198, equation 1)
_USABLE = 0.92
_TENSOR_PARALLEL_CORE = (Framework.MEGATRON, Framework.NEURON, Framework.INTERNEVO)


def stated_accelerator(row: MeasuredRow, accelerator: Accelerator) -> Accelerator:
    """Return the accelerator with the power in its name ("...-500W") and the node network in the notes, if stated."""
    watts = re.search(r"(\d{3,4})W\b", row.configuration.text("accelerator"))
    if watts:
        accelerator = replace(accelerator, power_w=float(watts[1]))
    notes = row.configuration.text("notes")
    node = re.search(r"(\d{3,4}) Gb/s nodes", notes)
    ports = re.search(r"(\d)x(\d{3}) Gb", notes)
    gigabits = float(node[1]) if node else float(ports[1]) * float(ports[2]) if ports else None
    if gigabits:
        accelerator = replace(accelerator, network_bytes_per_s_per_node=gigabits * 1e9 / 8)
    return accelerator


def framework(row: MeasuredRow, said: Settings) -> Framework | None:
    """Return the framework; MLPerf results that only name a container ran Megatron-Core."""
    if said.framework is None and "mlperf" in f"{row.source} {said.name}".lower():
        return Framework.MEGATRON
    return said.framework or (Framework.FSDP if (said.accelerator and said.accelerator.vendor == "NVIDIA") else None)


def is_core(row: MeasuredRow, said: Settings) -> bool:
    """Whether the job runs on Megatron-Core or its like of 2023 and later."""
    return framework(row, said) is Framework.MEGATRON and (said.year or 2024) >= 2023


def sequence_parallel(row: MeasuredRow, said: Settings, tp: int) -> bool:
    """Megatron-Core recipes divide norms over tensor ranks; Megatron-LM before 2023 could not."""
    if said.sequence_parallel is not None:
        return said.sequence_parallel
    return tp > 1 and framework(row, said) in _TENSOR_PARALLEL_CORE and (said.year or 2024) >= 2023


def interleave(row: MeasuredRow, said: Settings, pp: int) -> int:
    """Megatron-Core recipes interleave pipelines with few layers per virtual stage, at most five."""
    if said.interleave is not None:
        return said.interleave
    if pp == 1 or not is_core(row, said):
        return 1
    per_stage = said.shape.layers // pp
    return max(1, min(5, per_stage if per_stage <= 5 else per_stage // 4))


def sharding(row: MeasuredRow, said: Settings, replicas: int) -> Zero:
    """Return the sharding of the stack's recipes."""
    if said.zero is not None:
        return said.zero
    core = framework(row, said) in (Framework.MEGATRON, Framework.NEURON) or said.accelerator_text.startswith("MI")
    return Zero.OPTIMIZER if core and replicas > 1 else Zero.NONE


def recompute(row: MeasuredRow, said: Settings, tp: int, pp: int, micro_batch: int, replicas: int) -> Recompute:
    """Return what is recomputed where the row does not say.

    Megatron-Core recipes choose layouts that need none, and recompute parts of mixtures; XLA stacks on accelerators
    with little memory recompute layers; others do when activations and states would not fit.
    """
    text = row.configuration.text("recompute").lower()
    if said.recompute is not None:
        # MaxText's custom policies keep or offload some projections and run the other products again.
        xla = framework(row, said) is Framework.JAX
        if xla and said.recompute is Recompute.SELECTIVE and "minimal" not in text:
            return Recompute.PRODUCTS
        return said.recompute
    assert said.accelerator is not None
    kind = framework(row, said)
    if kind is Framework.NEURON or (kind is Framework.JAX and said.accelerator.vendor == "Google"):
        return Recompute.FULL
    usual = Recompute.SELECTIVE if said.shape.is_mixture else Recompute.NONE
    if said.adapter or is_core(row, said):
        return usual
    sequence, hidden = said.sequence_tokens or 2048, said.shape.hidden
    in_flight = 1 + (pp - 1) / pp
    activations = micro_batch * sequence / (said.cp or 1) * hidden * _ACTIVATION_BYTES * said.shape.layers / tp
    states = count_parameters(said.shape).total / (tp * pp) * (6 + 12 / max(1, replicas))
    if activations * (in_flight if pp > 1 else 1) + states < _USABLE * said.accelerator.memory_bytes:
        return usual
    return Recompute.PRODUCTS if kind is Framework.JAX else Recompute.FULL


def precision(row: MeasuredRow, said: Settings) -> Precision | None:
    """Return the format of the products; Blackwell recipes that mention fp8 at all ran in it."""
    text = row.configuration.text("precision").lower()
    blackwell = said.accelerator is not None and said.accelerator.architecture.startswith("Blackwell")
    if said.precision is Precision.BF16 and "fp8" in text and blackwell:
        return Precision.FP8
    return said.precision


def scaling(row: MeasuredRow) -> Scaling:
    """Return how fp8 is scaled: by blocks where the row says mx or block."""
    text = row.configuration.text("precision").lower()
    return Scaling.BLOCK if "mx" in text or "block" in text else Scaling.TENSOR


def flash_attention(row: MeasuredRow, said: Settings) -> bool:
    """Return whether attention is fused: everywhere since 2023, but in deterministic test runs, which switch it off."""
    if "determin" in row.configuration.text("flash_attention").lower():
        return False
    return (said.year or 2024) >= 2023 if said.flash_attention is None else said.flash_attention


def attention_kernel(row: MeasuredRow) -> AttentionKernel:
    """Return the generation of the attention kernel that the row names."""
    text = row.configuration.text("flash_attention").lower()
    if re.search(r"fa3|fa4|flash-?[34]", text):
        return AttentionKernel.FLASH_3
    return AttentionKernel.FLASH_2 if re.search(r"fa2|sdpa|flash-?2", text) else AttentionKernel.DEFAULT


def software_year(row: MeasuredRow, said: Settings) -> float | None:
    """Return when the software was released: the container's month where the notes give one, else the row's year."""
    container = re.search(r"container (\d\d)\.(\d\d)", row.configuration.text("notes"))
    if container:
        return 2000 + int(container[1]) + (int(container[2]) - 1) / 12
    return said.year
