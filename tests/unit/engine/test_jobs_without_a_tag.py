"""A provider whose jobs carry no tag lists them all together, whatever their models."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BatchState
from batchrouter.errors import NativeUnknown
from tests.unit.engine.bureau import batch_house
from tests.unit.engine.house import chat
from tests.unit.engine.test_jobs_refusals import failing, jobs_of


async def test_a_cancelled_batch_does_not_take_the_job_of_another_model_with_it() -> None:
    """What may be its own after a lost create is looked for apart from the jobs of all lanes of the provider."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s = True, 10.0
    await house.new_worker()
    other = await house.create(chat(5, model="a"))
    await house.run_for(1.0)
    bureau.faults = failing("submit", NativeUnknown("lost"))
    mine = await house.create(chat(5, model="b", start=5))
    await house.run_until(lambda: bureau.calls["find"] == 1)
    await house.run_for(0.5)
    house.cancel(mine)
    await house.run(mine, other)
    assert house.batch(mine).state is BatchState.CANCELLED
    assert house.batch(other).completed == 5
    assert bureau.jobs["ext-1"].cancel_s is None
    assert [job.ext_id for job in jobs_of(house, other)] == ["ext-1"]
