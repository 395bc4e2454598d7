"""Batches of one lane whose lines wait for something else than room: for money, for one of them to be answered, or for
other calls of their tenant to end; or for a person, who has paused them.

Their lines are kept apart from the lane's queue, so that the other batches' go by, and are let in again a few at a
time: one at growing intervals while the batch's first lines all failed; a few whenever a call left money over, and all
in turn once none is in flight that could (then each goes or is refused); as many as the tenant's quota has room for,
its lanes and its batches in turn.
"""

from __future__ import annotations

from collections.abc import Callable

from batchrouter.domain.lifecycle import PAUSED_BY_USER
from batchrouter.engine.held import Share
from batchrouter.engine.loader import Loader

TENANT_QUOTA = "tenant_quota"
"""Why a batch waits whose tenant has as many calls in flight as it may."""
LET_IN = 16
"""Lines that are tried again when a call left money over: as a rule it suffices for one or two."""


class HeldBack:
    def __init__(self, loader: Loader, lane_id: int, pump_soon: Callable[[], None]) -> None:
        self._loader = loader
        self._lane_id = lane_id
        self._pump_soon = pump_soon
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

    def let_in(self, now_s: float, room: int) -> None:
        """Put back into the queue what may go now. `room`: how many lines the lane could send."""
        for batch_id, share in list(self._shares.items()):
            count = self._count(share, now_s)
            if share.crowded:
                count = min(count, self._places(share, room))
            for _ in range(count):
                self._loader.queue.put_back(*share.aside.popleft())
            share.short = share.short and bool(share.aside)
            share.crowded = share.crowded and bool(share.aside)
            if not share.held_back:
                del self._shares[batch_id]
            elif count and share.crowded:  # the tenant's next batch has the next turn
                self._shares[batch_id] = self._shares.pop(batch_id)

    def _places(self, share: Share, room: int) -> int:
        """How many lines of it its tenant's quota has room for, if it is this lane's turn."""
        tenant, lane_id = share.batch.tenant, self._lane_id
        if room <= 0 or not share.aside or share.batch.halted:
            tenant.leave(lane_id)
            return 0
        tenant.wait(lane_id, self._pump_soon)
        places = min(room, tenant.room(lane_id) - self._loader.at_hand_of(share.batch.id))
        if places <= 0:
            return 0
        if places >= len(share.aside):
            tenant.leave(lane_id)
        else:
            tenant.took(lane_id)
        return places

    def pauses(self) -> dict[str, tuple[str, float | None]]:
        """(reason, when a line is tried next, if that is known) of batches that wait though their lane does not: their
        first lines all failed, their tenant has as many calls in flight as it may, or a person has paused them."""
        told: dict[str, tuple[str, float | None]] = {}
        for batch_id, share in self._shares.items():
            if share.batch.paused:
                told[batch_id] = (PAUSED_BY_USER, None)
            elif share.first.paused:
                told[batch_id] = (share.first.reason, share.first.next_s)
            elif share.crowded and share.aside:
                told[batch_id] = (TENANT_QUOTA, None)
        return told

    def next_s(self) -> float | None:
        """When a line of a paused batch is tried next."""
        paused = (each for each in self._shares.values() if each.first.paused and each.aside and not each.batch.halted)
        return min((each.first.next_s for each in paused), default=None)

    def drop(self, batch_id: str) -> None:
        share = self._shares.pop(batch_id, None)
        if share is None or not share.crowded:
            return
        tenant = share.batch.tenant
        if not any(other.crowded and other.batch.tenant is tenant for other in self._shares.values()):
            tenant.leave(self._lane_id)  # nobody comes by here any more who would

    def _count(self, share: Share, now_s: float) -> int:
        """How many lines of it go back into the queue."""
        if not share.aside or share.batch.halted:
            return 0
        if share.first.paused:
            return int(share.first.may_try(now_s))
        spend = share.batch.spend
        if not share.short or spend is None:
            return len(share.aside)
        if spend.returned == share.returned and (spend.reserved_nano or spend.must_wait):
            return 0
        share.returned = spend.returned
        return min(LET_IN, len(share.aside))
