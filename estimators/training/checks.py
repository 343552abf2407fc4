"""Whether a model can be cut the way a layout says; every refusal names the flag and the nearest value that works."""

from __future__ import annotations

from ..errors import InputError
from ..models.shape import ModelShape
from .layout import Layout


def attention_heads(shape: ModelShape) -> int:
    """Return the greatest common divisor of the heads of all layers; 0 where no layer has attention."""
    from math import gcd

    common = 0
    for stack in shape.stacks:
        for _, layer in stack.runs:
            if layer.attention:
                common = gcd(common, layer.attention.heads)
    return common


def expert_count(shape: ModelShape) -> int:
    """Return the routed experts of a layer, 0 for a dense model."""
    counts = [layer.mixture.experts for stack in shape.stacks for _, layer in stack.runs if layer.mixture]
    return counts[0] if counts else 0


def check_layout(shape: ModelShape, layout: Layout) -> None:
    """Refuse a layout that cannot exist.

    Raises:
        InputError: a degree does not divide what it cuts; says which flag and the nearest values that do.
    """
    check_tensor(shape, layout.tp)
    check_pipeline(shape, layout.pp, layout.interleave)
    check_product(layout.accelerators, tp=layout.tp, pp=layout.pp, cp=layout.cp)
    check_experts(shape, layout.ep)
    check_expert_ranks(shape, layout)


def check_tensor(shape: ModelShape, tp: int) -> None:
    """Refuse tensor parallelism that does not divide the attention heads."""
    heads = attention_heads(shape)
    if tp > 1 and heads and heads % tp:
        raise InputError(
            f"--tp {tp}: {shape.name} has {heads} attention heads, which {tp} does not divide; "
            f"take {_nearest(tp, _divisors(heads))}."
        )


def check_pipeline(shape: ModelShape, pp: int, interleave: int) -> None:
    """Refuse more pipeline stages (times virtual stages) than there are layers."""
    if pp * interleave > shape.layers:
        stages = f"{pp} x {interleave} virtual stages" if interleave > 1 else f"{pp} stages"
        most = max(1, shape.layers // interleave)
        raise InputError(
            f"--pp {pp}: {shape.name} has {shape.layers} layers, fewer than {stages}; take at most {most}."
        )


def check_product(accelerators: int, *, tp: int, pp: int, cp: int) -> None:
    """Refuse a product of degrees that does not divide the accelerators."""
    product = tp * pp * cp
    if accelerators % product:
        below = accelerators // product * product
        counts = f"{below:,} or {below + product:,}" if below else f"{product:,}"
        raise InputError(
            f"--tp {tp} x --pp {pp} x --cp {cp} = {product} does not divide {accelerators:,} accelerators; "
            f"take {counts} of them, or degrees whose product divides {accelerators:,}."
        )


def check_experts(shape: ModelShape, ep: int) -> None:
    """Refuse expert parallelism without experts, or that does not divide them."""
    if ep == 1:
        return
    experts = expert_count(shape)
    if not experts:
        raise InputError(f"--ep {ep}: {shape.name} has no experts; leave it out.")
    if experts % ep:
        raise InputError(
            f"--ep {ep}: {shape.name} has {experts} experts, which {ep} does not divide; "
            f"take {_nearest(ep, _divisors(experts))}."
        )


def check_expert_ranks(shape: ModelShape, layout: Layout) -> None:
    """Refuse expert parallelism that does not divide the ranks that the experts stand on."""
    ep, experts = layout.ep, expert_count(shape)
    ranks = layout.dp * layout.cp * (layout.tp if layout.expert_tp == 1 else 1)
    if ranks % ep:
        good = [degree for degree in _divisors(ranks) if experts % degree == 0]
        raise InputError(
            f"--ep {ep}: experts stand on the {ranks} data- and context-parallel ranks, which {ep} does not divide; "
            f"take {_nearest(ep, good)}."
        )


def _divisors(number: int) -> list[int]:
    return [value for value in range(1, number + 1) if number % value == 0]


def _nearest(wanted: int, values: list[int]) -> str:
    """The value below and the value above, as words."""
    below = max((value for value in values if value < wanted), default=None)
    above = min((value for value in values if value > wanted), default=None)
    return " or ".join(str(value) for value in (below, above) if value is not None)
