"""Whether a lane answers, and how it is asked again while it does not."""

from __future__ import annotations

from enum import Enum

from batchrouter.domain.retry import Kind, LaneView

UNLIMITED = 1 << 30


class LaneState(str, Enum):
    OPEN = "open"
    WAITING = "waiting"
    UNREACHABLE = "unreachable"
    PAUSED = "paused"


class LaneHealth:
    """The state of one lane. Times are monotonic seconds.

    Hot path: `if not health.open: n = min(n, health.may_send(now))`, and `on_answer` for each answered line.
    """

    __slots__ = ("last_answer_s", "open", "reason")

    open: bool
    """True while nothing but the limiter bounds the lane (state open)."""
    reason: str | None
    last_answer_s: float

    def __init__(self, state: LaneState = LaneState.OPEN, reason: str | None = None) -> None:
        """A lane stored as paused starts paused, with its probe due at once (restart, new configuration)."""
        raise NotImplementedError

    @property
    def state(self) -> LaneState:
        raise NotImplementedError

    @property
    def needs_person(self) -> bool:
        raise NotImplementedError

    @property
    def waiting_until_s(self) -> float | None:
        """When the lane is tried again: end of the wait, or its next probe; None when open."""
        raise NotImplementedError

    def may_send(self, now_s: float) -> int:
        """0, 1 (a probe is due) or UNLIMITED. After sending while the state is not open call `on_probe_sent`."""
        raise NotImplementedError

    def on_probe_sent(self, now_s: float) -> None:
        raise NotImplementedError

    def on_answer(self, sent_s: float, now_s: float) -> None:
        """A line was answered (kinds OK and LINE_FAULT)."""
        raise NotImplementedError

    def on_failure(self, kind: Kind, line: int, counted: int, sent_s: float, now_s: float, reason: str) -> None:
        """Any other end. `line` tells lines of the lane apart; `counted` is the line's counted tries before this one."""
        raise NotImplementedError

    def on_wait(self, until_s: float, reason: str) -> None:
        """The upstream said when to come back."""
        raise NotImplementedError

    def on_lane_down(self, reason: str, now_s: float, until_s: float | None = None) -> None:
        """`PauseLane` was decided."""
        raise NotImplementedError

    def revive(self, now_s: float) -> None:
        """The configuration changed or a person asked: probe at once."""
        raise NotImplementedError

    def view(self, line: int) -> LaneView:
        raise NotImplementedError
