"""What a budget file says, as frozen records: months as whole numbers from 0, money in dollars, shares from 0 to 1.

`budget_file.py` fills them; `estimators/budget` turns them into lines of money. `where` is the path of a stage in the
file ("stages", 2), so that whatever goes wrong later can still name its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from ..frozen import dataclass
from .yamlfile import FactFile, Key

SCHEMA = 1


class Kind(StrEnum):
    """What a stage does."""

    EXPERIMENTS = "experiments"
    DATA = "data"
    PRETRAINING = "pre-training"
    FINETUNING = "fine-tuning"
    EVALUATION = "evaluation"
    SERVING = "serving"
    PEOPLE = "people"
    HARDWARE = "hardware"
    OTHER = "other"


class Terms(StrEnum):
    """How accelerators are had: the plans of the price list, or machines of one's own from a hardware stage."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renting:
    """On which terms a stage has its accelerators; None means what the file says for all, or the default."""

    plan: Terms
    cloud: str | None
    cloud_class: str | None
    usd_per_hour: float | None
    term_months: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """A training run with the inputs of `flopwise train`; `options` holds those that are rarely given, as typed."""

    model: str
    tokens: float
    on: str
    options: Mapping[str, object]
    runs: float  # how often it is run
    failed: float  # failed attempts, as a share of the good ones
    renting: Renting


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningWork:
    """Fine-tuning with the inputs of `flopwise finetune`."""

    model: str
    method: str
    tokens: float | None
    examples: float | None
    tokens_per_example: float | None
    on: str | None
    options: Mapping[str, object]
    runs: float
    failed: float
    renting: Renting


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWork:
    """A share of the accelerator-hours of another stage, on the same accelerators at the same price."""

    share: float
    of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursWork:
    """Accelerator-hours that somebody has counted already."""

    hours: float
    on: str
    renting: Renting


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiWork:
    """Requests to a public model."""

    api: str
    requests: float  # in all, or per day where the stage serves
    input_tokens: float
    output_tokens: float
    batch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWork:
    """A load on a model: own accelerators (`on`) or a public API; grows by a share each month."""

    model: str | None
    on: str | None
    api: str | None
    requests_per_day: float
    input_tokens: float
    output_tokens: float
    growth: float  # per month
    peak: float  # busiest hour over the mean
    weights: str | None
    time_per_token_s: float | None
    renting: Renting


@dataclass(frozen=True, slots=True, kw_only=True)
class DataItem:
    """One thing that data work pays for; which fields are set says how it is priced (see `Buying`)."""

    what: str
    buying: Buying
    usd: float | None = None
    amount: float | None = None  # items, tokens, pages, hours, bytes
    name: str = ""  # kind of label, generator, API, provider, or id of a unit cost
    by: str = "people"
    votes: float | None = None
    language: str | None = None  # of a need of text tokens, as in `flopwise data`
    domain: str | None = None
    have: float = 0.0
    close: str | None = None
    licence: str = "commercial"


class Buying(StrEnum):
    """How a data item is priced."""

    FIXED = "usd"
    LABELS = "labels"
    SYNTHETIC = "synthetic_tokens"
    UNIT = "unit_cost"
    STORAGE = "storage"
    EGRESS = "egress"
    NEED = "tokens"


@dataclass(frozen=True, slots=True)
class DataWork:
    """What is bought, made, kept and moved."""

    items: tuple[DataItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """People of one kind, for the months of the stage."""

    role: str
    count: float
    usd_per_year: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleWork:
    """A team; `overhead` is paid on top of salaries (taxes, benefits, equipment); None means the default."""

    roles: tuple[Role, ...]
    overhead: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareWork:
    """Accelerators bought at the start of the stage, run until its end."""

    on: str
    usd_each: float | None  # None: the price list
    usd_per_kwh: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherItem:
    """Something with a price of its own, paid once or every month of the stage."""

    what: str
    usd: float
    monthly: bool


@dataclass(frozen=True, slots=True)
class OtherWork:
    """Whatever else costs money."""

    items: tuple[OtherItem, ...]


Work = (
    TrainingWork
    | TuningWork
    | ShareWork
    | HoursWork
    | ApiWork
    | ServingWork
    | DataWork
    | PeopleWork
    | HardwareWork
    | OtherWork
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage. `start` counts months from 0; None: after what it waits for. `months` None: as long as it takes."""

    name: str
    kind: Kind
    work: Work
    start: int | None
    months: int | None
    after: tuple[str, ...]
    contingency: float
    uncertainty: float | None  # the user's own range on the amounts, 80 % band: 0.3 is 30 % either way
    where: tuple[Key, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """Money that comes in, in a month from 0."""

    month: int
    usd: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Cash at the start, money raised later, and what comes in every month."""

    cash_usd: float
    raises: tuple[Raise, ...]
    monthly_income_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFile:
    """A budget as written. `given` is the content of the file, for the round trip; `notices` were found on loading."""

    name: str
    start: date
    months: int
    stages: tuple[Stage, ...]
    funding: Funding | None
    prices: Mapping[str, float]  # own dollars per accelerator-hour, by id or name as typed
    note: str
    given: Mapping[str, object]
    notices: tuple[str, ...]
    file: FactFile

    def month_name(self, index: int) -> str:
        """Return "2027-03" for a month from 0."""
        years, months = divmod(self.start.month - 1 + index, 12)
        return f"{self.start.year + years:04d}-{months + 1:02d}"

    def stage(self, name: str) -> Stage:
        """Return the stage called `name`, which must exist."""
        return next(stage for stage in self.stages if stage.name == name)
