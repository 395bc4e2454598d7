"""Bytes of any length that come in pieces: in memory while they are few, beyond that in a file that has no name."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator

MEMORY_BYTES = 1_048_576
PIECE_BYTES = 262_144


class Spool:
    """Append with `write`, read anywhere at any time. The file goes with the last reference to it, or the process."""

    def __init__(self, content: bytes = b"") -> None:
        self._memory = bytearray(content)
        self._fd: int | None = None
        self._length = len(content)
        if self._length > MEMORY_BYTES:
            self._move()

    def __len__(self) -> int:
        return self._length

    @property
    def on_disk(self) -> bool:
        return self._fd is not None

    def write(self, data: bytes) -> None:
        """Raises OSError when the disk is full."""
        if self._fd is None:
            self._memory += data
            if len(self._memory) > MEMORY_BYTES:
                self._move()
        else:
            self._append(memoryview(data), self._length)
        self._length += len(data)

    def read(self, start: int, size: int) -> bytes:
        """What is there of it: less than `size` only at the end."""
        if self._fd is None:
            return bytes(memoryview(self._memory)[start : start + size])
        pieces = []
        while size > 0 and (piece := os.pread(self._fd, size, start)):
            pieces.append(piece)
            start += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _move(self) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            self._fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._fd)
        content, self._memory = self._memory, bytearray()
        self._append(memoryview(content), 0)

    def _append(self, data: memoryview, at: int) -> None:
        assert self._fd is not None
        while data:
            written = os.pwrite(self._fd, data, at)
            at += written
            data = data[written:]


class Part:
    """A stretch of a spool that will not change any more."""

    __slots__ = ("_spool", "_start", "length")

    def __init__(self, spool: Spool, start: int = 0, length: int | None = None) -> None:
        self._spool = spool
        self._start = start
        self.length = len(spool) - start if length is None else length

    def part(self, start: int, length: int | None = None) -> Part:
        """A stretch of this one; as far as its end when no length is given."""
        rest = self.length - start
        return Part(self._spool, self._start + start, rest if length is None else min(length, rest))

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """All from `start`, or `size` bytes of it as far as there are so many."""
        rest = max(0, self.length - start)
        return self._spool.read(self._start + start, rest if size is None else min(size, rest))

    def find(self, needle: bytes, start: int = 0) -> int:
        """Where the needle first stands from `start` on; -1: nowhere. Holds one piece at a time."""
        overlap = len(needle) - 1
        at = start
        while at < self.length:
            found = self.read(at, PIECE_BYTES + overlap).find(needle)
            if found >= 0:
                return at + found
            at += PIECE_BYTES
        return -1

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, self.length, PIECE_BYTES):
            yield self.read(at, PIECE_BYTES)
