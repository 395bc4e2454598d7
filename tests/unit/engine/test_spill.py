"""The spill: what is finished and cannot be written survives the process, and counts if nobody else has the line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.shard import Settled
from batchrouter.engine.journal import LATE_S
from batchrouter.errors import BatchRouterError, StoreAway
from tests.unit.engine.house import House, chat, echo, repeats


def away(verb: str, done: bool) -> BatchRouterError | None:
    """The database, for every verb; the blobs are there."""
    return StoreAway("away") if verb not in ("put", "spill") and not verb.startswith("read ") and not done else None


async def outage(**settings: object) -> tuple[House, str]:
    """Ten calls are in flight when the database goes away; a minute later all have been answered."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=10), **settings)
    await house.new_worker()
    batch_id = await house.create(chat(60))
    await house.run_for(1)
    assert len(house.flying) == 10
    house.process.fault = away
    await pass_time(house, 5)
    return house, batch_id


async def pass_time(house: House, seconds: float) -> None:
    """The loops of a worker whose store is away do nothing but be there."""
    for _ in range(int(seconds * 20)):
        house.clock.advance(0.05)
        await house.settle()


@pytest.mark.parametrize("inline_bytes", [32 * 1024, 0], ids=["small", "large"])
async def test_what_a_killed_process_had_finished_is_settled_by_the_next(inline_bytes: int) -> None:
    """Alone on its folder: before it takes the lines of the dead. Nothing is sent again."""
    house, batch_id = await outage(inline_bytes=inline_bytes)
    done, sent = house.done(batch_id), len(house.log)
    assert house.flying == []
    assert len(house.spills.kept) >= 1
    await house.bury()
    await house.new_worker()
    assert house.spills.kept == {}
    assert len(house.done(batch_id)) == sent > len(done)
    await house.run(batch_id)
    assert repeats(house.sent) == 0
    assert house.batch(batch_id).completed == 60
    await house.check_whole(batch_id)


async def test_what_is_in_the_spill_is_no_longer_in_memory() -> None:
    """Its part of the budget is free, so that answers to come can still be taken in; it is settled from there when the
    store is back, once, and the file goes."""
    house, batch_id = await outage()
    dispatcher = house.living.dispatcher
    assert dispatcher.journal.stuck
    assert dispatcher.journal.spilled == len(house.log) - len(house.done(batch_id)) > 0
    assert all(not draft.parts for writing in dispatcher.journal._batches.values() for draft in writing.cut)
    in_memory = dispatcher._budget.used - sum(runner.loader.bytes for runner in dispatcher.lanes.values())
    assert in_memory == 0
    house.process.fault = None
    await house.living.tick()
    house.living._lease.renew()
    await house.run(batch_id)
    assert house.spills.kept == {}
    assert repeats(house.sent) == 0
    assert house.batch(batch_id).completed == 60


async def test_a_stop_while_the_database_is_away_keeps_what_came_and_ends() -> None:
    """Calls end, their answers are kept, and nothing is given back: the next start settles them."""
    house = House(lambda body: echo(body, delay_s=2.0), pacing=Pacing(fixed_in_flight=10))
    await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run_for(1)
    house.process.fault = away
    at_s = house.clock.mono_s()
    await house.stop(30)
    assert house.clock.mono_s() - at_s < 20
    assert house.spills.kept
    sent = len(house.log)
    await house.new_worker()
    assert len(house.done(batch_id)) == sent == 10
    await house.run(batch_id)
    assert repeats(house.sent) == 0


async def test_beside_others_it_counts_until_the_dead_workers_lease_ends() -> None:
    """The next process on the machine settles it at once, in the dead worker's name: its shards keep their epochs."""
    house, batch_id = await outage(alone=False)
    sent = len(house.log)
    await house.bury()
    await house.new_worker()
    assert len(house.done(batch_id)) == sent
    house.clock.advance(20)
    await house.living.tick()
    house.living._lease.renew()
    house.clock.advance(20)
    await house.run(batch_id)
    assert repeats(house.sent) == 0


async def test_what_others_have_taken_over_counts_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Its lines were sent again; the file goes, and the log tells how many it were."""
    house, batch_id = await outage(alone=False)
    await house.bury()
    done = len(house.done(batch_id))
    taker = house.make_worker()  # on another machine, which has no spill of this one
    taker._spill = None
    await taker.enlist()
    house.clock.advance(29)
    await taker.tick()
    taker._lease.renew()
    house.clock.advance(3)
    await taker.tick()
    beat = taker._lease.renew()
    assert beat is not None
    assert beat.reaped
    caplog.set_level("INFO")
    await house.new_worker()
    assert len(house.done(batch_id)) == done
    assert house.spills.kept == {}
    assert ": 0 count" in caplog.text
    for worker in (taker, house.living):
        worker._lease.renew()
    house.clock.advance(31)
    await house.living.tick()
    house.living._lease.renew()
    house.living._lease.renew()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 60


async def test_a_spill_that_is_full_leaves_the_rest_in_memory() -> None:
    """As where there is none: nothing more is sent, and it is written when the store is back."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=10))
    house.spills.limit_bytes = 1
    await house.new_worker()
    batch_id = await house.create(chat(60))
    await house.run_for(1)
    house.process.fault = away
    await pass_time(house, 20)
    assert house.living.dispatcher.journal.spilled == 0
    house.process.fault = None
    await house.living.tick()
    house.living._lease.renew()
    await house.run(batch_id)
    assert repeats(house.sent) == 0
    assert house.batch(batch_id).state is BatchState.COMPLETED


async def test_who_lost_its_lease_keeps_nothing_of_it() -> None:
    """What it finished was sent again by others."""
    house, _ = await outage(alone=False)
    assert house.spills.kept
    lost = house.living.dispatcher
    house.store.ledger.resign(house.living.id)
    await lost.aclose()
    await lost.journal.let_go()
    assert house.spills.kept == {}


async def test_a_start_goes_on_without_a_store_that_takes_nothing() -> None:
    """After ten seconds, and it tries again beside the work."""
    house, batch_id = await outage(inline_bytes=0)
    await house.bury()
    worker = house.make_worker()
    house.process.fault = lambda verb, done: StoreAway("away") if verb == "settle" and not done else None
    at_s = house.clock.mono_s()
    await house.do(worker.adopt())
    assert house.clock.mono_s() - at_s < 20
    assert house.spills.kept
    house.process.fault = None
    await house.do(worker.enlist())
    await house.run(batch_id)
    await pass_time(house, 15)
    assert house.spills.kept == {}
    assert house.batch(batch_id).completed == 60


def hang(house: House) -> asyncio.Event:
    """From now on nothing that is to be settled comes to an end before the event; nothing fails either."""
    over = asyncio.Event()
    offering = house.living.dispatcher.journal._offering
    settle = offering._settle

    async def wait(*args: Any) -> Settled:
        await over.wait()
        return await settle(*args)

    offering._settle = wait  # type: ignore[method-assign]
    return over


async def hanging() -> tuple[House, str, asyncio.Event, int]:
    """A database that swallows everything and never says so; and how many calls had been sent when that was noticed."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=10), alone=False)
    await house.new_worker()
    batch_id = await house.create(chat(400))
    await house.run_for(1)
    over = hang(house)
    await house.run_for(LATE_S + 0.5)
    return house, batch_id, over, len(house.log)


async def test_a_write_that_hangs_stops_the_sending_as_one_that_fails_does() -> None:
    """And what is finished is kept beside it, the draft that hangs included; afterwards all counts, once."""
    house, batch_id, over, sent = await hanging()
    assert house.living.dispatcher.journal.stuck
    await house.run_for(5)
    assert len(house.log) == sent
    assert house.living.dispatcher.journal.spilled == sent - len(house.done(batch_id)) > 10
    over.set()
    await house.run(batch_id)
    assert not house.living.dispatcher.journal.stuck
    assert house.spills.kept == {}
    assert repeats(house.sent) == 0
    assert house.batch(batch_id).completed == 400
    await house.check_whole(batch_id)


async def test_a_process_that_is_killed_while_its_write_hangs_loses_nothing() -> None:
    house, batch_id, _, sent = await hanging()
    await house.run_for(1)
    await house.bury()
    await house.new_worker()
    assert len(house.done(batch_id)) == sent
    assert house.spills.kept == {}
