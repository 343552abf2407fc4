"""How many layouts a search times per CPU-second: `python -m flopwise.benchmarks.speed.layout_search`.

Bar: 10,000. The count covers enumeration and timing of every layout with every recomputation, from a cold start of the
clock; memory of the front is reported apart.
"""

from __future__ import annotations

import time

from ...estimators.facts.catalog import load_catalog
from ...estimators.facts.software import load_software
from ...estimators.models.resolve import resolve_model
from ...estimators.planning.layouts import Space, layouts_of, search_layouts
from ...estimators.stepmodel.clock import StepClock
from ...estimators.training.layout import Recipe, Workload

JOBS = (("llama-3-70b", 512, 512), ("llama-3.1-405b", 4096, 2048), ("deepseek-v3", 2048, 8192))


def main() -> None:
    """Measure and print one line per job."""
    h100 = load_catalog().find("h100")
    values = load_software().values
    space = Space(cp=(1, 2, 4, 8))
    print(f"{'job':<38} {'layouts':>9} {'CPU s':>7} {'layouts/CPU-s':>14} {'whole search, CPU s':>20}")
    for name, count, batch in JOBS:
        shape = resolve_model(name).shape
        workload = Workload(sequence_tokens=8192, global_batch=batch)
        start = time.process_time()
        clock = StepClock(shape, accelerator=h100, recipe=Recipe(), workload=workload, values=values)
        timed = 0
        for layout in layouts_of(shape, h100, count, workload, space):
            for recompute in space.recompute:
                clock.seconds(layout, recompute)
                timed += 1
        spent = time.process_time() - start
        start = time.process_time()
        search_layouts(shape, accelerator=h100, accelerators=count, recipe=Recipe(), workload=workload, space=space)
        whole = time.process_time() - start
        print(f"{name + f' on {count} H100':<38} {timed:>9,} {spent:>7.2f} {timed / spent:>14,.0f} {whole:>20.2f}")


if __name__ == "__main__":
    main()
