"""Requests and tokens per minute, where they are known: two buckets that fill evenly and are emptied by sending.

A bucket holds one second's worth and no more: upstreams enforce a minute's limit over shorter spans too (60 a minute
as 1 a second), and a minute's burst is what they punish.
"""

from __future__ import annotations

SLACK = 1e-3
"""A timer set for the moment when a bucket is ready must find it ready, whatever the rounding."""
AVERAGE_OVER = 16
RATE_MIN = 0.01
"""A minute. A part of nothing would never let a call go again."""
REQUESTS, TOKENS = "rpm", "tpm"


class RateBuckets:
    """Levels may fall below nothing, by calls that were larger than the bucket or than their estimate; that is a debt
    which time pays off before the next call goes out, so that the rate holds for calls of any size."""

    __slots__ = ("_at_s", "_mean_tokens", "_requests", "_requests_s", "_tokens", "_tokens_s", "held", "taken")

    def __init__(self, rpm: float | None, tpm: float | None) -> None:
        """None: that kind has no limit."""
        self._requests_s = None if rpm is None else max(rpm, RATE_MIN) / 60.0
        self._tokens_s = None if tpm is None else max(tpm, RATE_MIN) / 60.0
        self.held: set[str] = set()
        """The kinds for which a call has had to wait. Cleared by whoever reads it."""
        self.taken = 0.0
        """Tokens so far."""
        self._requests = self._cap(self._requests_s)
        self._tokens = self._cap(self._tokens_s)
        self._mean_tokens = 0.0
        self._at_s: float | None = None

    def share(self, rpm: float | None, tpm: float | None) -> None:
        """Other rates from now on, of the same kinds; what the buckets hold stays."""
        self._requests_s = None if rpm is None else max(rpm, RATE_MIN) / 60.0
        self._tokens_s = None if tpm is None else max(tpm, RATE_MIN) / 60.0
        self._requests = min(self._requests, self._cap(self._requests_s))
        self._tokens = min(self._tokens, self._cap(self._tokens_s))

    @staticmethod
    def _cap(rate_s: float | None) -> float:
        return 0.0 if rate_s is None else max(1.0, rate_s)

    def _fill(self, now_s: float) -> None:
        if now_s == self._at_s:
            return
        passed_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        if self._requests_s is not None:
            self._requests = min(self._cap(self._requests_s), self._requests + passed_s * self._requests_s)
        if self._tokens_s is not None:
            self._tokens = min(self._cap(self._tokens_s), self._tokens + passed_s * self._tokens_s)

    def room(self, now_s: float, most: int) -> int:
        """How many calls, at most `most`, may go out now; for tokens by the mean size of the latest calls."""
        self._fill(now_s)
        if self._requests_s is not None:
            most = min(most, max(0, int(self._requests + SLACK)))
        if self._tokens_s is not None:
            if self._tokens < 1.0 - SLACK:
                return 0
            if self._mean_tokens > 0:
                most = min(most, 1 + int(self._tokens / self._mean_tokens))
        return most

    def ready_at(self, now_s: float) -> float:
        """When one call may go out."""
        self._fill(now_s)
        wait_s = 0.0
        if self._requests_s is not None and self._requests < 1.0 - SLACK:
            self.held.add(REQUESTS)
            wait_s = (1.0 - SLACK / 2 - self._requests) / self._requests_s
        if self._tokens_s is not None and self._tokens < 1.0 - SLACK:
            self.held.add(TOKENS)
            wait_s = max(wait_s, (1.0 - SLACK / 2 - self._tokens) / self._tokens_s)
        return now_s + wait_s

    def take(self, now_s: float, tokens: int) -> None:
        """One call of about `tokens` tokens goes out."""
        self._fill(now_s)
        self._requests -= 1.0
        self._tokens -= tokens
        self.taken += tokens
        self._mean_tokens += (tokens - self._mean_tokens) / AVERAGE_OVER

    def correct(self, more_tokens: int) -> None:
        """A call took that many tokens more than it was estimated at; fewer if negative."""
        self._tokens -= more_tokens
        self.taken += more_tokens
