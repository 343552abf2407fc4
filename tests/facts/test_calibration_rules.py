"""What a plan with a calibration takes for granted: there with its source, and a fault in the file is named."""

import pytest

from flopwise.estimators.errors import FactsError
from flopwise.estimators.facts import calibration_rules
from flopwise.estimators.facts.calibration_rules import RULES, rule
from flopwise.estimators.facts.yamlfile import FactFile


def test_every_rule_is_a_share() -> None:
    assert all(0 < rule(name) < 1 for name in RULES)


@pytest.mark.parametrize(("entry", "said"), [({"value": 0.1, "what": "x"}, "source"), ({}, "what"), (None, "mapping")])
def test_a_fault_in_the_file_is_named(entry, said) -> None:
    rules = {name: {"what": "x", "value": 0.1, "source": "y"} for name in RULES} | {"network_reached": entry}
    with pytest.raises(FactsError, match=said):
        calibration_rules._values(FactFile("c.yaml", "", {"as_of": "2026-11-25", "rules": rules}, {}))
