"""What data is needed: tokens of text, or items of one kind; and what a whole answer is made of.

A text need is met in this order: what the user has, open sets that fit, repetition up to `epochs`, and for what is then
missing a priced way. With D tokens to train on and at most e epochs the corpus must hold D / e unique tokens; what
repeats are worth follows Muennighoff 2023 (scaling/repetition.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import InputError
from ..frozen import dataclass, field
from ..quantity import Quantity
from .labels import By
from .lines import CostLine, Totals
from .sourcing import Match, Policy
from .ways import HEARING, READING, Closing, Way


class Kind(StrEnum):
    """The four kinds of needs."""

    TEXT = "text"
    ITEMS = "items"
    PAGES = "pages"
    SPEECH = "speech"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One need. For TEXT `amount` is tokens to train on; for ITEMS items of `label`; pages; hours of speech."""

    kind: Kind
    amount: float
    name: str = ""
    language: str = "en"
    domain: str = "web"
    modality: str = "text"
    have: float = 0.0  # unique tokens or items the user has
    epochs: float | None = None  # most passes; None is the default of 4
    policy: Policy = Policy.COMMERCIAL
    close: Way | None = None  # None is the cheapest
    open_sets: bool = True
    tokenizer: str | None = None
    filtered: bool = False
    deduplicated: bool = False
    label: str = ""
    by: By = By.PEOPLE
    votes: float | None = None
    active_learning: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one need comes to. `unique` is what is had without paying for the gap, `missing` the gap (tokens or items);
    `closings` are all priced ways, cheapest first, `lines` what is counted in the total.
    """

    need: Need
    matches: tuple[Match, ...]
    wanted_unique: float
    unique: float
    missing: float
    epochs: float
    effective: float
    closings: tuple[Closing, ...]
    chosen: Closing | None
    lines: tuple[CostLine, ...]
    yields_tokens: Quantity | None  # of pages and speech
    bounds: str  # "data" or "compute"
    why: str
    flags: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """The whole answer."""

    parts: tuple[Part, ...]
    totals: Totals
    chip: str
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """Every line, in order."""
        return tuple(each for part in self.parts for each in part.lines)

    @property
    def unique_tokens(self) -> float:
        """Unique text tokens that the plan ends with: had, open and newly made."""
        return sum(part.unique + part.missing for part in self.parts if part.need.kind is Kind.TEXT)

    @property
    def unique_before(self) -> float:
        """Unique text tokens before any gap is closed."""
        return sum(part.unique for part in self.parts if part.need.kind is Kind.TEXT)


def check(need: Need) -> None:
    """Refuse a need that contradicts itself.

    Raises:
        InputError: one sentence.
    """
    if need.have and need.kind in (Kind.PAGES, Kind.SPEECH):
        raise InputError("--have: pages and speech are what you have; leave it out.")
    if need.have > need.amount and need.kind is Kind.ITEMS:
        raise InputError("--have: you have more items than you need; nothing is missing.")
    if need.close is not None and need.kind is Kind.ITEMS:
        raise InputError("--close: it says how missing text tokens are had; for items use --by.")
    for kind, ways in ((Kind.PAGES, READING), (Kind.SPEECH, HEARING)):
        if need.kind is kind and need.close is not None and need.close not in ways:
            raise InputError(f"--close {need.close}: {kind} can be had by {' or '.join(ways)}.")
    if need.epochs is not None and need.epochs < 1:
        raise InputError("--epochs: it must be at least 1.")
    if need.domain == "code" and need.modality == "text":
        raise InputError("--domain code: code has its own modality; add --modality code.")
