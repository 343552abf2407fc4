"""Budgets worked out once for all tests that only read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flopwise.estimators.budget.build import Budget, build
from flopwise.estimators.facts.budget_file import parse_budget, scenario_text
from flopwise.estimators.facts.catalog import load_catalog

SMALL = """\
version: 1
name: small
start: 2027-11
months: 8
contingency: 10%
terms: {class: gpu-cloud}
funding:
  cash: 200k
  raises: [{month: 2028-02, usd: 150k}]
prices: {h100-sxm-80gb: 2.5}
stages:
- name: data
  kind: data
  months: 3
  items:
  - {what: licence, usd: 20001}
  - {what: pairs, labels: preference, items: 777}
  - {what: text, synthetic_tokens: 300M, generator: qwen3-8b}
- {name: trials, kind: experiments, share: 25%, of: run}
- {name: run, kind: pre-training, after: [data, trials], model: 1B, tokens: 20B, on: "h100-sxm:8", months: 2, failed: 7%}
- {name: judge, kind: evaluation, after: run, api: gpt-5-mini, requests: 3333, input_tokens: 1111, output_tokens: 77}
- name: serve
  kind: serving
  after: run
  model: 1B
  on: h100-sxm
  requests_per_day: 50k
  input_tokens: 800
  output_tokens: 200
  growth: 30%
- {name: team, kind: people, contingency: 0%, roles: [{role: dev, count: 1.5, usd_per_year: 100k}]}
- {name: rest, kind: other, contingency: 33%, items: [{what: tools, usd: 99.99, per: month}, {what: desk, usd: 7}]}
"""


def budget_of(text: str, name: str = "b.yaml") -> Budget:
    """A budget file worked out with our own catalog."""
    return build(parse_budget(text, name=name), load_catalog(use_config_folder=False))


@pytest.fixture(scope="session")
def small() -> Budget:
    """A budget with every kind of stage but hardware."""
    return budget_of(SMALL)


@pytest.fixture(scope="session")
def scenario() -> Callable[[str], Budget]:
    """Return a shipped scenario worked out, once."""
    known: dict[str, Budget] = {}

    def find(name: str) -> Budget:
        if name not in known:
            known[name] = budget_of(scenario_text(name)[1], f"{name}.yaml")
        return known[name]

    return find
