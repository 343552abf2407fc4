"""The house stands as drawn: what is shipped, what lies at the root, and which way imports go."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmarks", "cli", "estimators")


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_declared():
    found = {"flopwise"} | {
        ".".join(("flopwise", *init.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(found) == settings()["tool"]["setuptools"]["packages"]


def test_every_folder_with_modules_is_a_package():
    bare = {
        str(module.parent.relative_to(ROOT))
        for folder in FOLDERS
        for module in (ROOT / folder).rglob("*.py")
        if not (module.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_only_package_modules_lie_at_the_root():
    assert sorted(path.name for path in ROOT.glob("*.py")) == ["__init__.py", "__main__.py"]


def test_every_data_file_is_shipped():
    patterns = settings()["tool"]["setuptools"]["package-data"]["flopwise"]
    shipped = {path for pattern in patterns for path in ROOT.glob(pattern)}
    there = {path for path in (ROOT / "data").rglob("*") if path.is_file() and path.suffix in (".yaml", ".csv", ".md")}
    there |= {ROOT / "catalog.yaml"} & set(ROOT.iterdir())
    assert sorted(map(str, there - shipped)) == []


def test_no_module_on_the_way_to_an_answer_makes_slow_dataclasses():
    slow = [
        str(module.relative_to(ROOT))
        for folder in ("cli", "estimators")
        for module in (ROOT / folder).rglob("*.py")
        if re.search(r"^from dataclasses import .*\bdataclass\b", module.read_text("utf-8"), re.MULTILINE)
    ]
    assert slow == [], "import dataclass and replace from estimators/frozen.py: it says why"


def test_the_plain_install_needs_no_torch_and_dev_pins_one_release():
    project = settings()["project"]
    assert not any(each.startswith("torch") for each in project["dependencies"])
    assert "torch==2.13.0" in project["optional-dependencies"]["dev"]


def test_data_flows_one_way():
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
