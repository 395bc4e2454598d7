"""What a provider's no means for a job: limits and lost replies wait, keys pause the lane, no line is burnt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from batchrouter.domain.job import Job
from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.lifecycle import BatchState
from batchrouter.errors import NativeError, NativeRefused
from tests.unit.engine.bureau import Bureau, batch_house, quick
from tests.unit.engine.house import House, chat, cut_ranges


def jobs_of(house: House, batch_id: str) -> list[Job]:
    return list(house.store.jobs.jobs(batch_id))


def failing(verb: str, *errors: NativeError, done: bool = False) -> Callable[[str, bool], NativeError | None]:
    """The first calls of that verb fail so, one by one."""
    left = list(errors)

    def faults(asked: str, after: bool) -> NativeError | None:
        return left.pop(0) if asked == verb and after is done and left else None

    return faults


def refused(status: int, code: str | None = None, retry_after_s: float | None = None) -> NativeRefused:
    return NativeRefused("no", status=status, code=code, retry_after_s=retry_after_s)


async def whole(house: House, bureau: Bureau, *batch_ids: str) -> None:
    bureau.check()
    for batch_id in batch_ids:
        assert house.batch(batch_id).state is BatchState.COMPLETED
        await house.check_whole(batch_id)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(401, "invalid_api_key"), "refuses the key"),
        (refused(402), "no credit"),
        (refused(403), "does not permit"),
        (refused(429, "insufficient_quota"), "no credit"),
        (refused(400, "billing_hard_limit_reached"), "no credit"),
    ],
)
async def test_a_refused_key_pauses_the_lane_and_burns_no_line(error: NativeRefused, words: str) -> None:
    """One create as a probe after 30 s, then 60, then 120, of however many jobs; when it is taken all of them go."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=6)
    bureau.faults = failing("submit", *[error] * 4)
    await house.new_worker()
    batch_id = await house.create(chat(15))
    tried: list[float] = []
    start_s = house.clock.mono_s()
    for _ in range(240):
        before = bureau.calls["submit"]
        await house.run_for(1.0)
        tried += [house.clock.mono_s() - start_s] * (bureau.calls["submit"] - before)
        if house.clock.mono_s() - start_s == 20:
            share = house.share(batch_id, "m")
            assert (share.state, share.done) == ("paused", 0)
            assert words in (share.reason or "")
            assert share.until_ms is not None
    # All three jobs were on their way when the first was refused; from then on it is one at a time.
    assert max(tried[:3]) <= 2
    assert 30 <= tried[3] <= 34
    assert 90 <= tried[4] <= 97
    assert all(line["error"] is None for line in await house.output(batch_id))
    await house.run(batch_id)
    assert house.share(batch_id, "m").state == "open"
    assert all(job.reason is None for job in jobs_of(house, batch_id))
    assert house.log == []
    await whole(house, bureau, batch_id)


async def test_who_says_when_to_come_back_is_asked_then() -> None:
    """A 429 to a create made nothing, so that nobody looks for it."""
    house, bureau = batch_house()
    bureau.faults = failing("submit", refused(429, retry_after_s=17.0))
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run_for(16.0)
    assert bureau.calls["submit"] == 1
    assert house.share(batch_id, "m").state == "waiting"
    await house.run_for(4.0)
    assert (bureau.calls["submit"], bureau.calls["find"]) == (2, 0)
    await house.run(batch_id)
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("error", [refused(404), refused(400, "model_not_supported"), refused(413)])
async def test_what_the_provider_does_not_run_as_a_batch_runs_in_real_time(
    error: NativeRefused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its lines, with the reason in the job's row; the batch makes no more jobs in that lane, others do."""
    cut_ranges(monkeypatch, 4)
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=6, max_jobs=1)
    bureau.faults = failing("submit", error)
    await house.new_worker()
    batch_id = await house.create(chat(15))
    await house.run(batch_id)
    assert (bureau.calls["submit"], len(house.sent)) == (1, 15)
    (job,) = jobs_of(house, batch_id)
    assert why_of(job.reason) is Why.REFUSED
    assert str(error.status) in (job.reason or "")
    other = await house.create(chat(5, start=20))
    await house.run(other)
    assert bureau.calls["submit"] == 2
    await whole(house, bureau, batch_id, other)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("code", ["token_limit_exceeded", "too_many_tasks"])
async def test_a_limit_makes_lines_wait_and_fails_none(code: str, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a create is refused or the job is rejected when it was made: its lines stay in the lane, which tells why,
    and are submitted anew later; of enqueued tokens the next job has fewer."""
    monkeypatch.setattr("batchrouter.engine.jobs.lane.LIMIT_LEAST", 100)
    house, bureau = batch_house()
    if late:
        bureau.reject = code
    else:
        bureau.faults = failing("submit", refused(400, code))
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(10.0)
    share = house.share(batch_id, "m")
    assert (share.state, share.done, share.waiting) == ("waiting", 0, 20)
    assert code in (share.reason or "")
    bureau.reject = None
    await house.run(batch_id)
    first, *rest = jobs_of(house, batch_id)
    assert why_of(first.reason) is Why.LIMIT
    if code == "token_limit_exceeded":
        assert rest[0].lines <= 10
    assert house.log == []
    await whole(house, bureau, batch_id)


async def test_a_queue_that_others_fill_is_waited_for() -> None:
    """Smaller jobs do not help then: none becomes so small that its lines would leave the lane."""
    house, bureau = batch_house()
    bureau.faults = lambda verb, done: refused(400, "token_limit_exceeded") if verb == "submit" else None
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(2400.0)
    assert house.share(batch_id, "m").state == "waiting"
    assert {job.lines for job in jobs_of(house, batch_id)} == {20}
    assert 3 <= len(jobs_of(house, batch_id)) <= 8
    bureau.faults = lambda verb, done: None
    await house.run(batch_id)
    assert house.log == []
    await whole(house, bureau, batch_id)


async def test_while_a_probe_is_under_way_other_jobs_wait_without_asking_all_the_time() -> None:
    """However many: an upload may take minutes."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=2)
    bureau.faults = lambda verb, done: refused(401) if verb == "submit" else None
    await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run_for(20.0)
    bureau.faults, bureau.held_up, house.patient = lambda verb, done: None, asyncio.Event(), True
    house.process.tally.clear()
    await house.run_for(300.0)
    assert house.process.tally["api.submit"] == 1
    assert house.process.tally["note_job"] <= 40 * 300 / 10
    bureau.held_up.set()
    await house.run(batch_id)
    await whole(house, bureau, batch_id)


async def test_known_limits_are_never_passed() -> None:
    """Of tokens and of jobs: at no moment has the provider more of ours, over all batches."""
    house, bureau = batch_house()
    bureau.facts = quick(enqueued_tokens=700, max_jobs=2)
    bureau.run_s = 3.0
    start_s = house.clock.mono_s()
    await house.new_worker()
    batches = [await house.create(chat(12, start=100 * i)) for i in range(3)]
    most_jobs = most_tokens = 0
    while not all(house.batch(each).state is BatchState.COMPLETED for each in batches):
        await house.step()
        (lane,) = house.store.ledger.lanes()
        enqueued = house.store.jobs.enqueued(lane.id)
        most_jobs, most_tokens = max(most_jobs, enqueued.jobs), max(most_tokens, enqueued.tokens)
        if enqueued.jobs == 2:
            assert house.share(batches[2], "m").reason is not None
    assert most_jobs == 2
    assert house.clock.mono_s() - start_s < 60  # room is used as soon as a job ends
    assert 300 < most_tokens <= 665
    assert house.log == []
    await whole(house, bureau, *batches)


async def test_an_account_that_is_refused_only_after_a_create_is_not_asked_again_and_again() -> None:
    """A job is made, and then rejected for the account's limit of spending: the lane pauses, longer each time."""
    house, bureau = batch_house()
    bureau.reject = "billing_hard_limit_reached"
    await house.new_worker()
    batch_id = await house.create(chat(5), window_ms=3_600_000)
    await house.run_for(600.0)
    share = house.share(batch_id, "m")
    assert (share.state, share.done) in (("paused", 0), ("waiting", 0))
    assert "limit of spending" in (share.reason or "")
    assert 2 <= len(bureau.jobs) <= 5
    bureau.reject = None
    await house.run(batch_id)
    assert house.log == []
    await whole(house, bureau, batch_id)
