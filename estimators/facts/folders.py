"""Where the user's own files live: settings and overlays, parsed fact files, and what was fetched on request.

All follow the operating system's custom (platformdirs); `FLOPWISE_CONFIG_DIR`, `FLOPWISE_CACHE_DIR` and
`FLOPWISE_DATA_DIR` override them.
No folder is made here: who writes makes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CONFIG_VARIABLE = "FLOPWISE_CONFIG_DIR"
CACHE_VARIABLE = "FLOPWISE_CACHE_DIR"
DATA_VARIABLE = "FLOPWISE_DATA_DIR"


def config_folder() -> Path:
    """Return the folder of the user's own settings and facts, whether or not it exists."""
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen)
    if found := _on_linux("config"):
        return found
    from platformdirs import user_config_path

    return user_config_path("flopwise", appauthor=False)


def cache_folder() -> Path:
    """Return the folder of what can be deleted at any time, whether or not it exists."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    if found := _on_linux("cache"):
        return found
    from platformdirs import user_cache_path

    return user_cache_path("flopwise", appauthor=False)


def data_folder() -> Path:
    """Return the folder of what the user asked us to keep (fetched model configs), whether or not it exists."""
    if chosen := os.environ.get(DATA_VARIABLE):
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("flopwise", appauthor=False)


def package_folder() -> Path:
    """Return the folder that holds `catalog.yaml` and `data/`: the root of the installed package."""
    return Path(__file__).resolve().parents[2]


def _on_linux(kind: str) -> Path | None:
    """Return what platformdirs would, in the plain case of Linux; its import takes 5 ms of every start."""
    if sys.platform != "linux" or "ANDROID_DATA" in os.environ:
        return None
    base = os.environ.get(f"XDG_{kind.upper()}_HOME") or os.path.expanduser(f"~/.{kind}")
    return Path(base, "flopwise") if os.path.isabs(base) else None
