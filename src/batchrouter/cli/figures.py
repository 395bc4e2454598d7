"""The figures of a batch that runs, as progress shows them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

RATE_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """`until_s`: seconds until it is tried again."""

    name: str
    state: str
    reason: str | None
    until_s: float | None
    in_flight: int
    limit: int | None
    done: int
    left: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of lines; rates are None until there is something to measure. `phase` is for people, `cost` in dollars.
    `rates` are lines per second over a short and a long while; `link` leads to the same on a page."""

    phase: str
    total: int
    completed: int
    failed: int
    in_flight: int
    retrying: int
    tokens_in: int
    tokens_out: int
    elapsed_s: float
    rate: float | None
    tokens_rate: float | None
    lanes: tuple[LaneFigures, ...] = ()
    cost: float | None = None
    rates: tuple[float, ...] = ()
    link: str | None = None

    @property
    def done(self) -> int:
        return self.completed + self.failed

    @property
    def waiting(self) -> int:
        return max(0, self.total - self.done - self.in_flight - self.retrying)

    @property
    def eta_s(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None

    @property
    def eta_range_s(self) -> tuple[float, float] | None:
        """At the highest of `rates`, and at the lowest."""
        rates = [rate for rate in self.rates if rate > 0]
        left = self.total - self.done
        return (left / max(rates), left / min(rates)) if rates and self.total else None


class RateMeter:
    """Lines and tokens per second over the last `window_s`."""

    def __init__(self, window_s: float = RATE_WINDOW_S) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, int, int]] = deque()

    def note(self, now_s: float, done: int, tokens: int) -> None:
        self._points.append((now_s, done, tokens))
        while len(self._points) > 2 and self._points[1][0] <= now_s - self._window_s:
            self._points.popleft()

    @property
    def rates(self) -> tuple[float, float] | None:
        """None before the first answer."""
        if len(self._points) < 2:
            return None
        (from_s, done_before, tokens_before), (to_s, done, tokens) = self._points[0], self._points[-1]
        if to_s <= from_s or done == done_before:
            return None
        return (done - done_before) / (to_s - from_s), (tokens - tokens_before) / (to_s - from_s)
