"""Documents of `flopwise scale laws` and `flopwise scale optimum`, and the step that traces every coefficient of a law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.facts.scaling import LawCard, uncertainty_facts
from ...estimators.frozen import dataclass
from ...estimators.quantity import Given, Quantity, Step, exact, unranged
from ...estimators.scaling import modifiers
from ...estimators.scaling.hyperparameters import Hyperparameters, suggest
from ...estimators.scaling.inference import LifetimeOptimum
from ...estimators.scaling.laws import Law, Optimum
from ...estimators.scaling.surface import Surface
from ...estimators.scaling.uncertainty import absolute_loss, compute_waste, optimum_bands, size_range
from ...estimators.units import show, show_count, show_percent
from .document import Assumption, Cell, Column, Document, Facts, Table, Value

WASTE = 0.06  # at which the range of good sizes is printed
_AWAY = (0.25, 0.5, 1.0, 2.0, 4.0)  # sizes shown, over the best
_EPOCHS = (1, 2, 4, 8, 16, 40)


def law_step(card: LawCard, name: str = "law") -> Step:
    """Return the line of --explain that names every coefficient of a card with its source and trust."""
    inputs = [
        Given(symbol, value, "", f"{card.source}; {card.status}{_interval(card, symbol)}")
        for symbol, value in card.coefficients.items()
    ]
    inputs += [Given(f"table row {i}", _row(row), "", card.source) for i, row in enumerate(card.table, start=1)]
    return Step(
        name, card.form, tuple(inputs), len(card.coefficients), "coefficients", f"{card.source} ({card.status})"
    )


def _interval(card: LawCard, symbol: str) -> str:
    if symbol not in card.ranges:
        return ""
    low, high = card.ranges[symbol]
    return f"; {low:g} to {high:g}"


def _row(row: tuple[float, float, float]) -> str:
    return f"{show_count(row[0])} params, {row[1]:g} FLOP, {show_count(row[2])} tokens"


# --- laws -----------------------------------------------------------------------------------------------------------


def laws_document(cards: Sequence[LawCard], ratios: Mapping[str, float], flops: float, explain: bool) -> Document:
    """Return the list of laws; `ratios` is D/N at `flops` of those that have an optimum."""
    columns = (
        Column("id", "Law"),
        Column("name", "From", wide_only=True),
        Column("gives", "Gives"),
        Column("tokens_per_param", f"D/N at {flops:g}", right=True),
        Column("status", "Trust"),
        Column("valid", "Fitted on", wide_only=True),
        Column("source", "Source", wide_only=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            card.id,
            card.name,
            _gives(card),
            Value(ratios[card.id], "") if card.id in ratios else None,
            f"{card.status}{', superseded' if card.superseded else ''}",
            valid_text(card),
            card.source,
        )
        for card in cards
    ]
    return Document(
        verb="scale.laws",
        headline=f"{len(ratios)} laws say which size and tokens are best, {len(cards) - len(ratios)} say something else.",
        inputs={"compute_flops": flops},
        result={
            "laws": [
                {
                    "id": card.id,
                    "name": card.name,
                    "gives": _gives(card),
                    "form": card.form,
                    "coefficients": dict(card.coefficients),
                    "ranges": {key: list(value) for key, value in card.ranges.items()},
                    "tokens_per_param": ratios.get(card.id),
                    "status": card.status,
                    "superseded": card.superseded,
                    "valid": valid_text(card),
                    "fit_data": card.fit_data,
                    "source": card.source,
                    "note": card.note,
                }
                for card in cards
            ]
        },
        sections=(Table("laws", columns, tuple(rows)),),
        steps=tuple(law_step(card, card.id) for card in cards) if explain else (),
        next_commands=("flopwise scale optimum --compute 1e22 --law all",),
    )


def _gives(card: LawCard) -> str:
    if not card.kind.has_optimum:
        return "a form, yours to fit" if card.kind == "form" else "an option or a check"
    return "loss and optimum" if card.kind in ("chinchilla", "skaling") else "optimum"


def valid_text(card: LawCard) -> str:
    """Return where a law was fitted, in words."""
    parts = []
    for limits, unit in ((card.valid.params, "params"), (card.valid.tokens, "tokens"), (card.valid.flops, "FLOP")):
        if limits:
            parts.append(f"{show_count(limits[0])} to {show_count(limits[1])} {unit}".replace("0 to", "up to"))
    if card.valid.tokens_per_param:
        parts.append(f"{card.valid.tokens_per_param[0]:g} to {card.valid.tokens_per_param[1]:g} tokens per param")
    return "; ".join(parts)


# --- optimum --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `scale optimum` was asked, ready to compute with."""

    flops: float
    unique_tokens: float | None = None
    inference_tokens: float | None = None
    inference_weight: float = 1.0
    experts: float | None = None
    routing: str = "clark-s-base"
    params_kept: float = 1.0
    bits_text: str = ""


def optimum_document(
    asked: Asked,
    chosen: Law,
    surface: Surface,
    best: Optimum,
    lifetime: LifetimeOptimum | None,
    others: Sequence[tuple[Law, Optimum]],
    inputs: Mapping[str, object],
) -> Document:
    """Return the answer for one compute budget; `others` are all laws where `--law all` was asked."""
    repeats = asked.unique_tokens is not None and asked.unique_tokens < best.tokens
    params, tokens, ratio = optimum_bands(asked.flops, best.params, best.tokens)
    if repeats:  # the studies behind the band had new tokens
        basis = f"law {chosen.id} with repetition (arXiv:2305.16264)"
        params, tokens = unranged(best.params, "params", basis), unranged(best.tokens, "tokens", basis)
        ratio = unranged(best.tokens_per_param, "tokens_per_param", basis)
    taken = (lifetime.params, lifetime.tokens) if lifetime else (best.params, best.tokens)
    hyper = suggest(*taken)
    smallest, largest = size_range(surface, asked.flops, WASTE)
    items: list[tuple[str, str, Cell, str]] = [
        ("params", "Best size", params, f"law {chosen.id}"),
        ("tokens", "Tokens", tokens, ""),
        ("tokens_per_param", "Tokens per param", ratio, "" if repeats else "of studies and of the fit"),
    ]
    if not repeats:
        items.append(
            (
                "good_sizes",
                "Any size",
                f"from {show_count(smallest)} to {show_count(largest)}",
                f"costs at most {WASTE:.0%} more compute for the same loss; the small side is cheaper to serve",
            )
        )
    loss = surface.loss(best.params, best.tokens, asked.unique_tokens)
    items.append(("loss", "Loss", absolute_loss(loss), "on MassiveText-like tokens; elsewhere only differences hold"))
    sections: list[Facts | Table] = [Facts("optimum", tuple(items), caption="The optimum")]
    extra = _options(asked, surface, best, lifetime, chosen)
    if extra:
        sections.append(Facts("options", tuple(extra), caption="With what was asked"))
    if not repeats:
        sections.append(_flat_table(surface, asked.flops, best))
    sections.append(_hyper_facts(hyper))
    if others:
        sections.append(_law_table(others))
    warnings = [*chosen.warnings(*taken, unique_tokens=asked.unique_tokens), *_option_warnings(asked, taken)]
    return Document(
        verb="scale.optimum",
        headline=(
            f"For {show(asked.flops, 'flops')} train {show_count(taken[0])} parameters on {show_count(taken[1])} tokens"
            f"{' with serving counted' if lifetime else ''}; the optimum is flat."
        ),
        inputs=inputs,
        result={
            "law": chosen.id,
            "params": params,
            "tokens": tokens,
            "tokens_per_param": ratio,
            "loss": absolute_loss(loss),
            "good_sizes": None if repeats else {"waste": WASTE, "smallest": smallest, "largest": largest},
            "flatness": [] if repeats else _flat_rows(surface, asked.flops, best),
            "options": {key: value for key, _, value, _ in extra},
            "hyperparameters": {
                "learning_rate": hyper.learning_rate,
                "batch_tokens": hyper.batch_tokens,
                "critical_batch_tokens": hyper.critical_batch_tokens,
            },
            "laws": [_law_row(law, optimum) for law, optimum in others],
        },
        sections=tuple(sections),
        assumptions=(Assumption(f"law {chosen.id}, {chosen.card.name}", "--law"),),
        warnings=tuple(warnings),
        steps=_optimum_steps(asked, chosen, best, params, ratio),
        next_commands=("flopwise scale fit RUNS.csv", "flopwise plan --compute 1e22"),
    )


def _options(
    asked: Asked, surface: Surface, best: Optimum, lifetime: LifetimeOptimum | None, chosen: Law
) -> list[tuple[str, str, Cell, str]]:
    items: list[tuple[str, str, Cell, str]] = []
    if asked.unique_tokens is not None and surface.repetition:
        epochs = max(1.0, best.tokens / asked.unique_tokens)
        worth = surface.repetition.effective_tokens(best.tokens, min(asked.unique_tokens, best.tokens))
        items.append(("epochs", "Epochs", Value(epochs, ""), f"of {show_count(asked.unique_tokens)} unique tokens"))
        items.append(
            (
                "effective_tokens",
                "Worth",
                exact(worth, "tokens", "arXiv:2305.16264"),
                f"unique tokens; the next one counts {show_percent(surface.repetition.value_of_next_token(epochs))}",
            )
        )
        over = modifiers.overfitting_loss(best.params, asked.unique_tokens, epochs)
        remark = "nats at most, from one over-fitting law; strong weight decay cuts it"
        items.append(("overfitting", "Over-fitting", Value(over, ""), remark))
    if lifetime:
        remark = f"with {show_count(asked.inference_tokens or 0)} tokens served"
        items.append(("lifetime_params", "Size", exact(lifetime.params, "params", "arXiv:2401.00448"), remark))
        items.append(("lifetime_tokens", "Tokens", exact(lifetime.tokens, "tokens", "arXiv:2401.00448"), ""))
        worse = lifetime.loss - (best.loss or surface.loss(best.params, best.tokens))
        items.append(("lifetime_loss", "Loss against it", Value(worse, ""), "nats per token, all in one compute"))
    if asked.experts:
        as_dense = modifiers.dense_equivalent(best.params, asked.experts, asked.routing)
        items.append(
            (
                "dense_equivalent",
                f"{asked.experts:g} experts",
                unranged(as_dense, "params", "arXiv:2202.01169, fitted at 130B tokens"),
                f"dense model as good as one of {show_count(best.params)} active ({asked.routing})",
            )
        )
    if asked.params_kept < 1:
        kept = asked.params_kept
        reached = surface.loss(best.params * kept, best.tokens, asked.unique_tokens)
        loss = surface.loss(best.params, best.tokens, asked.unique_tokens)
        items.append(("params_kept", "Params kept", Value(kept, "fraction"), f"{asked.bits_text} (arXiv:2411.04330)"))
        items.append(("precision_loss", "Loss it costs", Value(reached - loss, ""), "nats per token"))
        price = surface.compute_for(reached) / surface.compute_for(loss)
        items.append(("precision_compute", "As if", Value(price, "fraction"), "of the compute had been spent"))
    return items


def _option_warnings(asked: Asked, taken: tuple[float, float]) -> list[str]:
    found = []
    if asked.experts:
        found.append(
            "The mixture law is fitted up to 1.3B parameters at 130B tokens and understates mixtures with more data: train "
            "20 to 100 tokens per active parameter (a rule of thumb), and take the gain as a direction."
        )
    if asked.params_kept < 1 and (taken[0] > 1.7e9 or taken[1] > 2.6e10):
        found.append("The precision law is fitted up to 1.7B parameters and 26B tokens: indicative only.")
    return found


def _flat_rows(surface: Surface, flops: float, best: Optimum) -> list[dict[str, float]]:
    found = []
    reference = surface.loss(best.params, best.tokens)
    for away in _AWAY:
        N, D = best.params * away, best.tokens / away
        found.append(
            {
                "params": N,
                "tokens": D,
                "tokens_per_param": D / N,
                "loss_difference": surface.loss(N, D) - reference,
                "compute_to_win_back": 1 + max(0.0, compute_waste(surface, N, D)),
            }
        )
    return found


def _flat_table(surface: Surface, flops: float, best: Optimum) -> Table:
    columns = (
        Column("params", "Size", right=True),
        Column("tokens", "Tokens", right=True),
        Column("tokens_per_param", "D/N", right=True),
        Column("loss_difference", "Loss against the best", right=True),
        Column("compute_to_win_back", "Compute to win it back", right=True),
    )
    rows = tuple(
        (
            Value(row["params"], "params"),
            Value(row["tokens"], "tokens"),
            Value(row["tokens_per_param"], ""),
            Value(row["loss_difference"], ""),
            Value(row["compute_to_win_back"], "times"),
        )
        for row in _flat_rows(surface, flops, best)
    )
    return Table("flatness", columns, rows, caption="What another size costs at the same compute")


def _hyper_facts(hyper: Hyperparameters) -> Facts:
    return Facts(
        "hyperparameters",
        (
            ("learning_rate", "Learning rate", hyper.learning_rate, hyper.learning_rate.basis),
            ("batch_tokens", "Batch", hyper.batch_tokens, hyper.batch_tokens.basis),
            (
                "critical_batch_tokens",
                "Largest batch",
                hyper.critical_batch_tokens,
                f"20 % more tokens; {hyper.critical_batch_tokens.basis}",
            ),
        ),
        caption="Where to start a sweep",
    )


def _law_table(others: Sequence[tuple[Law, Optimum]]) -> Table:
    columns = (
        Column("law", "Law"),
        Column("params", "Size", right=True),
        Column("tokens", "Tokens", right=True),
        Column("tokens_per_param", "D/N", right=True),
        Column("status", "Trust"),
    )
    rows = tuple(
        (
            law.id,
            Value(best.params, "params"),
            Value(best.tokens, "tokens"),
            Value(best.tokens_per_param, ""),
            f"{law.card.status}{', superseded' if law.card.superseded else ''}",
        )
        for law, best in others
    )
    return Table("laws", columns, rows, caption="Every law for the same compute")


def _law_row(law: Law, best: Optimum) -> dict[str, object]:
    return {
        "law": law.id,
        "params": best.params,
        "tokens": best.tokens,
        "tokens_per_param": best.tokens_per_param,
        "status": law.card.status,
        "superseded": bool(law.card.superseded),
    }


def _optimum_steps(asked: Asked, chosen: Law, best: Optimum, params: Quantity, ratio: Quantity) -> tuple[Step, ...]:
    facts = uncertainty_facts()
    return (
        law_step(chosen.card),
        Step(
            "best_params",
            "(alpha A / (beta B))^(1/(alpha+beta)) (C/6)^(beta/(alpha+beta))" if chosen.surface else chosen.card.form,
            (Given("C", asked.flops, "flops", "--compute"),),
            best.params,
            "params",
            "arXiv:2203.15556, equation 4",
        ),
        Step(
            "band_of_tokens_per_param",
            "center exp(z sqrt(sd_fit^2 + sd_studies^2))",
            (
                Given("center", facts.centre_tokens_per_param, "tokens_per_param", facts.centre_source),
                Given("sd_studies", facts.between_study_log_sd, "", facts.between_study_source),
                Given("low", ratio.low, "tokens_per_param", "5 %"),
                Given("high", ratio.high, "tokens_per_param", "95 %"),
            ),
            ratio.mid,
            "tokens_per_param",
            "400 correlated draws of data/scaling_bootstrap.csv",
        ),
    )
