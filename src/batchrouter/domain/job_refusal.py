"""What a provider's no to a batch job means. By status and code, as `domain.retry` reads them, never by message."""

from __future__ import annotations

from enum import Enum

from batchrouter.domain.retry import Kind, classify

# Codes in lower case: OpenAI's and Azure's for enqueued tokens, Azure's for the number of jobs (`providers.md` 1.1).
_LIMIT_CODES = frozenset({"token_limit_exceeded", "too_many_tasks"})
_LIMIT_WORD, _TOKEN_WORD = "enqueued", "token"
_MAY_HAVE_HAPPENED = frozenset({0, 408, 409, 425, 499})
_OVERLOADED = 529
"""Anthropic's own word for no room, which no proxy says."""


class Refusal(Enum):
    LATER = "later"
    """No room or a passing fault: the same again after a while."""
    UNKNOWN = "unknown"
    """A fault somewhere on the way: what was asked may have happened all the same."""
    PAUSE = "pause"
    """Key, credit, permission: only a person can mend it. Nothing is burnt, the lane pauses."""
    LIMIT = "limit"
    """Too much is under way at the provider: wait until less is, then submit anew."""
    NO_BATCH = "no_batch"
    """The provider does not run this as a batch: real time does."""
    GONE = "gone"
    """The provider does not know the job (any more)."""


def of_create(status: int, code: str | None) -> Refusal:
    """A refusal to make a job. A proxy's 502 may stand before a job that was made, so it is asked for first."""
    if is_limit(code):
        return Refusal.LIMIT
    match classify(status, code):
        case Kind.LANE_DOWN:
            return Refusal.PAUSE
        case Kind.FORBIDDEN if status == 403:
            return Refusal.PAUSE
        case _ if (status >= 500 and status != _OVERLOADED) or status in _MAY_HAVE_HAPPENED:
            return Refusal.UNKNOWN
        case Kind.BUSY | Kind.TRANSIENT | Kind.OK:
            return Refusal.LATER
        case _:
            return Refusal.NO_BATCH


def of_whole(code: str | None) -> Refusal:
    """A job that was made and then rejected as a whole, without any line having run."""
    if is_limit(code):
        return Refusal.LIMIT
    return Refusal.PAUSE if classify(400, code) is Kind.LANE_DOWN else Refusal.NO_BATCH


def of_question(status: int, code: str | None) -> Refusal:
    """A refusal to look at a job, to cancel it or to give its results."""
    if status in (404, 410):
        return Refusal.GONE
    kind = classify(status, code)
    return Refusal.PAUSE if kind is Kind.LANE_DOWN or status == 403 else Refusal.LATER


def is_limit(code: str | None) -> bool:
    lower = (code or "").lower()
    return lower in _LIMIT_CODES or _LIMIT_WORD in lower


def is_token_limit(code: str | None) -> bool:
    """Whether the limit is one of tokens; else it is one of jobs."""
    return _TOKEN_WORD in (code or "").lower()
