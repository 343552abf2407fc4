"""`flopwise models` and `flopwise validate params`, as a person uses them."""

from __future__ import annotations

import io
import json
import urllib.request

import pytest

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 100,
}


def test_the_list_holds_every_preset_and_sorts_by_size(cli):
    ran = cli("models", "list", "--sort", "size", "--format", "json")
    models = ran.json["result"]["models"]
    sizes = [row["parameters"]["value"] for row in models]
    assert (ran.code, len(models)) == (0, 171)
    assert sizes == sorted(sizes, reverse=True)
    assert models[0]["model"] == "kimi-k2"


def test_filters_narrow_the_list(cli):
    argv = ("--family", "qwen2.5", "--min-size", "7B", "--max-size", "33B", "--sort", "name", "--format", "json")
    ran = cli("models", "list", *argv)
    assert [row["model"] for row in ran.json["result"]["models"]] == ["qwen2.5-14b", "qwen2.5-32b", "qwen2.5-7b"]
    ran = cli("models", "list", "--mixtures", "--kind", "decoder", "--family", "llama", "--format", "json")
    assert [row["model"] for row in ran.json["result"]["models"]] == ["llama-4-scout", "llama-4-maverick"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("list", "--family", "lama"), "--family: no family is called 'lama'; did you mean 'Llama"),
        (("list", "--kind", "decodr"), "decodr"),
        (("list", "--min-size", "9T"), "no model matches"),
        (("list", "--min-size", "9B", "--max-size", "7B"), "--min-size is above --max-size"),
        (("list", "--min-size", "big"), "--min-size: 'big' is not a count"),
        (("show", "llama-3-8"), "did you mean 'llama-3-8b'"),
        (("show", "sdxl-unet", "--seq", "10"), "--seq: it has no effect"),
        (("show", "missing/config.json"), "does not exist"),
        (("fetch", "no-owner"), "'no-owner' is no hub id"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence_and_exit_code_2(cli, argv, said):
    ran = cli("models", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_a_card_says_the_same_as_its_json_twin(same_numbers):
    ran = same_numbers("models", "show", "deepseek-v3", "--seq", "4096")
    result = ran.json["result"]
    assert result["parameters"] == {"value": 671_026_419_200, "unit": "params"}
    assert result["training_flops_per_token"]["value"] == pytest.approx(250.5e9, rel=0.001)
    assert sum(part["parameters"]["value"] for part in result["groups"]) == 671_026_419_200


def test_the_list_says_the_same_as_its_json_twin(same_numbers):
    same_numbers("models", "list", "--family", "gemma")


@pytest.mark.parametrize("model", ["llama-3-8b", "30B-A3B", "whisper-tiny", "clip-vit-b32", "sdxl-unet", "mamba-130m"])
def test_every_kind_of_model_has_a_card_of_80_columns(cli, model):
    ran = cli("models", "show", model, "--explain")
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "\x1b" not in ran.out


def test_the_card_of_a_model(cli, golden):
    golden("models-show.txt", cli("models", "show", "mixtral-8x7b", "--explain").out)


def test_a_config_of_ones_own_is_shown(cli, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    ran = cli("models", "show", str(tmp_path), "--format", "json")
    by_hand = 2 * 100 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64
    assert ran.json["result"]["parameters"]["value"] == by_hand


def test_a_fetched_config_is_kept_and_found_by_its_hub_id(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOPWISE_DATA_DIR", str(tmp_path / "data"))
    asked = []

    def answer(request, timeout):
        asked.append(request.full_url)
        return io.BytesIO(json.dumps(CONFIG).encode())

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert cli("models", "fetch", "owner/name").code == 0
    assert len(asked) == 1
    assert cli("models", "show", "owner/name", "--format", "json").json["result"]["model"] == "owner/name"
    again = cli("models", "fetch", "owner/name")
    assert (again.code, len(asked)) == (2, 1)
    assert "is here already" in again.err
    assert cli("models", "fetch", "owner/name", "--force").code == 0


def test_a_config_that_cannot_be_read_is_not_kept(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("FLOPWISE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(urllib.request, "urlopen", lambda request, timeout: io.BytesIO(b'{"model_type": "new"}'))
    ran = cli("models", "fetch", "owner/name")
    assert ran.code == 2
    assert "'new', which is not known" in ran.err
    assert not (tmp_path / "data").exists()


def test_only_fetch_uses_the_network(cli, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert cli("models", "show", "owner/name").code == 2
    assert cli("models", "show", "7B").code == 0


def test_validate_params_matches_all_115_exact_counts(cli):
    summary = cli("validate", "params", "--format", "json").json["result"]["summary"]
    assert (summary["exact_published"], summary["exact_matched"]) == (115, 115)
    assert (summary["rows"], summary["unsupported"], summary["differs"]) == (171, 0, [])


def test_validate_params_takes_rows_of_ones_own(cli, tmp_path):
    cases = tmp_path / "cases.csv"
    cases.write_text(
        "name,kind,layers,hidden,heads,kv_heads,head_dim,ffn,vocab,published_total,published_kind\n"
        "ours,decoder,32,4096,32,8,128,14336,128256,8030261248,exact\n"  # the shape of Llama 3 8B
        "off,decoder,32,4096,32,8,128,14336,128256,9000000000,nominal\n"
        "llama-2-7b,,,,,,,,,6738415616,exact\n"
        "who-knows,,,,,,,,,1000000000,nominal\n",
        encoding="utf-8",
    )
    ran = cli("validate", "params", "--cases", str(cases), "--format", "json")
    rows = {row["id"]: row for row in ran.json["result"]["rows"]}
    assert [rows[name]["agreement"] for name in rows] == ["exact", "differs", "exact", ""]
    assert rows["who-knows"]["status"] == "unsupported"
    assert "no model is called 'who-knows'" in rows["who-knows"]["reason"]
    assert ran.json["result"]["summary"]["differs"] == ["off"]


def test_validate_params_never_reads_the_published_count_to_predict(cli, tmp_path):
    def predicted(published: int) -> int:
        cases = tmp_path / f"{published}.csv"
        header = "name,layers,hidden,heads,ffn,vocab,published_total,computed_total"
        cases.write_text(f"{header}\nx,2,64,2,128,100,{published},{published}\n", encoding="utf-8")
        return cli("validate", "params", "--cases", str(cases), "--format", "json").json["result"]["rows"][0][
            "predicted"
        ]

    assert predicted(1) == predicted(10**12)


def test_validate_params_counts_every_row_of_the_shared_table_from_its_columns(cli, shared_data):
    path = shared_data / "catalog" / "models.csv"
    summary = cli("validate", "params", "--cases", str(path), "--format", "json").json["result"]["summary"]
    assert (summary["rows"], summary["exact_matched"], summary["unsupported"]) == (157, 115, 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        ("a,b\n1,2\n", "needs a column name"),
        ("name,published_total\n", "has no rows"),
        ("name,published_total\nx,\n", "line 2 has no published count of 'x'"),
    ],
)
def test_a_case_file_that_cannot_be_used_is_refused(cli, tmp_path, content, said):
    path = tmp_path / "cases.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    ran = cli("validate", "params", "--cases", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
