"""Native jobs from plan to output: made once, followed, taken over, and what they leave goes on."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BatchState, JobState
from tests.unit.engine.bureau import batch_house
from tests.unit.engine.house import chat, cut_ranges


async def test_a_batch_runs_as_one_job_and_not_a_line_in_real_time() -> None:
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert house.log == []
    (job,) = house.store.jobs.jobs(batch_id)
    assert (job.state, job.lines, job.completed, job.twice) == (JobState.COLLECTED, 30, 30, 0)
    bureau.check()
    await house.check_whole(batch_id)
