"""Following a batch: its state and counts, its events, and its lines, each until there is news or it has ended."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchrouter.domain.batch import Event
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Clock
from batchrouter.ports.results import Pulse
from batchrouter.service.batches import Batches, BatchView, no_such_batch
from batchrouter.service.caller import Caller
from batchrouter.service.results import LineResults, ResultPage, Wanted
from batchrouter.service.watching import Watching

WAIT_MAX_S = 60
EVENTS_MAX = 100
VIEWS_KEPT = 256
FRESH_S = 1.0
"""A batch that many follow is read anew at most so often, while nothing happens to it."""


@dataclass(frozen=True, slots=True)
class EventPage:
    events: Sequence[Event]
    more: bool


class Following:
    def __init__(
        self,
        batches: Batches,
        results: LineResults,
        watching: Watching,
        catalog: Catalog,
        calls: Calls,
        clock: Clock,
    ) -> None:
        self._batches = batches
        self._results = results
        self._watching = watching
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._views: OrderedDict[tuple[str, str, Pulse], tuple[float, asyncio.Future[BatchView]]] = OrderedDict()

    # --- the batch ------------------------------------------------------------------------------------------------

    async def pulse(self, caller: Caller, batch_id: str) -> Pulse:
        """As it is now. 404 for a batch that is not the caller's."""
        await self._batches.get(caller, batch_id)
        pulse = await self._watching.look(batch_id)
        if pulse is None:
            raise no_such_batch(batch_id)
        return pulse

    async def batch(self, caller: Caller, batch_id: str, wait_s: float, *, final: bool) -> BatchView:
        """As soon as it is final or its state, counts or pause are others than at the time of the call; `final`: only
        when it is final. After `wait_s` as it is then."""
        until_s = self._clock.mono_s() + wait_s
        seen = await self.pulse(caller, batch_id)
        while not is_final(seen):
            left_s = until_s - self._clock.mono_s()
            pulse = await self._watching.changed(batch_id, seen, left_s) if left_s > 0 else seen
            if pulse is None or pulse == seen:
                break
            seen = pulse
            if not final:
                break
        return await self.view(caller, batch_id, seen)

    async def view(self, caller: Caller, batch_id: str, pulse: Pulse) -> BatchView:
        """The batch, not older than this pulse nor than `FRESH_S`: those who ask together share one read."""
        key, now_s = (caller.tenant_id, batch_id, pulse), self._clock.mono_s()
        known = self._views.get(key)
        if known is None or now_s - known[0] >= FRESH_S or _failed(known[1]):
            known = self._views[key] = now_s, asyncio.ensure_future(self._batches.get(caller, batch_id))
            self._views.move_to_end(key)
            while len(self._views) > VIEWS_KEPT:
                self._views.popitem(last=False)
        return await asyncio.shield(known[1])

    # --- its events -----------------------------------------------------------------------------------------------

    async def events(self, caller: Caller, batch_id: str, after: int, limit: int, wait_s: float) -> EventPage:
        """Events behind `after`; where there are none yet, as soon as there is one, or after `wait_s`. At once where
        the batch is final."""
        until_s = self._clock.mono_s() + wait_s
        seen = await self.pulse(caller, batch_id)
        while True:
            page = await self.told(batch_id, after, limit)
            left_s = until_s - self._clock.mono_s()
            if page.events or is_final(seen) or left_s <= 0:
                return page
            pulse = await self._watching.changed(batch_id, seen, left_s)
            if pulse is None or pulse == seen:
                return page
            seen = pulse

    async def told(self, batch_id: str, after: int, limit: int) -> EventPage:
        """Events behind `after`, as many as there are now."""
        found = await self._calls.read(self._catalog.events, batch_id, after, limit + 1)
        return EventPage(found[:limit], len(found) > limit)

    # --- its lines ------------------------------------------------------------------------------------------------

    async def lines(self, caller: Caller, batch_id: str, wanted: Wanted, wait_s: float) -> ResultPage:
        """A page; one without lines only when the batch is final and has no more, or after `wait_s`."""
        until_s = self._clock.mono_s() + wait_s
        start = wanted.after
        seen = await self.pulse(caller, batch_id) if wait_s > 0 else None
        while True:
            page = await self._results.page(caller, batch_id, wanted)
            left_s = until_s - self._clock.mono_s()
            if page.lines or page.all_told or left_s <= 0:
                return page
            wanted = replace(wanted, after=page.next)
            if not page.more:
                pulse = await self._watching.changed(batch_id, seen, left_s)
                if pulse is None or pulse == seen:
                    return page
                seen = pulse
                if start.order == "input":  # lines that were passed over may have an end by now
                    wanted = replace(wanted, after=start)


def is_final(pulse: Pulse) -> bool:
    return BatchState(pulse.state) in BATCH_FINAL


def _failed(future: asyncio.Future[BatchView]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
