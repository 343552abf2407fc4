"""What serving costs: an hour, a month, a million input and output tokens, and where calling an API is cheaper.

A replica's time is divided between prompts and output tokens as it spends it, so the two have prices of their own that
add up to the bill. Against an API the monthly bill of ourselves is a staircase of replicas, that of the API a line;
they meet at the break-even volume. Speed and price vary independently: their ranges multiply.
"""

from __future__ import annotations

import math

from ..errors import FlopwiseError, InputError
from ..facts.catalog import Catalog
from ..facts.other_prices import TokenPrice
from ..facts.records import PricePlan
from ..facts.serving_fit import ServingFit, band_of
from ..frozen import dataclass
from ..models.shape import ModelShape
from ..quantity import NO_RANGE, Quantity, inverse, product
from ..units import HOUR, MONTH
from .performance import Replica
from .sizing import Demand, Sized

MILLION = 1e6


def speed_factor(fit: ServingFit, accelerator_id: str, kind: str = "speed", *, model: str = "") -> Quantity:
    """Return measured over predicted of rows that the fit had not seen, as a factor of 1 with its range.

    `model` is `Setup.architecture_key`, where a model that no measured row had is to widen the range.
    """
    band = band_of(fit, kind, accelerator_id, model)
    missing = ["chip"] * (accelerator_id not in fit.chips)
    missing += ["model"] * (bool(model) and model not in fit.models)
    basis = f"out-of-fold residuals of {band.cells} measured cells"
    basis += f", this {' and this '.join(missing)} not among them" if missing else ""
    return Quantity(min(1.0, band.low), 1.0, max(1.0, band.high), "", "80 %", basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCost:
    """US dollars per million tokens, at the load asked for and with replicas full."""

    input_usd: Quantity
    output_usd: Quantity
    full_input_usd: Quantity
    full_output_usd: Quantity
    prompt_share: float  # of a replica's time


def prompt_share(replica: Replica, batch: float) -> float:
    """Return the share of a replica's time that goes to prompts."""
    prompts = replica.prefill_s * max(replica.machine.rates.interference, 0.05)
    decoding = replica.traffic.output_tokens * replica.step_s(max(1.0, batch)) / max(1.0, batch)
    return prompts / (prompts + decoding)


def token_cost(sized: Sized, demand: Demand, fit: ServingFit, mean_requests_per_s: float) -> TokenCost | None:
    """Return the costs per million tokens; None where the chips have no price."""
    if sized.usd_per_hour is None:
        return None
    share = prompt_share(sized.replica, sized.at_load.batch)
    speed = inverse(speed_factor(fit, sized.setup.accelerator.id, model=sized.setup.architecture_key), "")
    full_rate = sized.at_capacity.requests_per_s * sized.replicas

    def per_million(part: float, tokens: float, requests_per_s: float, ranged: bool) -> Quantity:
        usd = sized.usd_per_hour.scaled(part / (tokens * requests_per_s * HOUR) * MILLION, "usd")  # type: ignore[union-attr]
        return joined_ranges("usd", usd, speed) if ranged else usd

    traffic = demand.traffic
    return TokenCost(
        input_usd=per_million(share, traffic.input_tokens, mean_requests_per_s, False),
        output_usd=per_million(1 - share, traffic.output_tokens, mean_requests_per_s, False),
        full_input_usd=per_million(share, traffic.input_tokens, full_rate, True),
        full_output_usd=per_million(1 - share, traffic.output_tokens, full_rate, True),
        prompt_share=share,
    )


def joined_ranges(unit: str, first: Quantity, second: Quantity) -> Quantity:
    """Return the product, with the range of the one that has a basis where the other has none."""
    if first.band != second.band and NO_RANGE in (first.band, second.band):
        kept, other = (first, second) if second.band == NO_RANGE else (second, first)
        scaled = kept.scaled(other.mid, unit)
        return Quantity(scaled.low, scaled.mid, scaled.high, unit, kept.band, f"{kept.basis}; {other.basis}")
    try:
        return product(unit, (first, second))
    except ValueError:  # a spread of prices is no 80 % band; say what each is
        mid = first.mid * second.mid
        down = math.hypot(math.log(first.mid / first.low), math.log(second.mid / second.low))
        up = math.hypot(math.log(first.high / first.mid), math.log(second.high / second.mid))
        basis = f"{first.basis} ({first.band}); {second.basis} ({second.band})"
        return Quantity(mid * math.exp(-down), mid, mid * math.exp(up), unit, second.band, basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfDay:
    """One hour of the day profile: load over the mean, replicas that it needs, and their utilisation."""

    hour: int
    load: float
    requests_per_s: float
    replicas: int
    utilisation: float


def day_profile(sized: Sized, demand: Demand, peak_over_mean: float) -> tuple[HourOfDay, ...]:
    """Return the day as one cosine whose peak is `peak_over_mean` times its mean (at most 2: nights do not go below 0).

    Raises:
        InputError: the ratio is not between 1 and 2.
    """
    if not 1.0 <= peak_over_mean <= 2.0:
        raise InputError(f"the peak over the mean must be between 1 and 2, not {peak_over_mean:g}.")
    mean = sized.requests_per_s / peak_over_mean
    capacity = sized.at_capacity.requests_per_s
    hours = []
    for hour in range(24):
        load = 1.0 + (peak_over_mean - 1.0) * math.cos(2 * math.pi * (hour - 15) / 24)
        rate = mean * load
        needed = max(1, math.ceil(rate / (capacity * demand.headroom) - 1e-9))
        hours.append(
            HourOfDay(
                hour=hour,
                load=load,
                requests_per_s=rate,
                replicas=min(needed, sized.replicas),
                utilisation=rate / (capacity * sized.replicas),
            )
        )
    return tuple(hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstApi:
    """One API beside ourselves. Volumes in requests a month; `break_even` is None where we never win."""

    price: TokenPrice
    usd_per_request: float
    api_usd_per_month: float
    own_usd_per_month: Quantity
    break_even: Quantity | None

    @property
    def cheaper(self) -> str:
        """Which of the two is cheaper at this volume."""
        return "own" if self.own_usd_per_month.mid < self.api_usd_per_month else "API"


def against_api(
    sized: Sized, demand: Demand, price: TokenPrice, requests_per_month: float, fit: ServingFit
) -> AgainstApi:
    """Return the monthly bills at a volume and the volume where they meet.

    Raises:
        InputError: the chips have no price.
    """
    if sized.usd_per_hour is None:
        raise InputError(f"{sized.setup.accelerator.name} has no price; give --price to compare with an API.")
    traffic = demand.traffic
    each = (traffic.input_tokens * price.input_usd + traffic.output_tokens * price.output_usd) / MILLION
    month = sized.usd_per_hour.scaled(MONTH / HOUR, "usd")
    replica_month = month.scaled(1 / sized.replicas)
    speed = speed_factor(fit, sized.setup.accelerator.id, model=sized.setup.architecture_key)
    most = speed.scaled(sized.at_capacity.requests_per_s * demand.headroom * MONTH, "count")

    def meets(bill: float, capacity: float) -> float:
        """The smallest volume at which n replicas that carry it cost less than the API; infinite where none does."""
        return bill / each if bill / each <= capacity else math.inf

    middle = meets(replica_month.mid, most.mid)
    found: Quantity | None = None
    if math.isfinite(middle):
        high = meets(replica_month.high, most.low)
        found = Quantity(
            meets(replica_month.low, most.high), middle, high if math.isfinite(high) else 10 * middle, "count",
            "80 %", "range of prices and of measured speed; above a tenfold volume it says never",
        )  # fmt: skip
    return AgainstApi(
        price=price,
        usd_per_request=each,
        api_usd_per_month=each * requests_per_month,
        own_usd_per_month=month,
        break_even=found,
    )


def curve(
    sized: Sized, demand: Demand, price: TokenPrice, volumes: tuple[float, ...]
) -> tuple[tuple[float, float, float], ...]:
    """Return (requests a month, own dollars, API dollars) for each volume: a staircase of replicas and a line."""
    traffic = demand.traffic
    each = (traffic.input_tokens * price.input_usd + traffic.output_tokens * price.output_usd) / MILLION
    replica_month = (sized.usd_per_hour.mid if sized.usd_per_hour else 0.0) / sized.replicas * MONTH / HOUR
    capacity = sized.at_capacity.requests_per_s * demand.headroom * MONTH
    return tuple(
        (volume, max(1, math.ceil(volume / capacity - 1e-9)) * replica_month, volume * each) for volume in volumes
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """A batch job: so many output tokens with requests always waiting."""

    output_per_s_per_chip: Quantity
    chip_hours: Quantity
    usd: Quantity | None
    usd_per_million: Quantity | None
    wall_s: Quantity
    chips: int


def offline(
    sized: Sized, fit: ServingFit, output_tokens: float, chips: int, usd_per_chip_hour: Quantity | None
) -> Offline:
    """Return time and money of a batch job on `chips` chips of the sized cut."""
    own = sized.setup.tensor * sized.setup.pipeline
    chips = max(own, chips // own * own)
    rate = speed_factor(fit, sized.setup.accelerator.id, model=sized.setup.architecture_key).scaled(
        sized.replica.queued_output_per_s() / own, "tokens_per_s"
    )
    hours = inverse(rate, "count", output_tokens / HOUR)
    usd = joined_ranges("usd", usd_per_chip_hour.scaled(1.0, "usd"), hours) if usd_per_chip_hour else None
    return Offline(
        output_per_s_per_chip=rate,
        chip_hours=hours,
        usd=usd,
        usd_per_million=usd.scaled(MILLION / output_tokens) if usd else None,
        wall_s=hours.scaled(HOUR / chips, "s"),
        chips=chips,
    )


def serving_usd_per_million_tokens(
    shape: ModelShape,
    catalog: Catalog,
    *,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    plan: PricePlan = PricePlan.ON_DEMAND,
    accelerator_id: str | None = None,
) -> Quantity:
    """Return US dollars per million tokens read and written, on the cheapest priced chip (or the one named).

    The mix of a request is that of data/serving_defaults.yaml unless given; replicas run at the headroom's utilisation.

    Raises:
        InputError: no priced chip can serve the model.
    """
    from ..pricing.quote import quote
    from .unit_cost import unit_cost, usual_load

    load = usual_load(input_tokens, output_tokens)
    found, why = [], "no price is known"
    for name in (accelerator_id,) if accelerator_id else catalog.priced:
        try:
            price = quote(catalog, name, plan=plan).usd_per_hour
            found.append(unit_cost(shape, catalog.accelerators[name], price, load))
        except FlopwiseError as error:
            if accelerator_id:
                raise
            why = str(error)
    if not found:
        raise InputError(f"no priced chip serves {shape.name}: {why}")
    return min(found, key=lambda each: (not each.meets_targets, each.usd)).per_million()
