"""The day it is: from SOURCE_DATE_EPOCH where it is set, so that the same input can give the same bytes."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime

from ..estimators.errors import InputError


def today() -> date:
    """Return today's date (UTC).

    Raises:
        InputError: SOURCE_DATE_EPOCH is not a number of seconds since 1970.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    if not fixed:
        return datetime.now(UTC).date()
    try:
        return datetime.fromtimestamp(int(fixed), UTC).date()
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"SOURCE_DATE_EPOCH is '{fixed}'; it must be seconds since 1970, for example 1795521600."
        ) from None
