"""How well pilot runs forecast dearer runs: the protocol of `flopwise scale fit` on public run sets.

    python -m flopwise.benchmarks.fits.forecast RUNS.csv ...

For each file (params,tokens,loss) the cheapest 30, 50 and 70 % of the runs are fitted, those with 5 to 1,000 times more
compute forecast; and 12 draws each of 1, 3, 5, 8, 12 and 20 pilots forecast one of the dearest runs. Prints mean error
and coverage of the 80 % band by file, and over files with equal weight. The constants of `data/scaling_fit.yaml` were
chosen on Chinchilla, datablations, Gadre, Step Law and Cerebras-GPT only; a file of any other set is a clean test.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from ...estimators.facts.runs import read_runs
from ...estimators.scaling.forecast import Run, calibrate
from ...estimators.scaling.pilots import LEAST_BEYOND, MOST_BEYOND, backtests

PILOTS = (1, 3, 5, 8, 12, 20)
DRAWS = 12
_DEAREST = 0.7  # targets of the draws are the dearest 30 %

Outcome = tuple[float, bool]  # |error|, covered


def load(path: Path) -> list[Run]:
    """Return the runs of a file, by compute."""
    rows = [row for row in read_runs(path) if row.loss is not None and row.tokens >= row.params]
    runs = [
        Run(params=row.params, tokens=row.tokens, loss=row.loss or 0.0, unique_tokens=row.unique_tokens) for row in rows
    ]
    return sorted(runs, key=lambda run: run.flops)


def drawn(runs: Sequence[Run], count: int, seed: int = 1) -> list[Outcome]:
    """Return the outcomes of `DRAWS` draws of `count` pilots, each forecasting one of the dearest runs."""
    draw = random.Random(f"{seed} {count}")
    found: list[Outcome] = []
    for _ in range(DRAWS):
        target = runs[draw.randrange(int(len(runs) * _DEAREST), len(runs))]
        pool = [
            run
            for run in runs
            if LEAST_BEYOND <= target.flops / run.flops <= MOST_BEYOND and run.tokens >= 3 * run.params
        ]
        if len(pool) < count + 2:
            continue
        loss = calibrate(draw.sample(pool, count)).forecast(target.params, target.tokens, target.unique_tokens).loss
        found.append((abs(loss.mid / target.loss - 1), loss.low <= target.loss <= loss.high))
    return found


def _line(name: str, found: Sequence[Outcome]) -> tuple[float, float]:
    error = sum(each[0] for each in found) / len(found)
    coverage = sum(each[1] for each in found) / len(found)
    print(f"  {name:<28} {len(found):>5} {error:>11.2%} {coverage:>11.0%}")
    return error, coverage


def main() -> None:
    """Print the errors by file and over files."""
    parser = argparse.ArgumentParser(description="Forecasts of dearer runs from cheaper ones.")
    parser.add_argument("files", nargs="+", type=Path)
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for path in parser.parse_args().files:
        runs = load(path)
        print(f"{path.name}, {len(runs)} runs{'':<14} held  mean error  in the band")
        for test in backtests(runs):
            found = [(abs(held.error), held.is_covered) for held in test.held]
            kind = f"cheapest {test.share:.0%}, {test.method}"
            by_kind.setdefault("cheapest share", []).append(_line(kind, found))
        for count in PILOTS:
            found = drawn(runs, count)
            if found:
                by_kind.setdefault(f"{count} pilots", []).append(_line(f"{count} pilots", found))
    print("\nmean over fits" + " " * 18 + "fits  mean error  in the band")
    for kind, each in by_kind.items():
        error, coverage = (sum(pair[i] for pair in each) / len(each) for i in range(2))
        print(f"  {kind:<28} {len(each):>5} {error:>11.2%} {coverage:>11.0%}")


if __name__ == "__main__":
    main()
