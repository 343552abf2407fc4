"""The reasons behind an answer, printed by --explain: every formula with its inputs, their sources and the result."""

from __future__ import annotations

from ...estimators.quantity import Given, Step
from ...estimators.units import show


def step_line(step: Step) -> str:
    """Return "training flops = 6 N D = 48.2 ZFLOP"."""
    return f"{step.name.replace('_', ' ')} = {step.formula} = {show(step.value, step.unit)}"


def given_line(given: Given) -> str:
    """Return "N = 8.03B (data/models.yaml)"."""
    value = given.value if isinstance(given.value, str) else show(given.value, given.unit)
    return f"{given.symbol} = {value}" + (f" ({given.source})" if given.source else "")


def after_lines(step: Step) -> tuple[str, ...]:
    """Return what stands below the inputs: where the formula comes from and which term decides."""
    source = (f"source: {step.source}",) if step.source else ()
    return (*source, f"decided by: {step.dominant}") if step.dominant else source
