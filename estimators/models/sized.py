"""From a size to a sensible modern shape: `7B` (dense), `30B-A3B` (mixture by total and active), `8x7B` (repeated).

A dense shape is Llama-like: RMSNorm, rotary positions, grouped queries, a gated feed-forward block, no biases. Width,
depth and the width of the feed-forward block are searched for the count nearest to the size; the habits that decide
between shapes of the same count are in `data/sizing.yaml`, read off published models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ..errors import InputError
from ..facts.sizing import SIZING_FILE, Sizing, Span, load_sizing
from ..frozen import dataclass, replace
from ..units import read_count, show_count
from .cards import DecoderCard
from .shape import ModelShape

TOLERANCE = 0.01  # of the size asked for
_SPREAD = 1.6  # width per layer may leave the habit by this factor
_WIDEST = 65_536
_LEAST_BARE = 1e5  # a smaller number is no size but something else
_NUMBER = r"\d[\d,_]*(?:\.\d+)?(?:e\d+)?\s*(?:[kmbgt]n?)?"
_MIXTURE = re.compile(rf"({_NUMBER})\s*-?\s*a({_NUMBER})", re.IGNORECASE)
_REPEATED = re.compile(rf"(\d+)\s*x\s*({_NUMBER})", re.IGNORECASE)
_DENSE = re.compile(_NUMBER, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SizeWanted:
    """A size as typed: total parameters; active ones for a mixture by total; copies for `8x7B` (total is that of one)."""

    total: float
    active: float | None = None
    copies: int | None = None


def read_size(text: str) -> SizeWanted | None:
    """Return the size that `text` says, or None where it says none.

    >>> read_size("8x7B")
    SizeWanted(total=7000000000.0, active=None, copies=8)
    """
    text = text.strip()
    if match := _MIXTURE.fullmatch(text):
        return SizeWanted(read_count(match[1]), active=read_count(match[2]))
    if match := _REPEATED.fullmatch(text):
        return SizeWanted(read_count(match[2]), copies=int(match[1]))
    if _DENSE.fullmatch(text) and (total := read_count(text)) >= _LEAST_BARE:
        return SizeWanted(total)
    return None


def sized_shape(size: SizeWanted, name: str) -> ModelShape:
    """Return a shape whose count is within 1 % of the size (of both sizes, for a mixture by total and active).

    Raises:
        InputError: the size is out of range, or no sensible mixture has these two sizes.
    """
    habits = load_sizing()
    _check_range(size.total, habits)
    if size.active is not None:
        card = _mixture(size.total, size.active, habits)
    else:
        card = _dense(size.total, habits)
        if size.copies is not None:
            card = _repeat(card, size.copies, habits)
    return card.shape(name, "sized", source=SIZING_FILE)


def _check_range(total: float, habits: Sizing) -> None:
    if not habits.least <= total <= habits.most:
        raise InputError(
            f"a shape can be made for sizes from {show_count(habits.least)} to {show_count(habits.most)}, "
            f"not for {show_count(total)}; give a config.json for others."
        )


def _repeat(card: DecoderCard, copies: int, habits: Sizing) -> DecoderCard:
    active = habits.repeated_active
    if copies <= active:
        raise InputError(f"a mixture of {copies} experts is not sparse: {active} of them work on each token.")
    return replace(card, ffn=0, experts=copies, active_experts=active, expert_ffn=card.ffn, tied=False)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Everything but the feed-forward width: `rest` parameters besides the feed-forward blocks of all layers."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    rest: int
    cost: float  # distance from the habits, and numbers that divide badly

    def card(self, total: float, habits: Sizing) -> DecoderCard:
        """Return the card without its feed-forward blocks."""
        return DecoderCard(
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=habits.head_dim(self.hidden),
            vocab=habits.vocabulary(total),
            tied=total < habits.tied_below,
            max_tokens=habits.max_tokens,
        )


def _frames(total: float, like: float, widths: tuple[float, float], habits: Sizing) -> Iterator[_Frame]:
    """Yield widths and depths whose ratio is near that of published models of `like` parameters.

    `widths` bound the feed-forward width (of all experts together) divided by the hidden width.
    """
    vocab, aspect = habits.vocabulary(total), habits.aspect(like)
    tables = 1 if total < habits.tied_below else 2
    for hidden in _hidden_widths():
        head_dim = habits.head_dim(hidden)
        heads = hidden // head_dim
        kv_heads = _kv_heads(heads, habits.kv_heads)
        embedding = vocab * hidden * tables + hidden
        if embedding >= total:
            return
        attention = 2 * hidden * head_dim * (heads + kv_heads) + 2 * hidden
        deepest = (total - embedding) / (attention + 3 * hidden * hidden * widths[0])
        flattest = (total - embedding) / (attention + 3 * hidden * hidden * widths[1])
        least = max(2, math.ceil(max(hidden / aspect / _SPREAD, flattest)))
        for layers in range(least, math.floor(min(hidden / aspect * _SPREAD, deepest)) + 1):
            cost = math.log(hidden / layers / aspect) ** 2 + _awkwardness(layers, heads, kv_heads, habits)
            yield _Frame(layers, hidden, heads, kv_heads, embedding + layers * attention, cost)


def _hidden_widths() -> Iterator[int]:
    hidden = 64
    while hidden <= _WIDEST:
        yield hidden
        hidden += 64 if hidden < 1024 else 128 if hidden < 2048 else 256 if hidden < 4096 else 512


def _kv_heads(heads: int, wanted: int) -> int:
    """Return the most key and value heads up to `wanted` that divide the heads into groups of two or more."""
    return max(d for d in range(1, wanted + 1) if heads % d == 0 and (2 * d <= heads or d == 1))


def _awkwardness(layers: int, heads: int, kv_heads: int, habits: Sizing) -> float:
    """Return a small cost for numbers that divide badly over pipeline stages and tensor ranks."""
    cost = 0.004 * (layers % 2 > 0) + 0.002 * (layers % 4 > 0)
    if heads >= 2 * habits.kv_heads:
        cost += 0.2 * (1 - kv_heads / habits.kv_heads)
    return cost


def _width(wanted: float, grain: int) -> int:
    """Return the feed-forward width nearest to `wanted` that is a multiple of `grain`."""
    return max(grain, round(wanted / grain) * grain)


def _distance(span: Span, value: float) -> float | None:
    return math.log(value / span.value) ** 2 if span.least <= value <= span.most else None


def _dense(total: float, habits: Sizing) -> DecoderCard:
    best: tuple[float, _Frame, int] | None = None
    for frame in _frames(total, total, (habits.ffn.least, habits.ffn.most), habits):
        per_width = 3 * frame.hidden * frame.layers
        grain = 256 if frame.hidden >= 2048 else 64 if frame.hidden >= 512 else 32
        ffn = _width((total - frame.rest) / per_width, grain)
        error = (frame.rest + per_width * ffn) / total - 1
        from_habit = _distance(habits.ffn, ffn / frame.hidden)
        if from_habit is None or abs(error) > TOLERANCE:
            continue
        cost = frame.cost + 2 * from_habit + (error / TOLERANCE) ** 2 / 100
        if best is None or cost < best[0]:
            best = cost, frame, ffn
    if best is None:
        raise InputError(f"no sensible dense shape has {show_count(total)} parameters.")
    return replace(best[1].card(total, habits), ffn=best[2])


def _mixture(total: float, active: float, habits: Sizing) -> DecoderCard:
    """Search for total = rest + E u and active = rest + k u, u being one expert of every layer."""
    if not active < total:
        raise InputError(f"a mixture has fewer active parameters than {show_count(total)}, not {show_count(active)}.")
    _check_range(active, habits)
    k, span = habits.mixture_active, habits.mixture_ffn
    like = math.sqrt(total * active)
    widths = (span.least * min(habits.mixture_experts), span.most * max(habits.mixture_experts))
    best: tuple[float, _Frame, int, int] | None = None
    for frame in _frames(total, like, widths, habits):
        per_width = 3 * frame.hidden * frame.layers
        norms = 2 * habits.head_dim(frame.hidden) * frame.layers
        for experts in habits.mixture_experts:
            rest = frame.rest + norms + frame.layers * frame.hidden * experts  # with routers
            width = _width((total - active) / (experts - k) / per_width, 64)
            from_habit = _distance(span, width / frame.hidden)
            errors = (rest + experts * per_width * width) / total - 1, (rest + k * per_width * width) / active - 1
            if from_habit is None or max(map(abs, errors)) > TOLERANCE:
                continue
            cost = frame.cost + from_habit / 4 + sum((error / TOLERANCE) ** 2 for error in errors) / 100
            if best is None or cost < best[0]:
                best = cost, frame, experts, width
    if best is None:
        raise InputError(
            f"no sensible mixture has {show_count(total)} parameters of which {show_count(active)} are active; "
            "bring the two sizes closer, or give a config.json."
        )
    _, frame, experts, width = best
    card = frame.card(total, habits)
    return replace(card, qk_norm=habits.mixture_qk_norm, experts=experts, active_experts=k, expert_ffn=width)
