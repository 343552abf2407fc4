"""YAML fact files: traps are errors with file, line and fix; the cache can be lost, cut or refused without harm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.estimators.errors import FactsError
from flopwise.estimators.facts.yamlfile import FactFile, read, read_text


def error_of(text: str) -> str:
    with pytest.raises(FactsError) as caught:
        read_text(text, name="facts.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "facts.yaml:3: a is given twice, first in line 1; remove one"),
        ("x:\n  k: 1\n  k: 1\n", "facts.yaml:3: x.k is given twice, first in line 2; remove one"),
        ("x: {k: 1, k: 2}\n", "facts.yaml:1: x.k is given twice, first in line 1; remove one"),
        (
            "a: 1\nb: no\n",
            "facts.yaml:2: b is no, which YAML reads as a truth value; write true, false or 'no' in quotes",
        ),
        ("a: 12:30\n", "facts.yaml:1: a is 12:30, which YAML does not read as it looks"),
        ("a: 010\n", "facts.yaml:1: a is 010, which YAML does not read as it looks"),
        ("a: 0x1F\n", "facts.yaml:1: a is 0x1F, which YAML does not read as it looks"),
        ("a: .inf\n", "facts.yaml:1: a is .inf, not a plain number"),
        ("a: .nan\n", "facts.yaml:1: a is .nan, not a plain number"),
        ("a: &x {k: 1}\nb: *x\n", "uses an anchor (&name, *name); write the value out"),
        ("a: {k: 1}\nb:\n  <<: {k: 2}\n", "facts.yaml:3: merge keys (<<) are not used here in b"),
        ("a: !!python/object:os.system 1\n", "carries the tag"),
        ("a: !new 1\n", "facts.yaml:1: a carries the tag !new; remove it"),
        ("a:\n\tb: 1\n", "facts.yaml:2: is not YAML: the line starts with a tab; indent with spaces"),
        (
            "a: b: c\n",
            "facts.yaml:1: is not YAML: mapping values are not allowed in this context; put a text with ': '",
        ),
        ("a: [1, 2\nb: 3\n", "facts.yaml:2: is not YAML"),
        ("a: 1\n---\nb: 2\n", "is not YAML: one document is wanted; remove what follows"),
        ("[1, 2]: 3\n", "facts.yaml:1: a key must be text"),
        ("a: \x07\n", "facts.yaml:1: holds a character that YAML does not allow"),
        ("a: " + "[" * 2000 + "]" * 2000, "facts.yaml:1: is not YAML: exceeded maximum nesting depth"),
        ("- " * 900 + "1\n", "facts.yaml:1: is nested too deeply"),
        ("- " * 51 + "1\n", "facts.yaml:1: is nested too deeply"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_trap_is_an_error_that_names_place_and_fix(text: str, sentence: str) -> None:
    assert sentence in error_of(text)


def test_dates_stay_as_they_were_typed() -> None:
    assert read_text("a: 2026-10-01\nb: '2026-10-01'\n", name="f").data == {"a": "2026-10-01", "b": "2026-10-01"}


def test_fifty_levels_are_read() -> None:
    data = read_text("- " * 50 + "1\n", name="f").data
    for _ in range(50):
        assert isinstance(data, list)
        (data,) = data
    assert data == 1


def test_numbers_without_a_signed_exponent_stay_text() -> None:
    data = read_text("a: 9.89e14\nb: 9.89e+14\nc: 1_000\n", name="f").data
    assert data == {"a": "9.89e14", "b": 9.89e14, "c": 1000}


def test_keys_are_text_even_where_they_look_like_numbers() -> None:
    assert read_text("4090: 1\nno: 2\n", name="f").data == {"4090": 1, "no": 2}


def test_an_empty_file_holds_nothing() -> None:
    assert read_text("# only a comment\n", name="f").data is None


def test_a_line_is_known_for_every_value_and_for_places_that_are_not_there() -> None:
    file = read_text("a:\n  b:\n  - c: 1\n    d: 2\n  - {e: 3,\n     f: 4}\n", name="f")
    assert [file.line("a", "b", 0, "d"), file.line("a", "b", 1, "f"), file.line("a", "b", 1, "gone")] == [4, 6, 5]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029\ufeff\x85")
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefghij_-", min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(PLAIN)
def test_what_pyyaml_writes_is_read_back(data: object) -> None:
    class NoAnchors(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    assert read_text(yaml.dump(data, Dumper=NoAnchors, allow_unicode=True), name="f").data == data


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_with_our_error(text: str) -> None:
    try:
        read_text(text, name="f")
    except FactsError as error:
        assert str(error).startswith("f:")


# --- files and cache ------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FLOPWISE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.yaml"
    path.write_text("a: 1\nb: [1.5, text, null]\n", encoding="utf-8")
    return path


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "facts").glob("*"))


def test_the_second_reading_does_not_parse(cache: Path, facts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(facts)
    monkeypatch.setitem(sys.modules, "yaml", None)  # importing it now fails
    assert read(facts).data == first.data == {"a": 1, "b": [1.5, "text", None]}


def test_a_file_from_the_cache_still_knows_its_lines(cache: Path, facts: Path) -> None:
    read(facts)
    assert str(read(facts).error("is wrong", "b", 1)) == f"{facts}:2: is wrong"


def test_changed_content_is_parsed_anew(cache: Path, facts: Path) -> None:
    read(facts)
    facts.write_text("a: 2\n", encoding="utf-8")
    assert read(facts).data == {"a": 2}


@pytest.mark.parametrize("damage", ["cut", "payload", "seal", "empty", "binary", "folder"])
def test_a_damaged_entry_is_not_trusted(cache: Path, facts: Path, damage: str) -> None:
    read(facts)
    (entry,) = entries(cache)
    content = entry.read_bytes()
    seal, _, payload = content.partition(b"\n")
    damaged = {
        "cut": content[:-3],
        "payload": seal + b"\n" + payload.replace(b"1.5", b"9.5"),
        "seal": b"0" * len(seal) + b"\n" + payload,
        "empty": b"",
        "binary": b"\xff\xfe\n\xff",
    }
    if damage == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        entry.write_bytes(damaged[damage])
    assert read(facts).data == {"a": 1, "b": [1.5, "text", None]}


def test_a_cache_folder_that_cannot_be_made_costs_nothing(
    tmp_path: Path, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is wanted")
    monkeypatch.setenv("FLOPWISE_CACHE_DIR", str(blocked))
    assert read(facts).data == read(facts).data
    assert blocked.read_text() == "a file where a folder is wanted"


def test_content_that_fails_its_check_is_checked_every_time(cache: Path, facts: Path) -> None:
    calls: list[str] = []

    def refuse(file: FactFile) -> None:
        calls.append(file.file)
        raise file.error("is refused", "a")

    for _ in range(2):
        with pytest.raises(FactsError, match=r"facts\.yaml:1: is refused"):
            read(facts, check=refuse)
    assert len(calls) == 2


def test_content_that_passed_is_not_checked_again_and_leaves_no_half_files(cache: Path, facts: Path) -> None:
    calls: list[str] = []

    def accept(file: FactFile) -> None:
        calls.append(file.file)

    read(facts, check=accept)
    read(facts, check=accept)
    assert len(calls) == 1
    assert [path.suffix for path in entries(cache)] == [".json"]


def test_the_cache_does_not_grow_for_ever(cache: Path, facts: Path) -> None:
    for number in range(70):
        facts.write_text(f"a: {number}\n", encoding="utf-8")
        read(facts)
    assert len(entries(cache)) == 64


def test_files_that_cannot_be_read_are_named(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FactsError, match="there is no such file"):
        read(tmp_path / "gone.yaml")
    with pytest.raises(FactsError, match="this is a folder, a YAML file is wanted"):
        read(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(FactsError, match=r"binary\.yaml:2: is not UTF-8 text"):
        read(binary)
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(33 * 2**20)
    with pytest.raises(FactsError, match="larger than 32 MiB"):
        read(huge)


def test_a_byte_order_mark_is_no_part_of_the_first_key(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(path).data == read(path).data == {"a": 1}
