"""The pictures of the README are made by the program, and nothing else lies beside them."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_there_and_no_other(maker):
    names = {path.stem for path in (ROOT / "docs" / "pictures").iterdir()}
    assert names == {*maker.PICTURES, *maker.CHARTS}


def test_a_picture_holds_the_command_and_what_it_printed(maker):
    command, _ = maker.PICTURES["budget"]
    made = maker.picture("budget", command, 30)
    assert ElementTree.fromstring(made).tag.endswith("svg")
    kept = (ROOT / "docs" / "pictures" / "budget.svg").read_text("utf-8")
    for text in (made, kept):
        plain = text.replace("&#160;", " ")
        assert command in plain
        assert "By stage, contingency included" in plain
    assert made == maker.picture("budget", command, 30)
