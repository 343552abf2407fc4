"""What a person asks of the planner, and which questions contradict themselves.

A request needs something to size from: money, a compute, a loss, a size, a number of tokens, or a cluster for a time.
What is given fixes a part of the answer; what is not given is chosen. An input that could change nothing is refused,
so that nobody believes it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import InputError
from ..facts.records import CloudClass, PricePlan
from ..frozen import dataclass, field
from ..training.layout import Precision


class Objective(StrEnum):
    """What is made best once all limits hold."""

    LOSS = "loss"  # the best model for the money and the time
    COST = "cost"  # the cheapest way to a given model or loss
    TIME = "time"  # the fastest way to spend the money, or to a given model or loss


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The question; None is "choose for me". Money in US dollars, times in seconds, shares from 0 to 1.

    `accelerators` is a fixed number of them ("h100:64"), `max_accelerators` a limit. `reserve_edits` maps names to
    shares. `detour` is the share of compute that may be wasted for a smaller model.
    """

    budget_usd: float | None = None
    deadline_s: float | None = None
    model: str | None = None
    tokens: float | None = None
    unique_tokens: float | None = None
    inference_tokens: float | None = None
    target_loss: float | None = None
    compute_flops: float | None = None
    objective: Objective | None = None
    accelerator: str | None = None
    accelerators: int | None = None
    max_accelerators: int | None = None
    cloud: str | None = None
    cloud_class: CloudClass | None = None
    price_plan: PricePlan | None = None
    usd_per_hour: float | None = None
    precision: Precision = Precision.BF16
    sequence_tokens: int | None = None
    law: str | None = None
    detour: float | None = None
    reserve_edits: Mapping[str, float] = field(default_factory=dict)
    no_reserves: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether the request itself fixes what is trained: then cost and time are what is left to choose."""
        both = self.model is not None and self.tokens is not None
        return both or self.target_loss is not None or self.compute_flops is not None

    @property
    def is_cluster_for_a_time(self) -> bool:
        """Whether a cluster and a deadline alone say how much compute there is ("64 H100 for 30 days")."""
        count = self.accelerators or self.max_accelerators
        is_named = self.accelerator is not None and count is not None and self.deadline_s is not None
        return is_named and self.budget_usd is None and not self.is_fixed

    @property
    def aim(self) -> Objective:
        """The objective in force: the one asked for, else cost where all is fixed or nothing limits, else loss."""
        if self.objective:
            return self.objective
        sized_by_limit = self.budget_usd is not None or self.is_cluster_for_a_time
        return Objective.COST if self.is_fixed or not sized_by_limit else Objective.LOSS

    def check(self) -> None:
        """Refuse what contradicts itself, cannot be sized, or could have no effect.

        Raises:
            InputError: one sentence that names the flags.
        """
        for holds, sentence in self._complaints():
            if holds:
                raise InputError(sentence)

    def _complaints(self) -> tuple[tuple[bool, str], ...]:
        both = self.model is not None and self.tokens is not None
        named_price = self.usd_per_hour is not None
        limited = self.budget_usd is not None or self.is_cluster_for_a_time
        sized = limited or self.is_fixed or self.model is not None or self.tokens is not None
        return (
            (
                not sized,
                (
                    "plan needs something to size from: --budget, --model, --tokens, --target-loss, --compute, or "
                    "--accelerator NAME:COUNT with --deadline."
                ),
            ),
            (
                self.compute_flops is not None and (self.target_loss is not None or both),
                "--compute already fixes how much is trained; leave out "
                + ("--target-loss." if self.target_loss is not None else "--model or --tokens."),
            ),
            (
                self.target_loss is not None and both,
                "--model and --tokens together fix the loss; leave out --target-loss or one of them.",
            ),
            (
                self.objective is Objective.LOSS and self.is_fixed,
                "--objective loss: the model is fixed already, only cost and time are left to choose; leave it out.",
            ),
            (
                self.objective is Objective.LOSS and not limited,
                "--objective loss: without --budget (or a cluster with --deadline) more money always helps; give one.",
            ),
            (
                self.objective is Objective.COST and not self.is_fixed and limited,
                (
                    "--objective cost: nothing says what must be reached; give --target-loss, --compute, or --model and "
                    "--tokens."
                ),
            ),
            (
                self.accelerators is not None and self.max_accelerators is not None,
                "--accelerator NAME:COUNT fixes the number; leave out --max-accelerators.",
            ),
            (named_price and self.accelerator is None, "--price is for one accelerator; name it with --accelerator."),
            (
                named_price and (self.cloud is not None or self.cloud_class is not None or self.price_plan is not None),
                "--price replaces the price list, so --cloud, --class and --plan would have no effect; leave them out.",
            ),
            (
                self.detour is not None and (self.model is not None or self.tokens is not None),
                "--detour trades size against compute, but --model or --tokens fixes the size; leave it out.",
            ),
            (
                self.detour is not None and self.inference_tokens is not None,
                (
                    "--detour makes the model smaller for cheap serving; --inference-tokens weighs serving exactly, so "
                    "give one of them."
                ),
            ),
            (
                self.detour is not None and self.unique_tokens is not None,
                "--detour has no effect with --unique-tokens, where the size is chosen for the data; leave one out.",
            ),
        )
