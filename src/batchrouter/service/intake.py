"""Take in the bytes of one file: to its blob and, while it may be a batch input, through the indexer, in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from batchrouter.domain.duplicates import MemorySpill, Spill
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.line_index import IndexTotals
from batchrouter.errors import BlobError
from batchrouter.ports.blobs import Blobs, BlobWriter


class Scratch(Spill, Protocol):
    """A `Spill` with an owner: `close` throws it away."""

    def close(self) -> None: ...


class MemoryScratch(MemorySpill):
    """For stores that keep everything in memory, and for tests."""

    def close(self) -> None:
        return None


ScratchMaker = Callable[[], Scratch]


class Intake:
    """Write, then `finish`, then `commit`; or `abort` at any moment, after which nothing is left.

    `index` stays the answer to "may this be a batch input?" until someone says no with `drop_index`.
    """

    def __init__(self, blobs: Blobs, key: str, max_line_bytes: int, scratch: ScratchMaker) -> None:
        self.key = key
        self.index_key: str | None = f"{key}.idx"
        self.bytes = 0
        self._blobs = blobs
        self._scratch = scratch()
        self._indexer: Indexer | None = Indexer(self._scratch, max_line_bytes=max_line_bytes)
        self._blob: BlobWriter | None = None
        self._index: BlobWriter | None = None

    async def write(self, data: bytes) -> None:
        """Pieces of 64 KiB to 1 MiB are quickest. Raises `BlobFull`; then only `abort` is left to do."""
        self.bytes += len(data)
        await (await self._blob_writer()).write(data)
        if self._indexer is not None:
            entries = self._indexer.feed(data)
            if entries:
                await (await self._index_writer()).write(entries)

    def drop_index(self) -> None:
        """It will not be a batch input."""
        self._indexer = None
        self.index_key = None

    async def finish(self) -> IndexTotals | None:
        """End the index. Returns what it says of the file; None when there is no index."""
        if self._indexer is None:
            return None
        # Looking for duplicates among millions of ids takes seconds: not on the loop.
        last = await asyncio.to_thread(self._indexer.finish)
        await (await self._index_writer()).write(last)
        return self._indexer.totals

    async def commit(self) -> None:
        """Index first: whoever sees the file sees its index."""
        if self._index is not None:
            if self._indexer is None:
                await self._index.abort()
            else:
                await self._index.commit()
        try:
            await (await self._blob_writer()).commit()
        except BlobError:
            await self._blobs.delete([f"{self.key}.idx"])
            raise
        await asyncio.to_thread(self._scratch.close)

    async def abort(self) -> None:
        for writer in (self._blob, self._index):
            if writer is not None:
                await writer.abort()
        await asyncio.to_thread(self._scratch.close)

    async def _blob_writer(self) -> BlobWriter:
        if self._blob is None:
            self._blob = await self._blobs.create(self.key)
        return self._blob

    async def _index_writer(self) -> BlobWriter:
        if self._index is None:
            self._index = await self._blobs.create(f"{self.key}.idx")
        return self._index
