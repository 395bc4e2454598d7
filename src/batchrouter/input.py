"""Reading an input file through its index: the one place that knows how the two blobs lie together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from batchrouter.domain.line_index import RECORD_BYTES, IndexColumns, IndexNames, IndexRecord, IndexTotals, IndexView
from batchrouter.errors import InputError
from batchrouter.ports.blobs import Blobs

SLICE_RECORDS = 4096
LONGEST = 2**32 - 1
"""A line of that length or more; none of them is sound."""


class Input:
    """An input file and its open index."""

    def __init__(self, blobs: Blobs, blob_key: str, index_key: str, view: IndexView) -> None:
        self._blobs = blobs
        self._blob_key = blob_key
        self._index_key = index_key
        self._view = view

    @classmethod
    async def open(cls, blobs: Blobs, blob_key: str, index_key: str) -> Input:
        """Raises `BlobMissing` when either is gone, `InputError` when the index is of another version."""
        size = await blobs.size(index_key)
        offset, length = IndexView.trailer_span(size)
        trailer = await blobs.read(index_key, offset, length)
        offset, length = IndexView.tail_span(size, trailer)
        tail = await blobs.read(index_key, offset, length)
        return cls(blobs, blob_key, index_key, IndexView(trailer, tail))

    @property
    def totals(self) -> IndexTotals:
        return self._view.totals

    @property
    def names(self) -> IndexNames:
        return self._view.names

    async def slices(self) -> AsyncIterator[list[IndexRecord]]:
        """All records in order, in slices of bounded size."""
        first = 0
        while first < self._view.totals.lines:
            records = await self.records(first, SLICE_RECORDS)
            if not records:
                raise InputError("The line index is shorter than it tells; upload the file again.")
            yield records
            first += len(records)

    async def records(self, first: int, count: int) -> list[IndexRecord]:
        offset, length = self._view.records_span(first, count)
        return list(self._view.records(first, await self._blobs.read(self._index_key, offset, length)))

    async def columns(self, first: int, count: int) -> IndexColumns:
        """As `records`, but only what dispatch needs. Raises `InputError` when the index has fewer lines."""
        offset, length = self._view.records_span(first, count)
        data = await self._blobs.read(self._index_key, offset, length)
        if len(data) != count * RECORD_BYTES:
            raise InputError(f"the index {self._index_key} does not have lines {first} to {first + count - 1}")
        return self._view.columns(data)

    async def spans(self, lines: Sequence[int]) -> list[tuple[int, int]]:
        """(offset, length) of these lines, counted from 0 without the blank ones. Raises `InputError` when the index
        has fewer, and for one that is longer than it can tell: no batch has such a line."""
        places = [self._view.records_span(line, 1) for line in lines]
        found = [self._view.span(data) for data in await self._blobs.read_many(self._index_key, places)]
        if any(length == LONGEST for _, length in found):
            raise InputError(f"the index {self._index_key} does not have one of the lines {lines[0]} to {lines[-1]}")
        return found

    async def lines(self, spans: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of the lines at these (offset, length) places."""
        return await self._blobs.read_many(self._blob_key, spans)


class Inputs:
    """The inputs in use, each opened once."""

    KEPT_MAX = 256

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._open: dict[str, Input] = {}

    async def get(self, blob_key: str, index_key: str) -> Input:
        found = self._open.pop(blob_key, None)
        if found is None:
            found = await Input.open(self._blobs, blob_key, index_key)
            while len(self._open) >= self.KEPT_MAX:
                self._open.pop(next(iter(self._open)))
        self._open[blob_key] = found
        return found
