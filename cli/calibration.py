"""`--calibrate`: the rates that were measured on a chip in place of fitted ones, and by how much the answer moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..estimators.errors import InputError
from ..estimators.frozen import replace
from ..estimators.units import show
from .options import FACTS_PANEL, naming
from .report.document import Assumption, Document

if TYPE_CHECKING:
    from ..estimators.facts.catalog import Catalog
    from ..estimators.facts.records import Accelerator
    from ..estimators.quantity import Quantity

CalibrateOption = Annotated[
    str | None,
    typer.Option(
        "--calibrate",
        metavar="RECORD",
        help="Use the rates measured by `flopwise bench run`: latest, a file, or an id.",
        rich_help_panel=FACTS_PANEL,
    ),
]


def calibrate(facts: Catalog, record: str, on: str | None) -> Accelerator:
    """Put the measured rates on the catalog's chip and return the chip; `on` is the id of the chip that is asked about.

    Raises:
        InputError: the record is of another chip, so it would have no effect, or it cannot be used.
        FactsError: it is damaged or of another version.
    """
    from ..estimators.facts.calibration import calibrate_catalog

    with naming("--calibrate"):
        name, found = calibrate_catalog(facts, record)
        if on is not None and on != name:
            raise InputError(
                f"the measurement {found.id} is of {found.device.name}, the question is about "
                f"{facts.accelerators[on].name}; it would have no effect."
            )
    return facts.accelerators[name]


def moved(what: str, before: Quantity, after: Quantity, record: str) -> Assumption:
    """Return the line that says by how much measured rates moved an answer."""
    share = after.mid / before.mid - 1.0
    text = (
        f"rates measured in {record}: {what} is {show(after.mid, after.unit)} instead of {show(before.mid, before.unit)} "
        f"({share:+.1%})"
    )
    if before.low < before.high and before.low > 0:
        widths = [each.high / each.low for each in (before, after)]
        text += f"; the ends of its range are {widths[1]:.2f} times apart instead of {widths[0]:.2f}"
    return Assumption(text, "--calibrate")


def with_calibration(document: Document, record: str, what: str, before: Quantity, after: Quantity) -> Document:
    """Return the document with the line that says by how much the answer moved, and its twin under `calibration`."""
    twin = {"record": record, "what": what, "before": before, "after": after, "change": after.mid / before.mid - 1.0}
    return replace(
        document,
        inputs={**document.inputs, "calibrate": record},
        result={**document.result, "calibration": twin},
        assumptions=(moved(what, before, after, record), *document.assumptions),
    )
