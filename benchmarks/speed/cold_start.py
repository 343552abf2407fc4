"""How long a plain estimate takes from the shell's Enter to the last byte, against the least that Typer and rich cost.

Each round runs the baseline and every command once, in alternating order, so that a busy moment hits all of them; the
ratio is the median over the rounds of command time / baseline time of the same round. Only the standard library is
used. Run it as `python -m flopwise.benchmarks.speed.cold_start` or `python benchmarks/speed/cold_start.py`.

The bar (see the changelog): at most 2.0 for `train`, `serve` and `data`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time

BASELINE = ("-c", "import typer, rich.table")
COMMANDS = (
    "train --model llama-3-8b --tokens 1T --on h100-sxm:64",
    "plan --budget 50k",
    "memory --model llama-3-8b --on h100-sxm:8",
    "serve --model llama-3-8b --on h100",
    "data --tokens 20B --language bn",
    "--version",
)
BAR = 2.0
# An installed package comes with its byte code; without this variable a checkout writes its own in the first run.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    """Measure and print one line for each command."""
    parser = argparse.ArgumentParser(description="Cold start of flopwise against `import typer, rich.table`.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("commands", nargs="*", help="flopwise arguments, one quoted string each")
    arguments = parser.parse_args()
    commands = arguments.commands or list(COMMANDS)
    argvs = [[sys.executable, *BASELINE]]
    argvs += [[sys.executable, "-m", "flopwise", *shlex.split(command)] for command in commands]
    print(f"{sys.executable}, Python {sys.version.split()[0]}, {os.cpu_count()} cores, {arguments.rounds} rounds\n")
    for argv in argvs:  # once for the byte code and the caches
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=ENVIRONMENT)
        if done.returncode:
            sys.exit(f"{shlex.join(argv)} left with {done.returncode}: {done.stderr.strip()[-300:]}")
    wall: list[list[float]] = [[] for _ in argvs]
    processor: list[list[float]] = [[] for _ in argvs]
    for turn in range(arguments.rounds):
        order = range(len(argvs)) if turn % 2 else reversed(range(len(argvs)))
        for i in order:
            spent_wall, spent_processor = _timed(argvs[i])
            wall[i].append(spent_wall)
            processor[i].append(spent_processor)
    print(f"{'command':<58} {'wall ms':>8} {'CPU ms':>7} {'ratio':>6}")
    for i, name in enumerate(['python -c "import typer, rich.table"', *(f"flopwise {each}" for each in commands)]):
        ratio = statistics.median(mine / base for mine, base in zip(wall[i], wall[0], strict=True))
        print(
            f"{name[:58]:<58} {statistics.median(wall[i]) * 1e3:8.0f} {statistics.median(processor[i]) * 1e3:7.0f} "
            f"{ratio:6.2f}"
        )
    print(f"\nbar: {BAR:.1f} times the baseline for train, serve and data (median of paired rounds)")


def _timed(argv: list[str]) -> tuple[float, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=ENVIRONMENT)
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
