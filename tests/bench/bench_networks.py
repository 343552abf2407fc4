# ruff: noqa: TID253
"""Networks in plain PyTorch for the tests of tracing, written from their papers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """A transformer block with full attention: post-norm (BERT) or pre-norm (ViT)."""

    def __init__(self, hidden: int, heads: int, width: int, pre_norm: bool) -> None:
        super().__init__()
        self.heads, self.pre_norm = heads, pre_norm
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, width), nn.Linear(width, hidden)
        self.norm_1, self.norm_2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, hidden = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pre_norm:
            x = x + self.attend(self.norm_1(x))
            return x + self.down(functional.gelu(self.up(self.norm_2(x))))
        x = self.norm_1(x + self.attend(x))
        return self.norm_2(x + self.down(functional.gelu(self.up(x))))


class Bert(nn.Module):
    """BERT-base as a masked language model's encoder with pooler (arXiv:1810.04805)."""

    def __init__(self, layers: int = 12, hidden: int = 768, vocab: int = 30522) -> None:
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, hidden) for n in (vocab, 512, 2))
        self.norm = nn.LayerNorm(hidden)
        self.blocks = nn.ModuleList(Block(hidden, hidden // 64, 4 * hidden, False) for _ in range(layers))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        places = torch.arange(words.shape[1], device=words.device)
        x = self.norm(self.words(words) + self.places(places) + self.kinds(torch.zeros_like(words)))
        for block in self.blocks:
            x = block(x)
        return x


class VisionTransformer(nn.Module):
    """ViT-B/16 at 224 x 224 (arXiv:2010.11929)."""

    def __init__(self, layers: int = 12, hidden: int = 768, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, hidden, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, hidden))
        self.places = nn.Parameter(torch.zeros(1, 197, hidden))
        self.blocks = nn.ModuleList(Block(hidden, hidden // 64, 4 * hidden, True) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = self.stem(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(images.shape[0], -1, -1), patches), dim=1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Bottleneck(nn.Module):
    """A residual block of three convolutions, the stride in the middle one."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Identity()
        if stride != 1 or inputs != out:
            self.skip = nn.Sequential(nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.body(x) + self.skip(x))


def resnet_50() -> nn.Module:
    """ResNet-50 (arXiv:1512.03385), version 1.5 as in torchvision."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    parts.append(nn.MaxPool2d(3, 2, 1))
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for index in range(blocks):
            parts.append(Bottleneck(inputs, width, 2 if stage and not index else 1))
            inputs = 4 * width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 512), nn.GELU(), nn.Linear(512, 10))


def enormous() -> nn.Module:
    """Half a trillion parameters: two terabytes that no machine of a test has."""
    return nn.Sequential(*(nn.Linear(100_000, 100_000) for _ in range(50)))


def needs(size: int) -> nn.Module:
    return nn.Linear(size, size)


def nothing() -> str:
    return "a module"
