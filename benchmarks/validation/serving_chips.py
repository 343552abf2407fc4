"""The chip that a serving row means: "B200 SXM 180GB", "M1 Max (32-core GPU)", "Inferentia2 chip", "NVIDIA L4 24GB"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from ...estimators.errors import InputError
from ...estimators.facts.catalog import Catalog
from ...estimators.facts.devices import find_device
from ...estimators.facts.records import Accelerator

_MAKERS = re.compile(
    r"\b(nvidia|amd|intel|google|aws|apple|geforce|radeon|instinct|tesla|quadro|tenstorrent)\b", re.IGNORECASE
)
_SIZE = re.compile(r"[\s-]*\b\d+\s*gi?b\b", re.IGNORECASE)
_NOISE = re.compile(r"\b(gpu|chip|accelerator|oam|sxm\d?|hbm\d?e?|graphics|edition|class|cloud)\b", re.IGNORECASE)


def find_chip(text: str, catalog: Catalog) -> Accelerator | None:
    """Return the accelerator that a row names, None when neither the catalog nor the local chips hold it."""
    return _find(text, id(catalog), _Held(catalog))


class _Held:
    """A catalog that may be a cache key: all catalogs with one identity are one."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def __hash__(self) -> int:
        return id(self.catalog)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.catalog is self.catalog


@lru_cache(maxsize=512)
def _find(text: str, _identity: int, held: _Held) -> Accelerator | None:
    for spelling in _spellings(text):
        try:
            return _of_size(find_device(spelling, held.catalog), text, held.catalog)
        except InputError:
            continue
    from .rows import find_accelerator

    return find_accelerator(text, None, held.catalog)


def _of_size(chip: Accelerator, text: str, catalog: Catalog) -> Accelerator:
    """Return the variant with the memory that the text states, where there is one ("A100 40GB PCIe")."""
    stated = re.search(r"\b(\d+)\s*gi?b\b", text, re.IGNORECASE)
    stem = re.sub(r"-\d+gb$", "", chip.id)
    if not stated or stem == chip.id or chip.id.endswith(f"-{stated[1]}gb"):
        return chip
    return catalog.accelerators.get(f"{stem}-{stated[1]}gb", chip)


def _spellings(text: str) -> Iterator[str]:
    """Yield what was written and ever barer forms of it; a more exact one comes first."""
    bare = re.sub(r"\(.*?\)", " ", text).strip()
    inside = re.sub(r"[()]", " ", text).strip()
    yield text
    yield inside
    yield bare
    if apple := re.search(r"\bM\d\s+(Pro|Max|Ultra)\b", text, re.IGNORECASE):
        yield f"apple {inside[inside.index(apple[0]) :]}" if apple[0] in inside else apple[0]
        yield f"apple {apple[0]}"
    for form in (inside, bare):
        yield _MAKERS.sub(" ", form).strip()
        yield _SIZE.sub("", form).strip()
        yield _NOISE.sub(" ", form).strip()
        yield _NOISE.sub(" ", _SIZE.sub("", form)).strip()
        plain = _NOISE.sub(" ", _SIZE.sub("", _MAKERS.sub(" ", form))).strip()
        yield plain
        yield f"geforce {plain}"
        yield f"apple {plain}"
        yield f"{plain}-sxm"
        yield f"rtx {plain}"
    yield from re.findall(r"[A-Za-z]+\d+\w*", bare)
