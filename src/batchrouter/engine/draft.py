"""A segment in the making: the finished lines of one batch that become durable together."""

from __future__ import annotations

import asyncio
import struct

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.outcome import RECORD, tail
from batchrouter.domain.shard import SegmentDraft
from batchrouter.engine.line_end import Fields


class Draft:
    """`taken` is what its lines hold of the budget; `waiters` wait until it is settled. Once it is `cut` nothing is
    added any more; `name` is what the spill knows it by, when its bytes are there and no longer here."""

    __slots__ = (
        "bytes",
        "cost_nano",
        "costs",
        "count",
        "model",
        "name",
        "parts",
        "records",
        "segment",
        "taken",
        "waiters",
        "written_ms",
    )

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.records = bytearray()
        self.costs: list[int] = []
        """As many as records, or none while all are unknown."""
        self.cost_nano = 0
        """Of those whose price is known."""
        self.bytes = 0
        self.count = 0
        self.taken = 0
        self.model: str | None = None
        self.waiters: list[asyncio.Future[None]] = []
        self.segment: SegmentDraft | None = None
        self.name: str | None = None
        self.written_ms: int | None = None

    def add(self, text: bytes, fields: Fields, taken: int, model: str | None, cost_nano: int) -> None:
        size = len(text)
        self.records += RECORD.pack(*fields, self.bytes, size)  # first: a number that does not fit changes nothing
        self.parts.append(text)
        if self.costs:
            self.costs.append(cost_nano)
        elif cost_nano >= 0:
            self.costs = [UNKNOWN] * self.count + [cost_nano]
        if cost_nano > 0:
            self.cost_nano += cost_nano
        self.bytes += size
        self.count += 1
        self.taken += taken
        if model is not None:
            self.model = model

    def cut(self, batch_id: str, duty_epoch: int | None, inline_bytes: int, key: str) -> None:
        """It becomes a segment: one that goes into its database row, or the blob `key`."""
        records, end = bytes(self.records), tail(self.count)
        self.parts += (records, end)
        length = self.bytes + len(records) + len(end)
        inline = length <= inline_bytes
        self.segment = SegmentDraft(
            batch_id=batch_id,
            length=length,
            records=records,
            blob_key=None if inline else key,
            data=b"".join(self.parts) if inline else None,
            duty_epoch=duty_epoch,
            model=self.model,
            costs=struct.pack(f"<{self.count}q", *self.costs) if self.costs else b"",
        )

    def let_go(self, name: str) -> int:
        """The spill has it as `name`. Returns what it held of the budget."""
        taken, self.taken = self.taken, 0
        self.name = name
        self.segment = None
        self.parts.clear()
        self.records.clear()
        self.costs.clear()
        return taken

    def done(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
