"""How much goes into one native job, and how often it is looked at. Sizes in bytes, times in seconds.

A provider's limits are kept with 5 % in hand, because it counts bytes and tokens in its own way, and adds wrapping of
its own around the lines. What does not fit waits: a limit never fails a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from batchrouter.domain.job import HEADROOM, Enqueued, NativeFacts

LINE_END = 1
SAFETY = 1.2
"""On a guess of tokens: enough for splitting by enqueued tokens, without a tokenizer (`providers.md` 4.3)."""
BYTES_PER_TOKEN, BYTES_PER_TOKEN_OTHER = 4, 3
"""Of ASCII and of other text (`providers.md` 4.3)."""
WORTH_PART = 0.25
"""Of what one job may have: a cut that leaves lines behind waits until it has at least this much."""
POLL_GROWTH = 1.5
SPREAD = 0.2


class JobLimits(NamedTuple):
    """What one job may have at most; `tokens` None: no limit is known. `nano`: billionths of a dollar, None where the
    batch sets no limit."""

    lines: int
    bytes: int
    tokens: int | None
    nano: int | None = None


class Room(NamedTuple):
    """What the next job of a lane may have, by what is under way there; `why` it must wait, None if it need not."""

    limits: JobLimits
    why: str | None = None


def job_limits(facts: NativeFacts, token_limit: int | None = None) -> JobLimits:
    """`token_limit`: what was learnt of enqueued tokens from a refusal; the tighter of it and the known one holds."""
    known = [limit for limit in (facts.enqueued_tokens, token_limit) if limit is not None]
    return JobLimits(
        max(1, int(facts.max_requests * HEADROOM)),
        max(1, int(facts.max_bytes * HEADROOM)),
        max(1, int(min(known) * HEADROOM)) if known else None,
    )


def room_of(facts: NativeFacts, enqueued: Enqueued, token_limit: int | None = None) -> Room:
    """The room beside what the lane has at its provider already."""
    whole = job_limits(facts, token_limit)
    if facts.max_jobs is not None and enqueued.jobs >= facts.max_jobs:
        return Room(whole, f"the provider takes no more than {facts.max_jobs} jobs at a time")
    if whole.tokens is None:
        return Room(whole)
    left = whole.tokens - enqueued.tokens
    if left <= 0:
        return Room(whole, f"the provider takes no more than about {whole.tokens} enqueued tokens at a time")
    return Room(whole._replace(tokens=left))


class JobCut:
    """One job as it grows, line by line in input order. `alone`: nothing else is under way, so that the first line fits
    whatever was learnt of a limit of tokens; where that is known, see `too_large`. `poor`: it ended for want of money.
    """

    def __init__(self, limits: JobLimits, *, alone: bool = False) -> None:
        self._limits = limits
        self._alone = alone
        self.lines = 0
        self.bytes = 0
        self.tokens = 0
        self.nano = 0
        self.poor = False

    def take(self, sizes: Sequence[int], tokens: Sequence[int], nanos: Sequence[int] | None = None) -> int:
        """Take as many of these lines as fit, from the first on, and say how many. Sizes are without line ends; `nanos`
        is the most that each can cost, for a batch with a limit."""
        most_lines, most_bytes, most_tokens, most_nano = self._limits
        taken = 0
        for size, guess, nano in zip(sizes, tokens, nanos or repeat(0), strict=False):
            if self.lines == most_lines or self.bytes + size + LINE_END > most_bytes:
                break
            first = self._alone and not self.lines
            if most_tokens is not None and self.tokens + guess > most_tokens and not first:
                break
            if most_nano is not None and self.nano + nano > most_nano:
                self.poor = True
                break
            self.nano += nano
            self.lines += 1
            self.bytes += size + LINE_END
            self.tokens += guess
            taken += 1
        return taken

    def worth(self, whole: JobLimits) -> bool:
        """Whether a job of this size is worth making although lines stay behind: it is not when it only fills a small
        gap beside other jobs. `whole` is what a job may have where nothing else is under way."""
        return (
            self.lines >= whole.lines * WORTH_PART
            or self.bytes >= whole.bytes * WORTH_PART
            or (whole.tokens is not None and self.tokens >= whole.tokens * WORTH_PART)
        )


def too_large(size: int, tokens: int, whole: JobLimits) -> bool:
    """Whether no job can have this line, however empty."""
    return size + LINE_END > whole.bytes or (whole.tokens is not None and tokens > whole.tokens)


class TokenGuess:
    """Input tokens by size, corrected by what jobs of the lane turned out to have."""

    __slots__ = ("_bytes", "_tokens")

    _FORGET = 4_000_000
    """Bytes of results after which older ones count half."""

    def __init__(self) -> None:
        self._bytes = 0
        self._tokens = 0

    def of(self, size: int, ascii: bool) -> int:
        """Of a request body of `size` bytes, a fifth on top."""
        if self._bytes:
            return int(size * self._tokens / self._bytes * SAFETY) + 1
        return int(size / (BYTES_PER_TOKEN if ascii else BYTES_PER_TOKEN_OTHER) * SAFETY) + 1

    def learn(self, size: int, tokens: int) -> None:
        """Bodies of `size` bytes had `tokens` input tokens; nothing is learnt where none were told."""
        if size <= 0 or tokens <= 0:
            return
        if self._bytes > self._FORGET:
            self._bytes //= 2
            self._tokens //= 2
        self._bytes += size
        self._tokens += tokens


def poll_s(facts: NativeFacts, polls: int, chance: float) -> float:
    """The wait before look `polls` + 1: growing from `poll_min_s` to `poll_max_s`, spread by a fifth. `chance` is in
    [0, 1)."""
    wait_s = min(facts.poll_max_s, facts.poll_min_s * POLL_GROWTH ** min(polls, 32))
    return wait_s * (1 - SPREAD / 2 + SPREAD * chance)


def backoff_s(tries: int, first_s: float, most_s: float, chance: float) -> float:
    """The wait after failure number `tries` (from 1): doubling, up to a quarter taken off by chance."""
    return min(most_s, first_s * 2.0 ** min(max(tries, 1) - 1, 32)) * (1 - chance / 4)


def window_s(facts: NativeFacts, left_s: float) -> int:
    """The completion window to ask for: the smallest that covers the time left, else the largest."""
    return min((window for window in facts.windows_s if window >= left_s), default=max(facts.windows_s))
