"""Batches of one lane whose lines wait for something else than room: for money, or for one of them to be answered.

Their lines are kept apart from the lane's queue, so that the other batches' go by, and are let in again a few at a
time: one at growing intervals while the batch's first lines all failed; a few whenever a call left money over, and all
in turn once none is in flight that could (then each goes or is refused).
"""

from __future__ import annotations

from batchrouter.engine.held import Share
from batchrouter.engine.loader import Loader

LET_IN = 16
"""Lines that are tried again when a call left money over: as a rule it suffices for one or two."""


class HeldBack:
    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._shares: dict[str, Share] = {}

    def __bool__(self) -> bool:
        return bool(self._shares)

    def holds(self, batch_id: str) -> bool:
        """Whether lines of that batch wait here, so that claiming more of them is of no use."""
        share = self._shares.get(batch_id)
        return share is not None and bool(share.aside)

    def hold(self, share: Share) -> None:
        """Take what the lane has at hand of the batch out of its queue."""
        self._shares[share.batch.id] = share
        share.aside.extend(self._loader.take_back(share.batch.id))

    def let_in(self, now_s: float) -> None:
        """Put back into the queue what may go now."""
        for batch_id, share in list(self._shares.items()):
            for _ in range(self._count(share, now_s)):
                self._loader.queue.put_back(*share.aside.popleft())
            share.short = share.short and bool(share.aside)
            if not share.held_back:
                del self._shares[batch_id]

    def pauses(self) -> dict[str, tuple[str, float]]:
        """(reason, when a line is tried next) of the batches whose first lines all failed."""
        return {
            batch_id: (share.first.reason, share.first.next_s)
            for batch_id, share in self._shares.items()
            if share.first.paused
        }

    def next_s(self) -> float | None:
        """When a line of a paused batch is tried next."""
        paused = (each for each in self._shares.values() if each.first.paused and each.aside and not each.batch.stuck)
        return min((each.first.next_s for each in paused), default=None)

    def drop(self, batch_id: str) -> None:
        self._shares.pop(batch_id, None)

    def _count(self, share: Share, now_s: float) -> int:
        """How many lines of it go back into the queue."""
        if not share.aside or share.batch.stuck:
            return 0
        if share.first.paused:
            return int(share.first.may_try(now_s))
        spend = share.batch.spend
        if not share.short or spend is None:
            return len(share.aside)
        if spend.reserved_nano and spend.returned == share.returned:
            return 0
        share.returned = spend.returned
        return min(LET_IN, len(share.aside))
