"""The parameter count of a diffusion U-Net with cross attention (Stable Diffusion XL, arXiv:2307.01952, table 1).

A closed form over its levels: residual blocks of two 3 x 3 convolutions with a time projection, transformers on the
levels that have a depth, a 3 x 3 convolution between levels, and on the way up one residual block more per level that
reads the skip connections. Convolutions on images are beyond our operators, so FLOPs are refused.
"""

from __future__ import annotations

from ..frozen import dataclass
from .shape import ModelKind, ModelShape, StackShape


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetCard:
    """`widths` and transformer `depths` by level, from the finest; `text_width` is what cross attention reads."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    blocks: int  # residual blocks per level on the way down
    text_width: int
    condition_width: int  # pooled text and image sizes, added to the time
    channels: int = 4

    def params(self) -> int:
        """Return the number of parameters."""
        first, deepest = self.widths[0], self.widths[-1]
        time = 4 * first
        ends = _conv(self.channels, first) + 2 * first + _conv(first, self.channels)
        times = _linear(first, time) + _linear(time, time)
        conditions = _linear(self.condition_width, time) + _linear(time, time)
        middle = 2 * _residual(deepest, deepest, time) + _transformer(deepest, self.depths[-1], self.text_width)
        return ends + times + conditions + self._down(time) + middle + self._up(time)

    def _down(self, time: int) -> int:
        total, width_in = 0, self.widths[0]
        for level, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            for block in range(self.blocks):
                total += _residual(width if block else width_in, width, time)
                total += _transformer(width, depth, self.text_width)
            if level < len(self.widths) - 1:
                total += _conv(width, width)  # stride 2
            width_in = width
        return total

    def _up(self, time: int) -> int:
        total, below = 0, self.widths[-1]
        skips = [self.widths[0]]  # widths of what the way down hands over, in the order in which it is made
        for level, width in enumerate(self.widths):
            skips += [width] * (self.blocks + (level < len(self.widths) - 1))
        for level in reversed(range(len(self.widths))):
            width = self.widths[level]
            for _ in range(self.blocks + 1):
                total += _residual(below + skips.pop(), width, time)
                total += _transformer(width, self.depths[level], self.text_width)
                below = width
            if level:
                total += _conv(width, width)  # behind the upsampling
        return total

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return a shape that can be counted only."""
        stack = StackShape(
            name="unet", hidden=self.widths[-1], runs=(), final_norm_params=0, extra_params=self.params()
        )
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.UNET,
            stacks=(stack,),
            vocab=0,
            tied_embeddings=False,
            has_head=False,
            position="none",
            countable_only=True,
            source=source,
            note=note,
        )


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _conv(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs


def _residual(inputs: int, outputs: int, time: int) -> int:
    """Two norms, two convolutions, the time projection, and a 1 x 1 shortcut where the width changes."""
    shortcut = _linear(inputs, outputs) if inputs != outputs else 0
    return (
        2 * inputs + _conv(inputs, outputs) + _linear(time, outputs) + 2 * outputs + _conv(outputs, outputs) + shortcut
    )


def _transformer(c: int, depth: int, text: int) -> int:
    """Norm, projections in and out, and `depth` blocks of self-attention, cross attention and a gated block of 4 c."""
    if not depth:
        return 0
    self_attention = 3 * c * c + _linear(c, c)
    cross_attention = c * c + 2 * text * c + _linear(c, c)
    feed_forward = _linear(c, 8 * c) + _linear(4 * c, c)
    return 2 * c + 2 * _linear(c, c) + depth * (6 * c + self_attention + cross_attention + feed_forward)
