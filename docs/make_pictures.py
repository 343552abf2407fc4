"""Make the pictures of the README: what the program prints, as SVG. Run it from the root: `python docs/make_pictures.py`.

Each picture is the real output of the command in its title bar, cut where it says so. The same version and facts give
the same bytes.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
WIDTH = 80
# name: command, and how many lines of its answer are shown
PICTURES = {
    "plan": ("flopwise plan --budget 50k", 32),
    "budget": ("flopwise budget show examples/budget.yaml", 37),
    "compare": ("flopwise compare --model 7B --tokens 140B --on h100-sxm:64,h200:64,b200:64 --cloud all --top 6", 30),
}
CHARTS = {"budget-months": ("budget", "export", "examples/budget.yaml", "--force", "--output")}


def answer(command: str) -> str:
    """Return what a command prints, in colour, on the day of the tests, without the settings of who runs it."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "HOME": home,
            "XDG_CONFIG_HOME": f"{home}/config",
            "FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
            "SOURCE_DATE_EPOCH": "1795521600",
            "TERM": "xterm-256color",
        }
        environment.pop("NO_COLOR", None)
        argv = [sys.executable, "-m", "flopwise", *shlex.split(command)[1:]]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def picture(name: str, command: str, lines: int) -> str:
    """Return the first lines of an answer as SVG."""
    printed = answer(command).splitlines()
    shown = [*printed[:lines], *(["..."] if len(printed) > lines else [])]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi("\n".join(shown)))
    return console.export_svg(title=f"$ {command}", unique_id=f"flopwise-{name}")


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, (command, lines) in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(picture(name, command, lines), encoding="utf-8")
    for name, arguments in CHARTS.items():
        target = str(FOLDER / f"{name}.svg")
        subprocess.run(
            [sys.executable, "-m", "flopwise", *arguments, target], cwd=ROOT, check=True, capture_output=True
        )


if __name__ == "__main__":
    main()
