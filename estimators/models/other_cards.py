"""Cards of the kinds that are not decoders: BERT, T5, ViT, CLIP, Whisper and DiT.

Each follows the checkpoint of its paper to the last bias; `shape()` says which parts it has. The U-Net of SDXL is in
`unet.py`, for it can only be counted.
"""

from __future__ import annotations

from ..frozen import dataclass
from .shape import (
    AttentionShape,
    FeedForwardShape,
    LayerShape,
    ModelKind,
    ModelShape,
    ProjectionShape,
    StackShape,
)


def _attention(
    heads: int,
    head_dim: int,
    *,
    bias: bool = True,
    key_bias: bool = True,
    causal: bool = False,
    relative_buckets: int = 0,
) -> AttentionShape:
    return AttentionShape(
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        value_dim=head_dim,
        causal=causal,
        qkv_bias=bias,
        key_bias=key_bias,
        out_bias=bias,
        relative_buckets=relative_buckets,
    )


def _layernorm_layer(heads: int, hidden: int, ffn: int, *, causal: bool = False) -> LayerShape:
    """Return a layer with biases everywhere and two LayerNorms, as in GPT-2, BERT, ViT and CLIP."""
    return LayerShape(
        attention=_attention(heads, hidden // heads, causal=causal),
        feed_forward=FeedForwardShape(width=ffn, gated=False, bias=True),
        norm_params=2,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCard:
    """BERT (arXiv:1810.04805) and RoBERTa: norms behind each block, a norm behind the embedding, a pooler."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    position_rows: int = 512
    type_rows: int = 2
    pooler: bool = True
    max_tokens: int | None = 512

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return the shape as checkpoints store it, without a pre-training head."""
        pooler = ProjectionShape(name="pooler", inputs=self.hidden, outputs=self.hidden, bias=True)
        stack = StackShape(
            name="encoder",
            hidden=self.hidden,
            runs=((self.layers, _layernorm_layer(self.heads, self.hidden, self.ffn)),),
            final_norm_params=0,
            outputs=(pooler,) if self.pooler else (),
        )
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.ENCODER,
            stacks=(stack,),
            vocab=self.vocab,
            tied_embeddings=True,
            has_head=False,
            position="learned",
            position_params=self.position_rows,
            embed_norm_params=2,
            extra_params=self.type_rows * self.hidden,
            max_tokens=self.max_tokens,
            source=source,
            note=note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDecoderCard:
    """T5 (arXiv:1910.10683): no biases, RMSNorm, one table of relative positions per stack."""

    encoder_layers: int
    decoder_layers: int
    hidden: int
    heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = False
    tied: bool = True
    relative_buckets: int = 32
    max_tokens: int | None = 512

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return both stacks; cross attention has no relative positions."""
        block = FeedForwardShape(width=self.ffn, gated=self.gated)
        encoder, decoder = (
            _attention(self.heads, self.head_dim, bias=False, causal=causal, relative_buckets=self.relative_buckets)
            for causal in (False, True)
        )
        cross = _attention(self.heads, self.head_dim, bias=False)
        encoder_layer = LayerShape(attention=encoder, feed_forward=block)
        decoder_layer = LayerShape(attention=decoder, cross_attention=cross, feed_forward=block, norms=3)
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.ENCODER_DECODER,
            stacks=(
                StackShape(name="encoder", hidden=self.hidden, runs=((self.encoder_layers, encoder_layer),)),
                StackShape(name="decoder", hidden=self.hidden, runs=((self.decoder_layers, decoder_layer),)),
            ),
            vocab=self.vocab,
            tied_embeddings=self.tied,
            position="relative bias",
            max_tokens=self.max_tokens,
            source=source,
            note=note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionCard:
    """ViT (arXiv:2010.11929) with its classifier; the sequence is one class token and (image / patch)^2 patches."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    patch: int
    image: int
    channels: int = 3
    classes: int = 1000

    @property
    def tokens(self) -> int:
        """Tokens per image."""
        return (self.image // self.patch) ** 2 + 1

    def stack(self, name: str = "vision", *, patch_bias: bool = True, norm_in: bool = False) -> StackShape:
        """Return the tower without what follows its last norm."""
        patch = ProjectionShape(
            name="patches",
            inputs=self.patch**2 * self.channels,
            outputs=self.hidden,
            bias=patch_bias,
            rows_per_token=1.0,
            convolution=True,
        )
        return StackShape(
            name=name,
            hidden=self.hidden,
            runs=((self.layers, _layernorm_layer(self.heads, self.hidden, self.ffn)),),
            final_norm_params=2,
            stem=(patch,),
            class_tokens=1,
            position_rows=self.tokens,
            embed_norm_params=2 if norm_in else 0,
        )

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return the tower with a classifier over `classes`."""
        from ..frozen import replace

        head = ProjectionShape(name="classifier", inputs=self.hidden, outputs=self.classes, bias=True)
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.VISION,
            stacks=(replace(self.stack(), outputs=(head,) if self.classes else ()),),
            vocab=0,
            tied_embeddings=False,
            has_head=False,
            position="learned",
            max_tokens=self.tokens,
            source=source,
            note=note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTowerCard:
    """The text side of CLIP."""

    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DualEncoderCard:
    """CLIP (arXiv:2103.00020): both towers projected without bias into one space, and one learned temperature."""

    vision: VisionCard
    text: TextTowerCard
    projection: int

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return both towers; a sequence is one pair of an image and a text."""
        from ..frozen import replace

        image, text = self.vision, self.text
        vision = replace(
            image.stack(patch_bias=False, norm_in=True),
            tokens=image.tokens,
            outputs=(ProjectionShape(name="projection", inputs=image.hidden, outputs=self.projection),),
        )
        words = StackShape(
            name="text",
            hidden=text.hidden,
            runs=((text.layers, _layernorm_layer(text.heads, text.hidden, text.ffn, causal=True)),),
            final_norm_params=2,
            outputs=(ProjectionShape(name="projection", inputs=text.hidden, outputs=self.projection),),
        )
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.DUAL_ENCODER,
            stacks=(vision, words),
            vocab=text.vocab,
            tied_embeddings=False,
            has_head=False,
            position="learned",
            position_params=text.tokens,
            max_tokens=text.tokens,
            extra_params=1,
            source=source,
            note=note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCard:
    """Whisper (arXiv:2212.04356): two audio convolutions, keys without bias, fixed encoder positions (stored)."""

    encoder_layers: int
    decoder_layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    mel_bins: int = 80
    audio_tokens: int = 1500
    max_tokens: int | None = 448

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return both stacks; the second convolution has stride 2, so the first sees two rows per audio token."""
        h, kernel = self.hidden, 3
        head_dim = h // self.heads
        block = FeedForwardShape(width=self.ffn, gated=False, bias=True)
        encoder_layer = LayerShape(
            attention=_attention(self.heads, head_dim, key_bias=False), feed_forward=block, norm_params=2
        )
        decoder_layer = LayerShape(
            attention=_attention(self.heads, head_dim, key_bias=False, causal=True),
            cross_attention=_attention(self.heads, head_dim, key_bias=False),
            feed_forward=block,
            norms=3,
            norm_params=2,
        )
        stem = tuple(
            ProjectionShape(
                name=name, inputs=kernel * inputs, outputs=h, bias=True, rows_per_token=rows, convolution=True
            )
            for name, inputs, rows in (("convolution_1", self.mel_bins, 2.0), ("convolution_2", h, 1.0))
        )
        encoder = StackShape(
            name="encoder",
            hidden=h,
            runs=((self.encoder_layers, encoder_layer),),
            final_norm_params=2,
            stem=stem,
            tokens=self.audio_tokens,
            position_rows=self.audio_tokens,
        )
        decoder = StackShape(
            name="decoder", hidden=h, runs=((self.decoder_layers, decoder_layer),), final_norm_params=2
        )
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.SPEECH,
            stacks=(encoder, decoder),
            vocab=self.vocab,
            tied_embeddings=True,
            position="learned",
            position_params=self.max_tokens or 0,
            max_tokens=self.max_tokens,
            source=source,
            note=note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionCard:
    """DiT (arXiv:2212.09748) with adaLN-zero: scale, shift and gate of both blocks come from time and class.

    The sequence is (latent / patch)^2 tokens. It predicts noise and, where `learns_variance`, as many channels again.
    """

    layers: int
    hidden: int
    heads: int
    ffn: int
    patch: int
    latent: int
    channels: int = 4
    classes: int = 1000
    time_inputs: int = 256
    learns_variance: bool = True

    def shape(self, name: str, family: str = "", *, source: str = "", note: str = "") -> ModelShape:
        """Return the shape; the class table has one row more for classifier-free guidance."""
        h, numbers = self.hidden, self.patch**2 * self.channels
        layer = LayerShape(
            attention=_attention(self.heads, h // self.heads),
            feed_forward=FeedForwardShape(width=self.ffn, gated=False, bias=True),
            norm_params=0,
            conditioning=(ProjectionShape(name="adaptive_norm", inputs=h, outputs=6 * h, bias=True),),
        )
        out = numbers * (2 if self.learns_variance else 1)
        tokens = (self.latent // self.patch) ** 2
        stack = StackShape(
            name="denoiser",
            hidden=h,
            runs=((self.layers, layer),),
            final_norm_params=0,
            stem=(
                ProjectionShape(
                    name="patches", inputs=numbers, outputs=h, bias=True, rows_per_token=1.0, convolution=True
                ),
                ProjectionShape(name="time_1", inputs=self.time_inputs, outputs=h, bias=True),
                ProjectionShape(name="time_2", inputs=h, outputs=h, bias=True),
            ),
            outputs=(
                ProjectionShape(name="final_adaptive_norm", inputs=h, outputs=2 * h, bias=True),
                ProjectionShape(name="pixels", inputs=h, outputs=out, bias=True, rows_per_token=1.0),
            ),
            position_rows=tokens,
            extra_params=(self.classes + 1) * h,
        )
        return ModelShape(
            name=name,
            family=family,
            kind=ModelKind.DIFFUSION,
            stacks=(stack,),
            vocab=0,
            tied_embeddings=False,
            has_head=False,
            position="fixed",
            max_tokens=tokens,
            source=source,
            note=note,
        )
