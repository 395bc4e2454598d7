"""Who asks a paused lane whether it works again: one worker for all, since each try burns a refusal."""

from __future__ import annotations

from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

ASK_AGAIN_S = 10.0
LONGER_S = 30.0
"""The turn lasts so much longer than until the next probe, so that it is not lost between two."""


class ProbeTurn:
    """One lane's. `alone`: no other worker can be, and it is always this one's turn."""

    __slots__ = ("_ask_s", "_until_s", "wanted_s")

    def __init__(self, *, alone: bool) -> None:
        self._until_s = float("inf") if alone else float("-inf")
        self._ask_s = float("-inf")
        self.wanted_s: float | None = None
        """A probe is due, and how long after it the next one would be."""

    def mine(self, now_s: float, next_s: float) -> bool:
        """Whether this worker may probe now. If not, it is asked for."""
        if now_s < self._until_s:
            return True
        self.wanted_s = next_s
        return False

    async def ask(self, ledger: Ledger, calls: Calls, clock: Clock, worker: str, lane_id: int) -> bool:
        """Ask the store for the turn, if it is wanted and was not refused lately. True: it is this worker's now."""
        now_s, wanted_s = clock.mono_s(), self.wanted_s
        if wanted_s is None or now_s < self._ask_s:
            return False
        self.wanted_s = None
        until_s = wanted_s + LONGER_S
        now_ms = clock.unix_ms()
        if await calls.write(ledger.probe, worker, lane_id, now_ms, now_ms + int(until_s * 1000)):
            self._until_s = now_s + until_s
            return True
        self._ask_s = now_s + ASK_AGAIN_S
        return False
