"""From needs to a sourcing plan with its money: sets, repetition, the gap, the ways to close it, and what handling costs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..facts.datacosts import DataCosts
from ..facts.datasets import Datasets
from ..facts.tokenizers import TokenizerRate, tokenizer_rate
from ..frozen import dataclass, replace
from ..quantity import Quantity
from ..scaling.laws import law
from ..scaling.repetition import Repetition
from .handling import Handling, handle_text, move, store, store_bytes
from .labels import By, LabelJob, label_lines
from .lines import CostLine, Group, given, line, times, totals
from .needs import DataPlan, Kind, Need, Part, check
from .sourcing import Fit, Match, match_sets, rights_flags
from .ways import (
    NEEDS_HOLDINGS,
    Closing,
    Making,
    Way,
    close_gap,
    ocr,
    transcribe,
    transcribe_by_api,
    transcribe_by_people,
)

FREE_EPOCHS = 4.0  # up to here repeated tokens are worth almost as much as new ones (arXiv:2305.16264)
_SMALL_GAP = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Facts and choices that all needs share."""

    datasets: Datasets
    costs: DataCosts
    handling: Handling
    making: Making
    chip: str
    annotators: float | None = None


def make_data_plan(needs: Sequence[Need], setting: Setting) -> DataPlan:
    """Return the plan for all needs together.

    Raises:
        InputError: a need contradicts itself, or names what does not exist.
    """
    if not needs:
        raise InputError("nothing is needed; give --tokens, --items, --pages, --speech-hours or a file with --needs.")
    parts = []
    for need in needs:
        check(need)
        parts.append(_PLANNERS[need.kind](need, setting))
    lines = [each for part in parts for each in part.lines]
    return DataPlan(parts=tuple(parts), totals=totals(lines), chip=setting.chip)


def tokens_for_model(params: float) -> float:
    """Return the compute-optimal tokens of a model under the default law."""
    return law().required_surface("the tokens of a model").tokens_for_params(params)


# --- text -----------------------------------------------------------------------------------------------------------


def _text(need: Need, setting: Setting) -> Part:
    rate = tokenizer_rate(need.language, need.tokenizer)
    most_epochs = need.epochs or FREE_EPOCHS
    wanted = need.amount  # all new if they can be had: repetition is only for what is missing
    matches: tuple[Match, ...] = ()
    if need.open_sets:
        matches = match_sets(
            setting.datasets,
            domain=need.domain,
            modality=need.modality,
            language=need.language,
            policy=need.policy,
            wanted=max(0.0, wanted - need.have),
            bytes_per_token=rate.web_bytes_per_token,
        )
    unique = min(need.have + sum(each.taken for each in matches), need.amount)
    enough = need.amount / most_epochs
    missing = max(0.0, enough - unique)
    if missing < _SMALL_GAP * need.amount:
        missing = 0.0
    held = unique + missing
    epochs = need.amount / held if held else 1.0
    repetition = _repetition()
    closings = _closings(need, missing, rate, setting)
    chosen = next((each for each in closings if each.way is need.close), None) or _default_way(closings)
    if need.close is not None and (chosen is None or chosen.way is not need.close):
        why = "nothing is missing" if not closings else "open text holds no counted amount of this domain and language"
        raise InputError(f"--close {need.close}: {why}; leave it out.")
    handled = handle_text(
        held, rate, replace(setting.handling, filtered=need.filtered, deduplicated=need.deduplicated), setting.costs
    )
    lines = (*(chosen.lines if chosen else ()), *handled)
    bounds, why = _bounds(need, unique, missing, most_epochs)
    return Part(
        need=need,
        matches=matches,
        wanted_unique=enough,
        unique=unique,
        missing=missing,
        epochs=max(1.0, epochs),
        effective=repetition.effective_tokens(need.amount, min(held, need.amount)) if held else 0.0,
        closings=closings,
        chosen=chosen,
        lines=lines,
        yields_tokens=None,
        bounds=bounds,
        why=why,
        flags=(*rights_flags(matches), *((f"{chosen.way}: {chosen.caveat}.",) if chosen else ())),
        warnings=tuple(_text_warnings(need, rate, matches, missing)),
    )


def _closings(need: Need, missing: float, rate: TokenizerRate, setting: Setting) -> tuple[Closing, ...]:
    if missing <= 0:
        return ()
    # Filtering for a domain needs open text that holds it: not the general web, not a language nobody has counted.
    ways = [way for way in Way if way is not Way.FILTER or (need.domain != "web" and need.language == "en")]
    found = [close_gap(way, missing, rate, setting.making, setting.handling, setting.costs) for way in ways]
    return tuple(sorted(found, key=lambda each: sum(line.cents[1] for line in each.lines)))


def _default_way(closings: Sequence[Closing]) -> Closing | None:
    """Return the cheapest way that needs nothing the user may not have (scans, recordings, a partner)."""
    return next((each for each in closings if each.way not in NEEDS_HOLDINGS), None)


def _bounds(need: Need, unique: float, missing: float, most_epochs: float) -> tuple[str, str]:
    if missing > 0:
        share = missing / (unique + missing)
        return "data", f"{share:.0%} of the unique tokens are missing even at {most_epochs:g} epochs"
    if unique < need.amount:
        return "compute", f"{need.amount / unique:.2g} epochs over what there is cost little"
    return "compute", "every token can be new; what limits the model is compute"


def _text_warnings(need: Need, rate: TokenizerRate, matches: Sequence[Match], missing: float) -> list[str]:
    found = []
    if need.language != "en" and rate.is_measured and rate.tokens_vs_english > 1.2:
        found.append(
            f"{rate.name} takes {rate.tokens_vs_english:g} times the tokens of English for the same text under "
            f"{rate.tokenizer}; another tokenizer may halve your needs and costs."
        )
    if not rate.is_measured:
        found.append(f"No tokenizer was measured on '{need.language}'; English stands in for bytes per token.")
    for each in matches:
        held = each.dataset.text_bytes_by_language.get(need.language)
        if each.fit is Fit.USED and held:
            found.append(
                f"{each.dataset.name}: {_gigabytes(held)} of text, taken as {rate.web_bytes_per_token:.3g} bytes a token "
                f"under {rate.tokenizer}; tokens ±20 %."
            )
            if need.have:
                found.append(
                    f"What you have may stand in {each.dataset.name} too: remove duplicates between both, and give what "
                    "is left with --have."
                )
    unknown = [each.dataset.name for each in matches if each.fit is Fit.UNKNOWN_AMOUNT]
    if unknown:
        found.append(
            f"{', '.join(unknown[:4])} hold some of it, in amounts that are not known here: count them, and give what you "
            "find with --have."
        )
    overlapping = [each.dataset.name for each in matches if each.fit is Fit.OVERLAPS]
    if overlapping:
        found.append(f"Not added, because much of it is the same documents: {', '.join(overlapping[:6])}.")
    if need.epochs and need.epochs > 2 * FREE_EPOCHS:
        worth = _repetition().value_of_next_token(need.epochs)
        found.append(f"At {need.epochs:g} epochs the next token is worth {worth:.0%} of a new one (arXiv:2305.16264).")
    return found


def _gigabytes(held: float) -> str:
    gigabytes = held / 1e9
    return f"{gigabytes:,.0f} GB" if gigabytes >= 100 else f"{gigabytes:.3g} GB"


def _repetition() -> Repetition:
    repetition = law().required_surface("repetition").repetition
    assert repetition  # the default law carries it
    return repetition


# --- items, pages, speech -------------------------------------------------------------------------------------------


def _items(need: Need, setting: Setting) -> Part:
    costs = setting.costs
    if need.label in ("photo", "video-hour", "video-minute", "book"):
        return _licensed_items(need, setting)
    kind = costs.label(need.label)
    modality = kind.id.partition("-")[0]
    matches: tuple[Match, ...] = ()
    if need.open_sets and modality in ("preference", "sft"):
        matches = match_sets(
            setting.datasets,
            domain="chat",
            modality=modality,
            language=need.language,
            policy=need.policy,
            wanted=0.0,  # open items do not replace your own: shown, not counted
            in_items=True,
        )
    missing = need.amount - need.have
    job = LabelJob(
        items=given(missing, "items"),
        kind=kind,
        by=need.by,
        votes=need.votes,
        annotators=setting.annotators,
        active_learning=need.active_learning,
    )
    lines = label_lines(job, costs)
    flags = []
    if need.by is By.MODEL:
        flags.append("a model's labels: most providers forbid training a competing model on outputs; read the terms.")
    if any(each.dataset.commercial != "no" for each in matches):
        named = ", ".join(each.dataset.name for each in matches if each.fit is Fit.SPARE)
        flags.append(f"open sets to look at before paying: {named}.")
    return _simple(need, missing, lines, matches, flags, "people make the items; compute does not limit them")


def _licensed_items(need: Need, setting: Setting) -> Part:
    costs, missing = setting.costs, need.amount - need.have
    price = costs.rate(
        {
            "photo": "licence-photo-defined-ai",
            "video-hour": "licence-long-video-defined-ai",
            "video-minute": "licence-creator-video",
            "book": "licence-books-harpercollins-microsoft",
        }[need.label]
    )
    lines = [line("license", price.what, Group.ACQUIRE, given(missing, f"{need.label}s"), price)]
    if need.label == "photo":
        stored = times("bytes", given(missing, "images"), costs.rate("image_bytes").quantity)
        lines += store_bytes(stored, setting.handling, costs, "keep the images")
        lines += move(missing * costs.rate("image_bytes").value, setting.handling, costs)
    matches: tuple[Match, ...] = ()
    modality = "image" if need.label == "photo" else "video" if need.label.startswith("video") else ""
    if need.open_sets and modality:
        matches = match_sets(
            setting.datasets,
            domain="",
            modality=modality,
            language=need.language,
            policy=need.policy,
            wanted=0.0,  # URL lists and clips carry no licence for what they point at: shown, not counted
            in_items=True,
        )
    flags = [f"{need.label}: prices are press reports of negotiated deals; rights and releases are for a lawyer."]
    return _simple(need, missing, tuple(lines), matches, flags, "items are bought; compute does not limit them")


def _pages(need: Need, setting: Setting) -> Part:
    pages = given(need.amount, "pages")
    costs = setting.costs
    ways = (
        Closing(way=Way.OCR, lines=ocr(pages, setting.making, setting.handling, costs, own=True), caveat=""),
        Closing(way=Way.OCR_API, lines=ocr(pages, setting.making, setting.handling, costs, own=False), caveat=""),
    )
    tokens = times("tokens", pages, costs.rate("page_tokens").quantity)
    return _read(need, ways, tokens, setting)


def _speech(need: Need, setting: Setting) -> Part:
    hours = given(need.amount, "hours")
    costs = setting.costs
    ways = (
        Closing(way=Way.TRANSCRIBE, lines=transcribe(hours, setting.making, setting.handling, costs), caveat=""),
        Closing(way=Way.TRANSCRIBE_API, lines=transcribe_by_api(hours, setting.making, costs), caveat=""),
        Closing(way=Way.TRANSCRIBE_PEOPLE, lines=transcribe_by_people(hours, costs), caveat=""),
    )
    tokens = times("tokens", hours, costs.rate("speech_hour_tokens").quantity)
    return _read(need, ways, tokens, setting)


def _read(need: Need, ways: tuple[Closing, ...], tokens: Quantity, setting: Setting) -> Part:
    ordered = tuple(sorted(ways, key=lambda each: sum(line.cents[1] for line in each.lines)))
    chosen = next((each for each in ordered if each.way is need.close), ordered[0])
    rate = tokenizer_rate(need.language, need.tokenizer)
    stored = store(tokens.mid * rate.web_bytes_per_token, tokens.mid, setting.handling, setting.costs)
    part = _simple(
        need,
        0.0,
        (*chosen.lines, *stored),
        (),
        ["the right to copy and to train on what is read is for a lawyer."],
        "what there is to read limits the tokens",
    )
    return replace(part, closings=ordered, chosen=chosen, yields_tokens=tokens)


def _simple(
    need: Need, missing: float, lines: tuple[CostLine, ...], matches: tuple[Match, ...], flags: list[str], why: str
) -> Part:
    return Part(
        need=need,
        matches=matches,
        wanted_unique=need.amount,
        unique=need.have,
        missing=missing,
        epochs=1.0,
        effective=need.amount,
        closings=(),
        chosen=None,
        lines=lines,
        yields_tokens=None,
        bounds="data",
        why=why,
        flags=tuple(flags),
        warnings=(),
    )


_PLANNERS = {Kind.TEXT: _text, Kind.ITEMS: _items, Kind.PAGES: _pages, Kind.SPEECH: _speech}
