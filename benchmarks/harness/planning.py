"""The time of a traced module on a chip of the catalog: its operators through the planner's surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...estimators.facts.software import load_software
from ...estimators.frozen import dataclass
from ...estimators.models.operators import OperatorKind
from ...estimators.stepmodel.estimate import chip_of
from ...estimators.stepmodel.software import factors_of, stack_of
from ...estimators.stepmodel.step import Parts, stage_seconds
from ...estimators.stepmodel.work import Cutting, layer_work
from ...estimators.training.layout import Framework, Recipe

if TYPE_CHECKING:
    from ...estimators.facts.records import Accelerator
    from .trace import Traced

_KNOWN = (
    OperatorKind.MATMUL,
    OperatorKind.ATTENTION,
    OperatorKind.NORM,
    OperatorKind.ELEMENTWISE,
    OperatorKind.EMBEDDING,
    OperatorKind.CONVOLUTION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSeconds:
    """Seconds of one forward and one backward pass in bf16 on one accelerator, eager PyTorch, no optimizer."""

    forward_s: float
    backward_s: float
    is_measured: bool


def pass_seconds(traced: Traced, accelerator: Accelerator) -> PassSeconds:
    """Return the seconds of both passes of a traced module.

    Raises:
        InputError: the chip has no rate for training.
    """
    chip = chip_of(accelerator)
    work = layer_work(chip, [op for op in traced.operators if op.kind in _KNOWN], Cutting())
    stack = stack_of(Recipe(framework=Framework.FSDP), accelerator, chip)
    factors = factors_of(stack, load_software().values)
    forward, backward, host = stage_seconds(work, Parts(), factors)
    # The host issues kernels while the device works: the longer of the two counts, shared as the device's time is.
    late = max(1.0, float(host) / float(forward + backward))
    return PassSeconds(forward_s=late * float(forward), backward_s=late * float(backward), is_measured=chip.is_measured)
