"""The chip that filters, transcribes and generates: its price an hour as a unit cost, and its speed against an H100.

Rates of the facts are per H100. Another chip is scaled by the smaller of its ratios of bf16 peak and of memory
bandwidth, which is what batch generation and classifiers lean on; that is a stand-in until it is measured, and the
answer says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..facts.datacosts import Rate
from ..frozen import dataclass, replace
from ..pricing.quote import quote
from ..units import show_usd

if TYPE_CHECKING:
    from ..facts.catalog import Catalog
    from ..facts.records import Accelerator

REFERENCE = "h100-sxm-80gb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """`hour` is the price of one H100-hour's worth of work on this chip, `own_hour` that of one hour of it; `text` says
    what stands behind it.
    """

    accelerator: str
    hour: Rate
    own_hour: Rate
    text: str
    is_scaled: bool


def chip(catalog: Catalog, typed: str | None, usd_per_hour: float | None) -> Chip:
    """Return the chip with its price: the user's own, or the catalog's quote.

    Raises:
        InputError: no price is known, or the chip has no bf16 peak.
    """
    reference = catalog.find(REFERENCE)
    found = catalog.find(typed) if typed else reference
    speed = 1.0 if found.id == reference.id else _speed(found, reference)
    if usd_per_hour is not None:
        low = mid = high = usd_per_hour
        source, year = "--price", "given"
    else:
        offered = quote(catalog, found.id)
        low, mid, high = (getattr(offered.usd_per_hour, end) for end in ("low", "mid", "high"))
        source, year = f"catalog.yaml: {len(offered.clouds)} clouds, on demand", offered.newest
    rate = Rate(
        id="accelerator-hour",
        what=f"one {found.name} for an hour" + (f", {speed:.2g} of an H100" if speed != 1.0 else ""),
        value=mid / speed,
        low=low / speed,
        high=high / speed,
        unit="USD/H100-hour",
        year=year,
        source=source,
        status="verified",
        note="",
        is_guess=False,
        origin="catalog.yaml",
    )
    own = replace(
        rate, what=f"one {found.name} for an hour", value=mid, low=low, high=high, unit=f"USD/{found.id}-hour"
    )
    if speed == 1.0:
        own = rate
    text = f"{found.name} at {show_usd(mid)} an hour"
    return Chip(accelerator=found.id, hour=rate, own_hour=own, text=text, is_scaled=speed != 1.0)


def _speed(found: Accelerator, reference: Accelerator) -> float:
    peak, wanted = found.peak_flops_per_s.get("bf16"), reference.peak_flops_per_s["bf16"]
    if not peak:
        raise InputError(f"{found.name} has no bf16 peak in the catalog; choose another chip.")
    return min(peak / wanted, found.memory_bandwidth_bytes_per_s / reference.memory_bandwidth_bytes_per_s)
