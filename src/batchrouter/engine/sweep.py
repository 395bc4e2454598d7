"""Retention: what is past its time goes, bytes an hour after their row, so that no running download is cut."""

from __future__ import annotations

import logging

from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

ORPHAN_AGE_MS = 24 * 3_600_000
"""Blobs that no row names are what a crash left between bytes and row. A day, because the slowest upload is shorter."""
ORPHANS_EVERY_MS = 3_600_000


class Sweeper:
    def __init__(self, ledger: Ledger, calls: Calls, blobs: Blobs, clock: Clock, linger_ms: int) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._linger_ms = linger_ms

    async def run_once(self, *, orphans: bool = True) -> int:
        """Delete what is due; returns how many blobs went. `orphans`: also look through all blobs for those that nobody
        names, which a bucket is asked for page by page."""
        gone = 0
        while keys := await self._calls.write(self._ledger.sweep, self._clock.unix_ms(), self._linger_ms):
            await self._blobs.delete(keys)
            await self._calls.write(self._ledger.forget, keys)
            gone += len(keys)
        aged = await self._blobs.aged(self._clock.unix_ms() - ORPHAN_AGE_MS) if orphans else []
        if aged:
            known = await self._calls.read(self._ledger.known, aged)
            lost = [key for key in aged if key not in known]
            await self._blobs.delete(lost)
            gone += len(lost)
        if gone:
            log.info("swept %d blobs", gone)
        return gone
