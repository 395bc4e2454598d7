"""What a call's end means, and what its line does next. By status and code, never by message.

Two questions, asked apart. `classify`: whose fault is this end? `next_step`: what follows for the line, given its
tries, its deadline and what its lane did meanwhile?
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from batchrouter.domain.rate_headers import Signals
from batchrouter.domain.verdict import Verdict
from batchrouter.errors import ConnectFailed, ConnectionLost, ReplyTimeout, ReplyTooLarge, TransportError


class Kind(Enum):
    """Whose fault the end of a call is."""

    OK = "ok"
    """2xx."""
    LINE_FAULT = "line_fault"
    """The cause lies in the line: the reply is its outcome, in the error file."""
    TRANSIENT = "transient"
    """May pass: another try. Counts against the line only while its lane answers others."""
    BUSY = "busy"
    """The upstream has no room now: wait, as often as it takes until the deadline. Never counted."""
    UNREACHED = "unreached"
    """No connection was made and nothing was sent: as BUSY, but the upstream does not even speak."""
    FORBIDDEN = "forbidden"
    """A 403, 404 or 405 whose code does not say whom it means. With a 403 some providers refuse a key, some a single
    prompt (Together: a context too long); a 404 is a wrong base URL for every line, or something that one body names.
    While the lane answers others it is the line's, and counted; else the lane's."""
    LANE_DOWN = "lane_down"
    """Key, credit or address: only a person can mend it. The lane pauses, its lines stay unsettled."""
    RESEND = "resend"
    """An idle connection was closed just as the line was put on it: send again at once, not counted, bounded."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    max_attempts: int = 8
    """Counted tries of a line, the first one included."""
    backoff_s: float = 0.5
    backoff_max_s: float = 60.0
    busy_backoff_max_s: float = 15.0
    """Short, because the limiter holds back the lane itself: lines only need to be at hand when it opens."""
    resend_max: int = 3
    alone_patience_s: float = 300.0
    """How long a line that is alone in a lane which never answered waits before its failures count."""


@dataclass(frozen=True, slots=True)
class Tries:
    """What a line has behind it. `first_sent_s` is None until its first failure was decided."""

    counted: int = 0
    uncounted: int = 0
    resent: int = 0
    first_sent_s: float | None = None


NO_TRIES = Tries()


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a line must know of its lane to tell its own fault from the lane's. Made by `LaneHealth.view`.

    `last_answer_s` is -inf while the lane has never answered; `others_failing`: since then another line, with nothing
    counted against it, has failed too.
    """

    last_answer_s: float
    others_failing: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Final: the reply that came is the line's outcome."""


@dataclass(frozen=True, slots=True)
class Again:
    """Send the line again at `at_s`, which is never past the deadline (then it expires instead); keep `tries`."""

    at_s: float
    tries: Tries


@dataclass(frozen=True, slots=True)
class PauseLane:
    """Pause the lane for `reason`; the line goes back to the lane's queue, unsettled, with `tries`.

    `until_s` is set when the provider said when to come back; otherwise the lane's own probes decide. Not `certain`:
    a refusal that may mean this line alone, so that any answer of the lane disproves it.
    """

    reason: str
    until_s: float | None
    tries: Tries
    certain: bool = True


Step = Settle | Again | PauseLane

SETTLE = Settle()

# Codes in lower case. Sources: the providers' error pages, as collected in the table of retries.
_LANE_CODES = frozenset(
    {
        # OpenAI: no credit, limit of spending, key, region
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "invalid_api_key",
        "unsupported_country_region_territory",
        # Anthropic; the spend limit that one sets oneself comes as a 400
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "billing_error",
        "authentication_error",
        # Gemini tells a wrong key with a 400
        "api_key_invalid",
    }
)
_LINE_CODES = frozenset(
    {
        "context_length_exceeded",
        "string_above_max_length",
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "model_not_found",
        "invalid_request_error",
        "request_too_large",
        # What vLLM, Ollama and Anthropic call a model that they do not have; a path that they do not serve has none.
        "notfounderror",
        "not_found_error",
    }
)
# OpenAI's type of nearly every refusal, a path that it does not know included: tells nothing beside these statuses.
_TOO_VAGUE = "invalid_request_error"
_NOT_SERVED = frozenset({404, 405})
_BUSY_CODES = frozenset({"overloaded_error", "rate_limit_error", "rate_limit_exceeded", "slow_down"})
_BUSY = frozenset({429, 503, 529})
_TRANSIENT = frozenset({0, 408, 409, 425, 499})
_NEVER_BETTER = frozenset({501, 505})
_LANE = frozenset({401, 402})
_NO_ROOM = frozenset({Kind.BUSY, Kind.UNREACHED})
_NEVER_COUNTED = _NO_ROOM | {Kind.LANE_DOWN}


def classify(
    status: int | None,
    code: str | None = None,
    error: TransportError | None = None,
    signals: Signals | None = None,
    *,
    reused: bool = False,
) -> Kind:
    """The kind of a call's end. `error` wins over `status`: a 200 that broke off, or is no JSON, is no answer.

    `code` is the provider's machine-readable code in any case; `reused`: the connection had served a reply before.
    `x-should-retry` moves a reply between LINE_FAULT and TRANSIENT and nothing else, because what a lane does must
    not hang on one reply's advice.
    """
    if error is not None:
        return _kind_of_error(error, reused)
    if status is None:
        return Kind.TRANSIENT
    if 200 <= status < 300:
        return Kind.OK
    kind = _kind_of_reply(status, (code or "").lower())
    advice = None if signals is None else signals.should_retry
    if advice is True and kind is Kind.LINE_FAULT:
        return Kind.TRANSIENT
    if advice is False and kind is Kind.TRANSIENT:
        return Kind.LINE_FAULT
    return kind


def _kind_of_error(error: TransportError, reused: bool) -> Kind:
    match error:
        case ConnectFailed():
            return Kind.UNREACHED
        case ConnectionLost() if reused:
            return Kind.RESEND
        case ReplyTooLarge():  # as large the next time, and paid for again
            return Kind.LINE_FAULT
        case _:
            return Kind.TRANSIENT


def _kind_of_reply(status: int, code: str) -> Kind:
    if code in _LANE_CODES and 400 <= status < 500:
        return Kind.LANE_DOWN
    if status in _BUSY or (code in _BUSY_CODES and status >= 400):
        return Kind.BUSY
    if status in _LANE or 300 <= status < 400:  # a redirect means that the base URL is wrong, for every line
        return Kind.LANE_DOWN
    if status == 403:
        return Kind.LINE_FAULT if code in _LINE_CODES else Kind.FORBIDDEN
    if status in _NOT_SERVED:
        return Kind.LINE_FAULT if code in _LINE_CODES and code != _TOO_VAGUE else Kind.FORBIDDEN
    if status in _TRANSIENT or (status >= 500 and status not in _NEVER_BETTER):
        return Kind.TRANSIENT
    return Kind.LINE_FAULT


def verdict_of(kind: Kind, error: TransportError | None = None) -> Verdict:
    """What the limiter is told of this end. An answer that did not come in time is a sign of too much in flight."""
    if kind is Kind.OK:
        return Verdict.SUCCESS
    if kind in _NO_ROOM or isinstance(error, ReplyTimeout):
        return Verdict.DROPPED
    return Verdict.IGNORED


_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def reason_of(status: int | None, code: str | None, error: TransportError | None = None) -> str:
    """One short sentence for people about why a lane waits; holds nothing of a message, a prompt or a key."""
    if error is not None:
        return f"no whole reply: {_ERRORS.get(type(error), 'the reply was broken')}"
    told = f"{status}" if code is None or not _CODE.fullmatch(code) else f"{status} {code}"
    lower = (code or "").lower()
    if status == 401 or lower in ("invalid_api_key", "api_key_invalid", "authentication_error"):
        return f"the upstream refuses the key ({told}): set a valid one"
    if status == 402 or (lower in _LANE_CODES and status != 403):
        return f"the account has no credit or has reached its limit of spending ({told})"
    if status == 403:
        return f"the upstream does not permit this key, model or region ({told})"
    if status in _NOT_SERVED:
        return f"the path is not served: check base_url ({told})"
    if status is not None and 300 <= status < 400:
        return f"the upstream redirects ({told}): set base_url to where it really is"
    if status in _BUSY:
        return f"the upstream has no room ({told})"
    return f"the upstream fails ({told})"


_ERRORS: dict[type[TransportError], str] = {
    ConnectFailed: "no connection could be made",
    ReplyTimeout: "the reply did not come in time",
    ReplyTooLarge: "the reply was too large",
    ConnectionLost: "the connection ended before the reply",
}


def next_step(
    kind: Kind,
    tries: Tries,
    sent_s: float,
    now_s: float,
    deadline_s: float,
    lane: LaneView,
    settings: RetrySettings,
    chance: float,
    retry_after_s: float | None = None,
    reason: str = "",
) -> Step:
    """What the line does after a call that was sent at `sent_s` ended now. `chance` in [0, 1) spreads the waits."""
    if kind is Kind.OK or kind is Kind.LINE_FAULT:
        return SETTLE
    first_sent_s = sent_s if tries.first_sent_s is None else tries.first_sent_s
    if kind is Kind.RESEND and tries.resent < settings.resend_max:
        return Again(min(now_s, deadline_s), Tries(tries.counted, tries.uncounted, tries.resent + 1, first_sent_s))
    blamed = kind not in _NEVER_COUNTED and _is_the_lines(kind, sent_s, now_s - first_sent_s, lane, settings)
    if blamed:
        if tries.counted + 1 >= settings.max_attempts:
            return SETTLE
        after = Tries(tries.counted + 1, tries.uncounted, tries.resent, first_sent_s)
        wait_s = _backoff(after.counted, settings.backoff_s, settings.backoff_max_s, chance)
    else:
        after = Tries(tries.counted, tries.uncounted + 1, tries.resent, first_sent_s)
        if kind is Kind.LANE_DOWN or kind is Kind.FORBIDDEN:
            until_s = None if retry_after_s is None else now_s + retry_after_s
            return PauseLane(reason, until_s, after, certain=kind is Kind.LANE_DOWN)
        longest_s = settings.busy_backoff_max_s if kind in _NO_ROOM else settings.backoff_max_s
        wait_s = _backoff(after.uncounted, settings.backoff_s, longest_s, chance)
    if retry_after_s is not None:  # what the provider says goes, spread by at most a tenth or a second
        wait_s = max(retry_after_s, wait_s) if blamed else retry_after_s + chance * min(1.0, retry_after_s / 10)
    return Again(min(now_s + wait_s, deadline_s), after)


def _is_the_lines(kind: Kind, sent_s: float, waited_s: float, lane: LaneView, settings: RetrySettings) -> bool:
    """Whether a failure counts against the line.

    Yes, when the lane answered others meanwhile; no, when others fail as well. The last lines of a batch would then
    wait for their deadline, because there is nobody left to be answered, and two bad ones are each other's witness
    that it is the lane. So a line that nobody can be held against is blamed if the lane had ever answered; and
    patience has an end: after `alone_patience_s` a failure counts, in a lane that never answered only if no other
    line fails. A lane that is down is asked with one line at a time, and with another each time, so an outage of
    hours takes no line of a batch that has many left. A refusal is never counted for having waited.
    """
    if lane.last_answer_s > sent_s:
        return True
    ever_answered = lane.last_answer_s > float("-inf")
    if ever_answered and not lane.others_failing:
        return True
    patient = kind is Kind.FORBIDDEN or waited_s < settings.alone_patience_s
    return not patient and (ever_answered or not lane.others_failing)


def _backoff(nth: int, base_s: float, max_s: float, chance: float) -> float:
    """The wait before try `nth` + 1: doubling, up to half of it taken off by chance so that lines spread."""
    return min(max_s, base_s * 2.0 ** min(nth - 1, 32)) * (1.0 - chance / 2)
