"""A small GPT and a small Llama in plain PyTorch, and the same two as `ModelShape`.

They are what a reader would write from the papers: GPT-2 (LayerNorm, biases, learned positions, GELU, tied head) and
Llama (RMSNorm, rotary positions, grouped queries, SwiGLU, a head of its own). The harness trains and decodes with them;
the shape goes through the same operator list as every preset, so that `bench verify` tests what the planner uses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...estimators.frozen import dataclass
from ...estimators.models.shape import AttentionShape, FeedForwardShape, LayerShape, ModelShape, StackShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Dimensions of one model. `kind` is "gpt" or "llama"; `width` of the feed-forward block."""

    kind: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    width: int
    vocab: int
    max_tokens: int = 1024

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.hidden // self.heads


def size(kind: str, layers: int, hidden: int, vocab: int, *, head_dim: int = 64, max_tokens: int = 1024) -> Size:
    """Return a model of usual proportions: 4 h wide feed-forward for GPT, 8/3 h for Llama, 2 queries per key head."""
    heads = max(1, hidden // head_dim)
    is_gpt = kind == "gpt"
    return Size(
        kind=kind,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads if is_gpt or heads % 2 else heads // 2,
        width=4 * hidden if is_gpt else -(-8 * hidden // 3 // 64) * 64,
        vocab=vocab,
        max_tokens=max_tokens,
    )


def shape_of(size: Size) -> ModelShape:
    """Return the same model for the estimators."""
    is_gpt = size.kind == "gpt"
    attention = AttentionShape(
        heads=size.heads,
        kv_heads=size.kv_heads,
        head_dim=size.head_dim,
        value_dim=size.head_dim,
        qkv_bias=is_gpt,
        out_bias=is_gpt,
    )
    layer = LayerShape(
        attention=attention,
        feed_forward=FeedForwardShape(width=size.width, gated=not is_gpt, bias=is_gpt),
        norm_params=2 if is_gpt else 1,
    )
    stack = StackShape(
        name="decoder", hidden=size.hidden, runs=((size.layers, layer),), final_norm_params=2 if is_gpt else 1
    )
    return ModelShape(
        name=name_of(size),
        family=size.kind,
        kind="decoder",
        stacks=(stack,),
        vocab=size.vocab,
        tied_embeddings=is_gpt,
        position="learned" if is_gpt else "rope",
        position_params=size.max_tokens if is_gpt else 0,
        max_tokens=size.max_tokens,
    )


def name_of(size: Size) -> str:
    """Return "gpt-8x512" for 8 layers of width 512."""
    return f"{size.kind}-{size.layers}x{size.hidden}"


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return x with rotary positions (arXiv:2104.09864, equation 34, halves rotated)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Causal attention with grouped queries; `cache` holds keys and values of earlier tokens."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dim = size.heads, size.kv_heads, size.head_dim
        bias = size.kind == "gpt"
        self.qkv = nn.Linear(size.hidden, (size.heads + 2 * size.kv_heads) * self.dim, bias=bias)
        self.out = nn.Linear(size.heads * self.dim, size.hidden, bias=bias)

    def forward(
        self, x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor] | None, cache: torch.Tensor | None, at: int
    ) -> Any:
        """Return the block's output for x of (batch, tokens, hidden)."""
        batch, tokens, _ = x.shape
        parts = self.qkv(x).split((self.heads * self.dim, self.kv_heads * self.dim, self.kv_heads * self.dim), dim=-1)
        q, k, v = (part.view(batch, tokens, -1, self.dim).transpose(1, 2) for part in parts)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            cache[0, :, :, at : at + tokens], cache[1, :, :, at : at + tokens] = k, v
            k, v = cache[0, :, :, : at + tokens], cache[1, :, :, : at + tokens]
        if self.kv_heads != self.heads:
            k, v = (each.repeat_interleave(self.heads // self.kv_heads, dim=1) for each in (k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        return self.out(y.transpose(1, 2).reshape(batch, tokens, -1))


class FeedForward(nn.Module):
    """GELU between two matrices, or SwiGLU with gate and up in one."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gated = size.kind == "llama"
        self.up = nn.Linear(size.hidden, size.width * (2 if self.gated else 1), bias=not self.gated)
        self.down = nn.Linear(size.width, size.hidden, bias=not self.gated)

    def forward(self, x: torch.Tensor) -> Any:
        """Return the block's output."""
        if self.gated:
            gate, up = self.up(x).chunk(2, dim=-1)
            return self.down(functional.silu(gate) * up)
        return self.down(functional.gelu(self.up(x), approximate="tanh"))


class Layer(nn.Module):
    """One pre-norm layer."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        norm = nn.LayerNorm if size.kind == "gpt" else nn.RMSNorm
        self.norm_1, self.norm_2 = norm(size.hidden), norm(size.hidden)
        self.attention, self.feed_forward = Attention(size), FeedForward(size)

    def forward(
        self,
        x: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor] | None = None,
        cache: torch.Tensor | None = None,
        at: int = 0,
    ) -> Any:
        """Return the layer's output."""
        x = x + self.attention(self.norm_1(x), rotary, cache, at)
        return x + self.feed_forward(self.norm_2(x))


class Model(nn.Module):
    """A GPT or a Llama. `forward` returns logits, or the loss where labels are given."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        is_gpt = size.kind == "gpt"
        self.embedding = nn.Embedding(size.vocab, size.hidden)
        self.position = nn.Embedding(size.max_tokens, size.hidden) if is_gpt else None
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = (nn.LayerNorm if is_gpt else nn.RMSNorm)(size.hidden)
        self.head = nn.Linear(size.hidden, size.vocab, bias=False)
        if is_gpt:
            self.head.weight = self.embedding.weight
            nn.init.normal_(self.embedding.weight, std=0.02)
        else:
            angles = torch.outer(
                torch.arange(size.max_tokens), 10_000.0 ** (-torch.arange(0, size.head_dim, 2) / size.head_dim)
            )
            angles = torch.cat((angles, angles), dim=-1)
            self.register_buffer("cos", angles.cos(), persistent=False)
            self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(
        self,
        words: torch.Tensor,
        labels: torch.Tensor | None = None,
        caches: list[torch.Tensor] | None = None,
        at: int = 0,
    ) -> Any:
        """Return logits of the last token (decoding), of all tokens, or the loss."""
        tokens = words.shape[1]
        x = self.embedding(words)
        rotary: Any = None
        if self.position is not None:
            x = x + self.position(torch.arange(at, at + tokens, device=words.device))
        else:
            rotary = (self.cos[at : at + tokens].to(x.dtype), self.sin[at : at + tokens].to(x.dtype))  # type: ignore[index]
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, caches[index] if caches is not None else None, at)
        logits = self.head(self.norm(x))
        if labels is None:
            return logits
        return functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())

    def caches(self, batch: int, tokens: int) -> list[torch.Tensor]:
        """Return empty key-value caches, one per layer."""
        weight = self.embedding.weight
        shape = (2, batch, self.size.kv_heads, tokens, self.size.head_dim)
        return [torch.zeros(shape, dtype=weight.dtype, device=weight.device) for _ in self.layers]
