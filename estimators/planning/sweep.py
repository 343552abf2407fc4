"""Every combination of models, tokens, chips, sellers, numbers and formats, priced at once and ranked.

    train = FLOPs per token x tokens / (n x peak x MFU)        wall = start-up + train x max(f, 1 + evaluation)
    cost  = n x wall in hours x price

f is what published runs on that many nodes took beyond their steps (`training/run.py`).

The MFU is the planner's table of the operator model (`training/efficiency.py`, within a few percent of `train`); what
does not fit a job's states into the memory is left out. Work goes in blocks of one chip, format and seller; only the
best rows are kept, so memory does not grow with the number of combinations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..errors import AnswerIsNo, InputError
from ..facts.overheads import load_overheads
from ..facts.plan_defaults import load_plan_defaults
from ..frozen import dataclass, replace
from ..models.parameters import count_parameters
from ..models.shape import ModelShape
from ..quantity import Quantity, exact, product
from ..scaling.laws import law
from ..training.efficiency import efficiency
from ..training.flops import step_flops
from ..training.job import default_sequence
from ..training.layout import Layout, Precision, Workload
from ..training.run import loss_of
from ..units import HOUR
from .hardware import has_fast_link

if TYPE_CHECKING:
    from ..facts.records import Accelerator

MOST_CONFIGURATIONS = 20_000_000


class Order(StrEnum):
    """What the best rows are best in."""

    COST = "cost"
    TIME = "time"
    LOSS = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """One price of one chip. `counts` None: all numbers asked for; else only these."""

    accelerator: Accelerator
    name: str
    usd_per_hour: Quantity
    counts: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What to combine, what limits it, and in which order."""

    models: tuple[tuple[str, ModelShape], ...]
    tokens: tuple[float, ...]
    sellers: tuple[Seller, ...]
    counts: tuple[int, ...]
    precisions: tuple[Precision, ...]
    sequence_tokens: int | None = None
    budget_usd: float | None = None
    deadline_s: float | None = None
    order: Order = Order.COST
    top: int = 20

    @property
    def configurations(self) -> int:
        """How many combinations there are."""
        each = sum(len(seller.counts or self.counts) for seller in self.sellers)
        return each * len(self.models) * len(self.tokens) * len(self.precisions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One combination: seconds and dollars with their 80 % ranges."""

    model: str
    params: float  # active
    tokens: float
    accelerator: Accelerator
    accelerators: int
    seller: str
    precision: Precision
    usd_per_hour: float
    seconds: Quantity
    usd: Quantity
    mfu: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """The best rows, and what became of the others."""

    rows: tuple[Row, ...]
    configurations: int
    too_large: int  # do not fit the memory
    over: int  # the budget or the deadline
    no_format: tuple[str, ...]  # chips without a format that was asked for


def sweep(asked: Sweep, progress: Callable[[int, Sequence[Row]], None] | None = None) -> Swept:
    """Return the best combinations. `progress` is called after every block with what is done and the best so far.

    Raises:
        InputError: there are too many combinations.
        AnswerIsNo: none fits.
    """
    import numpy as np

    total = asked.configurations
    if total > MOST_CONFIGURATIONS:
        raise InputError(f"these are {total:,} combinations; at most {MOST_CONFIGURATIONS:,} can be compared at once.")
    kept: list[Row] = []
    done = too_large = over = 0
    without: list[str] = []
    models = _models(asked)
    tokens = np.array(asked.tokens)
    losses = np.array(
        [[law().required_surface("the comparison").loss(m.active, t) for t in asked.tokens] for m in models]
    )
    reached: dict[tuple[str, Precision], Any] = {}
    for seller in asked.sellers:
        counts = seller.counts or asked.counts
        for precision in asked.precisions:
            key = (seller.accelerator.id, precision)
            if key not in reached or seller.counts:
                reached[key] = _reached(models, seller.accelerator, precision, counts)
            block, size = reached[key], len(models) * len(counts) * len(tokens)
            done += size
            if block is None:
                without.append(f"{seller.accelerator.id} {precision}")
                continue
            found = _block(asked, seller, precision, counts, models, tokens, losses, block)
            too_large += found.too_large
            over += found.over
            kept = _best([*kept, *found.rows], asked)
            if progress:
                progress(done, kept)
    if not kept:
        raise AnswerIsNo(_nothing(total, too_large, over))
    return Swept(
        rows=tuple(kept),
        configurations=total,
        too_large=too_large,
        over=over,
        no_format=tuple(dict.fromkeys(without)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    name: str
    active: float
    total: float
    flops_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    rows: list[Row]
    too_large: int
    over: int


def _models(asked: Sweep) -> list[_Model]:
    found = []
    for name, shape in asked.models:
        counted = count_parameters(shape)
        sequence = asked.sequence_tokens or default_sequence(shape)
        flops = step_flops(shape, sequence_tokens=sequence, sequences=1).model.causal / sequence
        active = counted.active if shape.is_mixture else counted.total
        found.append(_Model(name=name, active=float(active), total=float(counted.total), flops_per_token=flops))
    return found


def _reached(models: list[_Model], chip: Accelerator, precision: Precision, counts: Sequence[int]) -> Any:
    """Return FLOP/s of one chip for every model and number, with the band's two ends; None without the format."""
    import numpy as np

    rates = np.empty((3, len(models), len(counts)))
    for i, model in enumerate(models):
        for j, count in enumerate(counts):
            try:
                known = efficiency(
                    chip,
                    precision=precision,
                    active_params=model.active,
                    accelerators=count,
                    mixture=model.active < 0.9 * model.total,
                )
            except InputError:
                return None
            rates[:, i, j] = (known.mfu.low, known.mfu.mid, known.mfu.high)
    return rates * known.peak_flops_per_s, known.peak_flops_per_s


def _block(
    asked: Sweep,
    seller: Seller,
    precision: Precision,
    counts: Sequence[int],
    models: list[_Model],
    tokens: Any,
    losses: Any,
    block: Any,
) -> _Found:
    """Return the best rows of one chip, format and seller; arrays are (model, number, tokens)."""
    import numpy as np

    rates, peak = block
    job, overheads = load_plan_defaults().job, load_overheads()
    startup_s, evaluation = overheads["startup_s"].value.mid, overheads["evaluation_fraction"].value.mid
    chip, price = seller.accelerator, seller.usd_per_hour
    n = np.array(counts, dtype=float)[None, :, None]
    flops = np.array([model.flops_per_token for model in models])[:, None, None] * tokens[None, None, :]
    beyond = [_beyond(count, chip, 1 + evaluation) for count in counts]
    factor = np.array([each.mid for each in beyond])[None, :, None]
    seconds = startup_s + flops / (n * rates[1][:, :, None]) * factor
    usd = seconds / HOUR * n * price.mid
    held = np.array([m.total for m in models]) * job.bytes_per_param / (chip.usable_memory_bytes * job.usable_share)
    shards = np.where(has_fast_link(chip, load_plan_defaults().hardware), n, 1.0)
    fits = np.broadcast_to(held[:, None, None] <= shards, usd.shape)
    within = fits.copy()
    if asked.budget_usd is not None:
        within &= usd <= asked.budget_usd
    if asked.deadline_s is not None:
        within &= seconds <= asked.deadline_s
    loss = np.broadcast_to(losses[:, None, :], usd.shape)
    first, second = {Order.COST: (usd, seconds), Order.TIME: (seconds, usd), Order.LOSS: (loss, usd)}[asked.order]
    flat = np.flatnonzero(within)
    if flat.size > asked.top:  # the exact order is made of the few that can be among the best
        keys = first.reshape(-1)[flat]
        edge = np.partition(keys, asked.top - 1)[asked.top - 1]
        flat = flat[keys <= edge]
        if flat.size > 4 * asked.top:
            flat = flat[np.lexsort((second.reshape(-1)[flat], first.reshape(-1)[flat]))][: asked.top]
    rows = []
    for place in flat:
        i, j, k = (int(index) for index in np.unravel_index(place, usd.shape))
        slow, usual, fast = (float(rate) for rate in rates[:, i, j])
        time = float(seconds[i, j, k])
        speed = Quantity(usual / fast, 1.0, usual / slow, "", "80 %", "measured runs around the table")
        ranged = product("s", (speed, beyond[j].scaled(1 / beyond[j].mid))).scaled(time)
        rows.append(
            Row(
                model=models[i].name,
                params=models[i].active,
                tokens=float(tokens[k]),
                accelerator=chip,
                accelerators=int(counts[j]),
                seller=seller.name,
                precision=precision,
                usd_per_hour=price.mid,
                seconds=ranged,
                usd=_cost(ranged, price, int(counts[j])),
                mfu=usual / peak,
                loss=float(loss[i, j, k]),
            )
        )
    return _Found(rows=rows, too_large=int(usd.size - fits.sum()), over=int(fits.sum() - within.sum()))


def _beyond(count: int, chip: Accelerator, least: float) -> Quantity:
    """Return wall over train, start-up aside: that of published runs of the kind, at least what is itemised."""
    job = Layout(accelerators=count), Workload(sequence_tokens=1, global_batch=count)
    known = loss_of(*job, chip)
    if known is None:
        return exact(least, "", "evaluation")
    factor = known.factor
    low, mid, high = (max(least, value) for value in (factor.low, factor.mid, factor.high))
    return Quantity(low, mid, high, "", "80 %", factor.basis)


def _cost(seconds: Quantity, price: Quantity, count: int) -> Quantity:
    """Return count x hours x price; speed and price are independent."""
    known = replace(price, band="exact") if price.is_exact else price
    return product("usd", (seconds.scaled(count / HOUR, "hours"), known))


def _best(rows: list[Row], asked: Sweep) -> list[Row]:
    keys: dict[Order, Callable[[Row], tuple[float, float]]] = {
        Order.COST: lambda row: (row.usd.mid, row.seconds.mid),
        Order.TIME: lambda row: (row.seconds.mid, row.usd.mid),
        Order.LOSS: lambda row: (row.loss, row.usd.mid),
    }
    return sorted(rows, key=keys[asked.order])[: asked.top]


def _nothing(total: int, too_large: int, over: int) -> str:
    said = []
    if too_large:
        said.append(f"{too_large:,} do not fit the memory (more accelerators would)")
    if over:
        said.append(f"{over:,} are over the budget or the deadline")
    return f"none of {total:,} combinations will do: {'; '.join(said) or 'no chip has the format'}."


def numbers(values: Sequence[float]) -> Iterator[int]:
    """Yield whole numbers of accelerators; refuses others.

    Raises:
        InputError: a number that is not whole.
    """
    for value in values:
        if value != int(value):
            raise InputError(f"{value:g} is not a whole number of accelerators.")
        yield int(value)
