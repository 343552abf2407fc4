"""Where the user's own files live: settings and overlays, parsed fact files, and what was fetched on request.

All follow the operating system's custom (platformdirs); `FLOPWISE_CONFIG_DIR`, `FLOPWISE_CACHE_DIR` and
`FLOPWISE_DATA_DIR` override them.
No folder is made here: who writes makes it.
"""

from __future__ import annotations

import os
from pathlib import Path

CONFIG_VARIABLE = "FLOPWISE_CONFIG_DIR"
CACHE_VARIABLE = "FLOPWISE_CACHE_DIR"
DATA_VARIABLE = "FLOPWISE_DATA_DIR"


def config_folder() -> Path:
    """Return the folder of the user's own settings and facts, whether or not it exists."""
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen)
    from platformdirs import user_config_path  # 3 ms; needed only without the variable

    return user_config_path("flopwise", appauthor=False)


def cache_folder() -> Path:
    """Return the folder of what can be deleted at any time, whether or not it exists."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("flopwise", appauthor=False)


def package_folder() -> Path:
    """Return the folder that holds `catalog.yaml` and `data/`: the root of the installed package."""
    return Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """Return the folder of what the user asked us to keep (fetched model configs), whether or not it exists."""
    if chosen := os.environ.get(DATA_VARIABLE):
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("flopwise", appauthor=False)
