"""The lease: without it nothing is sent, a stale worker changes nothing, and who lost it begins anew."""

from __future__ import annotations

import asyncio

from batchrouter.domain.shard import Beat
from batchrouter.errors import BatchRouterError, StoreError
from tests.unit.engine.house import Answer, House, chat, echo


async def test_a_worker_whose_lease_has_passed_sends_nothing_more() -> None:
    """The machine slept, or the store was away: the answers that come in are kept, but no line goes out until the
    lease is renewed."""
    house = House(lambda body: echo(body, delay_s=0.5))
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run_for(2)
    house.renewing = False
    house.clock.suspend(31)
    sent = len(house.log)
    await house.settle()
    for _ in range(20):
        house.clock.advance(0.25)
        await house.settle()
        house.living.dispatcher.pump_all()
    assert len(house.log) == sent
    assert house.flying == []
    house.renewing = True
    await house.living.tick()
    assert house.living._lease.renew() == Beat(alive=True)
    await house.run(batch_id)
    assert len(house.log) == 500


async def test_a_stale_worker_settles_nothing_and_claims_nothing() -> None:
    """Another took over while its calls were out: their answers are not written a second time, and every line is
    answered once."""
    house = House(lambda body: echo(body, delay_s=2.0))
    stale = await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run_for(1)
    assert len(house.flying) == 32
    taker = await house.new_worker()
    await house.do(taker.claims_once())
    house.clock.advance(1.5)  # the answers to the stale worker come in
    await house.settle()
    assert house.done(batch_id) == set()
    assert stale._lease.renew() == Beat(alive=False)
    assert not stale._lease.held()
    sent = len(house.log)
    stale.dispatcher.pump_all()
    assert len(house.log) == sent
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 40
    await house.check_whole(batch_id)


async def test_who_lost_its_lease_drops_its_lines_and_begins_anew() -> None:
    """Under a new name, once however often it is told, and though the store refuses it at first."""
    house = House(lambda body: Answer(silent=True))
    worker = await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run_for(1)
    assert len(house.flying) == 10
    name = worker.id
    house.store.ledger.resign(name)
    refusals = iter([StoreError("away")])

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        return next(refusals, None) if verb == "enlist" else None

    house.process.fault = fault
    for _ in range(3):
        worker._on_beat(Beat(alive=False))
    anew = worker._anew
    assert anew is not None
    while not anew.done():
        await house.settle()
        house.clock.advance(0.5)
        await asyncio.sleep(0.001)
    worker._lease.stop()  # its thread; here leases are renewed by hand
    assert worker.id != name
    assert house.flying == []
    assert house.process.tally["enlist"] == 1 + 2
    house.upstream = echo
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 10


async def test_a_hung_loop_does_not_renew() -> None:
    """Its lines must become free for others, though its thread is well."""
    house = House()
    worker = await house.new_worker()
    await worker.tick()
    house.clock.advance(9)
    assert worker._lease.renew() == Beat(alive=True)
    house.clock.advance(2)
    assert worker._lease.renew() is None
    await worker.tick()
    assert worker._lease.renew() == Beat(alive=True)


async def test_a_store_that_fails_while_renewing_costs_the_lease_only_when_its_time_is_over() -> None:
    """Whatever it raises: the thread goes on, and the next renewal that works holds again."""
    house = House()
    worker = await house.new_worker()
    beat = worker._lease._ledger.beat
    for error in (StoreError("away"), RuntimeError("unforeseen")):

        def fail(*_: object, error: Exception = error) -> Beat:
            raise error

        worker._lease._ledger = type("Ledger", (), {"beat": staticmethod(fail)})()  # type: ignore[assignment]
        assert worker._lease.renew() is None
        assert worker._lease.held()
    worker._lease._ledger = type("Ledger", (), {"beat": staticmethod(beat)})()  # type: ignore[assignment]
    house.clock.advance(27.1)
    assert not worker._lease.held()
    await worker.tick()
    assert worker._lease.renew() == Beat(alive=True)
    assert worker._lease.held()
