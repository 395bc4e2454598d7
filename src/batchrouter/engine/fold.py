"""Folding: the records of a finished range, which lie scattered over segments, become one input-ordered run per file.

In the background, and only for speed of download: the bytes of a file never depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from batchrouter.domain.file import SegmentRef
from batchrouter.domain.folding import Piece, Want, select
from batchrouter.domain.outcome import TAIL_SIZE, records_span
from batchrouter.domain.shard import FoldWork
from batchrouter.errors import BatchRouterError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

GROUP_BYTES = 1024 * 1024
"""Lines are gathered from their segments in groups of at most this size; a longer line passes alone."""


class Folder:
    def __init__(self, ledger: Ledger, calls: Calls, blobs: Blobs, chance: Chance) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._chance = chance

    async def run_once(self, limit: int = 8) -> int:
        """Fold up to `limit` ranges; returns how many were."""
        work = await self._calls.read(self._ledger.foldable, limit)
        done = 0
        for each in work:
            try:
                done += await self._fold(each)
            except BatchRouterError as error:  # only this range stays as it is, and can be read as well
                log.error("range %d of %s could not be folded: %s", each.range_no, each.batch_id, error)
        return done

    async def _fold(self, work: FoldWork) -> bool:
        refs = await self._calls.read(self._ledger.segments, work.batch_id, work.segment_seqs)
        records = [await self._records(ref) for ref in refs]
        keys: list[str | None] = []
        wants: tuple[Want, Want] = ("output", "error")
        for want in wants:
            slices = select(work.first_line, work.lines, list(zip(refs, records, strict=True)), want)
            if not slices:
                keys.append(None)
                continue
            # The chance part: a run that another worker wrote meanwhile is never overwritten.
            key = f"runs/{work.batch_id}/{work.range_no:06d}-{want}-{self._chance.hex(8)}"
            writer = await self._blobs.create(key)
            try:
                for group in _groups(slices):
                    await writer.write(b"".join(await self._bytes(refs, group)))
                await writer.commit()
            except BaseException:
                await writer.abort()
                raise
            keys.append(key)
        folded = await self._calls.write(self._ledger.folded, work.batch_id, work.range_no, keys[0], keys[1])
        if not folded:
            await self._blobs.delete([key for key in keys if key is not None])
        return folded

    async def _records(self, ref: SegmentRef) -> bytes:
        if ref.data is not None:
            offset, length = records_span(ref.length, ref.data[-TAIL_SIZE:])
            return ref.data[offset : offset + length]
        assert ref.blob_key is not None
        end = await self._blobs.read(ref.blob_key, ref.length - TAIL_SIZE, TAIL_SIZE)
        return await self._blobs.read(ref.blob_key, *records_span(ref.length, end))

    async def _bytes(self, refs: list[SegmentRef], slices: list[Piece]) -> list[bytes]:
        """The slices' bytes in order; those of one segment are read together."""
        found: dict[int, bytes] = {}
        by_segment: dict[int, list[int]] = {}
        for number, (segment, _, _) in enumerate(slices):
            by_segment.setdefault(segment, []).append(number)
        for segment, numbers in by_segment.items():
            ref = refs[segment]
            spans = [slices[number][1:] for number in numbers]
            if ref.data is not None:
                pieces = [ref.data[offset : offset + length] for offset, length in spans]
            else:
                assert ref.blob_key is not None
                pieces = await self._blobs.read_many(ref.blob_key, spans)
            found.update(zip(numbers, pieces, strict=True))
        return [found[number] for number in range(len(slices))]


def _groups(slices: Sequence[Piece]) -> Iterator[list[Piece]]:
    """In order: as many slices together as `GROUP_BYTES` hold, and at least one."""
    group: list[Piece] = []
    size = 0
    for each in slices:
        if group and size + each.length > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(each)
        size += each.length
    if group:
        yield group
