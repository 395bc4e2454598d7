"""Cut a good input into ranges and shards.

A range is at most `RANGE_LINES` lines or `RANGE_BYTES` bytes of consecutive input (one line at least, however large),
so that what a worker loads and what a fold sorts stays small whatever the file's size. Within a range every lane that
its lines name gets one shard.
"""

from __future__ import annotations

from collections.abc import Iterable

from batchrouter.domain.bitmap import full
from batchrouter.domain.shard import LaneKey, Plan, PlannedShard, Range

RANGE_LINES = 500
RANGE_BYTES = 4 * 1024 * 1024


class Planner:
    """Feed every line's length and lane in input order, then `plan`. Memory grows by range, not by line."""

    def __init__(self, batch_id: str, *, range_lines: int = RANGE_LINES, range_bytes: int = RANGE_BYTES) -> None:
        self._batch_id = batch_id
        self._range_lines = range_lines
        self._range_bytes = range_bytes
        self._ranges: list[Range] = []
        self._shards: list[PlannedShard] = []
        self._first = 0
        self._lines = 0
        self._bytes = 0
        self._members: dict[LaneKey, int] = {}

    def feed(self, lengths: Iterable[int], lanes: Iterable[LaneKey | None]) -> None:
        """Length and lane of each line; lane None: a line that no lane will run (the batch is closing already)."""
        count, size, begun = self._lines, self._bytes, self._lines
        of: LaneKey | None = None  # the lane of lines `begun` to `count`, not yet among the members
        for length, lane in zip(lengths, lanes, strict=True):
            if count and (count >= self._range_lines or size + length > self._range_bytes):
                self._add(of, begun, count)
                self._lines = count
                self._cut()
                count = size = begun = 0
            if lane is not of:
                self._add(of, begun, count)
                of, begun = lane, count
            count += 1
            size += length
        self._add(of, begun, count)
        self._lines, self._bytes = count, size

    def plan(self, model: str | None) -> Plan:
        """The plan of everything fed; `model` is what the batch will show."""
        if self._lines:
            self._cut()
        return Plan(total=self._first, model=model, ranges=tuple(self._ranges), shards=tuple(self._shards))

    def _add(self, lane: LaneKey | None, begun: int, end: int) -> None:
        """Lines `begun` to `end` - 1 of the range go to `lane`."""
        if lane is not None and end > begun:
            self._members[lane] = self._members.get(lane, 0) | full(end - begun) << begun

    def _cut(self) -> None:
        number = len(self._ranges)
        self._ranges.append(Range(batch_id=self._batch_id, range_no=number, first_line=self._first, lines=self._lines))
        self._shards.extend(
            PlannedShard(range_no=number, lane=lane, members=members) for lane, members in self._members.items()
        )
        self._first += self._lines
        self._lines = 0
        self._bytes = 0
        self._members = {}
