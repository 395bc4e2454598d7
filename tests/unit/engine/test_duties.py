"""Steps of batches: one that cannot be taken holds up no other."""

from __future__ import annotations

import asyncio

from batchrouter.domain.lifecycle import BatchState
from batchrouter.engine.duties import AT_ONCE
from batchrouter.errors import BatchRouterError, BlobError
from tests.unit.engine.house import House, chat


async def test_a_step_that_fails_unforeseen_holds_up_no_other_batch() -> None:
    """One index that nobody can read leaves the other batches their steps."""
    house = House()
    await house.new_worker()
    bad = await house.create(chat(3))
    key = house.store.state.batches[bad].input_index_key

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        if verb == f"read {key}":
            raise RuntimeError("unforeseen")
        return None

    house.process.fault = fault
    good = await house.create(chat(3))
    await house.run(good)
    assert house.batch(good).state is BatchState.COMPLETED
    assert house.batch(bad).state is BatchState.VALIDATING


async def test_many_old_batches_that_cannot_step_leave_room_for_a_young_one() -> None:
    """More of them than are taken at once; when the disk is well again they go on, too."""
    house = House()
    await house.new_worker()
    bad = [await house.create(chat(2)) for _ in range(2 * AT_ONCE + 1)]
    unreadable = {f"read {house.store.state.batches[each].input_index_key}" for each in bad}
    house.process.fault = lambda verb, done: BlobError("input/output error") if verb in unreadable else None
    good = await house.create(chat(2))
    await house.run(good, limit=20)
    house.process.fault = None
    await house.run(*bad, limit=50)
    assert len(house.log) == 2 * len(bad) + 2


async def test_a_damaged_index_fails_its_batch_with_a_sentence() -> None:
    """It would be as damaged at the next try: the batch must not stay in validation for ever."""
    house = House()
    await house.new_worker()
    for damage in (lambda index: index[:-1], lambda index: index[:10], lambda index: index[:-40] + bytes(40)):
        batch_id = await house.create(chat(3))
        key = house.store.state.batches[batch_id].input_index_key
        assert key is not None
        index = house.blobs._blobs[key][0]
        await house.blobs.put(key, [damage(index)])
        await house.run(batch_id, limit=10)
        batch = house.batch(batch_id)
        assert batch.state is BatchState.FAILED
        assert [(error.code, error.param) for error in batch.errors] == [("invalid_request", "file_id")]
        assert "index" in batch.errors[0].message


async def test_a_step_that_hangs_holds_up_no_other_batch() -> None:
    """A disk that does not answer for one input: the next batches are planned, run and ended meanwhile."""
    house = House()
    worker = await house.new_worker()
    slow = await house.create(chat(3))
    gate = asyncio.Event()
    key = house.store.state.batches[slow].input_index_key
    look = house.living._blobs._looks

    async def looks(asked: str) -> None:
        if asked == key:
            await gate.wait()
        await look(asked)

    worker._blobs._looks = looks
    hanging = await worker.duties.begin()
    await asyncio.sleep(0)
    quick = await house.create(chat(3))
    async with asyncio.timeout(10):  # a step that waits for the hanging one would wait for ever
        await house.run(quick, limit=20)
    assert house.batch(quick).state is BatchState.COMPLETED
    assert house.batch(slow).state is BatchState.VALIDATING
    gate.set()
    await asyncio.gather(*hanging)
    await house.run(slow, limit=20)
    assert house.batch(slow).state is BatchState.COMPLETED
