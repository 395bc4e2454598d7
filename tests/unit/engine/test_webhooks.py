"""The sender of webhooks, over the store in memory, with a receiver that the test plays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import openai
import pytest
from openai.types.webhooks import BatchCancelledWebhookEvent

from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.memory.clock import FixedChance, StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.adapters.wake import LocalWake
from batchrouter.domain.webhook import (
    EVENTS,
    KEEP_MS,
    WINDOW_MS,
    Answer,
    Delivery,
    DeliveryState,
    Endpoint,
    secret_of,
)
from batchrouter.engine.webhooks import AT_ONCE, LEASE_MS, OF_ENDPOINT, OF_TENANT, WebhookSender
from batchrouter.errors import StoreError
from batchrouter.ports.meters import Meters
from tests.conformance.scene import REFUSAL, START_MS, TENANT, Scene

OK = Answer(status=200, error=None)
SECRET = secret_of(b"s" * 32)


@dataclass
class Receiver:
    """`ports.webhooks.Poster`. Answers each url in turn, the last answer from then on; one that is held never answers
    until it is let go."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.got.append((url, headers, body))
        if url in self.held:
            await self.held[url].wait()
        answers = self.answers.get(url, [OK])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def ids(self, url: str) -> list[str]:
        return [headers["webhook-id"] for each, headers, _ in self.got if each == url]


class House:
    """A store with one ended batch after the other, and senders on it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.scene = Scene(self.store)
        self.worker = self.scene.worker()
        self.clock = StepClock(START_MS)
        self.receiver = Receiver()
        self.meters = Meters()
        self.wake = LocalWake()
        self.made = 0

    def sender(self, *, alone: bool = True, chance: int = 0, **changes: Any) -> WebhookSender:
        parts = {"ledger": self.store.webhook_ledger, "poster": self.receiver, "poll_s": 1.0} | changes
        drawn = FixedChance()
        for _ in range(chance):
            drawn.hex(1)
        return WebhookSender(
            parts["ledger"], InlineCalls(), self.wake, self.clock, drawn, parts["poster"], self.meters,
            alone=alone, poll_s=parts["poll_s"],
        )  # fmt: skip

    def endpoint(self, name: str, **changes: Any) -> Endpoint:
        made = Endpoint(
            id=f"we_{name}", tenant_id=TENANT, url=f"https://{name}.example", events=EVENTS, description="",
            secret=SECRET, created_ms=START_MS,
        )  # fmt: skip
        made = replace(made, **changes)
        assert self.store.webhooks.add_endpoint(made, 1000)
        return made

    def end(self, **changes: Any) -> str:
        """A batch that was cancelled before it was planned: one event that can be told."""
        self.made += 1
        self.scene.now = self.clock.unix_ms()
        self.scene.worker(self.worker)
        name = f"batch_{self.made}"
        self.scene.create(name, **changes)
        self.store.catalog.cancel_batch(changes.get("tenant_id", TENANT), name, self.scene.now)
        duty = self.scene.duty(self.worker, name)
        assert self.store.ledger.plan(self.worker, duty, REFUSAL, self.scene.now)
        duty = self.scene.duty(self.worker, name)
        self.store.ledger.seal(self.worker, duty)
        assert self.store.ledger.finish(self.worker, duty, None, None, self.scene.now)
        return name

    def log(self, endpoint: Endpoint) -> tuple[Delivery, ...]:
        page = self.store.webhooks.deliveries(endpoint.id, after=None, limit=100_000)
        assert page is not None
        return page.rows


@pytest.fixture
def house() -> House:
    return House()


def test_what_is_told_is_verified_by_openais_client_with_each_secret_that_is_good(house: House) -> None:
    """The former one to its end, and then no more."""
    house.clock.skew_wall(round(time.time() * 1000) - START_MS)  # the client compares with the real time
    old = secret_of(b"o" * 32)
    one = house.endpoint("a", former_secret=old, former_until_ms=house.clock.unix_ms() + 1000)
    for good in ((SECRET, old), (SECRET,)):
        batch = house.end()
        assert asyncio.run(house.sender().run_once()) == 1
        _, headers, body = house.receiver.got[-1]
        for secret in good:
            told = openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(body, headers)
            assert isinstance(told, BatchCancelledWebhookEvent)
            assert told.data.id == batch
        house.clock.advance(1)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        openai.OpenAI(api_key="x", webhook_secret=old).webhooks.unwrap(body, headers)
    assert [each.state for each in house.log(one)] == [DeliveryState.DELIVERED] * 2
    assert house.meters.webhooks == {"delivered": 2}


def test_a_receiver_that_fails_is_asked_again_under_the_same_id(house: House) -> None:
    """On the schedule, with a new time and signature each time, until it takes it."""
    one = house.endpoint("a")
    house.receiver.answers[one.url] = [Answer(status=500, error=None), Answer(status=None, error="gone"), OK]
    house.end()
    sender = house.sender()

    async def three() -> list[int]:
        done = []
        for wait_s in (0, 4, 2, 290, 50):
            house.clock.advance(wait_s)
            done.append(await sender.run_once())
        return done

    assert asyncio.run(three()) == [1, 0, 1, 0, 1]
    assert len(set(house.receiver.ids(one.url))) == 1
    signed = [(headers["webhook-timestamp"], headers["webhook-signature"]) for _, headers, _ in house.receiver.got]
    assert len(set(signed)) == 3
    assert len({body for _, _, body in house.receiver.got}) == 1
    (delivery,) = house.log(one)
    assert [(each.status, each.error) for each in delivery.log] == [
        (500, "the receiver answered 500"), (None, "gone"), (200, None)
    ]  # fmt: skip
    assert house.meters.webhooks == {"failed": 2, "delivered": 1}


def test_a_receiver_that_never_takes_it_is_given_up_after_72_hours(house: House) -> None:
    """Ten attempts."""
    one = house.endpoint("a")
    house.receiver.answers[one.url] = [Answer(status=500, error=None)]
    house.end()

    async def days() -> None:
        sender = house.sender()
        while house.log(one)[0].state is DeliveryState.WAITING:
            assert await sender.run_once() == 1
            house.clock.advance(max(0, house.log(one)[0].next_ms - house.clock.unix_ms()) / 1000)

    asyncio.run(days())
    (delivery,) = house.log(one)
    assert (delivery.state, delivery.attempts) == (DeliveryState.FAILED, 10)
    assert delivery.ended_ms == START_MS + WINDOW_MS
    assert house.meters.webhooks == {"failed": 9, "given_up": 1}


def test_a_410_disables_the_endpoint(house: House) -> None:
    """Nothing more is sent, and the reason is told."""
    one = house.endpoint("a")
    house.receiver.answers[one.url] = [Answer(status=410, error=None)]
    for _ in range(OF_ENDPOINT + 2):
        house.end()
    sender = house.sender()

    async def twice() -> int:
        await sender.run_once()
        return await sender.run_once()

    assert asyncio.run(twice()) == 0
    found = house.store.webhooks.endpoint(TENANT, one.id)
    assert found is not None
    assert (found.enabled, found.disabled_reason is None) == (False, False)
    assert {each.state for each in house.log(one)} == {DeliveryState.FAILED, DeliveryState.ENDED}


def test_a_dead_endpoint_holds_up_no_other(house: House) -> None:
    """Of ten thousand deliveries that nobody takes, few are under way; another endpoint's go at once, again and
    again."""
    dead, well = house.endpoint("dead"), house.endpoint("well")
    asleep = replace(well, enabled=False)
    assert house.store.webhooks.change_endpoint(well, asleep, START_MS)
    house.end()
    (first,) = house.log(dead)
    for number in range(9_999):
        made = replace(first, id=f"wh_{number}")
        house.store.state.deliveries[made.id] = made  # as ten thousand batches would have made them
    assert house.store.webhooks.change_endpoint(asleep, well, START_MS)
    house.receiver.held[dead.url] = asyncio.Event()

    async def go() -> None:
        sender = house.sender()
        await sender.begin()
        await asyncio.sleep(0)
        assert len(house.receiver.ids(dead.url)) == OF_ENDPOINT
        for told in range(1, 4):
            house.end()
            tasks = await sender.begin()
            assert len(tasks) == 1
            await asyncio.gather(*tasks)
            assert len(house.receiver.ids(well.url)) == told
        assert len(house.receiver.ids(dead.url)) == OF_ENDPOINT
        await sender.aclose()

    asyncio.run(go())


def test_a_tenant_with_many_slow_endpoints_holds_up_no_other(house: House) -> None:
    """It has so many attempts under way, and no more."""
    house.scene.tenant("tenant_b")
    slow = [house.endpoint(f"slow{number}") for number in range(AT_ONCE // OF_ENDPOINT + 1)]
    other = house.endpoint("other", tenant_id="tenant_b")
    for each in slow:
        house.receiver.held[each.url] = asyncio.Event()
    for _ in range(OF_ENDPOINT):
        house.end()

    async def go() -> None:
        sender = house.sender()
        assert len(await sender.begin()) == OF_TENANT
        house.end(tenant_id="tenant_b")
        (task,) = await sender.begin()
        await task
        assert len(house.receiver.ids(other.url)) == 1
        await sender.aclose()

    asyncio.run(go())


def test_two_senders_send_each_delivery_once(house: House) -> None:
    """Each is one's at a time."""
    one = house.endpoint("a")
    for _ in range(20):
        house.end()

    async def go() -> None:
        senders = house.sender(alone=False), house.sender(alone=False, chance=50)
        while sum(await asyncio.gather(*(each.run_once() for each in senders))):
            pass

    asyncio.run(go())
    assert len(house.receiver.ids(one.url)) == len(set(house.receiver.ids(one.url))) == 20


def test_what_a_dead_sender_had_is_sent_by_the_next(house: House) -> None:
    """When its time is up; at once where nobody else can live."""
    one = house.endpoint("a")
    house.receiver.held[one.url] = asyncio.Event()
    house.end()

    async def go() -> list[int]:
        dead = house.sender(alone=False)
        await dead.begin()
        await asyncio.sleep(0)
        await dead.aclose()  # nothing is given back
        house.receiver.held.clear()
        other = house.sender(alone=False, chance=50)
        done = [await other.run_once()]
        house.clock.advance(LEASE_MS / 1000)
        done.append(await other.run_once())
        return done

    assert asyncio.run(go()) == [0, 1]
    assert len(set(house.receiver.ids(one.url))) == 1

    async def alone() -> int:
        house.receiver.held[one.url] = asyncio.Event()
        house.end()
        dead = house.sender()
        await dead.begin()
        await asyncio.sleep(0)
        await dead.aclose()
        house.receiver.held.clear()
        async with started(house.sender(chance=70)) as following:
            await until(lambda: house.log(one)[0].state is DeliveryState.DELIVERED)
            return len(following.id)

    assert asyncio.run(asyncio.wait_for(alone(), 20))


def test_a_stop_waits_for_what_is_under_way_and_gives_back_the_rest(house: House) -> None:
    """Whoever comes next sends it at once."""
    quick, slow = house.endpoint("quick"), house.endpoint("slow")
    house.receiver.held = {quick.url: asyncio.Event(), slow.url: asyncio.Event()}
    house.end()

    async def go() -> int:
        sender = house.sender(alone=False)
        await sender.start()
        await until(lambda: len(house.receiver.got) == 2)
        house.receiver.held.pop(quick.url).set()
        await sender.stop(0.2)
        house.receiver.held.clear()
        return await house.sender(alone=False, chance=50).run_once()

    assert asyncio.run(go()) == 1
    assert house.log(quick)[0].state is house.log(slow)[0].state is DeliveryState.DELIVERED
    assert len(house.receiver.ids(quick.url)) == 1


def test_a_hint_wakes_the_sender(house: House) -> None:
    """It does not wait for its next look."""
    one = house.endpoint("a")

    async def go() -> None:
        async with started(house.sender()):
            for _ in range(3):
                await asyncio.sleep(0)
            house.end()
            house.wake.hint()
            await until(lambda: bool(house.receiver.got))

    asyncio.run(asyncio.wait_for(go(), 20))
    assert house.log(one)


def test_the_sender_looks_again_when_the_next_is_due(house: House) -> None:
    """Also where that is sooner than its usual look."""
    one = house.endpoint("a")
    house.receiver.answers[one.url] = [Answer(status=503, error=None, retry_after_s=1.0), OK]
    house.end()

    async def go() -> None:
        async with started(house.sender(poll_s=3600.0)):
            await until(lambda: house.log(one)[0].attempts == 1)
            for _ in range(5):  # it has looked what is next
                await asyncio.sleep(0)
            house.clock.advance(1.0)
            await until(lambda: len(house.receiver.got) == 2)

    asyncio.run(asyncio.wait_for(go(), 20))


def test_a_store_that_is_away_costs_no_second_message(house: House) -> None:
    """What came of an attempt is written when it is back."""
    one = house.endpoint("a")
    house.end()

    class Away:
        failures = 3

        def __getattr__(self, name: str) -> Any:
            return getattr(house.store.webhook_ledger, name)

        def settle_delivery(self, *args: Any) -> bool:
            if self.failures:
                self.failures -= 1
                raise StoreError("away")
            return house.store.webhook_ledger.settle_delivery(*args)

    async def go() -> None:
        (task,) = await house.sender(ledger=Away()).begin()
        while not task.done():
            await asyncio.sleep(0)
            house.clock.advance(1)

    asyncio.run(asyncio.wait_for(go(), 20))
    assert len(house.receiver.got) == 1
    assert house.log(one)[0].state is DeliveryState.DELIVERED


def test_old_deliveries_are_swept(house: House) -> None:
    """After 30 days, whatever became of them."""
    one = house.endpoint("a")
    house.end()
    house.clock.advance(KEEP_MS / 1000)
    house.end()
    house.clock.advance(1)
    assert asyncio.run(house.sender().sweep_once()) == 1
    assert len(house.log(one)) == 1


def test_the_log_tells_no_secret_and_no_url(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Neither when it fails, nor when it is given up."""
    one = house.endpoint("a", url="https://example.com/token-in-the-url")
    house.receiver.answers[one.url] = [Answer(status=500, error=None), Answer(status=410, error=None)]
    house.end()

    async def go() -> None:
        sender = house.sender()
        await sender.run_once()
        house.clock.advance(10)
        await sender.run_once()

    with caplog.at_level("DEBUG"):
        asyncio.run(go())
    assert len([each for each in caplog.records if each.name.startswith("batchrouter")]) == 2
    assert "token-in-the-url" not in caplog.text
    assert SECRET not in caplog.text


async def until(reached: Callable[[], bool]) -> None:
    """Let the loop turn; each test has a deadline of its own."""
    while not reached():  # noqa: ASYNC110 - what is awaited is state, not an event
        await asyncio.sleep(0)


@asynccontextmanager
async def started(sender: WebhookSender) -> AsyncIterator[WebhookSender]:
    await sender.start()
    try:
        yield sender
    finally:
        await sender.aclose()
