"""Hugging Face configs as files and from the hub: what is found, fetched, or refused in one sentence."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request

import pytest

from flopwise.estimators.errors import InputError
from flopwise.estimators.models.huggingface import fetch_config
from flopwise.estimators.models.resolve import Origin, resolve_model

from .configs_made import LLAMA_3_8B


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "holds no mapping"),
        ('{"a": ', "is not JSON: .* in line 1"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_is_no_config_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        resolve_model(str(path))


def test_a_config_is_found_by_its_path_or_by_its_folder(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_3_8B), encoding="utf-8")
    by_folder, by_path = resolve_model(str(folder)), resolve_model(str(folder / "config.json"))
    assert by_folder.shape == by_path.shape
    assert (by_folder.shape.name, by_folder.origin) == ("my-model", Origin.CONFIG)


class Answer(io.BytesIO):
    """What the hub answers."""


def test_fetching_asks_the_hub_for_the_config_alone(monkeypatch):
    asked = []

    def answer(request, timeout):
        asked.append((request.full_url, request.get_header("Authorization")))
        return Answer(json.dumps(LLAMA_3_8B).encode())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HF_TOKEN", "abc")
    assert fetch_config("owner/name") == LLAMA_3_8B
    assert asked == [("https://hub.example/owner/name/resolve/main/config.json", "Bearer abc")]


def hub_error(code):
    def answer(request, timeout):
        raise urllib.error.HTTPError(request.full_url, code, "no", None, None)

    return answer


def no_network(request, timeout):
    raise urllib.error.URLError("no route to host")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (hub_error(404), "there is no such model"),
        (hub_error(401), "gated"),
        (hub_error(500), "the hub answered 500"),
        (no_network, "no route to host"),
        (lambda request, timeout: Answer(b"<html>"), "is no config.json"),
    ],
)
def test_a_hub_that_cannot_answer_gives_one_sentence(monkeypatch, answer, said):
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    with pytest.raises(InputError, match=said):
        fetch_config("owner/name")


def test_what_is_no_hub_id_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    for text in ("name", "../secret/x", "a/b/c", "owner/na me"):
        with pytest.raises(InputError, match="is no hub id"):
            fetch_config(text)
