"""Read what published whole runs took beyond their steps (`data/efficiency/runs.yaml`).

The file is written by `benchmarks/fits/runs.py`; nobody edits it by hand. A kind has one factor with its 80 % band, and
the factor that is fitted when one organisation's runs are left out, so that `flopwise validate runs` never predicts a
run from a factor that saw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from ..errors import FactsError
from ..frozen import dataclass, replace
from ..quantity import Quantity
from .yamlfile import read

NAME = "data/efficiency/runs.yaml"
_PATH = Path(__file__).parents[2] / NAME


class RunKind(StrEnum):
    """Which runs share a factor."""

    CLUSTER = "cluster"  # over more than one node, on full sequences
    RAGGED = "ragged"  # examples of different length, not packed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLoss:
    """Hours of published runs over those of their steps and itemised losses: `factor` has an 80 % band.

    `left_out` holds the factor fitted without the named organisation, `seen` (organisation, model) of the rows of the
    fit, `error` the median |error| of these rows with their organisation left out.
    """

    kind: RunKind
    factor: Quantity
    rows: int
    organisations: int
    error: float
    left_out: Mapping[str, float]
    seen: frozenset[tuple[str, str]]

    def unseen(self, organisation: str, model: str) -> RunLoss:
        """Return the loss as fitted without the organisation, where the fit saw this run of it; else itself."""
        if (organisation, model) not in self.seen or organisation not in self.left_out:
            return self
        factor = self.factor.scaled(self.left_out[organisation] / self.factor.mid)
        return replace(self, factor=factor, organisations=self.organisations - 1)

    def shared(self, share: float) -> RunLoss:
        """Return the loss of a job that has only `share` of it, 0 to 1."""
        f = self.factor
        low, mid, high = (1.0 + share * (value - 1.0) for value in (f.low, f.mid, f.high))
        return replace(self, factor=Quantity(low, mid, high, f.unit, f.band, f.basis))


@cache
def load_run_losses() -> Mapping[RunKind, RunLoss]:
    """Return the losses by kind.

    Raises:
        FactsError: the file is missing or lacks a field.
    """
    data = read(_PATH, name=NAME).data
    try:
        assert isinstance(data, dict)
        folds: dict[str, dict[str, float]] = {}
        for fold in data["folds"]:
            folds.setdefault(fold["kind"], {})[fold["left_out"]] = float(fold["factor"])
        seen = frozenset((row["organisation"], row["model"]) for row in data["runs"])
        return {
            RunKind(entry["kind"]): RunLoss(
                kind=RunKind(entry["kind"]),
                factor=Quantity(
                    float(entry["low"]),
                    float(entry["mid"]),
                    float(entry["high"]),
                    "",
                    "80 %",
                    f"{entry['rows']} published runs of {entry['organisations']} organisations, {NAME}",
                ),
                rows=int(entry["rows"]),
                organisations=int(entry["organisations"]),
                error=float(entry["error"]),
                left_out=folds.get(entry["kind"], {}),
                seen=seen,
            )
            for entry in data["losses"]
        }
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise FactsError(f"is not a fit of benchmarks/fits/runs.py: {error}", file=NAME) from None
