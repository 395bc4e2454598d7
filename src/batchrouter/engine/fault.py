"""How an exception that nobody foresaw is told: its kind and place, never its message, which may hold an answer."""

from __future__ import annotations

import traceback

from batchrouter.errors import BatchRouterError, LineRefused


def told(error: BaseException) -> str:
    """Our own errors say what happened; of any other only the type and the innermost place are told. A refusal of a
    line names what stands in it: of that the code is told."""
    if isinstance(error, LineRefused):
        return f"the line is refused: {error.code}"
    if isinstance(error, BatchRouterError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"{type(error).__name__} at {place}"
