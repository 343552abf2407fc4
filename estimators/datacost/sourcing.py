"""Which open sets serve a need: by modality, domain, language and licence; what overlaps; how many unique tokens remain.

Sets of one family (most web corpora are the same Common Crawl) share documents, so only one of them counts: the freest
that holds enough, or else the largest that is usable; the others are listed as overlapping. A set whose card does not say how much of a language it holds is listed
with its amount unknown and counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from ..facts.datasets import Dataset, Datasets
from ..frozen import dataclass


class Policy(StrEnum):
    """Which licences a need accepts."""

    OPEN = "open"  # the card says commercial use is fine and nobody has to be asked
    COMMERCIAL = "commercial"  # also sets whose terms must be read first
    ANY = "any"  # also non-commercial sets: for research


class Fit(StrEnum):
    """What becomes of one set."""

    USED = "used"
    SPARE = "not counted"
    OVERLAPS = "overlaps"
    UNKNOWN_AMOUNT = "amount unknown"
    LICENCE = "licence"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One set against the need: `amount` tokens (or items) of the language, `taken` of them."""

    dataset: Dataset
    fit: Fit
    amount: float | None
    taken: float
    why: str


def match_sets(
    datasets: Datasets,
    *,
    domain: str,
    modality: str,
    language: str,
    policy: Policy,
    wanted: float,
    bytes_per_token: float = 1.0,
    in_items: bool = False,
) -> tuple[Match, ...]:
    """Return every set that serves the domain and language, best first, and what becomes of each.

    `wanted` is how many unique tokens (or items) are still missing; `bytes_per_token` turns text counted in bytes into
    tokens.
    """

    def amount_of(each: Dataset) -> float | None:
        return each.items if in_items else each.tokens_in(language, bytes_per_token)

    found = [each for each in datasets.serving(domain, modality) if each.speaks(language) is not False or in_items]
    found.sort(key=lambda each: _rank(each, amount_of(each)))
    usable = [each for each in found if amount_of(each) and not each.is_withdrawn and not _refused(each, policy)]
    matches: list[Match] = []
    families: dict[str, str] = {}
    left = wanted
    for each in found:
        amount = amount_of(each)
        refusal = _refused(each, policy)
        if each.is_withdrawn:
            fit, why = Fit.WITHDRAWN, "taken down by its host; plan without it"
        elif refusal:
            fit, why = Fit.LICENCE, refusal
        elif amount is None:
            fit, why = Fit.UNKNOWN_AMOUNT, f"holds {each.languages_text}; how much of '{language}' is not known here"
            if in_items or language == "en":
                why = "its card gives no amount"
        elif each.family and each.family in families:
            fit, why = Fit.OVERLAPS, f"much of the same documents as {families[each.family]}: not added"
        elif amount < left and (larger := _larger(each, amount, usable, amount_of)):
            fit, why = Fit.OVERLAPS, f"much of the same documents as {larger.name}, which holds more: not added"
        elif left <= 0:
            fit, why = Fit.SPARE, "to look at; items of others are not counted" if in_items else "enough without it"
        else:
            fit, why = Fit.USED, _terms(each)
        taken = min(left, amount or 0.0) if fit is Fit.USED else 0.0
        if fit is Fit.USED:
            left -= taken
            if each.family:
                families[each.family] = each.name
        matches.append(Match(dataset=each, fit=fit, amount=amount, taken=taken, why=why))
    order = list(Fit)
    return tuple(sorted(matches, key=lambda match: order.index(match.fit)))


def rights_flags(matches: Sequence[Match]) -> tuple[str, ...]:
    """Return one sentence for each used set that a lawyer should look at."""
    flags = []
    for match in matches:
        if match.fit is not Fit.USED:
            continue
        each = match.dataset
        if each.commercial == "no":
            flags.append(f"{each.name}: {each.licence}: not for commercial use.")
        elif each.commercial == "conditional":
            flags.append(f"{each.name}: {each.licence}: whether commercial use is covered needs reading.")
        if "share-alike" in each.terms:
            flags.append(f"{each.name}: {each.licence}: share-alike may reach what is made from it.")
        if "GPT-4" in f"{each.note} {each.licence} {each.terms}" or "OpenAI" in each.terms:
            flags.append(f"{each.name}: holds outputs of another provider's model, whose terms apply.")
        if each.is_gated:
            flags.append(f"{each.name}: gated ({each.gated}): somebody must accept its terms first.")
    return tuple(flags)


def _rank(each: Dataset, amount: float | None) -> tuple[object, ...]:
    return (
        each.commercial != "yes",
        each.is_gated,
        _is_raw(each),
        each.origin == "data/datasets.yaml",
        -(amount or 0.0),
    )


def _is_raw(each: Dataset) -> bool:
    return "raw" in each.domain


def _larger(
    each: Dataset, amount: float, usable: Sequence[Dataset], amount_of: Callable[[Dataset], float | None]
) -> Dataset | None:
    """Return the largest usable set of the same family, where it holds more; raw text is no substitute for clean text."""
    family = [other for other in usable if each.family and other.family == each.family and not _is_raw(other)]
    largest = max(family, key=lambda other: amount_of(other) or 0.0, default=None)
    return largest if largest is not None and (amount_of(largest) or 0.0) > amount else None


def _refused(each: Dataset, policy: Policy) -> str:
    if policy is Policy.ANY:
        return ""
    if each.commercial == "no":
        return f"not for commercial use ({each.licence})"
    if policy is Policy.OPEN and (each.commercial != "yes" or each.is_gated):
        return f"not freely usable ({each.licence}{', gated' if each.is_gated else ''})"
    return ""


def _terms(each: Dataset) -> str:
    return f"{each.licence}{', gated' if each.is_gated else ''}"
