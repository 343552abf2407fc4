"""A whole run: steps, hours, money and energy, with what is lost beside the steps shown apart from the MFU.

    wall = start-up + train x max(f, 1 + evaluation + checkpoints + failures)
    checkpoints = delta / tau            tau = sqrt(2 delta M), delta the stall of one checkpoint, M the mean time
    failures    = (tau / 2 + R) / M      between failures of the whole job, R the restart (Young 1974; Daly 2006)

f is what the hours of published whole runs are over those of steps at the speed of a benchmark, fitted on them
(`data/efficiency/runs.yaml`): besides what is itemised, loss spikes and rollbacks, waiting for people, slow nodes and
data, stretches with another batch or length, software not tuned to the last. Inside one node f is 1. Goodput is train / wall. Every rate stands in
`data/run_overheads.yaml` with its source; guesses are marked there.
Cost is accelerator-hours times the price, nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..facts.overheads import Overhead, load_overheads
from ..facts.run_losses import RunKind, RunLoss, load_run_losses
from ..frozen import dataclass
from ..quantity import Given, Quantity, Step, exact, product
from ..units import HOUR
from .layout import Layout, Workload
from .time import StepTime

if TYPE_CHECKING:
    from ..facts.records import Accelerator

SHORTEST_CHECKPOINT_S = 600.0  # nobody saves more often; a shorter optimum changes nothing
LONGEST_CHECKPOINT_S = 4 * HOUR
START_UP = "start-up"
BEYOND = {
    RunKind.CLUSTER: "rollbacks, waits and untuned stretches",
    RunKind.RAGGED: "uneven batches, data and logging",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that costs time beside the steps: its share of the training time, or seconds once."""

    name: str
    seconds: Quantity
    why: str
    is_guess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """The whole run. `wall_s` = `train_s` + the losses, in the middle exactly; `accelerator_hours` = wall x n."""

    tokens: float
    optimizer_steps: int
    model_flops: float  # causal attention counted half
    model_flops_full: float
    hardware_flops: float
    train_s: Quantity
    losses: tuple[Loss, ...]
    wall_s: Quantity
    goodput: Quantity
    accelerator_hours: Quantity
    cost_usd: Quantity | None  # None: no price
    energy_wh: Quantity | None  # None: the catalog has no power
    checkpoint_every_s: float
    failures: Quantity  # expected number during the run
    steps: tuple[Step, ...]
    beyond: RunLoss | None = None  # what such runs take beyond their steps, as a factor; it is among the losses


def training_run(
    step: StepTime,
    *,
    tokens: float,
    accelerator: Accelerator,
    layout: Layout,
    workload: Workload,
    state_bytes: float,
    usd_per_hour: Quantity | None,
    beyond: RunLoss | None = None,
) -> TrainingRun:
    """Return the run of `tokens` at this step time.

    `state_bytes` is what a checkpoint holds (weights and optimizer state of the whole model); `usd_per_hour` the price
    of one accelerator for one hour, low to high; `beyond` what such runs take beyond their steps (`loss_of`), None for
    what is itemised alone.
    """
    rates = load_overheads()
    optimizer_steps = max(1, math.ceil(tokens / workload.tokens_per_step))
    n = layout.accelerators
    train = step.step_time_s.scaled(optimizer_steps)
    between_s = HOUR / (rates["failures_per_accelerator_hour"].value.mid * n)
    stall_s = state_bytes / n / rates["checkpoint_bytes_per_s_per_accelerator"].value.mid
    every_s = min(max(math.sqrt(2 * stall_s * between_s), SHORTEST_CHECKPOINT_S), LONGEST_CHECKPOINT_S)
    losses = _losses(rates, train, n, state_bytes, every_s)
    if beyond:
        losses = (*losses, _beyond(beyond, train, losses))
    wall = _wall(train, losses)
    hours = wall.scaled(n / HOUR, "accelerator_hours")
    cost = product("usd", (hours, usd_per_hour)) if usd_per_hour else None
    energy = _energy(rates, accelerator, hours)
    failures = _evaluate(
        lambda rate: rate * n * wall.mid / HOUR, (rates["failures_per_accelerator_hour"].value,), "count"
    )
    goodput = Quantity(
        min(1.0, train.low / wall.low, train.high / wall.high, _share(train.mid, losses, high=True)),
        train.mid / wall.mid,
        min(1.0, max(train.mid / wall.mid, _share(train.mid, losses, high=False))),
        "fraction",
        "80 %",
        "data/run_overheads.yaml, data/efficiency/runs.yaml" if beyond else "data/run_overheads.yaml",
    )
    per_step = workload.tokens_per_step
    return TrainingRun(
        tokens=tokens,
        optimizer_steps=optimizer_steps,
        model_flops=step.flops.model.causal / per_step * tokens,
        model_flops_full=step.flops.model.full / per_step * tokens,
        hardware_flops=step.flops.hardware.causal / per_step * tokens,
        train_s=train,
        losses=losses,
        wall_s=wall,
        goodput=goodput,
        accelerator_hours=hours,
        cost_usd=cost,
        energy_wh=energy,
        checkpoint_every_s=every_s,
        failures=failures,
        steps=_steps(train, wall, hours, cost, usd_per_hour, step, optimizer_steps, n, losses),
        beyond=beyond,
    )


def run_kind(layout: Layout, workload: Workload, accelerator: Accelerator) -> RunKind | None:
    """Return the kind of published runs that a job is like, None for one inside a node."""
    if workload.ragged:
        return RunKind.RAGGED
    return RunKind.CLUSTER if layout.accelerators > (accelerator.accelerators_per_node or 8) else None


def loss_of(
    layout: Layout, workload: Workload, accelerator: Accelerator, *, unseen: tuple[str, str] | None = None
) -> RunLoss | None:
    """Return what published runs of this kind took beyond their steps, None for a job inside one node.

    `unseen` names a published run, by organisation and model, that the fit must not have seen.
    """
    kind = run_kind(layout, workload, accelerator)
    found = load_run_losses().get(kind) if kind else None
    if found and unseen:
        found = found.unseen(*unseen)
    return found.shared(cluster_share(layout, accelerator)) if found and kind is RunKind.CLUSTER else found


def cluster_share(layout: Layout, accelerator: Accelerator) -> float:
    """Return how much of the loss of large clusters a job has: 1 - 1/k^2 on k nodes.

    The form is ours: nothing inside one node, where measured runs have none, and nearly all from four nodes on, where
    the smallest published runs already have it.
    """
    nodes = layout.accelerators / (accelerator.accelerators_per_node or 8)
    return max(0.0, 1.0 - 1.0 / nodes**2)


def _beyond(beyond: RunLoss, train: Quantity, losses: tuple[Loss, ...]) -> Loss:
    """Return the loss that brings the run, start-up aside, to the published multiple of its steps.

    Published totals hold evaluation, checkpoints and failures too, so only what these leave of the multiple is added.
    """
    f = beyond.factor
    itemised = math.fsum(loss.seconds.mid for loss in losses if loss.name != START_UP) / train.mid
    low, mid, high = (max(0.0, value - 1.0 - itemised) * train.mid for value in (f.low, f.mid, f.high))
    why = f"what is left of {f.mid:.2f} ({f.low:.2f} to {f.high:.2f}) times the steps, as {f.basis}"
    return Loss(BEYOND[beyond.kind], Quantity(low, mid, high, "s", f.band, f.basis), why, False)


def _losses(
    rates: Mapping[str, Overhead], train: Quantity, n: int, state_bytes: float, every_s: float
) -> tuple[Loss, ...]:
    startup, evaluation = rates["startup_s"], rates["evaluation_fraction"]
    failure, restart = rates["failures_per_accelerator_hour"], rates["restart_s"]
    rate = rates["checkpoint_bytes_per_s_per_accelerator"]
    t = train.mid
    checkpoints = _evaluate(lambda bytes_per_s: state_bytes / n / bytes_per_s / every_s * t, (rate.value,), "s")
    lost = _evaluate(
        lambda per_hour, restart_s: per_hour * n / HOUR * (every_s / 2 + restart_s) * t,
        (failure.value, restart.value),
        "s",
    )
    stall = state_bytes / n / rate.value.mid
    return (
        Loss(START_UP, startup.value, startup.what, startup.is_guess),
        Loss("evaluation", evaluation.value.scaled(t, "s"), evaluation.what, evaluation.is_guess),
        Loss(
            "checkpoints",
            checkpoints,
            f"{stall:.3g} s each, every {every_s / 60:.0f} min",
            rate.is_guess,
        ),
        Loss(
            "failures and restarts",
            lost,
            f"half an interval and {restart.value.mid / 60:.0f} min each",
            restart.is_guess,
        ),
    )


def _evaluate(formula: Callable[..., float], inputs: tuple[Quantity, ...], unit: str) -> Quantity:
    """Return a formula of independent quantities: each moved to its ends alone, deviations in quadrature."""
    mids = [q.mid for q in inputs]
    mid = formula(*mids)
    down = up = 0.0
    for index, q in enumerate(inputs):
        ends = [formula(*mids[:index], end, *mids[index + 1 :]) for end in (q.low, q.high)]
        down += (mid - min(*ends, mid)) ** 2
        up += (max(*ends, mid) - mid) ** 2
    basis = "; ".join(dict.fromkeys(q.basis for q in inputs))
    return Quantity(max(0.0, mid - math.sqrt(down)), mid, mid + math.sqrt(up), unit, inputs[0].band, basis)


def _wall(train: Quantity, losses: tuple[Loss, ...]) -> Quantity:
    """Return training plus losses; speed and losses are independent, so their deviations add in quadrature.

    All losses but the start-up go with the training time.
    """
    mid = math.fsum((train.mid, *(loss.seconds.mid for loss in losses)))
    once = math.fsum(loss.seconds.mid for loss in losses if loss.name == START_UP)
    scale = (mid - once) / train.mid
    down = math.hypot((train.mid - train.low) * scale, *(loss.seconds.mid - loss.seconds.low for loss in losses))
    up = math.hypot((train.high - train.mid) * scale, *(loss.seconds.high - loss.seconds.mid for loss in losses))
    band = train.band if not train.is_exact else "80 %"
    return Quantity(mid - down, mid, mid + up, "s", band, f"{train.basis}; data/run_overheads.yaml")


def _share(train_s: float, losses: tuple[Loss, ...], *, high: bool) -> float:
    """Return training over wall with the losses at one end of their ranges, in quadrature."""
    mids = math.fsum(loss.seconds.mid for loss in losses)
    side = (loss.seconds.high - loss.seconds.mid if high else loss.seconds.low - loss.seconds.mid for loss in losses)
    spread = math.hypot(*side)
    return train_s / (train_s + (mids + spread if high else max(0.0, mids - spread)))


def _energy(rates: Mapping[str, Overhead], accelerator: Accelerator, hours: Quantity) -> Quantity | None:
    if not accelerator.power_w:
        return None
    draw = (rates["power_fraction"].value, rates["site_power_factor"].value)
    power = exact(accelerator.power_w, "w", f"{accelerator.name}, rated")
    return product("wh", (hours, power, *draw), basis="rated power, data/run_overheads.yaml")


def _steps(
    train: Quantity,
    wall: Quantity,
    hours: Quantity,
    cost: Quantity | None,
    usd_per_hour: Quantity | None,
    step: StepTime,
    optimizer_steps: int,
    n: int,
    losses: tuple[Loss, ...],
) -> tuple[Step, ...]:
    worst = max(losses, key=lambda loss: loss.seconds.mid)
    found = [
        Step(
            "train_s",
            "steps x step time",
            (
                Given("steps", optimizer_steps, "count", "tokens over tokens per step, rounded up"),
                Given("step time", step.step_time_s.mid, "s", step.step_time_s.basis),
            ),
            train.mid,
            "s",
            "definition",
        ),
        Step(
            "wall_s",
            "training + " + " + ".join(loss.name for loss in losses),
            (
                Given("training", train.mid, "s", "above"),
                *(Given(loss.name, loss.seconds.mid, "s", loss.why) for loss in losses),
            ),
            wall.mid,
            "s",
            "data/run_overheads.yaml, data/efficiency/runs.yaml; interval of checkpoints sqrt(2 delta M), Young 1974",
            f"most lost to {worst.name}",
        ),
        Step(
            "accelerator_hours",
            "wall x accelerators",
            (Given("wall", wall.mid / HOUR, "hours", "above"), Given("n", n, "count", "")),
            hours.mid,
            "accelerator_hours",
            "definition",
        ),
    ]
    if cost and usd_per_hour:
        found.append(
            Step(
                "cost_usd",
                "accelerator-hours x price",
                (
                    Given("hours", hours.mid, "accelerator_hours", "above"),
                    Given("price", usd_per_hour.mid, "usd_per_accelerator_hour", usd_per_hour.basis),
                ),
                cost.mid,
                "usd",
                "definition",
            )
        )
    return tuple(found)
