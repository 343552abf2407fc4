"""What stages are worked out with: the file, the catalog, prices already named; and errors that know their line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import AnswerIsNo, DoesNotFit, FactsError, InputError
from ..facts.budget_defaults import Default, load_budget_defaults
from ..facts.budget_records import BudgetFile, Renting, Stage, Terms
from ..facts.records import CloudClass, PricePlan
from ..frozen import dataclass, replace
from ..quantity import Quantity, exact
from ..units import HOUR, MONTH
from .lines import Draft, PriceInput

if TYPE_CHECKING:
    from ..facts.catalog import Catalog
    from ..facts.records import Accelerator
    from ..models.resolve import ResolvedModel
    from ..pricing.quote import Quote

HOURS_PER_MONTH = MONTH / HOUR
ACCELERATOR_HOUR = "accelerator-hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Accelerators that a stage keeps busy: `count` at once, `hours` of all of them in each of its months.

    `weights` spread the hours over the months (None: evenly). Serving cannot wait, so it cannot share with others.
    """

    accelerator: Accelerator
    count: float
    hours: Quantity
    weights: tuple[float, ...] | None
    serves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A stage worked out: its drafts, how many months it needs (None: until the end), and what to tell about it."""

    drafts: tuple[Draft, ...]
    lasts: int | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    demand: Demand | None = None
    renting: Renting | None = None
    commitment_months: int | None = None  # of a contract that outlasts the stage
    api_tokens: tuple[float, float] | None = None  # input and output tokens, in all, of a stage that serves


class Context:
    """Shared by all stages of one budget. Prices are kept by key, so that lines with one price share one record."""

    def __init__(self, budget: BudgetFile, catalog: Catalog) -> None:
        self.budget, self.catalog = budget, catalog
        self.prices: dict[str, PriceInput] = {}
        self._models: dict[str, ResolvedModel] = {}
        self.quotes: dict[str, Quote] = {}  # behind the prices that stages use

    @cached_property
    def defaults(self) -> dict[str, Default]:
        """The entries of data/budget_defaults.yaml."""
        return dict(load_budget_defaults())

    @cached_property
    def own_prices(self) -> dict[str, float]:
        """Dollars per accelerator-hour that the file gives, by accelerator."""
        found: dict[str, float] = {}
        for name, usd in self.budget.prices.items():
            with self.naming("prices", name):
                chip = self.catalog.find(name).id
                if chip in found:
                    raise InputError(f"the price of {chip} is given twice, once as '{name}'; remove one.")
                found[chip] = usd
        return found

    def default(self, name: str) -> Quantity:
        """Return one default with its range."""
        return self.defaults[name].value

    def model(self, typed: str) -> ResolvedModel:
        """Return a model by name, config or size; kept, for several stages use one."""
        from ..models.resolve import resolve_model

        if typed not in self._models:
            self._models[typed] = resolve_model(typed)
        return self._models[typed]

    @contextmanager
    def naming(self, *path: str | int) -> Iterator[None]:
        """Turn an error about the value at `path` into one that names file and line."""
        file = self.budget.file
        try:
            yield
        except FactsError:
            raise
        except InputError as error:
            raise file.error(keys_for_flags(str(error)), *path) from None
        except AnswerIsNo as error:
            line = file.line(*path)
            place = f"{file.file}:{line}: " if line else f"{file.file}: "
            kind = DoesNotFit if isinstance(error, DoesNotFit) else AnswerIsNo
            raise kind(f"{place}{keys_for_flags(str(error))}") from None

    def named_price(self, price: PriceInput) -> PriceInput:
        """Return the price under its key; another price of the same name gets a number, so that neither is lost."""
        key, number = price.key, 1
        while (known := self.prices.get(key)) and (known.usd, known.unit) != (price.usd, price.unit):
            number += 1
            key = f"{price.key} ({number})"
        return self.prices.setdefault(key, replace(price, key=key))

    def hour_price(self, stage: Stage, renting: Renting, accelerator: Accelerator) -> PriceInput:
        """Return the price of an accelerator-hour on the terms of a stage.

        Raises:
            FactsError: nobody sells it on these terms.
        """
        name = accelerator.name.partition(" (")[0]
        if renting.plan is Terms.OWNED:
            return self.named_price(
                PriceInput(
                    key=f"{name}, owned",
                    usd=exact(0.0, "usd", "paid by the hardware stage"),
                    unit=ACCELERATOR_HOUR,
                    date="",
                    source="hardware stage of this budget",
                )
            )
        if renting.usd_per_hour is not None:
            return self._own(f"{name}, price of '{stage.name}'", renting.usd_per_hour)
        if accelerator.id in self.own_prices:
            return self.own_hour_price(accelerator)
        if renting.cloud:
            path = (*stage.where, "cloud") if "cloud" in self._given(stage) else ("terms", "cloud")
            with self.naming(*path):
                self.catalog.find_cloud(renting.cloud)
        key = "plan" if "plan" in self._given(stage) else "on" if "on" in self._given(stage) else "name"
        with self.naming(*stage.where, key):
            price, quoted = self.quoted_price(renting, accelerator)
        self.quotes[price.key] = quoted
        return self.named_price(price)

    def own_hour_price(self, accelerator: Accelerator) -> PriceInput:
        """Return the price of an accelerator-hour that the file gives for all stages."""
        name = accelerator.name.partition(" (")[0]
        return self._own(f"{name}, price of this budget", self.own_prices[accelerator.id])

    def list_price(self, renting: Renting, accelerator: Accelerator) -> PriceInput:
        """Return what the price list says.

        Raises:
            InputError: it says nothing about these terms.
        """
        return self.quoted_price(renting, accelerator)[0]

    def quoted_price(self, renting: Renting, accelerator: Accelerator) -> tuple[PriceInput, Quote]:
        """Return what the price list says, and the offers behind it.

        Raises:
            InputError: it says nothing about these terms.
        """
        from ..pricing.quote import quote

        plan = PricePlan(str(renting.plan))
        cloud_class = CloudClass(renting.cloud_class) if renting.cloud_class else None
        found = quote(self.catalog, accelerator.id, plan=plan, cloud=renting.cloud, cloud_class=cloud_class)
        who = found.cloud or (f"{found.cloud_class}s" if found.cloud_class else "all clouds")
        sellers = ", ".join(cloud.cloud for cloud in found.clouds[:6]) + (", ..." if len(found.clouds) > 6 else "")
        dates = found.oldest if found.oldest == found.newest else f"{found.oldest} to {found.newest}"
        price = PriceInput(
            key=f"{accelerator.name.partition(' (')[0]}, {plan}, {who}",
            usd=found.usd_per_hour,
            unit=ACCELERATOR_HOUR,
            date=dates,
            source=f"catalog {self.catalog.version}: {found.usd_per_hour.basis} ({sellers})",
        )
        return price, found

    def _own(self, key: str, usd: float) -> PriceInput:
        return self.named_price(
            PriceInput(
                key=key,
                usd=exact(usd, "usd", "given in the budget"),
                unit=ACCELERATOR_HOUR,
                date="",
                source=f"{self.budget.file.file}",
            )
        )

    def _given(self, stage: Stage) -> dict[str, object]:
        stages = self.budget.given.get("stages")
        entry = stages[int(stage.where[1])] if isinstance(stages, list) else {}
        return entry if isinstance(entry, dict) else {}


def keys_for_flags(text: str) -> str:
    """Return a sentence of the command line in the words of the file: `--global-batch` becomes `global_batch`."""
    return re.sub(r"--([a-z][a-z-]+)", lambda match: match[1].replace("-", "_"), text)
