"""How often it is noted what a batch has in flight: often enough for a curve, and not so often that it costs."""

from __future__ import annotations

LEAST_MS = 2_000
SHARE = 200
"""Of a batch's age that lies between two samples: a batch of a day has about 1,300 of each lane."""


def due_ms(age_ms: int) -> int:
    """How old the last sample must be before another is taken; `age_ms`: since the batch is in progress."""
    return max(LEAST_MS, age_ms // SHARE)
