"""Everything but the number of calls in flight that may hold a call back: known rates, published limits, a measured
rate, an outage. Those that a lane has no use for are not made."""

from __future__ import annotations

from collections.abc import Sequence

from batchrouter.domain.measured_rate import MeasuredRate
from batchrouter.domain.outage import Outage
from batchrouter.domain.published_limits import PublishedLimits
from batchrouter.domain.rate_buckets import RateBuckets
from batchrouter.domain.rate_headers import Budget
from batchrouter.domain.tokens import Tokens


class Gates:
    """`sent` numbers the calls. Times are of one monotonic clock."""

    __slots__ = ("_measured", "_outage", "_published", "_rate", "_slow", "sent")

    def __init__(self, rpm: int | None, tpm: int | None) -> None:
        self.sent = 0
        self._published: PublishedLimits | None = None
        self._measured: MeasuredRate | None = None
        self._outage: Outage | None = None
        self.share(rpm, tpm)

    def share(self, rpm: int | None, tpm: int | None) -> None:
        """Replace the known rates."""
        self._rate = None if rpm is None and tpm is None else RateBuckets(rpm, tpm)
        self._slow = self._rate is not None or self._published is not None or self._measured is not None

    # --- may a call go out? -----------------------------------------------------------------------------------------

    def room(self, now_s: float, room: int) -> int:
        """How many calls, at most `room`, may go out now."""
        if self._outage is not None:
            room = self._outage.room(now_s, room)
        if not self._slow:
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

    def on_sent(self, now_s: float, tokens_estimate: int, enough: int) -> bool:
        """A call goes out. True: an outage is over, because more than `enough` may go out at once again."""
        self.sent += 1
        if self._published is not None:
            self._published.last_s = now_s
        elif self._measured is not None:
            self._measured.on_sent()
        if self._rate is not None:
            self._rate.take(now_s, tokens_estimate)
        if self._outage is None:
            return False
        self._outage.on_sent(now_s)
        return self._outage.size > enough

    # --- what calls bring -------------------------------------------------------------------------------------------

    def on_answer(self, sent_s: float, tokens: Tokens | None) -> None:
        if self._measured is not None:
            self._measured.on_answer(sent_s)
        if self._published is not None and tokens is not None:
            self._published.on_cost(tokens)

    def on_told(self, budgets: Sequence[Budget], number: int, sent_s: float) -> None:
        """The reply to call `number`, sent at `sent_s`, told what is left of these limits."""
        if self._published is None:
            self._published = PublishedLimits()
            self._slow = True
        self._published.on_told(budgets, number, sent_s)

    def on_refusal(self, now_s: float) -> None:
        """A refusal told when to come back: where no limit is published, one of calls a minute is measured."""
        if self._published is None:
            if self._measured is None:
                self._measured = MeasuredRate(now_s)
                self._slow = True
            self._measured.on_refusal(now_s)

    def correct(self, more_tokens: int) -> None:
        """A call took that many tokens more than it was estimated at."""
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
