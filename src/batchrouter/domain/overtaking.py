"""When real time takes over from a lane that may not be done in time.

A native job ends when its provider likes, and a flex lane may be refused for hours; the window is kept all the same.
At `cancel_ms` a job is cancelled: what it has finished is kept, and the rest has its time in real time plus the
margin. A provider may take minutes to cancel, and until the job has ended its lines may still be run, and paid, there.
So they are not sent before it has ended, unless that would miss the window: at `force_ms` they are, and are counted.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

FORCE_PART = 0.2
"""Of the margin: what is left of it when lines are sent although their job has not ended. With the usual 15 minutes a
cancel has 12, and OpenAI's takes up to 10 (OpenAI, "Cancel batch")."""


class Overtaking(Enum):
    NOT_YET = "not_yet"
    CANCEL = "cancel"
    FORCE = "force"


class OvertakeTimes(NamedTuple):
    """Unix milliseconds; `cancel_ms` is not after `force_ms`, nor that after the deadline."""

    cancel_ms: int
    force_ms: int

    def due(self, now_ms: int) -> Overtaking:
        if now_ms >= self.force_ms:
            return Overtaking.FORCE
        return Overtaking.CANCEL if now_ms >= self.cancel_ms else Overtaking.NOT_YET


def overtake_times(deadline_ms: int, pending: int, rate: float, margin_s: float) -> OvertakeTimes:
    """`pending` lines need `pending / rate` seconds in real time."""
    begin_ms = deadline_ms - pending / max(rate, 1e-9) * 1000
    margin_ms = max(0.0, margin_s) * 1000
    return OvertakeTimes(int(begin_ms - margin_ms), int(begin_ms - margin_ms * FORCE_PART))
