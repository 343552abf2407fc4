"""`flopwise serve`: a model under a load. Reads what was typed, sizes it, and hands the answer to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ...estimators import units
from ...estimators.errors import InputError
from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.devices import find_device
from ...estimators.facts.records import CloudClass, PricePlan
from ...estimators.facts.serving import load_serving_rules
from ...estimators.facts.serving_defaults import load_serving_defaults
from ...estimators.models.resolve import resolve_model
from ...estimators.quantity import unranged
from ...estimators.serving.performance import Traffic, Tricks
from ...estimators.serving.sizing import Choice, Demand, rank, size, usual_weights
from ..calibration import CalibrateOption, with_calibration
from ..calibration import calibrate as put_measured
from ..options import (
    CatalogOption,
    ExplainOption,
    ForceOption,
    FormatOption,
    OutputOption,
    complete_accelerator,
    count,
    duration,
    fraction,
    naming,
    number,
    one_of,
    panel,
    tokens,
    whole,
)
from ..report.output import choose, deliver
from ..training_options import (
    ClassOption,
    CloudOption,
    ModelOption,
    PlanOption,
    PriceAsked,
    PriceOption,
    files,
    price_of,
)

if TYPE_CHECKING:
    from ...estimators.facts.serving import ServingRules
    from ...estimators.models.resolve import ResolvedModel

load_option, limit_option = panel("The load"), panel("The targets; 90 % of requests must meet them")
how_option = panel("How it is served")


def serve(
    model: ModelOption,
    on: Annotated[
        str | None,
        how_option(
            "--on",
            metavar="CHIP[:N]",
            help="Accelerator, and at most how many; every priced one is ranked where left out.",
            autocompletion=complete_accelerator,
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None, load_option("--requests-per-second", "--rps", parser=count, metavar="N", help="Peak load.")
    ] = None,
    users: Annotated[
        float | None, load_option("--users", parser=count, metavar="N", help="People active at the peak.")
    ] = None,
    concurrency: Annotated[
        float | None, load_option("--concurrency", parser=count, metavar="N", help="Requests in flight at once.")
    ] = None,
    input_tokens: Annotated[
        float | None, load_option("--input-tokens", parser=tokens, metavar="N", help="Mean prompt.")
    ] = None,
    output_tokens: Annotated[
        float | None, load_option("--output-tokens", parser=tokens, metavar="N", help="Mean answer.")
    ] = None,
    cached: Annotated[
        float | None,
        load_option("--cached", parser=fraction, metavar="SHARE", help="Share of prompts in the prefix cache."),
    ] = None,
    peak_over_mean: Annotated[
        float | None,
        load_option(
            "--peak-over-mean", parser=number(1, 2), metavar="N", help="Peak of the day over its mean, 1 to 2."
        ),
    ] = None,
    offline: Annotated[bool, load_option("--offline", help="A batch job: --tokens to write, no targets.")] = False,
    job_tokens: Annotated[
        float | None, load_option("--tokens", parser=tokens, metavar="N", help="Output tokens of the batch job.")
    ] = None,
    ttft: Annotated[
        float | None, limit_option("--ttft", parser=duration, metavar="TIME", help="To the first token: 2s.")
    ] = None,
    tpot: Annotated[
        float | None,
        limit_option("--tpot", parser=duration, metavar="TIME", help="Per output token after the first: 50ms."),
    ] = None,
    quant: Annotated[
        str | None, how_option("--quant", metavar="FORMAT", help="Weights: bf16, fp8, int4, Q4_K_M, ...")
    ] = None,
    kv_quant: Annotated[str | None, how_option("--kv-quant", metavar="FORMAT", help="Cache: bf16, fp8, ...")] = None,
    engine: Annotated[
        str | None, how_option("--engine", metavar="NAME", help="vllm, sglang, tensorrt-llm, llama.cpp, ...")
    ] = None,
    tp: Annotated[int | None, how_option("--tp", parser=whole, metavar="N", help="Chips that share a replica.")] = None,
    draft_tokens: Annotated[
        int | None, how_option("--draft-tokens", metavar="N", help="Speculative decoding: tokens drafted.")
    ] = None,
    acceptance: Annotated[
        float | None, how_option("--acceptance", parser=fraction, metavar="SHARE", help="Drafts accepted.")
    ] = None,
    disaggregated: Annotated[bool, how_option("--disaggregated", help="Prompts on chips of their own.")] = False,
    headroom: Annotated[
        float | None, how_option("--headroom", parser=fraction, metavar="SHARE", help="Capacity that the peak may use.")
    ] = None,
    api: Annotated[
        list[str] | None, load_option("--api", metavar="MODEL", help="Compare with this API; may be repeated.")
    ] = None,
    cloud: CloudOption = None,
    cloud_class: ClassOption = None,
    plan: PlanOption = None,
    price: PriceOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    catalog: CatalogOption = None,
    calibrate: CalibrateOption = None,
) -> None:
    """What a load needs: chips, latency and cost, each with its range; and whether an API would be cheaper.

    Without --on every chip that has a price is ranked by the bill.
    """
    choose(format, output, force)
    facts, rules, defaults = load_catalog(files(catalog)), load_serving_rules(), load_serving_defaults()
    with naming("--model"):
        resolved = resolve_model(model)
    said = one_of(requests_per_second=requests_per_second, users=users, concurrency=concurrency)
    if offline and said:
        raise InputError(f"{said}: a batch job has no arrivals; leave it out or leave out --offline.")
    if job_tokens is not None and not offline:
        raise InputError("--tokens: it is the size of a batch job; add --offline.")
    if offline and job_tokens is None:
        raise InputError("--offline: say how many output tokens with --tokens, for example --tokens 25B.")
    if offline and (ttft or tpot):
        raise InputError(f"{'--ttft' if ttft else '--tpot'}: a batch job has no latency targets.")
    if (draft_tokens is None) != (acceptance is None):
        raise InputError("--draft-tokens and --acceptance belong together; give both.")
    if price is not None and on is None:
        raise InputError("--price: say of which chip with --on.")
    spread = defaults["arrival_spread"].value
    traffic = Traffic(
        input_tokens=input_tokens or defaults["mix_input_tokens"].value,
        output_tokens=output_tokens or defaults["mix_output_tokens"].value,
        cached_share=cached or 0.0,
        arrival_spread=spread,
    )
    rate = requests_per_second or 1.0
    if users:
        rate = users / defaults["seconds_between_requests"].value
    demand = Demand(
        requests_per_s=rate,
        in_flight=concurrency or 0.0,
        traffic=traffic,
        tricks=Tricks(
            draft_tokens=draft_tokens or 0,
            acceptance=acceptance or 0.0,
            draft_share=defaults["draft_share"].value if draft_tokens else 0.0,
            disaggregated=disaggregated,
        ),
        token_s=None if offline else tpot or defaults["time_per_token_s"].value,
        first_s=None if offline else ttft or defaults["first_token_s"].value,
        headroom=headroom or defaults["headroom"].value,
    )
    if calibrate is not None and on is None:
        raise InputError("--calibrate: say of which chip with --on.")
    choice, why = _choice(resolved, rules, quant, kv_quant, engine, tp)
    from ..report.serving import ranking_document, serve_document
    from ..report.serving_offline import offline_document
    from ..report.serving_parts import Asked

    asked = Asked(
        resolved=resolved,
        why_weights=why,
        demand=demand,
        peak_over_mean=peak_over_mean or defaults["peak_over_mean"].value,
        api=tuple(api or ()),
        is_quant_given=quant is not None,
        users=users,
        job_tokens=job_tokens,
        load_is_given=said is not None,
        lengths_are_given=input_tokens is not None and output_tokens is not None,
        targets_are_given=ttft is not None and tpot is not None,
    )
    if on is None:
        ranked, left_out = rank(
            resolved.shape,
            facts,
            demand,
            choice,
            plan=plan or PricePlan.ON_DEMAND,
            cloud=cloud,
            cloud_class=CloudClass(cloud_class) if cloud_class else None,
        )
        document = ranking_document(asked, ranked, left_out, facts)
    else:
        name, _, most = on.partition(":")
        with naming("--on"):
            chip = find_device(name, facts)
            chips = units.read_whole(most) if most else None
        as_fitted = chip
        if calibrate is not None:
            chip = put_measured(facts, calibrate, chip.id)
        priced = PriceAsked(cloud, cloud_class, plan, price)
        if chip.id not in facts.accelerators and price is None:  # nobody rents it
            if priced.narrowed:
                raise InputError(f"{chip.name} is not rented by the hour; give your own price with --price.")
            usd_per_hour, quoted = None, None
        else:
            usd_per_hour, quoted = price_of(priced, chip, facts)
        options = size(
            resolved.shape,
            chip,
            demand,
            choice,
            price=quoted,
            usd_per_hour=usd_per_hour,
            chips=None if offline else chips,
        )
        if offline:
            document = offline_document(asked, options, chips, usd_per_hour, facts)
        else:
            document = serve_document(asked, options, facts)
        if calibrate is not None and options:
            plain = size(resolved.shape, as_fitted, demand, choice, price=quoted, usd_per_hour=usd_per_hour, chips=None)
            before, after = (unranged(each[0].queued_per_chip, "tokens_per_s", "busy") for each in (plain, options))
            setup = options[0].setup
            document = with_calibration(
                document,
                calibrate,
                "the output of one busy chip",
                before,
                after,
                chip=chip,
                group=setup.tensor * setup.pipeline,
                kinds=("all_reduce",),
            )
    deliver(document, format=format, output=output, force=force, explain=explain)


def _choice(
    resolved: ResolvedModel,
    rules: ServingRules,
    quant: str | None,
    kv_quant: str | None,
    engine: str | None,
    tp: int | None,
) -> tuple[Choice, str]:
    weights, why = usual_weights(resolved.shape, rules)
    if quant:
        with naming("--quant"):
            weights, why = rules.format(quant), ""
    bits = None
    if kv_quant:
        with naming("--kv-quant"):
            bits = rules.cache(kv_quant)
    chosen = None
    if engine:
        with naming("--engine"):
            chosen = rules.engine(engine)
    return Choice(weights=weights, cache_bits=bits, engine=chosen, tensor=tp), why
