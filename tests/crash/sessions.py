"""What the simulator saw of a server that was ended and started again and again: what was sent twice, and why.

A session is the life of one server process. The simulator's log is cut where each process was found dead.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchrouter.simulator import Entry

FLUSH_MS = 100.0
"""The journal collects finished lines for so long, on a disk."""
WRITE_MS = 200.0
"""Room for the flush itself and for the one before it: two syncs each, on a disk that others use too."""
PULSE_S, LOOK_BACK_S = 0.05, 2.0


class Pulse:
    """How much later than asked this machine lately did what a flush does: wake, write a little, sync. Where it stalls
    for others' work, so does the server, and a flush takes that much longer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beats: deque[tuple[float, float]] = deque(maxlen=int(LOOK_BACK_S / PULSE_S))
        self._began_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def worst_ms(self) -> float:
        """Of the last two seconds, the beat that is under way included."""
        now_s = time.monotonic()
        late = [late_s for at_s, late_s in list(self._beats) if now_s - at_s <= LOOK_BACK_S]
        return max([*late, now_s - self._began_s - PULSE_S, 0.0]) * 1000

    @contextmanager
    def beating(self) -> Iterator[Pulse]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _beat(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            while not self._stop.is_set():
                self._began_s = time.monotonic()
                self._stop.wait(PULSE_S)
                file.write(b"x")
                os.fsync(file.fileno())
                now_s = time.monotonic()
                self._beats.append((now_s, now_s - self._began_s - PULSE_S))


@dataclass(frozen=True, slots=True)
class End:
    """One end of a server. `repeats` were sent again afterwards; `late` of them although their answer was older than
    a flush window, which must never happen."""

    window_ms: float
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
            f"answered in the last {self.window_ms:.0f} ms; oldest answer lost {self.oldest_ms:.0f} ms)"
        )


def ends_of(log: Sequence[Entry], cuts: Sequence[int], stalls_ms: Sequence[float]) -> list[End]:
    """`cuts` are the numbers of the last request of each session that was ended, `stalls_ms` how long the machine
    stalled before each end: that much later came each of the two flushes."""
    sessions: list[list[Entry]] = [[] for _ in range(len(cuts) + 1)]
    number = 0
    for entry in log:
        while number < len(cuts) and entry.n > cuts[number]:
            number += 1
        sessions[number].append(entry)
    windows_ms = [FLUSH_MS + WRITE_MS + 2 * stall_ms for _, stall_ms in zip(cuts, stalls_ms, strict=True)]
    return [
        _end(sessions[i], [each for later in sessions[i + 1 :] for each in later], window_ms)
        for i, window_ms in enumerate(windows_ms)
    ]


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


def _end(session: Sequence[Entry], later: Sequence[Entry], window_ms: float) -> End:
    again = {entry.key for entry in later}
    last = {entry.key: entry for entry in session}
    cut_short = [entry for entry in last.values() if entry.end != "sent"]
    # When the process died, as its sockets told; with none open, no later than its last answer.
    died_ms = max(
        (entry.sent_ms or 0.0 for entry in cut_short), default=max((e.sent_ms or 0.0 for e in session), default=0.0)
    )
    answered = [entry for entry in last.values() if entry.end == "sent" and entry.sent_ms is not None]
    lost = [entry for entry in answered if entry.key in again]
    return End(
        window_ms=window_ms,
        in_flight=len(cut_short),
        in_window=sum(1 for entry in answered if died_ms - (entry.sent_ms or 0.0) <= window_ms),
        repeats=sum(1 for key in last if key in again),
        late=[entry for entry in lost if died_ms - (entry.sent_ms or 0.0) > window_ms],
        oldest_ms=max((died_ms - (entry.sent_ms or 0.0) for entry in lost), default=0.0),
    )
