"""Upstreams as pure models, and a lane that is always full of lines: discrete events, no clock, no I/O."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from batchrouter.domain.pacing import Limiter, Verdict
from batchrouter.domain.rate_headers import Signals

Answer = tuple[float, Verdict, Signals | None]
"""Seconds until the end of the call, how it ends, what it tells."""
Upstream = Callable[[float], Answer]


@dataclass
class Steady:
    """Answers everything after `latency_s`, spread by `spread` (0: exact; 1: exponential)."""

    latency_s: float
    spread: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __call__(self, now_s: float) -> Answer:
        varied = self.chance.expovariate(1.0) if self.spread else 0.0
        return self.latency_s * (1 - self.spread + self.spread * varied), Verdict.SUCCESS, None


@dataclass
class Queueing:
    """`slots` calls at once, the others wait in line: answers slow down beyond it, nothing is ever refused."""

    slots: int
    service: Steady

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.slots

    def __call__(self, now_s: float) -> Answer:
        start_s = max(now_s, heapq.heappop(self.free_at))
        end_s = start_s + self.service(now_s)[0]
        heapq.heappush(self.free_at, end_s)
        return end_s - now_s, Verdict.SUCCESS, None


@dataclass
class Refusing:
    """429 within `refusal_s` when more than `slots` are in work, with `retry_after_s` if there is one."""

    slots: int
    service: Steady
    refusal_s: float = 0.01
    retry_after_s: float | None = None
    open_from_s: float = 0.0
    ends: list[float] = field(default_factory=list)

    def __call__(self, now_s: float) -> Answer:
        while self.ends and self.ends[0] <= now_s:
            heapq.heappop(self.ends)
        if now_s < self.open_from_s or len(self.ends) >= self.slots:
            told = None if self.retry_after_s is None else Signals(retry_after_s=self.retry_after_s)
            return self.refusal_s, Verdict.DROPPED, told
        latency_s = self.service(now_s)[0]
        heapq.heappush(self.ends, now_s + latency_s)
        return latency_s, Verdict.SUCCESS, None


@dataclass
class Run:
    """What happened: (time, limit) after each end, ends by verdict, (time, in flight) at each sending."""

    limits: list[tuple[float, int]] = field(default_factory=list)
    ends: list[tuple[float, Verdict]] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    peak: int = 0

    def count(self, verdict: Verdict, from_s: float = 0.0, to_s: float = float("inf")) -> int:
        return sum(1 for at_s, each in self.ends if each == verdict and from_s <= at_s < to_s)

    def limit_at(self, at_s: float) -> int:
        return next(limit for when_s, limit in reversed(self.limits) if when_s <= at_s)

    def mean_limit(self, from_s: float) -> float:
        limits = [limit for at_s, limit in self.limits if at_s >= from_s]
        return sum(limits) / len(limits)

    @property
    def drop_ratio(self) -> float:
        return self.count(Verdict.DROPPED) / len(self.ends)


def drive(
    limiter: Limiter,
    upstream: Upstream,
    until_s: float,
    *,
    lines: int = 1 << 40,
    most: int = 1 << 40,
    at_once: int = 64,
) -> Run:
    """Run the lane until `until_s` or `lines` are sent; at most `most` in flight, `at_once` sent per millisecond."""
    run = Run()
    calls: list[tuple[float, int, float, Verdict, Signals | None]] = []
    now_s, number = 0.0, 0
    while now_s < until_s and number < lines:
        room = min(limiter.room(now_s), most - limiter.in_flight, at_once)
        for _ in range(room):
            limiter.on_sent(now_s)
            latency_s, verdict, signals = upstream(now_s)
            number += 1
            heapq.heappush(calls, (now_s + latency_s, number, now_s, verdict, signals))
            run.sent.append(now_s)
        run.peak = max(run.peak, limiter.in_flight)
        if room == at_once:
            next_s = now_s + 0.001
        else:
            timer_s = limiter.next_at(now_s)
            next_s = min(calls[0][0] if calls else until_s, until_s if timer_s is None else timer_s)
        if room == at_once and calls:
            next_s = min(next_s, calls[0][0])
        assert next_s >= now_s
        now_s = next_s
        while calls and calls[0][0] <= now_s:
            _, _, sent_s, verdict, signals = heapq.heappop(calls)
            limiter.on_end(sent_s, now_s, verdict, signals)
            run.ends.append((now_s, verdict))
            run.limits.append((now_s, limiter.limit))
    return run
