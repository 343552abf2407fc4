"""Every scaling law by name: its best size and tokens for a compute budget, its loss where it has one, its limits.

A `Law` joins a card of `data/scaling_laws.yaml` with the formula of its kind. Surfaces (Chinchilla form) give loss and
optimum; the others give an optimum only, and a loss must then come from the default law. C = 6 N D throughout; laws
with another FLOP count (DeepSeek) or another N (Kaplan: without embeddings) are used as they stand, and the card says
so.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from ..errors import InputError
from ..facts.scaling import LawCard, LawKind, Status, Validity, default_law, find_card, law_cards, uncertainty_facts
from ..frozen import dataclass
from ..units import DAY, show_count, show_flops
from .repetition import Repetition
from .surface import TRAINING_FLOPS_PER_PARAM_TOKEN, Surface

PF_DAY_FLOPS = 1e15 * DAY  # Kaplan's unit of compute: 8.64e19


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best size and tokens for `flops`; `loss` is None for a law that has none."""

    params: float
    tokens: float
    flops: float
    loss: float | None

    @property
    def tokens_per_param(self) -> float:
        """D/N."""
        return self.tokens / self.params


@dataclass(frozen=True, slots=True)
class Law:
    """One law, ready to use. `surface` is None where the law gives an optimum without a loss."""

    card: LawCard
    surface: Surface | None

    @property
    def id(self) -> str:
        """The name to type after `--law`."""
        return self.card.id

    def optimum(self, flops: float, unique_tokens: float | None = None) -> Optimum:
        """Return the best N and D for C = `flops`; tokens are always (C/6)/N, so that the compute is spent exactly.

        Raises:
            InputError: unique tokens are limited and the law has no loss to weigh repetition with.
        """
        if self.surface:
            params, tokens = self.surface.optimum(flops, unique_tokens)
            return Optimum(params, tokens, flops, self.surface.loss(params, tokens, unique_tokens))
        params = _best_params(self.card, flops)
        tokens = flops / (TRAINING_FLOPS_PER_PARAM_TOKEN * params)
        if unique_tokens is not None and tokens > unique_tokens:
            raise InputError(
                f"law '{self.id}' gives no loss, so it cannot weigh repeated tokens; "
                f"use a law with a loss, for example {default_law()} or muennighoff."
            )
        return Optimum(params, tokens, flops, None)

    def required_surface(self, what: str) -> Surface:
        """Return the surface, or refuse with the reason `what` needs one.

        Raises:
            InputError: this law has no loss.
        """
        if self.surface is None:
            raise InputError(
                f"law '{self.id}' gives no loss, which {what} needs; use for example {default_law()} or muennighoff."
            )
        return self.surface

    def warnings(self, params: float, tokens: float, *, unique_tokens: float | None = None) -> tuple[str, ...]:
        """Return one sentence for each limit of the law that (N, D) leaves."""
        return tuple(_warnings(self.card, params, tokens, unique_tokens))


def law(name: str | None = None) -> Law:
    """Return the law called `name`, or the default.

    Raises:
        UnknownName: no law is called so.
        InputError: the law exists but says nothing about the best N and D.
    """
    card = find_card(name or default_law())
    if not card.kind.has_optimum:
        why = f" ({card.note})" if card.note else ""
        raise InputError(
            f"law '{card.id}', {card.name}, does not say which size and tokens are best for a budget{why}; "
            f"laws that do: {', '.join(selectable_laws())}."
        )
    return Law(card, surface_of(card))


def selectable_laws() -> tuple[str, ...]:
    """Return the names of the laws that give an optimum, default first."""
    names = [card.id for card in law_cards().values() if card.kind.has_optimum]
    return (default_law(), *(name for name in names if name != default_law()))


def surface_of(card: LawCard) -> Surface | None:
    """Return the loss surface of a card, with repetition (its own, else Muennighoff's), or None."""
    if card.kind not in (LawKind.CHINCHILLA, LawKind.SKALING):
        return None
    c = card.coefficients
    A, B, E = (math.exp(c[f"log{name}"]) if f"log{name}" in c else c[name] for name in "ABE")
    repeated = c if "RD_star" in c else find_card("muennighoff").coefficients
    repetition = Repetition(repeated["RD_star"], repeated["RN_star"])
    return Surface(E=E, A=A, B=B, alpha=c["alpha"], beta=c["beta"], k=c.get("k", 1.0), repetition=repetition)


def card_warnings(
    card: LawCard, params: float | None = None, tokens: float | None = None, flops: float | None = None
) -> tuple[str, ...]:
    """Return the limits of any law, an option or a check too, that the given numbers leave."""
    found: list[str] = []
    if card.superseded:
        found.append(f"Law {card.id} is superseded: {card.superseded}.")
    if card.status in (Status.UNVERIFIED, Status.SECONDARY):
        how = "recalled" if card.status is Status.UNVERIFIED else "read in another work"
        found.append(f"The coefficients of law {card.id} are {how}, not verified.")
    for what, value, limits, show in (
        ("A size of", params, card.valid.params, show_count),
        ("Training on", tokens, card.valid.tokens, lambda x: f"{show_count(x)} tokens"),
        ("A training compute of", flops, card.valid.flops, show_flops),
    ):
        if value is not None and limits and not limits[0] <= value <= limits[1]:
            where = f"outside the range law {card.id} was fitted on ({show(limits[0])} to {show(limits[1])})"
            found.append(f"{what} {show(value)} is {where}: extrapolated.")
    return tuple(found)


def _best_params(card: LawCard, flops: float) -> float:
    c, kind = card.coefficients, card.kind
    if kind is LawKind.POWER and "N_coef" in c:  # Kaplan 2020, Cmin in PF-days
        return float(c["N_coef"] * (flops / PF_DAY_FLOPS) ** c["N_exp"])
    if kind is LawKind.POWER:
        return float(c["n"] * flops ** c["a"])
    if kind is LawKind.TOKENS_POWER:
        return float(flops / TRAINING_FLOPS_PER_PARAM_TOKEN / (c["A"] * flops ** c["alpha"]))
    if kind is LawKind.PER_TOKEN:  # DeepSeek: C = M D, N = M / 6
        return float(c["M_coef"] * flops ** c["M_exp"] / TRAINING_FLOPS_PER_PARAM_TOKEN)
    if kind is LawKind.RATIO:
        return math.sqrt(flops / TRAINING_FLOPS_PER_PARAM_TOKEN / c["D_over_N"])
    if kind is LawKind.TABLE:
        return interpolate_table(card, 1, 0, flops, outside=c["a_exponent"])
    raise ValueError(f"no formula for laws of kind {kind}")


def interpolate_table(card: LawCard, from_column: int, to_column: int, value: float, *, outside: float) -> float:
    """Return column `to_column` of the card's table at `value` of `from_column`, linear on log axes.

    Outside the table the column continues as a power law with the exponent `outside`.
    """
    xs = [math.log(row[from_column]) for row in card.table]
    ys = [math.log(row[to_column]) for row in card.table]
    x = math.log(value)
    if x <= xs[0] or x >= xs[-1]:
        end = 0 if x <= xs[0] else -1
        return math.exp(ys[end] + outside * (x - xs[end]))
    right = bisect_right(xs, x)
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return math.exp(ys[right - 1] + share * (ys[right] - ys[right - 1]))


def _warnings(card: LawCard, params: float, tokens: float, unique_tokens: float | None) -> list[str]:
    facts, valid = uncertainty_facts(), card.valid
    flops = TRAINING_FLOPS_PER_PARAM_TOKEN * params * tokens
    found: list[str] = []
    if card.superseded:
        found.append(f"Law {card.id} is superseded: {card.superseded}.")
    if card.status is Status.UNVERIFIED:
        found.append(f"The coefficients of law {card.id} are recalled, not verified.")
    where = f"outside the range law {card.id} was fitted on"
    checks = (
        ("A size of", params, valid.params, show_count),
        ("Training on", tokens, valid.tokens, lambda x: f"{show_count(x)} tokens"),
        ("A training compute of", flops, valid.flops, show_flops),
    )
    for what, value, limits, show in checks:
        if limits and not limits[0] <= value <= limits[1]:
            found.append(f"{what} {show(value)} is {where} ({show(limits[0])} to {show(limits[1])}): extrapolated.")
    ratio = tokens / params
    if valid.tokens_per_param and not _within(ratio, valid.tokens_per_param):
        low, high = valid.tokens_per_param
        found.append(f"{ratio:,.3g} tokens per parameter is {where} ({low:g} to {high:g}): extrapolated.")
    if ratio > facts.overtrained_tokens_per_param:
        found.append(f"At {ratio:,.0f} tokens per parameter the loss is too hopeful: {facts.overtrained_note}.")
    found += _epoch_warnings(valid, tokens / unique_tokens if unique_tokens else 1.0)
    return found


def _epoch_warnings(valid: Validity, epochs: float) -> list[str]:
    facts = uncertainty_facts()
    if epochs > facts.harmful_epochs:
        return [f"{epochs:.3g} epochs: beyond {facts.harmful_epochs:g} epochs real runs get worse, not better."]
    limit = valid.epochs[1] if valid.epochs else facts.max_trusted_epochs
    if epochs > limit:
        return [f"{epochs:.3g} epochs is more than the {limit:g} to which the law of repetition is trusted."]
    return []


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
