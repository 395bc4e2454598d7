"""How many calls a lane may have in flight, learnt from how its calls end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from batchrouter.domain.rate_headers import Signals


class Verdict(IntEnum):
    """How a call ended, as far as the pace is concerned."""

    SUCCESS = 0
    """The upstream did the work; its latency is a sample."""
    IGNORED = 1
    """No useful sample: a fault of the line, an error of the upstream, a cancelled call."""
    DROPPED = 2
    """The upstream had no room: 429, 503, 529, refused connection, no reply in time."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """A provider's settings; every one is optional."""

    max_in_flight: int = 1024
    start_in_flight: int = 32
    fixed_in_flight: int | None = None
    rpm: int | None = None
    tpm: int | None = None


class Limiter:
    """The pace of one lane. Every call that `on_sent` reports must be reported once to `on_end`.

    Times are seconds of one monotonic clock and never go back.
    """

    __slots__ = ("in_flight", "limit", "not_before_s", "settings")

    limit: int
    in_flight: int
    not_before_s: float

    def __init__(self, settings: Pacing, learnt: int | None = None) -> None:
        """`learnt` is an earlier run's `limit`; the lane starts at half of it."""
        raise NotImplementedError

    def room(self, now_s: float) -> int:
        """How many more calls may be sent now; 0 before `not_before_s` and while a bucket is empty."""
        raise NotImplementedError

    def next_at(self, now_s: float) -> float | None:
        """When `room` may grow without a call ending (for a timer); None when only an end of a call can do that."""
        raise NotImplementedError

    def on_sent(self, now_s: float, tokens_estimate: int = 0) -> None:
        """A call goes out now."""
        raise NotImplementedError

    def on_end(
        self,
        sent_at_s: float,
        now_s: float,
        verdict: Verdict,
        signals: Signals | None = None,
        tokens_used: int = 0,
        tokens_estimate: int = 0,
    ) -> None:
        """A call that was sent at `sent_at_s` has ended. With both token figures the estimate is corrected by the use."""
        raise NotImplementedError

    def pause_until(self, at_s: float) -> None:
        """Send nothing before `at_s`; an earlier time than the one already held changes nothing."""
        raise NotImplementedError

    def share(self, rpm: int | None, tpm: int | None) -> None:
        """Take this worker's share of the known limits in place of the configured ones (several workers on one lane)."""
        raise NotImplementedError
