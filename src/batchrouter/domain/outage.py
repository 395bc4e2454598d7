"""An upstream that refuses everything for a while: asked rarely, and used again as soon as it answers.

Between probes passes an eighth of the time that the outage has lasted, so that its end is seen late by a ninth at most.
A refusal comes at once, an answer may take minutes: so a probe that was not refused in the time that refusals take is
followed by two, then four, before the first has been answered.
"""

from __future__ import annotations

PAUSE_S, PAUSE_MAX_S = 0.1, 8.0
LASTED_PART = 8
PATIENCE_S, PATIENCE_TIMES = 0.03, 4


class Outage:
    """Begins with the second refusal in a row."""

    __slots__ = ("_begun_s", "_left", "_next_s", "_refusal_s", "_size")

    def __init__(self, sent_s: float) -> None:
        """`sent_s`: when the call was sent whose refusal began it."""
        self._begun_s = sent_s
        self._refusal_s = 0.0
        self._size = self._left = 1
        self._next_s = 0.0

    def refused(self, sent_s: float, now_s: float) -> float:
        """A call was refused; returns until when to ask nothing."""
        self._refusal_s = max(self._refusal_s, now_s - sent_s)
        self._size = self._left = 1
        self._next_s = 0.0
        return now_s + min(max(PAUSE_S, (now_s - self._begun_s) / LASTED_PART), PAUSE_MAX_S)

    def room(self, now_s: float, most: int) -> int:
        """How many calls, at most `most`, may go out now."""
        return 0 if now_s < self._next_s else min(most, self._left)

    def on_sent(self, now_s: float) -> None:
        self._left -= 1
        if self._left <= 0:
            self._size = self._left = self._size * 2
            self._next_s = now_s + max(PATIENCE_S, PATIENCE_TIMES * self._refusal_s)

    @property
    def next_s(self) -> float:
        """When more may go out, if nothing is refused meanwhile."""
        return self._next_s

    @property
    def size(self) -> int:
        """How many may go out at once now."""
        return self._size
