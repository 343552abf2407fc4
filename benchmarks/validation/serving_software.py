"""What a serving row says of its software: the engine and its level in the fit, the format of weights and cache.

Columns are those of `data/measured/serving.csv`; spellings are those of the sources.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ...estimators.facts.records import Accelerator
from ...estimators.facts.serving import Engine, ServingRules, WeightFormat
from .rows import Cells


class Unsupported(Exception):
    """Why a row cannot be predicted."""


# Spellings of `framework` (lower case), first match wins: the engine's rules and its level in the fit.
_ENGINES: tuple[tuple[str, str, str], ...] = (
    ("mlperf", "tensorrt-llm", "trtllm-mlperf"),
    ("fastertransformer", "tensorrt-llm", "fastertransformer"),
    ("pytorch backend", "tensorrt-llm", "trtllm-pytorch"),
    ("tensorrt", "tensorrt-llm", "trtllm"),
    ("trt-llm", "tensorrt-llm", "trtllm"),
    ("sglang", "sglang", "sglang"),
    ("vllm (rocm)", "vllm-rocm", "vllm-rocm"),
    ("vllm (tpu)", "vllm-tpu", "vllm-tpu"),
    ("vllm", "vllm", "vllm"),
    ("jetstream", "jetstream", "jetstream-pytorch"),
    ("maxtext", "jetstream", "jetstream-pytorch"),
    ("neuron", "neuron", "neuron"),
    ("vulkan", "llama.cpp", "llamacpp-vulkan"),
    ("llama-bench", "llama.cpp", "llamacpp-bench"),
    ("ollama", "llama.cpp", "llamacpp-ollama"),
    ("llama.cpp rocm", "llama.cpp", "llamacpp-rocm"),
    ("ik_llama", "llama.cpp", "llamacpp"),
    ("llama.cpp", "llama.cpp", "llamacpp"),
    ("ctransformers", "llama.cpp", "ctransformers"),
    ("mlx", "mlx", "mlx-lm"),
    ("exllama", "exllamav2", "exllamav2"),
    ("tabby", "exllamav2", "exllamav2"),
    ("autoawq", "exllamav2", "autoawq"),
    ("tinychat", "exllamav2", "tinychat"),
    ("mlc", "exllamav2", "mlc-llm"),
    ("gpt-fast", "exllamav2", "gpt-fast"),
    ("torchao", "default", "torchao"),
    ("qserve", "default", "qserve"),
    ("lmdeploy", "vllm", "lmdeploy"),
    ("tgi", "vllm", "tgi"),
    ("megatron", "default", "megatron-lm"),
    ("deepspeed-inference", "default", "deepspeed-inference"),
    ("deepspeed", "default", "deepspeed"),
    ("accelerate", "default", "hf"),
    ("tt-metal", "default", "tt-metal"),
    ("autogptq", "default", "autogptq"),
    ("ctranslate", "default", "ctranslate2"),
    ("onnx", "default", "onnx"),
    ("transformers", "default", "transformers-hf"),
)


def engine_of(cells: Cells, chip: Accelerator, rules: ServingRules) -> tuple[Engine, str]:
    """Return the rules of the engine and its level in the fit."""
    text, version = cells.text("framework").lower(), cells.text("framework_version")
    engine, level = "default", ""
    for spelling, name, base in _ENGINES:
        if spelling in text:
            engine, level = name, base
            break
    if level == "vllm" and chip.vendor == "AMD":
        engine = level = "vllm-rocm"
    elif level == "vllm" and chip.vendor == "Google":
        engine = level = "vllm-tpu"
    elif (level == "vllm" and _year(cells) and _year(cells) < 2024) or (
        level == "vllm" and "mlc-ai" in cells.text("source")
    ):
        level = "vllm-2023"
    elif level == "trtllm-mlperf":
        level += "-v4" if (_year(cells) or 2025) < 2025 or "v4" in cells.text("source") else "-v5"
    elif level == "trtllm-pytorch":
        level = f"trtllm-{version}" if version else "trtllm-1.0"
    elif level == "trtllm":
        level = _trtllm_level(version, cells)
    return rules.engines[engine], level


def _trtllm_level(version: str, cells: Cells) -> str:
    if version.startswith(("0.5", "0.6")):
        return "trtllm-2023"
    if version.startswith(("0.7", "0.8", "0.9")):
        return "trtllm-2024a"
    if version.startswith("0."):
        return "trtllm-2024b"
    if version or "closed loop" in cells.text("batch_kind") or (_year(cells) or 0) >= 2025:
        return "trtllm-1x"
    return "trtllm-2023"


def _year(cells: Cells) -> int:
    found = cells.whole("year")
    if found:
        return found
    date = re.match(r"\d{4}", cells.text("date"))
    return int(date[0]) if date else 0


def weights_of(cells: Cells, engine: Engine, rules: ServingRules) -> WeightFormat:
    """Return the format of the weights.

    Raises:
        Unsupported: no format is spelled like that.
    """
    written = cells.text("weight_prec")
    text = written.lower().replace("-", "_")
    is_gguf = engine.id == "llama.cpp"
    if text.startswith(("exl2", "exl3")):
        bits = re.search(r"\d+(\.\d+)?$", text)
        mean = float(bits[0]) + 0.1 if bits else 4.1
        return replace(rules.formats["exl2"], name=text, bits=mean, down_bits=mean, value_bits=mean, dense_bits=mean)
    if text in ("fp16", "f16", "bf16", "float16", "bfloat16", "half", ""):
        if is_gguf:
            text = "bf16_gguf" if written == "BF16" else "f16"
        else:
            text = "bf16"
        if _is_amd_mlperf(cells):  # closed-division AMD entries quantise to fp8; logs name the original weights
            text = "fp8"
    if text == "mxfp4" and is_gguf:
        text = "mxfp4_gguf"
    names = {name.replace("-", "_"): name for name in rules.formats}
    for candidate in (
        text,
        f"ud_{text}",
        text.removeprefix("ud_"),
        text.replace("uint", "int"),
        text.replace("bf8", "bfp8"),
    ):
        if candidate in names:
            return rules.formats[names[candidate]]
    aliases = {
        "nvfp4": "fp4",
        "awq": "int4",
        "gptq": "int4",
        "nf4": "int4",
        "w4a16": "int4",
        "w8a8": "int8",
        "fp8_e4m3": "fp8",
    }
    if text in aliases:
        return rules.formats[aliases[text]]
    if bits := re.search(r"(\d+(?:\.\d+)?)", text):
        count = float(bits[1])
        if 1 <= count <= 32:
            base = rules.formats["q4_k_m" if is_gguf else "int4" if count < 8 else "int8" if count < 16 else "bf16"]
            scaled = count + (0.5 if count < 16 else 0.0)
            return replace(base, name=text, bits=scaled, down_bits=scaled, value_bits=scaled, dense_bits=scaled)
    raise Unsupported(f"the weight format '{written}' is not known")


def _is_amd_mlperf(cells: Cells) -> bool:
    return cells.text("source").startswith("MLPerf") and cells.text("accelerator").startswith("MI")


def cache_bits_of(cells: Cells, engine: Engine, weights: WeightFormat, rules: ServingRules, filled: list[str]) -> float:
    """Return the bits of a number in the cache; the engine's default, which `filled` then names, where unsaid."""
    text = cells.text("kv_prec").lower()
    for name in sorted(rules.cache_bits, key=len, reverse=True):
        if text == name or (name in text and "fp8" not in text):
            return rules.cache_bits[name]
    if "fp8" in text:
        return 8.0
    filled.append("cache format")
    narrow = weights.kind in ("fp8", "fp4", "mxfp4")
    return 8.0 if engine.id == "tensorrt-llm" and narrow else 16.0
