"""Read `data/plan_defaults.yaml`: what a plan takes for granted, each with source, and whether it is a guess."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..frozen import dataclass
from .folders import package_folder
from .records import CloudClass, PricePlan
from .schema import Fields, as_number
from .yamlfile import FactFile, read

NAME = "data/plan_defaults.yaml"
_TOP = (
    "reserves",
    "detour",
    "patience",
    "patience_source",
    "shortest_cluster_run_days",
    "supply",
    "supply_source",
    "hardware",
    "job",
    "advice",
    "node_counts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveDefault:
    """A share of the whole budget kept back from the main run, in percent of the budget."""

    name: str
    percent: float
    low: float
    high: float
    what: str
    is_guess: bool
    source: str


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number with its source."""

    value: float
    is_guess: bool
    source: str


@dataclass(frozen=True, slots=True)
class Patience:
    """Up to how many accelerators a run of so many days is usual."""

    accelerators: int
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareRules:
    """What a chip must have to be proposed without being asked for."""

    least_link_bytes_per_s: float
    least_network_bytes_per_s: float  # per accelerator
    formats: tuple[str, ...]
    classes: tuple[CloudClass, ...]
    vendors: tuple[str, ...]  # those chosen unasked; chips of others are listed beside the plan
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefaults:
    """The training job whose details nobody has fixed."""

    sequence: tuple[tuple[float, int], ...]  # up to how many parameters, how many tokens
    bytes_per_param: float
    usable_share: float
    source: str

    def sequence_tokens(self, params: float) -> int:
        """Return the usual sequence length for a model of this size."""
        return next((tokens for most, tokens in self.sequence if params <= most), self.sequence[-1][1])


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceRules:
    """When an open model makes pre-training pointless."""

    compute_ratio: float
    size_ratio: float
    closed: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDefaults:
    """The whole file."""

    reserves: Mapping[str, ReserveDefault]
    detour: Sourced
    patience: tuple[Patience, ...]
    patience_source: str
    shortest_cluster_run_days: Sourced
    supply: Mapping[CloudClass, Mapping[PricePlan, int]]
    supply_source: str
    hardware: HardwareRules
    job: JobDefaults
    advice: AdviceRules
    node_counts: tuple[int, ...]


@lru_cache(maxsize=1)
def load_plan_defaults() -> PlanDefaults:
    """Return the defaults.

    Raises:
        FactsError: an entry is missing, unknown or out of order.
    """
    return _defaults(read(package_folder() / NAME, name=NAME, check=_check))


def _check(file: FactFile) -> None:
    _defaults(file)


def _defaults(file: FactFile) -> PlanDefaults:
    top = Fields(file, (), file.data, _TOP)
    hardware = _fields(
        file,
        "hardware",
        ("least_link_bytes_per_s", "least_network_bytes_per_s", "formats", "classes", "vendors", "guess", "source"),
    )
    job = _fields(file, "job", ("sequence", "bytes_per_param", "usable_share", "guess", "source"))
    advice = _fields(file, "advice", ("compute_ratio", "size_ratio", "closed", "guess", "source"))
    return PlanDefaults(
        reserves={str(name): _reserve(file, str(name)) for name in _mapping(top, "reserves")},
        detour=_sourced(file, "detour"),
        patience=tuple(
            Patience(int(row.number("accelerators")), row.number("days"))
            for row in (
                Fields(file, ("patience", index), value, ("accelerators", "days"))
                for index, value in enumerate(_list(top, "patience"))
            )
        ),
        patience_source=_fields(file, "patience_source", ("guess", "source")).text("source"),
        shortest_cluster_run_days=_sourced(file, "shortest_cluster_run_days"),
        supply={CloudClass(str(name)): _supply(file, str(name)) for name in _mapping(top, "supply")},
        supply_source=_fields(file, "supply_source", ("guess", "source")).text("source"),
        hardware=HardwareRules(
            least_link_bytes_per_s=hardware.number("least_link_bytes_per_s"),
            least_network_bytes_per_s=hardware.number("least_network_bytes_per_s"),
            formats=hardware.texts("formats"),
            classes=tuple(CloudClass(name) for name in hardware.texts("classes")),
            vendors=hardware.texts("vendors"),
            source=hardware.text("source"),
        ),
        job=JobDefaults(
            sequence=tuple(
                (row.number("params"), int(row.number("tokens")))
                for row in (
                    Fields(file, ("job", "sequence", index), value, ("params", "tokens"))
                    for index, value in enumerate(_list(job, "sequence"))
                )
            ),
            bytes_per_param=job.number("bytes_per_param"),
            usable_share=job.number("usable_share"),
            source=job.text("source"),
        ),
        advice=AdviceRules(
            compute_ratio=advice.number("compute_ratio"),
            size_ratio=advice.number("size_ratio"),
            closed=advice.texts("closed"),
            source=advice.text("source"),
        ),
        node_counts=tuple(
            int(as_number(file, ("node_counts", index), value)) for index, value in enumerate(_list(top, "node_counts"))
        ),
    )


def _reserve(file: FactFile, name: str) -> ReserveDefault:
    fields = Fields(
        file,
        ("reserves", name),
        _mapping(Fields(file, (), file.data, _TOP), "reserves")[name],
        ("percent", "low", "high", "what", "guess", "source"),
    )
    return ReserveDefault(
        name=name,
        percent=fields.number("percent", at_least=0),
        low=fields.number("low", at_least=0),
        high=fields.number("high"),
        what=fields.text("what"),
        is_guess=bool(fields.values.get("guess")),
        source=fields.text("source").strip(),
    )


def _supply(file: FactFile, name: str) -> Mapping[PricePlan, int]:
    top = Fields(file, (), file.data, _TOP)
    fields = Fields(file, ("supply", name), _mapping(top, "supply")[name], tuple(PricePlan))
    return {plan: int(fields.number(plan)) for plan in PricePlan}


def _sourced(file: FactFile, name: str) -> Sourced:
    fields = _fields(file, name, ("value", "guess", "source"))
    return Sourced(fields.number("value", at_least=0), bool(fields.values.get("guess")), fields.text("source").strip())


def _fields(file: FactFile, name: str, known: tuple[str, ...]) -> Fields:
    return Fields(file, (name,), Fields(file, (), file.data, _TOP).values.get(name), known)


def _mapping(fields: Fields, key: str) -> Mapping[object, object]:
    value = fields.values.get(key)
    if not isinstance(value, dict):
        fields.fail(key, f"{fields.spelled(key)} must be a mapping")
    return value


def _list(fields: Fields, key: str) -> list[object]:
    value = fields.values.get(key)
    if not isinstance(value, list):
        fields.fail(key, f"{fields.spelled(key)} must be a list")
    return value
