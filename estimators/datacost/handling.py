"""What every corpus pays whatever its origin: filter, deduplicate, tokenize, store, move; and people to run the pipeline.

classifier    tokens / (tokens per H100-hour)             arXiv:2406.17557: 15T tokens in 6,000 H100-hours
tokenizing    text bytes / speed / 3600 core-hours        own measurement, one thread
storage       (text + token ids) x months x $/GB-month    GB is 1e9
egress        tiers: 10 TB, 40 TB, then the rest          $/GB
"""

from __future__ import annotations

from ..facts.datacosts import DataCosts, Rate
from ..facts.tokenizers import TokenizerRate
from ..frozen import dataclass
from ..quantity import Quantity
from .lines import HOUR, CostLine, Group, given, line, over, times

_MEGA, _GIGA = 1e6, 1e9
_TIERS = (
    (1e13, "egress-aws-first-10-tb"),
    (4e13, "egress-aws-next-40-tb"),
    (1e14, "egress-aws-next-100-tb"),
    (float("inf"), "egress-aws-150-tb"),
)
_STORES = {
    "s3": "object-storage-aws-s3-standard-first-50-tb",
    "r2": "object-storage-cloudflare-r2",
    "b2": "object-storage-backblaze-b2",
}
STORES = tuple(_STORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """How a corpus is handled: `months` stored at `store`, taken out `egress_times`, on chips at `chip_hour`."""

    months: float
    store: str
    egress_times: float
    chip_hour: Rate
    chips: int
    filtered: bool
    deduplicated: bool


def handle_text(tokens: float, rate: TokenizerRate, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return the lines of a text corpus of `tokens` that is ready to use once they are paid."""
    if tokens <= 0:
        return ()
    text_bytes = tokens * rate.web_bytes_per_token
    found: list[CostLine] = []
    if how.filtered:
        kept = costs.rate("domain_filter_yield")
        raw = over("tokens", given(tokens, "tokens"), kept)
        found.append(classify(raw, how, costs, "filter the source for the domain"))
    if how.deduplicated:
        found.append(deduplicate(given(tokens, "tokens"), costs))
    found.append(tokenize(text_bytes, costs))
    found += store(text_bytes, tokens, how, costs)
    found += move(text_bytes, how, costs)
    return tuple(found)


def classify(tokens: Quantity, how: Handling, costs: DataCosts, what: str) -> CostLine:
    """Return the pass of a model-based filter over `tokens`."""
    hours = over("H100-hours", tokens, costs.rate("classifier_tokens_per_hour"))
    return line(
        "filter",
        what,
        Group.CLEAN,
        hours,
        how.chip_hour,
        calendar_s=hours.scaled(HOUR / how.chips, "s"),
    )


def deduplicate(tokens: Quantity, costs: DataCosts) -> CostLine:
    """Return near-duplicate removal over `tokens`."""
    return line(
        "dedup",
        "remove near-duplicates",
        Group.CLEAN,
        tokens.scaled(1 / _GIGA, "billion tokens"),
        costs.rate("dedup_cost"),
    )


def tokenize(text_bytes: float, costs: DataCosts) -> CostLine:
    """Return the core-hours of turning text into token ids."""
    speed = costs.rate("tokenization-speed-tiktoken-type-bpe-one-thread")
    core_hours = over("core-hours", given(text_bytes / _MEGA / HOUR, "MB s/h"), speed)
    return line("tokenize", "turn text into token ids", Group.CLEAN, core_hours, costs.rate("core_hour"))


def extract(text_bytes: Quantity, costs: DataCosts) -> CostLine:
    """Return the core-hours of taking text out of raw pages."""
    core_hours = over("core-hours", text_bytes.scaled(1 / _MEGA / HOUR, "MB s/h"), costs.rate("extraction_speed"))
    return line("extract", "take text out of raw pages", Group.CLEAN, core_hours, costs.rate("core_hour"))


def store(text_bytes: float, tokens: float, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return storage of the text and of the token ids for the months asked."""
    if how.months <= 0:
        return ()
    price = costs.rate(_STORES[how.store])
    text = times("GB-months", given(text_bytes / _GIGA * how.months, "GB-months"), _share(costs))
    found = [line("store_text", f"keep the text {how.months:g} months", Group.STORE, text, price)]
    if tokens > 0:
        ids = times(
            "GB-months", given(tokens / _GIGA * how.months, "GB-months"), costs.rate("tokenized_bytes").quantity
        )
        found.append(line("store_tokens", f"keep the token ids {how.months:g} months", Group.STORE, ids, price))
    return tuple(found)


def store_bytes(stored: Quantity, how: Handling, costs: DataCosts, what: str) -> tuple[CostLine, ...]:
    """Return storage of anything else, such as images."""
    if how.months <= 0:
        return ()
    amount = stored.scaled(how.months / _GIGA, "GB-months")
    return (line("store", f"{what} for {how.months:g} months", Group.STORE, amount, costs.rate(_STORES[how.store])),)


def move(moved_bytes: float, how: Handling, costs: DataCosts) -> tuple[CostLine, ...]:
    """Return egress in tiers; nothing where the store asks nothing for it."""
    left = moved_bytes * how.egress_times
    if left <= 0 or how.store == "r2":
        return ()
    found: list[CostLine] = []
    for size, name in _TIERS:
        part = min(left, size)
        if part <= 0:
            break
        price = costs.rate(name)
        found.append(line(f"egress_{len(found) + 1}", price.what, Group.MOVE, given(part / _GIGA, "GB"), price))
        left -= part
    return tuple(found)


def pipeline_people(costs: DataCosts, what: str) -> CostLine:
    """Return the engineers who set a pipeline up, run it and look at what comes out."""
    hours = costs.rate("pipeline_engineer_hours").quantity
    return line(
        "engineers",
        what,
        Group.PEOPLE,
        hours,
        costs.rate("engineer_hour"),
        people_s=hours.scaled(HOUR, "s"),
        calendar_s=over("s", hours.scaled(86_400 * 7 / 5, "s h"), costs.rate("productive_hours")),
    )


def _share(costs: DataCosts) -> Quantity:
    return costs.rate("stored_bytes_per_text_byte").quantity
