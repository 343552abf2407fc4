"""Which fold leaves a family of serving rows out; the fit program and the replay must agree on it."""

from __future__ import annotations

import hashlib


def fold_of(family: str, folds: int) -> int:
    """Return the fold that leaves a family out."""
    return int(hashlib.sha256(family.encode()).hexdigest(), 16) % folds


def family_key(family: str) -> str:
    """Return the short hash under which a family is listed in `data/efficiency/serving_folds.yaml`."""
    return "f" + hashlib.sha256(family.encode()).hexdigest()[:10]
