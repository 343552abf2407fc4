"""Read `data/calibration.yaml`: what a plan with `--calibrate` takes for granted beside the record."""

from __future__ import annotations

from functools import cache

from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/calibration.yaml"
RULES = ("least_spread", "least_step_spread", "network_reached")


@cache
def rule(name: str) -> float:
    """Return the value of one of `RULES`.

    Raises:
        FactsError: the file lacks something.
    """
    return _values(read(package_folder() / NAME, name=NAME, check=_check))[name]


def _check(file: FactFile) -> None:
    _values(file)


def _values(file: FactFile) -> dict[str, float]:
    top = Fields(file, (), file.data, ("as_of", "rules"))
    listed = Fields(file, ("rules",), top.values.get("rules"), RULES)
    found = {}
    for name in RULES:
        fields = Fields(file, ("rules", name), listed.values.get(name), ("what", "value", "guess", "source"))
        fields.text("what")
        fields.text("source")
        found[name] = fields.number("value")
    return found
