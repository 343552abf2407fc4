"""Items made or labelled by people, or by a model with people auditing a share.

people   items x votes x price x (1 + quality control) + pilot          hours = items x votes x minutes / 60
model    items x model price + audit share x items x people's price
"""

from __future__ import annotations

from enum import StrEnum

from ..errors import InputError
from ..facts.datacosts import DataCosts, LabelKind, Rate
from ..frozen import dataclass
from ..quantity import Quantity
from ..units import DAY
from .lines import HOUR, CostLine, Group, given, line, over, times

_MINUTE = 60.0
_WORKING_DAYS = 7 / 5  # calendar days for one working day


class By(StrEnum):
    """Who labels."""

    PEOPLE = "people"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """`items` of one kind; votes None is the kind's own, `annotators` people work side by side."""

    items: Quantity
    kind: LabelKind
    by: By
    votes: float | None = None
    annotators: float | None = None
    active_learning: float = 0.0  # share of items that need not be labelled


def label_lines(job: LabelJob, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return the lines of a labelling job.

    Raises:
        InputError: no model price is known for this kind.
    """
    votes = job.votes or job.kind.votes
    items = job.items.scaled(1 - job.active_learning)
    if job.by is By.PEOPLE:
        return _by_people(items, votes, job, costs, "")
    if not job.kind.model_cost:
        known = [name for name in costs.names("labels") if costs.label(name).model_cost]
        raise InputError(f"no price of a model's label is known for '{job.kind.id}'; it is for {', '.join(known)}.")
    model = line("label_model", f"{job.kind.what}, by a model", Group.LABEL, items, costs.rate(job.kind.model_cost))
    audited = times("items", items, costs.rate("audit_share").quantity)
    return (model, *_by_people(audited, votes, job, costs, "audit: ", audit=True))


def _by_people(
    items: Quantity, votes: float, job: LabelJob, costs: DataCosts, prefix: str, *, audit: bool = False
) -> tuple[CostLine, ...]:
    kind, answers = job.kind, items.scaled(votes)
    hours = answers.scaled(kind.minutes * _MINUTE / HOUR, "hours")
    name = "audit" if audit else "label"
    if kind.hourly:
        price, quantity = costs.rate(kind.hourly), hours
    else:
        price, quantity = costs.rate(kind.cost), answers
    what = f"{prefix}{kind.what}" + (f", {votes:g} votes" if votes != 1 else "")
    people, calendar = hours.scaled(HOUR, "s"), _calendar(hours, job, costs)
    found = [line(name, what, Group.LABEL, quantity, price, people_s=people, calendar_s=calendar)]
    if audit:
        return tuple(found)
    control = costs.rate("qc_share")
    found.append(
        line("quality", "quality control on top", Group.LABEL, times(quantity.unit, quantity, control.quantity), price)
    )
    pilot = costs.rate("pilot_share")
    found.append(
        line(
            "pilot",
            "a pilot to settle the guideline",
            Group.LABEL,
            times(quantity.unit, quantity, pilot.quantity),
            price,
        )
    )
    return tuple(found)


def _calendar(hours: Quantity, job: LabelJob, costs: DataCosts) -> Quantity:
    people = given(job.annotators, "people") if job.annotators else costs.rate("annotators").quantity
    rate = costs.rate("annotators")
    team = _exactly(rate, people.mid) if job.annotators else rate
    per_person = over("days", hours, team)
    return over("s", per_person.scaled(DAY * _WORKING_DAYS, "s h"), costs.rate("productive_hours"))


def _exactly(rate: Rate, value: float) -> Rate:
    from ..frozen import replace

    return replace(rate, value=value, low=value, high=value)
