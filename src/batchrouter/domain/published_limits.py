"""Limits that an upstream publishes in its replies: how much of them is left now, seen from here.

A reply says what was left when its call arrived, or when it was answered. Since then time has filled the bucket and the
calls that were sent later have emptied it; both are known here, so what is left now can be told without waiting to be
refused:

    left now = told + rate x (now - sent) - (calls sent since) x (what a call costs)

The latest call that told counts. A limit on tokens is charged with the mean of what the latest calls took; room is only
given where the largest of them would fit, since a refusal costs more than a short wait.

What is told is the whole account's. With several workers on it each takes its part of it for its own; since every reply
tells anew what all of them have left, what one does not use is soon seen by the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from batchrouter.domain.rate_headers import Budget
from batchrouter.domain.tokens import Tokens

MINUTE_S = 60.0
PERIODS_S = (MINUTE_S, 1.0, 3600.0, 86_400.0)
SNAP = 0.25
"""A rate this near to the limit in one of these periods is that: resets are told in whole seconds."""
MEAN_OVER = 32
PEAK_FADES = 0.99
DOUBT = 2.0
"""Calls under way may have taken this many standard deviations more than usual."""
ROUNDED_TO = 1000
"""Anthropic rounds tokens to thousands."""
KINDS_MAX = 8
KIND_CHARS = 64
"""Kinds are the upstream's words; those with longer names are kept by each worker alone."""
PART_MIN = 1e-4
LATER_S = 1e-6
"""A timer set for the moment when there is room must find it, whatever the rounding."""


def cost_of(kind: str, tokens: Tokens) -> float:
    """What a call took of a limit of this kind. What a cache gave does not count for a limit of input alone."""
    if kind.endswith("requests"):
        return 1.0
    if kind == "input-tokens":
        return float(tokens.input - tokens.cached)
    if kind == "output-tokens":
        return float(tokens.output)
    return float(tokens.input + tokens.output)


class _Limit:
    __slots__ = ("at_s", "cap", "held", "kind", "left", "limit", "mean", "part", "peak", "rate_s", "sent", "variance")

    def __init__(self, kind: str, part: float) -> None:
        self.kind = kind
        self.limit = 0
        self.cap = 0.0  # the most that was ever left
        self.rate_s = 0.0
        self.left = 0.0
        self.at_s = float("-inf")
        self.sent = -1
        self.mean = 1.0 if kind.endswith("requests") else 0.0
        self.variance = 0.0
        self.peak = self.mean
        self.part = part  # of the account's limit: the rest is other workers'
        self.held = False

    def told(self, budget: Budget, number: int, sent_s: float) -> None:
        if budget.limit <= 0:
            return
        if budget.limit != self.limit:
            self.limit, self.rate_s, self.cap = budget.limit, budget.limit / MINUTE_S, 0.0
        self.cap = max(self.cap, float(budget.remaining))
        if budget.reset_s and budget.reset_s >= 1.0:
            self._learn_rate(budget)
        if number > self.sent:
            rounded = self.mean and not budget.remaining % ROUNDED_TO and not budget.limit % ROUNDED_TO
            slack = ROUNDED_TO / 2 if rounded and not self.kind.endswith("requests") else 0.0
            self.left, self.at_s, self.sent = max(0.0, budget.remaining - slack), sent_s, number

    def _learn_rate(self, budget: Budget) -> None:
        """The reset tells when nothing will be used any more: of the limit, or of the smaller bucket by which some
        enforce it, which never has more left than has been seen."""
        assert budget.reset_s is not None
        by_limit = (budget.limit - budget.remaining) / budget.reset_s
        by_bucket = (self.cap - budget.remaining) / budget.reset_s
        for rate_s in (by_limit, by_bucket):
            for period_s in PERIODS_S:
                known_s = budget.limit / period_s
                # A limit a second is one only where that much was ever left.
                if abs(rate_s / known_s - 1) <= SNAP and (period_s >= MINUTE_S or self.cap >= budget.limit / 2):
                    self.rate_s = known_s
                    return
        if 0 < by_limit < self.rate_s:
            self.rate_s = by_limit

    def learn(self, cost: float) -> None:
        if self.kind.endswith("requests"):
            return
        if not self.mean:
            self.mean = cost
        else:
            off = cost - self.mean
            self.mean += off / MEAN_OVER
            self.variance += (off * off - self.variance) / MEAN_OVER
        self.peak = max(cost, self.peak * PEAK_FADES, self.mean)

    def spare(self, now_s: float, sent: int, last_s: float) -> float:
        """What is left beyond the room for one call more, the largest. The last of `sent` calls was at `last_s`."""
        out = sent - self.sent
        taken = out * self.mean + DOUBT * math.sqrt(out * self.variance)
        fits, part = min(self.peak, self.limit), self.part
        rate_s = self.rate_s * part
        cap = max(self.cap * part, fits)
        last_s = max(last_s, self.at_s)
        # Nothing takes more than there is, and what was taken comes back, also by calls that tell nothing in the end:
        # while an upstream fails nobody says what is left.
        left = max(0.0, min(cap, self.left * part + rate_s * (last_s - self.at_s)) - taken)
        left = min(cap, left + rate_s * max(0.0, now_s - last_s))
        if part < 1.0:
            # What the others took since nobody has told; a little more stays in the bucket, and costs nothing.
            others = (self.rate_s - rate_s) * max(0.0, now_s - self.at_s) * self.mean
            left -= min(cap / 2, DOUBT * math.sqrt(others) * part)
        return left - fits


class PublishedLimits:
    """All limits of one key. Times are of one monotonic clock; calls are numbered as they are sent."""

    __slots__ = ("_limits", "_part", "last_s")

    def __init__(self, part: float = 1.0) -> None:
        """`part` of each limit is this worker's, until told otherwise by `share`."""
        self._part = part
        self._limits: dict[str, _Limit] = {}
        self.last_s = float("-inf")
        """When the last call went out."""

    def on_told(self, budgets: Sequence[Budget], number: int, sent_s: float) -> None:
        """The reply to call `number`, sent at `sent_s`, told these."""
        for budget in budgets:
            limit = self._limits.get(budget.kind)
            if limit is None:
                if len(self._limits) >= KINDS_MAX:
                    continue
                limit = self._limits[budget.kind] = _Limit(budget.kind, self._part)
            limit.told(budget, number, sent_s)

    def on_cost(self, tokens: Tokens) -> None:
        """An answer took so many tokens."""
        for limit in self._limits.values():
            limit.learn(cost_of(limit.kind, tokens))

    def room(self, now_s: float, sent: int, most: int) -> int:
        """How many calls, at most `most`, may go out now that `sent` have been."""
        for limit in self._limits.values():
            if not limit.limit:
                continue
            spare = limit.spare(now_s, sent, self.last_s)
            if spare < 0:
                return 0
            if limit.mean:
                most = min(most, 1 + int(spare / limit.mean))
        return most

    def ready_at(self, now_s: float, sent: int) -> float:
        """When one call more may go out."""
        at_s = now_s
        for limit in self._limits.values():
            if limit.limit and limit.rate_s:
                spare = limit.spare(now_s, sent, self.last_s)
                if spare < 0:
                    limit.held = True
                    at_s = max(at_s, now_s - spare / (limit.rate_s * limit.part) + LATER_S)
        return at_s

    # --- several workers with one key -----------------------------------------------------------------------------

    def rates(self) -> dict[str, tuple[float, float, bool]]:
        """By kind: the limit of a minute, what a call takes of it, and whether a call has had to wait for it since the
        last time that this was asked."""
        told = {}
        for kind, limit in self._limits.items():
            if limit.limit and limit.rate_s and len(kind) <= KIND_CHARS:
                told[kind] = (limit.rate_s * MINUTE_S, limit.mean, limit.held)
                limit.held = False
        return told

    def share(self, kind: str, part: float) -> None:
        """This worker may use that part of the limit (0 to 1), and of what the upstream says is left of it."""
        limit = self._limits.get(kind)
        if limit is not None:
            limit.part = min(1.0, max(PART_MIN, part))
