"""The document of `flopwise scale show`: one law as published, and its values for numbers of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...estimators.facts.scaling import LawCard
from ...estimators.quantity import Given, Step
from ...estimators.scaling.evaluate import SYMBOLS, Formula
from ...estimators.scaling.laws import card_warnings
from .document import Cell, Column, Document, Facts, Table, Value
from .scaling import law_step, valid_text


def law_document(
    card: LawCard,
    formulas: Sequence[Formula],
    symbols: Mapping[str, float],
    values: Sequence[tuple[Formula, float]],
) -> Document:
    """Return the card, and what it gives at `symbols`."""
    facts: list[tuple[str, str, Cell, str]] = [
        ("form", "Form", card.form, ""),
        ("valid", "Fitted on", valid_text(card) or "not said", card.fit_data),
        ("source", "Source", card.source, str(card.status)),
        ("note", "Note", card.note or "none", f"superseded: {card.superseded}" if card.superseded else ""),
    ]
    sections: list[Facts | Table] = [Facts("law", tuple(facts)), _coefficients(card)]
    if values:
        rows = tuple(
            (each.name.replace("_", " "), Value(value, each.unit), ", ".join(each.needs)) for each, value in values
        )
        columns = (Column("quantity", "Gives"), Column("value", "Value", right=True), Column("needs", "From"))
        sections.append(Table("values", columns, rows, caption=_at(symbols)))
    warnings = list(card_warnings(card, symbols.get("N"), symbols.get("D"), symbols.get("C")))
    needs = sorted({name for each in formulas for name in each.needs}, key=list(SYMBOLS).index)
    example = " ".join(f"--at {name}={_EXAMPLES.get(name, '1')}" for name in needs)
    return Document(
        verb="scale.show",
        headline=f"{card.name}.",
        inputs={"law": card.id, "at": dict(symbols)},
        result={
            "id": card.id,
            "form": card.form,
            "coefficients": dict(card.coefficients),
            "ranges": {key: list(value) for key, value in card.ranges.items()},
            "table": [list(row) for row in card.table],
            "source": card.source,
            "status": card.status,
            "valid": valid_text(card),
            "superseded": card.superseded,
            "can_give": [{"name": each.name, "needs": list(each.needs), "unit": each.unit} for each in formulas],
            "values": {each.name: Value(value, each.unit) for each, value in values},
        },
        sections=tuple(sections),
        warnings=tuple(warnings),
        steps=(
            law_step(card),
            *(
                Step(
                    each.name,
                    card.form,
                    tuple(Given(name, symbols[name], "", "--at") for name in each.needs),
                    value,
                    each.unit,
                    card.source,
                )
                for each, value in values
            ),
        ),
        next_commands=(f"flopwise scale show {card.id} {example}",) if formulas and not values else (),
    )


_EXAMPLES = {"N": "1B", "D": "20B", "U": "5B", "C": "1e20", "L": "2.5", "E": "64", "G": "4", "Pw": "8", "DF": "100M"}


def _coefficients(card: LawCard) -> Table:
    columns = (
        Column("symbol", "Coefficient"),
        Column("value", "Value", right=True),
        Column("low", "Low", right=True),
        Column("high", "High", right=True),
    )
    rows = tuple(
        (
            symbol,
            value,
            card.ranges[symbol][0] if symbol in card.ranges else None,
            card.ranges[symbol][1] if symbol in card.ranges else None,
        )
        for symbol, value in card.coefficients.items()
    )
    return Table("coefficients", columns, rows)


def _at(symbols: Mapping[str, float]) -> str:
    return "At " + ", ".join(f"{name} = {value:g}" for name, value in symbols.items())
