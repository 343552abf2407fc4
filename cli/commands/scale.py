"""`flopwise scale`: the laws, the optimum for a compute budget, and a forecast calibrated on the user's own runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...estimators import units
from ...estimators.errors import InputError
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    count,
    divisor,
    flops,
    naming,
    tokens,
    usd,
)

if TYPE_CHECKING:
    from ...estimators.facts.runs import RunRow
    from ...estimators.quantity import Quantity
    from ...estimators.scaling.forecast import Method, Run
    from ..report.plot import Curve

app = typer.Typer(no_args_is_help=True)

_ALL = "all"
_DEFAULT_CHIP = "h100-sxm"


@app.command("laws")
def laws(
    compute: Annotated[
        float, typer.Option("--compute", parser=flops, metavar="FLOP", help="Compute at which D/N is compared; 1e22.")
    ] = 1e22,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
) -> None:
    """Every law, what it gives, how far it is trusted, and with --explain each coefficient with its source."""
    from ...estimators.facts.scaling import law_cards
    from ...estimators.scaling.laws import law, selectable_laws
    from ..report.output import choose, deliver
    from ..report.scaling import laws_document

    choose(format, output, force)
    ratios = {name: law(name).optimum(compute).tokens_per_param for name in selectable_laws()}
    cards = law_cards()
    ordered = [*(cards[name] for name in ratios), *(card for card in cards.values() if card.id not in ratios)]
    document = laws_document(ordered, ratios, compute, explain)
    deliver(document, format=format, output=output, force=force, explain=explain)


@app.command("show")
def show(
    law: Annotated[str, typer.Argument(metavar="LAW", help="A law: muennighoff, clark-s-base, kumar, ...")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="SYMBOL=VALUE", help="Evaluate it: N=7B, D=140B, U, C, L, E, G, Pw, ... May repeat."
        ),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
) -> None:
    """One law with its coefficients, where it holds, and what it gives for numbers of your own."""
    from ...estimators.facts.scaling import find_card
    from ...estimators.scaling.evaluate import evaluate, formulas
    from ..report.output import choose, deliver
    from ..report.scaling_law import law_document

    choose(format, output, force)
    card = find_card(law)
    with naming("--at"):
        symbols = dict(_symbol(text) for text in at or ())
        values = evaluate(card, symbols) if symbols else ()
    document = law_document(card, formulas(card), symbols, values)
    deliver(document, format=format, output=output, force=force, explain=explain)


def _symbol(text: str) -> tuple[str, float]:
    from ...estimators.scaling.evaluate import SYMBOLS

    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"'{text}' is not SYMBOL=VALUE; write for example N=7B.")
    if name.strip() not in SYMBOLS:
        raise InputError(f"'{name}' is not a symbol; there are {', '.join(f'{k} ({v})' for k, v in SYMBOLS.items())}.")
    return name.strip(), units.read_flops(value) if name.strip() == "C" else units.read_count(value)


@app.command("optimum")
def optimum(
    compute: Annotated[
        float, typer.Option("--compute", "-c", parser=flops, metavar="FLOP", help="Training compute 6ND: 1e22.")
    ],
    law: Annotated[
        str | None, typer.Option("--law", metavar="NAME", help="The law, or `all` to compare them; besiroglu.")
    ] = None,
    unique_tokens: Annotated[
        float | None,
        typer.Option("--unique-tokens", parser=tokens, metavar="N", help="Different tokens there are: 20B."),
    ] = None,
    inference_tokens: Annotated[
        float | None,
        typer.Option("--inference-tokens", parser=tokens, metavar="N", help="Tokens it will serve in its life: 5T."),
    ] = None,
    inference_weight: Annotated[
        float | None,
        typer.Option(
            "--inference-weight",
            parser=count,
            metavar="X",
            help="Price of an inference FLOP over a training FLOP; 1.",
        ),
    ] = None,
    experts: Annotated[
        float | None, typer.Option("--experts", parser=count, metavar="N", help="Experts of a mixture: 64.")
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option("--routing", metavar="LAW", help="clark-s-base, clark-rl-r or clark-hash, with --experts."),
    ] = None,
    bits: Annotated[
        str | None,
        typer.Option("--bits", metavar="W[:A[:KV]]", help="Bits of weights, activations, KV cache in training: 8:8."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
) -> None:
    """Size and tokens for a compute budget, with their bands, what a detour costs, and where to start a sweep.

    Loss is shown as a difference, because its absolute value does not carry over between corpora; `scale fit` calibrates
    it on your own runs.
    """
    from ...estimators.names import resolve
    from ...estimators.scaling import modifiers
    from ...estimators.scaling.inference import lifetime_optimum_at_compute
    from ...estimators.scaling.laws import law as find_law
    from ...estimators.scaling.laws import selectable_laws
    from ..report.output import choose, deliver
    from ..report.scaling import Asked, optimum_document

    choose(format, output, force)
    if inference_weight is not None and inference_tokens is None:
        raise InputError("--inference-weight: it has no effect without --inference-tokens; leave it out.")
    if routing is not None and experts is None:
        raise InputError("--routing: it has no effect without --experts; leave it out.")
    if experts is not None and experts <= 1:
        raise InputError("--experts: a mixture has at least 2 experts; leave it out for a dense model.")
    wants_all = law is not None and law.strip().lower() == _ALL
    with naming("--law"):
        chosen = find_law(None if wants_all else law)
    for given, what in ((unique_tokens, "--unique-tokens"), (inference_tokens, "--inference-tokens")):
        if given is not None:
            chosen.required_surface(what)
    surface = chosen.surface or find_law().required_surface("a loss")
    kept, bits_text = _bits(bits)
    with naming("--routing"):
        routed = resolve(routing or "clark-s-base", ("clark-s-base", "clark-rl-r", "clark-hash"), kind="routing law")
    asked = Asked(
        flops=compute,
        unique_tokens=unique_tokens,
        inference_tokens=inference_tokens,
        inference_weight=inference_weight or 1.0,
        experts=experts,
        routing=routed,
        params_kept=modifiers.params_kept(*kept) if kept else 1.0,
        bits_text=bits_text,
    )
    best = chosen.optimum(compute, unique_tokens)
    lifetime = None
    if inference_tokens is not None:
        lifetime = lifetime_optimum_at_compute(
            surface, compute, inference_tokens, asked.inference_weight, unique_tokens
        )
        if lifetime.tokens <= 0:
            raise InputError("--inference-tokens: serving alone takes more than the compute; raise --compute.")
    others = [(each, each.optimum(compute)) for each in map(find_law, selectable_laws())] if wants_all else []
    inputs = {
        "compute_flops": compute,
        "law": chosen.id,
        "unique_tokens": unique_tokens,
        "inference_tokens": inference_tokens,
        "inference_weight": inference_weight,
        "experts": experts,
        "routing": routed if experts else None,
        "bits": bits,
    }
    document = optimum_document(asked, chosen, surface, best, lifetime, others, inputs)
    deliver(document, format=format, output=output, force=force, explain=explain)


@app.command("fit")
def fit(
    runs: Annotated[Path, typer.Argument(metavar="RUNS.csv", help="Your runs: params,tokens,loss[,unique_tokens].")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", metavar="N:D[:U]", help="Size, tokens and unique tokens to forecast: 7B:1T. May repeat."
        ),
    ] = None,
    compute: Annotated[
        float | None,
        typer.Option("--compute", "-c", parser=flops, metavar="FLOP", help="Forecast the best size for this compute."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="scalar or ensemble; chosen for you by the runs.")
    ] = None,
    backtest: Annotated[
        bool, typer.Option("--backtest", help="Also forecast your dearer runs from the cheaper ones.")
    ] = False,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it: a file in SVG, or - for the terminal.")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="CHIP", help="Accelerator that pilots would run on; h100-sxm.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", parser=usd, metavar="USD", help="Its price per accelerator-hour.")
    ] = None,
    mfu: Annotated[
        float | None, typer.Option("--mfu", parser=divisor, metavar="SHARE", help="Its MFU on pilots: 35%.")
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Calibrate the forecast of loss on your own pilot runs, and name the next pilot worth its money.

    Few runs give one number, many give the shape of the surface; the answer says which and why. Rows of the file without a
    loss are forecast too. Without a target, the best size for 30 times the compute of the dearest run is forecast.
    """
    from ...estimators.scaling.forecast import calibrate
    from ...estimators.scaling.pilots import backtests, best_ratio, best_size, next_pilots
    from ..report.output import choose, deliver
    from ..report.scaling_fit import curves, fit_document

    chosen_format = choose(format, output, force)
    from ...estimators.facts.runs import read_runs

    rows = read_runs(runs)
    measured = [_run(row) for row in rows if row.loss is not None]
    if not measured:
        raise InputError(f"'{runs}' holds no run with a loss; at least one is needed to calibrate on.")
    calibration = calibrate(measured, method=_method(method))
    wanted = [_target(text) for text in target or ()]
    wanted += [(row.params, row.tokens, row.unique_tokens) for row in rows if row.loss is None]
    if compute is not None:
        wanted.append((*best_size(calibration, compute), None))
    if not wanted:
        wanted.append((*best_size(calibration, _BEYOND * calibration.most_flops), None))
    forecasts = [calibration.forecast(*each) for each in wanted]
    tests = backtests(measured) if backtest else ()
    if backtest and not tests:
        raise InputError(
            "--backtest: no run has at least 5 times the compute of a cheaper third of them; leave it out."
        )
    usd_per_flop, price_text = _usd_per_flop(on, price, mfu, catalog)
    first = forecasts[0]
    pilots = next_pilots(calibration, first.params, first.tokens, usd_per_flop, first.unique_tokens)
    at = compute or 6 * first.params * first.tokens
    document = fit_document(
        calibration,
        forecasts,
        tests,
        pilots,
        best_ratio(calibration, at),
        flops=at,
        price_text=price_text,
        inputs={
            "runs": str(runs),
            "target": list(target or ()),
            "compute_flops": compute,
            "method": method,
            "on": on,
            "price_usd_per_hour": price,
            "mfu": mfu,
        },
    )
    if plot is not None:
        _draw(plot, curves(calibration, forecasts), str(runs), force, chosen_format)
    deliver(document, format=format, output=output, force=force if output else False, explain=explain)


_BEYOND = 30.0  # times the dearest run, where no target is named


def _run(row: RunRow) -> Run:
    from ...estimators.scaling.forecast import Run

    return Run(
        params=row.params,
        tokens=row.tokens,
        loss=row.loss or 0.0,
        unique_tokens=row.unique_tokens,
        label=f"line {row.line}",
    )


def _method(text: str | None) -> Method | None:
    from ...estimators.names import resolve
    from ...estimators.scaling.forecast import Method

    if text is None:
        return None
    with naming("--method"):
        return Method(resolve(text, [str(each) for each in Method], kind="method"))


def _target(text: str) -> tuple[float, float, float | None]:
    with naming("--target"):
        parts = text.split(":")
        if len(parts) not in (2, 3):
            raise InputError(f"'{text}' is not a size and tokens; write for example 7B:1T, or 7B:1T:200B.")
        numbers = [units.read_count(part, "a size or a number of tokens") for part in parts]
        return numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else None


def _bits(text: str | None) -> tuple[tuple[float, ...], str]:
    if text is None:
        return (), ""
    with naming("--bits"):
        parts = text.split(":")
        if len(parts) > 3:
            raise InputError(f"'{text}' is not bits of weights, activations and KV cache; write for example 8:8:16.")
        values = tuple(units.read_count(part, "a number of bits", "8") for part in parts)
        if max(values) > 64:
            raise InputError(f"'{text}': no format has more than 64 bits; write for example 8:8.")
        names = ("weights", "activations", "KV cache")
        shown = ", ".join(f"{name} in {value:g} bits" for name, value in zip(names, values, strict=False))
        return values, shown


def _usd_per_flop(
    on: str | None, price: float | None, mfu: float | None, catalog: list[Path] | None
) -> tuple[Quantity, str]:
    """Return dollars per model FLOP of a pilot, and the sentence that says so."""
    from ...estimators.facts.catalog import load_catalog
    from ...estimators.facts.scaling_fit import load_fit_rules
    from ...estimators.pricing.quote import BAND, quote
    from ...estimators.quantity import Quantity, exact, product
    from ..training_options import files

    facts = load_catalog(files(catalog))
    with naming("--on"):
        chip = facts.find(on or _DEFAULT_CHIP)
    hourly = exact(price, "usd_per_hour", "--price") if price else quote(facts, chip.id).usd_per_hour
    peak = chip.peak_flops_per_s.get("bf16") or max(chip.peak_flops_per_s.values())
    if mfu is not None:
        slow = exact(1 / mfu, "", "--mfu")
    else:
        low, mid, high = load_fit_rules().pilot_mfu
        slow = Quantity(1 / high, 1 / mid, 1 / low, "", BAND, "data/scaling_fit.yaml: pilot_mfu (a guess)")
    found = product("usd_per_flop", (hourly, slow)).scaled(1 / (3600 * peak))
    shown = f"pilots run on {chip.name} at {units.show_usd(hourly.mid)} an hour and {1 / slow.mid:.0%} MFU"
    return found, shown


def _draw(place: str, drawn: tuple[Curve, ...], name: str, force: bool, chosen_format: str) -> None:
    from ..report.output import write_atomically
    from ..report.plot import svg_plot, text_plot

    if place == "-":
        if chosen_format != "table":
            raise InputError("--plot -: a picture in characters goes with the table only; name a file in .svg.")
        import sys

        print(text_plot(drawn), file=sys.stdout)
        print()
        return
    path = Path(place)
    if path.suffix.lower() != ".svg":
        raise InputError(f"--plot: '{place}' must end in .svg, or be - for the terminal.")
    if path.exists() and not force:
        raise InputError(f"--plot: '{place}' exists; add --force to replace it.")
    write_atomically(path, svg_plot(drawn, title=f"flopwise scale fit {name}").encode())
