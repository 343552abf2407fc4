"""What a person types for a model, and the shape it means: a preset, a config file, a fetched config, or a size.

llama-3-8b, Llama 3 8B, meta-llama/Llama-3-8B   a preset of data/models.yaml; spelling is forgiving
./config.json, a folder                         a Hugging Face config
Qwen/Qwen3-8B                                   a config fetched before with `flopwise models fetch`, else a preset
7B, 30B-A3B, 8x7B                               a shape made from the size
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from ..errors import InputError, UnknownName
from ..facts.folders import data_folder
from ..facts.models import MODELS_FILE, Published, load_preset, preset_names
from ..frozen import dataclass, replace
from .shape import ModelShape

FETCH = "flopwise models fetch"
_SUFFIX = re.compile(r"[-_](?:hf|base|instruct|chat|it|pt|text)$", re.IGNORECASE)


class Origin(StrEnum):
    """Where a shape came from."""

    PRESET = "preset"
    CONFIG = "config file"
    FETCHED = "fetched config"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A shape, where it came from, and a sentence that says so. `remarks` say what a config holds besides."""

    shape: ModelShape
    origin: Origin
    how: str
    remarks: tuple[str, ...] = ()
    published: Published | None = None  # of a preset


def resolve_model(text: str) -> ResolvedModel:
    """Return the model that `text` means.

    Raises:
        UnknownName: it is no preset, file or size; carries the nearest presets.
        InputError: several presets match, a config cannot be read, or no shape has the size.
    """
    typed = text.strip()
    if not typed:
        raise InputError("a model is missing; give a preset, a config.json or a size such as 7B.")
    if _is_path(typed):
        return _from_file(Path(typed))
    if (found := _from_folder(typed)) is not None:
        return found
    if (preset := _preset_name(typed)) is not None:
        return _from_preset(preset)
    from .sized import read_size, sized_shape

    if size := read_size(typed):
        shape = sized_shape(size, typed)
        return ResolvedModel(shape=shape, origin=Origin.SIZE, how=f"'{typed}' is a size; {describe(shape)}")
    try:
        return _from_preset(load_preset(typed).shape.name)
    except UnknownName as error:
        if "/" in typed:
            raise InputError(
                f"'{typed}' is no file here and no preset; `{FETCH} {typed}` gets its config from the hub."
            ) from None
        raise error from None


def describe(shape: ModelShape) -> str:
    """Return one sentence about a decoder's shape."""
    from ..units import show_count
    from .parameters import count_parameters

    count = count_parameters(shape)
    layer = shape.stacks[-1].runs[-1][1]
    size = f"{show_count(count.total)} parameters"
    parts = [f"{shape.layers} layers of width {shape.hidden}"]
    if attention := layer.attention:
        parts.append(f"{attention.heads} heads of {attention.head_dim} ({attention.kv_heads} for keys and values)")
    if layer.feed_forward:
        parts.append(
            f"a {'gated ' if layer.feed_forward.gated else ''}feed-forward width of {layer.feed_forward.width}"
        )
    if mixture := layer.mixture:
        size += f", {show_count(count.active)} active"
        parts.append(f"{mixture.active} of {mixture.experts} experts of width {mixture.width}")
    head = "tied" if shape.tied_embeddings else "not tied"
    parts.append(f"a vocabulary of {shape.vocab} ({head})")
    return f"a shape with {size} was made for it: {', '.join(parts)}"


def fetched_folder(hub_id: str) -> Path:
    """Return the folder in which the config of `hub_id` is kept."""
    return data_folder() / "models" / hub_id.replace("/", "--")


def _is_path(typed: str) -> bool:
    if typed.endswith(".json") or typed.startswith((".", "~", os.sep)):
        return True
    path = Path(typed)
    return path.is_file() or (path / "config.json").is_file()


def _from_file(path: Path) -> ResolvedModel:
    from .huggingface import read_config, shape_from_config

    path = path.expanduser()
    name = path.parent.name if path.name == "config.json" else path.stem
    reading = shape_from_config(read_config(path), path.name if path.is_dir() else name or path.name)
    how = f"read from {path / 'config.json' if path.is_dir() else path} (model_type {reading.shape.family})"
    return ResolvedModel(shape=reading.shape, origin=Origin.CONFIG, how=how, remarks=reading.remarks)


def _from_folder(typed: str) -> ResolvedModel | None:
    if typed.count("/") != 1:
        return None
    folder = fetched_folder(typed)
    if not (folder / "config.json").is_file():
        return None
    read = _from_file(folder)
    return replace(
        read,
        shape=replace(read.shape, name=typed),
        origin=Origin.FETCHED,
        how=f"the config of {typed}, fetched from the hub before (model_type {read.shape.family})",
    )


def _from_preset(name: str) -> ResolvedModel:
    preset = load_preset(name)
    return ResolvedModel(
        shape=preset.shape,
        origin=Origin.PRESET,
        how=f"preset {preset.shape.name} of {MODELS_FILE}",
        published=preset.published,
    )


def _preset_name(typed: str) -> str | None:
    """Return the preset that is written like `typed` but for separators, owner, `meta-` and `-instruct`."""
    if typed in preset_names():
        return typed
    bare = typed.rsplit("/", 1)[-1]
    while (shorter := _SUFFIX.sub("", bare)) != bare:
        bare = shorter
    key = _squeezed(bare)
    found = _by_squeezed()
    return found.get(key) or found.get(key.removeprefix("meta"))


@lru_cache(maxsize=1)
def _by_squeezed() -> Mapping[str, str]:
    return {_squeezed(name): name for name in preset_names()}


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())  # the dot stays: 1.3b is not 13b
