"""The catalog and a shape that the memory tests share."""

from __future__ import annotations

import pytest

from flopwise.estimators.facts.catalog import Catalog, load_catalog
from flopwise.estimators.models.resolve import resolve_model
from flopwise.estimators.models.shape import ModelShape


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog(use_config_folder=False)


@pytest.fixture(scope="session")
def llama_8b() -> ModelShape:
    return resolve_model("llama-3-8b").shape
