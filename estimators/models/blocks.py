"""The operators of the other blocks: feed-forward, mixture of experts, state space, and single projections.

Letters: m rows (tokens), h hidden width, f feed-forward width, E experts, k active experts, N state size.
"""

from __future__ import annotations

from collections.abc import Iterator

from .operators import Cut, Group, Operator, OperatorKind
from .shape import FeedForwardShape, MixtureShape, ProjectionShape, StateSpaceShape
from .site import Site


def feed_forward_operators(
    site: Site,
    block: FeedForwardShape,
    *,
    name: str = "feed_forward",
    group: Group = Group.FEED_FORWARD,
    shares_input: bool = False,
) -> Iterator[Operator]:
    """Yield a dense feed-forward block: up (with gate), activation function, down."""
    width, halves = block.width, 2 if block.gated else 1
    values = site.rows * width
    yield site.product(
        f"{name}.up",
        group,
        Cut.COLUMN,
        inner=site.hidden,
        columns=halves * width,
        bias=block.bias * halves * width,
        shares_input=shares_input,
        matrices=halves,
    )
    yield site.elementwise(
        f"{name}.activation",
        group,
        Cut.COLUMN,
        width,
        saved_values=halves * values,
        saved_values_eager=values if block.gated else 0,  # the activated gate, input of the product with up
    )
    yield site.product(f"{name}.down", group, Cut.ROW, inner=width, columns=site.hidden, bias=block.bias * site.hidden)


def mixture_operators(site: Site, mixture: MixtureShape) -> Iterator[Operator]:
    """Yield router, dispatch, balanced routed experts, combination and shared experts.

    Routing is taken as balanced: each expert sees m k / E rows. The combination keeps the expert outputs, for the
    gradient of the routing weights.
    """
    h, experts, active, width = site.hidden, mixture.experts, mixture.active, mixture.width
    rows = site.rows
    routed = rows * active
    halves = 2 if mixture.gated else 1
    per_expert = routed / experts
    share = active / experts
    read = 1.0 - (1.0 - share) ** rows  # an expert is missed by every one of the m tokens with (1 - k/E)^m
    expert = {"batch": experts, "active_share": share, "read_share": read, "rows": per_expert}
    yield site.product(
        "router",
        Group.ROUTER,
        Cut.SEQUENCE,
        inner=h,
        columns=experts,
        bias=experts * (mixture.router_bias + mixture.score_bias),
        saved_bytes_extra=4 * rows * experts,  # scores in fp32
    )
    yield site.operator(
        "experts.dispatch",
        Group.ROUTER,
        OperatorKind.ROUTING,
        Cut.EXPERT,
        rows=routed,
        columns=h,
        saved_bytes_extra=12 * routed,  # an index of 8 bytes and a weight of 4 for each routed token
        output_values=routed * h,
    )
    yield site.product(
        "experts.up",
        Group.EXPERTS,
        Cut.EXPERT,
        inner=h,
        columns=halves * width,
        weight_params=experts * halves * width * (h + mixture.expert_bias),
        saved_values=routed * h,
        output_values=routed * halves * width,
        matrices=halves,
        **expert,
    )
    yield site.operator(
        "experts.activation",
        Group.EXPERTS,
        OperatorKind.ELEMENTWISE,
        Cut.EXPERT,
        rows=routed,
        columns=width,
        saved_values=halves * routed * width,
        saved_values_eager=routed * width if mixture.gated else 0,
        output_values=routed * width,
    )
    yield site.product(
        "experts.down",
        Group.EXPERTS,
        Cut.EXPERT,
        inner=width,
        columns=h,
        weight_params=experts * h * (width + mixture.expert_bias),
        saved_values=routed * width,
        output_values=routed * h,
        **expert,
    )
    yield site.operator(
        "experts.combine",
        Group.ROUTER,
        OperatorKind.ROUTING,
        Cut.EXPERT,
        rows=routed,
        columns=h,
        saved_values=routed * h,
        output_values=rows * h,
    )
    if mixture.shared_width:
        block = FeedForwardShape(width=mixture.shared_width, gated=mixture.gated)
        group = Group.SHARED_EXPERTS
        yield from feed_forward_operators(site, block, name="shared_experts", group=group, shares_input=True)
        if mixture.shared_gate:
            yield site.product("shared_experts.gate", group, Cut.SEQUENCE, inner=h, columns=1, shares_input=True)


def state_space_operators(site: Site, mixer: StateSpaceShape) -> Iterator[Operator]:
    """Yield a Mamba mixer, version 1 (arXiv:2312.00752, section 3.4) or 2 (arXiv:2405.21060, section 7.1).

    The scan is counted in its recurrent form: for each channel and state one multiply-add to update and one to read
    out, so inner = 2 N. The chunked form of version 2 does more work on faster units.
    """
    group, inner, state, rows = Group.STATE_SPACE, mixer.inner, mixer.state, site.rows
    mixed = inner + (2 * mixer.groups * state if mixer.version == 2 else 0)  # channels under the convolution
    columns = 2 * inner if mixer.version == 1 else inner + mixed + mixer.heads
    yield site.product("mixer.in", group, Cut.COLUMN, inner=site.hidden, columns=columns, matrices=2)
    yield site.operator(
        "mixer.convolution",
        group,
        OperatorKind.CONVOLUTION,
        Cut.HEADS,
        columns=mixed,
        inner=mixer.conv,
        weight_params=mixed * (mixer.conv + 1),
        saved_values=rows * mixed,
        output_values=rows * mixed,
    )
    if mixer.version == 1:
        yield site.product("mixer.x", group, Cut.ROW, inner=inner, columns=mixer.dt_rank + 2 * state)
        if mixer.inner_norms:
            yield site.norm("mixer.inner_norms", 1, mixer.dt_rank + 2 * state)
        yield site.product("mixer.dt", group, Cut.COLUMN, inner=mixer.dt_rank, columns=inner, bias=inner)
    scan_params = inner * (state + 1) if mixer.version == 1 else 3 * mixer.heads
    step_values = inner if mixer.version == 1 else mixer.heads
    yield site.operator(
        "mixer.scan",
        group,
        OperatorKind.SCAN,
        Cut.HEADS,
        columns=inner,
        inner=2 * state,
        weight_params=scan_params,
        saved_values=rows * (inner + step_values + 2 * mixer.groups * state),  # gate, step sizes, B and C
        output_values=rows * inner,
        cache_values=site.sequences * (inner * state + mixed * (mixer.conv - 1)) if site.cached_tokens else 0,
    )
    if mixer.version == 2:
        yield site.norm("mixer.norm", 1, inner, Cut.HEADS)
    yield site.product("mixer.out", group, Cut.ROW, inner=inner, columns=site.hidden)


def projection_operator(site: Site, projection: ProjectionShape, group: Group, tokens: int) -> Operator:
    """Return a patch or audio convolution, a pooler or a classifier; `tokens` are those the input makes."""
    per_sequence = tokens * projection.rows_per_token if projection.rows_per_token else 1
    rows = per_sequence * site.sequences
    return site.operator(
        projection.name,
        group,
        OperatorKind.CONVOLUTION if projection.convolution else OperatorKind.MATMUL,
        Cut.WHOLE,
        rows=rows,
        inner=projection.inputs,
        columns=projection.outputs,
        weight_params=projection.outputs * (projection.inputs + projection.bias),
        saved_values=rows * projection.inputs,
        output_values=rows * projection.outputs,
    )
