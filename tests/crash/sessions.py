"""What the simulator saw of a server that was ended and started again and again: what was sent twice, and why.

A session is the life of one server process. The simulator's log is cut where each process was found dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchrouter.simulator import Entry

FLUSH_MS = 100.0
"""The journal collects finished lines for so long, on a disk."""
WRITE_MS = 100.0
"""Room for the flush itself and for the one before it: two syncs each, on a machine that does other things too."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a server. `repeats` were sent again afterwards; `late` of them although their answer was older than
    a flush window, which must never happen."""

    in_flight: int
    in_window: int
    repeats: int
    late: list[Entry]
    oldest_ms: float

    @property
    def bound(self) -> int:
        return self.in_flight + self.in_window

    def __str__(self) -> str:
        return (
            f"{self.repeats:>4} repeats of at most {self.bound:>4} ({self.in_flight} in flight, {self.in_window} "
            f"answered in the last {FLUSH_MS + WRITE_MS:.0f} ms; oldest answer lost {self.oldest_ms:.0f} ms)"
        )


def ends_of(log: Sequence[Entry], cuts: Sequence[int]) -> list[End]:
    """`cuts` are the numbers of the last request of each session that was ended."""
    sessions: list[list[Entry]] = [[] for _ in range(len(cuts) + 1)]
    number = 0
    for entry in log:
        while number < len(cuts) and entry.n > cuts[number]:
            number += 1
        sessions[number].append(entry)
    return [_end(sessions[i], [each for later in sessions[i + 1 :] for each in later]) for i in range(len(cuts))]


def sent_twice_within(log: Sequence[Entry], cuts: Sequence[int]) -> list[Entry]:
    """Requests that one and the same process sent twice."""
    seen: set[tuple[int, str]] = set()
    twice = []
    number = 0
    for entry in log:
        while number < len(cuts) and entry.n > cuts[number]:
            number += 1
        if (number, entry.key) in seen:
            twice.append(entry)
        seen.add((number, entry.key))
    return twice


def _end(session: Sequence[Entry], later: Sequence[Entry]) -> End:
    again = {entry.key for entry in later}
    last = {entry.key: entry for entry in session}
    cut_short = [entry for entry in last.values() if entry.end != "sent"]
    # When the process died, as its sockets told; with none open, no later than its last answer.
    died_ms = max(
        (entry.sent_ms or 0.0 for entry in cut_short), default=max((e.sent_ms or 0.0 for e in session), default=0.0)
    )
    answered = [entry for entry in last.values() if entry.end == "sent" and entry.sent_ms is not None]
    window_ms = FLUSH_MS + WRITE_MS
    lost = [entry for entry in answered if entry.key in again]
    return End(
        in_flight=len(cut_short),
        in_window=sum(1 for entry in answered if died_ms - (entry.sent_ms or 0.0) <= window_ms),
        repeats=sum(1 for key in last if key in again),
        late=[entry for entry in lost if died_ms - (entry.sent_ms or 0.0) > window_ms],
        oldest_ms=max((died_ms - (entry.sent_ms or 0.0) for entry in lost), default=0.0),
    )
