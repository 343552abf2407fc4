"""From one job to the time of its optimizer step: the parts, and the formula that combines them.

`parts_from` counts what a step needs at the fitted surfaces, before any software has touched it: work per micro-batch of
the fullest pipeline stage, gathers and reductions of sharded states, the optimizer's memory traffic. `combine` applies
the factors of a software profile (data/efficiency/software.yaml) and the schedule:

    ZeRO-3  = each pass waits for the slower of its compute and its gathers
    stage   = forward + backward + recompute: the larger of device time and host time (a smooth maximum)
    T       = n t_stage + (pp - 1)/v t_stage           1F1B and interleaving (arXiv:2104.04473, section 2.2)
            + exposed gradient reduction and parameter gathers + optimizer + fixed time
    step    = T (1 + sigma log2 nodes)                 waiting for the slowest rank

The formula uses arithmetic only, so that the fit runs the same lines over arrays of all measured rows.
"""

from __future__ import annotations

import math
from typing import Any

from ..facts.surfaces import Collective
from ..frozen import dataclass, field
from ..models.operators import Cut, Group, Operator, OperatorKind
from ..models.shape import ModelShape
from ..training.layout import Optimizer, Recompute, Zero
from .chip import Chip
from .links import collective_seconds, transfer_seconds
from .work import Cutting, Work, layer_work

WORK = Work.__match_args__  # the names of its fields; `dataclasses.fields` would cost 2 ms at the start
_P = 4  # power of the smooth maximum of compute and gathers: they hinder each other near balance
_HOST_BYTES_PER_S = 20e9  # an optimizer in host memory: its update and both ways over PCIe; a guess
_Q = 4  # of device and host: the queue between them hides all but the last launches
# Passes of the optimizer in bytes per parameter it owns: Adam reads and writes fp32 master, two moments, reads the
# gradient (also for the norm), writes the 16-bit copy.
_OPTIMIZER_BYTES = {
    Optimizer.ADAMW: 34.0,
    Optimizer.ADAMW_8BIT: 18.0,
    Optimizer.ADAFACTOR: 18.0,
    Optimizer.SGD: 26.0,
    Optimizer.LION: 26.0,
    Optimizer.MUON: 34.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job with nothing left open. `low` is the format of the layers' products, "" for 16 bit."""

    shape: ModelShape
    chip: Chip
    accelerators: int
    sequence_tokens: int
    micro_batch: int = 1
    micro_batches: int = 1  # per pipeline and step
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    interleave: int = 1
    zero: Zero = Zero.NONE
    zero_ranks: int | None = None
    sequence_parallel: bool = False
    recompute: Recompute = Recompute.NONE
    flash: bool = True
    low: str = ""
    optimizer: Optimizer = Optimizer.ADAMW
    gradient_bytes: float = 4.0
    trained_share: float = 1.0  # of the parameters (LoRA: what the adapters are)
    frozen_bytes: float = 2.0  # per frozen weight
    expand_bytes: float = 5.0  # traffic of expanding one quantised weight: fused 5, operator by operator (GPTQ) 30
    adapter_rank: int = 0
    offload: bool = False
    adapter_targets: tuple[str, ...] = ()
    hooked: bool = False  # DeepSpeed ZeRO-3
    ring_unbalanced: bool = False  # context parallelism that does not balance the causal mask

    @property
    def dp(self) -> int:
        """Data-parallel replicas."""
        return max(1, self.accelerators // (self.tp * self.pp * self.cp))


@dataclass(slots=True)
class States:
    """Seconds that sharded states cost one rank, at the fitted surfaces; `_n` is time across the network."""

    gather: float = 0.0  # ZeRO-3: all parameters of the rank, once
    gather_n: float = 0.0
    scatter: float = 0.0  # ZeRO-3: all gradients, once
    scatter_n: float = 0.0
    reduce: float = 0.0  # once per step
    reduce_n: float = 0.0
    renew: float = 0.0  # ZeRO-1 and 2: gather of renewed parameters, once per step
    renew_n: float = 0.0
    optimizer: float = 0.0
    offload: float = 0.0
    log_nodes: float = 0.0


@dataclass(slots=True)
class Parts:
    """What one step needs. `body` is the work of the layers of the fullest stage, `ends` of embedding, head and loss."""

    body: Work = field(default_factory=Work)
    ends: Work = field(default_factory=Work)
    states: States = field(default_factory=States)
    again_matrix: float = 0.0  # share of the forward pass run again in backward, by kind
    again_attention: float = 0.0
    again_traffic: float = 0.0
    again_tensor: float = 0.0
    micro_batches: float = 1.0
    fill: float = 0.0  # (pp - 1) / v
    boundary: float = 0.0  # seconds of one transfer between stages inside a domain
    boundary_n: float = 0.0  # across the network
    boundaries: float = 0.0  # transfers per micro-batch and rank
    log_tp: float = 0.0


@dataclass(slots=True)
class Factors:
    """What software and circumstance do to the parts; 1 leaves a part as measured alone."""

    matrix: Any = 1.0
    low: Any = 1.0
    experts: Any = 1.0
    convert: Any = 1.0
    attention: Any = 1.0
    attention_b: Any = 1.0
    traffic: Any = 1.0
    scores: Any = 1.0
    routing: Any = 1.0
    launch_s: Any = 3e-6  # host seconds per kernel
    hook_s: Any = 2e-3  # host seconds per layer and pass under DeepSpeed ZeRO-3
    call_s: Any = 10e-6  # host seconds per collective
    tensor: Any = 1.0  # exposed share x slowdown of tensor-parallel collectives
    sync_s: Any = 5e-6  # waiting of tensor ranks for each other, per collective and doubling of the group
    cover: Any = 1.0  # share of the column weight gradients that hides the backward all-reduce
    expert: Any = 1.0
    context: Any = 0.3
    network: Any = 1.25
    fill: Any = 1.0
    boundary: Any = 1.0
    reduce: Any = 1.0  # exposed share of the gradient reduction and the gather of renewed parameters
    window: Any = 0.5  # share of a pass behind which reductions hide
    gather: Any = 1.0
    contention: Any = 0.2  # of the gathers' time lost to compute that shares units and memory with them
    optimizer: Any = 1.0
    fixed_s: Any = 0.0
    straggle: Any = 0.01
    overhead: Any = 1.0  # on everything of the device


def combine(p: Any, f: Any) -> Any:
    """Return the seconds of the step and its parts (step, stages, bubble, reduction, optimizer, waiting)."""
    return schedule(stage_seconds(p.body, p, f), stage_seconds(p.ends, p, f), 1.0, p, p.states, f)


def schedule(body: Any, ends: Any, share: Any, p: Any, s: Any, f: Any) -> Any:
    """Return what `combine` does from the seconds of one micro-batch's layers and ends.

    `body` and `ends` are (device forward, device backward, host); the fullest stage has `share` of the body. The host
    runs ahead of the device over whole passes, so that only their totals race.
    """
    gather = f.gather * _larger(s.gather, f.network * s.gather_n)
    scatter = f.gather * _larger(s.scatter, f.network * s.scatter_n)
    forward = _larger(share * body[0] + ends[0], gather) + f.contention * gather
    backward = _larger(share * body[1] + ends[1], gather + scatter) + f.contention * (gather + scatter)
    transfer = f.boundary * p.boundaries * _larger(p.boundary, f.network * p.boundary_n)
    stage = _race(forward + backward, share * body[2] + ends[2]) + transfer
    # The fill is paid by plain stages; the heaviest one paces the steady state.
    bubble = f.fill * p.fill * (share * _race(body[0] + body[1], body[2]) + transfer)
    # Reduction hides behind the backward pass of the last micro-batch, the gather of renewed weights behind the first
    # forward pass.
    window_b, window_f = f.window * backward, f.window * forward
    reduce = f.reduce * _larger(s.reduce, f.network * s.reduce_n)
    renew = f.reduce * _larger(s.renew, f.network * s.renew_n)
    reduce = (reduce**2 + window_b**2) ** 0.5 - window_b + (renew**2 + window_f**2) ** 0.5 - window_f
    optimizer = f.optimizer * s.optimizer + s.offload
    busy = p.micro_batches * stage + bubble + reduce + optimizer + f.fixed_s
    straggle = busy * f.straggle * s.log_nodes
    return busy + straggle, p.micro_batches * stage, bubble, reduce, optimizer, straggle


def _race(device: Any, host: Any) -> Any:
    return (device**_Q + host**_Q) ** (1 / _Q)


def _larger(a: Any, b: Any) -> Any:
    return (a**_P + b**_P) ** (1 / _P)


def stage_seconds(w: Any, p: Any, f: Any) -> tuple[Any, Any, Any]:
    """Return the seconds of one micro-batch's work: device forward, device backward with what is run again, host.

    Homogeneous in the work: half the layers take half the time.
    """
    products_f = f.matrix * w.matrix_f + f.low * w.low_f + f.experts * w.experts_f + f.convert * w.convert_f
    products_b = f.matrix * w.matrix_b + f.low * w.low_b + f.experts * w.experts_b + f.convert * w.convert_b
    attention_f, attention_b = f.attention * w.attention_f, f.attention * f.attention_b * w.attention_b
    scores_f, scores_b = f.scores * w.scores_f, f.scores * w.scores_b
    traffic_f = f.traffic * w.traffic_f + f.routing * w.routing_f
    traffic_b = f.traffic * w.traffic_b + f.routing * w.routing_b
    wait = f.sync_s * p.log_tp
    moved_f = f.tensor * _larger(w.tensor_f, f.network * w.tensor_nf) + wait * w.calls_f
    moved_b = f.tensor * _larger(w.tensor_b, f.network * w.tensor_nb) + wait * w.calls_b
    cover = f.cover * w.cover_b
    moved_b = (moved_b**2 + cover**2) ** 0.5 - cover
    sent_f = f.expert * _larger(w.expert_f, f.network * w.expert_nf)
    sent_b = f.expert * _larger(w.expert_b, f.network * w.expert_nb)
    ring_f = f.context * _larger(w.context_f, f.network * w.context_nf)
    ring_b = f.context * _larger(w.context_b, f.network * w.context_nb)
    device_f = f.overhead * (products_f + attention_f + scores_f + traffic_f) + moved_f + sent_f + ring_f
    again = f.overhead * (
        p.again_matrix * products_f + p.again_attention * (attention_f + scores_f) + p.again_traffic * traffic_f
    ) + p.again_tensor * (moved_f + sent_f + ring_f)
    device_b = f.overhead * (products_b + attention_b + scores_b + traffic_b) + moved_b + sent_b + ring_b + again
    host_f = f.launch_s * w.kernels_f + f.call_s * w.calls_f + f.hook_s * w.hooks
    host_b = f.launch_s * (w.kernels_b + p.again_traffic * w.kernels_f) + f.hook_s * (1.0 + p.again_matrix) * w.hooks
    host_b = host_b + f.call_s * (w.calls_b + p.again_tensor * w.calls_f)
    return device_f, device_b, host_f + host_b


_AGAIN = {
    # Shares of the forward pass run again: products, attention, elementwise, collectives.
    Recompute.NONE: (0.0, 0.0, 0.0, 0.0),
    Recompute.SELECTIVE: (0.0, 1.0, 0.5, 0.0),
    Recompute.PRODUCTS: (0.5, 0.0, 1.0, 0.5),
    Recompute.FULL: (1.0, 1.0, 1.0, 1.0),
}


def parts_from(job: Job, operators: tuple[Operator, ...]) -> Parts:
    """Return the parts, given the operators of one micro-batch."""
    body, ends = work_of(job, operators)
    share = stage_share(job.shape.layers, job.pp)
    for name in WORK:
        setattr(body, name, getattr(body, name) * share)
    parts = Parts(body=body, ends=ends, states=states_of(job, state_counts(operators)))
    set_again(parts, job)
    parts.micro_batches = float(job.micro_batches)
    parts.fill = (job.pp - 1) / job.interleave
    parts.log_tp = math.log2(job.tp)
    set_pipeline(parts, job)
    return parts


def stage_share(layers: int, pp: int) -> float:
    """Return the share of all layers that the fullest of `pp` stages holds."""
    return -(-layers // pp) / layers


def set_again(parts: Parts, job: Job) -> None:
    """Fill in what backward runs again; with a fused kernel, selective recomputation has only elementwise work left."""
    again = _AGAIN[job.recompute]
    if job.recompute is Recompute.SELECTIVE and job.flash:
        again = (0.0, 0.0, 0.5, 0.0)
    parts.again_matrix, parts.again_attention, parts.again_traffic, parts.again_tensor = again


def work_of(job: Job, operators: tuple[Operator, ...]) -> tuple[Work, Work]:
    """Return the work of all layers and of the ends for one micro-batch on one tensor, context and expert rank."""
    chip = job.chip
    active = max((x.mixture.active for stack in job.shape.stacks for _, x in stack.runs if x.mixture), default=1)
    cut = Cutting(
        tp=job.tp,
        cp=job.cp,
        ep=job.ep,
        sequence_parallel=job.sequence_parallel,
        low=job.low if job.low in chip.matrices else "",
        flash=job.flash,
        frozen=job.trained_share < 1,
        active=active,
    )
    inside = [op for op in operators if op.run >= 0]
    body = layer_work(chip, inside, cut)
    ends = layer_work(chip, [op for op in operators if op.run < 0], cut)
    if job.adapter_rank:
        # Two thin products beside each adapted matrix, forward, for the input's gradient and for both factors.
        rows = job.sequence_tokens * job.micro_batch / job.cp
        products = sum(op.repeats * op.matrices for op in inside if _is_adapted(op, job.adapter_targets))
        traffic = products * 4.0 * 2.0 * rows * job.shape.hidden / chip.memory_bytes_per_s / job.tp
        body.traffic_f += 0.5 * traffic
        body.traffic_b += 1.0 * traffic
        body.kernels_f += 4.0 * products
        body.kernels_b += 8.0 * products
    if job.hooked:
        body.hooks = float(job.shape.layers)
    if job.frozen_bytes < 2 and job.trained_share < 1:
        # Quantised frozen weights are expanded to 16 bits before every product, forward and backward.
        weights = sum(op.weight_params * op.repeats for op in inside) / job.tp
        expand_s = weights * job.expand_bytes / chip.memory_bytes_per_s
        body.convert_f += expand_s
        body.convert_b += expand_s
    if job.ring_unbalanced and job.cp > 1:
        # Without reordering, the causal mask leaves the last rank of the ring nearly full blocks: it paces the others.
        body.attention_f *= 2.0 - 1.0 / job.cp
        body.attention_b *= 2.0 - 1.0 / job.cp
    return body, ends


def _is_adapted(op: Operator, targets: tuple[str, ...]) -> bool:
    """Whether adapters stand beside this product."""
    if op.kind is not OperatorKind.MATMUL:
        return False
    is_attention = op.group in (Group.ATTENTION, Group.CROSS_ATTENTION)
    return "all" in targets or ("attention" in targets and is_attention) or ("mlp" in targets and not is_attention)


def set_pipeline(parts: Parts, job: Job) -> None:
    """Fill in the transfers between stages: activations of a micro-batch, to the next group of ranks."""
    if job.pp == 1:
        return
    chip = job.chip
    message = 2.0 * job.micro_batch * job.sequence_tokens / job.cp * job.shape.hidden
    message /= job.tp if job.sequence_parallel else 1.0
    if job.tp * job.cp * job.dp >= chip.domain:
        parts.boundary_n = transfer_seconds(chip, message, is_across=True)
    else:
        parts.boundary = transfer_seconds(chip, message, is_across=False)
    parts.boundaries = 2.0 * job.interleave


def state_counts(operators: tuple[Operator, ...]) -> tuple[float, float, float]:
    """Return the weights of routed experts, of the other parts of layers, and of embedding and head."""
    experts = sum(op.weight_params * op.repeats for op in operators if op.run >= 0 and op.cut is Cut.EXPERT)
    layers = sum(op.weight_params * op.repeats for op in operators if op.run >= 0 and op.cut is not Cut.EXPERT)
    tables = sum(op.weight_params * op.repeats for op in operators if op.run < 0)
    return float(experts), float(layers), float(tables)


def states_of(job: Job, counts: tuple[float, float, float]) -> States:
    """Return gathers, reductions and the optimizer's traffic, by what each rank owns."""
    chip, pp, tp, ep = job.chip, job.pp, job.tp, job.ep
    experts, layers, tables = counts[0] / (tp * ep * pp), counts[1] / (tp * pp), counts[2] / tp
    dense = layers + tables / (1 if pp == 1 else 2)
    group = job.dp * job.cp
    expert_group = max(1, group // ep)
    shards = min(group, job.zero_ranks or group)
    trained = job.trained_share
    s = States()
    # In a pipeline nobody gathers again for every micro-batch: full sharding keeps the stage whole during the step.
    if job.zero is Zero.PARAMETERS and pp == 1:
        size = job.frozen_bytes if trained < 1 else 2.0
        for count, ranks, stride in ((dense, shards, tp), (experts, min(shards, expert_group), tp * ep)):
            inside, across = collective_seconds(chip, Collective.ALL_GATHER, count * size, ranks, stride)
            s.gather += inside
            s.gather_n += across
            gradients = count * job.gradient_bytes * trained
            inside, across = collective_seconds(chip, Collective.REDUCE_SCATTER, gradients, ranks, stride)
            s.scatter += inside
            s.scatter_n += across
        if shards < group:
            gradients = dense * trained * job.gradient_bytes / shards
            s.reduce, s.reduce_n = collective_seconds(
                chip, Collective.ALL_REDUCE, gradients, group // shards, tp * shards
            )
    else:
        for count, ranks, stride in ((dense, group, tp), (experts, expert_group, tp * ep)):
            message = count * trained * job.gradient_bytes
            if job.zero is Zero.NONE:
                inside, across = collective_seconds(chip, Collective.ALL_REDUCE, message, ranks, stride)
            else:
                inside, across = collective_seconds(chip, Collective.REDUCE_SCATTER, message, ranks, stride)
                renew, renew_n = collective_seconds(chip, Collective.ALL_GATHER, count * trained * 2.0, ranks, stride)
                s.renew += renew
                s.renew_n += renew_n
            s.reduce += inside
            s.reduce_n += across
    owned = trained * (dense / (shards if job.zero else 1) + experts / (min(shards, expert_group) if job.zero else 1))
    s.optimizer = owned * _OPTIMIZER_BYTES[job.optimizer] / chip.memory_bytes_per_s
    if job.offload:
        s.offload = owned * _OPTIMIZER_BYTES[job.optimizer] / _HOST_BYTES_PER_S
    if job.accelerators > chip.domain:
        s.log_nodes = math.log2(max(1.0, job.accelerators / chip.per_node))
    return s
