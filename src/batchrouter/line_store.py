"""Bytes and records of settled lines, wherever they are: in a segment's row, in its blob, or in a range's run."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from batchrouter.domain.layout import Place, layout
from batchrouter.domain.outcome import RECORD, TAIL_SIZE, Record
from batchrouter.errors import RecordsGone, StoreError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.results import RangeView, Results, SegmentView

T = TypeVar("T")

TOGETHER = 32
"""Segments of one read of the store: small ones are at most 32 KiB."""
BLOBS_TOGETHER = 8
KEPT_RECORDS_BYTES = 8 * 1024 * 1024
"""Records of blobs that are kept in memory: those of 130,000 lines. They never change."""
KEPT_LAYOUTS = 64
"""Ranges whose lines' places are kept: some 5 MiB."""


class LineStore:
    def __init__(self, store: Results, calls: Calls, blobs: Blobs) -> None:
        self._store = store
        self._calls = calls
        self._blobs = blobs
        self._records: _Kept[str, bytes] = _Kept(KEPT_RECORDS_BYTES, len)
        self._layouts: _Kept[tuple[str, int], tuple[RangeView, dict[int, Place]]] = _Kept(KEPT_LAYOUTS, lambda _: 1)

    # --- records --------------------------------------------------------------------------------------------------

    async def records(self, segments: Sequence[SegmentView]) -> list[bytes]:
        """Of each segment, packed; not all of them may have counted."""
        return [
            each
            for at in range(0, len(segments), BLOBS_TOGETHER)
            for each in await _all(map(self._records_of, segments[at : at + BLOBS_TOGETHER]))
        ]

    async def named(self, batch_id: str, seqs: Sequence[int]) -> dict[int, tuple[SegmentView, bytes]]:
        """These segments with their records, by `seq`."""
        found: dict[int, tuple[SegmentView, bytes]] = {}
        for at in range(0, len(seqs), TOGETHER):
            views = await self._calls.read(self._store.segments_of, batch_id, seqs[at : at + TOGETHER])
            for view, records in zip(views, await self.records(views), strict=True):
                found[view.seq] = view, records
        return found

    async def _records_of(self, segment: SegmentView) -> bytes:
        if segment.records is not None:
            return segment.records
        if segment.blob_key is None:
            raise RecordsGone("it ended under a former version, which kept no records of its lines")
        known = self._records.get(segment.blob_key)
        if known is None:
            size = segment.count * RECORD.size
            known = await self._blobs.read(segment.blob_key, segment.length - TAIL_SIZE - size, size)
            self._records.put(segment.blob_key, known)
        return known

    # --- lines ----------------------------------------------------------------------------------------------------

    async def lines(self, batch_id: str, wanted: Sequence[tuple[SegmentView, Record]]) -> list[bytes]:
        """The line of each record, newline included: one read for each blob and run, few for all inline segments."""
        lines: list[bytes | None] = [None] * len(wanted)
        by_segment: dict[int, list[int]] = {}
        for place, (segment, _) in enumerate(wanted):
            by_segment.setdefault(segment.seq, []).append(place)
        inline = []
        for seq, places in by_segment.items():
            segment = wanted[places[0]][0]
            if segment.inline:
                inline.append(seq)
            if segment.blob_key is None:
                continue
            spans = [(wanted[place][1].offset, wanted[place][1].length) for place in places]
            for place, data in zip(places, await self._blobs.read_many(segment.blob_key, spans), strict=True):
                lines[place] = data
        for at in range(0, len(inline), TOGETHER):
            views = await self._calls.read(self._store.segments_of, batch_id, inline[at : at + TOGETHER], whole=True)
            for view in views:
                if view.data is not None:  # else its batch was folded whole since
                    for place in by_segment[view.seq]:
                        record = wanted[place][1]
                        lines[place] = view.data[record.offset : record.offset + record.length]
        folded = [place for place, line in enumerate(lines) if line is None]
        for place, line in zip(folded, await self._from_runs(batch_id, [wanted[at][1] for at in folded]), strict=True):
            lines[place] = line
        return [line for line in lines if line is not None]

    async def _from_runs(self, batch_id: str, wanted: Sequence[Record]) -> list[bytes]:
        found: dict[int, bytes] = {}
        by_run: dict[str, list[tuple[int, int, int]]] = {}
        for record in wanted:
            home, places = await self._laid_out(batch_id, record)
            place = places[record.line]
            run = home.output if place.output else home.error
            if run is None:
                raise StoreError(f"range {home.range_no} of {batch_id} has neither a run nor its segments")
            by_run.setdefault(run[0], []).append((record.line, run[1] + place.offset, place.length))
        for key, parts in by_run.items():
            spans = [(offset, length) for _, offset, length in parts]
            for (line, _, _), data in zip(parts, await self._blobs.read_many(key, spans), strict=True):
                found[line] = data
        return [found[record.line] for record in wanted]

    async def _laid_out(self, batch_id: str, record: Record) -> tuple[RangeView, dict[int, Place]]:
        """The record's range, which is folded and so never changes, and where its lines are."""
        known = self._layouts.get((batch_id, record.range_no))
        if known is None:
            (home,) = await self._calls.read(self._store.ranges_from, batch_id, record.line, 1)
            segments = await self.named(batch_id, home.segment_seqs)
            told = ((view.admitted, records) for view, records in segments.values())
            known = home, layout(home.first_line, home.lines, told)
            self._layouts.put((batch_id, record.range_no), known)
        return known


K = TypeVar("K")


class _Kept(Generic[K, T]):
    """What was used last, up to `most` in all by `size`."""

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most = most
        self._size = size
        self._sum = 0
        self._kept: OrderedDict[K, T] = OrderedDict()

    def get(self, key: K) -> T | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: T) -> None:
        if key in self._kept:
            return
        self._kept[key] = value
        self._sum += self._size(value)
        while self._sum > self._most and len(self._kept) > 1:
            self._sum -= self._size(self._kept.popitem(last=False)[1])


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*work))
