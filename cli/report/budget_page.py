"""A budget as one HTML page for a board: charts and tables, printable, readable without network or script.

Charts: the months by category against the cash, what moves the spending, loss against training money, and predicted
against measured speed of this very version (its own validation, run when the page is written).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from html import escape

from ...estimators.budget.alternatives import Alternative
from ...estimators.budget.build import Budget, PlannedStage
from ...estimators.budget.uncertainty import Uncertainty, cash_in
from ...estimators.facts.budget_records import TrainingWork
from ...estimators.units import show_count, show_usd
from .budget import SHOWN_SWINGS, cash_left
from .charts import DESK, PHONE, Dots, Series, scatter, stacked_bars, tornado
from .document import Document, Facts
from .page import section_html

_STYLE = """
:root { color-scheme: light dark; --line: #8886; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.lead { font-size: 1.05rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.05rem; font-variant-numeric: tabular-nums; }
.card small { opacity: .75; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; overflow-wrap: normal; }
thead th { border-bottom: 1px solid; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { display: block; opacity: .75; }
tr.total td { font-weight: 600; }
tr.first td { border-top: 1px solid; }
td:first-child { min-width: 8rem; }
td:last-child:not(.number) { min-width: 14rem; }
figure { margin: 1rem 0; }
.phone { display: none; }
figcaption, .remark { opacity: .75; font-size: .9rem; }
.warning { border-left: 4px solid #c80; padding-left: .6rem; }
@media screen and (max-width: 36rem) {
  .desk { display: none; }
  .phone { display: block; }
  table { font-size: .85rem; }
  th, td { padding-right: .5rem; }
  td:first-child { min-width: 5rem; }
  td:last-child:not(.number) { min-width: 11rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11px; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .wide { overflow: visible; }
  .desk { max-width: 34rem; }
}
"""


def report_bytes(budget: Budget, found: Uncertainty, ways: Sequence[Alternative], document: Document) -> bytes:
    """Return the page as UTF-8."""
    by_name = {section.name: section for section in document.sections}
    file = budget.file
    parts = [f"<h1>{escape(file.name)}</h1>", f'<p class="lead">{escape(document.headline)}</p>']
    if file.note:
        parts.append(f"<p>{escape(file.note)}</p>")
    facts = by_name["budget"]
    assert isinstance(facts, Facts)
    parts.append(_cards(facts))
    parts += [f'<p class="warning">{escape(text)}</p>' for text in document.warnings]
    parts += ["<h2>Cost by month</h2>", _figure(lambda width: month_chart(budget, width), _month_words(budget))]
    if file.funding:
        parts += [
            "<h2>Cash</h2>",
            _figure(lambda width: cash_chart(budget, found, width), "Band: 80 % of the draws, contingency not spent."),
        ]
    parts += [section_html(by_name[name]) for name in ("stages", "categories")]
    if found.swings:
        rows = [(swing.what, swing.low_cents / 100, swing.high_cents / 100) for swing in found.swings[:SHOWN_SWINGS]]
        draw = partial(
            tornado, rows, budget.spend_cents / 100, title="Spending as each input moves alone", show=show_usd
        )
        words = "Each input at the ends of its 80 % range."
        parts += ["<h2>What moves the spending</h2>", _figure(lambda width: draw(width=width), words)]
    if ways:
        parts.append(section_html(by_name["ways"]))
    parts += ["<h2>Loss against training money</h2>", *_frontier(budget)]
    parts += ["<h2>How far to trust the speeds</h2>", *_measured()]
    for name in ("months", "commitments", "sensitivity", "lines", "prices"):
        if name in by_name:
            parts.append(section_html(by_name[name]))
    if document.assumptions:
        listed = "".join(f"<li>{escape(each.text)}</li>" for each in document.assumptions)
        parts.append(f"<h2>Assumed</h2><ul>{listed}</ul>")
    stamp = document.catalog
    parts.append(
        f'<p class="remark">Catalog {escape(str(stamp.get("version")))}, prices as of '
        f"{escape(str(stamp.get('prices_as_of')))}.</p>"
    )
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(file.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )
    return (page + "\n".join(parts) + "\n</body>\n</html>\n").encode()


def month_chart(budget: Budget, width: int = DESK) -> str:
    """Return the months by category, as bars."""
    series = [
        Series(str(category), tuple(cents / 100 for cents in budget.category_by_month(category)))
        for category in budget.by_category
    ]
    return stacked_bars(budget.months, series, title=f"Cost by month of {budget.file.name}", show=show_usd, width=width)


def cash_chart(budget: Budget, found: Uncertainty, width: int) -> str:
    """Return the cash left at the end of each month, with the band of the draws."""
    assert budget.file.funding is not None
    came = cash_in(budget.file.funding, budget.file.months)
    until = [sum(came[: month + 1]) / 100 for month in range(budget.file.months)]
    band = [(total - q.high, total - q.low) for total, q in zip(until, found.months, strict=True)]
    line = Series("cash left, contingency spent", tuple(cents / 100 for cents in cash_left(budget)))
    bars = [Series("came in", tuple(cents / 100 for cents in came))]
    return stacked_bars(
        budget.months, bars, title="Cash left by month", show=show_usd, line=line, band=band, width=width
    )


def _cards(facts: Facts) -> str:
    from ...estimators.quantity import Quantity
    from .text import cell_text, mid_text, range_text

    cards = []
    for _, label, cell, remark in facts.items:
        more = remark
        if isinstance(cell, Quantity) and not cell.is_exact:
            more = f"{range_text(cell)}, {cell.band}; {remark}"
        text = mid_text(cell) if isinstance(cell, Quantity) else cell_text(cell)
        cards.append(f'<div class="card">{escape(label)}<b>{escape(text)}</b><small>{escape(more)}</small></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _figure(draw: Callable[[int], str], caption: str) -> str:
    """Return a chart twice, for a desk and for a phone; the style shows the one that fits."""
    drawn = f'<div class="desk">{draw(DESK)}</div><div class="phone">{draw(PHONE)}</div>'
    return f"<figure>{drawn}<figcaption>{escape(caption)}</figcaption></figure>"


def _month_words(budget: Budget) -> str:
    return f"Contingency included; the months add up to ${budget.cents / 100:,.2f}."


def _frontier(budget: Budget) -> list[str]:
    """Return what loss training money buys on this budget's accelerators, with the budget's own runs on it."""
    from ...estimators.models.parameters import count_parameters
    from ...estimators.models.shape import ModelKind
    from ...estimators.scaling.laws import law

    flops_per_usd, chip = _flops_per_usd(budget)
    known = law()
    surface = known.surface
    assert surface is not None  # the default law is one
    own: list[tuple[float, float, str]] = []
    apart: list[str] = []  # runs that have no place on the chart, and why
    for planned in budget.stages:
        work = planned.stage.work
        if isinstance(work, TrainingWork) and str(planned.stage.kind) == "pre-training":
            shape = budget.context.model(work.model).shape
            params = count_parameters(shape).active
            usd = sum(line.cents for line in planned.lines) / 100
            if shape.kind not in (ModelKind.DECODER, ModelKind.STATE_SPACE, ModelKind.HYBRID):
                apart.append(f"'{planned.stage.name}' does not train on text, so this law says nothing about it.")
            elif usd <= 0:
                apart.append(f"'{planned.stage.name}' runs on machines that the budget pays for elsewhere.")
            else:
                own.append((usd, surface.loss(params, work.tokens), planned.stage.name))
    centre = own[0][0] if own else max(budget.spend_cents / 100, 1e4)
    money = [centre * 10 ** (step / 4 - 2) for step in range(13)]
    best = [(usd, surface.loss(*surface.optimum(usd * flops_per_usd))) for usd in money]
    clouds = [Dots("best loss for the money", tuple(best), is_line=True)]
    if own:
        clouds.append(
            Dots("this budget", tuple((usd, loss) for usd, loss, _ in own), labels=tuple(name for _, _, name in own))
        )
    draw = partial(
        scatter,
        clouds,
        title="Best loss against training money",
        x_title=f"US dollars for one training run on {chip}",
        y_title="loss, nats per token",
        show_x=show_usd,
        show_y=lambda value: f"{value:.2f}",
    )
    sizes = [surface.optimum(usd * flops_per_usd) for usd, _ in (best[0], best[-1])]
    caption = (
        f"From scratch, by the law {known.id}: {show_count(sizes[0][0], 2)} parameters on "
        f"{show_count(sizes[0][1], 2)} tokens at the left, {show_count(sizes[1][0], 2)} on {show_count(sizes[1][1], 2)} at "
        "the right. Losses compare with each other only."
    )
    caption += "".join(f" {each}" for each in apart)
    if not own and not apart:
        caption += " This budget pre-trains nothing: the curve shows what a model of its own would cost."
    return [_figure(lambda width: draw(width=width), caption)]


def _flops_per_usd(budget: Budget) -> tuple[float, str]:
    """Return model FLOPs for a dollar of training: of the budget's own runs, else of the usual chip at its price."""
    from ...estimators.models.parameters import count_parameters

    for planned in budget.stages:
        work = planned.stage.work
        if isinstance(work, TrainingWork) and planned.worked.demand:
            usd = sum(line.cents for line in planned.lines) / 100
            params = count_parameters(budget.context.model(work.model).shape).active
            if usd > 0:
                return 6 * params * work.tokens * work.runs / usd, _chip_name(planned)
    from ...estimators.facts.budget_records import Renting, Terms
    from ...estimators.training.efficiency import efficiency

    chip = budget.context.catalog.find("h100-sxm-80gb")
    renting = Renting(plan=Terms.ON_DEMAND, cloud=None, cloud_class=None, usd_per_hour=None, term_months=None)
    price = budget.context.list_price(renting, chip)
    reached = efficiency(chip, active_params=1e10, accelerators=64)
    return reached.mfu.mid * reached.peak_flops_per_s * 3600 / price.usd.mid, chip.name.partition(" (")[0]


def _chip_name(planned: PlannedStage) -> str:
    assert planned.worked.demand is not None
    return planned.worked.demand.accelerator.name.partition(" (")[0]


@cache
def _measured() -> tuple[str, ...]:
    """Return predicted against measured training speed of this version, each run left out of the fit."""
    from ...benchmarks.validation.rows import read_rows
    from ...benchmarks.validation.scores import scores
    from ...benchmarks.validation.selection import worth_scoring
    from ...benchmarks.validation.shipping import MEASURED
    from ...benchmarks.validation.training import validate_training
    from ...estimators.facts.catalog import load_catalog

    measured = worth_scoring(read_rows(MEASURED / "training_throughput.csv"), every_quality=False)
    rows = validate_training(measured, load_catalog(use_config_folder=False))
    scored = [row for row in rows if row.status == "scored" and row.measured and row.predicted]
    points = tuple((row.measured or 1.0, row.predicted or 1.0) for row in scored)
    draw = partial(
        scatter,
        [Dots("one measured training run", points)],
        title="Predicted against measured training speed",
        x_title="measured tokens/s per accelerator",
        y_title="predicted",
        show_x=show_count,
        show_y=show_count,
        log_y=True,
        diagonal=True,
    )
    _, overall = scores(rows)
    caption = (
        f"{len(scored):,} runs that others measured, each predicted by this version with its kind left out of the fit: "
        f"{overall.median or 0:.1%} off in the median, {overall.p90 or 0:.0%} in the 90th percentile, "
        f"{overall.coverage or 0:.0%} inside the 80 % band. `flopwise validate training` repeats it."
    )
    return (_figure(lambda width: draw(width=width), caption),)
