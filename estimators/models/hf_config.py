"""Reading the fields of a Hugging Face `config.json`: typed, with a sentence for what is missing or of the wrong kind.

Files leave out what equals the default of their class in `transformers`, so every reader names that default where the
class has one that real files rely on; a size without one must be there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from ..errors import InputError

Json = Mapping[str, object]


class Config:
    """The fields of one config (or of one part of it, `part`), as `model_type` defines them."""

    def __init__(self, values: Json, model_type: str, part: str = "") -> None:
        self.values, self.model_type, self.part = values, model_type, part

    def fail(self, message: str) -> NoReturn:
        """Raise the error that says `message` about this config."""
        where = f" in {self.part}" if self.part else ""
        raise InputError(f"the config of model_type '{self.model_type}'{where} {message}")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def whole(self, *keys: str, default: int | None = None) -> int:
        """Return the whole number under the first of `keys` that is there, or `default`.

        Raises:
            InputError: none is there and there is no default, or the value is no whole number above 0.
        """
        value = self.optional_whole(*keys)
        if value is not None:
            return value
        if default is None:
            also = f" (or '{keys[1]}')" if len(keys) > 1 else ""
            self.fail(f"has no '{keys[0]}'{also}; its parameters cannot be counted without it.")
        return default

    def optional_whole(self, *keys: str) -> int | None:
        """Return the whole number under the first of `keys` that is there and not null or 0, or None."""
        for key in keys:
            value = self.values.get(key)
            if value is None or value == 0:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
                self.fail(f"has '{key}': {value!r}, where a whole number is wanted.")
            return int(value)
        return None

    def number(self, key: str, default: float) -> float:
        """Return a positive number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            self.fail(f"has '{key}': {value!r}, where a number above 0 is wanted.")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool | int):
            self.fail(f"has '{key}': {value!r}, where true or false is wanted.")
        return bool(value)

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    def items(self, key: str) -> Sequence[object]:
        """Return a list, empty where there is none."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.fail(f"has '{key}': {value!r}, where a list is wanted.")
        return value

    def inner(self, key: str) -> Config:
        """Return the part under `key`, empty where there is none."""
        value = self.values.get(key)
        return Config(value if isinstance(value, Mapping) else {}, self.model_type, key)

    def tied(self, default: bool) -> bool:
        """Return whether input and output embeddings are one matrix."""
        return self.flag("tie_word_embeddings", default)

    def head_dim(self, default: int | None = None) -> int:
        """Return the width of one head: as said, or hidden / heads."""
        said = self.optional_whole("head_dim")
        return said or default or self.whole("hidden_size") // self.whole("num_attention_heads")

    def full_layers(self, every: int = 0) -> tuple[int, ...]:
        """Return the layers with full attention, counted from 1: from `layer_types`, else each `every`th."""
        kinds = self.items("layer_types")
        layers = self.whole("num_hidden_layers")
        if kinds:
            return tuple(number for number, kind in enumerate(kinds, 1) if kind == "full_attention")
        return tuple(number for number in range(1, layers + 1) if every and number % every == 0)
