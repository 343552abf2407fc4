"""The equations of serving: one decode step, one prefill, a closed loop of clients, all from counts and fitted rates.

Every function takes plain numbers and returns plain numbers; none branches on a value, so that `benchmarks/fits/serving.py`
can pass whole columns of measured rows (numpy arrays) through the very same code. Two limits join by a p-norm
(`joined`), which is never below the larger of them: a prediction cannot beat the roofline (Williams et al., 2009).

    decode step = joined(weight bytes / bandwidth, FLOPs / rate) + KV bytes / bandwidth + collectives + overheads
    prefill     = joined(FLOPs / rate, weight bytes / bandwidth) + attention FLOPs / rate + collectives + overheads
    closed loop : time per token = step(clients) + prefill x (clients - 1) / output tokens
                  (every prompt admitted while others decode holds them up once)

Symbols: B sequences in one replica, C tokens of context, n tokens of a prompt, W bytes, F FLOPs, E experts, k active.
"""

from __future__ import annotations

from ..frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """What one model costs in bytes and FLOPs; bytes follow the weight and KV formats, FLOPs count multiply and add.

    Sums run over all layers. "pair" is one query-key pair of one layer's attention, summed over those layers.
    """

    layers: float
    mixture_layers: float
    hidden: float
    attention_bytes: float  # projections and everything of the dense part that attention data parallelism repeats
    dense_bytes: float  # feed-forward, shared experts
    expert_bytes: float  # all routed experts
    head_bytes: float
    experts: float  # per layer, 1 where there are none
    active_experts: float
    attention_flops: float  # per token, projections
    dense_flops: float
    expert_flops: float  # per token, the active ones
    head_flops: float
    full_kv_bytes: float  # per token of context, layers that see all of it
    window_kv_bytes: float  # per token of context, layers with a window
    window_tokens: float
    state_bytes: float  # recurrent state read and written per sequence and step
    decode_pair_flops: float  # full layers; the latent form for MLA
    decode_window_pair_flops: float
    prefill_pair_flops: float
    prefill_window_pair_flops: float
    kv_shards: float  # into how many parts tensor parallelism can cut the cache (KV heads; 1 for a latent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipRates:
    """Data sheet rates of one accelerator in the formats in use, per second."""

    bandwidth: float
    linear_flops: float  # peak in the format of the matrix products
    attention_flops: float  # peak in the format of attention
    link: float  # bytes, one way, between the chips of one replica
    collective: float = 1.0  # times the fitted latency of a collective, where it was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How one replica is cut: `ways` chips share the work; attention is cut `attention_ways` and copied over the rest.

    `stages` pipeline stages multiply the chips again. `is_expert_parallel` is 1 where experts are spread whole.
    """

    ways: float
    attention_ways: float
    stages: float
    is_expert_parallel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What was fitted: fractions of the data sheet and overheads in seconds (see data/efficiency/serving.yaml)."""

    weight_bandwidth: float  # fraction of bandwidth when weights stream
    decode_compute: float  # fraction of peak, decode products
    prefill_compute: float  # fraction of peak, prefill products
    kv_bandwidth: float  # fraction of bandwidth when the cache streams
    attention_compute: float  # fraction of peak, attention
    expert_compute: float  # times the fractions above for routed experts
    expert_bandwidth: float
    layer_s: float  # per layer and step
    mixture_layer_s: float  # more per layer with experts
    step_s: float  # per step
    sequence_s: float  # per sequence and step: sampling, scheduling, detokenising
    prefill_s: float  # per prompt
    collective_s: float  # latency of one collective
    link_fraction: float
    interference: float  # share of prefill work that holds decode up
    norm: float = 3.0  # p of the p-norm


def joined(first: float, second: float, p: float) -> float:
    """Return the p-norm of two times: the larger when they differ, up to 2**(1/p) more where they are equal."""
    norm: float = (first**p + second**p) ** (1.0 / p)
    return norm


def smaller(first: float, second: float) -> float:
    """Return the minimum, also of arrays."""
    return (first + second - abs(first - second)) / 2.0


def larger(first: float, second: float) -> float:
    """Return the maximum, also of arrays."""
    return (first + second + abs(first - second)) / 2.0


def touched_experts(experts: float, active: float, tokens: float) -> float:
    """Return how many of E experts at least one of the tokens visits, k each, if they choose evenly.

    E (1 - (1 - k/E)^tokens): all of a small set at once, few of many at batch 1.
    """
    missed: float = larger(1.0 - active / experts, 1e-9) ** tokens
    return experts * (1.0 - missed)


def collective_time_s(tokens: float, model: ModelCounts, group: Group, chip: ChipRates, rates: Rates) -> float:
    """Return the seconds of the two collectives per layer over a group (ring: 2 (n-1)/n of the data each way)."""
    is_cut = smaller(group.ways - 1.0, 1.0)
    # with attention data parallelism only experts communicate: dispatch and combine
    payload = tokens * model.hidden * 2.0 * 2.0 * (group.ways - 1.0) / group.ways
    return (
        is_cut
        * 2.0
        * model.layers
        * (chip.collective * rates.collective_s + payload / (chip.link * rates.link_fraction))
    )


def attention_read_bytes(sequences: float, context: float, model: ModelCounts) -> float:
    """Return the cache bytes that one step reads for all sequences, before any cut."""
    seen = smaller(context, model.window_tokens)
    return sequences * (context * model.full_kv_bytes + seen * model.window_kv_bytes + model.state_bytes)


def decode_step_s(
    sequences: float, context: float, model: ModelCounts, chip: ChipRates, group: Group, rates: Rates
) -> float:
    """Return the seconds of one step that makes one token for each of `sequences` at mean `context`."""
    copies = group.ways / group.attention_ways  # attention data-parallel ranks
    own = larger(sequences / copies, 1.0)  # a rank without work still waits for one
    weight_rate = chip.bandwidth * rates.weight_bandwidth
    flop_rate = chip.linear_flops * rates.decode_compute
    attention_part = joined(
        model.attention_bytes / group.attention_ways / weight_rate,
        own * model.attention_flops / group.attention_ways / flop_rate,
        rates.norm,
    )
    dense_part = joined(
        (model.dense_bytes + model.head_bytes) / group.ways / weight_rate,
        sequences * (model.dense_flops + model.head_flops) / group.ways / flop_rate,
        rates.norm,
    )
    share = touched_experts(model.experts, model.active_experts, sequences) / model.experts
    expert_part = joined(
        model.expert_bytes * share / group.ways / (weight_rate * rates.expert_bandwidth),
        sequences * model.expert_flops / group.ways / (flop_rate * rates.expert_compute),
        rates.norm,
    )
    shards = smaller(group.attention_ways, model.kv_shards)
    seen = smaller(context, model.window_tokens)
    cache_part = joined(
        attention_read_bytes(own, context, model) / shards / (chip.bandwidth * rates.kv_bandwidth),
        own
        * (context * model.decode_pair_flops + seen * model.decode_window_pair_flops)
        / group.attention_ways
        / (chip.attention_flops * rates.attention_compute),
        rates.norm,
    )
    return (
        attention_part
        + dense_part
        + expert_part
        + cache_part
        + collective_time_s(sequences, model, group, chip, rates)
        + model.layers * rates.layer_s
        + model.mixture_layers * rates.mixture_layer_s
        + rates.step_s
        + sequences * rates.sequence_s
        + (group.stages - 1.0) * chip.collective * rates.collective_s
    )


def prefill_s(prompts: float, prompt: float, model: ModelCounts, chip: ChipRates, group: Group, rates: Rates) -> float:
    """Return the seconds to read `prompts` prompts of `prompt` tokens in one pass over the group."""
    tokens = prompts * prompt
    copies = group.ways / group.attention_ways
    own = larger(prompts / copies, 1.0)
    flop_rate = chip.linear_flops * rates.prefill_compute
    weight_rate = chip.bandwidth * rates.weight_bandwidth
    dense = joined(
        own * prompt * model.attention_flops / group.attention_ways / flop_rate
        + (tokens * model.dense_flops + prompts * model.head_flops) / group.ways / flop_rate,
        (model.attention_bytes / group.attention_ways + (model.dense_bytes + model.head_bytes) / group.ways)
        / weight_rate,
        rates.norm,
    )
    share = touched_experts(model.experts, model.active_experts, tokens) / model.experts
    experts = joined(
        tokens * model.expert_flops / group.ways / (flop_rate * rates.expert_compute),
        model.expert_bytes * share / group.ways / (weight_rate * rates.expert_bandwidth),
        rates.norm,
    )
    seen = smaller(prompt, model.window_tokens)
    pairs = prompt * prompt / 2.0
    window_pairs = prompt * seen - seen * seen / 2.0
    attention = (
        own
        * (pairs * model.prefill_pair_flops + window_pairs * model.prefill_window_pair_flops)
        / group.attention_ways
        / (chip.attention_flops * rates.attention_compute)
    )
    return (
        dense
        + experts
        + attention
        + collective_time_s(tokens, model, group, chip, rates)
        + model.layers * rates.layer_s
        + model.mixture_layers * rates.mixture_layer_s
        + rates.step_s
        + prompts * rates.prefill_s
    )
