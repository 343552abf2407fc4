"""Every formula of every law by name, for numbers of one's own: what `flopwise scale show LAW --at N=7e9,D=140e9` runs.

Symbols are those of the papers: N parameters, D tokens, U unique tokens, C training FLOP, L loss, and for mixtures E experts
and G granularity, for precision Pw, Pa, Pkv bits, for transfer DF characters, for fine-tuning n examples. A law gives
all quantities whose symbols are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import InputError
from ..facts.scaling import LawCard
from ..frozen import dataclass
from . import hyperparameters, modifiers
from .laws import Law, surface_of

Symbols = Mapping[str, float]
SYMBOLS = {
    "N": "parameters",
    "D": "training tokens",
    "U": "unique tokens",
    "C": "training FLOP",
    "L": "loss in nats per token",
    "E": "experts",
    "G": "granularity of experts",
    "Pw": "bits of weights",
    "Pa": "bits of activations",
    "Pkv": "bits of the KV cache",
    "DF": "characters of fine-tuning data",
    "n": "fine-tuning examples",
}


@dataclass(frozen=True, slots=True)
class Formula:
    """One quantity of a law: which symbols it needs, its unit, and how it is computed."""

    name: str
    needs: tuple[str, ...]
    unit: str
    value: Callable[[Symbols], float]


def formulas(card: LawCard) -> tuple[Formula, ...]:
    """Return what a law can be asked for; empty for a form whose coefficients are the user's to fit."""
    found = list(_others(card))
    surface = surface_of(card)
    if surface:
        found.append(Formula("loss", ("N", "D"), "nats", lambda s: surface.loss(s["N"], s["D"], s.get("U"))))
    if card.kind.has_optimum:
        law = Law(card, surface)
        found += [
            Formula("best_params", ("C",), "params", lambda s: law.optimum(s["C"], _unique(law, s)).params),
            Formula("best_tokens", ("C",), "tokens", lambda s: law.optimum(s["C"], _unique(law, s)).tokens),
        ]
    return tuple(found)


def evaluate(card: LawCard, symbols: Symbols) -> tuple[tuple[Formula, float], ...]:
    """Return every quantity whose symbols are all there.

    Raises:
        InputError: nothing can be computed from these symbols; names what the law needs.
    """
    known = formulas(card)
    found = tuple((each, each.value(symbols)) for each in known if all(name in symbols for name in each.needs))
    if not found:
        if not known:
            raise InputError(f"law '{card.id}' is a form: its coefficients are yours to fit ({card.form}).")
        wants = "; ".join(f"{each.name.replace('_', ' ')} needs {', '.join(each.needs)}" for each in known)
        raise InputError(f"law '{card.id}' gives nothing from {', '.join(symbols)}: {wants}.")
    used = {name for each, _ in found for name in each.needs} | {"U"}
    spare = [name for name in symbols if name not in used and not (name in ("Pa", "Pkv") and card.id == "kumar")]
    if spare:
        raise InputError(f"law '{card.id}' does not use {', '.join(spare)}; leave it out.")
    return found


def _unique(law: Law, symbols: Symbols) -> float | None:
    return symbols.get("U") if law.surface else None


def _others(card: LawCard) -> tuple[Formula, ...]:
    c = card.coefficients
    table: dict[str, tuple[Formula, ...]] = {
        "lovelace": (
            Formula(
                "overfitting_loss",
                ("N", "D", "U"),
                "nats",
                lambda s: modifiers.overfitting_loss(s["N"], s["U"], s["D"] / s["U"]),
            ),
        ),
        "kaplan": (
            Formula("batch", ("C",), "tokens", lambda s: c["B_coef"] * (s["C"] / 8.64e19) ** c["B_exp"]),
            Formula("steps", ("C",), "", lambda s: c["S_coef"] * (s["C"] / 8.64e19) ** c["S_exp"]),
        ),
        "kaplan-loss": (
            Formula("loss_with_endless_data", ("N",), "nats", lambda s: modifiers.kaplan_loss_of_params(s["N"])),
            Formula("loss_of_an_endless_model", ("D",), "nats", lambda s: modifiers.kaplan_loss_of_tokens(s["D"])),
        ),
        "deepseek": (
            Formula("learning_rate", ("C",), "", lambda s: hyperparameters.deepseek_learning_rate(s["C"])),
            Formula("batch", ("C",), "tokens", lambda s: hyperparameters.deepseek_batch_tokens(s["C"])),
        ),
        "minicpm": (Formula("batch", ("L",), "tokens", lambda s: c["B_coef"] / s["L"] ** c["B_exp"]),),
        "step-law": (
            Formula("learning_rate", ("N", "D"), "", lambda s: hyperparameters.step_law_learning_rate(s["N"], s["D"])),
            Formula("batch", ("D",), "tokens", lambda s: hyperparameters.step_law_batch_tokens(s["D"])),
        ),
        "critical-batch": (
            Formula("critical_batch", ("L",), "tokens", lambda s: hyperparameters.kaplan_critical_batch_tokens(s["L"])),
        ),
        "critical-batch-zhang-coefficient": (
            Formula("critical_batch", ("D",), "tokens", lambda s: hyperparameters.critical_batch_tokens(s["D"])),
        ),
        "critical-batch-zhang": (
            Formula("critical_batch", ("D",), "tokens", lambda s: hyperparameters.critical_batch_tokens(s["D"])),
        ),
        "power-lines": (
            Formula(
                "weight_decay_time_scale",
                ("N", "D"),
                "of the tokens",
                lambda s: c["tau_coef"] * (s["D"] / s["N"]) ** c["tau_exp"],
            ),
        ),
        "krajewski": (
            Formula("loss", ("N", "D", "G"), "nats", lambda s: modifiers.granular_mixture_loss(s["N"], s["D"], s["G"])),
        ),
        "ludziejewski": (
            Formula("loss", ("N", "D", "E"), "nats", lambda s: modifiers.joint_mixture_loss(s["N"], s["D"], s["E"])),
        ),
        "kumar": (Formula("params_kept", ("Pw",), "fraction", _kept),),
        "cerebras": (_pile("cerebras"),),
        "cerebras-refit": (_pile("cerebras-refit"),),
        "finetune-slope": tuple(_slope(task, exponent) for task, exponent in c.items()),
        "zhai-vit": (Formula("error", ("C",), "fraction", lambda s: c["a"] * (s["C"] + c["d"]) ** -c["b"] + c["c"]),),
    }
    if card.id.startswith("clark-"):
        return (
            Formula("loss", ("N", "E"), "nats", lambda s: modifiers.routed_loss(s["N"], s["E"], card.id)),
            Formula(
                "dense_equivalent", ("N", "E"), "params", lambda s: modifiers.dense_equivalent(s["N"], s["E"], card.id)
            ),
        )
    if card.id.startswith("hernandez"):
        return (
            Formula(
                "characters_transferred",
                ("DF", "N"),
                "characters",
                lambda s: modifiers.transferred_characters(s["DF"], s["N"], card.id),
            ),
        )
    if card.id.startswith("aghajanyan"):
        A, B, E, alpha, beta = (c[key] for key in ("A", "B", "E", "alpha", "beta"))
        return (Formula("loss", ("N", "D"), "nats", lambda s: E + A / s["N"] ** alpha + B / s["D"] ** beta),)
    return table.get(card.id, ())


def _pile(name: str) -> Formula:
    return Formula("loss_on_the_pile", ("C",), "nats", lambda s: modifiers.cerebras_pile_loss(s["C"], name))


def _slope(task: str, exponent: float) -> Formula:
    return Formula(f"loss_over_that_of_3200_{task}", ("n",), "times", lambda s: float((s["n"] / 3200) ** -exponent))


def _kept(symbols: Symbols) -> float:
    return modifiers.params_kept(symbols["Pw"], symbols.get("Pa"), symbols.get("Pkv"))
