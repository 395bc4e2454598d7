"""Blobs in memory: the double, under the same suite as the folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from batchrouter.adapters.blobs.keys import check_span, checked
from batchrouter.errors import BlobError, BlobFull, BlobMissing
from batchrouter.ports.blobs import BlobWriter
from batchrouter.ports.clock import Clock

PIECE_BYTES = 1024 * 1024
AGED_MAX = 1000


class MemoryBlobs:
    """`ports.blobs.Blobs`. `room_bytes`: what all blobs and unfinished writes may take together; None: no bound."""

    def __init__(self, clock: Clock, room_bytes: int | None = None) -> None:
        self._clock = clock
        self._room_bytes = room_bytes
        self._blobs: dict[str, tuple[bytes, int]] = {}
        self._unfinished_bytes = 0

    async def create(self, key: str) -> BlobWriter:
        return _MemoryWriter(self, checked(key))

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        data = b"".join(parts)
        self.take_room(len(data))
        self.give_room(len(data))
        self.store(checked(key), data)

    async def read(self, key: str, offset: int, length: int) -> bytes:
        check_span(offset, length)
        return self._data(key)[offset : offset + length]

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return [await self.read(key, offset, length) for offset, length in spans] if spans else self._none(key)

    async def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        check_span(offset, length)
        data = self._data(key)
        end = min(offset + length, len(data))
        for start in range(offset, end, PIECE_BYTES):
            yield data[start : min(start + PIECE_BYTES, end)]

    async def size(self, key: str) -> int:
        return len(self._data(key))

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._blobs.pop(checked(key), None)

    async def aged(self, older_than_ms: int) -> list[str]:
        return sorted(key for key, (_, at_ms) in self._blobs.items() if at_ms < older_than_ms)[:AGED_MAX]

    def take_room(self, size: int) -> None:
        used = sum(len(data) for data, _ in self._blobs.values()) + self._unfinished_bytes
        if self._room_bytes is not None and used + size > self._room_bytes:
            raise BlobFull(f"no room for {size} bytes: {used} of {self._room_bytes} are taken; delete files first")
        self._unfinished_bytes += size

    def give_room(self, size: int) -> None:
        self._unfinished_bytes -= size

    def store(self, key: str, data: bytes) -> None:
        self._blobs[key] = (data, self._clock.unix_ms())

    def _data(self, key: str) -> bytes:
        try:
            return self._blobs[checked(key)][0]
        except KeyError:
            raise BlobMissing(f"there is no blob {key}") from None

    def _none(self, key: str) -> list[bytes]:
        self._data(key)
        return []


class _MemoryWriter:
    def __init__(self, blobs: MemoryBlobs, key: str) -> None:
        self._blobs = blobs
        self._key = key
        self._data = bytearray()
        self._open = True

    async def write(self, data: bytes) -> None:
        self._require_open()
        try:
            self._blobs.take_room(len(data))
        except BlobFull:
            await self.abort()
            raise
        self._data += data

    async def commit(self) -> None:
        self._require_open()
        data = bytes(self._data)
        await self.abort()
        self._blobs.store(self._key, data)

    async def abort(self) -> None:
        if self._open:
            self._open = False
            self._blobs.give_room(len(self._data))
            self._data.clear()

    def _require_open(self) -> None:
        if not self._open:
            raise BlobError(f"the write of blob {self._key} has ended")
