"""Everything but the number of calls in flight that may hold a call back: known rates, published limits, a measured
rate, an outage. Those that a lane has no use for are not made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batchrouter.domain.measured_rate import MeasuredRate
from batchrouter.domain.outage import Outage
from batchrouter.domain.published_limits import PublishedLimits
from batchrouter.domain.rate_buckets import REQUESTS, TOKENS, RateBuckets
from batchrouter.domain.rate_headers import Budget
from batchrouter.domain.tokens import Tokens


class Use(NamedTuple):
    """Of one known limit. `limit` and `used` are of a minute; `held`: a call has had to wait for it."""

    kind: str
    limit: float
    used: float
    held: bool


class Gates:
    """`sent` numbers the calls. Times are of one monotonic clock."""

    __slots__ = (
        "_known",
        "_looked",
        "_measured",
        "_outage",
        "_published",
        "_rate",
        "_shares",
        "limits",
        "newcomer_part",
        "sent",
    )

    def __init__(self, rpm: int | None, tpm: int | None) -> None:
        self.sent = 0
        self.newcomer_part = 1.0
        """Of a limit that is published from now on: what this worker may use until it has a share."""
        self._published: PublishedLimits | None = None
        self._measured: MeasuredRate | None = None
        self._outage: Outage | None = None
        self._known = {kind: float(rate) for kind, rate in ((REQUESTS, rpm), (TOKENS, tpm)) if rate is not None}
        self._shares = dict(self._known)
        self._rate = RateBuckets(rpm, tpm) if self._known else None
        self.limits = self._rate is not None
        """Whether any limit but that of calls in flight is known: without one no answer need be told here."""
        self._looked = (float("-inf"), 0, 0.0)
        """When `uses` was asked last, and what had been sent and taken then."""

    # --- may a call go out? -----------------------------------------------------------------------------------------

    def room(self, now_s: float, room: int) -> int:
        """How many calls, at most `room`, may go out now."""
        if self._outage is not None:
            room = self._outage.room(now_s, room)
        if not self.limits:
            return room
        if self._published is not None:
            room = self._published.room(now_s, self.sent, room)
        elif self._measured is not None:
            room = self._measured.room(now_s, room)
        return room if self._rate is None else self._rate.room(now_s, room)

    def ready_at(self, now_s: float) -> float:
        """When one call more may go out."""
        at_s = now_s if self._outage is None else max(now_s, self._outage.next_s)
        if self._published is not None:
            at_s = max(at_s, self._published.ready_at(now_s, self.sent))
        elif self._measured is not None:
            at_s = max(at_s, self._measured.ready_at(now_s))
        return at_s if self._rate is None else max(at_s, self._rate.ready_at(now_s))

    def on_sent(self, now_s: float, tokens_estimate: int) -> int:
        """A call goes out. Returns how many may go out at once in an outage; 0 when there is none."""
        self.sent += 1
        if self._published is not None:
            self._published.last_s = now_s
        elif self._measured is not None:
            self._measured.on_sent()
        if self._rate is not None:
            self._rate.take(now_s, tokens_estimate)
        if self._outage is None:
            return 0
        self._outage.on_sent(now_s)
        return self._outage.size

    # --- what calls bring -------------------------------------------------------------------------------------------

    def on_answer(self, sent_s: float, tokens: Tokens | None) -> None:
        """A good answer; may be left out while there are no `limits`."""
        if self._measured is not None:
            self._measured.on_answer(sent_s)
        if self._published is not None and tokens is not None:
            self._published.on_cost(tokens)

    def on_told(self, budgets: Sequence[Budget], number: int, sent_s: float) -> None:
        """The reply to call `number`, sent at `sent_s`, told what is left of these limits."""
        if self._published is None:
            self._published = PublishedLimits(self.newcomer_part)
            self.limits = True
        self._published.on_told(budgets, number, sent_s)

    def on_refusal(self, now_s: float) -> None:
        """A refusal told when to come back: where no limit is published, one of calls a minute is measured."""
        if self._published is None:
            if self._measured is None:
                self._measured = MeasuredRate(now_s)
                self.limits = True
            self._measured.on_refusal(now_s)

    def correct(self, more_tokens: int) -> None:
        """A call took that many tokens more than it was estimated at; may be left out while there are no `limits`."""
        if self._rate is not None:
            self._rate.correct(more_tokens)

    # --- outages ----------------------------------------------------------------------------------------------------

    @property
    def in_outage(self) -> bool:
        return self._outage is not None

    def on_outage(self, sent_s: float, now_s: float) -> float:
        """Refusal follows refusal; returns until when to ask nothing."""
        if self._outage is None:
            self._outage = Outage(sent_s)
        return self._outage.refused(sent_s, now_s)

    def end_outage(self) -> bool:
        """Whether there was one."""
        ended, self._outage = self._outage is not None, None
        return ended

    # --- several workers with one key -----------------------------------------------------------------------------

    def uses(self, now_s: float) -> list[Use]:
        """The known limits, and what was used of each since this was asked last."""
        since_s, sent, taken = self._looked
        rate = self._rate
        tokens = 0.0 if rate is None else rate.taken
        self._looked = (now_s, self.sent, tokens)
        minutes = max(now_s - since_s, 1e-3) / 60.0
        calls = (self.sent - sent) / minutes
        told = []
        if rate is not None:
            used = {REQUESTS: calls, TOKENS: max(0.0, tokens - taken) / minutes}
            told = [Use(kind, limit, used[kind], kind in rate.held) for kind, limit in self._known.items()]
            rate.held.clear()
        if self._published is not None:
            rates = self._published.rates()
            told += [Use(kind, limit, calls * mean, held) for kind, (limit, mean, held) in rates.items()]
        return told

    def share(self, kind: str, limit: float, part: float) -> None:
        """From now on this worker has `part` of that kind's `limit`, both of a minute."""
        if kind not in self._known:
            if self._published is not None:
                self._published.share(kind, part / limit)
        elif self._rate is not None:
            self._shares[kind] = min(part, self._known[kind])
            self._rate.share(self._shares.get(REQUESTS), self._shares.get(TOKENS))
