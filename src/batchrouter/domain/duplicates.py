"""Find lines that repeat a `custom_id`, in bounded memory, in a file of any size.

Each id is kept as its 128-bit hash with the record's number, in one of 256 buckets. Equal ids always meet in the same
bucket, so the buckets can be looked through one at a time. Two different ids with one 128-bit hash are less likely
than a disk that lies, so no text needs to be read again.
"""

from __future__ import annotations

from typing import Protocol

BUCKETS = 256
MEMORY_LINES = 262_144


class Spill(Protocol):
    """Scratch space for bytes in `BUCKETS` numbered buckets, thrown away by its owner when the index is done."""

    def append(self, bucket: int, data: bytes) -> None:
        """Add bytes at the end of a bucket."""

    def read(self, bucket: int) -> bytes:
        """All bytes of a bucket in the order of their appending; empty if nothing was appended."""


class MemorySpill:
    """A `Spill` that keeps its buckets in memory: for small files and tests."""

    def append(self, bucket: int, data: bytes) -> None:
        raise NotImplementedError

    def read(self, bucket: int) -> bytes:
        raise NotImplementedError
