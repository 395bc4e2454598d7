"""Lines that leave their lane because it cannot serve them, or may not in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from batchrouter.domain.lane_health import GIVE_UP_S
from batchrouter.domain.overtaking import Overtaking, overtake_times
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.engine.held import BatchRun, Held, Share
from batchrouter.engine.later import Later
from batchrouter.engine.loader import Loader
from batchrouter.engine.moving import Mover
from batchrouter.engine.pool import Pool

Lines = list[tuple[Held, int]]

EVERY_S = 1.0
"""How often a lane's lines are looked through."""


class Leaving:
    """One lane's. `rate` is how many lines a second real time takes, as far as is known; `margin_s` what is kept in
    hand of a deadline. `end_calls` ends those of a batch that are under way here, and gives their lines.

    gives up     lines that have another lane to go to go there
    near the     those do where nobody was answered for a while, even if the upstream only says that they may come back
    deadline     later: it may say so until it is too late. From a flex lane, which may be refused for hours, all go to
                 the full price, in the end those under way too
    """

    def __init__(
        self,
        key: LaneKey,
        pool: Pool,
        loader: Loader,
        later: Later,
        mover: Mover,
        end_calls: Callable[[str], Lines],
        *,
        rate: float,
        margin_s: float,
    ) -> None:
        self._full_price = replace(key, mode=LaneMode.REALTIME) if key.mode is LaneMode.FLEX else None
        self._pool = pool
        self._loader = loader
        self._later = later
        self._mover = mover
        self._end_calls = end_calls
        self._rate = rate
        self._margin_s = margin_s
        self._next_s = 0.0
        self._stuck_s: float | None = None

    def look(self, shares: Iterable[Share], now_s: float) -> None:
        """Once a second, and after `soon`."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + EVERY_S
        if not self._pool.stuck:
            self._stuck_s = None
        elif self._stuck_s is None:
            self._stuck_s = now_s
        if self._full_price is None and self._stuck_s is None:
            return
        for_long = self._stuck_s is not None and now_s - self._stuck_s >= GIVE_UP_S
        gives_up = not self._pool.open and self._pool.gives_up(now_s)
        for share in shares:
            if share.batch.paused:
                continue
            due = self._due(share.batch, now_s)
            if self._full_price is not None and due is not Overtaking.NOT_YET:
                self._overtake(share, self._full_price, calls_too=due is Overtaking.FORCE)
            elif share.leads_on and (gives_up or (for_long and due is not Overtaking.NOT_YET)):
                self._move_on(share)

    def soon(self) -> None:
        """There are new lines."""
        self._next_s = 0.0

    def _due(self, batch: BatchRun, now_s: float) -> Overtaking:
        deadline_ms, rest = int(batch.deadline_s * 1000), batch.open + batch.waiting
        return overtake_times(deadline_ms, rest, self._rate, self._margin_s).due(int(now_s * 1000))

    def _overtake(self, share: Share, lane: LaneKey, *, calls_too: bool) -> None:
        """Whatever the lane has of it goes to `lane`."""
        batch = share.batch
        lines = [*self._at_hand(share), *self._later.take(lambda held, place: held.batch is batch)]
        if calls_too:
            lines += self._end_calls(batch.id)
        for held, place in lines:
            self._mover.move(held, place, lane)

    def _move_on(self, share: Share) -> None:
        """Whatever has another lane to go to goes there; calls under way go on."""
        batch = share.batch
        for held, place in self._at_hand(share):
            if not self._leave(held, place):
                self._loader.queue.put_back(held, place)
        for held, place in self._later.take(lambda held, place: held.batch is batch and bool(held.next_lane(place))):
            self._leave(held, place)

    def _at_hand(self, share: Share) -> Lines:
        lines = [*self._loader.take_back(share.batch.id), *share.aside]
        share.aside.clear()
        return lines

    def _leave(self, held: Held, place: int) -> bool:
        lane = held.next_lane(place)
        if lane is None:
            return False
        self._mover.move(held, place, lane)
        return True
