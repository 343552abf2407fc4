"""The question made ready for the search: the request, the defaults, the sizing law, and what may be spent."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ..facts.plan_defaults import PlanDefaults
from ..frozen import dataclass
from ..models.shape import ModelShape
from ..training.layout import Recipe
from ..units import DAY
from .request import PlanRequest
from .sizing import Sizing

if TYPE_CHECKING:
    from .serving import ServingPrices


class Limit(StrEnum):
    """What stopped the plan from being larger."""

    BUDGET = "budget"
    DEADLINE = "deadline"
    ACCELERATORS = "accelerators"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The question, made ready. `money_usd` is what the run and serving may cost, infinite without a budget."""

    request: PlanRequest
    defaults: PlanDefaults
    sizing: Sizing
    money_usd: float
    shape: ModelShape | None  # of a named model
    serving: ServingPrices | None = None  # where tokens are to be served

    @property
    def longest_s(self) -> float:
        """How long a run that takes all the money may be: to the deadline, else the longest that people wait."""
        return self.request.deadline_s or self.defaults.patience[-1].days * DAY

    @property
    def recipe(self) -> Recipe:
        """The numerical recipe of the run."""
        return Recipe(precision=self.request.precision)
