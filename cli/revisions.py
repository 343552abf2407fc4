"""A file as it was in a git revision, for `budget diff --from`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..estimators.errors import InputError


def text_at(revision: str, path: Path) -> str:
    """Return the text of `path` in a git revision of the repository that holds it.

    Raises:
        InputError: there is no git, no repository, no such revision, or no such file in it.
    """
    if revision.startswith("-") or not revision.strip():
        raise InputError(f"'{revision}' is not a git revision; write for example HEAD~1.")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'.")
    command = ["git", "-C", str(folder), "show", f"{revision}:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise InputError("--from needs git, which is not installed; compare two files instead.") from None
    except subprocess.TimeoutExpired:
        raise InputError("git did not answer within a minute; compare two files instead.") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        said = reason[-1].removeprefix("fatal: ").rstrip(".") if reason else "it failed"
        raise InputError(f"git cannot show '{path}' of '{revision}': {said}.")
    try:
        return done.stdout.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"'{path}' of '{revision}' is not UTF-8 text.") from None
