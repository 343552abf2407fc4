"""Options of a model, its layout and the price, which several verbs share, and how they become facts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..estimators import units
from ..estimators.errors import InputError
from ..estimators.facts.records import CloudClass, PricePlan
from ..estimators.frozen import dataclass
from ..estimators.quantity import Quantity, Step, exact
from ..estimators.training.layout import Optimizer, Precision, Recompute
from .options import (
    answer_option,
    complete_accelerator,
    complete_model,
    divisor,
    duration,
    naming,
    one_of,
    panel,
    tokens,
    usd,
    whole,
)

if TYPE_CHECKING:
    from ..estimators.facts.catalog import Catalog
    from ..estimators.facts.records import Accelerator
    from ..estimators.pricing.quote import Quote

job_option = panel("The job")
layout_option = panel("How it is run; chosen for you where left out")
price_option = panel("The price")


MOST_COUNTS = 32


def read_counts(text: str) -> tuple[int, ...]:
    """Return counts of accelerators from `64,128,256`, rising and each once.

    Raises:
        InputError: not whole numbers, fewer than two, or too many.
    """
    example = "64,128,256"
    counts = sorted({units.read_whole(each.strip(), "a number of accelerators", example) for each in text.split(",")})
    if not 2 <= len(counts) <= MOST_COUNTS:
        raise InputError(f"'{text}' names {len(counts)}; give 2 to {MOST_COUNTS} different counts, such as {example}.")
    return tuple(int(count) for count in counts)


class AttentionFlops(StrEnum):
    """Whether the half of the scores that a causal mask hides counts as model FLOPs."""

    CAUSAL = "causal"
    FULL = "full"


ModelOption = Annotated[
    str,
    job_option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A model by name, a config.json, or a size such as 7B.",
        autocompletion=complete_model,
    ),
]
OnOption = Annotated[
    str,
    job_option(
        "--on",
        metavar="CHIP[:N]",
        help="Accelerator and how many of them: h100-sxm:64.",
        autocompletion=complete_accelerator,
    ),
]
TokensOption = Annotated[
    float | None, job_option("--tokens", parser=tokens, metavar="N", help="Tokens to train on: 1T, 300B.")
]
SequenceOption = Annotated[int | None, layout_option("--seq", parser=whole, metavar="N", help="Tokens per sequence.")]
BatchOption = Annotated[
    str | None,
    layout_option("--global-batch", metavar="N", help="Sequences per optimizer step, or tokens: 512 or '4M tokens'."),
]
MicroBatchOption = Annotated[
    int | None, layout_option("--micro-batch", parser=whole, metavar="N", help="Sequences per replica and pass.")
]
TensorOption = Annotated[int | None, layout_option("--tp", parser=whole, metavar="N", help="Tensor-parallel ranks.")]
PipelineOption = Annotated[int | None, layout_option("--pp", parser=whole, metavar="N", help="Pipeline stages.")]
ContextOption = Annotated[int | None, layout_option("--cp", parser=whole, metavar="N", help="Context-parallel ranks.")]
ExpertOption = Annotated[int | None, layout_option("--ep", parser=whole, metavar="N", help="Expert-parallel ranks.")]
ZeroOption = Annotated[
    int | None,
    layout_option(
        "--zero",
        min=0,
        max=3,
        metavar="0-3",
        help="What replicas shard: 0 nothing, 1 optimizer, 2 gradients too, 3 all (FSDP).",
    ),
]
InterleaveOption = Annotated[
    int | None, layout_option("--interleave", parser=whole, metavar="N", help="Virtual pipeline stages per rank.")
]
RecomputeOption = Annotated[
    Recompute | None, layout_option("--recompute", case_sensitive=False, help="Activations computed twice.")
]
PrecisionOption = Annotated[
    Precision | None,
    layout_option(
        "--precision", case_sensitive=False, help="Format of the matrix products; bf16 where the chip has it."
    ),
]
OptimizerOption = Annotated[Optimizer, layout_option("--optimizer", case_sensitive=False, help="The optimizer.")]
MfuOption = Annotated[
    float | None,
    layout_option(
        "--mfu", parser=divisor, metavar="SHARE", help="Take this MFU (0.4 or 40%) instead of estimating one."
    ),
]
AttentionOption = Annotated[
    AttentionFlops,
    layout_option(
        "--attention-flops", case_sensitive=False, help="How FLOPs and MFU count causal attention: half, or in full."
    ),
]
LayoutsOption = Annotated[
    bool,
    answer_option(
        "--layouts", help="Search more layouts: the fastest at each amount of memory, and why the best others lost."
    ),
]
ScalingOption = Annotated[
    bool,
    answer_option("--scaling", help="The same job on halves and doubles of the count, and where speed gets dear."),
]
CountsOption = Annotated[
    str | None, answer_option("--counts", metavar="N,N,..", help="--scaling on these counts: 64,128,256.")
]
DeadlineOption = Annotated[
    float | None,
    job_option(
        "--deadline",
        parser=duration,
        metavar="TIME",
        help="When it must be done: 30d. Without a count, finds the fewest that do it.",
    ),
]
CloudOption = Annotated[str | None, price_option("--cloud", metavar="NAME", help="Only this cloud's prices.")]
ClassOption = Annotated[
    CloudClass | None, price_option("--class", case_sensitive=False, help="Only sellers of this class.")
]
PlanOption = Annotated[
    PricePlan | None, price_option("--plan", case_sensitive=False, help="On which terms; on-demand.")
]
PriceOption = Annotated[
    float | None, price_option("--price", parser=usd, metavar="USD", help="Your price of one accelerator for one hour.")
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
