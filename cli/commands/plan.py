"""`flopwise plan`: from money, time, data or a target to a plan. Reads what was typed and lays the answer out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ...estimators import units
from ...estimators.errors import InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.planning.budget import read_reserve
from ...estimators.planning.request import Objective, PlanRequest
from ...estimators.planning.search import make_plan
from ...estimators.training.layout import Precision
from ..calibration import CalibrateOption, with_calibration
from ..calibration import calibrate as put_measured
from ..clock import today
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    complete_accelerator,
    complete_model,
    divisor,
    duration,
    facts_option,
    flops,
    naming,
    number,
    one_of,
    panel,
    tokens,
    usd,
    whole,
)
from ..report import planning, planning_data, planning_reasons, planning_twin
from ..report.document import Document
from ..report.output import choose, deliver
from ..training_options import ClassOption, CloudOption, PlanOption, PrecisionOption, PriceOption, SequenceOption, files

if TYPE_CHECKING:
    from ...estimators.datacost.needs import DataPlan
    from ...estimators.facts.catalog import Catalog
    from ...estimators.planning.data_side import DataSide
    from ...estimators.planning.search import Plan

wanted_option, limit_option, money_option = panel("What you want"), panel("What limits it"), panel("The money")


def plan(
    budget: Annotated[
        float | None, limit_option("--budget", "-b", parser=usd, metavar="USD", help="All the money: 50k.")
    ] = None,
    deadline: Annotated[
        float | None, limit_option("--deadline", parser=duration, metavar="TIME", help="The main run ends within: 30d.")
    ] = None,
    model: Annotated[
        str | None,
        wanted_option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Fix the model: a name, a config.json, or a size such as 7B.",
            autocompletion=complete_model,
        ),
    ] = None,
    tokens: Annotated[
        float | None, wanted_option("--tokens", parser=tokens, metavar="N", help="Fix the tokens trained on: 300B.")
    ] = None,
    target_loss: Annotated[
        float | None,
        wanted_option(
            "--target-loss", parser=number(1e-3, 100, "2.1"), metavar="NATS", help="Reach this loss, in nats per token."
        ),
    ] = None,
    compute: Annotated[
        float | None, wanted_option("--compute", parser=flops, metavar="FLOP", help="Spend this compute (6ND): 1e22.")
    ] = None,
    inference_tokens: Annotated[
        float | None,
        wanted_option(
            "--inference-tokens",
            parser=tokens,
            metavar="N",
            help="Tokens it will serve in its life; the money pays for them too.",
        ),
    ] = None,
    objective: Annotated[
        Objective | None, wanted_option("--objective", case_sensitive=False, help="What to make best.")
    ] = None,
    unique_tokens: Annotated[
        float | None,
        limit_option(
            "--unique-tokens", parser=tokens, metavar="N", help="Different tokens there are; more are repeats."
        ),
    ] = None,
    data_plan: Annotated[
        Path | None,
        limit_option(
            "--data-plan",
            metavar="FILE",
            help="Your data needs (as for `data --needs`): they say how many different tokens there are.",
        ),
    ] = None,
    data_price: Annotated[
        float | None,
        money_option(
            "--data-price",
            parser=usd,
            metavar="USD",
            help="A million new unique tokens; the cheapest way of `flopwise data`.",
        ),
    ] = None,
    costs: Annotated[
        list[Path] | None, facts_option("--costs", metavar="FILE", help="Your own unit costs of data.")
    ] = None,
    accelerator: Annotated[
        str | None,
        limit_option(
            "--accelerator",
            "--on",
            "-a",
            metavar="CHIP[:N]",
            help="Only this accelerator, or exactly so many: h100:64.",
            autocompletion=complete_accelerator,
        ),
    ] = None,
    max_accelerators: Annotated[
        int | None, limit_option("--max-accelerators", parser=whole, metavar="N", help="At most so many.")
    ] = None,
    cloud: CloudOption = None,
    cloud_class: ClassOption = None,
    terms: PlanOption = None,
    price: PriceOption = None,
    reserve: Annotated[
        list[str] | None,
        money_option(
            "--reserve",
            metavar="NAME=PERCENT",
            help="Keep this share of the money back: contingency=15. May be repeated; 0 removes one.",
        ),
    ] = None,
    no_reserves: Annotated[
        bool, money_option("--no-reserves", help="Keep nothing back but what --reserve names.")
    ] = False,
    law: Annotated[str | None, wanted_option("--law", metavar="NAME", help="The scaling law; besiroglu.")] = None,
    detour: Annotated[
        float | None,
        wanted_option(
            "--detour", parser=divisor, metavar="SHARE", help="Compute that may be wasted for a smaller model; 5%."
        ),
    ] = None,
    precision: PrecisionOption = None,
    seq: SequenceOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
    calibrate: CalibrateOption = None,
) -> None:
    """What a budget, a deadline or a target buys: model, tokens, hardware, days, cost, loss.

    Give what you have: a budget, a budget and a deadline, a cluster for a time, a model and tokens, a loss to reach.
    """
    choose(format, output, force)
    facts = load_catalog(files(catalog))
    name, number = _accelerator(accelerator)
    data = _Data(unique_tokens, data_plan, data_price, costs, facts)
    request = PlanRequest(
        budget_usd=budget,
        deadline_s=deadline,
        model=model,
        tokens=tokens,
        unique_tokens=data.unique_tokens,
        inference_tokens=inference_tokens,
        target_loss=target_loss,
        compute_flops=compute,
        objective=objective,
        accelerator=name,
        accelerators=number,
        max_accelerators=max_accelerators,
        cloud=cloud,
        cloud_class=cloud_class,
        price_plan=terms,
        usd_per_hour=price,
        precision=precision or Precision.BF16,
        sequence_tokens=seq,
        law=law,
        detour=detour,
        reserve_edits=_reserves(reserve),
        no_reserves=no_reserves,
    )
    as_fitted, measured = None, None
    if calibrate is not None:
        as_fitted = make_plan(request, facts)
        measured = put_measured(facts, calibrate, facts.find(name).id if name else None)
    found = make_plan(request, facts)
    now = today()
    advice = planning.advice_facts(found)
    side = data.side(found)
    document = Document(
        verb="plan",
        headline=planning.headline(found),
        inputs=planning_twin.inputs(found),
        result={**planning_twin.result(found), **({"data_or_compute": planning_data.side_twin(side)} if side else {})},
        sections=(
            planning.plan_facts(found),
            *((advice,) if advice else ()),
            planning.optimum_facts(found),
            planning.money_table(found),
            planning.alternatives_table(found),
            planning.hardware_table(found),
            planning.data_facts(found),
            *((planning_data.side_facts(side),) if side else ()),
        ),
        assumptions=planning_reasons.assumptions(found),
        warnings=planning_reasons.warnings(found, now),
        steps=(*planning_reasons.steps(found), *((planning_data.side_step(side),) if side else ())),
        catalog=facts.stamp(),
        next_commands=planning_reasons.next_commands(found),
    )
    if as_fitted is not None and measured is not None:
        before, after = (each.chosen.answer.choice.time.mfu for each in (as_fitted, found))
        document = with_calibration(
            document,
            str(calibrate),
            "the MFU of the plan",
            before,
            after,
            chip=measured,
            group=found.chosen.answer.accelerators,
        )
    deliver(document, format=format, output=output, force=force, explain=explain)


class _Data:
    """What was said about data: unique tokens or a data plan, and what new ones cost."""

    def __init__(
        self,
        unique_tokens: float | None,
        data_plan: Path | None,
        price: float | None,
        costs: list[Path] | None,
        facts: Catalog,
    ) -> None:
        one_of(unique_tokens=unique_tokens, data_plan=data_plan)
        self.plan: DataPlan | None = None
        self.unique_tokens, self._price = unique_tokens, price
        if unique_tokens is None and data_plan is None:
            if price is not None or costs:
                flag = "--data-price" if price is not None else "--costs"
                raise InputError(f"{flag}: it has no effect without --unique-tokens or --data-plan; leave it out.")
            return
        from ..data_options import default_setting, read_data_plan

        self._setting = default_setting(facts, costs)
        if data_plan is not None:
            self.plan = read_data_plan(data_plan, self._setting)
            self.unique_tokens = self.plan.unique_before
            if not self.unique_tokens:
                raise InputError(
                    f"--data-plan: '{data_plan}' has no unique text token before anything is bought; give what you have "
                    "with `have`, or let open sets count."
                )

    def side(self, found: Plan) -> DataSide | None:
        """Return what one more dollar buys on either side; None where data is not limited."""
        if self.unique_tokens is None:
            return None
        from ...estimators.planning.data_side import data_side

        price = self._price / 1e6 if self._price is not None else None
        return data_side(found, self.unique_tokens, self._setting, data_plan=self.plan, usd_per_token=price)


def _accelerator(typed: str | None) -> tuple[str | None, int | None]:
    if typed is None:
        return None, None
    with naming("--accelerator"):
        return units.read_accelerators(typed)


def _reserves(typed: list[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    with naming("--reserve"):
        for text in typed or ():
            name, share = read_reserve(text)
            if name in found:
                raise InputError(f"'{name}' is given twice; give it once.")
            found[name] = share
    return found
