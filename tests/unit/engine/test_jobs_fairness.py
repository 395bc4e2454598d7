"""A provider that hangs holds up nobody else: no other's jobs, and no stop that is in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

import pytest

from batchrouter.domain.job import Seen
from batchrouter.domain.lifecycle import BatchState
from batchrouter.engine.jobs.loop import LANE_STEPS, STEPS_AT_ONCE
from batchrouter.errors import NativeRefused
from batchrouter.ports.native import JobDraft
from tests.unit.engine.bureau import Api, batch_house, quick
from tests.unit.engine.house import chat


async def test_a_provider_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jobs have all that their lane may have under way, and not a step more; those of another are made, followed
    and ended beside them. When it answers again, all go on."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=2)
    answers = asyncio.Event()
    hanging: set[str] = set()
    submit = Api.submit

    async def hangs(self: Api, draft: JobDraft, lines: AsyncIterable[bytes]) -> Seen:
        if draft.model == "dead" and not answers.is_set():
            hanging.add(draft.tag)
            await answers.wait()
        return await submit(self, draft, lines)

    monkeypatch.setattr(Api, "submit", hangs)
    await house.new_worker()
    dead = await house.create(chat(2 * STEPS_AT_ONCE, model="dead"))
    await house.do(house.living.duties_once())
    house.patient = True
    await house.run_for(5.0)
    assert len(hanging) == LANE_STEPS
    house.process.tally.clear()
    alive = await house.create(chat(6, model="alive", start=1000))
    await house.run_for(30.0)
    assert house.batch(alive).state is BatchState.COMPLETED
    assert house.process.tally["take_jobs"] < 100  # those that wait are not asked for again and again
    assert len(hanging) == LANE_STEPS
    answers.set()
    await house.settle()
    await house.run(dead)
    bureau.check()
    await house.check_whole(dead)
    await house.check_whole(alive)


async def test_a_worker_that_stops_lets_go_of_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lane has its own."""
    closed: list[Api] = []

    async def aclose(self: Api) -> None:
        closed.append(self)

    monkeypatch.setattr(Api, "aclose", aclose)
    house, _ = batch_house()
    await house.new_worker()
    batches = [await house.create(chat(3, model=model, start=start)) for model, start in (("a", 0), ("b", 10))]
    await house.run(*batches)
    await house.stop(1.0)
    assert len(closed) == len(set(map(id, closed))) == 2


async def test_a_paused_lane_is_told_of_once() -> None:
    """Not again each second while a probe is due and out."""
    house, bureau = batch_house()
    bureau.faults = lambda verb, done: NativeRefused("no", status=401) if verb == "submit" and not done else None
    await house.new_worker()
    batch_id = await house.create(chat(3))
    await house.run_for(20.0)
    bureau.faults = lambda verb, done: None
    bureau.held_up = asyncio.Event()
    house.patient = True
    await house.run_for(60.0)
    house.process.tally.clear()
    await house.run_for(120.0)
    assert house.process.tally["note_lanes"] <= 1
    bureau.held_up.set()
    await house.settle()
    await house.run(batch_id)


async def test_a_stop_in_a_hurry_waits_for_no_step() -> None:
    """What was asked for is found after the next start."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.do(house.living.duties_once())
    await house.do(house.living.jobs_once())
    bureau.held_up = asyncio.Event()
    await house.living.jobs.begin()
    await house.settle()
    began_s = house.clock.mono_s()
    house.clock.call_at(began_s + 1.0, house.living.hurry)
    await house.stop(3600.0)
    assert house.clock.mono_s() - began_s < 2
    bureau.held_up.set()
    await house.new_worker()
    await house.run(batch_id)
    bureau.check()
    await house.check_whole(batch_id)
