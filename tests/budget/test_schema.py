"""The JSON Schema that editors use says the same as the reader."""

import json
from pathlib import Path

import pytest

from flopwise.estimators.facts.budget_file import TERMS, TOP, scenario_names, scenario_text, schema_path
from flopwise.estimators.facts.budget_records import Kind
from flopwise.estimators.facts.budget_stages import COMMON, ITEM, KEYS
from flopwise.estimators.facts.yamlfile import read_text

SCHEMA = json.loads(schema_path().read_text("utf-8"))


def test_the_schema_knows_the_keys_of_every_kind():
    assert set(SCHEMA["properties"]) == set(TOP)
    assert set(SCHEMA["properties"]["terms"]["properties"]) == set(TERMS)
    assert set(SCHEMA["$defs"]["dataItem"]["properties"]) == set(ITEM)
    kinds = {each["if"]["properties"]["kind"]["const"]: each["then"] for each in SCHEMA["$defs"]["stage"]["allOf"]}
    assert set(kinds) == set(map(str, Kind))
    for kind, keys in KEYS.items():
        assert set(kinds[str(kind)]["properties"]) == {*COMMON, *keys}


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_passes_the_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    content = read_text(scenario_text(name)[1], name=name).data
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(content))
    assert errors == []


def test_the_schema_refuses_what_the_reader_refuses():
    jsonschema = pytest.importorskip("jsonschema")
    content = read_text(scenario_text("rag")[1], name="rag").data
    content["stages"][0]["kind"] = "dta"
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(content)


def test_the_schema_is_printed_and_written_beside_a_budget(cli, tmp_path: Path):
    assert json.loads(cli("budget", "schema").out) == SCHEMA
    assert cli("budget", "init", "--scenario", "rag", "--schema").code == 0
    folder = tmp_path / "work"
    assert json.loads((folder / "budget.schema.json").read_text("utf-8")) == SCHEMA
    assert (
        (folder / "budget.yaml").read_text("utf-8").startswith("# yaml-language-server: $schema=budget.schema.json\n")
    )
    assert cli("budget", "check").code == 0
