"""Read `data/finetune_defaults.yaml`: what a fine-tune is taken to be where nothing is said."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..frozen import dataclass
from ..quantity import Quantity
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/finetune_defaults.yaml"
_PATH = Path(__file__).parents[2] / NAME
_VALUES = ("epochs", "rank", "batch_tokens", "packed_sequence_tokens", "short_sequence_tokens", "quantized_base_bits")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneDefaults:
    """The defaults; `padding` is tokens computed over tokens of the data in unpacked batches."""

    epochs: float
    rank: int
    batch_tokens: float
    packed_sequence_tokens: int
    short_sequence_tokens: int
    quantized_base_bits: float
    padding: Quantity
    several_devices: tuple[str, ...]  # accelerators whose memory no single program can use as one


@cache
def load_finetune_defaults() -> FinetuneDefaults:
    """Return the defaults.

    Raises:
        FactsError: an entry is missing, unknown or not a number.
    """
    return _defaults(read(_PATH, name=NAME, check=_check))


def _check(file: FactFile) -> None:
    _defaults(file)


def _defaults(file: FactFile) -> FinetuneDefaults:
    entries = Fields(file, (), file.data, (*_VALUES, "padding", "several_devices")).values
    value = {
        name: Fields(file, (name,), entries.get(name), ("value", "guess", "source")).number("value") for name in _VALUES
    }
    padding = Fields(file, ("padding",), entries.get("padding"), ("what", "low", "mid", "high", "guess", "source"))
    low, mid, high = (padding.number(key) for key in ("low", "mid", "high"))
    if not 1 <= low <= mid <= high:
        padding.fail("mid", f"{padding.spelled('mid')} is {mid:g}, it must lie between low and high, low at least 1")
    devices = Fields(file, ("several_devices",), entries.get("several_devices"), ("ids", "source"))
    return FinetuneDefaults(
        epochs=value["epochs"],
        rank=int(value["rank"]),
        batch_tokens=value["batch_tokens"],
        packed_sequence_tokens=int(value["packed_sequence_tokens"]),
        short_sequence_tokens=int(value["short_sequence_tokens"]),
        quantized_base_bits=value["quantized_base_bits"],
        padding=Quantity(low, mid, high, "", "80 %", f"{NAME}: padding (a guess)"),
        several_devices=devices.texts("ids"),
    )
