"""Two senders, each with a store of its own on one database: each delivery is sent once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.threads import Threads
from batchrouter.adapters.wake import LocalWake
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.webhook import USUAL_EVENTS, Answer, DeliveryState, Endpoint, secret_of
from batchrouter.engine.webhooks import WebhookSender
from batchrouter.ports.meters import Meters
from tests.conformance.scene import START_MS, TENANT
from tests.integration.sql.postgres.interloper import Pair

ENDPOINTS, BATCHES = 5, 30


class Receiver:
    def __init__(self) -> None:
        self.got: Counter[str] = Counter()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.got[headers["webhook-id"]] += 1
        await asyncio.sleep(0)
        return Answer(status=200, error=None)


def test_two_workers_send_each_delivery_once(pair: Pair) -> None:
    """Both take all the time, and neither takes what the other has."""
    scene, stores = pair.first, (pair.first.store, pair.other.store)
    worker = scene.worker()
    for number in range(ENDPOINTS):
        made = Endpoint(
            id=f"we_{number}", tenant_id=TENANT, url="https://example.com", events=USUAL_EVENTS, description="",
            secret=secret_of(b"s" * 32), created_ms=START_MS,
        )  # fmt: skip
        assert stores[0].webhooks.add_endpoint(made, ENDPOINTS)
    for number in range(BATCHES):
        scene.create(f"batch_{number}")
        scene.end(worker, f"batch_{number}", BatchEvent.CANCEL)
    receiver = Receiver()

    async def drain(sender: WebhookSender) -> int:
        total = 0
        while done := await sender.run_once():
            total += done
        return total

    async def go() -> list[int]:
        threads = [Threads(readers=1) for _ in range(2)]
        senders = [
            WebhookSender(
                store.webhook_ledger, calls, LocalWake(), StepClock(scene.now), RealChance(), receiver, Meters(),
                alone=False, poll_s=1.0,
            )
            for store, calls in zip(stores, threads, strict=True)
        ]  # fmt: skip
        done = await asyncio.gather(*map(drain, senders))
        for calls in threads:
            calls.close()
        return done

    done = asyncio.run(go())
    assert set(receiver.got.values()) == {1}
    assert len(receiver.got) == sum(done) == ENDPOINTS * BATCHES
    assert min(done) > 0
    for number in range(ENDPOINTS):
        page = stores[0].webhooks.deliveries(f"we_{number}", after=None, limit=1000)
        assert page is not None
        assert {(each.state, each.attempts) for each in page.rows} == {(DeliveryState.DELIVERED, 1)}
