"""The journal: when it writes, and what it does while nothing can be written."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.shard import SegmentDraft
from batchrouter.errors import BatchRouterError, BlobFull, StoreAway, StoreError, StoreFull
from tests.unit.engine.house import House, chat, echo, question, repeats


def seconds_of(body: bytes) -> float:
    """Question n is answered after n tenths of a second."""
    return int(question(body).split()[1]) / 10


async def test_it_writes_in_time() -> None:
    """A line counts as done a tenth of a second after its answer, not at once, while others are under way."""
    house = House(lambda body: echo(body, delay_s=1.0 if question(body) == "question 0" else 100.0))
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run_for(1.05)
    assert house.done(batch_id) == set()
    await house.run_for(0.06)
    assert house.done(batch_id) == {0}


async def test_it_writes_when_there_is_enough() -> None:
    """At `flush_bytes` nobody waits for the time."""
    house = House(
        lambda body: echo(body, delay_s=0.1 if seconds_of(body) < 10 else 1000.0), flush_s=500.0, flush_bytes=5000
    )
    await house.new_worker()
    batch_id = await house.create(chat(120))
    await house.run_for(5)
    assert 80 <= len(house.done(batch_id)) <= 100


async def test_it_writes_at_once_when_nothing_else_is_under_way() -> None:
    """The last answer of a batch does not wait, however long the flush interval."""
    house = House(lambda body: echo(body, delay_s=0.5), flush_s=500.0)
    await house.new_worker()
    batch_id = await house.create(chat(3))
    await house.run_for(0.5)
    assert len(house.done(batch_id)) == 3
    await house.run(batch_id)
    assert house.clock.mono_s() < 1002


BROKEN: dict[str, Callable[[str, bool], BatchRouterError | None]] = {
    "store": lambda verb, done: StoreAway("the database is away") if verb == "settle" and not done else None,
    "store, in doubt": lambda verb, done: StoreAway("connection lost") if verb == "settle" and done else None,
    "store, of one batch": lambda verb, done: StoreError("unforeseen") if verb == "settle" and not done else None,
    "disk": lambda verb, done: BlobFull("no room") if verb == "put" and not done else None,
    "disk, and the spill": lambda verb, done: BlobFull("no") if verb in ("put", "spill") and not done else None,
    "everything": lambda verb, done: StoreError("away") if not verb.startswith("read") and not done else None,
}


@pytest.mark.parametrize("what", BROKEN)
async def test_while_nothing_can_be_written_nothing_is_sent_and_nothing_is_lost(what: str) -> None:
    """For a minute every flush fails: what is in flight is kept in memory, no more calls are paid for, and afterwards
    everything is written once."""
    house = House(lambda body: echo(body, delay_s=0.3), inline_bytes=500, pacing=Pacing(fixed_in_flight=10))
    await house.new_worker()
    batch_id = await house.create(chat(200))
    await house.run_for(1)
    broken_s = house.clock.mono_s()

    house.process.fault = BROKEN[what]
    sent = 0
    while house.clock.mono_s() < broken_s + 60:
        if house.clock.mono_s() < broken_s + 1:
            sent = len(house.log)
        try:
            await house.step()
        except StoreError:
            house.clock.advance(0.05)
            await house.settle()
            house.living._lease.tick([])  # the loop is well, and so is its lease
            house.living._lease.renew()
    assert len(house.log) == sent
    assert house.flying == []
    house.process.fault = None
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 200
    assert len(house.log) == 200
    await house.check_whole(batch_id)


async def test_one_batch_that_cannot_be_written_stops_sending_though_another_can() -> None:
    """Its answers would pile up: a disk that is full for large segments may still take small ones."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    bad, good = await house.create(chat(100)), await house.create(chat(100, model="n"))
    await house.run_for(1)
    broken_s = house.clock.mono_s()
    write = house.living.dispatcher.journal._offering._calls.write

    async def refuse_bad(verb: Callable[..., Any], worker: str, draft: SegmentDraft, now_ms: int) -> Any:
        if draft.batch_id == bad and house.clock.mono_s() < broken_s + 30:
            raise StoreFull("no room")
        return await write(verb, worker, draft, now_ms)

    house.living.dispatcher.journal._offering._calls = SimpleNamespace(write=refuse_bad)  # type: ignore[assignment]
    await house.run_for(2)
    assert house.done(good)
    assert house.batch(good).state is BatchState.IN_PROGRESS
    sent = len(house.log)
    await house.run_for(25)
    assert len(house.log) == sent
    await house.run(bad, good)
    assert repeats(house.sent) == 0
    assert house.batch(bad).completed == house.batch(good).completed == 100


async def test_a_batch_that_alone_cannot_be_written_stops_alone() -> None:
    """The store refuses what is finished of it, for a reason that nobody foresaw: nothing more of it is sent, and the
    other runs to its end meanwhile."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    bad, good = await house.create(chat(100)), await house.create(chat(60, start=100))
    await house.run_for(1)
    broken_s = house.clock.mono_s()
    write = house.living.dispatcher.journal._offering._calls.write

    async def refuse_bad(verb: Callable[..., Any], worker: str, draft: SegmentDraft, now_ms: int) -> Any:
        if draft.batch_id == bad and house.clock.mono_s() < broken_s + 30:
            raise StoreError("unforeseen")
        return await write(verb, worker, draft, now_ms)

    house.living.dispatcher.journal._offering._calls = SimpleNamespace(write=refuse_bad)  # type: ignore[assignment]
    await house.run_for(2)
    sent = sum(_of_bad(body) for body in house.sent)
    await house.run_for(20)
    assert house.batch(good).state is BatchState.COMPLETED
    assert sum(_of_bad(body) for body in house.sent) == sent
    assert house.batch(bad).state is BatchState.IN_PROGRESS
    await house.run(bad)
    assert repeats(house.sent) == 0
    assert house.batch(bad).completed == 100


def _of_bad(body: bytes) -> bool:
    return int(question(body).split()[1]) < 100


async def test_a_fault_of_ours_in_a_flush_neither_loses_lines_nor_hangs_the_end() -> None:
    """Even an error that nobody foresaw leaves the flush alive."""
    house = House(lambda body: echo(body, delay_s=0.1))
    await house.new_worker()
    batch_id = await house.create(chat(20))
    failures = iter([RuntimeError("unforeseen")])
    house.process.fault = lambda verb, done: next(failures, None) if verb == "settle" else None  # type: ignore[arg-type,return-value]
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 20
    assert len(house.log) == 20


async def test_every_verb_may_fail_once_in_doubt_and_the_batch_still_ends() -> None:
    """Each call of the store fails in turn, before or after it was carried out; no restart follows, and no
    lease ends: shards of a claim whose answer was lost are found and given back."""
    for done in (False, True):
        for number in range(2, 60):
            house = House(lambda body: echo(body, delay_s=0.05))
            calls = 0

            def fault(verb: str, after: bool, number: int = number, done: bool = done) -> BatchRouterError | None:
                nonlocal calls
                if after is not done or verb.startswith("read"):
                    return None
                calls += 1
                return StoreError("connection lost") if calls == number else None

            await house.new_worker()
            house.process.fault = fault
            batch_id = await house.create(chat(12))
            for _ in range(100):
                try:
                    await house.run(batch_id)
                    break
                except StoreError:
                    continue
            assert house.batch(batch_id).state is BatchState.COMPLETED
            assert len(house.log) == 12
            await house.check_whole(batch_id)


async def test_copies_that_end_while_lines_move_leave_the_batch_its_place() -> None:
    """Whoever moves lines has the batch's writing held, and lets it go when the move is over."""
    house = House()
    journal = (await house.new_worker()).dispatcher.journal
    await journal.hold("b1")
    journal.allow_gaps("b1", 7)
    journal.end_gaps("b1")
    journal.go_on("b1", {})
    assert journal._batches == {}
