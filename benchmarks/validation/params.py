"""Replays published parameter counts: every preset, or the rows of a file, through the operator list.

A row is predicted from its shape alone: a preset by its card, a row of a file by its columns (those of the model table:
layers, hidden, heads, kv_heads, head_dim, ffn, vocab, ...), or by its name or size where it has none. The published
count and whatever else was computed before are never read for the prediction.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...estimators.errors import FlopwiseError, InputError
from ...estimators.facts.models import CountKind, load_preset, preset_names
from ...estimators.models.cards import DecoderCard
from ...estimators.models.parameters import count_parameters
from ...estimators.models.shape import ModelShape
from .rows import Cells

NEAR = 0.005  # a rounded figure may differ by this without an explanation
MEASURED_COLUMNS = ("published_total", "published", "params", "measured")
_NORMS = {"layernorm_nobias": "layernorm-no-bias", "layernorm_noparam": "no-parameters"}
_QK_NORMS = {"hd": "head", "head": "head", "full": "full"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsRow:
    """One model: the published count, ours, and whether the published one is exact."""

    id: str
    source: str
    how: CountKind
    measured: int
    predicted: int | None
    explanation: str = ""
    reason: str = ""

    @property
    def status(self) -> str:
        """Whether the row could be predicted."""
        return "unsupported" if self.predicted is None else "scored"

    @property
    def error(self) -> float | None:
        """Signed relative error."""
        return None if self.predicted is None else self.predicted / self.measured - 1

    @property
    def agreement(self) -> str:
        """How far ours agrees: "exact", "near" (0.5 %), "explained", "differs", or "" for an unsupported row."""
        if self.predicted is None or self.error is None:
            return ""
        if self.predicted == self.measured:
            return "exact"
        if self.how is CountKind.NOMINAL and abs(self.error) <= NEAR:
            return "near"
        return "explained" if self.explanation else "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamsSummary:
    """Counts over rows. `exact_published` rows have the number of a checkpoint, `exact_matched` of them match to the
    unit; the others are rounded figures.
    """

    rows: int
    unsupported: int
    exact_published: int
    exact_matched: int
    nominal: int
    near: int
    explained: int
    differs: tuple[str, ...]
    median: float | None
    p90: float | None
    worst: float | None


def replay_presets() -> tuple[ParamsRow, ...]:
    """Return every preset with its published count and ours."""
    rows = []
    for name in preset_names():
        preset = load_preset(name)
        published = preset.published
        rows.append(
            ParamsRow(
                id=name,
                source=published.where or "announcement",
                how=published.how,
                measured=published.params,
                predicted=count_parameters(preset.shape).total,
                explanation=published.explanation,
            )
        )
    return tuple(rows)


def replay_cases(path: Path) -> tuple[ParamsRow, ...]:
    """Return the rows of a CSV file; a row that cannot be predicted says why.

    Raises:
        InputError: the file cannot be read, or lacks a name or a published count.
    """
    return tuple(_case(number, cells, path) for number, cells in enumerate(_read(path), start=2))


def summary(rows: Iterable[ParamsRow]) -> ParamsSummary:
    """Return how many rows agree, and how far the others are off."""
    from .scores import quantile

    rows = tuple(rows)
    errors = [abs(row.error) for row in rows if row.error is not None]
    exact = [row for row in rows if row.how is CountKind.EXACT]
    return ParamsSummary(
        rows=len(rows),
        unsupported=sum(row.predicted is None for row in rows),
        exact_published=len(exact),
        exact_matched=sum(row.agreement == "exact" for row in exact),
        nominal=len(rows) - len(exact),
        near=sum(row.agreement in ("exact", "near") for row in rows if row.how is CountKind.NOMINAL),
        explained=sum(row.agreement == "explained" for row in rows),
        differs=tuple(row.id for row in rows if row.agreement == "differs"),
        median=quantile(errors, 0.5) if errors else None,
        p90=quantile(errors, 0.9) if errors else None,
        worst=max(errors, default=None),
    )


def _read(path: Path) -> list[Cells]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            rows = [
                Cells({key: value for key, value in row.items() if key and isinstance(value, str)}) for row in reader
            ]
    except FileNotFoundError:
        raise InputError(f"--cases: '{path}' does not exist.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--cases: '{path}' cannot be read as CSV: {error}.") from None
    if not {"name", "model", "id"} & set(columns) or not set(MEASURED_COLUMNS) & set(columns):
        raise InputError(
            f"--cases: '{path}' needs a column name (or model) and one of {', '.join(MEASURED_COLUMNS)}; "
            f"it has {', '.join(columns) or 'none'}."
        )
    if not rows:
        raise InputError(f"--cases: '{path}' has no rows.")
    return rows


def _case(number: int, cells: Cells, path: Path) -> ParamsRow:
    name = cells.text("name") or cells.text("model") or cells.text("id") or f"line {number}"
    measured = next((value for key in MEASURED_COLUMNS if (value := cells.number(key))), None)
    if not measured or measured <= 0:
        raise InputError(f"--cases: '{path}' line {number} has no published count of '{name}'.")
    kind = CountKind.EXACT if cells.text("published_kind").startswith("exact") else CountKind.NOMINAL
    predicted, reason = None, ""
    try:
        predicted = count_parameters(_shape(name, cells)).total
    except FlopwiseError as error:
        reason = str(error)
    explanation = cells.text("explanation") or (cells.text("note") if kind is CountKind.NOMINAL else "")
    if not explanation and name in preset_names():
        explanation = load_preset(name).published.explanation
    return ParamsRow(
        id=name,
        source=path.name,
        how=kind,
        measured=round(measured),
        predicted=predicted,
        explanation=explanation,
        reason=reason,
    )


def _shape(name: str, cells: Cells) -> ModelShape:
    """Return the shape from the columns, or by name where the columns do not describe a decoder."""
    from ...estimators.models.resolve import resolve_model

    kind = cells.text("kind") or "decoder"
    if kind == "decoder" and cells.whole("layers") and cells.whole("hidden"):
        return _decoder(cells).shape(name)
    if kind in _OTHER_KINDS and (shape := _OTHER_KINDS[kind](name, cells)):
        return shape
    return resolve_model(name).shape


def _decoder(cells: Cells) -> DecoderCard:
    """Return the card that the columns of the model table describe; a blank cell is the usual decoder's."""

    def flag(key: str, default: bool = False) -> bool:
        text = cells.text(key).lower()
        return default if not text else text in ("true", "1", "yes")

    def whole(key: str) -> int:
        return cells.whole(key) or 0

    def needed(key: str) -> int:
        if not cells.whole(key):
            raise InputError(f"the column {key} is blank, so the parameters cannot be counted.")
        return whole(key)

    norm = cells.text("norm") or "rmsnorm"
    experts, latent_rank = whole("experts"), whole("mla_kv_lora")
    dense = not experts or whole("first_dense_layers") or whole("moe_every") > 1
    return DecoderCard(
        layers=needed("layers"),
        hidden=needed("hidden"),
        vocab=needed("vocab"),
        heads=needed("heads"),
        kv_heads=cells.whole("kv_heads"),
        head_dim=cells.whole("head_dim"),
        value_dim=cells.whole("mla_v"),
        ffn=needed("ffn") if dense else 0,
        gated=flag("gated_mlp", True),
        tied=flag("tied_embeddings"),
        norm=_NORMS.get(norm, norm),
        norms_per_layer=whole("norms_per_layer") or 2,
        final_norm=flag("final_norm", True),
        embedding_norm=flag("embed_norm"),
        qkv_bias=flag("qkv_bias"),
        out_bias=flag("out_bias"),
        mlp_bias=flag("mlp_bias"),
        head_bias=flag("head_bias"),
        qk_norm=_QK_NORMS.get(cells.text("qk_norm").lower(), ""),
        sinks=flag("attn_sinks"),
        parallel=flag("parallel_block"),
        position=cells.text("position") or "rope",
        position_rows=whole("pos_params"),
        max_tokens=cells.whole("max_pos"),
        window=cells.whole("sliding_window"),
        experts=experts,
        active_experts=whole("topk"),
        expert_ffn=whole("moe_ffn"),
        shared_ffn=whole("shared_ffn"),
        dense_first=whole("first_dense_layers"),
        experts_every=whole("moe_every") or 1,
        router_bias=flag("router_bias"),
        shared_gate=flag("shared_gate"),
        expert_bias=flag("expert_bias"),
        score_bias=flag("score_bias"),
        q_rank=whole("mla_q_lora"),
        kv_rank=latent_rank,
        rope_dim=whole("mla_rope"),
    )


def _encoder(name: str, cells: Cells) -> ModelShape | None:
    from ...estimators.models.other_cards import EncoderCard

    sizes = [cells.whole(key) for key in ("layers", "hidden", "heads", "ffn", "vocab")]
    if not all(sizes):
        return None
    layers, hidden, heads, ffn, vocab = (size or 0 for size in sizes)
    rows = cells.whole("max_pos") or 512
    return EncoderCard(
        layers=layers, hidden=hidden, heads=heads, ffn=ffn, vocab=vocab, position_rows=rows, max_tokens=rows
    ).shape(name)


def _encoder_decoder(name: str, cells: Cells) -> ModelShape | None:
    from ...estimators.models.other_cards import EncoderDecoderCard

    stacks = cells.text("layers").split("+")
    sizes = [cells.whole(key) for key in ("hidden", "heads", "head_dim", "ffn", "vocab")]
    if len(stacks) != 2 or not all(stack.isdigit() for stack in stacks) or not all(sizes):
        return None
    hidden, heads, head_dim, ffn, vocab = (size or 0 for size in sizes)
    return EncoderDecoderCard(
        encoder_layers=int(stacks[0]),
        decoder_layers=int(stacks[1]),
        hidden=hidden,
        heads=heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=vocab,
        gated=cells.text("gated_mlp").lower() == "true",
        tied=cells.text("tied_embeddings").lower() != "false",
    ).shape(name)


_OTHER_KINDS: Mapping[str, Callable[[str, Cells], ModelShape | None]] = {
    "encoder": _encoder,
    "encoder-decoder": _encoder_decoder,
}
