"""Upstreams as pure models, and a lane that is always full of lines: discrete events, no clock, no I/O."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from batchrouter.domain.pacing import Limiter
from batchrouter.domain.rate_headers import Budget, Signals
from batchrouter.domain.tokens import Tokens
from batchrouter.domain.verdict import Verdict

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
class Metered:
    """Token buckets of a minute that start full. Their limits are told by every reply, resets in whole seconds where
    `coarse` and tokens then in thousands; a refusal tells when to come back. Told as they stand after the call."""

    service: Steady
    rpm: float | None = None
    tpm: float | None = None
    tokens: Callable[[], Tokens] = lambda: Tokens(100, 0, 100, 0)
    silent: bool = False
    coarse: bool = False
    levels: dict[str, float] = field(default_factory=dict)
    at_s: float = 0.0
    last: Tokens = field(default_factory=Tokens)

    def __call__(self, now_s: float) -> Answer:
        limits = {"requests": self.rpm, "tokens": self.tpm}
        costs = {"requests": 1.0}
        self.last = self.tokens()
        costs["tokens"] = float(self.last.input + self.last.output)
        known = {kind: limit for kind, limit in limits.items() if limit is not None}
        for kind, limit in known.items():
            level = self.levels.get(kind, limit)
            self.levels[kind] = min(limit, level + (now_s - self.at_s) * limit / 60)
        self.at_s = now_s
        wait_s = max((costs[kind] - self.levels[kind]) * 60 / limit for kind, limit in known.items())
        if wait_s > 0:
            return 0.01, Verdict.DROPPED, Signals(retry_after_s=wait_s, budgets=self._told(known))
        for kind in known:
            self.levels[kind] -= costs[kind]
        return self.service(now_s)[0], Verdict.SUCCESS, Signals(budgets=self._told(known))

    def _told(self, known: dict[str, float]) -> tuple[Budget, ...]:
        if self.silent:
            return ()
        told = []
        for kind, limit in known.items():
            reset_s, left = (limit - self.levels[kind]) * 60 / limit, self.levels[kind]
            if self.coarse:
                reset_s = float(-int(-reset_s // 1))
                left = round(left / 1000) * 1000 if kind == "tokens" else left
            told.append(Budget(kind, int(limit), int(left), reset_s))
        return tuple(told)


@dataclass
class InWaves:
    """Refuses everything in the last `for_s` of every `every_s` seconds."""

    upstream: Upstream
    every_s: float
    for_s: float
    retry_after_s: float | None = None

    def __call__(self, now_s: float) -> Answer:
        if now_s % self.every_s >= self.every_s - self.for_s:
            told = None if self.retry_after_s is None else Signals(retry_after_s=self.retry_after_s)
            return 0.01, Verdict.DROPPED, told
        return self.upstream(now_s)


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
    calls: list[tuple[float, int, float, Verdict, Signals | None, Tokens | None]] = []
    now_s, number = 0.0, 0
    while now_s < until_s and number < lines:
        room = min(limiter.room(now_s), most - limiter.in_flight, at_once)
        for _ in range(room):
            call = limiter.on_sent(now_s)
            latency_s, verdict, signals = upstream(now_s)
            number += 1
            tokens = upstream.last if isinstance(upstream, Metered) and verdict == Verdict.SUCCESS else None
            heapq.heappush(calls, (now_s + latency_s, call, now_s, verdict, signals, tokens))
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
            _, call, sent_s, verdict, signals, tokens = heapq.heappop(calls)
            limiter.on_end(sent_s, now_s, verdict, signals, tokens=tokens, number=call)
            run.ends.append((now_s, verdict))
            run.limits.append((now_s, limiter.limit))
    return run
