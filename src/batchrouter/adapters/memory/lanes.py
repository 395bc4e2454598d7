"""Lanes in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.adapters.memory.state import Part, atomic
from batchrouter.domain.shard import Lane, LaneKey


class Lanes(Part):
    __slots__ = ()

    @atomic
    def lanes(self) -> list[Lane]:
        return list(self._state.lanes.values())

    @atomic
    def note_lanes(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            known = self._state.lanes.get(lane.id)
            if known is not None:
                self._state.lanes[lane.id] = replace(lane, key=known.key)

    @atomic
    def probe(self, worker: str, lane_id: int, now_ms: int, until_ms: int) -> bool:
        if lane_id not in self._state.lanes:
            return False
        prober, ends_ms = self._state.probers.get(lane_id, (worker, 0))
        if prober != worker and ends_ms > now_ms and prober in self._state.workers:
            return False
        self._state.probers[lane_id] = (worker, until_ms)
        return True

    @atomic
    def lane(self, key: LaneKey) -> Lane:
        return self._state.lane_of(key)
