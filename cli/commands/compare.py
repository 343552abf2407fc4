"""`flopwise compare`: models x chips x clouds x sizes as one ranked table. Reads what was typed and lays it out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from ...estimators import units
from ...estimators.errors import FlopwiseError, InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.records import CloudClass, PricePlan
from ...estimators.planning.ranges import read_names, read_values
from ...estimators.planning.sweep import Order, Row, Seller, Sweep, numbers, sweep
from ...estimators.training.layout import Precision
from ..options import CatalogOption, ForceOption, FormatOption, OutputOption, duration, naming, panel, usd, whole
from ..report.compare import compare_document, line, size_text
from ..report.output import choose, deliver

if TYPE_CHECKING:
    from ...estimators.facts.catalog import Catalog
    from ...estimators.models.shape import ModelShape
    from ...estimators.pricing.quote import Quote

list_option, limit_option = panel("What to combine (lists and ranges)"), panel("What limits it")
order_option = panel("The table")
SHOW_EARLY = 20_000  # combinations from which the best so far are shown on stderr
_Enum = TypeVar("_Enum", bound=StrEnum)
_DEFAULT_CHIPS, _DEFAULT_COUNTS = "h100-sxm,h200,b200", "8..512x2"


def compare(
    model: Annotated[
        str, list_option("--model", "-m", metavar="LIST", help="Models or sizes: llama-3-8b,7B or 1B..64Bx2.")
    ],
    tokens: Annotated[
        str | None, list_option("--tokens", metavar="LIST", help="Tokens to train on: 1T or 100B..1T+100B.")
    ] = None,
    on: Annotated[
        str, list_option("--on", metavar="LIST", help="Accelerators, with a number or without, or all.")
    ] = _DEFAULT_CHIPS,
    accelerators: Annotated[
        str | None, list_option("--accelerators", metavar="LIST", help="How many of those without a number: 8..512x2.")
    ] = None,
    cloud: Annotated[
        str | None,
        list_option(
            "--cloud", metavar="LIST", help="These clouds each, or all; the middle of gpu-clouds where left out."
        ),
    ] = None,
    plan: Annotated[
        str, list_option("--plan", metavar="LIST", help="on-demand, spot, reserved, or all.")
    ] = "on-demand",
    precision: Annotated[str, list_option("--precision", metavar="LIST", help="bf16, fp8, fp4 ...")] = "bf16",
    seq: Annotated[int | None, limit_option("--seq", parser=whole, metavar="N", help="Tokens per sequence.")] = None,
    price: Annotated[
        float | None, limit_option("--price", parser=usd, metavar="USD", help="Your price of an accelerator-hour.")
    ] = None,
    budget: Annotated[
        float | None, limit_option("--budget", parser=usd, metavar="USD", help="Only runs up to it.")
    ] = None,
    deadline: Annotated[
        float | None, limit_option("--deadline", parser=duration, metavar="TIME", help="Only runs within it.")
    ] = None,
    rank: Annotated[Order, order_option("--rank", case_sensitive=False, help="Best first in this.")] = Order.COST,
    top: Annotated[int, order_option("--top", min=1, max=100_000, metavar="N", help="Rows to show.")] = 20,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Training runs on every combination of models, tokens, chips, clouds and numbers, ranked.

    Any list may hold ranges: 8..512x2 doubles, 100B..1T+100B adds. A first look; `train` works one out in full.
    """
    choose(format, output, force)
    if tokens is None:
        raise InputError("--tokens: say on how many tokens, for example 1T or 100B..1Tx2.")
    facts = load_catalog(catalog or ())
    with naming("--tokens"):
        amounts = read_values(tokens, _a_number_of_tokens, "1T or 100B..1Tx2")
    with naming("--accelerators"):
        counts = tuple(numbers(read_values(accelerators or _DEFAULT_COUNTS, _a_number_of_accelerators)))
    sellers, skipped = _sellers(on, cloud, plan, price, facts, given=accelerators is not None)
    asked = Sweep(
        models=_models(model),
        tokens=amounts,
        sellers=sellers,
        counts=counts,
        precisions=_precisions(precision),
        sequence_tokens=seq,
        budget_usd=budget,
        deadline_s=deadline,
        order=rank,
        top=top,
    )
    with _Progress(asked) as progress:
        found = sweep(asked, progress)
    deliver(compare_document(asked, found, skipped, facts, on), format=format, output=output, force=force)


def _models(text: str) -> tuple[tuple[str, ModelShape], ...]:
    from ...estimators.models.resolve import resolve_model

    found = {}
    with naming("--model"):
        for part in read_names(text):
            if ".." in part:
                sizes = read_values(part, lambda each: units.read_count(each, "a size", "7B"), "1B..64Bx2")
                names = [size_text(size) for size in sizes]
            else:
                names = [part]
            for name in names:
                found[name] = resolve_model(name).shape
    return tuple(found.items())


def _a_number_of_tokens(text: str) -> float:
    return units.read_count(text, "a number of tokens", "1T")


def _a_number_of_accelerators(text: str) -> float:
    return units.read_count(text, "a number of accelerators", "8..512x2")


def _precisions(text: str) -> tuple[Precision, ...]:
    with naming("--precision"):
        return tuple(_choice(Precision, name, "precision") for name in read_names(text))


def _choice(kind: type[_Enum], name: str, what: str) -> _Enum:
    from ...estimators.names import nearest

    try:
        return kind(name.lower())
    except ValueError:
        known = [str(each) for each in kind]
        close = nearest(name.lower(), known, 1)
        hint = f"; did you mean '{close[0]}'?" if close else f"; choose among {', '.join(known)}."
        raise InputError(f"no {what} is called '{name}'{hint}") from None


def _sellers(
    on: str, cloud: str | None, plan: str, price: float | None, facts: Catalog, *, given: bool
) -> tuple[tuple[Seller, ...], list[str]]:
    """Return every price of every chip that was asked for, and what has none."""
    from ...estimators.pricing.quote import quote
    from ...estimators.quantity import exact

    if price is not None and cloud is not None:
        raise InputError("--price and --cloud contradict each other; give one of them.")
    with naming("--plan"):
        plans = [_choice(PricePlan, name, "plan") for name in read_names(plan, tuple(str(each) for each in PricePlan))]
    found: list[Seller] = []
    skipped: list[str] = []
    for text in read_names(on, facts.priced):
        with naming("--on"):
            name, count = units.read_accelerators(text)
            chip = facts.accelerators[name] if name in facts.accelerators else facts.find(name)
        fixed = (count,) if count else None
        if price is not None:
            found.append(Seller(accelerator=chip, name="your price", usd_per_hour=exact(price, "usd"), counts=fixed))
            continue
        for each in plans:
            try:
                if cloud is None:
                    quoted = _usual_quote(facts, chip.id, each)
                    name = f"{quoted.cloud_class or 'all clouds'}"
                    offers = [(name, quoted.usd_per_hour)]
                else:
                    quoted = quote(facts, chip.id, plan=each)
                    wanted = read_names(cloud)
                    names = None if wanted == ("all",) else {facts.find_cloud(one).name for one in wanted}
                    offers = [
                        (one.cloud, exact(one.mid_usd, "usd"))
                        for one in quoted.clouds
                        if names is None or one.cloud in names
                    ]
            except FlopwiseError as error:
                if isinstance(error, InputError) and "cloud is called" in str(error):
                    raise InputError(f"--cloud: {error}") from None
                skipped.append(f"{chip.id} {each}")
                continue
            if not offers:
                skipped.append(f"{chip.id} {each}")
            label = "" if each is PricePlan.ON_DEMAND else f", {each}"
            found += [
                Seller(accelerator=chip, name=f"{one}{label}", usd_per_hour=usd, counts=fixed) for one, usd in offers
            ]
    if not found:
        raise InputError(
            f"nobody sells these on these terms ({', '.join(skipped[:4])}); see `flopwise catalog prices`."
        )
    if given and all(seller.counts for seller in found):
        raise InputError("--accelerators: it has no effect, every accelerator of --on has a number; leave one out.")
    return tuple(found), skipped


def _usual_quote(facts: Catalog, chip: str, plan: PricePlan) -> Quote:
    from ...estimators.pricing.quote import quote

    try:
        return quote(facts, chip, plan=plan, cloud_class=CloudClass.GPU_CLOUD)
    except InputError:
        return quote(facts, chip, plan=plan)


class _Progress:
    """A bar on stderr where it is a terminal; the best so far once, early, where there is much to do."""

    def __init__(self, asked: Sweep) -> None:
        self.total, self.shown = asked.configurations, False
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and self.total > SHOW_EARLY // 4:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("combinations", total=self.total)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, done: int, best: Sequence[Row]) -> None:
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done)
        if not self.shown and best and self.total > SHOW_EARLY and done < self.total:
            self.shown = True
            print(f"Best of the first {done:,} of {self.total:,}:", file=sys.stderr)
            for row in best[:3]:
                print(f"  {line(row)}", file=sys.stderr)
            sys.stderr.flush()
