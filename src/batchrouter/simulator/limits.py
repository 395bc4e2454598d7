"""Published limits of an upstream, really enforced: token buckets, and a ramp that usage may not outgrow.

How they are told is in `dialects`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from batchrouter.simulator.script import Limits, Ramp

SECONDS_PER_MINUTE = 60.0
SECONDS_PER_DAY = 86_400.0

REQUESTS, TOKENS, INPUT, OUTPUT = "requests", "tokens", "input-tokens", "output-tokens"
DAILY_REQUESTS, DAILY_TOKENS = "requests-per-day", "tokens-per-day"
RAMP = "ramp"
"""What a refusal names that no bucket but the ramp has decided."""


class Spent(NamedTuple):
    """The tokens of a request and its answer. `cached` of the input were read from a cache."""

    input: int
    output: int
    cached: int = 0


class Bucket:
    """Fills evenly with `limit` in `period_s` up to what `burst_s` seconds bring, and starts full."""

    __slots__ = ("_at_s", "capacity", "level", "limit", "rate")

    def __init__(self, limit: float, period_s: float, burst_s: float, now_s: float) -> None:
        self.limit = limit
        self.rate = limit / period_s
        self.capacity = max(1.0, self.rate * burst_s)
        self.level = self.capacity
        self._at_s = now_s

    def refill(self, now_s: float) -> None:
        self.level = min(self.capacity, self.level + (now_s - self._at_s) * self.rate)
        self._at_s = now_s

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` is there, 0 when it is; infinite when it never fits."""
        if amount > self.capacity:
            return math.inf
        return max(0.0, (amount - self.level) / self.rate)

    def full_in_s(self) -> float:
        return (self.capacity - self.level) / self.rate


class RampAtWork:
    """Counts requests by window, from the moment when the script was set."""

    def __init__(self, ramp: Ramp, now_s: float) -> None:
        self._ramp = ramp
        self._begun_s = now_s
        self._window = 0
        self._taken = 0
        self._most = ramp.start

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next window when this one is full, else 0."""
        window = int((now_s - self._begun_s) // self._ramp.window_s)
        if window > self._window:
            before = self._taken if window == self._window + 1 else 0
            self._most = max(self._ramp.start, math.floor(before * self._ramp.factor))
            self._window, self._taken = window, 0
        if self._taken < self._most:
            return 0.0
        return self._begun_s + (window + 1) * self._ramp.window_s - now_s

    def take(self) -> None:
        self._taken += 1


class LimitGate:
    """All buckets of a key. A request passes when all have room, and is then charged to all at once."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self.dialect = limits.dialect
        self.buckets: dict[str, Bucket] = {}
        burst_s = limits.burst_s
        for name, limit in (
            (REQUESTS, limits.rpm),
            (TOKENS, limits.tpm),
            (INPUT, limits.itpm),
            (OUTPUT, limits.otpm),
        ):
            if limit is not None:
                self.buckets[name] = Bucket(limit, SECONDS_PER_MINUTE, burst_s, now_s)
        for name, limit in ((DAILY_REQUESTS, limits.rpd), (DAILY_TOKENS, limits.tpd)):
            if limit is not None:
                self.buckets[name] = Bucket(limit, SECONDS_PER_DAY, SECONDS_PER_DAY, now_s)
        self._ramp = RampAtWork(limits.ramp, now_s) if limits.ramp is not None else None

    def take(self, spent: Spent, now_s: float) -> tuple[str, float]:
        """Charge one request. `("", 0)`; or the refusing limit's name and the seconds to wait, and nothing charged."""
        costs = costs_of(spent)
        worst, wait_s = "", 0.0
        if self._ramp is not None:
            wait_s = self._ramp.wait_s(now_s)
            worst = RAMP if wait_s else ""
        for name, bucket in self.buckets.items():
            bucket.refill(now_s)
            needed_s = bucket.wait_s(costs[name])
            if needed_s > wait_s:
                worst, wait_s = name, needed_s
        if not worst:
            for name, bucket in self.buckets.items():
                bucket.level -= costs[name]
            if self._ramp is not None:
                self._ramp.take()
        return worst, wait_s


def costs_of(spent: Spent) -> dict[str, float]:
    """What each kind of limit is charged: a limit of input does not count what a cache gave (providers, 2.1)."""
    total = spent.input + spent.output
    return {
        REQUESTS: 1,
        TOKENS: total,
        INPUT: spent.input - spent.cached,
        OUTPUT: spent.output,
        DAILY_REQUESTS: 1,
        DAILY_TOKENS: total,
    }
