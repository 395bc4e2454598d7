"""Offering a segment to the store, from memory or from the spill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from batchrouter.domain.shard import SegmentDraft, Settled
from batchrouter.engine.draft import Draft
from batchrouter.errors import SpillError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.meters import Meters
from batchrouter.ports.spill import Kept, Spill

log = logging.getLogger(__name__)

REWRITE_MS = 6 * 3_600_000
"""A segment that has no row for so long is written again: after a day the sweeper takes it for what a crash left."""


class Offering:
    """One worker's. Whatever the store or the blobs raise comes through; then the same draft may be offered again."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        spill: Spill | None,
        clock: Clock,
        worker: str,
        meters: Meters,
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._spill = spill
        self._clock = clock
        self._worker = worker
        self._meters = meters
        self._loading = asyncio.Lock()
        """What the spill has is in memory one segment at a time, for its part of the budget was given back."""

    async def offer(self, draft: Draft) -> Settled:
        """Bytes first, then the row."""
        began_s = self._clock.mono_s()
        try:
            settled = await self._offer(draft)
        except Exception as error:
            self._meters.flush_failed(error)
            raise
        self._meters.flush_s.add(self._clock.mono_s() - began_s)
        return settled

    async def _offer(self, draft: Draft) -> Settled:
        if draft.name is None:
            assert draft.segment is not None
            return await self._settle(draft, draft.segment, tuple(draft.parts))  # it may be let go meanwhile
        assert self._spill is not None
        async with self._loading:
            kept = await self._spill.load(draft.name)
            settled = await self._settle(draft, segment_of(kept), (kept.body,))
        await self.forget(draft)
        return settled

    async def keep(self, draft: Draft) -> int:
        """Into the spill, unless it is there or needs not be; returns the bytes of the budget that are free now. Gaps
        are made anew by whoever closes their batch. Raises `SpillError`."""
        segment = draft.segment
        if self._spill is None or segment is None or segment.duty_epoch is not None:
            return 0
        return draft.let_go(await self._spill.keep(self._worker, segment, tuple(draft.parts)))

    async def forget(self, draft: Draft) -> None:
        """It is settled, or counts no more. What cannot be removed now is told and removed by the next process."""
        if self._spill is not None and draft.name is not None:
            try:
                await self._spill.drop(draft.name)
            except SpillError as error:
                log.warning("%s", error)

    async def _settle(self, draft: Draft, segment: SegmentDraft, parts: Sequence[bytes]) -> Settled:
        now_ms = self._clock.unix_ms()
        if segment.blob_key is not None and (
            draft.written_ms is None or not 0 <= now_ms - draft.written_ms < REWRITE_MS
        ):
            await self._blobs.put(segment.blob_key, parts)
            draft.written_ms = now_ms
        settled = await self._calls.write(self._ledger.settle, self._worker, segment, self._clock.unix_ms())
        self._meters.settled(segment, settled)
        self._meters.flush_bytes.add(segment.length)
        return settled


def segment_of(kept: Kept) -> SegmentDraft:
    """As it is settled: small ones are their own bytes."""
    return kept.draft if kept.draft.blob_key is not None else replace(kept.draft, data=kept.body)
