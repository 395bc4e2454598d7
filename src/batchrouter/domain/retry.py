"""What a call's end means, and what its line does next. By status and code, never by message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from batchrouter.domain.pacing import Verdict
from batchrouter.domain.rate_headers import Signals
from batchrouter.errors import TransportError


class Kind(Enum):
    """Whose fault the end of a call is."""

    OK = "ok"
    LINE_FAULT = "line_fault"
    TRANSIENT = "transient"
    BUSY = "busy"
    FORBIDDEN = "forbidden"
    LANE_DOWN = "lane_down"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class RetrySettings:
    max_attempts: int = 8
    backoff_s: float = 0.5
    backoff_max_s: float = 60.0
    busy_backoff_max_s: float = 15.0
    resend_max: int = 3
    alone_patience_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Tries:
    """What a line has behind it, this call included only after `next_step` returned it in `Again`."""

    counted: int = 0
    uncounted: int = 0
    resent: int = 0
    first_sent_s: float | None = None


@dataclass(frozen=True, slots=True)
class LaneView:
    """What a line must know of its lane to tell its own fault from the lane's. Made by `LaneHealth.view`."""

    last_answer_s: float
    others_failing: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Final: the reply that came is the line's outcome."""


@dataclass(frozen=True, slots=True)
class Again:
    """Send the line again at `at_s`, never later than the deadline; keep `tries` with it."""

    at_s: float
    tries: Tries


@dataclass(frozen=True, slots=True)
class PauseLane:
    """The lane needs a person. The line goes back to the lane's queue unsettled, with `tries`."""

    reason: str
    until_s: float | None
    tries: Tries


Step = Settle | Again | PauseLane


def classify(
    status: int | None,
    code: str | None = None,
    error: TransportError | None = None,
    signals: Signals | None = None,
    *,
    reused: bool = False,
) -> Kind:
    """The kind of a call's end. `error` wins over `status` (a broken 200 is no answer).

    `code` is the provider's machine-readable code, whatever its case; `reused`: the connection had served before.
    """
    raise NotImplementedError


def verdict_of(kind: Kind, error: TransportError | None = None) -> Verdict:
    """What the limiter is told of this end."""
    raise NotImplementedError


def reason_of(status: int | None, code: str | None, error: TransportError | None) -> str:
    """One short sentence for people about why a lane waits; holds nothing of a message, prompt or key."""
    raise NotImplementedError


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
    """What the line does after a call that was sent at `sent_s`. `chance` in [0, 1) spreads the waits."""
    raise NotImplementedError
