"""Stopping: calls finish, what came is written, and the next worker repeats only what did not."""

from __future__ import annotations

import pytest

from batchrouter.domain.pacing import Pacing
from batchrouter.errors import BatchRouterError, BlobFull
from tests.unit.engine.house import Answer, House, chat, echo, question, repeats


@pytest.mark.parametrize(("grace_s", "again"), [(5.0, 0), (0.5, 20)])
async def test_calls_shorter_than_the_grace_are_never_repeated(grace_s: float, again: int) -> None:
    """Twenty calls of two seconds are out: with five seconds they finish, with half a second they are repeated once."""
    house = House(lambda body: echo(body, delay_s=2.0), pacing=Pacing(fixed_in_flight=20))
    await house.new_worker()
    batch_id = await house.create(chat(300))
    await house.run_for(5)
    assert len(house.flying) == 20
    at_s, sent = house.clock.mono_s(), len(house.log)
    await house.stop(grace_s)
    assert house.clock.mono_s() - at_s < 3
    assert len(house.log) == sent
    assert house.flying == []
    assert house.store.state.workers == {}
    await house.new_worker()
    await house.run(batch_id)
    assert repeats(house.sent) == again
    assert house.batch(batch_id).completed == 300
    await house.check_whole(batch_id)


async def test_a_line_that_waits_for_another_try_does_not_hold_up_a_stop() -> None:
    """Only calls that are out are waited for."""
    house = House(lambda body: echo(body) if question(body) == "question 0" else Answer(503, b"{}", delay_s=0.1))
    await house.new_worker()
    await house.create(chat(10))
    await house.run_for(20)
    at_s = house.clock.mono_s()
    await house.stop(30)
    assert house.clock.mono_s() - at_s < 1


async def test_a_stop_ends_though_the_disk_is_full() -> None:
    """What cannot be written is sent again after the next start; the process does not hang."""
    house = House(lambda body: echo(body, delay_s=0.3), inline_bytes=0)
    await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run_for(0.2)

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        return BlobFull("no room") if verb == "put" else None

    house.process.fault = fault
    at_s = house.clock.mono_s()
    await house.stop(5)
    assert house.clock.mono_s() - at_s < 20
    await house.new_worker()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 30
