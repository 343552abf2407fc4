"""The habits of published models from which a size becomes a shape, out of `data/sizing.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from ..frozen import dataclass
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, Key, read

SIZING_FILE = "data/sizing.yaml"
SCHEMA = "sizing/1"
_TOP = (
    "schema",
    "as_of",
    "least",
    "most",
    "hidden_per_layer",
    "ffn_per_hidden",
    "vocab",
    "tied_below",
    "kv_heads",
    "head_dim",
    "max_tokens",
    "mixture",
    "repeated",
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published value at a published size."""

    params: float
    value: float
    model: str


@dataclass(frozen=True, slots=True)
class Span:
    """A preferred value and how far from it a shape may go."""

    least: float
    value: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What `data/sizing.yaml` says; its comments explain each."""

    as_of: str
    least: float
    most: float
    aspects: tuple[Anchor, ...]
    ffn: Span
    vocab: tuple[Anchor, ...]
    tied_below: float
    kv_heads: int
    head_dims: tuple[Anchor, ...]
    max_tokens: int
    mixture_active: int
    mixture_experts: tuple[int, ...]
    mixture_ffn: Span
    mixture_qk_norm: str
    repeated_active: int

    def aspect(self, params: float) -> float:
        """Return the width per layer of a model of that size."""
        return interpolated(self.aspects, params)

    def vocabulary(self, params: float) -> int:
        """Return the vocabulary of a model of that size."""
        return int(_step(self.vocab, params))

    def head_dim(self, hidden: int) -> int:
        """Return the width of a head in a model of that width."""
        return int(_step(self.head_dims, hidden))


def interpolated(anchors: Sequence[Anchor], params: float) -> float:
    """Return the value at `params`, linear between anchors on log scales, level outside them."""
    if params <= anchors[0].params:
        return anchors[0].value
    for low, high in pairwise(anchors):
        if params <= high.params:
            share = math.log(params / low.params) / math.log(high.params / low.params)
            return low.value * math.exp(share * math.log(high.value / low.value))
    return anchors[-1].value


def _step(anchors: Sequence[Anchor], at: float) -> float:
    return next((anchor.value for anchor in reversed(anchors) if anchor.params <= at), anchors[0].value)


@lru_cache(maxsize=1)
def load_sizing() -> Sizing:
    """Read the file; raises `FactsError` where it breaks its schema."""
    return _sizing(read(package_folder() / SIZING_FILE, name=SIZING_FILE, check=_check))


def _check(file: FactFile) -> None:
    _sizing(file)


def _sizing(file: FactFile) -> Sizing:
    top = Fields(file, (), file.data, _TOP)
    top.choice("schema", (SCHEMA,))
    mixture = Fields(
        file,
        ("mixture",),
        top.values.get("mixture"),
        ("active_experts", "experts", "ffn_per_hidden", "norm", "source"),
    )
    repeated = Fields(file, ("repeated",), top.values.get("repeated"), ("active_experts", "source"))
    experts = mixture.values.get("experts")
    if not isinstance(experts, list) or not experts or not all(isinstance(item, int) for item in experts):
        mixture.fail("experts", f"{mixture.spelled('experts')} must be a list of whole numbers")
    return Sizing(
        as_of=top.date("as_of"),
        least=top.number("least"),
        most=top.number("most"),
        aspects=_anchors(top, "hidden_per_layer", "params"),
        ffn=_span(file, ("ffn_per_hidden",), top.values.get("ffn_per_hidden")),
        vocab=_anchors(top, "vocab", "from"),
        tied_below=top.number("tied_below"),
        kv_heads=_whole(top, "kv_heads"),
        head_dims=_anchors(top, "head_dim", "from_hidden"),
        max_tokens=_whole(top, "max_tokens"),
        mixture_active=_whole(mixture, "active_experts"),
        mixture_experts=tuple(experts),
        mixture_ffn=_span(file, ("mixture", "ffn_per_hidden"), mixture.values.get("ffn_per_hidden")),
        mixture_qk_norm=mixture.choice("norm", ("head", "full")),
        repeated_active=_whole(repeated, "active_experts"),
    )


def _whole(fields: Fields, key: str) -> int:
    value = fields.optional_whole(key)
    if value is None:
        fields.fail(key, f"{fields.spelled(key)} is missing; a whole number is wanted")
    return value


def _anchors(top: Fields, key: str, at: str) -> tuple[Anchor, ...]:
    rows = top.values.get(key)
    if not isinstance(rows, list) or not rows:
        top.fail(key, f"{key} must be a list of anchors")
    anchors = []
    for index, row in enumerate(rows):
        fields = Fields(top.file, (key, index), row, (at, "value", "model"))
        anchors.append(Anchor(fields.number(at), fields.number("value"), fields.text("model")))
    if any(high.params <= low.params for low, high in pairwise(anchors)):
        top.fail(key, f"{key} must rise from anchor to anchor")
    return tuple(anchors)


def _span(file: FactFile, path: tuple[Key, ...], value: object) -> Span:
    fields = Fields(file, path, value, ("least", "value", "most", "source"))
    span = Span(fields.number("least"), fields.number("value"), fields.number("most"))
    if not span.least < span.value < span.most:
        fields.fail("value", f"{fields.spelled('value')} must lie between least and most")
    return span


def anchors_by_model(sizing: Sizing) -> Mapping[str, Anchor]:
    """Return the width-per-layer anchors by the model they were read from."""
    return {anchor.model: anchor for anchor in sizing.aspects}
