"""How many layouts a search times per CPU-second: `python -m flopwise.benchmarks.speed.layout_search`.

What is timed is what `flopwise train --layouts` runs, and beside it the shorter list that every `train` goes through.
Bar: 10,000. The count covers enumeration and timing of every layout with every recomputation, from a cold start of the
clock; the last column is the whole search, which also works out the memory of the fastest.
"""

from __future__ import annotations

import time

from ...estimators.facts.catalog import load_catalog
from ...estimators.models.resolve import resolve_model
from ...estimators.planning.layouts import search_layouts, time_layouts
from ...estimators.training.candidates import USUAL, WIDE
from ...estimators.training.choose import Clock, Wanted, choose_layout
from ...estimators.training.layout import Recipe, Workload

JOBS = (("llama-3-70b", 512, 512), ("llama-3.1-405b", 4096, 2048), ("deepseek-v3", 2048, 8192))
RECIPE = Recipe()


def main() -> None:
    """Measure and print two lines per job: the wide search and the usual list."""
    h100 = load_catalog().find("h100")
    print(f"{'job':<32} {'space':>6} {'layouts':>8} {'CPU s':>7} {'layouts/CPU-s':>14} {'whole, CPU s':>13}")
    for name, count, batch in JOBS:
        shape = resolve_model(name).shape
        workload = Workload(sequence_tokens=8192, global_batch=batch)
        for label, space in (("wide", WIDE), ("usual", USUAL)):
            start = time.process_time()
            clock = Clock(shape, h100, workload)
            timed = len(time_layouts(accelerators=count, recipe=RECIPE, clock=clock, wanted=Wanted(), space=space))
            spent = time.process_time() - start
            start = time.process_time()
            clock = Clock(shape, h100, workload)
            if space is WIDE:
                search_layouts(accelerators=count, recipe=RECIPE, clock=clock)
            else:
                choose_layout(accelerators=count, recipe=RECIPE, clock=clock)
            whole = time.process_time() - start
            job = f"{name} on {count} H100"
            print(f"{job:<32} {label:>6} {timed:>8,} {spent:>7.3f} {timed / spent:>14,.0f} {whole:>13.3f}")


if __name__ == "__main__":
    main()
