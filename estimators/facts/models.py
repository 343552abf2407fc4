"""Model presets: the cards of `data/models.yaml`, each with what its publisher says about its size and training.

The file is read whole (from the cache after the first time); only the model asked for becomes dataclasses. A family's
`traits` are defaults of its models. The schema is that of the card classes: their fields are the keys, their types the
types.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, TypeVar

from ..frozen import dataclass
from ..models.cards import NORM_PARAMS, DecoderCard
from ..models.shape import ModelShape, StateSpaceShape
from ..names import resolve
from .folders import package_folder
from .schema import Fields, shown
from .yamlfile import FactFile, Key, read

MODELS_FILE = "data/models.yaml"
SCHEMA = "models/1"
_T = TypeVar("_T")
LISTING = "flopwise models list"


class Card(Protocol):
    """What every card class can do."""

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return the shape that the card describes."""


CARD_KINDS = ("decoder", "encoder", "encoder-decoder", "vision", "dual-encoder", "speech", "diffusion", "unet")
_CHOICES = {
    "norm": tuple(NORM_PARAMS),
    "qk_norm": ("", "head", "full"),
    "position": ("rope", "learned", "alibi", "none"),
}


class CountKind(StrEnum):
    """Whether a published count is the number of stored values or a rounded figure."""

    EXACT = "exact"
    NOMINAL = "nominal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the publisher says. `active` follows the publisher's own definition."""

    params: int
    how: CountKind
    where: str  # "checkpoint", "paper", "model card", "" for an announcement
    recalled: bool  # written from memory, confirmed by our count where exact
    active: int | None
    tokens: float | None
    explanation: str  # why our count differs by more than 0.5 %


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPreset:
    """A published model: its shape and what is published about it."""

    shape: ModelShape
    published: Published


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets in the order of the file."""
    return tuple(_places())


def load_preset(name: str) -> ModelPreset:
    """Return the preset that `name` means; spelling is forgiving.

    Raises:
        UnknownName: no preset is called so; carries the nearest names.
        InputError: several are.
    """
    found = name if name in _places() else resolve(name, _places(), kind="model", aliases=_aliases(), listing=LISTING)
    family, key = _places()[found]
    file = _file()
    families = _mapping(_mapping(file.data)["families"])
    return _preset(file, family, _mapping(families[family]), key)


def published_decoders() -> tuple[tuple[str, float, float], ...]:
    """Return (name, parameters, training tokens) of the dense decoders with published tokens; no shape is built."""
    found = []
    for values in _mapping(_mapping(_file().data)["families"]).values():
        group = _mapping(values)
        if group.get("card", "decoder") != "decoder":
            continue
        for name, model in _mapping(group["models"]).items():
            published = _mapping(_mapping(model)["published"])
            shape = {**_mapping(group.get("traits", {})), **_mapping(_mapping(model)["shape"])}
            params, tokens = published["params"], published.get("tokens")
            is_dense = "experts" not in shape
            if is_dense and isinstance(params, int | float) and isinstance(tokens, int | float):
                found.append((name, float(params), float(tokens)))
    return tuple(found)


def as_of() -> str:
    """Return the date on which the file was written."""
    return str(_mapping(_file().data)["as_of"])


@lru_cache(maxsize=1)
def _file() -> FactFile:
    return read(package_folder() / MODELS_FILE, name=MODELS_FILE, check=_check)


@lru_cache(maxsize=1)
def _places() -> Mapping[str, tuple[str, str]]:
    """Return the family and key of each name."""
    families = _mapping(_mapping(_file().data)["families"])
    return {key: (family, key) for family, values in families.items() for key in _mapping(_mapping(values)["models"])}


@lru_cache(maxsize=1)
def _aliases() -> Mapping[str, str]:
    families = _mapping(_mapping(_file().data)["families"])
    return {
        str(alias): key
        for values in families.values()
        for key, model in _mapping(_mapping(values)["models"]).items()
        for alias in _list(_mapping(model).get("aliases"))
    }


def _card_class(kind: str) -> type[Card]:
    if kind == "decoder":
        return DecoderCard
    from ..models import other_cards, unet  # 7 ms; most models are decoders

    return {
        "encoder": other_cards.EncoderCard,
        "encoder-decoder": other_cards.EncoderDecoderCard,
        "vision": other_cards.VisionCard,
        "dual-encoder": other_cards.DualEncoderCard,
        "speech": other_cards.SpeechCard,
        "diffusion": other_cards.DiffusionCard,
        "unet": unet.UNetCard,
    }[kind]


def _nested_class(name: str) -> type[object] | None:
    if name == "StateSpaceShape":
        return StateSpaceShape
    if name in ("VisionCard", "TextTowerCard"):
        from ..models import other_cards

        return other_cards.VisionCard if name == "VisionCard" else other_cards.TextTowerCard
    return None


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict)  # the schema check has seen to it
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# --- schema ---------------------------------------------------------------------------------------------------------


def _check(file: FactFile) -> None:
    top = Fields(file, (), file.data, ("schema", "as_of", "families"))
    top.choice("schema", (SCHEMA,))
    top.date("as_of")
    families = top.values.get("families")
    if not isinstance(families, dict):
        raise file.error("families is missing; a mapping from family to models is wanted", "families")
    seen: dict[str, str] = {}
    for family, values in families.items():
        fields = Fields(file, ("families", family), values, ("card", "traits", "source", "note", "models"))
        models = fields.values.get("models")
        if not isinstance(models, dict) or not models:
            fields.fail("models", f"{fields.spelled('models')} is missing; a mapping from name to model is wanted")
        for key in models:
            if key in seen:
                fields.fail("models", f"model '{key}' is given in {seen[key]} and in {family}; remove one")
            seen[key] = family
            _preset(file, family, values, key)


def _preset(file: FactFile, family: str, values: Mapping[str, object], key: str) -> ModelPreset:
    group = Fields(file, ("families", family), values, ("card", "traits", "source", "note", "models"))
    path = ("families", family, "models", key)
    known = ("shape", "published", "explanation", "source", "note", "aliases")
    model = Fields(file, path, _mapping(values["models"])[key], known)
    card_class = _card_class(group.choice("card", CARD_KINDS, "decoder"))
    traits = values.get("traits", {})
    own = model.values.get("shape")
    _fields_of(card_class, file, ("families", family, "traits"), traits)
    _fields_of(card_class, file, (*path, "shape"), own)
    card = _card(card_class, file, (*path, "shape"), {**_mapping(traits), **_mapping(own)})
    source = model.text("source", group.text("source", ""))
    if not source:
        model.fail("source", f"{model.spelled('source')} is missing; say where the shape was read")
    shape = card.shape(key, family, source=source, note=model.text("note", group.text("note", "")))
    return ModelPreset(shape=shape, published=_published(model))


def _published(model: Fields) -> Published:
    known = ("params", "how", "where", "recalled", "active", "tokens")
    fields = Fields(model.file, (*model.path, "published"), model.values.get("published"), known)
    active = fields.optional_whole("active")
    return Published(
        params=int(fields.number("params")),
        how=CountKind(fields.choice("how", tuple(CountKind))),
        where=fields.choice("where", ("checkpoint", "paper", "model card"), "") if "where" in fields else "",
        recalled=fields.values.get("recalled") is True,
        active=active,
        tokens=fields.optional_number("tokens"),
        explanation=model.text("explanation", ""),
    )


def _fields_of(cls: type[object], file: FactFile, path: tuple[Key, ...], value: object) -> Fields:
    return Fields(file, path, value, tuple(field.name for field in dataclasses.fields(cls)))  # type: ignore[arg-type]


def _card(cls: type[_T], file: FactFile, path: tuple[Key, ...], values: Mapping[str, object]) -> _T:
    """Return an instance of the dataclass `cls` from `values`, each of its field's type."""
    fields = _fields_of(cls, file, path, values)
    given: dict[str, object] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name in values:
            given[field.name] = _value(fields, field.name, str(field.type))
        elif field.default is dataclasses.MISSING:
            fields.fail(field.name, f"{fields.spelled(field.name)} is missing")
    return cls(**given)


def _value(fields: Fields, key: str, kind: str) -> object:
    value = fields.values[key]
    bare = kind.removesuffix(" | None")
    if nested := _nested_class(bare):
        return _card(nested, fields.file, (*fields.path, key), _mapping_or_fail(fields, key))
    if bare == "int":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            fields.fail(key, f"{fields.spelled(key)} is {shown(value)}, a whole number is wanted")
        return value
    if bare == "bool":
        if not isinstance(value, bool):
            fields.fail(key, f"{fields.spelled(key)} is {shown(value)}, true or false is wanted")
        return value
    if bare == "str":
        return fields.choice(key, _CHOICES[key]) if key in _CHOICES else fields.text(key)
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        fields.fail(key, f"{fields.spelled(key)} is {shown(value)}, a list of whole numbers is wanted")
    return tuple(value)


def _mapping_or_fail(fields: Fields, key: str) -> Mapping[str, object]:
    value = fields.values[key]
    if not isinstance(value, dict):
        fields.fail(key, f"{fields.spelled(key)} is {shown(value)}, a mapping is wanted")
    return value
