"""Webhooks in the store: an event becomes deliveries with itself; each is one sender's at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from batchrouter.domain.backlog import WebhookBacklog
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.webhook import (
    EVENTS,
    FORMER_MS,
    LOG_MOST,
    USUAL_EVENTS,
    Attempt,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Endpoint,
    Verdict,
    trial_delivery,
)
from batchrouter.ports.webhooks import Parcel
from tests.conformance.scene import REFUSAL, START_MS, TENANT, WINDOW_MS, Scene, records_of

LEASE_MS = 60_000
OTHER = "tenant_b"


def endpoint(id: str = "we_1", **changes: Any) -> Endpoint:
    made = Endpoint(
        id=id, tenant_id=TENANT, url=f"https://example.com/{id}", events=USUAL_EVENTS, description="", secret="s1",
        created_ms=START_MS,
    )  # fmt: skip
    return replace(made, **changes)


class Hooks:
    """A scene with endpoints."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.people = scene.store.webhooks
        self.ledger = scene.store.webhook_ledger
        self.worker = scene.worker()

    def add(self, id: str = "we_1", **changes: Any) -> Endpoint:
        made = endpoint(id, **changes)
        assert self.people.add_endpoint(made, 20)
        return made

    def change(self, new: Endpoint) -> None:
        """Whatever it is now."""
        old = self.people.endpoint(new.tenant_id, new.id)
        assert old is not None
        assert self.people.change_endpoint(old, new, self.scene.now)

    def end(self, batch_id: str) -> None:
        """By a cancel."""
        self.scene.create(batch_id)
        self.scene.end(self.worker, batch_id, BatchEvent.CANCEL)

    def log(self, endpoint_id: str = "we_1") -> tuple[Delivery, ...]:
        page = self.people.deliveries(endpoint_id, after=None, limit=1000)
        assert page is not None
        return page.rows

    def take(self, owner: str = "s1", count: int = 10, **changes: int) -> list[Parcel]:
        wants = {"we_1": count} | changes
        return self.ledger.take_deliveries(owner, wants, self.scene.now, self.scene.now + LEASE_MS)

    def settle(self, parcel: Parcel, event: DeliveryEvent, owner: str = "s1", **changes: Any) -> bool:
        status = 200 if event is DeliveryEvent.DELIVER else 500
        error = None if event is DeliveryEvent.DELIVER else "the receiver answered 500"
        attempt = Attempt(at_ms=self.scene.now, status=status, error=error, took_ms=7)
        return self.ledger.settle_delivery(owner, parcel.delivery, Verdict(event=event, attempt=attempt, **changes))


@pytest.fixture
def hooks(scene: Scene) -> Hooks:
    scene.tenant(OTHER)
    return Hooks(scene)


# --- endpoints ------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_read_as_it_was_written(hooks: Hooks) -> None:
    """Every member, for its tenant alone."""
    made = hooks.add(description="mine", events=("batch.in_progress",))
    hooks.add("we_2", tenant_id=OTHER)
    assert hooks.people.endpoints(TENANT) == [made]
    assert hooks.people.endpoint(TENANT, "we_1") == made
    assert hooks.people.endpoint(TENANT, "we_2") is None
    assert hooks.people.endpoint(OTHER, "we_1") is None


def test_a_tenant_has_no_more_endpoints_than_it_may(hooks: Hooks) -> None:
    """Those of others and of the configuration do not count."""
    hooks.people.configure([endpoint("we_c")], START_MS)
    hooks.add("we_o", tenant_id=OTHER)
    assert hooks.people.add_endpoint(endpoint("we_1"), 1)
    assert not hooks.people.add_endpoint(endpoint("we_2"), 1)
    assert [each.id for each in hooks.people.endpoints(TENANT)] == ["we_c", "we_1"]


def test_a_change_is_of_its_own_tenants_endpoint_as_it_was_read(hooks: Hooks) -> None:
    """Somebody else's change is not undone by it."""
    made = hooks.add()
    wanted = replace(
        made, url="https://example.org", events=("batch.failed",), description="new", secret="s2", former_secret="s1",
        former_until_ms=START_MS + 5, enabled=False, disabled_reason="why",
    )  # fmt: skip
    assert hooks.people.change_endpoint(made, wanted, START_MS)
    assert hooks.people.endpoint(TENANT, "we_1") == wanted
    for old in (made, replace(wanted, tenant_id=OTHER), endpoint("we_9")):
        assert not hooks.people.change_endpoint(old, made, START_MS)
    assert hooks.people.endpoints(TENANT) == [wanted]


def test_a_removed_endpoint_takes_its_deliveries_along(hooks: Hooks) -> None:
    """Nothing is sent any more, not even what was taken."""
    hooks.add()
    hooks.end("b1")
    hooks.end("b2")
    (parcel,) = hooks.take(count=1)
    assert not hooks.people.remove_endpoint(OTHER, "we_1")
    assert hooks.people.remove_endpoint(TENANT, "we_1")
    assert not hooks.people.remove_endpoint(TENANT, "we_1")
    assert hooks.ledger.due_endpoints(10) == []
    assert hooks.take() == []
    assert not hooks.settle(parcel, DeliveryEvent.DELIVER)
    assert hooks.log() == ()


# --- the configuration ----------------------------------------------------------------------------------------------


def test_configured_endpoints_are_those_of_the_configuration(hooks: Hooks) -> None:
    """New ones are made, known ones keep their id, others go; what people made stays."""
    made = hooks.add("we_p")
    one, two = endpoint("we_1", url="https://a"), endpoint("we_2", url="https://b")
    hooks.people.configure([one, two], START_MS)
    hooks.people.configure(
        [replace(two, id="we_3", description="said"), replace(one, id="we_4", tenant_id=OTHER)], START_MS
    )
    assert hooks.people.endpoints(TENANT) == [made, replace(two, configured=True, description="said")]
    assert [each.id for each in hooks.people.endpoints(OTHER)] == ["we_4"]


def test_a_configured_endpoint_stays_disabled_until_it_changes(hooks: Hooks) -> None:
    """A restart does not ask a receiver again that said it was gone; a mended url or secret does. The old secret signs
    on for a day."""
    hooks.people.configure([endpoint()], START_MS)
    hooks.change(endpoint(enabled=False, disabled_reason="gone", configured=True))
    hooks.people.configure([endpoint()], START_MS)
    (found,) = hooks.people.endpoints(TENANT)
    assert (found.enabled, found.disabled_reason, found.former_secret) == (False, "gone", None)
    hooks.people.configure([endpoint(secret="s2")], START_MS + 5)
    (found,) = hooks.people.endpoints(TENANT)
    assert (found.enabled, found.disabled_reason) == (True, None)
    assert (found.secret, found.former_secret, found.former_until_ms) == ("s2", "s1", START_MS + 5 + FORMER_MS)


# --- events ---------------------------------------------------------------------------------------------------------


def test_an_event_becomes_a_delivery_for_each_endpoint_that_wants_it(hooks: Hooks) -> None:
    """Of its own tenant, enabled, and asked for; due at once."""
    for id, changes in (
        ("we_1", {}),
        ("we_2", {"events": ("batch.in_progress",)}),
        ("we_3", {"enabled": False}),
        ("we_4", {"tenant_id": OTHER}),
        ("we_5", {"events": ("batch.completed", "batch.failed")}),
    ):
        hooks.add(id, **changes)
    hooks.end("batch_b1")
    (delivery,) = hooks.log()
    (event,) = [each for each in hooks.scene.catalog.events("batch_b1", 0, 100) if each.type == "batch.cancelled"]
    assert delivery == Delivery(
        id=f"wh_1_b1_{event.no}", endpoint_id="we_1", batch_id="batch_b1", event_no=event.no, event_ms=event.at_ms,
        type="batch.cancelled", state=DeliveryState.WAITING, attempts=0, since_ms=None, next_ms=event.at_ms, owner=None,
        log=(), created_ms=event.at_ms, ended_ms=None,
    )  # fmt: skip
    assert [hooks.log(id) for id in ("we_2", "we_3", "we_4", "we_5")] == [(), (), (), ()]


def test_each_end_of_a_batch_is_told_and_its_beginning_on_request(hooks: Hooks) -> None:
    """All of the events that can be asked for, and none besides."""
    hooks.add(events=EVENTS)
    scene, worker = hooks.scene, hooks.worker
    scene.create("refused")
    assert scene.ledger.plan(worker, scene.duty(worker, "refused"), REFUSAL, scene.now)
    for name, event in (("answered", BatchEvent.COMPLETE), ("late", BatchEvent.EXPIRE), ("stopped", BatchEvent.CANCEL)):
        scene.running(name, worker=worker)
        if event is BatchEvent.COMPLETE:
            claim = scene.claim_one(worker, name)
            scene.settle(worker, name, records_of(claim))
        scene.now += WINDOW_MS if event is BatchEvent.EXPIRE else 0
        scene.worker(worker)
        scene.end(worker, name, event)
    told = [(each.batch_id, each.type) for each in hooks.log()][::-1]
    assert told == [
        ("refused", "batch.failed"),
        ("answered", "batch.in_progress"), ("answered", "batch.completed"),
        ("late", "batch.in_progress"), ("late", "batch.expired"),
        ("stopped", "batch.in_progress"), ("stopped", "batch.cancelled"),
    ]  # fmt: skip


# --- the sender -----------------------------------------------------------------------------------------------------


def test_a_delivery_is_one_senders_until_its_time_is_up(hooks: Hooks) -> None:
    """Then another may take it: whoever had it may be dead."""
    made = hooks.add()
    hooks.end("b1")
    (parcel,) = hooks.take("s1")
    assert parcel.endpoint == made
    assert parcel.delivery.type == "batch.cancelled"
    assert hooks.take("s2") == []
    (due,) = hooks.ledger.due_endpoints(10)
    assert (due.endpoint_id, due.tenant_id, due.next_ms) == ("we_1", TENANT, hooks.scene.now + LEASE_MS)
    hooks.scene.now += LEASE_MS
    assert [each.delivery.id for each in hooks.take("s2")] == [parcel.delivery.id]


def test_a_sender_takes_so_many_of_each_endpoint_the_longest_due_first(hooks: Hooks) -> None:
    """And of a disabled one none."""
    hooks.add()
    hooks.add("we_2")
    for name in ("b1", "b2", "b3"):
        hooks.scene.now += 10
        hooks.end(name)
    taken = hooks.take(count=2, we_2=1, we_9=5)
    assert [(each.endpoint.id, each.delivery.batch_id) for each in taken] == [
        ("we_1", "b1"), ("we_1", "b2"), ("we_2", "b1")
    ]  # fmt: skip
    assert {each.endpoint_id for each in hooks.ledger.due_endpoints(10)} == {"we_1", "we_2"}
    assert [each.endpoint_id for each in hooks.ledger.due_endpoints(10, {"we_2"})] == ["we_1"]
    assert len(hooks.ledger.due_endpoints(1)) == 1


def test_what_was_delivered_is_over(hooks: Hooks) -> None:
    """Its log has the attempt."""
    hooks.add()
    hooks.end("b1")
    (parcel,) = hooks.take()
    assert hooks.settle(parcel, DeliveryEvent.DELIVER)
    (found,) = hooks.log()
    assert (found.state, found.attempts, found.owner) == (DeliveryState.DELIVERED, 1, None)
    assert found.ended_ms == hooks.scene.now + 7
    assert found.log == (Attempt(at_ms=hooks.scene.now, status=200, error=None, took_ms=7),)
    assert hooks.ledger.due_endpoints(10) == []
    assert not hooks.settle(parcel, DeliveryEvent.DELIVER)


def test_what_failed_waits_until_its_next_attempt(hooks: Hooks) -> None:
    """Under the same id; the time of the first attempt stays, and the log keeps the last ones."""
    hooks.add()
    hooks.end("b1")
    first_ms = hooks.scene.now
    for number in range(LOG_MOST + 2):
        (parcel,) = hooks.take()
        assert parcel.delivery.attempts == number
        assert hooks.settle(parcel, DeliveryEvent.RETRY, next_ms=hooks.scene.now + 1000)
        assert hooks.take() == []
        hooks.scene.now += 1000
    (found,) = hooks.log()
    assert (found.state, found.since_ms, found.next_ms) == (DeliveryState.WAITING, first_ms, hooks.scene.now)
    assert len(found.log) == LOG_MOST
    assert found.log[-1].at_ms == hooks.scene.now - 1000
    (parcel,) = hooks.take()
    assert hooks.settle(parcel, DeliveryEvent.GIVE_UP)
    assert hooks.log()[0].state is DeliveryState.FAILED


def test_a_sender_that_is_late_writes_nothing_but_a_success(hooks: Hooks) -> None:
    """A failure that nobody waits for must not undo the other's turn; a message that arrived has arrived."""
    hooks.add()
    hooks.end("b1")
    (old,) = hooks.take("s1")
    hooks.scene.now += LEASE_MS
    (new,) = hooks.take("s2")
    assert not hooks.settle(old, DeliveryEvent.RETRY, "s1", next_ms=5)
    assert hooks.log()[0].owner == "s2"
    assert not hooks.settle(old, DeliveryEvent.DELIVER, "s1")
    assert hooks.log()[0].state is DeliveryState.DELIVERED
    assert not hooks.settle(new, DeliveryEvent.RETRY, "s2", next_ms=5)
    assert hooks.log()[0].state is DeliveryState.DELIVERED


def test_an_endpoint_that_is_disabled_ends_its_deliveries(hooks: Hooks) -> None:
    """By its receiver or by a person; later events are not for it."""
    made = hooks.add()
    hooks.end("b1")
    hooks.end("b2")
    (parcel,) = hooks.take(count=1)
    assert hooks.settle(parcel, DeliveryEvent.GIVE_UP, disable="gone")
    assert [each.state for each in hooks.log()] == [DeliveryState.ENDED, DeliveryState.FAILED]
    assert hooks.people.endpoint(TENANT, "we_1") == replace(made, enabled=False, disabled_reason="gone")
    hooks.end("b3")
    assert len(hooks.log()) == 2
    hooks.change(made)
    hooks.end("b4")
    hooks.change(replace(made, enabled=False))
    assert hooks.log()[0].state is DeliveryState.ENDED
    assert hooks.log()[0].ended_ms == hooks.scene.now


def test_what_a_sender_had_can_be_freed(hooks: Hooks) -> None:
    """Its own when it stops; everybody's when nobody else lives."""
    hooks.add()
    for name in ("b1", "b2", "b3"):
        hooks.end(name)
    hooks.take("s1", 1)
    hooks.take("s2", 1)
    assert hooks.ledger.free_deliveries("s1", hooks.scene.now) == 1
    assert len(hooks.take("s3")) == 2
    assert hooks.ledger.free_deliveries(None, hooks.scene.now) == 3
    assert hooks.ledger.free_deliveries(None, hooks.scene.now) == 0
    assert len(hooks.take("s4")) == 3


def test_old_deliveries_are_forgotten(hooks: Hooks) -> None:
    """Whatever their state."""
    hooks.add()
    hooks.end("b1")
    hooks.scene.now += 10
    hooks.end("b2")
    assert hooks.ledger.sweep_deliveries(hooks.scene.now) == 1
    assert [each.batch_id for each in hooks.log()] == ["b2"]


# --- the log --------------------------------------------------------------------------------------------------------


def test_the_log_is_paged_newest_first(hooks: Hooks) -> None:
    """By ids of the endpoint's own deliveries."""
    hooks.add()
    hooks.add("we_2")
    for name in ("b1", "b2", "b3"):
        hooks.end(name)
    ids = [each.id for each in hooks.log()]
    assert [each.batch_id for each in hooks.log()] == ["b3", "b2", "b1"]
    first = hooks.people.deliveries("we_1", after=None, limit=2)
    assert first is not None
    assert ([each.id for each in first.rows], first.more) == (ids[:2], True)
    rest = hooks.people.deliveries("we_1", after=ids[1], limit=2)
    assert rest is not None
    assert ([each.id for each in rest.rows], rest.more) == (ids[2:], False)
    assert hooks.people.deliveries("we_1", after=hooks.log("we_2")[0].id, limit=2) is None


@pytest.mark.parametrize("event", [DeliveryEvent.DELIVER, DeliveryEvent.GIVE_UP])
def test_a_delivery_sent_again_by_hand_has_all_its_time(hooks: Hooks, event: DeliveryEvent) -> None:
    """Under its old id, with its old log."""
    hooks.add()
    hooks.end("b1")
    (parcel,) = hooks.take()
    hooks.settle(parcel, event)
    hooks.scene.now += 50
    again = hooks.people.redeliver("we_1", parcel.delivery.id, hooks.scene.now)
    assert again == hooks.log()[0]
    assert again.id == parcel.delivery.id
    assert (again.state, again.attempts, again.since_ms) == (DeliveryState.WAITING, 0, None)
    assert (again.next_ms, again.ended_ms, len(again.log)) == (hooks.scene.now, None, 1)
    assert len(hooks.take()) == 1
    assert hooks.people.redeliver("we_1", "wh_nobodys", 0) is None
    assert hooks.people.redeliver("we_2", parcel.delivery.id, 0) is None


def test_a_delivery_that_is_being_sent_is_not_sent_twice_by_hand(hooks: Hooks) -> None:
    """It stays its sender's."""
    hooks.add()
    hooks.end("b1")
    (parcel,) = hooks.take("s1")
    found = hooks.people.redeliver("we_1", parcel.delivery.id, hooks.scene.now)
    assert found is not None
    assert found.owner == "s1"
    assert hooks.take("s2") == []


def test_a_test_is_a_delivery_of_its_own(hooks: Hooks) -> None:
    """For an endpoint that is there and enabled."""
    made = hooks.add()
    test = trial_delivery(made, "t1", hooks.scene.now)
    assert hooks.people.add_test(test)
    assert hooks.log() == (test,)
    assert hooks.take()[0].delivery == test
    hooks.change(replace(made, enabled=False))
    assert not hooks.people.add_test(trial_delivery(made, "t2", hooks.scene.now))
    assert not hooks.people.add_test(trial_delivery(endpoint("we_9"), "t3", hooks.scene.now))


# --- all of it ------------------------------------------------------------------------------------------------------


def test_the_backlog_tells_what_waits_and_who_fails(hooks: Hooks) -> None:
    """Deliveries by count; endpoints that failed, and those that their receiver had disabled, not those of people."""
    for id in ("we_1", "we_2", "we_3"):
        hooks.add(id)
    hooks.change(endpoint("we_3", enabled=False))
    hooks.end("b1")
    hooks.end("b2")
    for parcel in hooks.take():
        hooks.settle(parcel, DeliveryEvent.RETRY, next_ms=hooks.scene.now + 5)
    assert hooks.scene.store.backlogs.backlog(hooks.scene.now).webhooks == WebhookBacklog(waiting=4, failing=1)
    (parcel, _) = hooks.take(count=0, we_2=2)
    hooks.settle(parcel, DeliveryEvent.GIVE_UP, disable="gone")
    told = hooks.scene.store.backlogs.backlog(hooks.scene.now).webhooks
    assert told == WebhookBacklog(waiting=2, failing=1, disabled=1)
