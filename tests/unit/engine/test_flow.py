"""A batch from its row to its files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchrouter.domain.lifecycle import BatchState
from tests.unit.engine.house import Answer, House, chat, echo, model_of, repeats


async def test_every_line_is_answered_once_in_input_order() -> None:
    """1,200 lines over three ranges come out whole, in order, each with its own answer, and each was sent once."""
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(1200))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert (batch.total, batch.completed, batch.failed) == (1200, 1200, 0)
    assert batch.error_file_id is None
    output = await house.output(batch_id)
    assert [line["custom_id"] for line in output] == [f"line-{i}" for i in range(1200)]
    assert all(
        line["response"]["body"]["choices"][0]["message"]["content"] == f"question {i}" for i, line in enumerate(output)
    )
    assert len({line["id"] for line in output}) == 1200
    assert (batch.tokens.input, batch.tokens.output) == (3600, 2400)
    assert len(house.sent) == 1200
    assert repeats(house.sent) == 0


async def test_the_loops_need_no_poll_from_creation_to_the_end() -> None:
    """Started as a server starts it, with a poll of half a minute: hints alone carry a batch through, a cancel too, and
    a stop leaves nothing running."""
    house = House(lambda body: echo(body, delay_s=0.1) if model_of(body) == "m" else Answer(silent=True), poll_s=30.0)
    worker = house.make_worker()
    await worker.start()
    before = asyncio.all_tasks()
    whole, cut = await house.create(chat(700)), await house.create(chat(20, model="silent"))
    house.wake.hint()
    await _turn_until(house, lambda: house.batch(whole).state is BatchState.COMPLETED and len(house.flying) == 20)
    house.cancel(cut)
    house.wake.hint()
    await _turn_until(house, lambda: house.batch(cut).state is BatchState.CANCELLED)
    assert house.flying == []
    await house.check_whole(whole)
    await house.check_whole(cut)
    assert len(house.log) == 720
    await house.stop(5)
    assert not [task for task in before if not task.done() and task is not asyncio.current_task()]


async def _turn_until(house: House, true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        house.clock.advance(0.02)
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")
