"""How fast an open model writes on one chip: as measured, or from the serving model for other models and chips.

`data_costs.yaml` holds rates measured on an H100 in batch generation. Anything else is asked of the serving model with
requests always waiting (serving/loops.py, `queued`): the best cut over chips counts, per chip, with the band of its
out-of-fold errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DoesNotFit, UnknownName
from ..facts.datacosts import DataCosts, Rate
from .chips import REFERENCE

if TYPE_CHECKING:
    from ..facts.catalog import Catalog


def writer(costs: DataCosts, catalog: Catalog, typed: str, accelerator: str) -> Rate:
    """Return output tokens per second of one chip.

    Raises:
        UnknownName: neither a measured generator nor a model is called so.
        DoesNotFit: the model fits on no cut of the chip.
    """
    if accelerator == REFERENCE:
        try:
            return costs.generator(typed)
        except UnknownName:
            pass
    return _served(costs, catalog, typed, accelerator)


def _served(costs: DataCosts, catalog: Catalog, typed: str, accelerator: str) -> Rate:
    from ..facts.serving import load_serving_rules
    from ..facts.serving_fit import load_serving_fit
    from ..models.resolve import resolve_model
    from ..serving.memory import room_sequences
    from ..serving.money import speed_factor
    from ..serving.performance import Replica, Traffic
    from ..serving.sizing import Choice, setups, usual_weights

    shape = resolve_model(typed).shape
    chip, rules, fit = catalog.accelerators[accelerator], load_serving_rules(), load_serving_fit()
    weights, _ = usual_weights(shape, rules)
    output = costs.rate("synthetic_output_tokens").value
    traffic = Traffic(input_tokens=output * costs.rate("prompt_ratio").value, output_tokens=output)
    best, model = 0.0, ""
    for setup in setups(shape, chip, Choice(weights=weights), rules):
        if room_sequences(setup, traffic.input_tokens + traffic.output_tokens) >= 1:
            each = Replica(setup, fit, traffic).queued_output_per_s() / (setup.tensor * setup.pipeline)
            best, model = max(best, each), setup.architecture_key
    if best <= 0:
        raise DoesNotFit(f"{shape.name} fits on no cut over {chip.name}; choose a smaller generator or another chip.")
    factor = speed_factor(fit, accelerator, model=model)
    return Rate(
        id=f"{typed} on {accelerator}",
        what=shape.name,
        value=best,
        low=best * factor.low,
        high=best * factor.high,
        unit=f"tokens/s per {accelerator}",
        year="2026",
        source=f"the serving model of flopwise; {factor.basis}",
        status="computed",
        note="",
        is_guess=False,
        origin="data/efficiency/serving.yaml",
    )
