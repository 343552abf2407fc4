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
    from collections.abc import Iterator

    from ..estimators.facts.catalog import Catalog
    from ..estimators.facts.records import Accelerator
    from ..estimators.quantity import Quantity
    from ..estimators.stepmodel.measured_links import Replaced

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


def with_calibration(
    document: Document,
    record: str,
    what: str,
    before: Quantity,
    after: Quantity,
    *,
    chip: Accelerator,
    group: int,
    kinds: tuple[str, ...] = (),
) -> Document:
    """Return the document with the lines that say by how much the answer moved and which links were replaced.

    `group` is how many chips work together in the answer, `kinds` the collectives that it is made of (all where empty).

    Raises:
        InputError: the answer did not move at all, so that nothing measured entered it.
    """
    if after.mid == before.mid:
        raise InputError(f"--calibrate: nothing that '{record}' measured enters this answer; it would have no effect.")
    links, kept = _links(chip), chip.measured.not_used if chip.measured else ()
    if links and group < 2:
        links, kept = (), (*kept, "the answer has one chip, which talks to no other")
    elif kinds and (others := [_name(each.kind) for each in links if each.kind not in kinds]):
        links = tuple(each for each in links if each.kind in kinds)
        kept = (*kept, f"{', '.join(others)}: this answer is made of {', '.join(map(_name, kinds))} alone")
    twin = {
        "record": record,
        "what": what,
        "before": before,
        "after": after,
        "change": after.mid / before.mid - 1.0,
        "links": [_link_twin(each) for each in links],
        "links_not_used": list(kept),
    }
    return replace(
        document,
        inputs={**document.inputs, "calibrate": record},
        result={**document.result, "calibration": twin},
        assumptions=(
            moved(what, before, after, record),
            *(Assumption(text, "--calibrate") for text in _link_lines(links, kept)),
            *document.assumptions,
        ),
    )


def _links(chip: Accelerator) -> tuple[Replaced, ...]:
    if chip.measured is None or not chip.measured.collectives:
        return ()
    from ..estimators.facts.surfaces import load_surfaces
    from ..estimators.stepmodel.chip import make_chip
    from ..estimators.stepmodel.measured_links import replaced

    return replaced(make_chip(replace(chip, measured=None), load_surfaces()), chip.measured.collectives)


def _name(kind: str) -> str:
    return {"alltoall": "all-to-all", "p2p": "point to point"}.get(kind, kind.replace("_", "-"))


def _link_lines(links: tuple[Replaced, ...], kept: tuple[str, ...]) -> Iterator[str]:
    """Say what was replaced, by where it was measured, and what was not."""
    scopes = dict.fromkeys(each.scope for each in links)
    for scope in scopes:
        own = [each for each in links if each.scope == scope]
        ranks, backend = own[0].ranks, own[0].backend.upper() if own[0].backend != "gloo" else "Gloo"
        lines = "; ".join(
            f"{_name(each.kind)} {show(each.latency_s, 's')} and {show(each.bus_bytes_per_s, 'bytes_per_s')} "
            f"instead of {show(each.before_latency_s, 's')} and {show(each.before_bus_bytes_per_s, 'bytes_per_s')}"
            for each in own
        )
        yield f"collectives {scope} as measured with {ranks} ranks ({backend}; latency, bus bandwidth): {lines}"
    if links and len(scopes) == 1:
        other = "between nodes" if "between nodes" not in scopes else "inside a node"
        yield f"collectives {other} were not measured and stay as fitted"
    for reason in kept:
        yield f"measured collectives that are not used: {reason}"


def _link_twin(each: Replaced) -> dict[str, object]:
    return {name: getattr(each, name) for name in each.__slots__}
