"""The session that docs/budgets.md shows runs, in its order and in one folder."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "budgets.md"
SESSION = [
    line
    for block in re.findall(r"^```shell\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_session_of_the_page_runs(cli, tmp_path):
    assert len(SESSION) > 6
    for line in SESSION:
        ran = cli(*shlex.split(line)[1:])
        assert ran.code == 0, f"{line}: {ran.err}"
        assert ran.out or ran.err.startswith("Wrote ")
    names = {path.name for path in (tmp_path / "work").iterdir()}
    assert names == {
        *("budget.yaml", "budget.schema.json"),
        *("budget.xlsx", "report.html", "budget.json", "budget.tex", "months.svg"),
    }
