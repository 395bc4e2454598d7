"""A person pauses a batch: nothing more of it is sent, what is under way counts, and it goes on when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchrouter.domain.lifecycle import PAUSED_BY_USER, BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.shard import LaneMode
from batchrouter.service.batches import shares_told
from tests.unit.engine.bureau import QUICK, Bureau
from tests.unit.engine.crew import Crew
from tests.unit.engine.house import (
    DAY_MS,
    Answer,
    Died,
    House,
    chat,
    cut_ranges,
    echo,
    question,
    refuse,
    repeats,
)


class Steered(House):
    """As a `House` that looks each turn what there is to do, which is how a worker hears of a pause."""

    async def turn(self) -> int:
        return await self.do(self.living.look()) + await super().turn()


def set_paused(house: House, batch_id: str, paused: bool = True) -> None:
    assert house.store.catalog.pause_batch("default", batch_id, house.clock.unix_ms(), paused=paused) is not None


def slow(body: bytes) -> Answer:
    return echo(body, delay_s=3.0)


async def test_calls_in_flight_end_and_count_and_no_other_is_sent() -> None:
    """From the look that tells of the pause on, not one call goes out; the shards are free when the last has ended."""
    house = Steered(slow, pacing=Pacing(fixed_in_flight=8))
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_until(lambda: len(house.flying) == 8)
    set_paused(house, batch_id)
    await house.turn()
    sent = len(house.log)
    await house.run_for(60.0)
    assert len(house.log) == sent
    assert house.done(batch_id) == {int(question(call.body).split()[1]) for call in house.log}
    assert house.store.ledger.held(house.living.id) == []
    assert house.living.dispatcher._batches == {}
    assert house.batch(batch_id).state is BatchState.IN_PROGRESS
    told = shares_told(house.batch(batch_id), house.store.catalog.lane_shares(batch_id))
    assert [(each.state, each.reason, each.waiting) for each in told] == [("paused", PAUSED_BY_USER, 100 - sent)]
    set_paused(house, batch_id, False)
    await house.run(batch_id)
    assert repeats(house.sent) == 0
    await house.check_whole(batch_id)


async def test_a_batch_that_is_resumed_while_calls_are_in_flight_goes_on_at_once() -> None:
    house = Steered(slow, pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run_until(lambda: len(house.flying) == 4)
    set_paused(house, batch_id)
    await house.run_for(1.0)
    set_paused(house, batch_id, False)
    await house.run_for(4.0)
    assert len(house.log) > 4
    await house.run(batch_id)
    assert repeats(house.sent) == 0
    await house.check_whole(batch_id)


async def test_lines_that_wait_to_be_tried_again_wait_for_the_person_too() -> None:
    house = Steered(lambda body: refuse(500, delay_s=0.1), pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    batch_id = await house.create(chat(4))
    await house.run_until(lambda: len(house.log) == 4 and not house.flying)
    set_paused(house, batch_id)
    await house.turn()
    sent = len(house.log)
    await house.run_for(120.0)
    assert len(house.log) == sent
    house.upstream = echo
    set_paused(house, batch_id, False)
    await house.run(batch_id)
    await house.check_whole(batch_id)
    assert house.batch(batch_id).completed == 4


async def test_a_pause_at_any_moment_of_a_batchs_life_sends_nothing_after_the_look() -> None:
    """The pause is seen between any two turns of the event loop: while shards are claimed, lines read, calls ended."""
    for rounds in range(0, 60, 3):
        house = Steered(lambda body: echo(body, delay_s=0.05), pacing=Pacing(fixed_in_flight=4))
        worker = await house.new_worker()
        batch_id = await house.create(chat(40))
        await house.do(worker.duties_once())
        claiming = asyncio.create_task(worker.claims_once())
        for _ in range(rounds):
            await asyncio.sleep(0)
        set_paused(house, batch_id)
        await house.do(worker.look())
        sent = len(house.log)
        await house.run_for(5.0)
        await claiming
        # A claim that was under way may have been heard of after the look: then the next look tells.
        assert len(house.log) - sent <= 4
        sent = len(house.log)
        await house.run_for(5.0)
        assert len(house.log) == sent
        assert house.store.ledger.held(worker.id) == []
        set_paused(house, batch_id, False)
        await house.run(batch_id)
        assert repeats(house.sent) == 0
        await house.check_whole(batch_id)


async def test_a_pause_outlives_the_process() -> None:
    house = Steered(slow, pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_until(lambda: len(house.flying) == 4)
    set_paused(house, batch_id)
    house.process.dead = True
    with pytest.raises(Died):
        await house.step()
    await house.bury()
    await house.new_worker()
    sent = len(house.log)
    await house.run_for(30.0)
    assert len(house.log) == sent
    set_paused(house, batch_id, False)
    await house.run(batch_id)
    await house.check_whole(batch_id)


@pytest.mark.parametrize("how", ["cancel", "expire"])
async def test_a_paused_batch_is_cancelled_and_expires_as_any_other(how: str) -> None:
    house = Steered(slow, pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=60_000)
    await house.run_until(lambda: len(house.flying) == 4)
    set_paused(house, batch_id)
    await house.run_for(10.0)
    if how == "cancel":
        house.cancel(batch_id)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.state is (BatchState.CANCELLED if how == "cancel" else BatchState.EXPIRED)
    assert (batch.completed, batch.paused_ms) == (4, None)
    assert how == "cancel" or batch.finalizing_ms == batch.expires_ms
    await house.check_whole(batch_id)


async def test_a_batch_that_is_paused_before_it_is_planned_is_planned_and_waits() -> None:
    house = Steered(echo)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    set_paused(house, batch_id)
    await house.run_for(10.0)
    assert (house.batch(batch_id).state, house.batch(batch_id).total, house.log) == (BatchState.IN_PROGRESS, 5, [])
    set_paused(house, batch_id, False)
    await house.run(batch_id)
    await house.check_whole(batch_id)


async def test_only_the_paused_batch_waits() -> None:
    house = Steered(lambda body: echo(body, delay_s=0.05))
    await house.new_worker()
    paused, other = await house.create(chat(50)), await house.create(chat(50, start=100))
    set_paused(house, paused)
    await house.run(other)
    assert house.done(paused) == set()
    set_paused(house, paused, False)
    await house.run(paused)


async def test_several_workers_hear_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_ranges(monkeypatch, 5)
    crew = Crew(slow, pacing=Pacing(fixed_in_flight=4))
    await crew.start(3)
    batch_id = await crew.create(chat(100))
    await crew.run_until(lambda: len(crew.flying) == 12)
    set_paused(crew, batch_id)
    await crew.turn()
    sent = len(crew.log)
    await crew.run_for(20.0)
    assert len(crew.log) == sent == len(crew.done(batch_id))
    assert all(crew.store.ledger.held(worker.id) == [] for worker in crew.workers)
    set_paused(crew, batch_id, False)
    await crew.run(batch_id)
    assert repeats(crew.sent) == 0
    await crew.check_whole(batch_id)


# --- native lanes -----------------------------------------------------------------------------------------------------

BATCH: dict[str, Any] = {"metadata": {"mode": "batch"}}


async def test_a_paused_batch_makes_no_job() -> None:
    house = Steered(**QUICK)
    bureau = Bureau(house)
    await house.new_worker()
    batch_id = await house.create(chat(10), **BATCH, window_ms=DAY_MS)
    set_paused(house, batch_id)
    await house.run_for(60.0)
    assert bureau.jobs == {}
    set_paused(house, batch_id, False)
    await house.run(batch_id)
    assert len(bureau.jobs) == 1
    await house.check_whole(batch_id)


async def test_a_job_that_was_intended_waits_and_one_at_its_provider_goes_on() -> None:
    house = Steered(**QUICK)
    bureau = Bureau(house, run_s=10.0)
    await house.new_worker()
    batch_id = await house.create(chat(10), **BATCH, window_ms=DAY_MS)
    await house.run_until(lambda: len(bureau.jobs) == 1)
    set_paused(house, batch_id)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 10
    intended = await house.create(chat(10, start=100), **BATCH, window_ms=DAY_MS)
    await house.do(house.living.duties_once())
    await house.do(house.living.jobs_once())
    assert [job.ext_id for job in house.open_jobs(intended)] == [None]
    set_paused(house, intended)
    await house.run_for(60.0)
    assert len(bureau.jobs) == 1
    set_paused(house, intended, False)
    await house.run(intended)
    assert len(bureau.jobs) == 2
    assert bureau.crimes == []


async def test_nothing_is_overtaken_while_it_is_paused() -> None:
    """The deadline stands: what the job has not answered by then is told as expired, and nothing was sent for it."""
    house = Steered(**QUICK)
    bureau = Bureau(house, run_s=10.0, stall_at=4)
    await house.new_worker()
    batch_id = await house.create(chat(10), **BATCH, window_ms=120_000)
    await house.run_until(lambda: len(bureau.jobs) == 1)
    set_paused(house, batch_id)
    await house.run(batch_id)
    assert house.log == []
    assert {share.mode for share in house.store.catalog.lane_shares(batch_id)} == {LaneMode.BATCH}
    assert house.batch(batch_id).state is BatchState.EXPIRED
    await house.check_whole(batch_id)


async def test_lines_that_are_being_read_when_it_is_paused_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait with the others, as long as calls of the batch are in flight here."""
    house = Steered(echo)
    worker = await house.new_worker()
    monkeypatch.setattr(worker.dispatcher.halts, "_rests", lambda batch: False)
    batch_id = await house.create(chat(8))
    await house.do(worker.duties_once())
    await house.do(worker.claims_once())  # the lane's prices come first
    claiming = asyncio.create_task(worker.claims_once())
    for _ in range(200):
        if any(each._loading and not each.loader.queue.count for each in worker.dispatcher.lanes.values()):
            break
        await asyncio.sleep(0)
    else:
        raise AssertionError("nothing was loaded")
    assert house.log == []
    worker.dispatcher.halts.hear_paused({batch_id})
    await house.settle()
    await claiming
    assert house.log == []
    worker.dispatcher.halts.hear_paused(())
    await house.run(batch_id)
    await house.check_whole(batch_id)


async def test_a_pause_while_shards_are_read_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whichever moment of a claim: the batch is let go, and all of it can be claimed again."""
    cut_ranges(monkeypatch, 2)
    for moment in range(12):
        house = Steered(echo)
        worker = await house.new_worker()
        await house.run(await house.create(chat(2)))  # the lane's prices come first
        batch_id = await house.create(chat(12))
        await house.do(worker.duties_once())
        claiming = asyncio.create_task(worker.claims_once())
        for _ in range(200):
            if batch_id in worker.dispatcher._batches:
                break
            await asyncio.sleep(0)
        else:
            raise AssertionError("nothing was claimed")
        for _ in range(moment):
            await asyncio.sleep(0)
        worker.dispatcher.halts.hear_paused({batch_id})
        await house.settle()
        await claiming
        worker.dispatcher.halts.hear_paused(())
        await house.run(batch_id, limit=60)
        await house.check_whole(batch_id)
