"""Read `data/serving_defaults.yaml`: what a serving answer takes for granted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..frozen import dataclass
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/serving_defaults.yaml"
_NAMES = (
    "headroom", "peak_over_mean", "time_per_token_s", "first_token_s", "draft_share", "arrival_spread",
    "seconds_between_requests", "mix_input_tokens", "mix_output_tokens", "mix_requests_per_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingDefault:
    """One number, what it is, and where it comes from."""

    value: float
    what: str
    is_guess: bool
    source: str


@cache
def load_serving_defaults() -> Mapping[str, ServingDefault]:
    """Return the defaults by name.

    Raises:
        FactsError: the file breaks its schema.
    """
    return _read(read(package_folder() / NAME, name=NAME, check=_check))


def _check(file: FactFile) -> None:
    _read(file)


def _read(file: FactFile) -> Mapping[str, ServingDefault]:
    top = Fields(file, (), file.data, ("version", *_NAMES))
    made = {}
    for name in _NAMES:
        fields = Fields(file, (name,), top.values.get(name), ("value", "what", "guess", "source"))
        made[name] = ServingDefault(
            value=fields.number("value"),
            what=fields.text("what"),
            is_guess=fields.values.get("guess") is True,
            source=fields.text("source"),
        )
    return made
