"""One measured serving row into a case: the setup, the load, and which figures were measured.

The columns are those of `data/measured/serving.csv`; a `metric` column, where a file has one, says which figure to
score. Only configuration columns decide what is predicted: the measured ones are split off by `split`. What a row
leaves unsaid is filled as its engine does by default, and named in `filled`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ...estimators.errors import FlopwiseError
from ...estimators.facts.catalog import Catalog
from ...estimators.facts.serving import ServingRules, Suite
from ...estimators.serving.loops import Work
from ...estimators.serving.memory import room_sequences, serving_memory
from ...estimators.serving.setup import Setup, chip_rates
from .rows import Cells
from .serving_chips import find_chip
from .serving_shapes import shape_of
from .serving_software import Unsupported, cache_bits_of, engine_of, weights_of

MEASURED = frozenset(
    (
        "out_tok_s_system",
        "out_tok_s_per_gpu",
        "total_tok_s_system",
        "prefill_tok_s",
        "ttft_ms",
        "ttft_p99_ms",
        "tpot_ms",
        "tpot_p99_ms",
        "latency_ms",
        "mem_gb",
        "measured",
        "value",
    )
)


class Metric(StrEnum):
    """A figure that rows measure, in the row's unit."""

    OUTPUT = "out_tok_s_system"
    TOKEN = "tpot_ms"
    FIRST = "ttft_ms"
    PROMPT = "prefill_tok_s"
    LATENCY = "latency_ms"

    @property
    def is_speed(self) -> bool:
        """Whether it is a decode figure (the others are about prompts)."""
        return self in (Metric.OUTPUT, Metric.TOKEN, Metric.LATENCY)


class Scenario(StrEnum):
    """The load that a row put on the server."""

    STATIC = "static batch, decode"
    WHOLE = "static batch, prompts included"
    PROMPT = "prompt"
    QUEUED = "queued"
    BURST = "burst"
    CLOSED = "closed loop"
    LIMITED = "latency limit"
    STEPS = "decode only, queued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row that we can predict. `work` is for one replica; `suite` is the level of a latency limit."""

    id: str
    source: str
    cell: str
    family: str
    setup: Setup
    scenario: Scenario
    work: Work
    replicas: float
    suite: str
    single_prompt: bool  # the first token is that of one prompt, whatever the batch
    measured: Mapping[Metric, float]
    filled: tuple[str, ...]


# Engines whose published batch rates count the prompts' time.
_WHOLE = ("fastertransformer", "megatron-lm", "deepspeed-inference", "deepspeed", "hf", "vllm-rocm")
_CHUNK = 512.0  # llama.cpp's default micro-batch of prompt tokens


def split(record: Mapping[str, str]) -> tuple[Cells, Cells]:
    """Return the configuration and the measurement of a row."""
    configuration = {name: value for name, value in record.items() if name not in MEASURED}
    return Cells(configuration), Cells({name: value for name, value in record.items() if name in MEASURED})


def read_case(record: Mapping[str, str], catalog: Catalog, rules: ServingRules) -> Case:
    """Return the case of a row.

    Raises:
        Unsupported: says why it cannot be predicted.
    """
    cells, measured = split(record)
    scenario_text = cells.text("scenario").lower()
    if "offload" in scenario_text or "held on cpu" in cells.text("notes").lower():
        raise Unsupported("weights are kept in host memory")
    chip = find_chip(cells.text("accelerator"), catalog)
    if chip is None:
        raise Unsupported(f"no accelerator is called '{cells.text('accelerator')}'")
    shape = shape_of(cells)
    if shape is None:
        raise Unsupported(f"the shape of '{cells.text('model')}' is not known")
    filled: list[str] = []
    engine, level = engine_of(cells, chip, rules)
    weights = weights_of(cells, engine, rules)
    cache_bits = cache_bits_of(cells, engine, weights, rules, filled)
    suite = _suite(cells, rules)
    scenario = _scenario(cells, scenario_text, level)
    setup = Setup(
        shape=shape,
        accelerator=chip,
        engine=engine,
        weights=weights,
        cache_bits=cache_bits,
        is_pcie=True if "PCIe numbers" in cells.text("notes") else None,
        level=level,
        mode=_mode(scenario, cells),
    )
    try:
        chip_rates(setup)
        setup.counts()
    except FlopwiseError as error:
        raise Unsupported(str(error)) from None
    setup = _cut(setup, cells, suite, filled)
    work = _work(setup, cells, scenario, suite, filled)
    source, model = cells.text("source") or "unnamed", cells.text("model")
    place = "MLPerf" if source.startswith("MLPerf") else source  # partners submit the same machine
    return Case(
        id=cells.text("id"),
        source=source,
        cell=" | ".join((source, model, cells.text("accelerator"), cells.text("weight_prec"))),
        family=" | ".join((place, model, cells.text("accelerator"))),
        setup=setup,
        scenario=scenario,
        work=work,
        replicas=setup.replicas,
        suite=f"{scenario_text}|{model}" if scenario is Scenario.LIMITED else "",
        single_prompt=level == "tt-metal",
        measured=_measured(cells, measured, scenario),
        filled=tuple(filled),
    )


def _suite(cells: Cells, rules: ServingRules) -> Suite | None:
    return rules.suites["mlperf"] if cells.text("source").startswith("MLPerf") else None


def _scenario(cells: Cells, text: str, level: str) -> Scenario:
    kind = cells.text("batch_kind").lower()
    if text.startswith(("prefill_only", "prefill only")):
        return Scenario.PROMPT
    if text.startswith("decode_only"):
        return Scenario.STEPS
    if text == "prefill_latency":
        return Scenario.STATIC
    if "closed" in text or "closed" in kind:
        return Scenario.CLOSED
    if text in ("server", "interactive"):
        return Scenario.LIMITED
    if "at once" in kind:
        return Scenario.BURST
    if text == "offline":
        return Scenario.QUEUED
    is_whole = level in _WHOLE or "batch*OSL/latency" in cells.text("notes")
    return Scenario.WHOLE if is_whole else Scenario.STATIC


def _mode(scenario: Scenario, cells: Cells) -> str:
    if scenario in (Scenario.STATIC, Scenario.WHOLE, Scenario.PROMPT):
        return "static"
    if scenario in (Scenario.QUEUED, Scenario.BURST, Scenario.STEPS):
        return "queued"
    if scenario is Scenario.LIMITED:
        return "limited"
    return "closed, spread lengths" if "uniform" in cells.text("len_kind") else "closed, equal lengths"


def _cut(setup: Setup, cells: Cells, suite: Suite | None, filled: list[str]) -> Setup:
    """Return the setup with its parallelism; what the row leaves unsaid is the smallest cut that fits."""
    count = max(1, cells.whole("count") or 1)
    tensor, pipeline = cells.whole("tp"), max(1, cells.whole("pp") or 1)
    experts, copies = cells.whole("ep") or 1, 1
    attention = cells.text("dp_attention").lower()
    is_latent = "mla" in cells.text("attn").lower()
    if tensor is None and experts > 1:
        tensor = experts
        attention = attention or "yes"
    if tensor is None:
        filled.append("layout")
        tensor = _smallest(setup, count)
    tensor = min(tensor, count)  # Neuron and TPU rows count cores
    if attention == "yes" or (attention.startswith("possible") and is_latent) or (suite and is_latent):
        tensor = min(count, max(tensor, experts))
        copies = tensor
    pipeline = min(pipeline, max(1, count // tensor))
    data_parallel = cells.number("dp")
    replicas = max(1.0, count / (tensor * pipeline))
    if data_parallel and data_parallel > 1 and tensor * pipeline == 1:
        replicas = min(data_parallel, float(count))
    return replace(
        setup,
        tensor=tensor,
        pipeline=pipeline,
        replicas=replicas,
        attention_copies=copies,
        is_expert_parallel=experts > 1,
    )


def _smallest(setup: Setup, count: int) -> int:
    """Return the smallest power of two of chips that leaves a fifth of the memory to the cache."""
    ways = 1
    while ways < count:
        memory = serving_memory(replace(setup, tensor=ways))
        if memory.cache > 0.2 * memory.total:
            break
        ways *= 2
    return min(ways, count)


def _work(setup: Setup, cells: Cells, scenario: Scenario, suite: Suite | None, filled: list[str]) -> Work:
    prompt, output = cells.number("input_len"), cells.number("output_len")
    lengths, model = cells.text("len_kind"), cells.text("model")
    if prompt is None:
        filled.append("input_len")
        prompt = (
            suite.input_tokens.get(model, 500.0) if suite else 1024.0 if "slots" in cells.text("batch_kind") else 0.0
        )
        if not prompt and scenario in (Scenario.PROMPT, Scenario.STEPS):
            prompt = 2048.0
        if "ShareGPT" in lengths:
            prompt = 220.0
    if output is None:
        filled.append("output_len")
        output = 512.0 if "slots" in cells.text("batch_kind") else 128.0
    if "[0.8,1.0]" in lengths or lengths.startswith("InferenceX"):
        prompt, output = 0.9 * prompt, 0.9 * output
    output = max(output, 1.0)
    depth = re.search(r"depth (\d+)", lengths)
    batch = cells.number("batch")
    kind = cells.text("batch_kind")
    limits = suite.limits_s.get(model, {}) if suite else {}
    cap = setup.engine.batch * float(setup.attention_copies) if batch is None else batch
    if "max that fits" in kind or "inflight, all" in kind:
        # where attention may have been data parallel, each rank admits its own
        is_spread = cells.text("dp_attention").lower().startswith("possible")
        cap = 2048.0 * (setup.tensor if is_spread else setup.attention_copies)
    elif batch is not None and "per replica" in kind:
        cap = batch * setup.attention_copies
    elif batch is not None and "slots" in kind:
        cap = batch / setup.replicas
    elif batch is None and scenario in (Scenario.QUEUED, Scenario.LIMITED, Scenario.STEPS):
        cap = 2048.0 * setup.attention_copies
    own = max(1.0, (batch or 1.0) / (setup.replicas if scenario is not Scenario.BURST else 1.0))
    is_excess = "in-house" in cells.text("source") and cells.text("framework").startswith("TensorRT")
    return Work(
        prompt=prompt,
        output=output,
        batch=own,
        cap=max(1.0, cap),
        room=max(1.0, room_sequences(setup, prompt + output)),
        depth=float(depth[1]) if depth and scenario is Scenario.PROMPT else 0.0,
        limit_s=limits.get(cells.text("scenario").lower(), 0.2),
        beams=float(suite.beams.get(model, 1)) if suite else 1.0,
        excess=float(is_excess),
        chunk=_CHUNK if setup.engine.id == "llama.cpp" else 1e9,
    )


def _measured(cells: Cells, measured: Cells, scenario: Scenario) -> Mapping[Metric, float]:
    """Return the figures to score: what `metric` asks for, else those of the scenario that the row holds."""
    asked = _asked(cells.text("metric"))
    found = {metric: value for metric in Metric if (value := measured.number(metric.value)) and value > 0}
    if Metric.OUTPUT not in found and (each := measured.number("out_tok_s_per_gpu")):
        found[Metric.OUTPUT] = each * (cells.number("count") or 1.0)
    if asked:
        plain = measured.number("measured") or measured.number("value") or 0.0
        return {asked: found.get(asked) or plain}
    if not found:
        return {_usual(scenario): 0.0}
    wanted = [_usual(scenario)]
    if scenario is Scenario.CLOSED and Metric.TOKEN not in found:
        wanted = [Metric.OUTPUT]
    if scenario is not Scenario.PROMPT:
        wanted += [Metric.OUTPUT] if Metric.OUTPUT in found and Metric.TOKEN not in wanted else []
        wanted += [Metric.FIRST] if Metric.FIRST in found else [Metric.PROMPT]
    chosen = {metric: found[metric] for metric in dict.fromkeys(wanted) if metric in found}
    if not any(metric.is_speed for metric in chosen):
        chosen |= {metric: found[metric] for metric in (Metric.TOKEN, Metric.LATENCY) if metric in found}
    return chosen or {_usual(scenario): 0.0}


def _usual(scenario: Scenario) -> Metric:
    if scenario is Scenario.PROMPT:
        return Metric.PROMPT
    return Metric.TOKEN if scenario is Scenario.CLOSED else Metric.OUTPUT


def _asked(text: str) -> Metric | None:
    """Return the figure that a `metric` cell means: "ttft_ms", "time per output token", "output tokens/s", ..."""
    text = re.sub(r"[\s_/-]+", " ", text.lower()).strip()
    if not text:
        return None
    for words, metric in (
        (("ttft", "first token"), Metric.FIRST),
        (("tpot", "itl", "per output token", "per token", "inter token"), Metric.TOKEN),
        (("prefill", "prompt", "input tok"), Metric.PROMPT),
        (("out", "throughput", "tok s", "tokens s", "decode", "generation"), Metric.OUTPUT),
        (("latency", "e2e"), Metric.LATENCY),
    ):
        if any(word in text for word in words):
            return metric
    return None
