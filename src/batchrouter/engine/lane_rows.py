"""The lanes' rows in the store: which lane is which, and what people are told of each."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from batchrouter.domain.shard import Lane, LaneMode
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

LIMIT_EVERY_S = 2.0
"""As often as samples are taken: a limit that is older than the calls in flight beside it makes no sense to anybody."""


class LaneRows:
    def __init__(self, ledger: Ledger, calls: Calls, clock: Clock) -> None:
        self._clock = clock
        self._ledger = ledger
        self._calls = calls
        self._rows: dict[int, Lane] = {}
        self._noted: dict[int, Lane] = {}
        self._noted_s: dict[int, float] = {}

    async def of(self, lane_ids: Collection[int]) -> dict[int, Lane]:
        """The rows of these lanes, read again only when one is unknown. A row's state and limit may be old."""
        if not self._rows.keys() >= set(lane_ids):
            self._rows = {lane.id: lane for lane in await self._calls.read(self._ledger.lanes)}
        return {lane_id: self._rows[lane_id] for lane_id in lane_ids if lane_id in self._rows}

    async def look(self) -> dict[int, Lane]:
        """All rows as they stand now, which is what will be compared with from here on."""
        self._rows = {lane.id: lane for lane in await self._calls.read(self._ledger.lanes)}
        self._noted.update({lane_id: self._rows[lane_id] for lane_id in self._noted.keys() & self._rows.keys()})
        return self._rows

    async def note(self, lanes: Sequence[Lane]) -> int:
        """Write down what changed since the last time; returns how many rows did."""
        now_s = self._clock.mono_s()
        changed = [lane for lane in lanes if self._is_news(lane, now_s)]
        if changed:
            await self._calls.write(self._ledger.note_lanes, changed)
            for lane in changed:
                _tell(lane, self._noted.get(lane.id))
                self._noted[lane.id] = lane
                self._noted_s[lane.id] = now_s
        return len(changed)

    def _is_news(self, lane: Lane, now_s: float) -> bool:
        """A limit that is still being learnt changes each second; people and the next start can wait for it."""
        noted = self._noted.get(lane.id)
        if noted is not None and now_s - self._noted_s[lane.id] < LIMIT_EVERY_S:
            lane = replace(lane, limit=noted.limit)
        return _differs(lane, noted)


def _differs(lane: Lane, noted: Lane | None) -> bool:
    """A wait that is told anew with each reply, or whose milliseconds are rounded otherwise, is not news."""
    if noted is None or lane.until_ms is None or noted.until_ms is None:
        return lane != noted
    return replace(lane, until_ms=noted.until_ms) != noted or abs(lane.until_ms - noted.until_ms) >= 1000


def _tell(lane: Lane, before: Lane | None) -> None:
    """Into the log, when the lane's state is another than before."""
    mode = "" if lane.key.mode is LaneMode.REALTIME else f" ({lane.key.mode})"
    name = f"{lane.key.provider}/{lane.key.model}{mode}"
    if lane.state == ("open" if before is None else before.state):
        if lane.state == "open" and lane.reason != (None if before is None else before.reason):
            log.warning("lane %s: %s", name, lane.reason or "all its keys work again")
        return
    if lane.state == "open":
        log.info("lane %s is open again", name)
    else:
        log.warning("lane %s is %s until %s (unix ms): %s", name, lane.state, lane.until_ms, lane.reason)
