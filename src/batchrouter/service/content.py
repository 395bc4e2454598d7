"""The bytes of a file, wherever they are: one blob, or a batch's runs and segments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from batchrouter.domain.file import File, FileRole, RangeSpan, SegmentRef
from batchrouter.domain.folding import Piece, Want, select
from batchrouter.domain.outcome import TAIL_SIZE, records_span
from batchrouter.errors import StoreError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog

SPANS = 200
"""Ranges per read of the manifest: 100,000 lines."""
GROUP_BYTES = 1024 * 1024
"""Lines of an unfolded range are gathered from their segments in groups of about this size."""


class Content:
    """What a download needs: `file` for its name and size, and any part of its bytes."""

    def __init__(self, file: File, catalog: Catalog, calls: Calls, blobs: Blobs) -> None:
        self.file = file
        self._catalog = catalog
        self._calls = calls
        self._blobs = blobs

    def stream(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `offset`, which must lie within the file. Raises in the middle if bytes are gone."""
        if self.file.role is FileRole.UPLOADED:
            assert self.file.blob_key is not None
            return self._blobs.stream(self.file.blob_key, offset, length)
        return self._stream_parts(offset, length)

    async def _stream_parts(self, offset: int, length: int) -> AsyncIterator[bytes]:
        after, start, end = -1, 0, offset + length
        while start < end:
            spans = await self._calls.read(self._catalog.manifest, self.file, after, SPANS)
            if not spans:
                raise StoreError(f"{self.file.id} has {start} bytes in its parts, not the {self.file.bytes} of its row")
            for span in spans:
                after = span.range_no
                low, high = max(offset, start), min(end, start + span.length)
                if low < high:
                    async for piece in self._stream_span(span, low - start, high - low):
                        yield piece
                start += span.length
                if start >= end:
                    return

    async def _stream_span(self, span: RangeSpan, offset: int, length: int) -> AsyncIterator[bytes]:
        if span.run_key is None:
            segments = await self._segments(span)
            if segments is None:  # folded since the manifest was read, and its small segments dropped
                span = (await self._calls.read(self._catalog.manifest, self.file, span.range_no - 1, 1))[0]
            else:
                async for piece in self._from_segments(span, segments, offset, length):
                    yield piece
                return
        if span.run_key is None:
            raise StoreError(f"range {span.range_no} of {self.file.id} has neither a run nor its segments")
        async for piece in self._blobs.stream(span.run_key, span.run_at + offset, length):
            yield piece

    async def _segments(self, span: RangeSpan) -> list[tuple[SegmentRef, bytes]] | None:
        """The span's segments with their records; None when bytes of one are no longer to be had."""
        assert self.file.batch_id is not None
        refs = await self._calls.read(self._catalog.segments, self.file.batch_id, span.segment_seqs)
        if len(refs) < len(span.segment_seqs) or any(ref.data is None and ref.blob_key is None for ref in refs):
            return None
        return [(ref, await self._records(ref)) for ref in refs]

    async def _records(self, ref: SegmentRef) -> bytes:
        if ref.data is not None:
            offset, length = records_span(ref.length, ref.data[-TAIL_SIZE:])
            return ref.data[offset : offset + length]
        assert ref.blob_key is not None
        end = await self._blobs.read(ref.blob_key, ref.length - TAIL_SIZE, TAIL_SIZE)
        return await self._blobs.read(ref.blob_key, *records_span(ref.length, end))

    async def _from_segments(
        self, span: RangeSpan, segments: Sequence[tuple[SegmentRef, bytes]], offset: int, length: int
    ) -> AsyncIterator[bytes]:
        want: Want = "output" if self.file.role is FileRole.OUTPUT else "error"
        start, end = 0, offset + length
        group: list[Piece] = []
        size = 0
        for piece in select(span.first_line, span.lines, segments, want):
            low, high = max(offset, start), min(end, start + piece.length)
            if low < high:
                group.append(Piece(piece.segment, piece.offset + low - start, high - low))
                size += high - low
                if size >= GROUP_BYTES:
                    yield await self._gather(segments, group)
                    group, size = [], 0
            start += piece.length
        if group:
            yield await self._gather(segments, group)

    async def _gather(self, segments: Sequence[tuple[SegmentRef, bytes]], group: Sequence[Piece]) -> bytes:
        """The bytes of the group in its order, with one read per segment."""
        wanted: dict[int, list[int]] = {}
        for place, piece in enumerate(group):
            wanted.setdefault(piece.segment, []).append(place)
        lines: list[bytes] = [b""] * len(group)
        for number, places in wanted.items():
            ref = segments[number][0]
            if ref.data is not None:
                for place in places:
                    piece = group[place]
                    lines[place] = ref.data[piece.offset : piece.offset + piece.length]
                continue
            assert ref.blob_key is not None
            spans = [(group[place].offset, group[place].length) for place in places]
            for place, data in zip(places, await self._blobs.read_many(ref.blob_key, spans), strict=True):
                lines[place] = data
        return b"".join(lines)
