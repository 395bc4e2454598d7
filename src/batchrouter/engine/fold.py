"""Folding: the records of finished ranges, which lie scattered over segments, become input-ordered runs.

In the background, and only for speed of download: the bytes of a file never depend on it. Neighbouring ranges share a
run, one for each file, so that an object store gets few and large objects.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

from batchrouter.domain.file import SegmentRef
from batchrouter.domain.folding import Piece, Pieces, Want
from batchrouter.domain.outcome import TAIL_SIZE, records_span
from batchrouter.domain.shard import Fold, FoldWork
from batchrouter.engine.traffic import Traffic
from batchrouter.errors import BatchRouterError
from batchrouter.ports.blobs import Blobs, BlobWriter
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

TOGETHER = 16
"""Ranges that are folded at a time. A batch in progress waits until it has so many."""
HURRY_A_SECOND = 5_000
PATIENT = 128
"""While this worker sends more lines a second than that, a batch in progress waits until it has so many ranges (64,000
lines): the core is sending's then, and folding can have it later. Slow batches, which may be many and whose small
segments lie in the database, are folded as soon as there is a run's worth."""
RATE_OVER_S = 0.1
TAKEN_MS = 120_000
"""How long nobody else folds what was taken: whoever took it may have died, or may find the bytes' place away."""
GROUP_BYTES = 1024 * 1024
"""Lines are gathered from their segments in groups of at most this size; a longer line passes alone."""
WHOLE_BYTES = 4 * 1024 * 1024
"""Segments of a group that are together no larger are read whole, and kept for the groups that follow: neighbouring
lines were answered at about the same time, and picking them out one by one costs more than their bytes."""


class Folder:
    def __init__(
        self, ledger: Ledger, calls: Calls, blobs: Blobs, clock: Clock, chance: Chance, traffic: Traffic
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._chance = chance
        self._traffic = traffic
        self._looked_s, self._sent_then = clock.mono_s(), traffic.calls
        self._hurried = False

    async def run_once(self) -> int:
        """Fold up to `TOGETHER` ranges; returns how many were."""
        now_ms = self._clock.unix_ms()
        work = await self._calls.write(self._ledger.take_folds, now_ms, now_ms + TAKEN_MS, self._least(), TOGETHER)
        done = 0
        for batch_id, ranges in groupby(work, lambda each: each.batch_id):
            try:
                done += await self._fold(batch_id, list(ranges))
            except BatchRouterError as error:  # only these stay as they are, and can be read as well
                log.error("ranges of %s could not be folded: %s", batch_id, error)
        return done

    def _least(self) -> int:
        """How many ranges of a batch in progress are worth a fold now."""
        passed_s = self._clock.mono_s() - self._looked_s
        if passed_s >= RATE_OVER_S:
            sent = self._traffic.calls
            self._hurried = sent - self._sent_then > HURRY_A_SECOND * passed_s
            self._looked_s, self._sent_then = self._looked_s + passed_s, sent
        return PATIENT if self._hurried else TOGETHER

    async def _fold(self, batch_id: str, work: Sequence[FoldWork]) -> int:
        seqs = sorted({seq for each in work for seq in each.segment_seqs})
        refs = {ref.seq: ref for ref in await self._calls.read(self._ledger.segments, batch_id, seqs)}
        pieces = Pieces(min(each.first_line for each in work), max(each.first_line + each.lines for each in work))
        for ref in refs.values():
            pieces.add(ref.seq, ref, await self._records(ref))
        source = _Segments(self._blobs, refs)
        runs = {want: _Run(self._blobs, self._key(batch_id, work[0], want)) for want in _WANTS}
        folds = []
        try:
            for each in work:
                at = {
                    want: await _add(runs[want], source, pieces.of(each.first_line, each.lines, want))
                    for want in _WANTS
                }
                folds.append(Fold(range_no=each.range_no, output=at["output"], error=at["error"]))
            for run in runs.values():
                await run.commit()
        except BaseException:
            for run in runs.values():
                await run.abort()
            raise
        if await self._calls.write(self._ledger.folded, batch_id, folds):
            return len(folds)
        await self._blobs.delete([run.key for run in runs.values() if run.size])
        return 0

    def _key(self, batch_id: str, first: FoldWork, want: Want) -> str:
        """The chance part: a run that another worker wrote meanwhile is never overwritten."""
        return f"runs/{batch_id}/{first.range_no:06d}-{want}-{self._chance.hex(8)}"

    async def _records(self, ref: SegmentRef) -> bytes:
        if ref.data is not None:
            offset, length = records_span(ref.length, ref.data[-TAIL_SIZE:])
            return ref.data[offset : offset + length]
        assert ref.blob_key is not None
        end = await self._blobs.read(ref.blob_key, ref.length - TAIL_SIZE, TAIL_SIZE)
        return await self._blobs.read(ref.blob_key, *records_span(ref.length, end))


_WANTS: tuple[Want, Want] = ("output", "error")


class _Run:
    """A blob that is begun with its first byte: one that would be empty is never made."""

    def __init__(self, blobs: Blobs, key: str) -> None:
        self.key = key
        self.size = 0
        self._blobs = blobs
        self._writer: BlobWriter | None = None

    async def write(self, data: bytes) -> None:
        if self._writer is None:
            self._writer = await self._blobs.create(self.key)
        await self._writer.write(data)
        self.size += len(data)

    async def commit(self) -> None:
        if self._writer is not None:
            await self._writer.commit()

    async def abort(self) -> None:
        if self._writer is not None:
            await self._writer.abort()


async def _add(run: _Run, source: _Segments, pieces: Sequence[Piece]) -> tuple[str, int] | None:
    """A range's part of one file goes to the end of the run; returns where that is."""
    at = run.size
    for group in _groups(pieces):
        await run.write(b"".join(await source.lines(group)))
    return (run.key, at) if run.size > at else None


class _Segments:
    """The bytes of the segments of one fold, by number."""

    def __init__(self, blobs: Blobs, refs: Mapping[int, SegmentRef]) -> None:
        self._blobs = blobs
        self._refs = refs
        self._whole: dict[int, bytes] = {seq: ref.data for seq, ref in refs.items() if ref.data is not None}
        self._read: dict[int, int] = {}
        """Those of `_whole` that were read here, the latest last, and how large they are."""

    async def lines(self, group: Sequence[Piece]) -> list[bytes]:
        """Of the pieces, in their order."""
        wanted = {seq for seq, _, _ in group}
        if sum(self._refs[seq].length for seq in wanted) <= WHOLE_BYTES:
            for seq in wanted:
                await self._keep(seq, wanted)
        if wanted <= self._whole.keys():
            whole = self._whole
            return [whole[seq][offset : offset + length] for seq, offset, length in group]
        return await self._scattered(wanted, group)

    async def _keep(self, seq: int, wanted: Collection[int]) -> None:
        """Have that segment whole, and others only as far as they are wanted with it or there is room."""
        if seq in self._whole:
            return
        ref = self._refs[seq]
        assert ref.blob_key is not None
        for other in [each for each in self._read if each not in wanted]:
            if sum(self._read.values()) + ref.length <= WHOLE_BYTES:
                break
            del self._whole[other], self._read[other]
        self._whole[seq] = await self._blobs.read(ref.blob_key, 0, ref.length)
        self._read[seq] = ref.length

    async def _scattered(self, wanted: Collection[int], group: Sequence[Piece]) -> list[bytes]:
        """A few pieces of each of many segments, or of large ones; those of one are read together."""
        found = [b""] * len(group)
        by_segment: dict[int, list[int]] = {seq: [] for seq in wanted}
        for number, piece in enumerate(group):
            by_segment[piece.segment].append(number)
        for seq, numbers in by_segment.items():
            spans = [group[number][1:] for number in numbers]
            if seq in self._whole:
                parts = [self._whole[seq][offset : offset + length] for offset, length in spans]
            else:
                blob_key = self._refs[seq].blob_key
                assert blob_key is not None
                parts = await self._blobs.read_many(blob_key, spans)
            for number, part in zip(numbers, parts, strict=True):
                found[number] = part
        return found


def _groups(slices: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
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
