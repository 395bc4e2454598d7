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
    def lane(self, key: LaneKey) -> Lane:
        return self._state.lane_of(key)
