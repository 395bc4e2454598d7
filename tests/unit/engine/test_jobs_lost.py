"""What a step does not hear, and what fails beside it: a job is found again, nothing is lost, nothing made twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lifecycle import BatchState, JobState
from batchrouter.errors import (
    BatchRouterError,
    BlobError,
    NativeError,
    NativeRefused,
    NativeUnknown,
    StaleLease,
    StoreError,
)
from batchrouter.providers.base import Encoded
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.bureau import Bureau, batch_house, quick
from tests.unit.engine.house import chat, cut_ranges
from tests.unit.engine.test_jobs_refusals import failing, jobs_of, refused, whole


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["release", "move", "intend"])
async def test_a_store_that_fails_for_a_moment_strands_no_shard(
    verb: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was claimed and could not be given back is given back later, whether the failed word was carried out or
    not."""
    cut_ranges(monkeypatch, 5)
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=8, max_jobs=2)
    failed: list[str] = []

    def fault(asked: str, done: bool) -> BatchRouterError | None:
        if asked != verb or done is not after or failed:
            return None
        failed.append(asked)
        return StoreError("away")

    house.process.fault = fault
    await house.new_worker()
    house.process.fault = fault
    batch_id = await house.create(chat(23))
    await house.run(batch_id)
    assert failed
    assert house.log == []
    await whole(house, bureau, batch_id)


async def test_what_never_left_is_sent_again_without_asking() -> None:
    """No connection was made: nothing can have happened."""
    house, bureau = batch_house()
    bureau.faults = failing("submit", *[NativeUnknown("refused", sent=False)] * 3)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    assert (bureau.calls["submit"], bureau.calls["find"]) == (4, 0)
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("error", [NativeUnknown("lost"), refused(502)])
async def test_a_create_whose_reply_was_lost_is_found_by_its_tag(error: NativeError) -> None:
    """Though the list lags; it is never made twice."""
    house, bureau = batch_house()
    bureau.lag_s = 9.0  # the first look is after about 5, and patience lasts another 5
    bureau.faults = failing("submit", error, done=True)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    assert bureau.calls["submit"] == 1
    assert bureau.calls["find"] > 1
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("error", [NativeUnknown("lost"), refused(502)])
async def test_a_create_that_was_lost_is_made_again_when_the_list_stays_empty(error: NativeError) -> None:
    """Only after the provider's list has shown nothing for `lost_create_s`."""
    house, bureau = batch_house()
    bureau.faults = failing("submit", error)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run_for(8.0)
    assert (bureau.calls["submit"], len(bureau.jobs)) == (1, 0)
    await house.run(batch_id)
    assert len(bureau.jobs) == 1
    await whole(house, bureau, batch_id)


async def test_a_job_without_a_tag_is_proved_by_its_results() -> None:
    """Of two jobs alike in size the wrong one is taken first, found out by its results, and set aside: nothing of it
    counts, and the right one is found."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s = True, 3.0
    await house.new_worker()
    first = await house.create(chat(5))
    await house.run_for(1.0)
    bureau.faults = failing("submit", NativeUnknown("lost"), done=True)
    second = await house.create(chat(5, start=10))
    await house.run(first, second)
    assert bureau.calls["submit"] == 2
    (job,) = jobs_of(house, second)
    assert job.ext_id == "ext-2"
    assert house.log == []
    await whole(house, bureau, first, second)


async def test_a_job_without_a_tag_that_is_none_of_the_providers_is_given_up() -> None:
    """What was taken for it is another's, and there is no other: its lines go on."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s = True, 3.0
    await house.new_worker()
    first = await house.create(chat(5))
    await house.run_for(1.0)
    bureau.faults = failing("submit", NativeUnknown("lost"))
    second = await house.create(chat(5, start=10))
    await house.run(first, second)
    lost, *_ = jobs_of(house, second)
    assert why_of(lost.reason) is Why.GONE
    await whole(house, bureau, first, second)


@pytest.mark.parametrize("verb", ["look", "results"])
@pytest.mark.parametrize("error", [refused(500), refused(429), refused(401), NativeUnknown("lost")])
async def test_a_question_without_an_answer_is_asked_again(verb: str, error: NativeError) -> None:
    """Of a job that was made nothing is lost by it; a refused key is told, and pauses what is to be made."""
    house, bureau = batch_house()
    bureau.faults = failing(verb, error, error)
    await house.new_worker()
    batch_id = await house.create(chat(5), window_ms=600_000)
    await house.run_until(lambda: bureau.calls[verb] == 2)
    if isinstance(error, NativeRefused) and error.status == 401:
        await house.turn()
        assert house.share(batch_id, "m").state == "paused"
    await house.run(batch_id)
    assert house.share(batch_id, "m").state == "open"
    assert house.log == []
    assert len(bureau.jobs) == 1
    await whole(house, bureau, batch_id)


async def test_a_job_that_the_provider_does_not_know_is_over() -> None:
    """Not at once, for it may not be known yet; then its lines go on."""
    house, bureau = batch_house()
    bureau.run_s = 1000.0
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run_until(lambda: len(bureau.jobs) == 1)
    bureau.lists_missing = True
    await house.run_for(3.0)
    assert len(house.open_jobs(batch_id)) == 1
    await house.run_for(6.0)
    (first, *_) = jobs_of(house, batch_id)
    assert why_of(first.reason) is Why.GONE


async def test_results_that_break_off_count_as_far_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is read the next time."""
    monkeypatch.setattr("batchrouter.engine.jobs.collect.PORTION_LINES", 2)
    house, bureau = batch_house()
    await house.new_worker()
    whole_results = Bureau.results
    broken: list[int] = []

    def results(self: Bureau, job: Any) -> list[bytes]:
        lines = whole_results(self, job)
        if broken:
            return lines
        broken.append(len(lines))
        return [*lines[:5], b"\xff{", *lines[5:7], b'{"custom_id":null}']

    monkeypatch.setattr(Bureau, "results", results)
    bureau.faults = failing("results", NativeUnknown("cut off"))
    batch_id = await house.create(chat(10))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 10
    await house.check_whole(batch_id)


async def test_a_job_whose_input_cannot_be_read_for_a_while_is_submitted_later() -> None:
    """Nothing of it left in whole, so that nobody looks for it; other batches are made meanwhile."""
    house, bureau = batch_house()
    house.options_of = {"slow": LaneOptions()}
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.do(house.living.duties_once())
    down = True
    house.process.fault = lambda verb, done: BlobError("away") if down and verb.startswith("read files/") else None
    await house.run_for(5.0)
    assert len(bureau.jobs) == 0
    down = False
    await house.run(batch_id)
    assert bureau.calls["find"] == 0
    await whole(house, bureau, batch_id)


async def test_a_step_that_fails_by_a_fault_of_ours_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, more and more seldom; the other job ends."""
    house, bureau = batch_house(overtake_margin_s=900.0)
    await house.new_worker()
    first = await house.create(chat(5))
    await house.run_until(lambda: len(bureau.jobs) == 1)
    seen = Bureau.seen

    def broken(self: Bureau, job: Any) -> Any:
        if job.ext_id == "ext-1":
            raise KeyError("ours")
        return seen(self, job)

    monkeypatch.setattr(Bureau, "seen", broken)
    second = await house.create(chat(5, start=10))
    await house.run(second)
    assert house.batch(first).state is BatchState.IN_PROGRESS
    looks = bureau.calls["look"]
    await house.run_for(120.0)
    assert bureau.calls["look"] - looks <= 6
    monkeypatch.setattr(Bureau, "seen", seen)
    await house.run(first)
    await whole(house, bureau, first, second)


async def test_a_submit_whose_worker_lost_its_lease_is_found_by_the_next() -> None:
    """Another takes the step while the first still waits for its reply; what that then hears changes nothing."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(5))
    old = house.living
    await house.do(old.duties_once())
    await house.do(old.jobs_once())  # makes the job, in a round of its own
    bureau.held_up = asyncio.Event()
    tasks = await old.jobs.begin()
    await house.settle()
    assert len(bureau.jobs) == 1
    await house.new_worker()  # alone, so that the first one's lease has ended
    await house.run_for(3.0)
    (job,) = house.open_jobs(batch_id)
    assert (job.state, bureau.calls["find"]) == (JobState.CREATED, 1)
    bureau.held_up.set()
    assert await asyncio.gather(*tasks) == [0]
    assert house.open_jobs(batch_id) == [job]
    await house.run(batch_id)
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_job_without_a_tag_is_not_taken_for_another_of_its_batch(restart: bool) -> None:
    """Two jobs of a batch alike in size: what one is known to be the other is not, in the next life too."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s, bureau.facts = True, 60.0, quick(max_requests=6, poll_min_s=20.0, poll_max_s=20.0)
    bureau.faults = lambda verb, done: (
        NativeUnknown("lost")
        if verb == "submit" and done and bureau.jobs["ext-1"] is not list(bureau.jobs.values())[-1]
        else None
    )
    await house.new_worker()
    batch_id = await house.create(chat(10), window_ms=3_600_000)
    await house.run_until(lambda: len(bureau.jobs) == 2)
    if restart:
        house.process.dead = True
        await house.bury()
        await house.new_worker()
    await house.run_until(lambda: all(job.ext_id for job in jobs_of(house, batch_id)))
    assert sorted(job.ext_id or "" for job in jobs_of(house, batch_id)) == ["ext-1", "ext-2"]
    await house.run(batch_id)
    await whole(house, bureau, batch_id)


class Wordy(OpenAIWire):
    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        return Encoded(self.encode(endpoint, body).body.replace(b"{", b'{"more":1,', 1))


async def test_a_job_whose_lines_have_other_bytes_now_is_planned_anew() -> None:
    """By another configuration after a restart: its size was announced to nobody yet."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.do(house.living.duties_once())
    await house.do(house.living.jobs_once())
    house.process.dead = True
    await house.bury()
    bureau.wire = lambda model: Wordy("http://upstream.invalid/v1", model)
    await house.new_worker()
    await house.run(batch_id)
    first, second = jobs_of(house, batch_id)
    assert why_of(first.reason) is Why.CHANGED
    assert second.bytes > first.bytes
    assert (len(bureau.jobs), house.log) == (1, [])
    await whole(house, bureau, batch_id)


async def test_nothing_is_submitted_by_a_worker_whose_lease_ended_meanwhile() -> None:
    """Between the word that it is tried and the call itself: another may be trying by then."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.do(house.living.duties_once())
    await house.do(house.living.jobs_once())

    def lapse(verb: str, done: bool) -> None:
        if verb == "note_job" and done:
            house.living._lease._until_s = 0.0

    house.process.fault = lapse
    await house.do(house.living.jobs_once())
    assert bureau.calls["submit"] == 0
    assert house.open_jobs(batch_id)[0].sent_ms is not None


async def test_no_job_is_made_while_answers_cannot_be_written() -> None:
    """What a job would cost could not be kept."""
    house, bureau = batch_house()
    worker = await house.new_worker()
    worker.dispatcher.journal._stuck.add("batch_x")
    batch_id = await house.create(chat(5))
    await house.run_for(5.0)
    assert jobs_of(house, batch_id) == []
    worker.dispatcher.journal._stuck.clear()
    await house.run(batch_id)
    await whole(house, bureau, batch_id)


async def test_a_machine_that_slept_in_the_middle_of_an_upload_does_not_end_it() -> None:
    """Its lease is over, and another may have made the job meanwhile: the provider gets no whole file from it, so that
    nothing is made twice. With its lease renewed it begins anew."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(20))
    encode, slept = OpenAIWire.encode_batch, list[float]()

    def sleepy(self: OpenAIWire, endpoint: str, body: bytes) -> Encoded:
        if bureau.calls["submit"] == 1 and not slept:
            slept.append(house.clock.mono_s())
            house.renewing = False
            house.clock.suspend(31)
        return encode(self, endpoint, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenAIWire, "encode_batch", sleepy)
        with pytest.raises(StaleLease):  # from the loop that claims; the step itself has ended before
            await house.run_for(60)
    assert slept
    assert bureau.jobs == {}
    house.renewing = True
    house.living._lease.tick([])
    house.living._lease.renew()
    await house.run(batch_id)
    assert len(bureau.jobs) == 1
    await whole(house, bureau, batch_id)
