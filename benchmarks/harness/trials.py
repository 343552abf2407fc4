"""A trial: one thing to measure, described before anything is allocated, so that the runner can skip what cannot fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...estimators.frozen import dataclass, field

if TYPE_CHECKING:
    from .device import Bench


class Unsupported(Exception):
    """The device or this torch cannot do it; the message is the reason in the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A trial with its data in place. `check` returns the error relative to a computation in higher precision."""

    run: Callable[[], object]
    prepare: Callable[[], object] | None = None
    check: Callable[[], float] | None = None
    tolerance: float = 0.0
    is_cold: bool = False  # `prepare` empties the caches: one call per sample
    uses_host_clock: bool = False  # the time of the host is the point (launch latency, whole steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing to measure."""

    suite: str
    name: str
    what: Mapping[str, float | str]
    build: Callable[[Bench], Built]
    flops: float = 0.0
    bytes: float = 0.0
    needs_bytes: float = 0.0
    share: float = 1.0  # of the effort of one trial
    rank: int = 0  # 0 for what calibration needs; higher ones are dropped first when time is short
    rate_key: str = ""  # trials with the same key run at similar rates: a hopeless one is foreseen

    @property
    def id(self) -> str:
        """Suite and name."""
        return f"{self.suite}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much is measured: quick (a minute), normal, full."""

    level: str = "normal"
    is_cpu: bool = True
    memory_bytes: float = 0.0
    cache_bytes: float = 0.0
    formats: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_quick(self) -> bool:
        """Whether a minute must do."""
        return self.level == "quick"

    @property
    def is_full(self) -> bool:
        """Whether time does not matter."""
        return self.level == "full"
