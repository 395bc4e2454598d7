"""One blob on its way into a bucket: a single put where it is small, else a multipart upload.

The library pulls the bytes of a multipart upload from an iterator, and aborts the upload when the iterator raises; one
that is merely cancelled stays in the bucket, invisible and paid for. So an abort is a raise, and nothing here cancels.
What a killed process leaves is for the bucket's own rule about unfinished uploads (docs/operations.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from batchrouter.errors import BlobError

if TYPE_CHECKING:
    from batchrouter.adapters.blobs.objects import ObjectBlobs

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes for a part; with its 10,000 parts a blob may have 50 GB."""
PARTS_AT_ONCE = 2
_FEED_BYTES = 1024 * 1024


class _Aborted(Exception):
    """Raised into the library, so that it ends the upload."""


class Upload:
    """A multipart upload under way. Of its bytes at most `PARTS_AT_ONCE` + 1 parts and two feeds are in memory."""

    def __init__(self, begin: Callable[[AsyncIterator[bytes]], Awaitable[None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._aborted = False
        self.task = self._loop.create_task(_run(begin, self._pull()))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left to ask

    async def feed(self, piece: bytes | None) -> None:
        """Waits until there is room for it. Raises what ended the upload. None: that was all."""
        placing = self._loop.create_task(self._pieces.put(piece))
        try:
            await asyncio.wait((placing, self.task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            placing.cancel()  # harmless when it is done
        if self.task.done():
            self.task.result()
            raise BlobError("the upload ended before all of it was given")

    async def finish(self) -> None:
        """Raises what ended the upload; a caller that is cancelled leaves it to go on."""
        placing = self._loop.create_task(self._pieces.put(None))
        try:
            await asyncio.wait((placing, self.task), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.shield(self.task)
        finally:
            placing.cancel()

    def abandon(self) -> None:
        """Have the library abort it, soon."""
        self._aborted = True
        with suppress(asyncio.QueueEmpty):
            self._pieces.get_nowait()
        with suppress(asyncio.QueueFull):
            self._pieces.put_nowait(b"")

    async def ended(self) -> None:
        """Returns when the upload is done, or gone, or could not be made to go."""
        await asyncio.wait((self.task,))

    def forget(self) -> None:
        """`abandon`, from a finaliser: in any thread, or when the loop is gone already."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.abandon)

    async def _pull(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            if self._aborted:
                raise _Aborted
            yield piece


async def _run(begin: Callable[[AsyncIterator[bytes]], Awaitable[None]], pieces: AsyncIterator[bytes]) -> None:
    with suppress(_Aborted):
        await begin(pieces)


class ObjectWriter:
    """`ports.blobs.BlobWriter`: up to one part is collected and put whole, more makes an upload."""

    def __init__(self, blobs: ObjectBlobs, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._parts: list[bytes] = []
        self._collected = 0
        self._upload: Upload | None = None
        self._open = True

    async def write(self, data: bytes) -> None:
        self._require_open()
        if not data:
            return
        self._parts.append(data)
        self._collected += len(data)
        if self._collected < (PART_BYTES if self._upload is None else _FEED_BYTES):
            return
        if self._upload is None:
            self._upload = self._blobs.upload(self._key)
        try:
            await self._upload.feed(self._take())
        except BaseException:
            self._drop()  # whether the piece was taken is not known: nothing may follow it
            raise

    async def commit(self) -> None:
        self._require_open()
        self._open = False
        if self._upload is None:
            await self._blobs.put(self._key, [self._take()])
            return
        try:
            if self._parts:
                await self._upload.feed(self._take())
            await self._upload.finish()
        except BaseException:
            self._upload.abandon()
            raise
        self._upload = None

    async def abort(self) -> None:
        self._drop()
        if self._upload is not None:
            await self._upload.ended()
            self._upload = None

    def __del__(self) -> None:
        """Abandoned: the upload goes with its writer."""
        if self._upload is not None:
            self._upload.forget()

    def _take(self) -> bytes:
        parts, self._parts, self._collected = self._parts, [], 0
        return b"".join(parts)

    def _drop(self) -> None:
        self._open = False
        self._parts, self._collected = [], 0
        if self._upload is not None:
            self._upload.abandon()

    def _require_open(self) -> None:
        if not self._open:
            raise BlobError(f"the write of blob {self._key} has ended")


def joined(parts: Sequence[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)
