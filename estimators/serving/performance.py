"""What one replica does under a load: rates, latencies with percentiles, and the largest load inside the targets.

With Poisson arrivals at rate r a replica holds N = r (first token + output x time per token) requests (Little's law);
N follows from the closed-loop time per token by halving. Percentiles take the number in the batch as Poisson (its
normal quantiles) and the wait for prefill as that of an M/G/1 queue (Pollaczek-Khinchine mean, exponential tail):

    wait = rho T (1 + c^2) / (2 (1 - rho)),   rho = r T,   T prefill seconds, c^2 their squared variation

Speculative decoding: k drafts, each accepted with probability a, give (1 - a**(k+1)) / (1 - a) tokens per step
(arXiv:2211.17192, equation 1); a step checks k + 1 tokens per sequence. A cached share of the prompt costs attention
only. Disaggregated: prompts run on chips of their own, so decoding is not held up.
"""

from __future__ import annotations

import math

from ..errors import InputError
from ..facts.serving_fit import ServingFit
from ..frozen import dataclass, replace
from .equations import attention_read_bytes, decode_step_s
from .loops import Machine, Work, queued
from .memory import room_sequences
from .setup import Setup, chip_rates, rates_of

_P90, _P99 = 1.2816, 2.3263  # standard normal quantiles
_HALVINGS = 34
_FULLEST = 0.97  # of the prefill time that a queue can take


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What requests look like. `cached_share` of the prompt is found in the prefix cache."""

    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0
    arrival_spread: float = 1.0  # squared variation of prefill times


@dataclass(frozen=True, slots=True, kw_only=True)
class Tricks:
    """Options of the engine: speculative decoding, prompts on chips of their own."""

    draft_tokens: int = 0
    acceptance: float = 0.0
    draft_share: float = 0.0
    disaggregated: bool = False

    @property
    def tokens_per_step(self) -> float:
        """Tokens that one step gives each sequence."""
        if not self.draft_tokens:
            return 1.0
        a, k = min(self.acceptance, 0.9999), self.draft_tokens
        return (1.0 - a ** (k + 1)) / (1.0 - a)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Mean, median, 90th and 99th percentile in seconds."""

    mean: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """One replica at one load."""

    requests_per_s: float
    batch: float
    token: Latency
    first: Latency
    prefill_s: float
    step_s: float
    prefill_busy: float  # share of time that prompts take
    cache_full: float  # share of the cache in use
    binding: str

    def output_tokens_per_s(self, traffic: Traffic) -> float:
        """Output tokens per second of the replica."""
        return self.requests_per_s * traffic.output_tokens


class Replica:
    """A setup made ready: counts, rates and room are looked up once, then any load can be asked."""

    def __init__(self, setup: Setup, fit: ServingFit, traffic: Traffic, tricks: Tricks | None = None) -> None:
        self.setup, self.fit, self.traffic, self.tricks = setup, fit, traffic, tricks or Tricks()
        rates, loads = rates_of(setup, fit)
        if self.tricks.disaggregated:
            rates = replace(rates, interference=0.0)
        self.machine = Machine(
            model=setup.counts(), chip=chip_rates(setup), group=setup.group(), rates=rates, loads=loads
        )
        self.room = room_sequences(setup, traffic.input_tokens + traffic.output_tokens)
        self.context = traffic.input_tokens + traffic.output_tokens / 2
        self.prefill_s = self._prefill_s()

    def _prefill_s(self) -> float:
        whole, cached = self.traffic.input_tokens, self.traffic.input_tokens * self.traffic.cached_share
        fresh = max(1.0, whole - cached)
        machine = self.machine
        seconds = machine.prompt_s(1.0, fresh)
        extra = fresh * cached * machine.model.prefill_pair_flops / machine.group.attention_ways
        return seconds + extra / (machine.chip.attention_flops * machine.rates.attention_compute)

    @property
    def most(self) -> float:
        """The largest batch that cache and engine allow."""
        cap = self.setup.engine.batch * float(self.setup.attention_copies)
        return max(1.0, min(cap, self.room * self.machine.loads.occupancy))

    def step_s(self, batch: float) -> float:
        """Seconds per token of each sequence with `batch` sequences, prompts not counted."""
        machine, tricks = self.machine, self.tricks
        own = max(1.0, batch / machine.group.stages)
        if not tricks.draft_tokens:
            return decode_step_s(own, self.context, machine.model, machine.chip, machine.group, machine.rates)
        checked = tricks.draft_tokens + 1
        # k + 1 tokens per sequence share one read of its cache: the same bytes as so many sequences of shorter context
        verify = decode_step_s(
            own * checked, self.context / checked, machine.model, machine.chip, machine.group, machine.rates
        )
        plain = decode_step_s(own, self.context, machine.model, machine.chip, machine.group, machine.rates)
        drafts = tricks.draft_tokens * tricks.draft_share * plain
        return (verify + drafts) / tricks.tokens_per_step

    def token_s(self, batch: float) -> float:
        """Mean seconds per output token at `batch`, prompts of others included."""
        held = self.machine.rates.interference * self.prefill_s / self.machine.group.stages
        return self.step_s(batch) + held * max(0.0, batch - 1.0) / self.traffic.output_tokens

    def rate_at(self, batch: float) -> float:
        """Requests per second that keep `batch` sequences in flight."""
        return batch / (self.prefill_s + self.traffic.output_tokens * self.token_s(batch))

    def batch_at(self, requests_per_s: float) -> float:
        """The batch that a rate of arrivals settles at; infinite where the replica cannot keep up."""
        if self.rate_at(self.most) < requests_per_s:
            return math.inf
        low, high = 1e-6, self.most
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            if self.rate_at(middle) < requests_per_s:
                low = middle
            else:
                high = middle
        return high

    def at_batch(self, batch: float, requests_per_s: float | None = None) -> Performance:
        """Return the performance with `batch` sequences in flight on average."""
        rate = self.rate_at(batch) if requests_per_s is None else requests_per_s
        tail = math.sqrt(max(batch, 1.0))
        most = self.most
        busy = min(_FULLEST, rate * self.prefill_s / self.machine.group.stages)
        loads = self.machine.loads
        mean_token = self.token_s(max(1.0, batch))
        p90_token = self.token_s(max(1.0, min(most, batch + _P90 * tail)))
        p99_token = self.token_s(max(1.0, min(most, batch + _P99 * tail)))
        wait = busy * self.prefill_s * (1.0 + self.traffic.arrival_spread) / (2.0 * (1.0 - busy))
        base = self.prefill_s + loads.wait_steps * self.step_s(max(1.0, batch))
        # P(wait > t) = busy exp(-t busy / wait)
        scale = wait / busy if busy > 1e-9 else 0.0

        def wait_at(share: float) -> float:
            return max(0.0, scale * math.log(busy / share)) if busy > share else 0.0

        first = Latency(mean=base + wait, p50=base + wait_at(0.5), p90=base + wait_at(0.1), p99=base + wait_at(0.01))
        token = Latency(mean=mean_token, p50=mean_token, p90=p90_token, p99=p99_token)
        return Performance(
            requests_per_s=rate,
            batch=batch,
            token=token,
            first=first,
            prefill_s=self.prefill_s,
            step_s=self.step_s(max(1.0, batch)),
            prefill_busy=busy,
            cache_full=min(1.0, batch / self.room) if self.room else 1.0,
            binding=self.binding(max(1.0, batch)),
        )

    def at_rate(self, requests_per_s: float) -> Performance:
        """Return the performance at a rate of arrivals.

        Raises:
            InputError: the replica cannot keep up.
        """
        batch = self.batch_at(requests_per_s)
        if math.isinf(batch):
            raise InputError(
                f"one replica serves at most {self.rate_at(self.most):.3g} requests/s, not {requests_per_s:.3g}."
            )
        return self.at_batch(batch, requests_per_s)

    def capacity(self, token_s: float | None, first_s: float | None) -> Performance | None:
        """Return the performance at the largest load whose 90th percentiles meet the targets; None where none does."""

        def fine(batch: float) -> bool:
            found = self.at_batch(batch)
            return (token_s is None or found.token.p90 <= token_s) and (first_s is None or found.first.p90 <= first_s)

        if self.room < 1 or not fine(1e-6):
            return None
        most = self.most
        # Poisson arrivals need slack below the most that fits
        high = max(1e-6, most - _P90 * math.sqrt(most)) if most > 4 else most
        low = 1e-6
        if not fine(high):
            for _ in range(_HALVINGS):
                middle = math.sqrt(low * high)
                if fine(middle):
                    low = middle
                else:
                    high = middle
            high = low
        return self.at_batch(high)

    def queued_output_per_s(self) -> float:
        """Output tokens per second of the replica with requests always waiting."""
        work = Work(
            prompt=self.traffic.input_tokens * (1.0 - self.traffic.cached_share),
            output=self.traffic.output_tokens,
            cap=self.setup.engine.batch * float(self.setup.attention_copies),
            room=self.room,
        )
        return queued(self.machine, work).output_per_s

    def binding(self, batch: float) -> str:
        """Say what most of a token's time goes to."""
        machine = self.machine
        m, g, c, r = machine.model, machine.group, machine.chip, machine.rates
        own = max(1.0, batch / g.stages)
        bandwidth = c.bandwidth * r.weight_bandwidth
        share = 1.0 - (1.0 - m.active_experts / m.experts) ** own if m.experts > 1 else 1.0
        weights = (m.attention_bytes + m.dense_bytes + m.head_bytes + m.expert_bytes * share) / g.ways / bandwidth
        flops = own * (m.attention_flops + m.dense_flops + m.head_flops + m.expert_flops) / g.ways
        cache = attention_read_bytes(own, self.context, m) / min(g.attention_ways, m.kv_shards)
        parts = {
            "reading the weights": weights,
            "matrix products of decoding": flops / (c.linear_flops * r.decode_compute),
            "reading the cache": cache / (c.bandwidth * r.kv_bandwidth),
            "prompts of other requests": self.token_s(batch) - self.step_s(batch),
            "overheads of the engine": r.step_s + m.layers * r.layer_s + batch * r.sequence_s,
            "messages between chips": min(g.ways - 1.0, 1.0) * 2.0 * m.layers * c.collective * r.collective_s,
        }
        return max(parts, key=lambda name: parts[name])
