"""Blobs in a local folder, written by ourselves because what else there is never calls fsync.

The folder's work is synchronous (`folder`); here it runs in a few threads of its own, so that the event loop never
waits for a disk. One blob put, or one read, is one hop to a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import ParamSpec, TypeVar

from batchrouter.adapters.blobs.folder import (
    TEMP_MARK,
    Folder,
    Hold,
    Unfinished,
    mapped,
    read_all,
    write_all,
)
from batchrouter.adapters.blobs.keys import check_span, checked, is_key
from batchrouter.errors import BlobError
from batchrouter.ports.blobs import BlobWriter

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
WRITE_BYTES = 1024 * 1024  # what a writer collects before it bothers a thread
PIECE_BYTES = 1024 * 1024  # of a stream, and of what neighbouring spans are read in
GAP_BYTES = 16 * 1024  # reading this much for nothing is cheaper than another call
AGED_MAX = 1000


class LocalBlobs:
    """`ports.blobs.Blobs` over `folder`, which is made when the first blob comes.

    `sync=False` gives durability up; it is there to measure what durability costs.
    """

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        self._folder = Folder(folder.absolute(), sync=sync)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._aged_after = ""

    async def create(self, key: str) -> BlobWriter:
        return _LocalWriter(self, self._folder, checked(key))

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        await self.run(self._put, checked(key), parts)

    async def read(self, key: str, offset: int, length: int) -> bytes:
        check_span(offset, length)
        return await self.run(self._read, checked(key), offset, length)

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        for span in spans:
            check_span(*span)
        return await self.run(self._read_many, checked(key), spans)

    async def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        """Holds the file open, so that a blob deleted meanwhile is still told whole."""
        check_span(offset, length)
        hold = await self.run(self._hold, checked(key))
        try:
            end = min(offset + length, hold.size)
            while offset < end:
                piece = await self.run(self._read_held, key, hold.fd, offset, min(PIECE_BYTES, end - offset))
                offset += len(piece)
                yield piece
        finally:
            hold.close()

    async def size(self, key: str) -> int:
        return await self.run(self._size, checked(key))

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            checked(key.partition(TEMP_MARK)[0])  # `aged` tells unfinished writes by their temporary names
        await self.run(self._delete, keys)

    async def aged(self, older_than_ms: int) -> list[str]:
        """Goes on where the last call stopped at its limit, so that a thousand old blobs that are all needed do not
        hide the garbage behind them."""
        found = await self.run(self._aged, older_than_ms, self._aged_after)
        self._aged_after = found[-1] if len(found) == AGED_MAX else ""
        return [key for key in found if is_key(key.partition(TEMP_MARK)[0])]

    async def clear_abandoned(self) -> int:
        """Delete what dead processes left unfinished; returns how many. Only for whoever knows that all others are
        dead, as the holder of a data folder's lock does."""
        return await self.run(self._clear_abandoned)

    def close(self) -> None:
        """Waits for what is under way; nothing may be asked afterwards."""
        self._threads.shutdown()
        self._folder.close()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One hop. Work that has begun is finished though its caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    # --- in a thread ----------------------------------------------------------------------------------------------

    def _put(self, key: str, parts: Sequence[bytes]) -> None:
        with mapped("writing", key):
            self._folder.put(key, parts)

    def _read(self, key: str, offset: int, length: int) -> bytes:
        with mapped("reading", key), closing(self._folder.hold(key)) as hold:
            return read_all(hold.fd, offset, min(length, max(0, hold.size - offset)))

    def _read_held(self, key: str, fd: int, offset: int, length: int) -> bytes:
        with mapped("reading", key):
            return read_all(fd, offset, length)

    def _read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        found = [b""] * len(spans)
        with mapped("reading", key), closing(self._folder.hold(key)) as hold:
            for start, end, places in neighbours(spans):
                data = read_all(hold.fd, start, max(0, min(end, hold.size) - start))
                for place in places:
                    offset, length = spans[place]
                    found[place] = data[offset - start : offset - start + length]
        return found

    def _size(self, key: str) -> int:
        with mapped("reading", key), closing(self._folder.hold(key)) as hold:
            return hold.size

    def _hold(self, key: str) -> Hold:
        with mapped("reading", key):
            return self._folder.hold(key)

    def _aged(self, older_than_ms: int, after: str) -> list[str]:
        with mapped("listing", after):
            return self._folder.aged(older_than_ms, after, AGED_MAX)

    def _clear_abandoned(self) -> int:
        with mapped("clearing", "unfinished writes"):
            return self._folder.clear_abandoned()

    def _delete(self, keys: Sequence[str]) -> None:
        with mapped("deleting", ", ".join(keys[:3])):
            self._folder.delete(keys)


class _LocalWriter:
    """Collects up to `WRITE_BYTES`, then hands them to a thread and waits for it: memory stays bounded, and a disk
    that is slow slows its writer down. Each step holds the lock in its thread, because a cancelled caller may abort
    while its last step still runs."""

    def __init__(self, blobs: LocalBlobs, folder: Folder, key: str) -> None:
        self._blobs = blobs
        self._folder = folder
        self._key = key
        self._lock = threading.Lock()
        self._parts: list[bytes] = []
        self._collected = 0
        self._temp: Unfinished | None = None
        self._open = True

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._parts.append(data)
        self._collected += len(data)
        if self._collected >= WRITE_BYTES:
            await self._step(self._flush)

    async def commit(self) -> None:
        self._require_open()
        await self._step(self._commit)

    async def abort(self) -> None:
        if self._open:
            await self._blobs.run(self._abort)

    def __del__(self) -> None:
        """Abandoned: the unfinished file goes with its writer."""
        if self._temp is not None:
            self._temp.discard()

    async def _step(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._blobs.run(lambda: self._guarded(lambda: work(*args, **kwargs)))

    def _require_open(self) -> None:
        if not self._open:
            raise BlobError(f"the write of blob {self._key} has ended")

    # --- in a thread ----------------------------------------------------------------------------------------------

    def _guarded(self, work: Callable[[], T]) -> T:
        with self._lock:
            self._require_open()
            try:
                with mapped("writing", self._key):
                    return work()
            except BaseException:
                self._discard()
                raise

    def _flush(self) -> Unfinished:
        """Bring all that was collected to the file."""
        if self._temp is None:
            self._temp = self._folder.begin(self._key)
        parts, self._parts, self._collected = self._parts, [], 0
        write_all(self._temp.fd, parts)
        return self._temp

    def _commit(self) -> None:
        self._folder.seal(self._flush())
        self._temp = None
        self._open = False

    def _abort(self) -> None:
        with self._lock:
            self._discard()

    def _discard(self) -> None:
        self._open = False
        self._parts, self._collected = [], 0
        if self._temp is not None:
            self._temp.discard()
            self._temp = None


def neighbours(
    spans: Sequence[tuple[int, int]], *, gap: int = GAP_BYTES, longest: int = PIECE_BYTES
) -> list[tuple[int, int, list[int]]]:
    """Reads as (start, end, places of the spans in it): spans with gaps of `gap` at most share one, of `longest`."""
    reads: list[tuple[int, int, list[int]]] = []
    start, end = 0, -1
    places: list[int] = []
    for place in sorted(range(len(spans)), key=spans.__getitem__):
        offset, length = spans[place]
        after = offset + length
        if places and offset <= end + gap and (after if after > end else end) - start <= longest:
            places.append(place)
            if after > end:
                end = after
            continue
        if places:
            reads.append((start, end, places))
        start, end, places = offset, after, [place]
    if places:
        reads.append((start, end, places))
    return reads
