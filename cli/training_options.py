"""Options that `train` and `finetune` share, and how they become facts: the accelerators, the price, the batch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..estimators import units
from ..estimators.errors import InputError
from ..estimators.facts.records import CloudClass, PricePlan
from ..estimators.frozen import dataclass
from ..estimators.quantity import Quantity, Step, exact
from ..estimators.training.layout import Optimizer, Precision, Recompute
from .options import complete_accelerator, complete_model, duration, fraction, naming, one_of, tokens, usd, whole

if TYPE_CHECKING:
    from ..estimators.facts.catalog import Catalog
    from ..estimators.facts.records import Accelerator
    from ..estimators.pricing.quote import Quote

JOB_PANEL = "The job"
LAYOUT_PANEL = "How it is run; chosen for you where left out"
PRICE_PANEL = "The price"


class AttentionFlops(StrEnum):
    """Whether the half of the scores that a causal mask hides counts as model FLOPs."""

    CAUSAL = "causal"
    FULL = "full"


ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A model by name, a config.json, or a size such as 7B.",
        autocompletion=complete_model,
        rich_help_panel=JOB_PANEL,
    ),
]
OnOption = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="CHIP[:N]",
        help="Accelerator and how many of them: h100-sxm:64.",
        autocompletion=complete_accelerator,
        rich_help_panel=JOB_PANEL,
    ),
]
TokensOption = Annotated[
    float | None,
    typer.Option(
        "--tokens", parser=tokens, metavar="N", help="Tokens to train on: 1T, 300B.", rich_help_panel=JOB_PANEL
    ),
]
SequenceOption = Annotated[
    int | None,
    typer.Option("--seq", parser=whole, metavar="N", help="Tokens per sequence.", rich_help_panel=LAYOUT_PANEL),
]
BatchOption = Annotated[
    str | None,
    typer.Option(
        "--global-batch",
        metavar="N",
        help="Sequences per optimizer step, or tokens: 512 or '4M tokens'.",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
MicroBatchOption = Annotated[
    int | None,
    typer.Option(
        "--micro-batch",
        parser=whole,
        metavar="N",
        help="Sequences per replica and pass.",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
TensorOption = Annotated[
    int | None,
    typer.Option("--tp", parser=whole, metavar="N", help="Tensor-parallel ranks.", rich_help_panel=LAYOUT_PANEL),
]
PipelineOption = Annotated[
    int | None,
    typer.Option("--pp", parser=whole, metavar="N", help="Pipeline stages.", rich_help_panel=LAYOUT_PANEL),
]
ContextOption = Annotated[
    int | None,
    typer.Option("--cp", parser=whole, metavar="N", help="Context-parallel ranks.", rich_help_panel=LAYOUT_PANEL),
]
ExpertOption = Annotated[
    int | None,
    typer.Option("--ep", parser=whole, metavar="N", help="Expert-parallel ranks.", rich_help_panel=LAYOUT_PANEL),
]
ZeroOption = Annotated[
    int | None,
    typer.Option(
        "--zero",
        min=0,
        max=3,
        metavar="0-3",
        help="What replicas shard: 0 nothing, 1 optimizer, 2 gradients too, 3 all (FSDP).",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
RecomputeOption = Annotated[
    Recompute | None,
    typer.Option("--recompute", case_sensitive=False, help="Activations computed twice.", rich_help_panel=LAYOUT_PANEL),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        case_sensitive=False,
        help="Format of the matrix products; bf16 where the chip has it.",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
OptimizerOption = Annotated[
    Optimizer,
    typer.Option("--optimizer", case_sensitive=False, help="The optimizer.", rich_help_panel=LAYOUT_PANEL),
]
MfuOption = Annotated[
    float | None,
    typer.Option(
        "--mfu",
        parser=fraction,
        metavar="SHARE",
        help="Take this MFU (0.4 or 40%) instead of estimating one.",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
AttentionOption = Annotated[
    AttentionFlops,
    typer.Option(
        "--attention-flops",
        case_sensitive=False,
        help="How FLOPs and MFU count causal attention: half, or in full.",
        rich_help_panel=LAYOUT_PANEL,
    ),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        parser=duration,
        metavar="TIME",
        help="When it must be done: 30d. Without a count, finds the fewest that do it.",
        rich_help_panel=JOB_PANEL,
    ),
]
CloudOption = Annotated[
    str | None, typer.Option("--cloud", metavar="NAME", help="Only this cloud's prices.", rich_help_panel=PRICE_PANEL)
]
ClassOption = Annotated[
    CloudClass | None,
    typer.Option("--class", case_sensitive=False, help="Only sellers of this class.", rich_help_panel=PRICE_PANEL),
]
PlanOption = Annotated[
    PricePlan | None,
    typer.Option("--plan", case_sensitive=False, help="On which terms; on-demand.", rich_help_panel=PRICE_PANEL),
]
PriceOption = Annotated[
    float | None,
    typer.Option(
        "--price",
        parser=usd,
        metavar="USD",
        help="Your price of one accelerator for one hour.",
        rich_help_panel=PRICE_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class PriceAsked:
    """What was typed about the price."""

    cloud: str | None
    cloud_class: CloudClass | None
    plan: PricePlan | None
    usd: float | None

    @property
    def narrowed(self) -> bool:
        """Whether anything was said about which catalog prices to use."""
        return bool(self.cloud or self.cloud_class or self.plan)


def accelerators_of(on: str, catalog: Catalog) -> tuple[Accelerator, int | None]:
    """Return the accelerator that `--on` names and the count, None where none is given."""
    with naming("--on"):
        name, count = units.read_accelerators(on)
        return catalog.find(name), count


def price_of(
    asked: PriceAsked, accelerator: Accelerator, catalog: Catalog, count: int | None = 1
) -> tuple[Quantity | None, Quote | None]:
    """Return the price of an accelerator-hour and the quote behind it; (None, None) where nobody sells it.

    A `count` of more than one machine (None: not yet known) is not quoted from marketplaces, which rent single
    machines, unless they are asked for or nobody else sells the chip.

    Raises:
        InputError: a given price and a choice among catalog prices contradict each other, or the choice has no price.
    """
    if asked.usd is not None:
        one_of(price=asked.usd, cloud=asked.cloud)
        one_of(price=asked.usd, **{"class": asked.cloud_class})
        one_of(price=asked.usd, plan=asked.plan)
        return exact(asked.usd, "usd_per_accelerator_hour", "--price"), None
    from ..estimators.pricing.quote import quote

    plan = asked.plan or PricePlan.ON_DEMAND
    is_cluster = count is None or count > (accelerator.accelerators_per_node or 8)
    if is_cluster and asked.cloud is None and asked.cloud_class is None:
        try:
            found = quote(catalog, accelerator.id, plan=plan, without=CloudClass.MARKETPLACE)
        except InputError:
            pass
        else:
            return found.usd_per_hour, found
    try:
        found = quote(catalog, accelerator.id, plan=plan, cloud=asked.cloud, cloud_class=asked.cloud_class)
    except InputError:
        if asked.narrowed:
            raise
        return None, None
    return found.usd_per_hour, found


def price_steps(found: Quote | None, catalog: Catalog) -> tuple[Step, ...]:
    """Return the line of `--explain` about the price, sources by name; nothing where the price was given."""
    if found is None:
        return ()
    names = {code: source.name for code, source in catalog.sources.items()}
    return (found.step(lambda code: names.get(code, code)),)


def read_batch(text: str, sequence_tokens: int) -> int:
    """Return sequences per step from `512`, `512 sequences` or `4M tokens` (rounded to split over accelerators).

    Raises:
        InputError: neither, not whole, or a bare number that can only mean tokens.
    """
    words = text.strip().lower()
    for unit in ("tokens", "token", "tok"):
        if words.endswith(unit):
            count = units.read_count(words.removesuffix(unit).strip(), "a number of tokens", "'4M tokens'")
            sequences = count / sequence_tokens
            if sequences < 1:
                raise InputError(f"'{text}' is less than one sequence of {sequence_tokens:,} tokens.")
            unit_of = 1 << max(0, int(sequences / 4).bit_length() - 1)  # tokens are meant roughly: make it divide well
            return round(sequences / unit_of) * unit_of
    for unit in ("sequences", "sequence", "seqs", "seq"):
        words = words.removesuffix(unit).strip()
    sequences = units.read_whole(words, "a global batch", "512 or '4M tokens'")
    if sequences >= 100_000:
        raise InputError(f"'{text}' would be {sequences:,} sequences; if tokens are meant, write '{text} tokens'.")
    return int(sequences)


def files(catalog: list[Path] | None) -> tuple[Path, ...]:
    """Return the overlays that were named."""
    return tuple(catalog or ())
