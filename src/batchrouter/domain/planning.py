"""Cut a good input into ranges and shards.

A range is at most `RANGE_LINES` lines or `RANGE_BYTES` bytes of consecutive input (one line at least, however large),
so that what a worker loads and what a fold sorts stays small whatever the file's size. Within a range every lane that
its lines go to gets one shard.

Lines come with the place of their group (alike in provider, model and wish), because which lane a group goes to is
known only when all lines have been counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchrouter.domain.bitmap import full
from batchrouter.domain.shard import LaneKey, Plan, PlannedShard, Range

RANGE_LINES = 500
RANGE_BYTES = 4 * 1024 * 1024
NO_GROUP = -1
"""Of a line that no lane will run."""


class Planner:
    """Feed every line's length and group in input order, then `plan`. Memory grows by range, not by line."""

    def __init__(self, batch_id: str, *, range_lines: int = RANGE_LINES, range_bytes: int = RANGE_BYTES) -> None:
        self._batch_id = batch_id
        self._range_lines = range_lines
        self._range_bytes = range_bytes
        self._ranges: list[Range] = []
        self._groups: list[dict[int, int]] = []
        self._first = 0
        self._lines = 0
        self._bytes = 0
        self._members: dict[int, int] = {}

    def feed(self, lengths: Iterable[int], groups: Iterable[int]) -> None:
        """Length and group of each line."""
        count, size, begun = self._lines, self._bytes, self._lines
        of = NO_GROUP  # the group of lines `begun` to `count`, not yet among the members
        for length, group in zip(lengths, groups, strict=True):
            if count and (count >= self._range_lines or size + length > self._range_bytes):
                self._add(of, begun, count)
                self._lines = count
                self._cut()
                count = size = begun = 0
            if group != of:
                self._add(of, begun, count)
                of, begun = group, count
            count += 1
            size += length
        self._add(of, begun, count)
        self._lines, self._bytes = count, size

    def plan(self, model: str | None, lanes: Sequence[LaneKey]) -> Plan:
        """The plan of everything fed; `model` is what the batch will show, `lanes` are the groups' by place."""
        if self._lines:
            self._cut()
        shards: list[PlannedShard] = []
        for number, groups in enumerate(self._groups):
            members: dict[LaneKey, int] = {}
            for group, bits in groups.items():
                members[lanes[group]] = members.get(lanes[group], 0) | bits
            shards += [PlannedShard(range_no=number, lane=lane, members=bits) for lane, bits in members.items()]
        return Plan(total=self._first, model=model, ranges=tuple(self._ranges), shards=tuple(shards))

    def _add(self, group: int, begun: int, end: int) -> None:
        """Lines `begun` to `end` - 1 of the range are of `group`."""
        if group != NO_GROUP and end > begun:
            self._members[group] = self._members.get(group, 0) | full(end - begun) << begun

    def _cut(self) -> None:
        number = len(self._ranges)
        self._ranges.append(Range(batch_id=self._batch_id, range_no=number, first_line=self._first, lines=self._lines))
        self._groups.append(self._members)
        self._first += self._lines
        self._lines = 0
        self._bytes = 0
        self._members = {}
