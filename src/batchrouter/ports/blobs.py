"""Blobs: immutable bytes under a key. Keys are `/`-separated ASCII words made by us, never by people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class BlobWriter(Protocol):
    """One blob being written. Nothing is visible before `commit`; an abandoned writer leaves nothing behind."""

    async def write(self, data: bytes) -> None:
        """Append. Raises `BlobFull` when no room is left; the writer is then aborted."""
        ...

    async def commit(self) -> None:
        """Make the blob durable and visible, atomically: after a crash it is there whole, or not at all."""
        ...

    async def abort(self) -> None:
        """Forget what was written. Harmless after `commit` or `abort`."""
        ...


class Blobs(Protocol):
    async def create(self, key: str) -> BlobWriter:
        """Begin a blob. A key is used once; committing to a key that exists replaces it."""
        ...

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        """Write a whole small blob, durable when this returns."""
        ...

    async def read(self, key: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end. Raises `BlobMissing`."""
        ...

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (offset, length), in order; neighbouring spans cost one read. Raises `BlobMissing`."""
        ...

    def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        """The same bytes as `read`, in pieces of bounded size. A blob deleted or replaced meanwhile is told whole, or
        ends with `BlobError`: a bucket is asked piece by piece."""
        ...

    async def size(self, key: str) -> int:
        """Raises `BlobMissing`."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Keys that are not there are skipped."""
        ...

    async def aged(self, older_than_ms: int) -> list[str]:
        """Keys of all blobs and unfinished writes last touched before that time: only to find garbage, never truth.
        At most 1,000 of them."""
        ...
