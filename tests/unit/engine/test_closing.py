"""Cancel and expiry: what was done is kept, the rest is told, and nothing more is sent."""

from __future__ import annotations

import asyncio

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, model_of, question, refuse


def half_silent(body: bytes) -> Answer:
    """Odd questions are never answered."""
    return echo(body, delay_s=0.05) if int(question(body).split()[1]) % 2 == 0 else Answer(silent=True)


async def test_a_cancel_closes_the_sockets_at_once_and_keeps_what_was_done() -> None:
    """Within one turn every call of the batch is aborted; finished lines stay, the others are told as cancelled in the
    error file and stand in no count."""
    house = House(half_silent)
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(0.5)
    assert len(house.flying) == 10
    house.cancel(batch_id)
    at_s = house.clock.mono_s()
    await house.turn()
    assert house.flying == []
    assert sum(call.aborted for call in house.log) == 10
    await house.run(batch_id)
    assert house.clock.mono_s() - at_s <= 1.0
    batch = house.batch(batch_id)
    assert batch.state is BatchState.CANCELLED
    assert (batch.total, batch.completed, batch.failed) == (20, 10, 0)
    errors = await house.errors(batch_id)
    assert [line["custom_id"] for line in errors] == [f"line-{i}" for i in range(1, 20, 2)]
    assert {(line["error"]["code"], line["response"]) for line in errors} == {("batch_cancelled", None)}
    await house.check_whole(batch_id)


async def test_a_cancel_keeps_answers_that_came_and_were_not_yet_flushed() -> None:
    """An answer that is in memory when the cancel is seen has been paid for: it stands in the output."""
    house = House(half_silent, flush_s=30.0)
    await house.new_worker()
    batch_id = await house.create(chat(6))
    await house.run_for(0.2)
    assert house.done(batch_id) == set()
    house.cancel(batch_id)
    await house.run(batch_id)
    assert (house.batch(batch_id).completed, house.batch(batch_id).total) == (3, 6)
    await house.check_whole(batch_id)


async def test_a_batch_cancelled_before_it_was_planned_tells_its_lines_and_sends_none() -> None:
    """Validation is still done, so that every line has its word in the error file; no request goes out."""
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(7))
    house.cancel(batch_id)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.state, batch.total, batch.completed, batch.failed) == (BatchState.CANCELLED, 7, 0, 0)
    assert house.log == []
    assert len(await house.errors(batch_id)) == 7
    await house.check_whole(batch_id)


async def test_a_second_cancel_and_a_cancel_after_the_end_change_nothing() -> None:
    """Only the first counts, and a completed batch stays completed."""
    house = House(half_silent)
    await house.new_worker()
    batch_id = await house.create(chat(4))
    await house.run_for(0.3)
    house.cancel(batch_id)
    first = house.batch(batch_id)
    house.clock.advance(0.2)
    house.cancel(batch_id)
    assert house.batch(batch_id) == first
    await house.run(batch_id)
    ended = house.batch(batch_id)
    house.cancel(batch_id)
    assert house.batch(batch_id) == ended
    assert len(await house.errors(batch_id)) == 2


async def test_a_cancel_between_the_last_answer_and_completion_wins_or_loses_whole() -> None:
    """With every line settled and nothing closed yet, the cancel comes first: cancelled, with all its answers. Once
    it is finalizing, the cancel comes too late."""
    for turns, state in ((0, BatchState.CANCELLED), (1, BatchState.COMPLETED)):
        house = House()
        worker = await house.new_worker()
        batch_id = await house.create(chat(5))
        await house.do(worker.duties_once())
        for _ in range(2):  # the lane's prices come first
            await house.do(worker.claims_once())
        house.clock.advance(0.2)
        await house.settle()
        assert len(house.done(batch_id)) == 5
        for _ in range(turns):
            await house.do(worker.duties_once())
            assert house.batch(batch_id).state is BatchState.FINALIZING
        house.cancel(batch_id)
        await house.run(batch_id)
        batch = house.batch(batch_id)
        assert (batch.state, batch.completed, batch.error_file_id) == (state, 5, None)


async def test_a_batch_that_is_cancelled_while_its_lines_load_sends_none_of_them() -> None:
    """Whatever a loop waits for when the cancel is seen (a claim, an index, the lines' bytes): nothing goes out
    afterwards. The cancel is tried between any two turns of the event loop."""
    for rounds in range(1, 40):
        house = House(lambda body: Answer(silent=True))
        worker = await house.new_worker()
        batch_id = await house.create(chat(40))
        await house.do(worker.duties_once())
        claiming = asyncio.create_task(worker.claims_once())
        for _ in range(rounds):
            await asyncio.sleep(0)
        house.cancel(batch_id)
        await worker.duties_once()
        before = len(house.log)
        await house.settle()
        await claiming
        await house.run_for(1.0)
        assert len(house.log) == before, f"after {rounds} turns"
        await house.run(batch_id)
        await house.check_whole(batch_id)


async def test_expiry_tells_lines_in_flight_in_retry_and_in_a_paused_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its deadline a batch ends with what it has, wherever the other lines wait; the poll's second at most later."""
    cut_ranges(monkeypatch, 4)

    def upstream(body: bytes) -> Answer:
        match model_of(body):
            case "good":
                return echo(body, delay_s=0.05)
            case "silent":
                return Answer(silent=True)
            case "busy":
                return refuse(503, delay_s=0.05)
            case _:
                return refuse(401, delay_s=0.05)

    house = House(upstream)
    await house.new_worker()
    models = ["good", "silent", "busy", "locked"]
    batch_id = await house.create(
        [line for i in range(16) for line in chat(1, model=models[i % 4], start=i)], window_ms=20_000
    )
    deadline_s = house.clock.mono_s() + 20
    await house.run(batch_id)
    assert deadline_s <= house.clock.mono_s() <= deadline_s + 1.5
    batch = house.batch(batch_id)
    assert (batch.state, batch.total, batch.completed, batch.failed) == (BatchState.EXPIRED, 16, 4, 0)
    assert {line["error"]["code"] for line in await house.errors(batch_id)} == {"batch_expired"}
    await house.check_whole(batch_id)


async def test_nothing_is_sent_past_the_deadline() -> None:
    """The calls under way end with the window and no new one begins, though the step that closes the batch is late."""
    house = House(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=2))
    worker = await house.new_worker()
    batch_id = await house.create(chat(100), window_ms=10_000)
    deadline_s = house.clock.mono_s() + 10
    await house.run_until(lambda: house.clock.mono_s() >= deadline_s - 0.5, step_s=0.25)
    for _ in range(20):  # nobody does the duties
        house.clock.advance(0.25)
        await house.settle()
        await house.do(worker.claims_once())
        await house.do(worker.tick())
    assert max(call.at_s for call in house.log) < deadline_s
    assert house.flying == []
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.EXPIRED
    assert house.batch(batch_id).completed == 18
    await house.check_whole(batch_id)


async def test_a_wall_clock_that_was_set_back_gives_a_batch_its_time_again() -> None:
    """The deadline is the wall clock's, since people were told it: set back, lines go on being sent."""
    house = House(lambda body: refuse(503, delay_s=0.3))
    await house.new_worker()
    batch_id = await house.create(chat(3), window_ms=10_000)
    await house.run_for(5)
    house.clock.skew_wall(-60_000)
    await house.run_for(10)
    assert house.batch(batch_id).state is BatchState.IN_PROGRESS
    house.upstream = echo
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
