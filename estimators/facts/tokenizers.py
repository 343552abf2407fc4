"""Bytes per token and the price of a language in tokens (`data/tokenizer_rates.yaml`, own measurements)."""

from __future__ import annotations

from functools import cache

from ..errors import InputError, UnknownName
from ..frozen import dataclass
from ..names import resolve
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/tokenizer_rates.yaml"
DEFAULT = "llama-3"
_ENGLISH = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerRate:
    """One language under one tokenizer. `tokens_vs_english` is tokens for the same text over English; `is_measured`
    is False where the language was not measured and English stands in.
    """

    language: str
    name: str
    tokenizer: str
    web_bytes_per_token: float
    tokens_vs_english: float
    is_measured: bool
    source: str


@cache
def _file() -> FactFile:
    return read(package_folder() / NAME, name=NAME, check=_check)


def _check(file: FactFile) -> None:
    top = Fields(file, (), file.data, ("source", "status", "web_bytes_per_token", "languages", "other"))
    top.number("web_bytes_per_token")
    top.text("source")


def tokenizers() -> tuple[str, ...]:
    """Return the names of the tokenizers."""
    data = _file().data
    assert isinstance(data, dict)
    return tuple(key for key in data["languages"][_ENGLISH] if key != "name")


def languages() -> dict[str, str]:
    """Return the measured languages: code to name."""
    data = _file().data
    assert isinstance(data, dict)
    return {code: str(entry["name"]) for code, entry in data["languages"].items()}


def tokenizer_rate(language: str, tokenizer: str | None = None) -> TokenizerRate:
    """Return the rate of a language (its code); English stands in where it was not measured.

    Web text takes 4.3 bytes per token in English; other languages are scaled from the measured formal text by the
    same factor.

    Raises:
        UnknownName: no tokenizer is called so.
    """
    data = _file().data
    assert isinstance(data, dict)
    name = resolve(tokenizer or DEFAULT, tokenizers(), kind="tokenizer")
    measured = data["languages"]
    entry = measured.get(language, measured[_ENGLISH])
    formal, versus = entry[name]
    web = float(data["web_bytes_per_token"]) / float(measured[_ENGLISH][name][0])
    return TokenizerRate(
        language=language,
        name=str(entry["name"]) if language in measured else language,
        tokenizer=name,
        web_bytes_per_token=float(formal) * web,
        tokens_vs_english=float(versus),
        is_measured=language in measured,
        source=str(data["source"]),
    )


def find_language(typed: str) -> str:
    """Return the code of a language given as code or English name; an unmeasured two-letter code stays as it is.

    Raises:
        InputError: it is neither; lists the measured languages (UnknownName with the nearest, where one is near).
    """
    known = languages()
    lowered = typed.strip().lower()
    if lowered in known or (len(lowered) in (2, 3) and lowered.isalpha()):
        return lowered
    by_name = {name.lower(): code for code, name in known.items()}
    try:
        return by_name[resolve(typed, by_name, kind="language")]
    except UnknownName as error:
        if error.nearest:
            raise
        raise InputError(
            f"no language is called '{typed}'; write a code of two or three letters such as bn, or one of the measured: "
            f"{', '.join(sorted(known.values()))}."
        ) from None
