"""What a load makes of steps and prefills: a static batch, everything queued, a closed loop, a latency limit.

As in `equations.py` every function takes numbers or whole columns of them. `Work` says what is asked of one replica.

    static       B prompts together, then B tokens per step
    queued       more requests than fit: B stays at what the cache holds (vLLM, Orca: continuous batching)
    closed loop  N clients, each sends its next request when the last one is answered (InferenceX, genai-perf)
    limited      the largest batch whose time per token stays under a limit (MLPerf server and interactive)
"""

from __future__ import annotations

from ..frozen import dataclass
from .equations import ChipRates, Group, ModelCounts, Rates, decode_step_s, larger, prefill_s, smaller
from .setup import LoadRates

_HALVINGS = 16
_EDGE = 6.0  # sharpness of the joint limit of latency and capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one replica is given. `room` is how many sequences of this length its cache holds."""

    prompt: float
    output: float
    batch: float = 1.0  # static batch, or clients of the closed loop
    cap: float = 1e9  # most sequences that the engine admits
    room: float = 1e9
    depth: float = 0.0  # tokens already cached before the prompt
    limit_s: float = 1.0  # on the mean time per token
    beams: float = 1.0
    excess: float = 0.0  # 1 where one request more than slots is in flight
    chunk: float = 1e9  # tokens of a prompt that go through the pipeline at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Of one replica: output tokens per second, seconds per token, seconds to the first token, batch in the step."""

    output_per_s: float
    token_s: float
    first_token_s: float
    batch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Counts, data sheet, cut and fitted rates of one replica: the arguments that every equation takes."""

    model: ModelCounts
    chip: ChipRates
    group: Group
    rates: Rates
    loads: LoadRates

    def step_s(self, sequences: float, context: float) -> float:
        """Seconds until each of `sequences` has one more token; pipeline stages work on their shares in turn."""
        own = larger(sequences / self.group.stages, 1.0)
        return decode_step_s(own, context, self.model, self.chip, self.group, self.rates)

    def prompt_s(self, prompts: float, tokens: float) -> float:
        """Seconds from the start of prompts of `tokens` tokens to their first tokens, alone on the replica."""
        return prefill_s(prompts, larger(tokens, 1.0), self.model, self.chip, self.group, self.rates)


def prompt_rate_per_s(machine: Machine, work: Work) -> float:
    """Return prompt tokens per second of one prompt behind `depth` cached tokens.

    With several pipeline stages and a prompt of m chunks, stages overlap: (m + stages - 1) / (m stages) of the time,
    to a fitted power.
    """
    seconds = machine.prompt_s(1.0, work.prompt) + (
        work.prompt
        * work.depth
        * machine.model.prefill_pair_flops
        / machine.group.attention_ways
        / (machine.chip.attention_flops * machine.rates.attention_compute)
    )
    chunks = larger(work.prompt / work.chunk, 1.0)
    stages = machine.group.stages
    share = (chunks + stages - 1.0) / (chunks * stages)
    overlapped: float = share**machine.loads.pipelining
    return work.prompt / (seconds * overlapped)


def static(machine: Machine, work: Work) -> Speeds:
    """Return the decode rate of a static batch; the first token waits for all prompts of the batch."""
    step = machine.step_s(work.batch, work.prompt + work.output / 2.0)
    return Speeds(
        output_per_s=work.batch / step,
        token_s=step,
        first_token_s=machine.prompt_s(work.batch, work.prompt),
        batch=work.batch,
    )


def static_whole(machine: Machine, work: Work) -> Speeds:
    """Return the rate of a static batch with the prompts' time counted in."""
    speeds = static(machine, work)
    seconds = speeds.first_token_s + (work.output - 1.0) * speeds.token_s
    return Speeds(
        output_per_s=work.batch * work.output / seconds,
        token_s=speeds.token_s,
        first_token_s=speeds.first_token_s,
        batch=work.batch,
    )


def queued(machine: Machine, work: Work) -> Speeds:
    """Return the rate with requests always waiting: the batch is what the cache or the engine's cap allows.

    Each token costs its share of the step and of its request's prefill.
    """
    batch = larger(smaller(work.cap, work.room * machine.loads.occupancy), 1.0)
    step = machine.step_s(batch * work.beams, work.prompt + work.output / 2.0)
    prompt = machine.prompt_s(1.0, work.prompt)
    per_token = step / batch + prompt / machine.group.stages * machine.rates.interference / work.output
    return Speeds(
        output_per_s=1.0 / per_token, token_s=per_token * batch, first_token_s=prompt + per_token * batch, batch=batch
    )


def burst(machine: Machine, work: Work) -> Speeds:
    """Return the rate of `batch` requests sent at once and served in equal waves that fit the cache."""
    waves = larger(work.batch / larger(work.room, 1.0), 1.0)
    batch = work.batch / waves
    step = machine.step_s(batch, work.prompt + work.output / 2.0)
    prompts = batch * machine.prompt_s(1.0, work.prompt)
    return Speeds(
        output_per_s=batch * work.output / (prompts + work.output * step),
        token_s=step,
        first_token_s=prompts / 2.0,
        batch=batch,
    )


def token_time_s(machine: Machine, work: Work, batch: float) -> float:
    """Return the mean seconds per token with `batch` sequences decoding and their successors' prompts in between."""
    step = machine.step_s(batch, work.prompt + work.output / 2.0)
    prompt = machine.prompt_s(1.0, work.prompt)
    return step + machine.rates.interference * prompt / machine.group.stages * (batch - 1.0) / work.output


def closed_loop(machine: Machine, work: Work) -> Speeds:
    """Return the speeds that `batch` clients see, each sending its next request when the last is answered."""
    batch = larger(smaller(work.batch, larger(work.room, 1.0)), 1.0)
    token = token_time_s(machine, work, batch)
    prompt = machine.prompt_s(1.0, work.prompt)
    whole = prompt + work.output * token
    busy = smaller(batch * prompt / whole, 0.98)
    loads = machine.loads
    first = (
        prompt * (1.0 + loads.queue * busy)
        + loads.wait_steps * token
        + loads.burst * batch * prompt
        + work.excess * loads.excess * whole / batch
    )
    return Speeds(output_per_s=batch * work.output / whole, token_s=token, first_token_s=first, batch=batch)


def limited(machine: Machine, work: Work) -> Speeds:
    """Return the most that one replica serves with the mean time per token under its share of `limit_s`.

    The batch is found by halving in its logarithm; the rate joins with the share of the queued rate that random
    arrivals can use.
    """
    most = queued(machine, work)
    target = work.limit_s * machine.loads.limit_share
    low, high = work.prompt * 0.0 + 1.0, most.batch
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        over = 1.0 * (token_time_s(machine, work, middle) > target)
        high = over * middle + (1.0 - over) * high
        low = over * low + (1.0 - over) * middle
    batch = (low * high) ** 0.5
    token = token_time_s(machine, work, batch)
    fast = batch / token
    fair = most.output_per_s * machine.loads.server_share
    prompt = machine.prompt_s(1.0, work.prompt)
    busy = smaller(batch * prompt / (work.output * token), 0.95)
    loads = machine.loads
    return Speeds(
        output_per_s=(fast**-_EDGE + fair**-_EDGE) ** (-1.0 / _EDGE),
        token_s=token,
        first_token_s=prompt * (1.0 + loads.queue * busy / 2.0) + loads.wait_steps * token,
        batch=batch,
    )
