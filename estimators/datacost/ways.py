"""The priced ways to close a gap of unique text tokens.

license        tokens x words per token x $/word                    + people who negotiate
partner        the same at the share that partners ask
crawl          raw = tokens / yield; extract, filter, deduplicate   + engineers
filter         raw = tokens / domain yield, from open web text
synthesize     tokens / keep rate / (tokens/s x 3600) chip-hours    (the generator's measured rate)
api            tokens / keep rate x ($out + r $in) / 1e6
transcribe     tokens / tokens per speech hour                      by API, own chips or people
ocr            tokens / tokens per page                             own chips or API
"""

from __future__ import annotations

from enum import StrEnum

from ..facts.datacosts import ApiPrice, DataCosts, Rate
from ..facts.tokenizers import TokenizerRate
from ..frozen import dataclass, replace
from ..quantity import Quantity
from ..units import MONTH
from .handling import Handling, classify, deduplicate, extract, pipeline_people
from .lines import HOUR, CostLine, Group, given, line, over, times

_MILLION = 1e6


READING = ("ocr", "ocr-api")
HEARING = ("transcribe", "transcribe-api", "transcribe-people")


class Way(StrEnum):
    """How missing tokens can be had."""

    SYNTHESIZE = "synthesize"
    API = "synthesize-api"
    FILTER = "filter"
    CRAWL = "crawl"
    OCR = "ocr"
    OCR_API = "ocr-api"
    TRANSCRIBE = "transcribe"
    TRANSCRIBE_API = "transcribe-api"
    TRANSCRIBE_PEOPLE = "transcribe-people"
    PARTNER = "partner"
    LICENSE = "license"


NEEDS_HOLDINGS = (Way.OCR, Way.OCR_API, Way.TRANSCRIBE, Way.TRANSCRIBE_API, Way.TRANSCRIBE_PEOPLE, Way.PARTNER)
WAY_NAMES = {
    Way.SYNTHESIZE: "synthesize on your own chips",
    Way.API: "synthesize through an API",
    Way.FILTER: "filter open web text for the domain",
    Way.CRAWL: "crawl and filter the web",
    Way.OCR: "read scans on your own chips",
    Way.OCR_API: "read scans through an API",
    Way.TRANSCRIBE: "transcribe speech on your own chips",
    Way.TRANSCRIBE_API: "transcribe speech through an API",
    Way.TRANSCRIBE_PEOPLE: "transcribe speech by people",
    Way.PARTNER: "a partner's data for a share",
    Way.LICENSE: "license text",
}
CAVEATS = {
    Way.SYNTHESIZE: "a model's own text: mix it with real text, and read the generator's terms",
    Way.API: "most providers forbid training a competing model on their outputs: a lawyer should read the terms",
    Way.FILTER: "only what the web holds of the domain; the yield must be measured on a sample",
    Way.CRAWL: "copyright, robots.txt and privacy law apply to crawled pages: for a lawyer",
    Way.OCR: "you need the scans and the right to use them",
    Way.OCR_API: "you need the scans and the right to use them",
    Way.TRANSCRIBE: "you need the recordings and the right to use them",
    Way.TRANSCRIBE_API: "you need the recordings and the right to use them",
    Way.TRANSCRIBE_PEOPLE: "you need the recordings and the right to use them",
    Way.PARTNER: "terms are negotiated; plan months",
    Way.LICENSE: "prices are from press reports of a few deals; terms are negotiated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How text is made: an open model that writes at `writer` tokens per second on a chip at `writer_hour`, an API and
    whether its batch price counts; `keep_rate` overrides the share that survives filtering.
    """

    writer: Rate
    writer_hour: Rate
    api: str
    batch: bool
    keep_rate: float | None
    ocr_api: str = "ocr-aws-textract-text"
    speech_api: str = "transcription-gpt-4o-mini-transcribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """One way, priced for the whole gap."""

    way: Way
    lines: tuple[CostLine, ...]
    caveat: str


def close_gap(way: Way, tokens: float, rate: TokenizerRate, making: Making, how: Handling, costs: DataCosts) -> Closing:
    """Return what it costs to get `tokens` unique tokens this way."""
    need = given(tokens, "tokens", "the gap")
    lines = {
        Way.SYNTHESIZE: lambda: synthesize(need, making, how, costs),
        Way.API: lambda: synthesize_by_api(need, making, costs),
        Way.FILTER: lambda: _filter(need, how, costs),
        Way.CRAWL: lambda: _crawl(need, rate, how, costs),
        Way.OCR: lambda: ocr(over("pages", need, costs.rate("page_tokens")), making, how, costs, own=True),
        Way.OCR_API: lambda: ocr(over("pages", need, costs.rate("page_tokens")), making, how, costs, own=False),
        Way.TRANSCRIBE: lambda: transcribe(over("hours", need, costs.rate("speech_hour_tokens")), making, how, costs),
        Way.TRANSCRIBE_API: lambda: transcribe_by_api(
            over("hours", need, costs.rate("speech_hour_tokens")), making, costs
        ),
        Way.TRANSCRIBE_PEOPLE: lambda: transcribe_by_people(
            over("hours", need, costs.rate("speech_hour_tokens")), costs
        ),
        Way.PARTNER: lambda: _license(need, costs, partner=True),
        Way.LICENSE: lambda: _license(need, costs, partner=False),
    }[way]()
    return Closing(way=way, lines=tuple(lines), caveat=CAVEATS[way])


def synthesize(need: Quantity, making: Making, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return the chip-hours that generate `need` tokens after filtering, at the generator's measured rate."""
    made = over("tokens", need, _keep(making, costs))
    unit = making.writer_hour.unit.removeprefix("USD/") + "s"
    hours = over(unit, made.scaled(1 / HOUR, "tokens h/s"), making.writer)
    return (
        line(
            "synthesize",
            f"generate with {making.writer.what}, {_percent(making, costs)} kept",
            Group.SYNTHESIZE,
            hours,
            making.writer_hour,
            calendar_s=hours.scaled(HOUR / how.chips, "s"),
        ),
    )


def synthesize_by_api(need: Quantity, making: Making, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return input and output tokens of an API that generate `need` tokens after filtering."""
    api = costs.api(making.api)
    made = over("tokens", need, _keep(making, costs))
    prompts = times("tokens", made, costs.rate("prompt_ratio").quantity)
    batch = " in batch" if making.batch else ""
    return (
        line(
            "api_output", f"{api.id} output{batch}", Group.SYNTHESIZE, made, _api(api, making, "output"), per=_MILLION
        ),
        line(
            "api_input", f"{api.id} input{batch}", Group.SYNTHESIZE, prompts, _api(api, making, "input"), per=_MILLION
        ),
    )


def ocr(pages: Quantity, making: Making, how: Handling, costs: DataCosts, *, own: bool) -> tuple[CostLine, ...]:
    """Return reading scanned pages: on own chips (olmOCR's upper bound per page) or by an API."""
    if own:
        price = costs.rate("ocr-olmocr-self-hosted")
        return (line("ocr", "read pages with olmOCR", Group.TRANSCRIBE, pages, price, per=_MILLION),)
    price = costs.rate(making.ocr_api)
    return (line("ocr_api", price.what, Group.TRANSCRIBE, pages, price, per=1000.0),)


def transcribe(hours: Quantity, making: Making, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return transcribing speech on own chips."""
    chip_hours = over("H100-hours", hours, costs.rate("speech_realtime_h100"))
    return (
        line(
            "transcribe",
            "transcribe with an open model",
            Group.TRANSCRIBE,
            chip_hours,
            how.chip_hour,
            calendar_s=chip_hours.scaled(HOUR / how.chips, "s"),
        ),
    )


def transcribe_by_api(hours: Quantity, making: Making, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return transcribing speech by an API, paid by the minute (or hour)."""
    price = costs.rate(making.speech_api)
    by_hour = "hour" in price.unit
    quantity = hours if by_hour else hours.scaled(60.0, "minutes")
    return (line("transcribe_api", price.what, Group.TRANSCRIBE, quantity, price),)


def transcribe_by_people(hours: Quantity, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return transcribing speech by people, paid by the minute of audio."""
    price = costs.rate("labelling-transcription-by-people")
    return (line("transcribe_people", price.what, Group.TRANSCRIBE, hours.scaled(60.0, "minutes"), price),)


def _filter(need: Quantity, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    raw = over("tokens", need, costs.rate("domain_filter_yield"))
    return (
        classify(raw, how, costs, "a domain classifier over open web text"),
        deduplicate(need, costs),
        pipeline_people(costs, "engineers for the filter"),
    )


def _crawl(need: Quantity, rate: TokenizerRate, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    raw = over("tokens", need, costs.rate("raw_crawl_yield"))
    passed = times("tokens", raw, costs.rate("classified_share").quantity)
    return (
        extract(raw.scaled(rate.web_bytes_per_token, "bytes"), costs),
        classify(passed, how, costs, "a quality classifier over what the rules leave"),
        deduplicate(passed, costs),
        pipeline_people(costs, "engineers for the crawl"),
    )


def _license(need: Quantity, costs: DataCosts, *, partner: bool) -> tuple[CostLine, ...]:
    words = times("words", need, costs.rate("words_per_token").quantity)
    hours = costs.rate("licence_hours").quantity
    months = costs.rate("licence_months").quantity
    if partner:
        words = times("words", words, costs.rate("partner_share").quantity)
    return (
        line(
            "partner" if partner else "license",
            "words at a partner's share of the licence price" if partner else "words licensed",
            Group.ACQUIRE,
            words,
            costs.rate("licence-text-defined-ai"),
            calendar_s=months.scaled(MONTH, "s"),
        ),
        line(
            "negotiate",
            "people who find, negotiate and close the deal",
            Group.PEOPLE,
            hours,
            costs.rate("engineer_hour"),
            people_s=hours.scaled(HOUR, "s"),
        ),
    )


def _keep(making: Making, costs: DataCosts) -> Rate:
    rate = costs.rate("keep_rate")
    if making.keep_rate is None:
        return rate
    value = making.keep_rate
    return replace(rate, value=value, low=value, high=value, source="--keep-rate", is_guess=False)


def _percent(making: Making, costs: DataCosts) -> str:
    return f"{_keep(making, costs).value:.0%}"


def _api(api: ApiPrice, making: Making, side: str) -> Rate:
    listed, batch = (api.output_usd, api.batch_output_usd) if side == "output" else (api.input_usd, api.batch_input_usd)
    value = batch if making.batch and batch is not None else listed
    return Rate(
        id=f"{api.id}.{side}",
        what=f"{api.id} {side} tokens",
        value=value,
        low=value,
        high=value,
        unit="USD/M tokens",
        year=api.date,
        source=api.source,
        status="verified",
        note="list price",
        is_guess=False,
        origin=api.origin,
    )
