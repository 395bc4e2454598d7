"""Whether a lane answers, and how it is asked again while it does not.

The limiter paces a lane that works. This is for one that does not: a dead upstream must not be tried with a thousand
lines at once, a refused key not with fifty thousand, and both must be noticed soon when they are well again. So a
sick lane is asked with one line at a time, a probe, at growing intervals.

    unreachable   nobody was answered for `UNREACHABLE_AFTER` failures: probes from 1 s, doubling to 30 s
    paused        only a person can mend it (key, credit): probes from 30 s, doubling to 10 min; at once after a
                  restart
    waiting       the upstream said when to come back
"""

from __future__ import annotations

from enum import StrEnum

from batchrouter.domain.retry import Kind, LaneView

UNLIMITED = 1 << 30
UNREACHABLE_AFTER = 16
"""Failures in a row, of lines with nothing counted against them, each sent after the last answer."""
PROBE_UNREACHABLE_S, PROBE_UNREACHABLE_MAX_S = 1.0, 30.0
PROBE_PAUSED_S, PROBE_PAUSED_MAX_S = 30.0, 600.0
GIVE_UP_S = 60.0
"""How long a lane that may come back by itself is waited for, by lines that have another to go to."""
PROBE_SOON_S = 10.0
NEVER = float("-inf")


class LaneState(StrEnum):
    OPEN = "open"
    WAITING = "waiting"
    UNREACHABLE = "unreachable"
    PAUSED = "paused"


class LaneEvent(StrEnum):
    ANSWER = "answer"
    """A line was answered."""
    ELAPSED = "elapsed"
    """The time of a wait is over."""
    WAIT = "wait"
    """The upstream said when to come back."""
    SILENCE = "silence"
    """Too many failures and no answer."""
    REFUSAL = "refusal"
    """Key, credit, permission."""
    RESUME = "resume"
    """Another worker's probe was answered."""
    REVIVE = "revive"
    """The start of a process, and so a new configuration; the state is the one that was stored."""


LANE: dict[LaneState, dict[LaneEvent, LaneState]] = {
    LaneState.OPEN: {
        LaneEvent.ANSWER: LaneState.OPEN,
        LaneEvent.ELAPSED: LaneState.OPEN,
        LaneEvent.WAIT: LaneState.WAITING,
        LaneEvent.SILENCE: LaneState.UNREACHABLE,
        LaneEvent.REFUSAL: LaneState.PAUSED,
        LaneEvent.RESUME: LaneState.OPEN,
        LaneEvent.REVIVE: LaneState.OPEN,
    },
    LaneState.WAITING: {
        LaneEvent.ANSWER: LaneState.WAITING,  # to a call from before; told to wait is told to wait
        LaneEvent.ELAPSED: LaneState.OPEN,
        LaneEvent.WAIT: LaneState.WAITING,
        LaneEvent.SILENCE: LaneState.UNREACHABLE,
        LaneEvent.REFUSAL: LaneState.PAUSED,
        LaneEvent.RESUME: LaneState.WAITING,
        LaneEvent.REVIVE: LaneState.OPEN,
    },
    LaneState.UNREACHABLE: {
        LaneEvent.ANSWER: LaneState.OPEN,
        LaneEvent.ELAPSED: LaneState.UNREACHABLE,
        LaneEvent.WAIT: LaneState.WAITING,  # it speaks, so it can be reached
        LaneEvent.SILENCE: LaneState.UNREACHABLE,
        LaneEvent.REFUSAL: LaneState.PAUSED,
        LaneEvent.RESUME: LaneState.UNREACHABLE,
        LaneEvent.REVIVE: LaneState.UNREACHABLE,
    },
    LaneState.PAUSED: {
        LaneEvent.ANSWER: LaneState.OPEN,
        LaneEvent.ELAPSED: LaneState.PAUSED,
        LaneEvent.WAIT: LaneState.PAUSED,  # a full upstream has not yet said that it takes the key
        LaneEvent.SILENCE: LaneState.PAUSED,
        LaneEvent.REFUSAL: LaneState.PAUSED,
        LaneEvent.RESUME: LaneState.OPEN,
        LaneEvent.REVIVE: LaneState.PAUSED,
    },
}
"""Every cell is there: whatever an upstream does, in any state, has a place to go. REVIVE makes a probe due at once."""


class LaneHealth:
    """The state of one lane, as one worker sees it. Times are monotonic seconds.

    Hot path: `if not health.open: n = min(n, health.may_send(now))`; `on_answer` for each answered line.
    """

    __slots__ = (
        "_certain",
        "_failures",
        "_interval_s",
        "_next_s",
        "_probe_sent_s",
        "_quiet",
        "_since_s",
        "_witness",
        "_witnesses",
        "last_answer_s",
        "open",
        "reason",
        "state",
    )

    def __init__(self, state: LaneState = LaneState.OPEN, reason: str | None = None) -> None:
        """REVIVE of the state that was stored: paused or unreachable it stays, with its probe due at once."""
        self.state: LaneState = LANE[state][LaneEvent.REVIVE]
        self.open = self.state is LaneState.OPEN
        """True while nothing but the limiter bounds the lane."""
        self.reason = None if self.open else reason
        self.last_answer_s = NEVER
        self._since_s = NEVER
        self._certain = False
        self._next_s = 0.0
        self._interval_s = self._first_interval()
        self._probe_sent_s: float | None = None
        # Failures since the last answer; the first line that failed without suspicion, and whether there were more.
        self._quiet = True
        self._failures = 0
        self._witness = 0
        self._witnesses = 0

    # --- what the engine and people ask -----------------------------------------------------------------------------

    @property
    def needs_person(self) -> bool:
        """True when only somebody outside can make the lane go on."""
        return self.state is LaneState.PAUSED

    @property
    def waiting_until_s(self) -> float | None:
        """When the lane is tried again: the end of the wait, or its next probe; None when open."""
        return None if self.open else self._next_s

    def may_send(self, now_s: float) -> int:
        """0, 1 (a probe) or UNLIMITED. After sending in a state other than open, call `on_probe_sent`."""
        if self.open:
            return UNLIMITED
        if now_s < self._next_s:
            return 0
        if self.state is LaneState.WAITING:
            self._move(LaneEvent.ELAPSED, now_s, None)
            return UNLIMITED
        return 1 if self._probe_sent_s is None else 0

    def gives_up(self, now_s: float) -> bool:
        """Whether lines that can be run elsewhere should leave: the key or credit is refused for certain, or nobody
        was answered for `GIVE_UP_S`. No, while a probe is due, or is out and may still be answered soon."""
        if self.open or self.state is LaneState.WAITING:
            return False
        if not self._certain and now_s - self._since_s < GIVE_UP_S:
            return False
        if self._probe_sent_s is None:
            return now_s < self._next_s
        return now_s - self._probe_sent_s >= PROBE_SOON_S

    def view(self, line: int) -> LaneView:
        """The lane as evidence for or against this line. Ask before or after `on_failure`, it makes no difference."""
        others = self._witnesses - (1 if self._witness == line else 0)
        return LaneView(self.last_answer_s, others > 0)

    # --- what happens to it -----------------------------------------------------------------------------------------

    def on_probe_sent(self, now_s: float) -> None:
        """The one line of `may_send` went out; no other goes until it has ended."""
        self._probe_sent_s = now_s

    def on_probe_gone(self) -> None:
        """The probe ended without telling anything (cancelled, its batch closed): another may go at once."""
        self._probe_sent_s = None

    def on_resumed(self, now_s: float, *, only: bool) -> None:
        """Another worker found the lane to work again. Where this member is not the `only` one of its pool, it need not
        be the one that does: its probe is due at once."""
        if self.state is not LaneState.PAUSED:
            return
        if only:
            self._move(LaneEvent.RESUME, now_s, None)
        else:
            self._next_s = min(self._next_s, now_s)

    @property
    def next_probe_s(self) -> float:
        """How long after a probe that is sent now the next one may follow, at most."""
        return self._interval_s

    def on_answer(self, sent_s: float, now_s: float) -> None:
        """A line was answered (kinds OK and LINE_FAULT)."""
        self.last_answer_s = now_s
        if not self._quiet:
            self._forget_failures()
        # An answer to a call from before a refused key says nothing about what a person has mended since.
        if not self.open and (sent_s >= self._since_s or not self._certain):
            self._move(LaneEvent.ANSWER, now_s, self.reason)

    def on_failure(self, kind: Kind, line: int, counted: int, sent_s: float, now_s: float, reason: str) -> None:
        """Any other end but a certain refusal: LANE_DOWN belongs to `on_lane_down` and does nothing here.

        `line` tells the lane's lines apart; `counted` is what counted against the line before this call.
        """
        if kind is Kind.LANE_DOWN:
            return
        if self._ends_probe(sent_s):
            if kind is Kind.BUSY and self.state is LaneState.UNREACHABLE:
                self._move(LaneEvent.ANSWER, now_s, None)
            elif kind is not Kind.RESEND:
                self._schedule(now_s)
        if kind is Kind.BUSY or kind is Kind.RESEND:  # the upstream speaks; how fast it is asked is the limiter's part
            return
        # A line with counted tries is under suspicion itself, and bears no witness against the lane; nor does a
        # failure of a call that was out while the lane answered others.
        if counted or sent_s < self.last_answer_s:
            return
        self._quiet = False
        if self._witnesses == 0:
            self._witness, self._witnesses = line, 1
        elif line != self._witness:
            self._witnesses = 2
        self._failures += 1
        if self._failures >= UNREACHABLE_AFTER and self.state in (LaneState.OPEN, LaneState.WAITING):
            self._move(LaneEvent.SILENCE, now_s, reason)

    def on_wait(self, until_s: float, now_s: float, reason: str) -> None:
        """The upstream said when to come back; the longest wait holds. The limiter keeps it too: this is for people."""
        if until_s > now_s and self.state is not LaneState.PAUSED and (self.open or until_s > self._next_s):
            self._move(LaneEvent.WAIT, now_s, reason, until_s)

    def on_lane_down(
        self, reason: str, sent_s: float, now_s: float, until_s: float | None = None, certain: bool = True
    ) -> None:
        """`PauseLane` was decided about a call sent at `sent_s`. The rest of a burst of refusals changes nothing.

        Not `certain`: any answer ends the pause, even one to a call from before it; otherwise one forbidden prompt that
        is refused before the first of the others is answered would hold up its lane.
        """
        probe = self._ends_probe(sent_s)
        if self.state is LaneState.PAUSED:
            self._certain = self._certain or certain
            if probe:
                self.reason = reason
                self._schedule(now_s)
        elif sent_s >= self._since_s:
            self._move(LaneEvent.REFUSAL, now_s, reason)
            self._certain = certain
        else:
            return
        if until_s is not None and self.state is LaneState.PAUSED:
            self._next_s = max(self._next_s, until_s)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _move(self, event: LaneEvent, now_s: float, reason: str | None, until_s: float | None = None) -> None:
        state = LANE[self.state][event]
        if state is self.state and until_s is None:
            return
        self.state = state
        self.open = state is LaneState.OPEN
        self.reason = None if self.open else reason
        self._since_s = now_s
        self._certain = False
        self._probe_sent_s = None
        self._interval_s = self._first_interval()
        self._schedule(now_s)
        if until_s is not None:
            self._next_s = until_s
        if self.open:
            self._forget_failures()

    def _first_interval(self) -> float:
        return PROBE_PAUSED_S if self.state is LaneState.PAUSED else PROBE_UNREACHABLE_S

    def _schedule(self, now_s: float) -> None:
        """The next probe, and twice as long until the one after it."""
        most_s = PROBE_PAUSED_MAX_S if self.state is LaneState.PAUSED else PROBE_UNREACHABLE_MAX_S
        self._next_s = now_s + self._interval_s
        self._interval_s = min(self._interval_s * 2, most_s)

    def _ends_probe(self, sent_s: float) -> bool:
        if self._probe_sent_s is None or sent_s < self._probe_sent_s:
            return False
        self._probe_sent_s = None
        return True

    def _forget_failures(self) -> None:
        self._quiet = True
        self._failures = 0
        self._witness = 0
        self._witnesses = 0
