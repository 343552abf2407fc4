"""Read `data/run_habits.yaml`: what published runs usually did where they do not say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..frozen import dataclass
from ..training.layout import Framework
from .schema import Fields
from .yamlfile import FactFile, read

NAME = "data/run_habits.yaml"
_PATH = Path(__file__).parents[2] / NAME
_NUMBERS = (
    "usual_days",
    "early_sequence_tokens",
    "early_sequence_until",
    "usual_sequence_tokens",
    "flash_attention_year",
    "adapter_rank",
    "finetune_micro_batch",
)


@dataclass(frozen=True, slots=True)
class TrainerStack:
    """The software of an organisation: `words` are looked for in what names it."""

    words: str
    framework: Framework
    source: str


@dataclass(frozen=True, slots=True)
class ExampleLength:
    """The mean tokens of an example of a data set: `words` are looked for, in small letters, in what names it."""

    words: str
    tokens: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHabits:
    """Usual settings; tokens are per sequence."""

    usual_days: float
    early_sequence_tokens: int
    early_sequence_until: float
    usual_sequence_tokens: int
    flash_attention_year: float
    adapter_rank: int
    finetune_micro_batch: int
    stacks: tuple[TrainerStack, ...]
    datasets: tuple[ExampleLength, ...]

    def example_tokens(self, text: str) -> float | None:
        """Return the mean tokens of an example of the data set that `text` names, None where none is known."""
        return next((each.tokens for each in self.datasets if each.words in text.lower()), None)

    def sequence(self, year: float | None) -> int:
        """Return the usual sequence of pre-training in `year` (tokens)."""
        early = year is not None and year < self.early_sequence_until
        return self.early_sequence_tokens if early else self.usual_sequence_tokens

    def framework(self, text: str, year: float | None) -> Framework | None:
        """Return the software of the organisation that `text` names, Megatron-DeepSpeed's kind before Megatron-Core."""
        named = next((stack.framework for stack in self.stacks if stack.words in text), None)
        if named is None and year is not None and year < self.flash_attention_year:
            return Framework.MEGATRON_DEEPSPEED
        return named


@cache
def load_run_habits() -> RunHabits:
    """Return the habits.

    Raises:
        FactsError: an entry is missing, unknown or of the wrong kind.
    """
    file = read(_PATH, name=NAME, check=_check)
    return _habits(file)


def _check(file: FactFile) -> None:
    _habits(file)


def _habits(file: FactFile) -> RunHabits:
    top = Fields(file, (), file.data, (*_NUMBERS, "stacks", "datasets"))
    number = {
        name: Fields(file, (name,), top.values.get(name), ("value", "guess", "source")).number("value")
        for name in _NUMBERS
    }
    stacks = tuple(
        TrainerStack(
            fields.text("words"),
            Framework(fields.choice("framework", [each.value for each in Framework])),
            fields.text("source"),
        )
        for fields in _list(top, "stacks", ("words", "framework", "source"))
    )
    datasets = tuple(
        ExampleLength(fields.text("words"), fields.number("tokens"), fields.text("source"))
        for fields in _list(top, "datasets", ("words", "tokens", "source"))
    )
    return RunHabits(
        usual_days=number["usual_days"],
        early_sequence_tokens=int(number["early_sequence_tokens"]),
        early_sequence_until=number["early_sequence_until"],
        usual_sequence_tokens=int(number["usual_sequence_tokens"]),
        flash_attention_year=number["flash_attention_year"],
        adapter_rank=int(number["adapter_rank"]),
        finetune_micro_batch=int(number["finetune_micro_batch"]),
        stacks=stacks,
        datasets=datasets,
    )


def _list(top: Fields, key: str, known: tuple[str, ...]) -> list[Fields]:
    entries = top.values.get(key)
    if not isinstance(entries, list):
        top.fail(key, f"{key} must be a list")
    return [Fields(top.file, (key, index), entry, known) for index, entry in enumerate(entries)]
