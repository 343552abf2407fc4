"""Numbers that a person acts on: a middle, a range, what the range is, and why the number is what it is.

`Quantity` carries low, mid and high with the unit, the band (say "80 %") and the basis of the band. `Step` is one line
of `--explain`: the formula, its inputs with their sources, and the result. Ranges multiply as independent log-normal
factors: half-widths in log space add in quadrature (so a price range and a speed range do not pile up to the worst of
both).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .frozen import dataclass, replace

EXACT = "exact"
NO_RANGE = "no basis for a range"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its range. `low <= mid <= high`; `band` is "exact", "80 %" or "no basis for a range"."""

    low: float
    mid: float
    high: float
    unit: str
    band: str
    basis: str

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"a range must be ordered: {self.low} <= {self.mid} <= {self.high} {self.unit}")

    def scaled(self, factor: float, unit: str | None = None) -> Quantity:
        """Return the quantity times a known positive number, in `unit` if given."""
        return replace(
            self,
            low=self.low * factor,
            mid=self.mid * factor,
            high=self.high * factor,
            unit=unit or self.unit,
        )

    @property
    def is_exact(self) -> bool:
        """Whether the value is counted or given rather than estimated."""
        return self.low == self.mid == self.high


@dataclass(frozen=True, slots=True)
class Given:
    """One input of a formula: its symbol, value, unit, and where the value comes from."""

    symbol: str
    value: float | str
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the explanation: `name` = `formula` of `inputs` = `value` `unit`.

    `name` is the key of the result it explains (`training_flops`); `source` the paper, equation or table of the
    formula; `dominant` says in words which term decides, where one does.
    """

    name: str
    formula: str
    inputs: tuple[Given, ...]
    value: float
    unit: str
    source: str
    dominant: str = ""


def exact(value: float, unit: str, basis: str = "counted") -> Quantity:
    """Return a quantity that is counted or given and needs no range."""
    return Quantity(value, value, value, unit, EXACT, basis)


def unranged(value: float, unit: str, basis: str) -> Quantity:
    """Return an estimate for which there is no basis for a range; the output says so."""
    return Quantity(value, value, value, unit, NO_RANGE, basis)


def product(unit: str, factors: Iterable[Quantity], *, basis: str = "") -> Quantity:
    """Return the product of independent positive quantities.

    Half-widths in log space add in quadrature, each side on its own. The band is that of the ranged factors, which
    must agree; the basis joins theirs unless given.

    Raises:
        ValueError: the ranged factors have different bands.
    """
    factors = tuple(factors)
    mid = math.prod(q.mid for q in factors)
    ranged = [q for q in factors if not q.is_exact]
    if not ranged or mid == 0:
        band = next((q.band for q in factors if q.band == NO_RANGE), EXACT)
        return Quantity(mid, mid, mid, unit, band, basis or _join(q.basis for q in factors))
    down = math.sqrt(sum(math.log(q.mid / q.low) ** 2 for q in ranged))
    up = math.sqrt(sum(math.log(q.high / q.mid) ** 2 for q in ranged))
    bands = {q.band for q in ranged}
    if len(bands) > 1:
        raise ValueError(f"cannot multiply ranges of different bands: {sorted(bands)}")
    return Quantity(
        mid * math.exp(-down),
        mid,
        mid * math.exp(up),
        unit,
        bands.pop(),
        basis or _join(q.basis for q in ranged),
    )


def inverse(quantity: Quantity, unit: str, numerator: float = 1.0) -> Quantity:
    """Return `numerator` / quantity for a positive quantity; low and high swap."""
    return replace(
        quantity,
        low=numerator / quantity.high,
        mid=numerator / quantity.mid,
        high=numerator / quantity.low,
        unit=unit,
    )


def total(unit: str, parts: Iterable[Quantity], *, basis: str = "") -> Quantity:
    """Return the sum of quantities that move together (same price, same speed): lows add, highs add.

    This is the wide choice: it is right when one cause moves all parts, and errs on the safe side otherwise.
    """
    parts = tuple(parts)
    bands = {q.band for q in parts if not q.is_exact}
    band = bands.pop() if len(bands) == 1 else next((q.band for q in parts if q.band != EXACT), EXACT)
    return Quantity(
        math.fsum(q.low for q in parts),
        math.fsum(q.mid for q in parts),
        math.fsum(q.high for q in parts),
        unit,
        band,
        basis or _join(q.basis for q in parts if not q.is_exact) or "sum of exact parts",
    )


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
