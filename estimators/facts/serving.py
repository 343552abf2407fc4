"""Read `data/serving_rules.yaml`: weight formats, cache formats, engines and the rules of benchmark suites."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..errors import InputError
from ..frozen import dataclass
from ..names import resolve
from .folders import package_folder
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/serving_rules.yaml"
_FORMAT = ("bits", "down", "value", "dense", "head", "embedding", "kind", "peaks", "source")
_ENGINE = (
    "name", "level", "memory", "of_free", "reserve_gb", "batch", "cache", "fp16_accumulate", "absorbed_prefill", "source",
)  # fmt: skip
_TOP = ("version", "formats", "caches", "engines", "suites")
_SUITE = ("limits_ms", "beams", "input_tokens", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFormat:
    """Bits per weight of every part, and the rates its products run at, best first. `kind` is a level of the fit."""

    name: str
    bits: float
    down_bits: float
    value_bits: float
    dense_bits: float  # attention, dense feed-forward, shared experts, router
    head_bits: float
    embedding_bits: float
    kind: str
    peaks: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What an engine does with memory and batches by default; `level` is its level in the efficiency fit."""

    id: str
    name: str
    level: str
    memory_share: float
    is_share_of_free: bool
    reserve_bytes: float
    batch: int
    cache: str
    fp16_accumulate: bool
    absorbed_prefill: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Rules of a benchmark suite by model: latency limits by scenario, beam width, mean prompt length."""

    limits_s: Mapping[str, Mapping[str, float]]
    beams: Mapping[str, int]
    input_tokens: Mapping[str, float]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRules:
    """The whole file."""

    formats: Mapping[str, WeightFormat]
    cache_bits: Mapping[str, float]
    engines: Mapping[str, Engine]
    suites: Mapping[str, Suite]

    def format(self, typed: str) -> WeightFormat:
        """Return the weight format that `typed` means.

        Raises:
            UnknownName: there is none; names the nearest.
        """
        aliases = {"fp16": "bf16", "nvfp4": "fp4", "awq": "int4", "gptq": "int4", "w4a16": "int4", "none": "bf16"}
        return self.formats[resolve(typed, self.formats, kind="weight format", aliases=aliases)]

    def cache(self, typed: str) -> float:
        """Return the bits of the cache format that `typed` means.

        Raises:
            UnknownName: there is none; names the nearest.
        """
        return self.cache_bits[resolve(typed, self.cache_bits, kind="cache format")]

    def engine(self, typed: str) -> Engine:
        """Return the engine that `typed` means.

        Raises:
            UnknownName: there is none; names the nearest.
        """
        aliases = {"trtllm": "tensorrt-llm", "trt-llm": "tensorrt-llm", "llamacpp": "llama.cpp", "exllama": "exllamav2"}
        aliases |= {"ollama": "llama.cpp", "mlx-lm": "mlx"}
        names = [name for name in self.engines if name != "default"]
        return self.engines[resolve(typed, names, kind="serving engine", aliases=aliases)]


@cache
def load_serving_rules() -> ServingRules:
    """Return the rules.

    Raises:
        FactsError: the file breaks its schema.
    """
    return _rules(read(package_folder() / NAME, name=NAME, check=_check))


def _check(file: FactFile) -> None:
    _rules(file)


def _rules(file: FactFile) -> ServingRules:
    top: Mapping[str, Any] = Fields(file, (), file.data, _TOP).values
    caches = Fields(file, ("caches",), top.get("caches"), tuple(_names(top, "caches")))
    return ServingRules(
        formats={name: _format(file, name, top["formats"][name]) for name in _names(top, "formats")},
        cache_bits={name: caches.number(name) for name in _names(top, "caches")},
        engines={name: _engine(file, name, top["engines"][name]) for name in _names(top, "engines")},
        suites={name: _suite(file, name, top["suites"][name]) for name in _names(top, "suites")},
    )


def _names(top: Mapping[str, object], key: str) -> tuple[str, ...]:
    entries = top.get(key)
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{NAME} has no entries under {key}.")
    return tuple(entries)


def _format(file: FactFile, name: str, entry: object) -> WeightFormat:
    fields = Fields(file, ("formats", name), entry, _FORMAT)
    bits = fields.number("bits")

    def other(key: str) -> float:
        return fields.optional_number(key) or bits

    return WeightFormat(
        name=name,
        bits=bits,
        down_bits=other("down"),
        value_bits=other("value"),
        dense_bits=other("dense"),
        head_bits=other("head"),
        embedding_bits=other("embedding"),
        kind=fields.text("kind"),
        peaks=fields.texts("peaks"),
        source=fields.text("source"),
    )


def _engine(file: FactFile, name: str, entry: object) -> Engine:
    fields = Fields(file, ("engines", name), entry, _ENGINE)
    return Engine(
        id=name,
        name=fields.text("name"),
        level=str(fields.values.get("level", "")),
        memory_share=fields.number("memory"),
        is_share_of_free=fields.values.get("of_free") is True,
        reserve_bytes=fields.number("reserve_gb") * 1e9,
        batch=fields.optional_whole("batch") or 1,
        cache=fields.text("cache"),
        fp16_accumulate=fields.values.get("fp16_accumulate") is True,
        absorbed_prefill=fields.values.get("absorbed_prefill") is True,
        source=fields.text("source"),
    )


def _suite(file: FactFile, name: str, entry: object) -> Suite:
    fields = Fields(file, ("suites", name), entry, _SUITE)
    values: Mapping[str, Any] = fields.values
    limits = values["limits_ms"]
    return Suite(
        limits_s={model: {scenario: ms / 1e3 for scenario, ms in each.items()} for model, each in limits.items()},
        beams=dict(values["beams"]),
        input_tokens=dict(values["input_tokens"]),
        source=fields.text("source"),
    )
