"""The user's folders are those of platformdirs, or what the environment says."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from flopwise.estimators.facts.folders import cache_folder, config_folder, package_folder


@pytest.mark.parametrize("value", [None, "", "/somewhere/else", "relative/folder"])
def test_the_folders_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("FLOPWISE_CACHE_DIR", raising=False)
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False) if value is None else monkeypatch.setenv(variable, value)
    assert config_folder() == platformdirs.user_config_path("flopwise", appauthor=False)
    assert cache_folder() == platformdirs.user_cache_path("flopwise", appauthor=False)


def test_variables_of_our_own_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOPWISE_CONFIG_DIR", "/a")
    monkeypatch.setenv("FLOPWISE_CACHE_DIR", "/b")
    assert (config_folder(), cache_folder()) == (Path("/a"), Path("/b"))


def test_the_package_folder_holds_the_catalog() -> None:
    assert (package_folder() / "catalog.yaml").is_file()
