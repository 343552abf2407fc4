"""How many chips a load needs: every sensible cut of a model over a chip, its capacity, replicas with headroom, money.

A replica uses 1, 2, 4 ... chips up to a node (tensor parallel); latent attention and mixtures may also run data-parallel
attention. A model that no node holds is cut into pipeline stages over nodes. The cheapest cut wins; ties go to the
faster. Ranking does this for every chip that has a price.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..errors import DoesNotFit, FlopwiseError, InputError
from ..facts.catalog import Catalog
from ..facts.records import Accelerator, CloudClass, PricePlan
from ..facts.serving import Engine, ServingRules, WeightFormat, load_serving_rules
from ..facts.serving_fit import ServingFit, load_serving_fit
from ..frozen import dataclass
from ..models.shape import AttentionKind, ModelShape
from ..pricing.quote import Quote, quote
from ..quantity import Quantity
from .memory import room_sequences
from .performance import Performance, Replica, Traffic, Tricks
from .setup import Setup

_STAGES = (1, 2, 4)
_NVIDIA_ONLY = ("tensorrt-llm", "exllamav2")
_ENGINE_OF = {"NVIDIA": "vllm", "AMD": "vllm-rocm", "Google": "vllm-tpu", "Apple": "mlx", "AWS": "neuron"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked: the peak load and the targets of the 90th percentile. None: no target."""

    requests_per_s: float
    traffic: Traffic
    tricks: Tricks
    token_s: float | None
    first_s: float | None
    headroom: float  # share of a replica's capacity that the peak may use
    in_flight: float = 0.0  # where not 0: so many requests at once instead of a rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The formats and engine that were asked for; None where we choose."""

    weights: WeightFormat
    cache_bits: float | None = None
    engine: Engine | None = None
    tensor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """One answer: a cut, how many replicas, and how they do at the peak and at capacity."""

    setup: Setup
    replica: Replica
    replicas: int
    chips: int
    at_load: Performance
    at_capacity: Performance
    quote: Quote | None
    usd_per_hour: Quantity | None

    @property
    def requests_per_s(self) -> float:
        """Requests per second of all replicas at the load."""
        return self.at_load.requests_per_s * self.replicas

    @property
    def queued_per_chip(self) -> float:
        """Output tokens per second and chip with requests always waiting."""
        return self.replica.queued_output_per_s() / (self.setup.tensor * self.setup.pipeline)

    @property
    def prompt_chips(self) -> int:
        """Chips that only read prompts (disaggregated)."""
        return self.chips - self.replicas * self.setup.tensor * self.setup.pipeline

    @property
    def utilisation(self) -> float:
        """Peak load over the capacity of all replicas."""
        return self.at_load.requests_per_s / self.at_capacity.requests_per_s


def usual_weights(shape: ModelShape, rules: ServingRules) -> tuple[WeightFormat, str]:
    """Return the format a model is published in, and the sentence that says so."""
    name = f"{shape.family} {shape.name}".lower()
    if "gpt-oss" in name:
        return rules.formats["mxfp4"], "gpt-oss is published in MXFP4"
    if "deepseek v3" in name or "deepseek-v3" in name or "deepseek-r1" in name or "kimi" in name:
        return rules.formats["fp8"], f"{shape.name} is published in FP8"
    return rules.formats["bf16"], "weights in bf16, as published"


def usual_engine(chip: Accelerator, rules: ServingRules) -> Engine:
    """Return the engine most used on a chip's make."""
    return rules.engines[_ENGINE_OF.get(chip.vendor, "vllm")]


def setups(shape: ModelShape, chip: Accelerator, choice: Choice, rules: ServingRules) -> Iterator[Setup]:
    """Yield the sensible cuts of a model over a chip."""
    engine = choice.engine or usual_engine(chip, rules)
    bits = choice.cache_bits or rules.cache_bits[engine.cache]
    node = chip.accelerators_per_node or 1
    latent = any(layer.attention and layer.attention.kind is AttentionKind.LATENT for _, layer in shape.stacks[-1].runs)
    tensors = [choice.tensor] if choice.tensor else [2**i for i in range(int(math.log2(max(node, 1))) + 1)]
    for tensor in tensors:
        for stages in _STAGES if tensor == tensors[-1] else (1,):
            for copies in (1, tensor) if latent and tensor > 1 else (1,):
                yield Setup(
                    shape=shape,
                    accelerator=chip,
                    engine=engine,
                    weights=choice.weights,
                    cache_bits=bits,
                    tensor=tensor,
                    pipeline=stages,
                    attention_copies=copies,
                    is_expert_parallel=copies > 1,
                    mode="closed, spread lengths",
                )


def size(
    shape: ModelShape,
    chip: Accelerator,
    demand: Demand,
    choice: Choice,
    *,
    price: Quote | None = None,
    usd_per_hour: Quantity | None = None,
    chips: int | None = None,
    fit: ServingFit | None = None,
) -> tuple[Sized, ...]:
    """Return every cut that meets the demand, cheapest first; with `chips` those that fit into so many.

    Raises:
        DoesNotFit: no cut holds the model and one request.
        InputError: some cuts hold the model, none meets the targets.
    """
    rules, fit = load_serving_rules(), fit or load_serving_fit()
    money = usd_per_hour or (price.usd_per_hour if price else None)
    found: list[Sized] = []
    held, best_first, best_token = False, math.inf, math.inf
    least, carried = math.inf, 0.0  # chips that would do; requests/s (or requests in flight) of those that are there
    tokens = demand.traffic.input_tokens + demand.traffic.output_tokens
    for setup in setups(shape, chip, choice, rules):
        if setup.pipeline > 1 and held:
            continue  # stages are for models that no node holds
        if room_sequences(setup, tokens) < 1:
            continue
        held = True
        replica = Replica(setup, fit, demand.traffic, demand.tricks)
        capacity = replica.capacity(demand.token_s, demand.first_s)
        if capacity is None:
            alone = replica.at_batch(1e-6)
            best_first, best_token = min(best_first, alone.first.p90), min(best_token, alone.token.p90)
            continue
        if demand.in_flight:  # a fixed number cannot exceed itself: no headroom
            needed = max(1, math.ceil(demand.in_flight / max(1.0, capacity.batch) - 1e-9))
        else:
            share = demand.requests_per_s / capacity.requests_per_s
            needed = max(1, math.ceil(share / demand.headroom - 1e-9))
        at_load = (
            replica.at_batch(demand.in_flight / needed)
            if demand.in_flight
            else replica.at_rate(demand.requests_per_s / needed)
        )
        count = needed * setup.tensor * setup.pipeline
        if demand.tricks.disaggregated:  # chips of their own for the prompts
            busy = at_load.requests_per_s * needed * replica.prefill_s / demand.headroom
            count += max(1, math.ceil(busy)) * setup.tensor * setup.pipeline
        if chips is not None and count > chips:
            least = min(least, count)
            whole = chips // (count // needed)
            carried = max(
                carried, whole * (capacity.batch if demand.in_flight else capacity.requests_per_s * demand.headroom)
            )
            continue
        found.append(
            Sized(
                setup=setup,
                replica=replica,
                replicas=needed,
                chips=count,
                at_load=at_load,
                at_capacity=capacity,
                quote=price,
                usd_per_hour=money.scaled(count, "usd_per_hour") if money else None,
            )
        )
    if not held:
        raise DoesNotFit(
            f"{shape.name} in {choice.weights.name} with a request of {tokens:,.0f} tokens does not fit on "
            f"{(chip.accelerators_per_node or 1) * _STAGES[-1]} {chip.name}; narrower weights (--quant) or a larger "
            "chip would."
        )
    if not found:
        if chips is not None and best_token is math.inf:
            wanted, what = (
                (demand.in_flight, "requests at once") if demand.in_flight else (demand.requests_per_s, "requests/s")
            )
            carry = f", only about {carried:.2g}" if carried else ""
            raise InputError(
                f"{chips} {chip.name} cannot carry {wanted:g} {what} inside the targets{carry}; take {least:,} of them, "
                "or allow more with --ttft, --tpot or --headroom."
            )
        raise InputError(
            f"no cut of {shape.name} over {chip.name} meets the targets: an unloaded one needs "
            f"{best_first * 1e3:.0f} ms to the first token and {best_token * 1e3:.1f} ms per token."
        )
    if demand.token_s is None and demand.first_s is None:  # a batch job: only the rate per chip counts
        return tuple(sorted(found, key=lambda each: -each.queued_per_chip))
    return tuple(sorted(found, key=lambda each: (each.chips, each.at_load.token.p90)))


def rank(
    shape: ModelShape,
    catalog: Catalog,
    demand: Demand,
    choice: Choice,
    *,
    plan: PricePlan = PricePlan.ON_DEMAND,
    cloud: str | None = None,
    cloud_class: CloudClass | None = None,
) -> tuple[tuple[Sized, ...], tuple[tuple[str, str], ...]]:
    """Return the best cut of every priced chip, cheapest first, and the chips left out with the reason."""
    ranked: list[Sized] = []
    left_out: list[tuple[str, str]] = []
    fit = load_serving_fit()
    for name in catalog.priced:
        chip = catalog.accelerators[name]
        if choice.engine and choice.engine.id in _NVIDIA_ONLY and chip.vendor != "NVIDIA":
            left_out.append((name, f"{choice.engine.name} does not run on it"))
            continue
        try:
            price = quote(catalog, name, plan=plan, cloud=cloud, cloud_class=cloud_class)
            ranked.append(size(shape, chip, demand, choice, price=price, fit=fit)[0])
        except FlopwiseError as error:
            left_out.append((name, str(error)))
    ranked.sort(key=lambda each: each.usd_per_hour.mid if each.usd_per_hour else math.inf)
    return tuple(ranked), tuple(left_out)
