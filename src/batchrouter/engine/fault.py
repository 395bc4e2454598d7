"""How an exception that nobody foresaw is told: its kind and place, never its message, which may hold an answer."""

from __future__ import annotations

import traceback

from batchrouter.errors import BatchRouterError


def told(error: BaseException) -> str:
    """Our own errors say what happened; of any other only the type and the innermost place are told."""
    if isinstance(error, BatchRouterError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"{type(error).__name__} at {place}"
