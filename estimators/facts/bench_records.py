"""Records of local measurements: one JSON file per run of `flopwise bench run`, with every sample.

The harness (`benchmarks/harness`) writes them; listing, comparison, export and calibration read them, without torch.
The schema carries a version: a record of an older one is refused with a sentence, a newer one too, and a file that was
cut short or edited names what is wrong. Seconds are per call; rates follow from the work that a case says it did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FactsError, InputError
from ..frozen import dataclass, field
from .folders import data_folder

VERSION = 1
SCHEMA = f"flopwise.bench/{VERSION}"
FOLDER = "bench"
MEASURED, OUT_OF_MEMORY, UNSUPPORTED = "measured", "out of memory", "unsupported"
FAILED, WRONG, SKIPPED = "failed", "wrong", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What was measured. `kind` is torch's name (cpu, cuda, mps, xpu, xla); `catalog_id` the chip that it seems to be."""

    kind: str
    name: str
    vendor: str
    architecture: str
    memory_bytes: float
    cache_bytes: float = 0.0  # the last level
    compute_units: int = 0
    threads: int = 0
    count: int = 1
    driver: str = ""
    power_limit_w: float | None = None
    catalog_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measurement. `what` says of what: m, n, k, format, cache ("cold" or "warm"), bytes, ranks ...

    `median_s` and its 95 % interval count the samples that nobody disturbed, or all of them less their waiting
    (`is_corrected`). `verdict` is empty when nothing speaks against the number.
    """

    id: str
    suite: str
    what: Mapping[str, float | str]
    status: str
    reason: str = ""
    flops: float = 0.0
    bytes: float = 0.0
    median_s: float = 0.0
    low_s: float = 0.0
    high_s: float = 0.0
    best_s: float = 0.0
    iqr: float = 0.0
    samples: tuple[float, ...] = ()
    waited: tuple[float, ...] = ()
    rounds: tuple[float, ...] = ()  # the median of each round; each round ran in a process of its own
    inner: int = 1
    is_corrected: bool = False
    verdict: tuple[str, ...] = ()
    relative_error: float | None = None  # against a computation in higher precision; None: there was nothing to check
    conditions: Mapping[str, float] = field(default_factory=dict)  # temperature_c, power_w, clock_mhz after the case

    @property
    def is_measured(self) -> bool:
        """Whether there is a number that can be used."""
        return self.status == MEASURED

    @property
    def flops_per_s(self) -> float:
        """The rate of the median."""
        return self.flops / self.median_s if self.median_s else 0.0

    @property
    def bytes_per_s(self) -> float:
        """The rate of the median."""
        return self.bytes / self.median_s if self.median_s else 0.0

    def number(self, name: str) -> float:
        """Return one entry of `what` as a number, 0 where it is missing."""
        value = self.what.get(name, 0.0)
        return float(value) if isinstance(value, (int, float)) else 0.0

    def text(self, name: str) -> str:
        """Return one entry of `what` as text, "" where it is missing."""
        value = self.what.get(name, "")
        return value if isinstance(value, str) else f"{value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run. `stopped` says why it is not complete ("" when it is); `settings` how it was asked for."""

    id: str
    started: str
    finished: str
    seconds: float
    flopwise_version: str
    device: Device
    software: Mapping[str, str]
    settings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    cases: tuple[Case, ...]
    stopped: str = ""
    warnings: tuple[str, ...] = ()
    checks: Mapping[str, float] = field(default_factory=dict)  # what a second instrument said (torch.utils.benchmark)

    def of(self, suite: str, **what: str) -> tuple[Case, ...]:
        """Return the measured cases of a suite with these texts in `what`."""
        return tuple(
            case
            for case in self.cases
            if case.suite == suite and case.is_measured and all(case.text(k) == v for k, v in what.items())
        )

    @property
    def best_flops(self) -> dict[str, Case]:
        """The fastest matrix product of each format."""
        best: dict[str, Case] = {}
        for case in self.of("matmul"):
            name = case.text("format")
            if name not in best or case.flops_per_s > best[name].flops_per_s:
                best[name] = case
        return best

    @property
    def best_bandwidth(self) -> Case | None:
        """The fastest memory stream that does not fit the cache."""
        streams = [case for case in self.of("bandwidth") if case.text("cache") == "cold"]
        return max(streams, key=lambda case: case.bytes_per_s, default=None)


def bench_folder() -> Path:
    """Return the folder of the user's records, whether or not it exists."""
    return data_folder() / FOLDER


def record_files(folder: Path | None = None) -> tuple[Path, ...]:
    """Return the files of all records, oldest first (their names begin with the time)."""
    try:
        return tuple(sorted((folder or bench_folder()).glob("*.json")))
    except OSError as error:
        raise InputError(
            f"{folder or bench_folder()} cannot be read: {(error.strerror or str(error)).lower()}."
        ) from None


def find_record(typed: str) -> Path:
    """Return the file that `typed` means: "latest", a file, or the id of a record (its beginning is enough).

    Raises:
        InputError: nothing fits; says what to do.
    """
    given = Path(typed)
    if given.is_file():
        return given
    files = record_files()
    if not files:
        raise InputError(f"'{typed}': no measurement is kept on this machine yet; run `flopwise bench run --quick`.")
    if typed == "latest":
        return files[-1]
    found = [file for file in files if file.stem.startswith(typed)] or [file for file in files if typed in file.stem]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{typed}' could be {', '.join(file.stem for file in found[:5])}; type more of it.")
    raise InputError(f"'{typed}' is neither a file nor the id of a measurement; `flopwise bench list` shows them.")


def read_record(path: Path) -> Record:
    """Return the record in a file.

    Raises:
        FactsError: it is not a record, is damaged, or has another version of the schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FactsError(f"cannot be read: {(error.strerror or str(error)).lower()}", file=str(path)) from None
    except (ValueError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        raise FactsError(
            "is damaged: it is not whole JSON; measure again with `flopwise bench run`", file=str(path), line=line
        ) from None
    return record_from(data, str(path))


def record_from(data: Any, file: str) -> Record:
    """Return the record in parsed JSON; `file` names it in errors."""
    schema = data.get("schema", "") if isinstance(data, dict) else ""
    name, _, version = str(schema).rpartition("/")
    if name != "flopwise.bench" or not version.isdigit():
        raise FactsError("is not a record of `flopwise bench run`: its schema is missing", file=file)
    if int(version) < VERSION:
        raise FactsError(
            f"was written by an older flopwise (schema {version}, now {VERSION}); measure again with "
            "`flopwise bench run`",
            file=file,
        )
    if int(version) > VERSION:
        raise FactsError(f"was written by a newer flopwise (schema {version}, this one reads {VERSION})", file=file)
    try:
        values = {key: data[key] for key in _FIELDS}
        values["device"] = Device(**_typed(data["device"], _DEVICE))
        values["cases"] = tuple(case_from(case) for case in data["cases"])
        values["stopped"] = data.get("stopped", "")
        values["warnings"] = tuple(data.get("warnings", ()))
        values["checks"] = dict(data.get("checks", {}))
        return Record(**values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise FactsError(f"is damaged: {said}; measure again with `flopwise bench run`", file=file) from None


_FIELDS = ("id", "started", "finished", "seconds", "flopwise_version", "software", "settings", "conditions")
_DEVICE = (
    "kind",
    "name",
    "vendor",
    "architecture",
    "memory_bytes",
    "cache_bytes",
    "compute_units",
    "threads",
    "count",
    "driver",
    "power_limit_w",
    "catalog_id",
)
_CASE = (
    "id",
    "suite",
    "what",
    "status",
    "reason",
    "flops",
    "bytes",
    "median_s",
    "low_s",
    "high_s",
    "best_s",
    "iqr",
    "samples",
    "waited",
    "rounds",
    "inner",
    "is_corrected",
    "verdict",
    "relative_error",
    "conditions",
)


def record_data(record: Record) -> dict[str, Any]:
    """Return the record as plain JSON values; `record_from` reads them back."""
    data: dict[str, Any] = {"schema": SCHEMA} | {key: getattr(record, key) for key in _FIELDS}
    data["stopped"] = record.stopped
    data["warnings"] = list(record.warnings)
    data["checks"] = dict(record.checks)
    data["device"] = {key: getattr(record.device, key) for key in _DEVICE}
    data["cases"] = [case_data(case) for case in record.cases]
    return data


def case_data(case: Case) -> dict[str, Any]:
    """Return a case as plain JSON values; `case_from` reads them back."""
    data = {key: getattr(case, key) for key in _CASE}
    data["what"], data["conditions"] = dict(case.what), dict(case.conditions)
    data["samples"] = [float(f"{value:.6g}") for value in case.samples]
    data["waited"] = [round(value, 4) for value in case.waited] if any(case.waited) else []
    data["rounds"] = [float(f"{value:.6g}") for value in case.rounds]
    data["verdict"] = list(case.verdict)
    return data


def _typed(data: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in known}


def case_from(data: Mapping[str, Any]) -> Case:
    """Return the case in parsed JSON.

    Raises:
        TypeError, ValueError: something is missing or its times have no order.
    """
    values = _typed(data, _CASE)
    for key in ("samples", "waited", "rounds", "verdict"):
        values[key] = tuple(values.get(key, ()))
    case = Case(**values)
    if case.is_measured and not (0 < case.low_s <= case.median_s <= case.high_s):
        raise ValueError(f"case '{case.id}' has no ordered times ({case.low_s}, {case.median_s}, {case.high_s})")
    return case
