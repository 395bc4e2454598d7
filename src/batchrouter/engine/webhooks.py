"""Tells endpoints what has become of batches: deliveries that are due are taken from the store, signed and sent.

Any number of senders share the work: a delivery is one sender's for a minute, which is longer than an attempt can take.
A sender that dies has sent or not, and its deliveries are sent again: at least once, under the same id. Nobody waits
behind a slow receiver: each endpoint has a few attempts under way and no more, and so has each tenant.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from batchrouter.domain.webhook import (
    KEEP_MS,
    Answer,
    DeliveryEvent,
    Verdict,
    judged,
    payload_of,
    signed_headers,
)
from batchrouter.engine.fault import told
from batchrouter.errors import StoreError
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.meters import Meters, count
from batchrouter.ports.wake import Wake
from batchrouter.ports.webhooks import Parcel, Poster, WebhookLedger

log = logging.getLogger(__name__)

AT_ONCE = 256
OF_TENANT = 32
OF_ENDPOINT = 4
ENDPOINTS = 1_000
"""That one look sees."""
LEASE_MS = 60_000
FAULT_WAIT_S = 1.0
SWEEP_S = 3_600.0
OUTCOMES = {
    DeliveryEvent.DELIVER: "delivered",
    DeliveryEvent.RETRY: "failed",
    DeliveryEvent.GIVE_UP: "given_up",
}


class WebhookSender:
    """`run_once` may be called by hand (tests do); `start` and `stop` run it as a loop. `alone`: no other sender
    lives. `poll_s`: how often the store is looked at when no hint comes."""

    def __init__(
        self,
        ledger: WebhookLedger,
        calls: Calls,
        wake: Wake,
        clock: Clock,
        chance: Chance,
        poster: Poster,
        meters: Meters,
        *,
        alone: bool,
        poll_s: float,
    ) -> None:
        self.id = f"h-{chance.hex(16)}"
        self._ledger = ledger
        self._calls = calls
        self._wake = wake
        self._clock = clock
        self._chance = chance
        self._poster = poster
        self._meters = meters
        self._alone = alone
        self._poll_s = poll_s
        self._now = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._of_endpoint: Counter[str] = Counter()
        self._of_tenant: Counter[str] = Counter()
        self._swept_s = float("-inf")
        self._next_ms: int | None = None
        """When the next delivery is due that was not yet at the last look."""

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """What dead senders had under way is due at once where nobody else can have it."""
        if self._alone:
            await self._calls.write(self._ledger.free_deliveries, None, self._clock.unix_ms())
        self._loops = [
            asyncio.create_task(self._listen(), name="webhook hints"),
            asyncio.create_task(self._repeat(), name="webhooks"),
        ]

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, let attempts end for `grace_s`, and leave the others to whoever comes next."""
        await self._end(self._loops)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace_s)
        await self._end(self._under_way)
        try:
            await self._calls.write(self._ledger.free_deliveries, self.id, self._clock.unix_ms())
        except StoreError as error:  # they are free when their time is up
            log.warning("webhooks that were under way could not be given back: %s", error)

    async def aclose(self) -> None:
        """Stop at once; nothing is given back."""
        await self._end([*self._loops, *self._under_way])

    # --- the work ---------------------------------------------------------------------------------------------------

    async def run_once(self) -> int:
        """Send what is due, as much as may be at once, to its end; returns how many attempts were made."""
        tasks = await self.begin()
        await asyncio.gather(*tasks)
        return len(tasks)

    async def begin(self) -> list[asyncio.Task[None]]:
        """Take what is due and begin to send it."""
        now_ms = self._clock.unix_ms()
        full = {endpoint for endpoint, flying in self._of_endpoint.items() if flying >= OF_ENDPOINT}
        due = await self._calls.read(self._ledger.due_endpoints, ENDPOINTS, full)
        self._next_ms = next((each.next_ms for each in due if each.next_ms > now_ms), None)
        room, of_tenant, wants = AT_ONCE - len(self._under_way), Counter(self._of_tenant), {}
        for each in due:
            free = min(OF_ENDPOINT - self._of_endpoint[each.endpoint_id], OF_TENANT - of_tenant[each.tenant_id], room)
            if each.next_ms > now_ms or free <= 0:
                continue
            wants[each.endpoint_id] = free
            of_tenant[each.tenant_id] += free
            room -= free
        if not wants:
            return []
        until_ms = now_ms + LEASE_MS
        parcels = await self._calls.write(self._ledger.take_deliveries, self.id, wants, now_ms, until_ms)
        return [self._begin_one(parcel, until_ms) for parcel in parcels]

    async def sweep_once(self) -> int:
        """Forget old deliveries; returns how many."""
        gone = 0
        while some := await self._calls.write(self._ledger.sweep_deliveries, self._clock.unix_ms() - KEEP_MS):
            gone += some
        return gone

    def _begin_one(self, parcel: Parcel, until_ms: int) -> asyncio.Task[None]:
        endpoint = parcel.endpoint
        self._of_endpoint[endpoint.id] += 1
        self._of_tenant[endpoint.tenant_id] += 1
        task = asyncio.create_task(self._send(parcel, until_ms), name=f"webhook {parcel.delivery.id}")
        self._under_way.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            for flying, name in ((self._of_endpoint, endpoint.id), (self._of_tenant, endpoint.tenant_id)):
                flying[name] -= 1
                if not flying[name]:
                    del flying[name]
            self._now.set()  # there is room for the next

        task.add_done_callback(ended)
        return task

    async def _send(self, parcel: Parcel, until_ms: int) -> None:
        began_ms = self._clock.unix_ms()
        if began_ms >= until_ms:  # the process slept: it is somebody else's by now
            return
        try:
            answer = await self._post(parcel, began_ms)
            verdict = judged(answer, parcel.delivery, began_ms, self._clock.unix_ms(), self._chance.fraction())
            await self._settle(parcel, verdict, until_ms)
        except Exception as error:
            log.error("webhook %s: %s", parcel.delivery.id, told(error))

    async def _post(self, parcel: Parcel, now_ms: int) -> Answer:
        body = payload_of(parcel.delivery)
        try:
            headers = signed_headers(parcel.delivery.id, now_ms // 1000, body, parcel.endpoint.secrets(now_ms))
        except ValueError:
            return Answer(status=None, error="the endpoint's secret cannot be used: give it a new one")
        return await self._poster.post(parcel.endpoint.url, headers, body)

    async def _settle(self, parcel: Parcel, verdict: Verdict, until_ms: int) -> None:
        delivery, attempt = parcel.delivery, verdict.attempt
        while True:
            try:
                await self._calls.write(self._ledger.settle_delivery, self.id, delivery, verdict)
                break
            except StoreError as error:
                if self._clock.unix_ms() >= until_ms:  # it is sent again, by whoever takes it
                    log.error("what became of webhook %s could not be written: %s", delivery.id, error)
                    return
            await self._clock.sleep(FAULT_WAIT_S)
        count(self._meters.webhooks, OUTCOMES[verdict.event])
        if verdict.disable is not None:
            log.warning("webhook endpoint %s is disabled: %s", delivery.endpoint_id, verdict.disable)
        elif verdict.event is DeliveryEvent.GIVE_UP:
            log.warning("webhook %s is given up after %d attempts", delivery.id, delivery.attempts + 1)
        elif verdict.event is DeliveryEvent.RETRY:
            log.info("webhook %s failed: %s", delivery.id, attempt.error)

    # --- the loops --------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            if await self._wake.wait(60.0):
                self._now.set()

    async def _repeat(self) -> None:
        """Look, then wait for a hint, for what is due next, or for the poll. A fault is told and never ends it."""
        while True:
            self._now.clear()
            try:
                await self.begin()
                if self._clock.mono_s() - self._swept_s >= SWEEP_S:
                    self._swept_s = self._clock.mono_s()
                    await self.sweep_once()
            except Exception as error:
                log.error("webhooks: %s", told(error))
                await self._clock.sleep(FAULT_WAIT_S)
            wait_s = self._poll_s
            if self._next_ms is not None:
                wait_s = min(wait_s, max(0.0, (self._next_ms - self._clock.unix_ms()) / 1000))
            timer = self._clock.call_at(self._clock.mono_s() + wait_s, self._now.set)
            try:
                await self._now.wait()
            finally:
                timer.cancel()

    async def _end(self, tasks: list[asyncio.Task[None]] | set[asyncio.Task[None]]) -> None:
        ending = list(tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
