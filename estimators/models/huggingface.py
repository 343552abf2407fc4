"""From a Hugging Face `config.json` to a shape: which reader takes it, and what is left out.

    read_config        the file (or the folder that holds it) as a mapping
    shape_from_config  the mapping as a shape, with remarks on what was not counted
    fetch_config       the file of a hub id, over the network, only when a person asks for it

Decoders are read in `hf_decoders.py` and `hf_mixtures.py`; BERT, T5, ViT, CLIP and Whisper here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..frozen import dataclass
from .hf_config import Config, Json
from .shape import ModelShape

if TYPE_CHECKING:
    from .hf_decoders import Reader

MOST_BYTES = 4 * 2**20  # a config file is a few kB; more than this is something else
ENDPOINT = "https://huggingface.co"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_TEXT_PARTS = {  # models that see or hear, and the architecture of the part that reads and writes text
    "gemma3": "gemma3_text",
    "kimi_k25": "kimi_k2",
    "llama4": "llama4_text",
    "mistral3": "mistral",
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
}


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """A shape, and sentences on what the config holds that the shape does not."""

    shape: ModelShape
    remarks: tuple[str, ...]


def read_config(path: Path) -> Json:
    """Return the content of a `config.json`, given by its path or by the folder that holds it.

    Raises:
        InputError: there is no such file, or it is no JSON mapping.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"'{file}' is larger than a config.json can be.")
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"'{file}' does not exist; give a config.json or the folder that holds one.") from None
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"'{file}' is not JSON: {error.msg} in line {error.lineno}.") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"'{file}' is not JSON text.") from None
    if not isinstance(values, dict):
        raise InputError(f"'{file}' holds no mapping; a Hugging Face config.json is wanted.")
    return values


def model_types() -> tuple[str, ...]:
    """Return the values of `model_type` that can be read."""
    return tuple(sorted({*_readers(), *_OTHERS, *_TEXT_PARTS}))


def _readers() -> Mapping[str, Reader]:
    from .hf_decoders import DENSE_READERS
    from .hf_mixtures import MIXTURE_READERS

    return {**DENSE_READERS, **MIXTURE_READERS}


def shape_from_config(values: Json, name: str) -> ConfigReading:
    """Return the shape that a config describes.

    Raises:
        InputError: the `model_type` is missing or not known (lists those that are, nearest first), or a field that the
            count needs is missing or of the wrong kind.
    """
    readers = _readers()
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise InputError(f"the config of '{name}' has no 'model_type', so its architecture is not known.")
    remarks: list[str] = []
    if model_type not in readers and model_type not in _OTHERS:
        part = values.get("text_config")
        inner = str(part.get("model_type") or model_type) if isinstance(part, Mapping) else model_type
        inner = _TEXT_PARTS.get(inner, inner)
        if inner in readers:
            remarks.append(f"only the text part of '{model_type}' is counted, its other parts are left out")
            model_type = inner
            if isinstance(part, Mapping):
                values = {**_shared(values), **part}
    if values.get("num_nextn_predict_layers"):
        remarks.append("the layers for multi-token prediction are left out")
    config = Config(values, model_type)
    if model_type in _OTHERS:
        shape = _OTHERS[model_type](config, name)
    elif model_type in readers:
        shape = readers[model_type](config).shape(name, model_type, source="config.json")
    else:
        raise _unknown(name, model_type)
    return ConfigReading(shape, tuple(remarks))


def _shared(values: Json) -> Json:
    return {key: values[key] for key in ("tie_word_embeddings",) if key in values}


def _unknown(name: str, model_type: str) -> InputError:
    from ..names import nearest

    known = model_types()
    close = nearest(model_type, known)
    hint = f" the nearest known is '{close[0]}';" if close else ""
    return InputError(
        f"'{name}' has the model_type '{model_type}', which is not known;{hint} known: {', '.join(known)}."
    )


def check_hub_id(hub_id: str) -> str:
    """Return the id, or raise `InputError` where it is none."""
    if not _HUB_ID.fullmatch(hub_id):
        raise InputError(f"'{hub_id}' is no hub id; write OWNER/NAME, for example Qwen/Qwen3-8B.")
    return hub_id


def fetch_config(hub_id: str, *, timeout_s: float = 20.0) -> Json:
    """Return the `config.json` of a model on the Hugging Face hub, over the network.

    `HF_ENDPOINT` names another hub, `HF_TOKEN` opens gated models.

    Raises:
        InputError: no such model, no permission, no network, or no JSON.
    """
    import urllib.error
    import urllib.request

    url = f"{os.environ.get('HF_ENDPOINT', ENDPOINT).rstrip('/')}/{check_hub_id(hub_id)}/resolve/main/config.json"
    if not url.startswith(("https://", "http://")):
        raise InputError(f"HF_ENDPOINT is '{os.environ['HF_ENDPOINT']}', an address with https:// is wanted.")
    request = urllib.request.Request(url, headers={"User-Agent": "flopwise"})
    if token := os.environ.get("HF_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            raw = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        why = {
            401: "the model does not exist, or it is gated: set HF_TOKEN",
            403: "access is not granted to your HF_TOKEN",
            404: "there is no such model, or it has no config.json",
        }.get(error.code, f"the hub answered {error.code}")
        raise InputError(f"the config of '{hub_id}' cannot be fetched: {why}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"the config of '{hub_id}' cannot be fetched: {reason}.") from None
    try:
        values = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"the hub's answer for '{hub_id}' is no config.json.")
    return values


# --- architectures that are not decoders ----------------------------------------------------------------------------


def _bert(c: Config, name: str) -> ModelShape:
    from .other_cards import EncoderCard

    rows = c.whole("max_position_embeddings", default=512)
    return EncoderCard(
        layers=c.whole("num_hidden_layers", "n_layers"),
        hidden=c.whole("hidden_size", "dim"),
        heads=c.whole("num_attention_heads", "n_heads"),
        ffn=c.whole("intermediate_size", "hidden_dim"),
        vocab=c.whole("vocab_size"),
        position_rows=rows,
        type_rows=0 if c.model_type == "distilbert" else c.whole("type_vocab_size", default=2),
        pooler=c.model_type != "distilbert",
        max_tokens=rows,
    ).shape(name, c.model_type, source="config.json")


def _t5(c: Config, name: str) -> ModelShape:
    from .other_cards import EncoderDecoderCard

    layers = c.whole("num_layers")
    return EncoderDecoderCard(
        encoder_layers=layers,
        decoder_layers=c.whole("num_decoder_layers", default=layers),
        hidden=c.whole("d_model"),
        heads=c.whole("num_heads"),
        head_dim=c.whole("d_kv"),
        ffn=c.whole("d_ff"),
        vocab=c.whole("vocab_size"),
        gated=c.text("feed_forward_proj", "relu").startswith("gated"),
        tied=c.tied(True),
        relative_buckets=c.whole("relative_attention_num_buckets", default=32),
        max_tokens=c.whole("n_positions", default=512),
    ).shape(name, c.model_type, source="config.json")


def _vit(c: Config, name: str) -> ModelShape:
    from .other_cards import VisionCard

    labels = c.values.get("id2label")
    return VisionCard(
        layers=c.whole("num_hidden_layers"),
        hidden=c.whole("hidden_size"),
        heads=c.whole("num_attention_heads"),
        ffn=c.whole("intermediate_size"),
        patch=c.whole("patch_size"),
        image=c.whole("image_size"),
        channels=c.whole("num_channels", default=3),
        classes=len(labels) if isinstance(labels, Mapping) else 0,
    ).shape(name, c.model_type, source="config.json")


def _clip(c: Config, name: str) -> ModelShape:
    from .other_cards import DualEncoderCard, TextTowerCard, VisionCard

    image, text = c.inner("vision_config"), c.inner("text_config")
    return DualEncoderCard(
        vision=VisionCard(
            layers=image.whole("num_hidden_layers", default=12),
            hidden=image.whole("hidden_size", default=768),
            heads=image.whole("num_attention_heads", default=12),
            ffn=image.whole("intermediate_size", default=3072),
            patch=image.whole("patch_size", default=32),
            image=image.whole("image_size", default=224),
        ),
        text=TextTowerCard(
            layers=text.whole("num_hidden_layers", default=12),
            hidden=text.whole("hidden_size", default=512),
            heads=text.whole("num_attention_heads", default=8),
            ffn=text.whole("intermediate_size", default=2048),
            vocab=text.whole("vocab_size", default=49408),
            tokens=text.whole("max_position_embeddings", default=77),
        ),
        projection=c.whole("projection_dim", default=512),
    ).shape(name, c.model_type, source="config.json")


def _whisper(c: Config, name: str) -> ModelShape:
    from .other_cards import SpeechCard

    return SpeechCard(
        encoder_layers=c.whole("encoder_layers"),
        decoder_layers=c.whole("decoder_layers"),
        hidden=c.whole("d_model"),
        heads=c.whole("decoder_attention_heads", "encoder_attention_heads"),
        ffn=c.whole("decoder_ffn_dim", "encoder_ffn_dim"),
        vocab=c.whole("vocab_size"),
        mel_bins=c.whole("num_mel_bins", default=80),
        audio_tokens=c.whole("max_source_positions", default=1500),
        max_tokens=c.whole("max_target_positions", default=448),
    ).shape(name, c.model_type, source="config.json")


_OTHERS: Mapping[str, Callable[[Config, str], ModelShape]] = {
    "bert": _bert,
    "roberta": _bert,
    "xlm-roberta": _bert,
    "distilbert": _bert,
    "t5": _t5,
    "mt5": _t5,
    "vit": _vit,
    "clip": _clip,
    "whisper": _whisper,
}
