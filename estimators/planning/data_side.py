"""Does data or compute bind a plan, and what does one more dollar buy on either side?

The compute side is priced by the plan itself (dollars of the run over its 6ND), the data side by the cheapest way to new
unique tokens that `flopwise data` knows, by the user's data plan, or by a price the user names. The derivatives are those
of datacost/marginal.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..datacost.lines import CENTS
from ..datacost.marginal import Marginal, marginal
from ..datacost.needs import DataPlan, Kind, Need
from ..datacost.plan import Setting as DataSetting
from ..datacost.plan import make_data_plan
from ..frozen import dataclass
from .search import Plan

_MILLION = 1e6
_LEAST_GAP = 0.1  # of the tokens trained on: the gap that is priced where little or nothing is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSide:
    """The comparison; `way` says in words where the price of a token comes from, `data_usd` what the data plan costs."""

    marginal: Marginal
    way: str
    unique_tokens: float
    data_usd: float | None

    @property
    def usd_per_million_tokens(self) -> float:
        """Price of a million new unique tokens."""
        return self.marginal.usd_per_token * _MILLION


def data_side(
    plan: Plan,
    unique_tokens: float,
    setting: DataSetting,
    *,
    data_plan: DataPlan | None = None,
    usd_per_token: float | None = None,
) -> DataSide:
    """Return the comparison for a finished plan."""
    size = plan.chosen.size
    if usd_per_token is not None:
        price, way = usd_per_token, "--data-price"
    else:
        price, way = _planned(data_plan) or _cheapest(size.tokens, unique_tokens, setting)
    found = marginal(
        plan.setting.sizing.surface,
        size.params,
        size.tokens,
        unique_tokens,
        plan.chosen.training_usd.mid / size.flops,
        price,
    )
    spent = data_plan.totals.cents[1] / CENTS if data_plan else None
    return DataSide(marginal=found, way=way, unique_tokens=unique_tokens, data_usd=spent)


def _planned(data_plan: DataPlan | None) -> tuple[float, str] | None:
    """Return the price of the ways that a data plan chose, where it chose any."""
    parts = [part for part in data_plan.parts if part.chosen and part.need.kind is Kind.TEXT] if data_plan else []
    missing = sum(part.missing for part in parts)
    if not missing:
        return None
    cents = sum(line.cents[1] for part in parts if part.chosen for line in part.chosen.lines)
    names = dict.fromkeys(str(part.chosen.way) for part in parts if part.chosen)
    return cents / CENTS / missing, f"your data plan ({', '.join(names)})"


def _cheapest(tokens: float, unique: float, setting: DataSetting) -> tuple[float, str]:
    gap = max(tokens - unique, _LEAST_GAP * tokens)
    needs: Sequence[Need] = (Need(kind=Kind.TEXT, amount=gap, epochs=1.0, open_sets=False),)
    part = make_data_plan(needs, setting).parts[0]
    assert part.chosen  # a gap always has a way that needs nothing the user may not have
    return sum(line.cents[1] for line in part.chosen.lines) / CENTS / gap, f"{part.chosen.way}, the cheapest way"
