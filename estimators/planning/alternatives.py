"""The neighbours of a plan: the cheaper, the faster, the better, the leaner one, and which of all are on the front.

Each neighbour moves one thing and is worked out like the plan itself: half the money, twice the accelerators, twice
the money, half the size for the same money, spot prices. A neighbour that the limits of the request forbid, or that
does not fit, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import FlopwiseError
from ..facts.records import PricePlan
from ..frozen import dataclass, replace
from .hardware import Offer, counts, offers
from .option import Option, work_out
from .request import Objective
from .setting import Limit, Setting
from .sizing import Size
from .sketch import sketch

if TYPE_CHECKING:
    from ..facts.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Alternative:
    """A neighbour: what it is called, what it gives up or gains in words, and the option."""

    name: str
    trade: str
    option: Option


def alternatives(chosen: Option, setting: Setting, catalog: Catalog) -> tuple[Alternative, ...]:
    """Return the neighbours that exist, worked out."""
    builders: tuple[tuple[str, str, Callable[[], Option | None]], ...] = (
        ("faster", "twice the accelerators or more, the same model", lambda: _faster(chosen, setting)),
        ("cheaper", "half the compute", lambda: _scaled(chosen, setting, 0.5)),
        ("better", "twice the compute", lambda: _scaled(chosen, setting, 2.0)),
        ("leaner", "half the size, twice the tokens: half the cost to serve", lambda: _leaner(chosen, setting)),
        ("spot", "the same on spot terms: stops at any time", lambda: _spot(chosen, setting, catalog)),
    )
    found = []
    for name, trade, build in builders:
        try:
            option = build()
        except FlopwiseError:  # does not fit, cannot be cut, cannot be had: then it is no neighbour
            continue
        if option and option.limit not in (Limit.DEADLINE, Limit.ACCELERATORS):
            found.append(Alternative(name, trade, option))
    return tuple(found)


def same_size_on(offer: Offer, size: Size, setting: Setting, accelerators: int | None = None) -> Option | None:
    """Return this very model and number of tokens on another offer, or on another number of accelerators."""
    fixed = _fixed(setting, size, accelerators)
    drawn = sketch(offer, fixed)
    return work_out(drawn, fixed) if drawn else None


def front(options: Iterable[Option]) -> tuple[Option, ...]:
    """Return the options that no other beats in cost, time and loss at once (the Pareto front)."""
    options = tuple(options)
    return tuple(a for a in options if not any(_beats(b, a) for b in options if b is not a))


def _beats(b: Option, a: Option) -> bool:
    left, right = _criteria(b), _criteria(a)
    return all(x <= y for x, y in zip(left, right, strict=True)) and left != right


def _criteria(option: Option) -> Sequence[float]:
    return option.usd, option.seconds.mid, option.loss


def _fixed(setting: Setting, size: Size, accelerators: int | None = None) -> Setting:
    """Return the setting with the size fixed, and the number of accelerators where it is given."""
    sizing = replace(setting.sizing, params=size.params, tokens=size.tokens, compute_flops=None, target_loss=None)
    request = setting.request
    if accelerators is not None:
        request = replace(request, accelerators=accelerators, max_accelerators=None)
    return replace(setting, sizing=sizing, request=request, money_usd=math.inf)


def _faster(chosen: Option, setting: Setting) -> Option | None:
    if setting.request.accelerators is not None or setting.request.aim is Objective.TIME:
        return None
    more = [n for n in counts(chosen.offer, setting.request, setting.defaults) if n >= 2 * chosen.accelerators]
    return same_size_on(chosen.offer, chosen.size, setting, more[0]) if more else None


def _scaled(chosen: Option, setting: Setting, factor: float) -> Option | None:
    sizing = replace(setting.sizing, target_loss=None, compute_flops=None)
    if sizing.params is not None and sizing.tokens is not None:
        sizing = replace(sizing, tokens=None)  # the model stays, the tokens move
    free = replace(sizing, inference_tokens=None)
    size = free.for_compute(chosen.size.flops * factor)
    if sizing.inference_tokens:  # keep the tokens per parameter that serving asked for
        scale = math.sqrt(factor)
        size = Size(chosen.size.params * scale, chosen.size.tokens * scale)
    return same_size_on(chosen.offer, size, setting)


def _leaner(chosen: Option, setting: Setting) -> Option | None:
    sizing = setting.sizing
    if sizing.params is not None or sizing.tokens is not None or sizing.unique_tokens is not None:
        return None
    return same_size_on(chosen.offer, Size(chosen.size.params / 2, chosen.size.tokens * 2), setting)


def _spot(chosen: Option, setting: Setting, catalog: Catalog) -> Option | None:
    request = setting.request
    if request.usd_per_hour is not None or request.price_plan not in (None, PricePlan.ON_DEMAND):
        return None
    asked = replace(request, accelerator=chosen.offer.accelerator.id, price_plan=PricePlan.SPOT)
    for offer in offers(catalog, asked, setting.defaults):
        if (
            chosen.accelerators <= min(offer.most, offer.usual)
            and offer.usd_per_hour.mid < chosen.offer.usd_per_hour.mid
        ):
            return same_size_on(offer, chosen.size, setting, chosen.accelerators)
    return None
