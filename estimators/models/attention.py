"""The operators of attention: grouped, latent and cross attention, and the pairs that a mask keeps.

Letters: m rows (tokens), h hidden width, H heads, d head_dim. Training and prefill use the same operators; in decoding
one query per sequence meets its cached context (`Site.cached_tokens`) and latent attention takes its absorbed form.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..frozen import replace
from .operators import Cut, Group, Operator, OperatorKind
from .shape import AttentionShape, LatentShape
from .site import Site


def kept_pairs(queries: int, cached: int, attention: AttentionShape) -> int:
    """Return how many query-key pairs the causal mask and the window keep for one sequence.

    Query i (1 to `queries`) stands at position p = cached + i and sees min(p, window) keys, or the keys of its own
    block up to itself. A mask that is not causal keeps all pairs.
    """
    window = attention.window_tokens
    if not attention.causal:
        return queries * (queries + cached)
    if window is None:
        return queries * cached + queries * (queries + 1) // 2
    if attention.window_is_block:
        return _pairs_in_blocks(cached + queries, window) - _pairs_in_blocks(cached, window)
    inside = min(max(window - cached, 0), queries)  # queries that still see everything before them
    return inside * cached + inside * (inside + 1) // 2 + (queries - inside) * window


def _pairs_in_blocks(tokens: int, block: int) -> int:
    full, rest = divmod(tokens, block)
    return full * (block * (block + 1) // 2) + rest * (rest + 1) // 2


def attention_operators(site: Site, attention: AttentionShape) -> Iterator[Operator]:
    """Yield self-attention: projections, norms on queries and keys, rotary, the core and the output projection."""
    if attention.latent:
        yield from _latent_attention(site, attention, attention.latent)
        return
    queries = attention.heads * attention.head_dim
    keys, values = attention.kv_heads * attention.head_dim, attention.kv_heads * attention.value_dim
    bias = attention.qkv_bias * (queries + values + attention.key_bias * keys)
    yield site.product(
        "attention.qkv",
        Group.ATTENTION,
        Cut.COLUMN,
        inner=site.hidden,
        columns=queries + keys + values,
        bias=bias,
        matrices=3,
    )
    if attention.qk_norm:
        full = attention.qk_norm == "full"
        norm_params = (attention.heads + attention.kv_heads if full else 2) * attention.head_dim
        yield site.operator(
            "attention.qk_norm",
            Group.ATTENTION,
            OperatorKind.NORM,
            Cut.HEADS,
            columns=queries + keys,
            weight_params=norm_params,
            saved_values=site.rows * (queries + keys),
            saved_values_eager=2 * site.rows * (queries + keys),
            output_values=site.rows * (queries + keys),
        )
    if site.rotary:
        yield site.elementwise("attention.rotary", Group.ATTENTION, Cut.HEADS, queries + keys)
    yield _core(site, attention, "attention.core", Group.ATTENTION, attention.kv_heads)
    yield site.product(
        "attention.out",
        Group.ATTENTION,
        Cut.ROW,
        inner=attention.heads * attention.value_dim,
        columns=site.hidden,
        bias=attention.out_bias * site.hidden,
    )


def _core(site: Site, attention: AttentionShape, name: str, group: Group, kv_heads: int) -> Operator:
    """Return softmax(q k') v. The output is kept by the output projection, as its input."""
    rows, heads = site.rows, attention.heads
    context = site.cached_tokens + site.tokens
    pairs = kept_pairs(site.tokens, site.cached_tokens, attention)
    pairs_full = site.tokens * context
    keys_per_query = pairs / site.tokens if site.cached_tokens else min(context, attention.window_tokens or context)
    query_values = heads * attention.head_dim
    kv_values = kv_heads * (attention.head_dim + attention.value_dim)
    return site.operator(
        name,
        group,
        OperatorKind.ATTENTION,
        Cut.HEADS,
        keys=keys_per_query,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=attention.head_dim,
        value_dim=attention.value_dim,
        pairs=pairs * site.sequences,
        pairs_full=pairs_full * site.sequences,
        weight_params=heads if attention.sinks else 0,
        saved_values=rows * (query_values + kv_values),
        saved_bytes_extra=4 * rows * heads,  # log-sum-exp in fp32
        score_values=pairs_full * site.sequences * heads,
        output_values=rows * heads * attention.value_dim,
        cache_values=_cache_read(site, attention, kv_values),
        dropout=site.dropout,
    )


def _cache_read(site: Site, attention: AttentionShape, values_per_token: int) -> float:
    """Return the numbers of cached keys and values that one pass reads: the tokens that some query still sees."""
    if not site.cached_tokens:
        return 0
    context, window = site.cached_tokens + site.tokens, attention.window_tokens
    seen = context if window is None else min(context, window + site.tokens - 1)
    if window and attention.window_is_block:
        seen = min(seen, (context - 1) % window + site.tokens)
    return seen * site.sequences * values_per_token


def _latent_attention(site: Site, attention: AttentionShape, latent: LatentShape) -> Iterator[Operator]:
    """Yield multi-head latent attention (arXiv:2405.04434, section 2.1 and appendix C).

    Training and prefill expand the latent into keys and values of every head. Decoding absorbs the two expansions into
    the query and the output, so that all heads attend to the one cached latent.
    """
    h, heads, rank, rope = site.hidden, attention.heads, latent.kv_rank, latent.rope_dim
    nope = attention.head_dim - rope
    group = Group.ATTENTION
    if latent.q_rank:
        yield site.product("attention.q_down", group, Cut.SEQUENCE, inner=h, columns=latent.q_rank)
        yield site.norm("attention.q_norm", 1, latent.q_rank)
    yield site.product(
        "attention.kv_down", group, Cut.SEQUENCE, inner=h, columns=rank + rope, shares_input=latent.q_rank > 0
    )
    yield site.norm("attention.kv_norm", 1, rank)
    yield site.product(
        "attention.q_up",
        group,
        Cut.COLUMN,
        inner=latent.q_rank or h,
        columns=heads * attention.head_dim,
        shares_input=not latent.q_rank,
    )
    if site.decoding:
        yield _per_head(site, "attention.k_absorbed", heads, inner=nope, columns=rank)
        shared = AttentionShape(
            heads=heads,
            kv_heads=1,
            head_dim=rank + rope,
            value_dim=rank,
            causal=attention.causal,
            window_tokens=attention.window_tokens,
        )
        yield _latent_core(site, shared, rank + rope)
        yield _per_head(site, "attention.v_absorbed", heads, inner=rank, columns=attention.value_dim)
    else:
        columns = heads * (nope + attention.value_dim)
        yield site.product("attention.kv_up", group, Cut.COLUMN, inner=rank, columns=columns)
        yield site.elementwise("attention.rotary", group, Cut.HEADS, heads * rope + rope)
        yield _core(site, attention, "attention.core", group, heads)
    yield site.product(
        "attention.out",
        group,
        Cut.ROW,
        inner=heads * attention.value_dim,
        columns=h,
        bias=attention.out_bias * h,
    )


def _latent_core(site: Site, attention: AttentionShape, values_per_token: int) -> Operator:
    core = _core(site, attention, "attention.core", Group.ATTENTION, 1)
    return replace(core, cache_values=_cache_read(site, attention, values_per_token))  # keys and values are one latent


def _per_head(site: Site, name: str, heads: int, *, inner: int, columns: int) -> Operator:
    return site.product(
        name,
        Group.ATTENTION,
        Cut.HEADS,
        inner=inner,
        columns=columns,
        batch=heads,
        weight_params=heads * inner * columns,
        saved_values=site.rows * heads * inner,
        output_values=site.rows * heads * columns,
    )


def cross_attention_operators(site: Site, attention: AttentionShape) -> Iterator[Operator]:
    """Yield attention of a decoder to its encoder: queries from here, keys and values from the source tokens."""
    group = Group.CROSS_ATTENTION
    queries = attention.heads * attention.head_dim
    keys, values = attention.kv_heads * attention.head_dim, attention.kv_heads * attention.value_dim
    source_rows = site.source_tokens * site.sequences
    q_bias = attention.qkv_bias * queries
    kv_bias = attention.qkv_bias * (values + attention.key_bias * keys)
    yield site.product("cross_attention.q", group, Cut.COLUMN, inner=site.hidden, columns=queries, bias=q_bias)
    decoding = site.decoding
    yield site.product(
        "cross_attention.kv",
        group,
        Cut.COLUMN,
        inner=site.hidden,
        columns=keys + values,
        bias=kv_bias,
        rows=0 if decoding else source_rows,  # decoding finds them in the cache
        read_share=0.0 if decoding else 1.0,
        matrices=2,
    )
    pairs = site.rows * site.source_tokens
    yield site.operator(
        "cross_attention.core",
        group,
        OperatorKind.ATTENTION,
        Cut.HEADS,
        keys=site.source_tokens,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        head_dim=attention.head_dim,
        value_dim=attention.value_dim,
        pairs=pairs,
        pairs_full=pairs,
        saved_values=site.rows * queries + source_rows * (keys + values),
        saved_bytes_extra=4 * site.rows * attention.heads,
        score_values=pairs * attention.heads,
        output_values=site.rows * attention.heads * attention.value_dim,
        cache_values=source_rows * (keys + values) if decoding else 0,
        dropout=site.dropout,
    )
    yield site.product(
        "cross_attention.out",
        group,
        Cut.ROW,
        inner=attention.heads * attention.value_dim,
        columns=site.hidden,
        bias=attention.out_bias * site.hidden,
    )
