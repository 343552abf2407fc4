"""The document of `flopwise scale fit`: what the runs carry, the forecasts, the back-test, and the next pilot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...estimators.quantity import Given, Quantity, Step
from ...estimators.scaling.forecast import Calibration, Forecast, Method
from ...estimators.scaling.laws import law
from ...estimators.scaling.pilots import Backtest, NextPilot
from ...estimators.scaling.surface import TRAINING_FLOPS_PER_PARAM_TOKEN
from ...estimators.units import show_count
from .document import Assumption, Cell, Column, Document, Facts, Table, Value
from .plot import Curve
from .scaling import law_step

_SHOWN_PILOTS = 4


def fit_document(
    calibration: Calibration,
    forecasts: Sequence[Forecast],
    tests: Sequence[Backtest],
    pilots: Sequence[NextPilot],
    ratio: Quantity | None,
    *,
    flops: float,
    price_text: str,
    inputs: Mapping[str, object],
) -> Document:
    """Return the answer; `ratio` is the best D/N at `flops` where the runs carry one."""
    first = forecasts[0]
    facts: list[tuple[str, str, Cell, str]] = [
        ("method", "Method", _method_text(calibration), calibration.why),
        ("runs", "Runs", len(calibration.runs), f"over {calibration.decades:.2g} decades of compute"),
        (
            "multiplier",
            "Your loss",
            Value(calibration.multiplier, "times"),
            f"that of law {law().id}: tokenizer, corpus, recipe",
        ),
        (
            "trend",
            "Drift",
            Value(calibration.trend, "fraction"),
            "of the runs against the law, from the cheapest to the dearest",
        ),
    ]
    if ratio:
        facts.append(("tokens_per_param", "Best D/N", ratio, f"at {flops:.2g} FLOP, from your runs"))
    sections: list[Facts | Table] = [Facts("fit", tuple(facts), caption="What the runs carry"), _forecasts(forecasts)]
    if tests:
        sections.append(_backtests(tests))
    if pilots:
        sections.append(_pilots(pilots))
    return Document(
        verb="scale.fit",
        headline=(
            f"{show_count(first.params)} parameters on {show_count(first.tokens)} tokens should reach a loss of "
            f"{first.loss.mid:.3f} ({first.loss.low:.3f} to {first.loss.high:.3f})."
        ),
        inputs=inputs,
        result={
            "method": calibration.method,
            "why": calibration.why,
            "runs": len(calibration.runs),
            "decades": calibration.decades,
            "multiplier": calibration.multiplier,
            "trend": calibration.trend,
            "residual_sd": calibration.residual_sd,
            "dropped": [{"run": run.label, "why": why} for run, why in calibration.dropped],
            "tokens_per_param": ratio,
            "members": {
                name: {key: getattr(surface, key) for key in ("E", "A", "B", "alpha", "beta", "k")}
                for name, surface in calibration.members.items()
            },
            "forecasts": [_forecast(each) for each in forecasts],
            "backtest": [_backtest(each) for each in tests],
            "next_pilots": [_pilot(each) for each in pilots],
        },
        sections=tuple(sections),
        assumptions=(
            Assumption("losses are final, after the learning rate decayed, on one validation set"),
            Assumption(price_text, "--on, --price, --mfu"),
        ),
        warnings=tuple(_warnings(calibration, forecasts)),
        steps=_steps(calibration, first),
        next_commands=("flopwise scale fit RUNS.csv --target 7B:1T --plot loss.svg",),
    )


def curves(calibration: Calibration, forecasts: Sequence[Forecast]) -> tuple[Curve, ...]:
    """Return what a plot shows: runs, forecasts, and the forecast along the target's tokens per parameter."""
    ratio = forecasts[0].tokens / forecasts[0].params
    low = calibration.runs[0].flops
    high = max(TRAINING_FLOPS_PER_PARAM_TOKEN * each.params * each.tokens for each in forecasts)
    line, band = [], []
    for step in range(61):
        flops = low * (high / low) ** (step / 60)
        N = math.sqrt(flops / TRAINING_FLOPS_PER_PARAM_TOKEN / ratio)
        found = calibration.forecast(N, N * ratio)
        line.append((flops, found.loss.mid))
        band.append((found.loss.low, found.loss.high))
    return (
        Curve("runs", tuple((run.flops, run.loss) for run in calibration.runs), "o"),
        Curve(
            "forecast",
            tuple((TRAINING_FLOPS_PER_PARAM_TOKEN * f.params * f.tokens, f.loss.mid) for f in forecasts),
            "X",
            tuple((f.loss.low, f.loss.high) for f in forecasts),
        ),
        Curve(f"at {ratio:.3g} tokens per param", tuple(line), "-", tuple(band), is_line=True),
    )


def _method_text(calibration: Calibration) -> str:
    if calibration.method is Method.SCALAR:
        return "the default law times one number"
    return "geometric mean of scalar, Chinchilla fit and Skaling fit"


def _forecasts(forecasts: Sequence[Forecast]) -> Table:
    columns = (
        Column("params", "Size", right=True),
        Column("tokens", "Tokens", right=True),
        Column("loss", "Loss", right=True),
        Column("times", "Beyond the runs", right=True),
        Column("members", "Members", wide_only=True),
    )
    rows = tuple(
        (
            Value(each.params, "params"),
            Value(each.tokens, "tokens"),
            each.loss,
            Value(10**each.decades, "times"),
            ", ".join(f"{name} {value:.3f}" for name, value in each.members.items()),
        )
        for each in forecasts
    )
    return Table("forecasts", columns, rows, caption="Forecast (80 % band, from hold-out errors on public run sets)")


def _backtests(tests: Sequence[Backtest]) -> Table:
    columns = (
        Column("fitted", "Fitted on the cheapest", right=True),
        Column("held", "Held out", right=True),
        Column("method", "Method"),
        Column("mean_error", "Mean error", right=True),
        Column("coverage", "In the band", right=True),
    )
    rows = tuple(
        (
            each.fitted,
            len(each.held),
            str(each.method),
            Value(each.mean_error, "fraction"),
            Value(each.coverage, "fraction"),
        )
        for each in tests
    )
    return Table("backtest", columns, rows, caption="The same protocol on your own runs (5 to 1,000 times dearer)")


def _pilots(pilots: Sequence[NextPilot]) -> Table:
    columns = (
        Column("params", "Size", right=True),
        Column("tokens", "Tokens", right=True),
        Column("cost_usd", "Cost", right=True),
        Column("width_before", "Half-width now", right=True),
        Column("width_after", "Half-width then", right=True),
        Column("narrowing", "Points per $1,000", right=True),
    )
    rows = tuple(
        (
            Value(each.params, "params"),
            Value(each.tokens, "tokens"),
            each.cost_usd,
            Value(each.width_before, "fraction"),
            Value(each.width_after, "fraction"),
            Value(each.narrowing_per_kusd * 100, ""),
        )
        for each in pilots[:_SHOWN_PILOTS]
    )
    return Table("next_pilots", columns, rows, caption="Which next pilot narrows the forecast most for its cost")


def _forecast(each: Forecast) -> dict[str, object]:
    return {
        "params": each.params,
        "tokens": each.tokens,
        "unique_tokens": each.unique_tokens,
        "loss": each.loss,
        "decades_beyond_runs": each.decades,
        "times_beyond_runs": 10**each.decades,
        "members": dict(each.members),
    }


def _backtest(each: Backtest) -> dict[str, object]:
    return {
        "share": each.share,
        "fitted": each.fitted,
        "method": each.method,
        "mean_error": each.mean_error,
        "coverage": each.coverage,
        "held_out": len(each.held),
        "held": [
            {
                "params": held.run.params,
                "tokens": held.run.tokens,
                "measured": held.run.loss,
                "predicted": held.forecast.loss.mid,
                "low": held.forecast.loss.low,
                "high": held.forecast.loss.high,
                "error": held.error,
            }
            for held in each.held
        ],
    }


def _pilot(each: NextPilot) -> dict[str, object]:
    return {
        "params": each.params,
        "tokens": each.tokens,
        "cost_usd": each.cost_usd,
        "half_width_before": each.width_before,
        "half_width_after": each.width_after,
        "points_per_1000_usd": each.narrowing_per_kusd * 100,
    }


def _warnings(calibration: Calibration, forecasts: Sequence[Forecast]) -> list[str]:
    found = []
    if calibration.dropped:
        names = ", ".join(run.label for run, _ in calibration.dropped[:5])
        found.append(f"{len(calibration.dropped)} runs left out ({names}): {calibration.dropped[0][1]}.")
    if calibration.method is Method.SCALAR and abs(calibration.trend) > calibration.rules.trend_limit:
        found.append(
            f"Your losses drift by {calibration.trend:+.1%} against the law, which one number cannot hold; a fit needs "
            f"{calibration.rules.least_runs} runs over {calibration.rules.least_decades:g} decades of compute."
        )
    far = max(each.decades for each in forecasts)
    if far > 3:
        found.append(
            f"{10**far:,.0f} times more compute than any run: nothing of the kind was tested; run larger pilots."
        )
    for each in forecasts[:1]:
        found += [
            text
            for text in law().warnings(each.params, each.tokens, unique_tokens=each.unique_tokens)
            if "hopeful" in text or "epochs" in text
        ]
    return found


def _steps(calibration: Calibration, first: Forecast) -> tuple[Step, ...]:
    rules = calibration.rules
    rule_name = "scalar_band" if calibration.method is Method.SCALAR else "ensemble_band"
    found = [law_step(law().card)]
    for name, surface in calibration.members.items():
        inputs = tuple(
            Given(key, getattr(surface, key), "", "scaled default law" if name == "scalar" else "fitted to your runs")
            for key in ("E", "A", "B", "alpha", "beta", "k")
        )
        form = "E + (A/N^alpha + B/D^beta)^k"
        found.append(Step(f"member_{name}", form, inputs, first.members[name], "nats", _member_source(name)))
    rule = getattr(rules, rule_name)
    found.append(
        Step(
            "half_width",
            "sqrt(base^2 + (per_decade x)^2 + (per_spread y)^2)",
            (
                Given("base", rule.base, "fraction", rules.sources[rule_name]),
                Given("per_decade", rule.per_decade, "fraction", f"x = {first.decades:.2f} decades beyond the runs"),
                Given("per_spread", rule.per_spread, "", "y = half the distance between members, or the drift"),
            ),
            math.log(first.loss.high / first.loss.mid),
            "fraction",
            "data/scaling_fit.yaml",
        )
    )
    return tuple(found)


def _member_source(name: str) -> str:
    return {
        "scalar": "median residual of the runs",
        "chinchilla": "Huber loss on ln L, summed; exponents with the priors of data/scaling_fit.yaml",
        "skaling": "arXiv:2608.07222; Huber loss on ln L, summed",
    }[name]
