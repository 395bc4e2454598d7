"""Waiting until something happens to a batch: one poll of the store for all who wait in this process.

Whoever waits holds a future and nothing else: no thread, no connection, no transaction. While anybody waits, all the
batches that are waited for are looked at in one short read every `POLL_S`, and each waiter hears when its batch's pulse
is another than the one it knows. Not by hints (`ports.wake`): those are for whoever works, and one that is taken here
would be missing there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from batchrouter.errors import StoreError
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.results import Pulse, Results

log = logging.getLogger(__name__)

POLL_S = 0.5
WAITERS_MAX = 2_000
BATCHES_PER_READ = 500


class _Waiter:
    __slots__ = ("batch_id", "future", "seen")

    def __init__(self, batch_id: str, seen: Pulse | None) -> None:
        self.batch_id = batch_id
        self.seen = seen
        self.future: asyncio.Future[Pulse | None] = asyncio.get_running_loop().create_future()

    def tell(self, pulse: Pulse | None) -> None:
        if not self.future.done():
            self.future.set_result(pulse)


class Watching:
    """`stop` ends all waiting for good."""

    def __init__(self, store: Results, calls: Calls, clock: Clock) -> None:
        self._store = store
        self._calls = calls
        self._clock = clock
        self._waiters: set[_Waiter] = set()
        self._poll: asyncio.Task[None] | None = None
        self._stopped = False

    async def look(self, batch_id: str) -> Pulse | None:
        """As it is now. None: there is no such batch."""
        return (await self._calls.read(self._store.pulses, [batch_id])).get(batch_id)

    async def changed(self, batch_id: str, seen: Pulse | None, timeout_s: float) -> Pulse | None:
        """The batch's pulse once it is another than `seen`; `seen` itself when `timeout_s` are over. None: nobody may
        wait here any more, since the server stops or too many wait already."""
        if self._stopped or len(self._waiters) >= WAITERS_MAX:
            return None
        waiter = _Waiter(batch_id, seen)
        timer = self._clock.call_at(self._clock.mono_s() + timeout_s, _at_once(waiter, seen))
        self._waiters.add(waiter)
        if self._poll is None:
            self._poll = asyncio.create_task(self._look_while_anybody_waits(), name="watching")
        try:
            return await waiter.future
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def stop(self) -> None:
        """From the loop on which others wait. A repeat changes nothing."""
        self._stopped = True
        for waiter in self._waiters:
            waiter.tell(None)
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def _look_while_anybody_waits(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            if not self._waiters:
                self._poll = None
                return
            try:
                await self._look_at_all()
            except StoreError as error:  # whoever waits long enough hears of it by his own read
                log.info("batches that are waited for could not be looked at: %s", error)

    async def _look_at_all(self) -> None:
        by_batch: dict[str, list[_Waiter]] = {}
        for waiter in self._waiters:
            by_batch.setdefault(waiter.batch_id, []).append(waiter)
        ids = list(by_batch)
        for at in range(0, len(ids), BATCHES_PER_READ):
            some = ids[at : at + BATCHES_PER_READ]
            pulses = await self._calls.read(self._store.pulses, some)
            for batch_id in some:
                for waiter in by_batch[batch_id]:
                    if (pulse := pulses.get(batch_id)) != waiter.seen:
                        waiter.tell(pulse)


def _at_once(waiter: _Waiter, pulse: Pulse | None) -> Callable[[], None]:
    return lambda: waiter.tell(pulse)
