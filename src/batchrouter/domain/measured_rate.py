"""The rate of an upstream that limits calls a minute and says so only by refusing (Gemini tells no limit beforehand).

Its bucket is empty whenever it refuses. So what it answered between two refusals is what flowed in meanwhile, and that
divided by the time is its rate. Calls are then sent at that rate, and a little faster with every second without a
refusal, by steps that grow, so that a limit that was raised is found.
"""

from __future__ import annotations

FIRST_APART_S, APART_S = 0.2, 1.0
"""Refusals nearer to each other than this prove nothing. The first estimate may be rough: it ends a flood of them."""
GROWTH, GROWTH_TIMES, GROWTH_MAX = 0.002, 1.3, 0.2
"""What is added to the rate in the first second without a refusal, how much more in each that follows, the most."""
BURST_S = 0.05
LATER_S = 1e-6
"""As in `published_limits`."""
RATE_MAX_S = 1e6
"""Holds nothing back any more. So far a rate grows in a few minutes without a refusal."""


class MeasuredRate:
    """Times are of one monotonic clock."""

    __slots__ = ("_answered", "_at_s", "_from_s", "_grown_s", "_growth", "_level", "_rate_s")

    def __init__(self, now_s: float) -> None:
        """Made when the first refusal came."""
        self._from_s = now_s
        self._answered = 0
        self._rate_s: float | None = None
        self._level = 0.0
        self._at_s = now_s
        self._grown_s = now_s
        self._growth = GROWTH

    def on_answer(self, sent_s: float) -> None:
        if sent_s >= self._from_s:
            self._answered += 1

    def on_refusal(self, now_s: float) -> None:
        self._growth, self._grown_s = GROWTH, now_s
        passed_s = now_s - self._from_s
        if passed_s < (FIRST_APART_S if self._rate_s is None else APART_S) or not self._answered:
            return
        self._rate_s = self._answered / passed_s
        self._from_s, self._answered = now_s, 0
        self._level, self._at_s = 0.0, now_s

    def room(self, now_s: float, most: int) -> int:
        """How many calls, at most `most`, may go out now."""
        if self._rate_s is None:
            return most
        self._fill(now_s)
        return min(most, max(0, int(self._level)))

    def ready_at(self, now_s: float) -> float:
        """When one call may go out."""
        if self._rate_s is None:
            return now_s
        self._fill(now_s)
        return now_s + (1.0 - self._level) / self._rate_s + LATER_S if self._level < 1.0 else now_s

    def on_sent(self) -> None:
        self._level -= 1.0

    def _fill(self, now_s: float) -> None:
        assert self._rate_s is not None
        while now_s - self._grown_s >= 1.0 and self._rate_s < RATE_MAX_S:
            self._grown_s += 1.0
            self._rate_s *= 1.0 + self._growth
            self._growth = min(self._growth * GROWTH_TIMES, GROWTH_MAX)
        most = max(1.0, self._rate_s * BURST_S)
        self._level = min(most, self._level + max(0.0, now_s - self._at_s) * self._rate_s)
        self._at_s = now_s
