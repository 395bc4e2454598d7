"""The known limits of one key, shared with the other workers that use it: what this worker tells of them, and what it
may do by what it heard.

Configured rates, published ones, and a number in flight that the configuration says is the upstream's. What is only
learnt (`pacing`) each worker learns for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from batchrouter.domain.gates import Use
from batchrouter.domain.pacing import Limiter
from batchrouter.domain.sharing import (
    EVERYTHING,
    FLOOR_PART,
    RATE_UNIT,
    TURN_MS,
    Account,
    Demand,
    Peer,
    evenly,
    member_gate,
    wholly,
)

IN_FLIGHT = "in-flight"
HEADROOM = 1.25
"""Of what a worker used, if it was not held back: its lines come unevenly."""
KEEP = 0.6
"""What is wanted is told anew when it is more than was told, or less than this part of it: a beat that tells nothing
new costs less."""
AVERAGE_S = 5.0
HUNGRY_S = 3.0
"""So long after it was last held back, a worker wants whatever it can get."""


class _Rate:
    __slots__ = ("account", "held_s", "limit", "used", "wanted")

    def __init__(self, account: Account, limit: float) -> None:
        self.account = account
        self.limit = limit
        self.used = 0.0
        self.wanted = 0
        self.held_s = float("-inf")

    def look(self, use: Use, now_s: float, passed_s: float, idle: bool) -> Demand:
        self.limit = use.limit
        self.used += (use.used - self.used) * min(1.0, passed_s / AVERAGE_S)
        if use.held:
            self.held_s = now_s
        if idle and not use.used:
            self.wanted, self.used, self.held_s = 0, 0.0, float("-inf")
        elif now_s - self.held_s <= HUNGRY_S:
            self.wanted = EVERYTHING
        else:
            wanted = math.ceil(self.used * HEADROOM * RATE_UNIT)
            if not self.wanted * KEEP <= wanted <= self.wanted:
                self.wanted = wanted
        return self.account.tell(self.wanted)


class SharedPace:
    """`me` is this worker; `member` tells the keys of a lane apart, alike in all workers. `workers` live, as far as is
    known: one that is not alone begins with hardly anything, until it has been heard."""

    __slots__ = ("_at_s", "_calls", "_lane_id", "_limiter", "_me", "_member", "_rates")

    def __init__(self, limiter: Limiter, me: str, lane_id: int, member: str, workers: int, now_s: float) -> None:
        self._limiter = limiter
        self._me = me
        self._lane_id = lane_id
        self._member = member
        self._rates: dict[str, _Rate] = {}
        self._at_s = now_s
        total = limiter.settings.total_in_flight
        self._calls = None if total is None else Account(me, total, workers)
        if self._calls is not None:
            limiter.cap = int(self._calls.part)
        if workers > 1:
            limiter.gates.newcomer_part = FLOOR_PART / workers
        for use in limiter.gates.uses(now_s):
            self._rate_of(use, workers)

    def tell(self, now_s: float, workers: int, *, idle: bool) -> dict[str, Demand]:
        """By gate, for this worker's next beat. `idle`: it has no line to send."""
        told = {}
        passed_s, self._at_s = now_s - self._at_s, now_s
        for use in self._limiter.gates.uses(now_s):
            told[self._gate(use.kind)] = self._rate_of(use, workers).look(use, now_s, passed_s, idle)
        if self._calls is not None:
            in_flight = self._limiter.in_flight
            wanted = EVERYTHING if self._limiter.held else in_flight
            self._limiter.held = False
            told[self._gate(IN_FLIGHT)] = self._calls.tell(wanted, in_flight)
        return told

    def hear(self, now_ms: int, peers: Sequence[Peer]) -> None:
        """What follows from a beat that showed these workers, this one among them."""
        for kind, rate in self._rates.items():
            rate.account.hear(rate.limit * RATE_UNIT, peers, self._gate(kind), evenly)
            self._limiter.gates.share(kind, rate.limit, _part(rate.account))
        total = self._limiter.settings.total_in_flight
        if self._calls is not None and total is not None:
            split = wholly(now_ms // TURN_MS)
            self._limiter.cap = int(self._calls.hear(total, peers, self._gate(IN_FLIGHT), split))

    def _rate_of(self, use: Use, workers: int) -> _Rate:
        rate = self._rates.get(use.kind)
        if rate is None:
            rate = self._rates[use.kind] = _Rate(Account(self._me, use.limit * RATE_UNIT, workers), use.limit)
            self._limiter.gates.share(use.kind, use.limit, _part(rate.account))
        return rate

    def _gate(self, kind: str) -> str:
        return member_gate(self._lane_id, self._member, kind)


def _part(account: Account) -> float:
    return max(account.part, account.floor) / RATE_UNIT
