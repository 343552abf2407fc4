"""Two budgets, or two revisions of one: what changed, by how much, and when CI should stop."""

import subprocess

import pytest

from flopwise.estimators.budget.difference import Change, difference

from .conftest import SMALL, budget_of


def test_lines_are_matched_and_add_up(small):
    edited = SMALL.replace("count: 1.5", "count: 2").replace("{what: desk, usd: 7}", "{what: chair, usd: 9}")
    after = budget_of(edited)
    found = difference(small, after)
    changes = {(line.stage, line.item): line.change for line in found.changed}
    assert changes["team", "1.5 x dev"] is Change.REMOVED
    assert changes["team", "2 x dev"] is Change.ADDED
    assert changes["rest", "desk"] is Change.REMOVED
    assert changes["rest", "chair"] is Change.ADDED
    assert changes["rest", "contingency"] is Change.CHANGED
    assert sum(line.cents for line in found.lines) == found.cents == after.cents - small.cents


def test_a_changed_price_is_the_reason(small):
    found = difference(small, budget_of(SMALL.replace("h100-sxm-80gb: 2.5", "h100-sxm-80gb: 3")))
    run = next(line for line in found.changed if line.stage == "run" and line.item.startswith("H100"))
    assert run.why == "$2.5 → $3 each"
    assert run.after == pytest.approx(run.before * 1.2, abs=1)


def test_diff_prints_marks_amounts_and_percent(cli, tmp_path):
    folder = tmp_path / "work"
    (folder / "a.yaml").write_text(SMALL, encoding="utf-8")
    (folder / "b.yaml").write_text(SMALL.replace("tokens: 20B", "tokens: 40B"), encoding="utf-8")
    ran = cli("budget", "diff", "a.yaml", "b.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert "the budget rises by $" in ran.out
    assert "~ run" in ran.out
    assert "team" not in ran.out
    assert "TOTAL" in ran.out
    result = cli("budget", "diff", "a.yaml", "b.yaml", "--format", "json").json["result"]
    assert round(result["difference_usd"] * 100) == sum(round(line["difference_usd"] * 100) for line in result["lines"])
    assert [s["stage"] for s in result["stages"] if s["difference_usd"]] == ["trials", "run"]


def test_revisions_of_a_file_are_compared(cli, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def git(*argv: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True)

    path = folder / "budget.yaml"
    path.write_text(SMALL, encoding="utf-8")
    git("init")
    git("add", "budget.yaml")
    git("commit", "-m", "first")
    path.write_text(SMALL.replace("tokens: 20B", "tokens: 40B"), encoding="utf-8")
    git("commit", "-am", "second")
    both = cli("budget", "diff", "budget.yaml", "--from", "HEAD~1", "--to", "HEAD")
    assert (both.code, both.err) == (0, "")
    assert "~ run" in both.out
    path.write_text(SMALL, encoding="utf-8")
    assert cli("budget", "diff", "budget.yaml", "--from", "HEAD~1").out.startswith("Nothing changes")
    gone = cli("budget", "diff", "budget.yaml", "--from", "nosuch")
    assert gone.code == 2
    assert "git cannot show 'budget.yaml' of 'nosuch'" in gone.err


@pytest.mark.parametrize("verb", [["show"], ["check"]])
def test_ci_stops_over_the_limit(cli, verb):
    over = cli("budget", *verb, "--scenario", "rag", "--fail-over", "100k")
    assert over.code == 3
    assert over.out
    assert "over the limit of $100,000 (--fail-over)" in over.err
    assert cli("budget", *verb, "--scenario", "rag", "--fail-over", "10M").code == 0


@pytest.mark.parametrize(("old", "new"), [("usd: 20001", "usd: 20002"), ("count: 1.5", "count: 1.6")])
def test_a_small_edit_shows(small, old, new):
    found = difference(small, budget_of(SMALL.replace(old, new)))
    assert found.changed
    assert found.cents > 0


def test_an_item_called_contingency_is_not_lost_behind_the_contingency():
    text = (
        "version: 1\nname: b\nstart: 2027-01\nmonths: 3\ncontingency: 10%\nstages:\n"
        "- {name: s, kind: other, items: [{what: contingency, usd: 100}]}\n"
    )
    found = difference(budget_of(text), budget_of(text.replace("usd: 100", "usd: 200")))
    assert [(line.item, line.cents) for line in found.changed] == [("contingency", 10_000), ("contingency (2)", 1_000)]
    assert sum(line.cents for line in found.changed) == found.cents
