"""The one door to torch: it is imported only when a `bench` command measures or traces."""

from __future__ import annotations

import os
from typing import Any

from ...estimators.errors import InputError


def need_torch() -> Any:
    """Return the torch module.

    Raises:
        InputError: it is not installed, or cannot be loaded; names the way out.
    """
    # The profiler announces itself on stderr, and the allocator what it cannot know of it.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise InputError(f"torch is installed but incomplete: it misses '{error.name}'.") from None
        raise InputError(
            "measuring needs PyTorch, which is not installed; get it with `pip install 'flopwise[bench]'`."
        ) from None
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"torch is installed but cannot be loaded: {reason}") from None
    return torch
