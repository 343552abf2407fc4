"""Read `data/scaling_fit.yaml`: the rules by which a user's pilot runs become a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..frozen import dataclass
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/scaling_fit.yaml"
_KEYS = (
    "huber_delta",
    "run_sd",
    "alpha_prior",
    "beta_prior",
    "k_prior",
    "few_runs",
    "least_runs",
    "least_decades",
    "trend_limit",
    "scalar_share",
    "least_tokens_per_param",
    "bootstrap",
    "scalar_band",
    "ensemble_band",
    "pilot_mfu",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandRule:
    """Half-width of the 80 % band of ln L: sqrt(base^2 + (per_decade x)^2 + (per_spread y)^2).

    x is the decades of compute beyond the runs, y half the distance between the members of the forecast.
    """

    base: float
    per_decade: float
    per_spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRules:
    """All constants of the protocol; `sources` says by key where each comes from."""

    huber_delta: float
    run_sd: float
    alpha_prior: tuple[float, float]  # mean, sd
    beta_prior: tuple[float, float]
    k_prior: tuple[float, float]  # of k: mean, log-sd
    few_runs: int
    least_runs: int
    least_decades: float
    trend_limit: float
    scalar_share: float
    least_tokens_per_param: float
    bootstrap: int
    scalar_band: BandRule
    ensemble_band: BandRule
    pilot_mfu: tuple[float, float, float]
    sources: Mapping[str, str]


@cache
def load_fit_rules() -> FitRules:
    """Return the rules.

    Raises:
        FactsError: an entry is missing, unknown or not a number.
    """
    return _rules(read(package_folder() / NAME, name=NAME, check=_check))


def _check(file: FactFile) -> None:
    _rules(file)


def _rules(file: FactFile) -> FitRules:
    top = Fields(file, (), file.data, _KEYS)
    entries = {key: Fields(file, (key,), top.values.get(key), _known(key)) for key in _KEYS}

    def value(key: str) -> float:
        return entries[key].number("value")

    def prior(key: str) -> tuple[float, float]:
        return entries[key].number("mean"), entries[key].number("sd")

    def band(key: str) -> BandRule:
        base, decade, spread = (entries[key].number(part, at_least=0) for part in ("base", "per_decade", "per_spread"))
        return BandRule(base=base, per_decade=decade, per_spread=spread)

    mfu = entries["pilot_mfu"]
    return FitRules(
        huber_delta=value("huber_delta"),
        run_sd=value("run_sd"),
        alpha_prior=prior("alpha_prior"),
        beta_prior=prior("beta_prior"),
        k_prior=prior("k_prior"),
        few_runs=int(value("few_runs")),
        least_runs=int(value("least_runs")),
        least_decades=value("least_decades"),
        trend_limit=value("trend_limit"),
        scalar_share=value("scalar_share"),
        least_tokens_per_param=value("least_tokens_per_param"),
        bootstrap=int(value("bootstrap")),
        scalar_band=band("scalar_band"),
        ensemble_band=band("ensemble_band"),
        pilot_mfu=(mfu.number("low"), mfu.number("mid"), mfu.number("high")),
        sources={key: entries[key].text("source") for key in _KEYS},
    )


def _known(key: str) -> tuple[str, ...]:
    if key.endswith("_prior"):
        return ("mean", "sd", "source")
    if key.endswith("_band"):
        return ("base", "per_decade", "per_spread", "source")
    return ("low", "mid", "high", "guess", "source") if key == "pilot_mfu" else ("value", "source")
