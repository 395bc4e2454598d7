"""A spill in memory: it outlives the processes that open it, as a folder does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchrouter.domain.outcome import TAIL_SIZE, records_span
from batchrouter.domain.shard import SegmentDraft
from batchrouter.errors import SpillError
from batchrouter.ports.spill import Kept


class MemorySpillPlace:
    """`limit_bytes` bounds the segments of all processes together."""

    def __init__(self, limit_bytes: int = 1 << 30) -> None:
        self.limit_bytes = limit_bytes
        self.kept: dict[str, Kept] = {}
        self.owners: dict[str, MemorySpill | None] = {}
        self._number = 0

    def open(self) -> MemorySpill:
        return MemorySpill(self)

    def next_name(self) -> str:
        self._number += 1
        return f"kept-{self._number:08d}"


class MemorySpill:
    """`ports.spill.Spill` of one process."""

    def __init__(self, place: MemorySpillPlace) -> None:
        self._place = place

    async def keep(self, worker: str, draft: SegmentDraft, parts: Sequence[bytes]) -> str:
        place, body = self._place, b"".join(parts)
        if sum(len(each.body) for each in place.kept.values()) + len(body) > place.limit_bytes:
            raise SpillError(f"the spill is full: it may hold {place.limit_bytes} bytes")
        name = place.next_name()
        offset, length = records_span(len(body), body[-TAIL_SIZE:])
        records = body[offset : offset + length]
        place.kept[name] = Kept(worker, replace(draft, data=None, duty_epoch=None, records=records), body)
        place.owners[name] = self
        return name

    async def load(self, name: str) -> Kept:
        kept = self._place.kept.get(name)
        if kept is None:
            raise SpillError(f"{name} is not in the spill")
        return kept

    async def drop(self, name: str) -> None:
        self._place.kept.pop(name, None)
        self._place.owners.pop(name, None)

    async def left_behind(self) -> list[str]:
        owners = self._place.owners
        names = [name for name, owner in owners.items() if owner is None]
        owners.update(dict.fromkeys(names, self))
        return names

    def close(self) -> None:
        """The process has ended: what it kept is the next one's."""
        owners = self._place.owners
        owners.update({name: None for name, owner in owners.items() if owner is self})
