"""Find lines that repeat a `custom_id`, in bounded memory, in a file of any size.

Each id is kept as its 128-bit hash with a tag of the caller's, in one of 256 buckets. Equal ids always meet in the
same bucket, so that the buckets can be looked through one at a time, and they are in file order there, so that the
first of them is the one that stays. Among five million different ids two share a 128-bit hash with a probability of
about 10^-26; so no text is read a second time, and an input can be indexed while it is still on its way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

BUCKETS = 256
MEMORY_LINES = 262_144

_ENTRY = struct.Struct("<16sQ")


class Spill(Protocol):
    """Scratch space for bytes in `BUCKETS` numbered buckets; whoever made it throws it away when the index is done."""

    def append(self, bucket: int, data: bytes) -> None:
        """Add bytes at the end of a bucket."""
        ...

    def read(self, bucket: int) -> bytes:
        """All bytes of a bucket in the order of their appending; empty if nothing was appended."""
        ...


class MemorySpill:
    """A `Spill` that keeps its buckets in memory, for inputs whose size is bounded anyhow."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytearray] = {}

    def append(self, bucket: int, data: bytes) -> None:
        self._buckets.setdefault(bucket, bytearray()).extend(data)

    def read(self, bucket: int) -> bytes:
        return bytes(self._buckets.get(bucket, b""))


class DuplicateFinder:
    """Remembers every id; tells at the end which of them were there before."""

    def __init__(self, spill: Spill, memory_lines: int = MEMORY_LINES) -> None:
        self._spill = spill
        self._memory_lines = memory_lines
        self._held = 0
        self._buckets = [bytearray() for _ in range(BUCKETS)]

    def add(self, custom_id: bytes, digest: bytes, tag: int) -> None:
        """`digest` is the 16-byte hash of the id's text; `tag` (64 bits) is given back if the id is a repeat."""
        # Python's own hash is keyed anew in each process, so nobody can aim a file's ids at one bucket.
        self._buckets[hash(custom_id) % BUCKETS] += _ENTRY.pack(digest, tag)
        self._held += 1
        if self._held >= self._memory_lines:
            self._flush()

    def _flush(self) -> None:
        for bucket, held in enumerate(self._buckets):
            if held:
                self._spill.append(bucket, bytes(held))
                held.clear()
        self._held = 0

    def repeats(self) -> Iterator[int]:
        """The tags of all ids that were added before, grouped by bucket."""
        for bucket, held in enumerate(self._buckets):
            seen: set[bytes] = set()
            for digest, tag in _ENTRY.iter_unpack(self._spill.read(bucket) + held):
                if digest in seen:
                    yield tag
                seen.add(digest)
