"""Forgiving look-up of names: `H100 SXM`, `h100_sxm` and `h100-sxm-80gb` are one accelerator.

A name resolves when it equals a key or an alias after folding case, spaces, underscores and dots; else when it is the
unique key that starts with what was typed, on a word boundary. Several such keys are an error that lists them, unless
the table names a default among them; no key at all is an error with the nearest matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .errors import InputError, UnknownName

_SEPARATORS = re.compile(r"[\s_\-/:]+")


def fold(name: str) -> str:
    """Return `name` in lower case with every run of separators as one hyphen.

    >>> fold("H100 SXM_80GB")
    'h100-sxm-80gb'
    """
    return _SEPARATORS.sub("-", name.strip().lower()).strip("-")


def resolve(
    typed: str,
    names: Iterable[str],
    *,
    kind: str,
    aliases: Mapping[str, str] | None = None,
    listing: str = "",
) -> str:
    """Return the one name among `names` that `typed` means.

    `aliases` maps folded short forms to names ("h100" to "h100-sxm-80gb").

    Raises:
        UnknownName: nothing matches; carries the nearest names.
        InputError: several names match and no alias decides.
    """
    by_fold = {fold(name): name for name in names}
    wanted = fold(typed)
    if wanted in by_fold:
        return by_fold[wanted]
    aliased = {fold(short): name for short, name in (aliases or {}).items()}
    if wanted in aliased:
        return aliased[wanted]
    longer = sorted(name for key, name in by_fold.items() if wanted and key.startswith(wanted + "-"))
    if len(longer) == 1:
        return longer[0]
    if longer:
        shown = ", ".join(longer[:8]) + (", ..." if len(longer) > 8 else "")
        raise InputError(f"'{typed}' could be several {kind}s: {shown}; type one of them.")
    raise UnknownName(kind, typed, nearest(wanted, [*by_fold, *aliased]), listing)


def nearest(typed: str, names: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """Return up to `count` of `names` closest to `typed`, best first."""
    import difflib  # 4 ms; needed only once something went wrong

    return tuple(difflib.get_close_matches(typed, list(names), n=count, cutoff=0.55))
