"""Open data sets (`data/datasets.yaml`) with the user's private ones on top: size, languages, licence, what overlaps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..frozen import dataclass
from ..names import resolve
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

OURS = "data/datasets.yaml"
LISTING = "flopwise datasets list"
_KEYS = (
    "name",
    "modality",
    "domain",
    "languages",
    "tokens",
    "tokens_basis",
    "tokens_by_language",
    "text_gb_by_language",
    "language_basis",
    "items",
    "item_unit",
    "size_gb",
    "licence",
    "gated",
    "commercial",
    "terms",
    "family",
    "year",
    "note",
    "source",
    "status",
)
_NEEDED = ("name", "modality", "domain", "languages", "licence", "commercial", "year", "source")
_BY_LANGUAGE = ("tokens_by_language", "text_gb_by_language")
_ROUNDED = 1.15  # cards round their totals: languages may exceed them by this much
COMMERCIAL = ("yes", "conditional", "no")
_MODALITIES = {
    "text": ("text",),
    "code": ("code",),
    "image": ("image",),
    "audio": ("audio",),
    "video": ("video",),
    "sft": ("sft",),
    "preference": ("preference",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set. `languages` are codes, or ("multi",) where the card names only how many; `family` ties sets that
    hold much of the same documents.
    """

    id: str
    name: str
    modality: str
    domain: str
    languages: tuple[str, ...]
    languages_text: str
    tokens: float | None
    tokens_basis: str
    tokens_by_language: Mapping[str, float]
    text_bytes_by_language: Mapping[str, float]
    language_basis: str
    items: float | None
    item_unit: str
    size_bytes: float | None
    licence: str
    gated: str
    commercial: str
    terms: str
    family: str
    year: str
    note: str
    source: str
    status: str
    origin: str

    @property
    def is_gated(self) -> bool:
        """Whether somebody must agree or be asked before it can be loaded."""
        return not self.gated.lower().startswith(("no", "n/a"))

    @property
    def is_withdrawn(self) -> bool:
        """Whether its host took it down."""
        return "withdrawn" in f"{self.gated} {self.licence} {self.note}".lower() and self.commercial == "no"

    def speaks(self, language: str) -> bool | None:
        """Whether it holds `language`: None where the card does not say."""
        if language in self.languages or language in self.tokens_by_language or language in self.text_bytes_by_language:
            return True
        return None if "multi" in self.languages else False

    def tokens_in(self, language: str, bytes_per_token: float) -> float | None:
        """Return its tokens in one language; None where nobody has counted. Text counted in bytes is turned into tokens
        of the tokenizer that takes `bytes_per_token`; tokens that the card counted stay the card's.
        """
        if self.modality == "code":  # written in programming languages, whatever the comments speak
            return self.tokens
        if language in self.text_bytes_by_language:
            return self.text_bytes_by_language[language] / bytes_per_token
        if language in self.tokens_by_language:
            return self.tokens_by_language[language]
        return self.tokens if self.languages == (language,) else None


class Datasets:
    """All sets by id; `overlays` names the files beside ours."""

    def __init__(self, layers: Sequence[FactFile]) -> None:
        self.overlays = tuple(layer.file for layer in layers[1:] if _entries(layer))
        data = layers[0].data if isinstance(layers[0].data, dict) else {}
        self.domains: Mapping[str, tuple[str, ...]] = {key: tuple(value) for key, value in data["domains"].items()}
        self._raw: dict[str, tuple[dict[str, Any], str]] = {}
        for layer in layers:
            for key, fields in _entries(layer).items():
                old = self._raw.get(key)
                self._raw[key] = ({**(old[0] if old else {}), **fields}, layer.file)

    @cached_property
    def all(self) -> tuple[Dataset, ...]:
        """Every set, in the order of the files."""
        return tuple(_dataset(key, fields, origin) for key, (fields, origin) in self._raw.items())

    def serving(self, domain: str, modality: str) -> tuple[Dataset, ...]:
        """Return the sets whose modality fits and whose domain holds a word of `domain` (a key of `domains`, "" any)."""
        words = self.domains[domain] if domain else ("",)
        wanted = _MODALITIES[modality]
        return tuple(
            each
            for each in self.all
            if any(_fits(each.modality, part) for part in wanted)
            and (domain == "code" or any(word in each.domain for word in words))
            and not (domain == "web" and "math" in each.domain)
        )

    def find(self, typed: str) -> Dataset:
        """Return the set that `typed` means (forgiving).

        Raises:
            UnknownName: nothing matches; names the nearest.
        """
        key = resolve(typed, self._raw, kind="data set", listing=LISTING)
        return _dataset(key, *self._raw[key])


def load_datasets(overlays: Sequence[Path] = (), *, use_config_folder: bool = True) -> Datasets:
    """Return our data sets with the user's on top (the key `datasets` of the same files as for unit costs)."""
    from .datacosts import overlay_files

    ours = read(package_folder() / OURS, name=OURS, check=check_ours)
    return Datasets([ours, *overlay_files(overlays, use_config_folder=use_config_folder)])


def check_ours(file: FactFile) -> None:
    """Check our file."""
    Fields(file, (), file.data, ("version", "domains", "datasets"))
    check_datasets(file, whole=True)


def check_datasets(file: FactFile, *, whole: bool) -> None:
    """Check the sets of a file; an overlay that changes one of ours may hold only what changes."""
    ours = {} if whole else _entries(read(package_folder() / OURS, name=OURS, check=check_ours))
    for key, entry in _entries(file).items():
        fields = Fields(file, ("datasets", key), entry, _KEYS)
        if whole or key not in ours:
            for name in _NEEDED:
                fields.text(name)
        if "commercial" in fields:
            fields.choice("commercial", COMMERCIAL)
        for name in ("tokens", "items", "size_gb"):
            fields.optional_number(name)
        for name in _BY_LANGUAGE:
            _check_by_language(file, key, fields, name)


def _check_by_language(file: FactFile, key: str, fields: Fields, name: str) -> None:
    spoken = fields.values.get(name)
    if spoken is None:
        return
    codes = tuple(spoken) if isinstance(spoken, dict) else ()
    counted = Fields(file, ("datasets", key, name), spoken, codes)
    for code in counted.values:
        if not re.fullmatch(r"[a-z]{2,3}", str(code)):
            counted.fail(str(code), "it must be a language code of two or three small letters, such as bn")
    total = sum(counted.number(code) for code in counted.values)
    whole = fields.optional_number("tokens" if name == "tokens_by_language" else "size_gb")
    if whole is not None and total > whole * _ROUNDED:
        fields.fail(name, f"its languages add up to {total:.4g}, more than the {whole:.4g} of the whole set")


def _entries(file: FactFile) -> Mapping[str, Any]:
    data = file.data if isinstance(file.data, dict) else {}
    found = data.get("datasets")
    return found if isinstance(found, dict) else {}


def _dataset(key: str, fields: Mapping[str, Any], origin: str) -> Dataset:
    def text(name: str, default: str = "") -> str:
        return str(fields.get(name) or default)

    def number(name: str) -> float | None:
        return None if fields.get(name) is None else float(fields[name])

    size = number("size_gb")
    return Dataset(
        id=key,
        name=text("name", key),
        modality=text("modality"),
        domain=text("domain"),
        languages=_languages(text("languages")),
        languages_text=text("languages"),
        tokens=number("tokens"),
        tokens_basis=text("tokens_basis"),
        tokens_by_language={code: float(value) for code, value in (fields.get("tokens_by_language") or {}).items()},
        text_bytes_by_language={
            code: float(value) * 1e9 for code, value in (fields.get("text_gb_by_language") or {}).items()
        },
        language_basis=text("language_basis"),
        items=number("items"),
        item_unit=text("item_unit"),
        size_bytes=None if size is None else size * 1e9,
        licence=text("licence"),
        gated=text("gated", "no"),
        commercial=text("commercial"),
        terms=text("terms"),
        family=text("family"),
        year=text("year"),
        note=text("note"),
        source=text("source"),
        status=text("status", "verified"),
        origin=origin,
    )


def _languages(text: str) -> tuple[str, ...]:
    """Read "en", "en,de,fr", "mostly en"; any text with a number or "multi" in it is many languages, uncounted."""
    if re.search(r"\d|multi|non-", text):
        return ("multi",)
    return tuple(code for code in re.findall(r"[a-z]{2,3}\b", text.replace("mostly", "")) if code) or ("-",)


def _fits(modality: str, part: str) -> bool:
    return modality == "text" if part == "text" else part in modality
