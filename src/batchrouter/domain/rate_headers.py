"""What an upstream's reply says about pace: when to come back, and how much of each limit is left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signals:
    """What one reply told about pace; None = not told. All times are seconds from the moment of reading, ≥ 0, finite.

    `exhausted_s` is the longest reset among the limits that have nothing left, of whatever kind they are.
    `tokens_*` is the tightest of the token limits when a provider has several (input, output, both).
    """

    retry_after_s: float | None = None
    should_retry: bool | None = None
    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None
    exhausted_s: float | None = None


NO_SIGNALS = Signals()


def read_signals(status: int, headers: list[tuple[bytes, bytes]], now_unix_s: float) -> Signals:
    """The signals of one reply's headers (names in lower case); `NO_SIGNALS` itself when there are none. Never raises."""
    raise NotImplementedError


def read_body_retry(body: bytes) -> float | None:
    """Seconds of a `google.rpc.RetryInfo` in an error body, bare or wrapped in an array. For errors only: it parses."""
    raise NotImplementedError
