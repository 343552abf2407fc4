"""Dollars per million tokens of a model on one chip: the usual mix of requests, replicas at the headroom's load.

    usd per million = chips x usd per hour / (3600 x headroom x requests per s x tokens of a request) x 1e6

The cheapest cut of the model over the chip wins. Cuts are tried from the smallest; where a larger one costs more than
the one before, still larger ones cost more again, and are left out. A model that meets the latency targets on no cut is
priced without them, and the answer says so.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import DoesNotFit
from ..facts.records import Accelerator
from ..facts.serving import load_serving_rules
from ..facts.serving_defaults import load_serving_defaults
from ..facts.serving_fit import ServingFit, load_serving_fit
from ..frozen import dataclass
from ..models.shape import ModelShape
from ..quantity import Given, Quantity, Step, inverse
from ..units import HOUR
from .money import MILLION, joined_ranges, speed_factor
from .performance import Performance, Replica, Traffic
from .setup import Setup
from .sizing import Choice, setups, usual_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualLoad:
    """The requests behind a cost per million tokens, and how full replicas run."""

    traffic: Traffic
    requests_per_s: float  # to ask `serve` for; the cost is that of full replicas
    token_s: float
    first_s: float
    headroom: float

    @property
    def tokens(self) -> float:
        """Tokens read and written by one request."""
        return self.traffic.input_tokens + self.traffic.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """One chip's cheapest cut. `usd_per_hour` is for one chip, `per_million` for tokens read and written."""

    setup: Setup
    capacity: Performance
    load: UsualLoad
    usd_per_hour: Quantity
    meets_targets: bool

    @property
    def chips(self) -> int:
        """Chips of one replica."""
        return self.setup.tensor * self.setup.pipeline

    @property
    def usd(self) -> float:
        """Middle US dollars per million tokens."""
        a_second = self.load.headroom * self.capacity.requests_per_s * self.load.tokens
        return self.chips * self.usd_per_hour.mid / (HOUR * a_second) * MILLION

    def per_million(self, fit: ServingFit | None = None) -> Quantity:
        """Return the cost with its range, of price and of speed."""
        setup = self.setup
        speed = speed_factor(fit or load_serving_fit(), setup.accelerator.id, model=setup.architecture_key)
        price = self.usd_per_hour.scaled(self.usd / self.usd_per_hour.mid, "usd")
        return joined_ranges("usd", price, inverse(speed, ""))

    def step(self) -> Step:
        """Return the line of --explain."""
        cut = f"tp {self.setup.tensor}" + (f", {self.setup.pipeline} stages" if self.setup.pipeline > 1 else "")
        return Step(
            "serving_usd_per_million",
            "chips x usd per hour / (3600 x headroom x requests/s x tokens of a request) x 1e6",
            (
                Given("chips", self.chips, "accelerators", f"{self.setup.accelerator.id}, {cut}"),
                Given("usd per hour", self.usd_per_hour.mid, "usd_per_accelerator_hour", self.usd_per_hour.basis),
                Given("headroom", self.load.headroom, "fraction", "data/serving_defaults.yaml"),
                Given("requests/s", self.capacity.requests_per_s, "per_s", "serving model, the largest load in target"),
                Given("tokens of a request", self.load.tokens, "tokens", "data/serving_defaults.yaml"),
            ),
            self.usd,
            "usd",
            "estimators/serving; `flopwise serve` shows the detail",
            self.capacity.binding,
        )


@lru_cache(maxsize=8)
def usual_load(input_tokens: float | None = None, output_tokens: float | None = None) -> UsualLoad:
    """Return the load of data/serving_defaults.yaml, with other lengths where they are given."""
    defaults = load_serving_defaults()
    return UsualLoad(
        traffic=Traffic(
            input_tokens=input_tokens or defaults["mix_input_tokens"].value,
            output_tokens=output_tokens or defaults["mix_output_tokens"].value,
            arrival_spread=defaults["arrival_spread"].value,
        ),
        requests_per_s=defaults["mix_requests_per_s"].value,
        token_s=defaults["time_per_token_s"].value,
        first_s=defaults["first_token_s"].value,
        headroom=defaults["headroom"].value,
    )


def unit_cost(shape: ModelShape, chip: Accelerator, usd_per_hour: Quantity, load: UsualLoad | None = None) -> UnitCost:
    """Return the cost per million tokens on a chip, in the format the model is published in.

    Raises:
        DoesNotFit: no cut over the chip holds the model.
        InputError: the chip lacks the format.
    """
    load = load or usual_load()
    weights, _ = usual_weights(shape, load_serving_rules())
    choice = Choice(weights=weights)
    found = _cheapest(shape, chip, choice, usd_per_hour, load, meets_targets=True)
    found = found or _cheapest(shape, chip, choice, usd_per_hour, load, meets_targets=False)
    if found is None:
        raise DoesNotFit(f"{shape.name} in {weights.name} does not fit on any usual number of {chip.name}.")
    return found


def _cheapest(
    shape: ModelShape, chip: Accelerator, choice: Choice, price: Quantity, load: UsualLoad, *, meets_targets: bool
) -> UnitCost | None:
    fit, best = load_serving_fit(), None
    targets = (load.token_s, load.first_s) if meets_targets else (None, None)
    for setup in setups(shape, chip, choice, load_serving_rules()):
        capacity = Replica(setup, fit, load.traffic).capacity(*targets)
        if capacity is None:
            continue
        found = UnitCost(setup=setup, capacity=capacity, load=load, usd_per_hour=price, meets_targets=meets_targets)
        if best and found.usd > best.usd and found.chips > best.chips:
            break
        best = found if best is None or found.usd < best.usd else best
    return best
