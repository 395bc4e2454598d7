"""Batches that people steer while they run, and after they ended."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BATCH_PAUSABLE
from batchrouter.errors import ApiError
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Clock
from batchrouter.ports.wake import Wake
from batchrouter.service import asked
from batchrouter.service.batches import NO_RETRY, Batches, BatchView, no_such_batch
from batchrouter.service.caller import Caller


class Steering:
    def __init__(self, catalog: Catalog, calls: Calls, clock: Clock, wake: Wake, batches: Batches) -> None:
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._wake = wake
        self._batches = batches

    async def pause(self, caller: Caller, batch_id: str) -> BatchView:
        """Nothing more of it is sent; what is under way ends and counts. A repeat changes nothing."""
        return await self._set_paused(caller, batch_id, paused=True)

    async def resume(self, caller: Caller, batch_id: str) -> BatchView:
        """It goes on. One that is not paused is returned as it is."""
        return await self._set_paused(caller, batch_id, paused=False)

    async def _set_paused(self, caller: Caller, batch_id: str, *, paused: bool) -> BatchView:
        if not asked.is_id(batch_id):
            raise no_such_batch(batch_id)
        now_ms = self._clock.unix_ms()
        batch = await self._calls.write(self._catalog.pause_batch, caller.tenant_id, batch_id, now_ms, paused=paused)
        if batch is None:
            raise no_such_batch(batch_id)
        if batch.state not in BATCH_PAUSABLE:
            verb = "pause" if paused else "resume"
            raise ApiError(409, f"Cannot {verb} a batch with status '{batch.state}'.", headers=NO_RETRY)
        self._wake.hint()
        return await self._batches.get(caller, batch_id)
