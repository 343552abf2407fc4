"""Search over layouts: the Pareto front of step time and memory of one job, and why the best of the others lost.

All candidates (`training/candidates.py`, the generator behind the choice of every answer) are timed: tens of thousands
per CPU-second. Memory, some fifty times dearer, is worked out from the fastest on; a family of layouts that does not fit
is not asked again at a larger micro-batch. A layout joins the front when it needs less memory than every faster one
that fits. Layouts that take over one and a half times as long as the fastest are not sized: nobody runs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, InputError
from ..frozen import dataclass, replace
from ..training.candidates import WIDE, Space, candidates, simplicity
from ..training.choose import SAFE_PROBABILITY, Clock, Wanted, check_wanted
from ..training.layout import Layout, Recipe, Recompute
from ..units import show_bytes

if TYPE_CHECKING:
    from ..training.job import JobAnswer
    from ..training.run import TrainingRun

SLOWEST = 1.5  # times the step of the fastest that fits
SHOWN_TOO_LARGE, SHOWN_SLOWER = 4, 6
_SAME = 1e-9  # relative; times nearer than this are rounding

_Timed = tuple[float, tuple[int, ...], Layout, Recompute]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOption:
    """One layout: seconds of a step, the least bytes with which it runs, and the chance that it runs out of them."""

    layout: Layout
    recompute: Recompute
    seconds: float
    needed_bytes: float
    usable_bytes: float
    probability_of_running_out: float

    @property
    def fits(self) -> bool:
        """Whether it is as safe as a chosen layout must be."""
        return self.probability_of_running_out <= SAFE_PROBABILITY


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLayout:
    """A layout that was not taken: too large, or slower than `beaten_by` and no leaner, most of it by `part`."""

    option: LayoutOption
    beaten_by: LayoutOption | None = None  # None: it does not fit
    part: str = ""
    part_seconds: float = 0.0  # what that part of a step takes more

    @property
    def slower(self) -> float:
        """By what share it is slower than what beat it."""
        return self.option.seconds / self.beaten_by.seconds - 1 if self.beaten_by else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSearch:
    """The answer: the front from the fastest to the leanest, the best losers, and how many were looked at.

    Losers are first what more memory would buy: layouts faster than the fastest that fits, each leaner than the faster
    ones, those nearest to fitting; then the fastest that fit and are beaten, one of each cut (its parallel degrees and
    sharding). One cut stands once among either.
    """

    front: tuple[LayoutOption, ...]
    losers: tuple[LostLayout, ...]
    timed: int
    sized: int

    @property
    def fastest(self) -> LayoutOption:
        """The fastest layout that fits."""
        return self.front[0]

    @property
    def leanest(self) -> LayoutOption:
        """The layout of the front that needs least memory."""
        return self.front[-1]


def search_layouts(
    *,
    accelerators: int,
    recipe: Recipe,
    clock: Clock,
    wanted: Wanted | None = None,
    chosen: LayoutOption | None = None,
    space: Space = WIDE,
) -> LayoutSearch:
    """Return the Pareto front of step time and memory over the space, and why the best of the others lost.

    What is `wanted` is kept; `clock` knows the model, the chip and the batch; `chosen` is a layout that fits, and the
    first of the beaten unless it is on the front.

    Raises:
        InputError: nothing in the space divides the job, or nothing is left to choose.
        DoesNotFit: nothing fits the memory.
    """
    wanted = wanted or Wanted()
    check_wanted(clock.shape, accelerators, wanted, clock.workload)
    timed = time_layouts(accelerators=accelerators, recipe=recipe, clock=clock, wanted=wanted, space=space)
    if not timed:
        raise InputError(
            f"{clock.shape.name} with a batch of {clock.workload.global_batch:,} sequences cannot be cut over "
            f"{accelerators:,} accelerators; take a batch or a count with more divisors."
        )
    if len(timed) == 1:
        raise InputError("nothing is left to search: one layout is possible with what is fixed; leave a degree free.")
    timed.sort(key=lambda item: item[:2])
    return _Walk(recipe, clock).over(timed, chosen)


def time_layouts(
    *, accelerators: int, recipe: Recipe, clock: Clock, wanted: Wanted, space: Space = WIDE
) -> list[_Timed]:
    """Return (seconds, what ties are broken by, layout, recomputation) of every candidate, in no order."""
    recipes = {recompute: replace(recipe, recompute=recompute) for recompute in Recompute}
    return [
        (clock.seconds(layout, recipes[recompute]), simplicity(layout, recompute), layout, recompute)
        for layout, recompute in candidates(clock.shape, clock.accelerator, accelerators, clock.workload, wanted, space)
    ]


def runs_of(found: JobAnswer, options: Iterable[LayoutOption]) -> tuple[TrainingRun, ...]:
    """Return the whole run of the job in each layout: days, money and failures with their ranges."""
    from ..training.job import run_of

    runs = []
    for option in options:
        recipe = replace(found.job.recipe, recompute=option.recompute)
        runs.append(run_of(found.job, found.workload, option.layout, found.clock.time(option.layout, recipe)))
    return tuple(runs)


def option_of(found: JobAnswer) -> LayoutOption:
    """Return the layout of an answer as the search sees it."""
    choice = found.choice
    return LayoutOption(
        layout=choice.layout,
        recompute=choice.recipe.recompute,
        seconds=found.clock.seconds(choice.layout, choice.recipe),
        needed_bytes=choice.memory.needed_bytes,
        usable_bytes=choice.memory.usable_bytes,
        probability_of_running_out=choice.memory.probability_of_running_out,
    )


class _Walk:
    """Walks over timed layouts from the fastest on and keeps the front and the losers."""

    def __init__(self, recipe: Recipe, clock: Clock) -> None:
        self.recipe, self.clock = recipe, clock
        self.front: list[LayoutOption] = []
        self.too_large: list[LayoutOption] = []  # faster than the fastest that fits, each leaner than the one before
        self.slower: dict[tuple[object, ...], LayoutOption] = {}
        self.leanest: LayoutOption | None = None  # of those that do not fit
        self.sized = 0

    def over(self, timed: list[_Timed], chosen: LayoutOption | None) -> LayoutSearch:
        """Return what the walk found."""
        hopeless: dict[tuple[object, ...], int] = {}  # family: smallest micro-batch known not to fit
        for seconds, _, layout, recompute in timed:
            if self.front and seconds > SLOWEST * self.front[0].seconds:
                break
            family = (*_cut(layout), layout.interleave, recompute)
            if layout.micro_batch >= hopeless.get(family, layout.micro_batch + 1):
                continue
            option = self._sized(seconds, layout, recompute)
            if option.fits:
                self._place(option)
            else:
                hopeless[family] = layout.micro_batch
                if self.leanest is None or option.needed_bytes < self.leanest.needed_bytes:
                    self.leanest = option
                    if not self.front:
                        self.too_large.append(option)
        if not self.front:
            raise DoesNotFit(self._nothing(len(timed)))
        cuts = {_cut(option.layout): option for option in self.too_large}  # the leanest of each, the last
        too_large = [LostLayout(option=option) for option in sorted(cuts.values(), key=lambda each: each.seconds)]
        return LayoutSearch(
            front=tuple(self.front),
            losers=(*too_large[-SHOWN_TOO_LARGE:], *map(self._beaten, self._best_beaten(chosen))),
            timed=len(timed),
            sized=self.sized,
        )

    def _best_beaten(self, chosen: LayoutOption | None) -> list[LayoutOption]:
        seen = {_cut(option.layout) for option in self.front}
        first = []
        if chosen and not any(_is_same(chosen, option) for option in self.front):
            first = [chosen]
            seen.add(_cut(chosen.layout))
        return [*first, *(option for cut, option in self.slower.items() if cut not in seen)][:SHOWN_SLOWER]

    def _place(self, option: LayoutOption) -> None:
        last = self.front[-1] if self.front else None
        if last and option.needed_bytes >= last.needed_bytes:
            self.slower.setdefault(_cut(option.layout), option)
            return
        if last and option.seconds <= last.seconds * (1 + _SAME):  # as fast and leaner: the other is beaten
            self.front.pop()
        self.front.append(option)

    def _sized(self, seconds: float, layout: Layout, recompute: Recompute) -> LayoutOption:
        from ..memory.training import training_memory

        self.sized += 1
        clock = self.clock
        memory = training_memory(
            clock.shape,
            layout=layout,
            recipe=replace(self.recipe, recompute=recompute),
            workload=clock.workload,
            accelerator=clock.accelerator,
        )
        return LayoutOption(
            layout=layout,
            recompute=recompute,
            seconds=seconds,
            needed_bytes=memory.needed_bytes,
            usable_bytes=memory.usable_bytes,
            probability_of_running_out=memory.probability_of_running_out,
        )

    def _beaten(self, option: LayoutOption) -> LostLayout:
        """Say what beats a layout and which part of the step makes the difference."""
        winner = next(each for each in self.front if each.needed_bytes <= option.needed_bytes)
        theirs, ours = self._parts(winner), self._parts(option)
        more = {name: spent - theirs.get(name, 0.0) for name, spent in ours.items()}
        worst = max(more, key=lambda name: more[name])
        return LostLayout(option=option, beaten_by=winner, part=worst, part_seconds=more[worst])

    def _parts(self, option: LayoutOption) -> dict[str, float]:
        time = self.clock.time(option.layout, replace(self.recipe, recompute=option.recompute))
        return {part.name: part.seconds for part in time.parts}

    def _nothing(self, timed: int) -> str:
        best = self.leanest
        assert best is not None  # something was sized
        return (
            f"{self.clock.shape.name} does not fit on {best.layout.accelerators:,} x {self.clock.accelerator.name}: the "
            f"leanest of {timed:,} layouts needs about {show_bytes(best.needed_bytes)} of "
            f"{show_bytes(best.usable_bytes)} usable."
        )


def _is_same(one: LayoutOption, other: LayoutOption) -> bool:
    return (one.layout, one.recompute) == (other.layout, other.recompute)


def _cut(layout: Layout) -> tuple[object, ...]:
    return (layout.tp, layout.pp, layout.cp, layout.ep, layout.zero)
