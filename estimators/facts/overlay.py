"""Writing an overlay: an accelerator or a price of the user's own as a file in the config folder.

The text is built from the values that were given, read back and checked against the whole catalog before anything is
written, so that a wrong value is an error now and not at the next command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import FactsError, InputError
from ..names import fold
from .catalog import OVERLAY_FOLDER, Catalog, configured, load_ours
from .folders import config_folder
from .yamlfile import read, read_text

Entry = Mapping[str, object]


def overlay_path(accelerator: str, cloud: str = "", plan: str = "") -> Path:
    """Return the file in which the card of an accelerator, or the price at a cloud, belongs."""
    name = "--".join(_file_name(part) for part in (accelerator, cloud, plan) if part)
    return config_folder() / OVERLAY_FOLDER / f"{name}.yaml"


def overlay_text(content: Entry, remark: str) -> str:
    """Return the overlay as YAML, with a comment on top."""
    import yaml

    body = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    return f"# {remark}\n# The head of flopwise's catalog.yaml explains the grammar.\n{body}"


def check_overlay(text: str, path: Path) -> Catalog:
    """Return the catalog as it would be with `text` at `path`: on top of ours and of what the config folder holds.

    Raises:
        FactsError: the text breaks the grammar, or does not go with the rest.
    """
    layers = [load_ours()]
    for other in sorted({*configured(), path}):
        layers.append(read_text(text, name=str(path)) if other == path else read(other))
    return Catalog(layers)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Refuse a file that is there already, unless it may be replaced.

    Raises:
        InputError: it is there and `force` is not set.
    """
    if path.exists() and not force:
        raise InputError(f"{path} is there already; give --force to replace it, or edit it.")


def plain_error(error: FactsError) -> InputError:
    """Return the error about a text that was not written as one about what was typed."""
    message = str(error)
    place = f"{error.file}:{error.line}: " if error.line else f"{error.file}: "
    return InputError(f"{message.removeprefix(place)}; nothing was written.")


def _file_name(part: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in fold(part))
    return kept.strip(".-") or "entry"
