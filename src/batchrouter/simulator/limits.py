"""Published limits of an upstream, really enforced: token buckets and the headers that tell about them."""

from __future__ import annotations

import math

from batchrouter.simulator.script import Limits

SECONDS_PER_MINUTE = 60.0


class Bucket:
    """Fills at `per_minute` / 60 a second up to what `burst_s` seconds bring, and starts full."""

    __slots__ = ("_at_s", "capacity", "level", "per_minute", "rate")

    def __init__(self, per_minute: float, burst_s: float, now_s: float) -> None:
        self.per_minute = per_minute
        self.rate = per_minute / SECONDS_PER_MINUTE
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


class LimitGate:
    """Both buckets of a key. A request passes when both have room, and is then charged to both at once."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self.buckets: dict[str, Bucket] = {}
        if limits.rpm is not None:
            self.buckets["requests"] = Bucket(limits.rpm, limits.burst_s, now_s)
        if limits.tpm is not None:
            self.buckets["tokens"] = Bucket(limits.tpm, limits.burst_s, now_s)

    def take(self, tokens: int, now_s: float) -> tuple[str, float]:
        """Charge one request. `("", 0)`; or the refusing limit's name and the seconds to wait, and nothing charged."""
        costs = {"requests": 1.0, "tokens": float(tokens)}
        worst, wait_s = "", 0.0
        for name, bucket in self.buckets.items():
            bucket.refill(now_s)
            needed_s = bucket.wait_s(costs[name])
            if needed_s > wait_s:
                worst, wait_s = name, needed_s
        if not worst:
            for name, bucket in self.buckets.items():
                bucket.level -= costs[name]
        return worst, wait_s

    def headers(self) -> list[tuple[str, str]]:
        told: list[tuple[str, str]] = []
        for name, bucket in self.buckets.items():
            told += [
                (f"x-ratelimit-limit-{name}", str(int(bucket.per_minute))),
                (f"x-ratelimit-remaining-{name}", str(int(bucket.level))),
                (f"x-ratelimit-reset-{name}", go_duration(bucket.full_in_s())),
            ]
        return told


def go_duration(seconds: float) -> str:
    """Seconds in the form that OpenAI writes: `6m0s`, `1.5s`, `120ms`."""
    millis = math.ceil(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes < 60:
        return f"{minutes}m{tail}" if minutes else tail
    return f"{minutes // 60}h{minutes % 60}m{tail}"
