"""The sections of `train --layouts` and `train --scaling`: what other layouts and other counts would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...estimators.planning.layouts import LayoutOption, LayoutSearch, LostLayout, option_of, runs_of
from ...estimators.training.layout import Layout, Recompute
from ...estimators.units import show_bytes, show_duration, show_percent
from .document import Column, Facts, Table, Value
from .training import layout_text, risk_text

if TYPE_CHECKING:
    from ...estimators.planning.scaling_out import Knee, ScalingCurve, ScalingPoint, Stride
    from ...estimators.training.job import JobAnswer
    from ...estimators.training.run import TrainingRun

Sections = tuple[Table | Facts, ...]

WORTH_A_ROW = 0.95  # of the memory of the row above; what saves less is in the JSON only
_SAME = 1e-6  # relative; the same time but for rounding


def layouts_sections(found: JobAnswer, search: LayoutSearch) -> tuple[Sections, dict[str, object]]:
    """Return the sections of a search around an answer, and their JSON twin."""
    rows = _rows(search)
    runs = runs_of(found, search.front)
    verdict, flags = _verdict(found, search)
    items: list[tuple[str, str, Any, str]] = [
        ("searched", "Searched", f"{search.timed:,} layouts timed, {search.sized:,} sized", _scope(search)),
        ("fastest", "Row 1", verdict, f"the best of the {found.choice.tried:,} usual ones is above" * bool(flags)),
    ]
    if flags:
        items.append(("flags", "To have it", f"add {flags}", ""))
    twin: dict[str, object] = {
        "timed": search.timed,
        "sized": search.sized,
        "row_1": verdict,
        "faster_than_choice": option_of(found).seconds / search.fastest.seconds - 1,
        "flags": flags or None,
        "front": [
            {"row": rows.get(_key(option)), **_twin(option), **_run_twin(run)}
            for option, run in zip(search.front, runs, strict=True)
        ],
        "losers": [_loser_twin(loser, rows) for loser in search.losers],
    }
    facts = Facts("layout_search", tuple(items), caption="Other layouts")
    return (facts, _front_table(search, runs, rows), *_losers_table(search, rows)), twin


def scaling_sections(curve: ScalingCurve) -> tuple[Sections, dict[str, object]]:
    """Return the sections of a scaling curve, and their JSON twin."""
    knee = curve.knee
    label = f"{knee.accelerators:,} accelerators" if knee else "none"
    facts = Facts(
        "scaling_knee",
        (("knee", "Knee", label, _knee_words(knee) if knee else curve.why_no_knee),),
        caption="On other counts, the same batch and price",
    )
    twin: dict[str, object] = {
        "points": [_point_twin(point) for point in curve.points],
        "left_out": [{"accelerators": each.accelerators, "reason": each.reason} for each in curve.left_out],
        "knee": _knee_twin(knee) if knee else None,
        "why_no_knee": curve.why_no_knee or None,
    }
    return (facts, _scaling_table(curve)), twin


def cut_words(layout: Layout, recompute: Recompute) -> str:
    """Return a layout in a few signs: "dp 16, tp 4, pp 4 x 10, ZeRO-1, micro-batch 1"."""
    cuts = [f"dp {layout.dp}"]
    for name, size in (("tp", layout.tp), ("pp", layout.pp), ("cp", layout.cp), ("ep", layout.ep)):
        if size > 1:
            virtual = f" x {layout.interleave}" if name == "pp" and layout.interleave > 1 else ""
            cuts.append(f"{name} {size}{virtual}")
    cuts.append(f"ZeRO-{int(layout.zero)}" if layout.zero else "no ZeRO")
    cuts.append(f"micro-batch {layout.micro_batch}")
    if recompute is not Recompute.NONE:
        cuts.append(f"{recompute} recompute")
    return ", ".join(cuts)


def reason(loser: LostLayout, rows: dict[tuple[Layout, Recompute], int]) -> str:
    """Return in one sentence why a layout was not taken."""
    option, winner = loser.option, loser.beaten_by
    needs = f"needs {show_bytes(option.needed_bytes)} of {show_bytes(option.usable_bytes)}"
    if winner is None:
        if option.needed_bytes > option.usable_bytes:
            return f"does not fit: {needs}"
        return f"too tight: {needs}, a {risk_text(option.probability_of_running_out)} chance of running out"
    if loser.slower < _SAME:
        return f"as fast as row {rows[_key(winner)]}, no leaner and less simple"
    more = show_duration(loser.part_seconds)
    return (
        f"{show_percent(loser.slower, 2)} slower than row {rows[_key(winner)]} and no leaner: +{more} of {loser.part}"
    )


def _key(option: LayoutOption) -> tuple[Layout, Recompute]:
    return option.layout, option.recompute


def _rows(search: LayoutSearch) -> dict[tuple[Layout, Recompute], int]:
    """Number the layouts of the front that get a row: the ends, those clearly leaner, and those a loser names."""
    named = {_key(loser.beaten_by) for loser in search.losers if loser.beaten_by}
    shown: list[LayoutOption] = []
    for option in search.front:
        is_end = option in (search.fastest, search.leanest)
        if is_end or _key(option) in named or option.needed_bytes <= WORTH_A_ROW * shown[-1].needed_bytes:
            shown.append(option)
    return {_key(option): index for index, option in enumerate(shown, start=1)}


def _scope(search: LayoutSearch) -> str:
    return f"{len(search.front):,} on the front; rows that would save under 5 % of the memory are left out"


def _verdict(found: JobAnswer, search: LayoutSearch) -> tuple[str, str]:
    """Return how the fastest compares with the layout of the answer, and the flags that ask for it where it differs."""
    chosen, best = option_of(found), search.fastest
    if _key(chosen) == _key(best):
        return "is the layout above", ""
    gain = chosen.seconds / best.seconds - 1
    flags = _flags(best)
    if gain < _SAME:
        return f"is as fast as the layout above and needs {show_bytes(best.needed_bytes)}", flags
    return f"is {show_percent(gain, 2)} faster than the layout above", flags


def _flags(option: LayoutOption) -> str:
    cut = option.layout
    given = [f"--tp {cut.tp}", f"--pp {cut.pp}", f"--cp {cut.cp}"]
    if cut.ep > 1:
        given.append(f"--ep {cut.ep}")
    if cut.pp > 1:
        given.append(f"--interleave {cut.interleave}")
    given += [f"--zero {int(cut.zero)}", f"--micro-batch {cut.micro_batch}", f"--recompute {option.recompute}"]
    return " ".join(given)


def _front_table(search: LayoutSearch, runs: Sequence[TrainingRun], rows: dict[tuple[Layout, Recompute], int]) -> Table:
    cells = [
        (
            rows[_key(option)],
            cut_words(option.layout, option.recompute),
            Value(option.seconds, "s"),
            Value(run.wall_s.mid, "s"),
            None if run.cost_usd is None else Value(run.cost_usd.mid, "usd"),
            Value(option.needed_bytes, "bytes"),
            risk_text(option.probability_of_running_out),
        )
        for option, run in zip(search.front, runs, strict=True)
        if _key(option) in rows
    ]
    return Table(
        "layouts",
        (
            Column("row", "Row", right=True),
            Column("layout", "Layout"),
            Column("step_time_s", "Step", right=True),
            Column("wall_s", "Time", right=True),
            Column("cost_usd", "Cost", right=True),
            Column("needed_bytes", "Needs", right=True),
            Column("risk", "Runs out", right=True),
        ),
        tuple(cells),
        caption="From the fastest to the leanest: memory of one accelerator and the chance that it runs out",
    )


def _losers_table(search: LayoutSearch, rows: dict[tuple[Layout, Recompute], int]) -> Sections:
    if not search.losers:
        return ()
    cells = [
        (
            cut_words(loser.option.layout, loser.option.recompute),
            Value(loser.option.seconds, "s"),
            Value(loser.option.needed_bytes, "bytes"),
            reason(loser, rows),
        )
        for loser in search.losers
    ]
    columns = (
        Column("layout", "Layout"),
        Column("step_time_s", "Step", right=True),
        Column("needed_bytes", "Needs", right=True),
        Column("reason", "Why not"),
    )
    return (
        Table(
            "losers",
            columns,
            tuple(cells),
            caption="Not taken: what more memory would buy, and the best that others beat",
        ),
    )


def _twin(option: LayoutOption) -> dict[str, object]:
    cut = option.layout
    return {
        "layout": {
            "dp": cut.dp,
            "tp": cut.tp,
            "pp": cut.pp,
            "cp": cut.cp,
            "ep": cut.ep,
            "interleave": cut.interleave,
            "zero": int(cut.zero),
            "micro_batch": cut.micro_batch,
            "recompute": str(option.recompute),
        },
        "step_time_s": option.seconds,
        "needed_bytes": option.needed_bytes,
        "usable_bytes": option.usable_bytes,
        "probability_of_running_out": option.probability_of_running_out,
    }


def _run_twin(run: TrainingRun) -> dict[str, object]:
    return {"wall_s": run.wall_s, "accelerator_hours": run.accelerator_hours, "cost_usd": run.cost_usd}


def _loser_twin(loser: LostLayout, rows: dict[tuple[Layout, Recompute], int]) -> dict[str, object]:
    winner = loser.beaten_by
    return {
        **_twin(loser.option),
        "fits": loser.option.fits,
        "beaten_by_row": None if winner is None else rows[_key(winner)],
        "slower": None if winner is None else loser.slower,
        "part": loser.part or None,
        "part_s": None if winner is None else loser.part_seconds,
        "reason": reason(loser, rows),
    }


def _scaling_table(curve: ScalingCurve) -> Table:
    cells: list[tuple[Any, ...]] = []
    for point in curve.points:
        run = point.found.run
        cells.append(
            (
                point.accelerators,
                run.wall_s,
                None if run.cost_usd is None else Value(run.cost_usd.mid, "usd"),
                Value(point.efficiency, "fraction"),
                Value(point.found.choice.time.mfu.mid, "fraction"),
                layout_text(point.found),
            )
        )
    cells += [(each.accelerators, None, None, None, None, each.reason) for each in curve.left_out]
    cells.sort(key=lambda row: row[0])
    return Table(
        "scaling",
        (
            Column("accelerators", "Accelerators", right=True),
            Column("wall_s", "Time", right=True),
            Column("cost_usd", "Cost", right=True),
            Column("efficiency", "Efficiency", right=True),
            Column("mfu", "MFU", right=True, wide_only=True),
            Column("layout", "Layout"),
        ),
        tuple(cells),
        caption=f"Efficiency: accelerator-hours on {curve.points[0].accelerators:,} over those on the count",
    )


def _knee_words(knee: Knee) -> str:
    """Say what the knee means: what more accelerators bought up to it, and what they buy beyond."""
    to, on = knee.before, knee.after
    return (
        f"from {to.start:,} to {to.end:,} it runs {to.times_as_fast:.2f} times as fast for {_more(to.times_the_hours)} "
        f"accelerator-hours, from there to {on.end:,} {on.times_as_fast:.2f} times for {_more(on.times_the_hours)}"
    )


def _more(ratio: float) -> str:
    return f"{show_percent(abs(ratio - 1), 2)} {'more' if ratio >= 1 else 'fewer'}"


def _point_twin(point: ScalingPoint) -> dict[str, object]:
    found = point.found
    return {
        "accelerators": point.accelerators,
        **_run_twin(found.run),
        "efficiency": point.efficiency,
        "tokens_per_s": found.choice.time.tokens_per_s,
        "mfu": found.choice.time.mfu,
        "layout": layout_text(found),
    }


def _knee_twin(knee: Knee) -> dict[str, object]:
    def twin(stride: Stride) -> dict[str, float]:
        return {
            "from": stride.start,
            "to": stride.end,
            "times_as_fast": stride.times_as_fast,
            "times_the_accelerator_hours": stride.times_the_hours,
        }

    return {
        "accelerators": knee.accelerators,
        "distance_below_chord": knee.distance,
        "stride_to_it": twin(knee.before),
        "stride_beyond": twin(knee.after),
        "meaning": _knee_words(knee),
    }
