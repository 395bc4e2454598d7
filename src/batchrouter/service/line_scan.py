"""Walking over a batch's lines in one of two orders, block by block: what a page is made of.

Completion order is that of settling: by the segments' numbers and the places in them. Input order goes by line, through
the ranges' done bitmaps. A block is a few reads of the store, and its work on the event loop some milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, TypeAlias

from batchrouter.domain.line_filter import LineFilter
from batchrouter.domain.outcome import RECORD, Record
from batchrouter.errors import ApiError
from batchrouter.line_store import LineStore
from batchrouter.ports.calls import Calls
from batchrouter.ports.results import RangeView, Results, SegmentView

Order: TypeAlias = Literal["completion", "input"]
ORDERS: tuple[Order, ...] = ("completion", "input")

FIRST_SEGMENTS, MOST_SEGMENTS = 4, 32
BLOCK_RECORDS = 1_024
MOST_RANGES = 8
_CURSOR = re.compile(r"c([0-9]{1,15})-([0-9]{1,9})|i([0-9]{1,15})")


class Cursor(NamedTuple):
    """Where to go on: at record `place` of segment `major`, or at line `major`."""

    order: Order
    major: int
    place: int = 0

    @classmethod
    def start(cls, order: Order) -> Cursor:
        return cls(order, 0)

    @classmethod
    def read(cls, text: str, order: Order) -> Cursor:
        found = _CURSOR.fullmatch(text)
        if found is None or (found[3] is not None) != (order == "input"):
            raise ApiError(
                400,
                f"Invalid 'after': not a cursor of a page in {order} order. Pass on what `next` of such a page said.",
                param="after",
                code="invalid_value",
            )
        return cls(order, int(found[3])) if order == "input" else cls(order, int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"i{self.major}" if self.order == "input" else f"c{self.major}-{self.place}"


class Found(NamedTuple):
    """A line that the filter may take, or that has no end yet (`record` and `segment` None); `after` is behind it."""

    line: int
    record: Record | None
    segment: SegmentView | None
    after: Cursor


class Block(NamedTuple):
    """`more`: there are lines beyond `end`."""

    found: list[Found]
    end: Cursor
    more: bool


class Scan:
    def __init__(self, store: Results, lines: LineStore, calls: Calls) -> None:
        self._store = store
        self._lines = lines
        self._calls = calls

    def blocks(self, batch_id: str, start: Cursor, wanted: LineFilter) -> AsyncIterator[Block]:
        """From `start` to the end of what there is at the moment."""
        if start.order == "input":
            return self._by_input(batch_id, start, wanted)
        return self._by_completion(batch_id, start, wanted)

    async def line(self, batch_id: str, line: int) -> Found | None:
        """None: the batch has no such line, or none yet."""
        homes = await self._calls.read(self._store.ranges_from, batch_id, line, 1)
        found = await self._of_ranges(batch_id, homes, line, _EVERY)
        return found[0] if found and found[0].line == line else None

    async def _by_completion(self, batch_id: str, start: Cursor, wanted: LineFilter) -> AsyncIterator[Block]:
        seq, place, count = start.major, start.place, FIRST_SEGMENTS
        while True:
            views = await self._calls.read(self._store.segments_from, batch_id, seq, count + 1)
            taken, records = 0, 0
            while taken < min(count, len(views)) and (not taken or records + views[taken].count <= BLOCK_RECORDS):
                records += views[taken].count
                taken += 1
            found: list[Found] = []
            packed = await self._lines.records(views[:taken])
            for view, some in zip(views, packed, strict=False):
                first = place if view.seq == start.major else 0
                for number, fields in enumerate(RECORD.iter_unpack(some)):
                    if number < first or not view.admitted >> number & 1:
                        continue
                    record = Record._make(fields)
                    if wanted.may_take(record):
                        found.append(Found(record.line, record, view, Cursor("completion", view.seq, number + 1)))
            more = taken < len(views)
            if taken:
                seq = views[taken - 1].seq + 1
            yield Block(found, Cursor("completion", seq) if taken else start, more)
            if not more:
                return
            count = min(2 * count, MOST_SEGMENTS)

    async def _by_input(self, batch_id: str, start: Cursor, wanted: LineFilter) -> AsyncIterator[Block]:
        line, count = start.major, 1
        while True:
            homes = await self._calls.read(self._store.ranges_from, batch_id, line, count + 1)
            here, more = homes[:count], len(homes) > count
            found = await self._of_ranges(batch_id, here, line, wanted)
            if here:
                line = here[-1].first_line + here[-1].lines
            yield Block(found, Cursor("input", line), more)
            if not more:
                return
            count = min(2 * count, MOST_RANGES)

    async def _of_ranges(self, batch_id: str, homes: list[RangeView], line: int, wanted: LineFilter) -> list[Found]:
        """Lines from `line` on, in their order. The ranges were read at one moment: a line is in one of the segments
        that they name exactly if its bit is set."""
        found: list[Found] = []
        if wanted.wants_unfinished:
            for home in homes:
                found += [
                    Found(number, None, None, Cursor("input", number + 1))
                    for number in range(max(line, home.first_line), home.first_line + home.lines)
                    if not home.done >> (number - home.first_line) & 1
                ]
        if wanted.wants_finished and homes:
            seqs = sorted({seq for home in homes for seq in home.segment_seqs})
            first, end = max(line, homes[0].first_line), homes[-1].first_line + homes[-1].lines
            for view, packed in (await self._lines.named(batch_id, seqs)).values():
                for number, fields in enumerate(RECORD.iter_unpack(packed)):
                    if first <= fields[0] < end and view.admitted >> number & 1:
                        record = Record._make(fields)
                        if wanted.may_take(record):
                            found.append(Found(record.line, record, view, Cursor("input", record.line + 1)))
        found.sort(key=_line_of)
        return found


def _line_of(found: Found) -> int:
    return found.line


class _Every(LineFilter):
    """Whatever stands there, with or without an end."""

    __slots__ = ()

    @property
    def wants_unfinished(self) -> bool:
        return True


_EVERY = _Every()
