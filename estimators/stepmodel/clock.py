"""The fast way to time many layouts of one job: what layouts share is worked out once.

The work of a micro-batch depends on (micro-batch, tp, cp, ep, sequence parallelism, recomputation) and scales with the
share of layers in a stage; what sharded states cost depends on (tp, pp, cp, ep, sharding). Both are kept, so that one
more layout costs two look-ups and the arithmetic of `schedule`: tens of thousands of layouts per CPU-second in plain
Python. The seconds are those of `estimate_step`, to the last digit but rounding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..frozen import replace
from ..training.layout import Framework, Layout, Recipe, Recompute, Workload, Zero
from .estimate import job_of, operators_of
from .software import factors_of
from .step import Job, Parts, States, schedule, set_again, set_pipeline, stage_seconds, state_counts, states_of
from .step import work_of as _work_of
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..facts.records import Accelerator
    from ..models.shape import ModelShape

_Passes = tuple[tuple[float, float, float], tuple[float, float, float]]


class StepClock:
    """Times layouts of one shape, accelerator, recipe and workload; only recomputation may differ between layouts."""

    def __init__(
        self,
        shape: ModelShape,
        *,
        accelerator: Accelerator,
        recipe: Recipe,
        workload: Workload,
        values: Mapping[str, float],
    ) -> None:
        self._batch = workload.global_batch
        single = Layout(accelerators=1)
        self._job, stack = job_of(shape, accelerator=accelerator, layout=single, recipe=recipe, workload=workload)
        self._factors = factors_of(stack, values)
        self._counts = state_counts(operators_of(shape, workload.sequence_tokens, 1))
        self._layers = shape.layers
        self._hooks = recipe.framework is Framework.HF_DEEPSPEED
        self._passes: dict[tuple[object, ...], _Passes] = {}
        self._works: dict[tuple[object, ...], tuple[Work, Work]] = {}
        self._states: dict[tuple[object, ...], States] = {}
        self._transfers: dict[tuple[object, ...], tuple[float, float]] = {}
        self._parts = Parts()

    def seconds(self, layout: Layout, recompute: Recompute) -> float:
        """Return the seconds of one step; the batch is taken to divide."""
        tp, pp, cp, ep, micro = layout.tp, layout.pp, layout.cp, layout.ep, layout.micro_batch
        dp = layout.accelerators // (tp * pp * cp)
        is_hooked = self._hooks and layout.zero is Zero.PARAMETERS
        key = (micro, tp, cp, ep, layout.sequence_parallel, recompute, is_hooked)
        passes = self._passes.get(key)
        if passes is None:
            passes = self._passes[key] = self._pass(layout, recompute)
        owner = (layout.accelerators, tp, pp, cp, ep, layout.zero, layout.zero_ranks)
        states = self._states.get(owner)
        if states is None:
            states = self._states[owner] = states_of(self._at(layout, recompute), self._counts)
        p = self._parts
        p.micro_batches = float(max(1, self._batch // (dp * micro)))
        p.fill = (pp - 1) / layout.interleave
        if pp > 1:
            where = (layout.accelerators, tp, pp, cp, micro, layout.sequence_parallel)
            ways = self._transfers.get(where)
            if ways is None:
                fresh = Parts()
                set_pipeline(fresh, self._at(layout, recompute))
                ways = self._transfers[where] = (fresh.boundary, fresh.boundary_n)
            p.boundary, p.boundary_n = ways
            p.boundaries = 2.0 * layout.interleave
        else:
            p.boundary = p.boundary_n = p.boundaries = 0.0
        share = -(-self._layers // pp) / self._layers
        found = schedule(passes[0], passes[1], share, p, states, self._factors)
        return float(found[0])

    def _at(self, layout: Layout, recompute: Recompute) -> Job:
        return replace(
            self._job,
            accelerators=layout.accelerators,
            tp=layout.tp,
            pp=layout.pp,
            cp=layout.cp,
            ep=layout.ep,
            interleave=layout.interleave,
            zero=layout.zero,
            zero_ranks=layout.zero_ranks,
            hooked=self._hooks and layout.zero is Zero.PARAMETERS,
            sequence_parallel=layout.sequence_parallel,
            micro_batch=layout.micro_batch,
            recompute=recompute,
        )

    def _pass(self, layout: Layout, recompute: Recompute) -> _Passes:
        job = self._at(layout, recompute)
        key = (job.micro_batch, job.tp, job.cp, job.ep, job.sequence_parallel, job.hooked)
        work = self._works.get(key)
        if work is None:
            operators = operators_of(job.shape, job.sequence_tokens, job.micro_batch)
            work = self._works[key] = _work_of(job, operators)
        body, ends = work
        parts = Parts(body=body, ends=ends, log_tp=math.log2(job.tp))
        set_again(parts, job)
        return stage_seconds(body, parts, self._factors), stage_seconds(ends, parts, self._factors)
