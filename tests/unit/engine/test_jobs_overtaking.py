"""The window is kept whatever a provider does: jobs are cancelled early enough, and lines sent anew only when they
must be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchrouter.domain.job import NativeFacts
from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lifecycle import BatchState
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import NativeUnknown
from tests.unit.engine.bureau import OPTIONS, Api, Bureau, batch_house, quick
from tests.unit.engine.house import Answer, House, chat, echo, question
from tests.unit.engine.test_jobs_refusals import failing, jobs_of, refused, whole

WINDOW_S = 100
MARGIN_S = 30


def at_s(house: House, batch_id: str) -> float:
    """Seconds since the batch was made."""
    return (house.clock.unix_ms() - house.batch(batch_id).created_ms) / 1000


async def test_a_job_that_stalls_is_cancelled_in_time_and_its_finished_lines_are_kept() -> None:
    """At the deadline, less what the rest needs in real time, less the margin; nothing of it is sent before it has
    ended, and no line is paid twice."""
    house, bureau = batch_house()
    bureau.stall_at, bureau.run_s = 7, 10.0
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    due_s = WINDOW_S - 20 / OPTIONS.rate - MARGIN_S
    await house.run_until(lambda: bureau.calls["cancel"] == 1)
    assert due_s <= at_s(house, batch_id) <= due_s + 2
    assert house.log == []
    await house.run(batch_id)
    assert at_s(house, batch_id) < WINDOW_S - 20
    assert len(house.sent) == 13
    (job,) = jobs_of(house, batch_id)
    assert (why_of(job.reason), job.twice) == (Why.OVERTAKEN, 0)
    await whole(house, bureau, batch_id)


async def test_a_cancel_that_does_not_end_is_overtaken_by_force_and_late_results_still_count() -> None:
    """With a fifth of the margin left the lines are sent, and counted; what the job then tells settles those that are
    not done yet."""
    slow = {"question 3", "question 11"}

    def upstream(body: bytes) -> Answer:
        return Answer(silent=True) if question(body) in slow else echo(body, delay_s=0.05)

    house, bureau = batch_house(upstream)
    bureau.stall_at, bureau.run_s, bureau.cancel_s = 7, 10.0, 27.0
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run_until(lambda: bool(house.log))
    due_s = WINDOW_S - 20 / OPTIONS.rate - MARGIN_S / 5
    assert due_s <= at_s(house, batch_id) <= due_s + 2
    (job,) = jobs_of(house, batch_id)
    assert job.twice == 20
    await house.run(batch_id)
    batch = house.batch(batch_id)
    # 3 came from the job, too late for any other; 11 was run nowhere.
    assert (batch.state, batch.completed) == (BatchState.EXPIRED, 19)
    assert [line["custom_id"] for line in await house.errors(batch_id)] == ["line-11"]
    await house.run_until(lambda: not house.open_jobs(batch_id))
    bureau.check()
    await house.check_whole(batch_id)


async def test_a_forced_batch_completes_and_its_job_is_cancelled_after_the_fact() -> None:
    """The batch does not wait for it; nothing that it says changes a batch that is final."""
    house, bureau = batch_house()
    bureau.stall_at, bureau.run_s = 7, 10.0
    bureau.faults = lambda verb, done: NativeUnknown("lost") if verb == "cancel" and mute else None
    mute = True
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run(batch_id)
    ended = house.batch(batch_id)
    assert ended.state is BatchState.COMPLETED
    (job,) = house.open_jobs(batch_id)
    assert (job.twice, bureau.jobs["ext-1"].cancel_s) == (20, None)
    mute = False
    await house.run_until(lambda: not house.open_jobs(batch_id))
    assert bureau.jobs["ext-1"].cancel_s is not None
    (job,) = jobs_of(house, batch_id)
    assert why_of(job.reason) is Why.CLOSED
    assert house.batch(batch_id) == ended
    await whole(house, bureau, batch_id)


async def test_a_job_nobody_can_reach_is_given_up_when_its_batch_is_over() -> None:
    """After some tries its row is ended, and the log says that it may still run."""
    house, bureau = batch_house()
    bureau.stall_at = 7
    bureau.faults = lambda verb, done: NativeUnknown("away") if verb in ("cancel", "look") else None
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    await house.run_until(lambda: not house.open_jobs(batch_id))
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("verb", ["submit", "look", "cancel", "results"])
async def test_an_api_that_hangs_is_overtaken_too(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an answer longer than the window allows."""
    house, bureau = batch_house()
    bureau.run_s = 10.0
    bureau.stall_at = 7 if verb == "cancel" else None
    call = Api._call

    async def hang(self: Api, asked: str, act: Any) -> Any:
        result = await call(self, asked, act)
        if asked == verb:
            await asyncio.Event().wait()
        return result

    monkeypatch.setattr(Api, "_call", hang)
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.do(house.living.duties_once())
    house.patient = True
    await house.run_until(lambda: house.batch(batch_id).state is BatchState.COMPLETED)
    assert len(house.sent) == 20
    await house.check_whole(batch_id)
    # Nor for ever afterwards.
    await house.run_until(lambda: not house.open_jobs(batch_id), limit=20_000)


async def test_a_fault_of_ours_does_not_cost_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """However each look at the job ends, its lines are sent in time."""
    house, bureau = batch_house()
    bureau.run_s = 10.0
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run_until(lambda: len(bureau.jobs) == 1)

    def broken(self: Bureau, job: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(Bureau, "seen", broken)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert len(house.sent) == 20


async def test_lines_that_wait_without_a_job_are_overtaken_by_the_same_rule() -> None:
    """A paused lane keeps its lines until then, and no longer."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=6, max_jobs=1)
    bureau.faults = lambda verb, done: refused(401) if verb == "submit" else None
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run_until(lambda: bool(house.log))
    due_s = WINDOW_S - 20 / OPTIONS.rate - MARGIN_S
    assert due_s - 1 <= at_s(house, batch_id) <= due_s + 3
    await house.run(batch_id)
    (job,) = jobs_of(house, batch_id)
    assert (why_of(job.reason), job.twice) == (Why.OVERTAKEN, 0)
    await whole(house, bureau, batch_id)


async def test_a_create_that_may_have_happened_is_overtaken_by_force_alone() -> None:
    """Until then it may turn up; it never does, and its lines count as perhaps paid twice."""
    house, bureau = batch_house(lost_create_s=500.0)
    bureau.faults = failing("submit", NativeUnknown("lost"))
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run_until(lambda: bool(house.log))
    assert at_s(house, batch_id) >= WINDOW_S - 20 / OPTIONS.rate - MARGIN_S / 5
    await house.run(batch_id)
    (job,) = jobs_of(house, batch_id)
    assert job.twice == 20
    await whole(house, bureau, batch_id)


async def test_a_create_that_is_refused_too_late_leaves_its_lines_to_real_time_at_once() -> None:
    """It took until after the time of overtaking: nothing was made, so that nothing may be paid twice."""
    house, bureau = batch_house()
    bureau.slow_s = 70.0
    bureau.faults = lambda verb, done: refused(429) if verb == "submit" else None
    house.patient = True
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run_until(lambda: bool(house.log))
    assert at_s(house, batch_id) <= 74
    await house.run(batch_id)
    (job,) = jobs_of(house, batch_id)
    assert (why_of(job.reason), job.twice) == (Why.OVERTAKEN, 0)
    await whole(house, bureau, batch_id)


async def test_a_create_that_was_lost_is_not_made_again_too_late() -> None:
    """When the list has shown nothing for long enough there is no time for a job any more."""
    house, bureau = batch_house()
    bureau.slow_s = 62.0
    bureau.faults = failing("submit", NativeUnknown("lost"))
    house.patient = True
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run(batch_id)
    (job,) = jobs_of(house, batch_id)
    assert (why_of(job.reason), job.twice, bureau.calls["submit"]) == (Why.OVERTAKEN, 0, 1)
    await whole(house, bureau, batch_id)


async def test_a_cancel_that_was_not_heard_is_asked_again() -> None:
    """A provider that took it and goes on."""
    house, bureau = batch_house()
    bureau.stall_at, bureau.run_s, bureau.deaf = 7, 10.0, 2
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run(batch_id)
    (job,) = jobs_of(house, batch_id)
    assert (bureau.calls["cancel"], job.twice) == (3, 0)
    await whole(house, bureau, batch_id)


@pytest.mark.parametrize("cancel_s", [0.0, 3.0, None])
@pytest.mark.parametrize("after_s", [0.0, 0.5, 4.0, 12.0])
async def test_a_cancel_waits_for_what_jobs_have_finished_and_not_for_ever(
    after_s: float, cancel_s: float | None
) -> None:
    """In whatever phase: results of finished lines stand in the output, the rest is told as cancelled; a provider that
    does not cancel holds the batch up for `cancel_wait_s`, and other batches not at all."""
    house, bureau = batch_house()
    bureau.stall_at, bureau.run_s, bureau.cancel_s = 7, 10.0, cancel_s
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(after_s)
    house.cancel(batch_id)
    asked_s = at_s(house, batch_id)
    house.options_of = {"other": LaneOptions()}
    other = await house.create(chat(3, model="other", start=50))
    await house.run_until(lambda: house.batch(other).state is BatchState.COMPLETED)
    assert at_s(house, batch_id) - asked_s <= 3
    await house.run(batch_id)
    waited_s = at_s(house, batch_id) - asked_s
    batch = house.batch(batch_id)
    assert batch.state is BatchState.CANCELLED
    assert not [body for body in house.sent if int(question(body).split()[1]) < 50]
    if cancel_s is None and bureau.jobs:
        assert 20 <= waited_s <= 23
        assert batch.completed == 0
    else:
        assert waited_s <= 12
        assert batch.completed == sum(bureau.done(job) for job in bureau.jobs.values())
    await house.run_until(lambda: not house.open_jobs(batch_id))
    bureau.check()
    await house.check_whole(batch_id)


@pytest.mark.parametrize("after_s", [30.0, 47.0, 1000.0])
async def test_a_provider_may_take_ten_minutes_to_cancel(after_s: float) -> None:
    """As OpenAI may; with the polls and waits that hold if nothing is configured, what it has finished is kept."""
    house, bureau = batch_house(cancel_wait_s=EngineSettings().cancel_wait_s)
    bureau.facts = NativeFacts()
    bureau.stall_at, bureau.cancel_s = 7, 600.0
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(after_s)
    house.cancel(batch_id)
    await house.run(batch_id)
    assert (house.batch(batch_id).state, house.batch(batch_id).completed) == (BatchState.CANCELLED, 7)


async def test_an_expired_batch_keeps_what_its_jobs_have_finished() -> None:
    """Where overtaking was too late: the job is cancelled and read before the rest is told as expired."""
    house, bureau = batch_house(overtake_margin_s=0.0)
    bureau.stall_at, bureau.run_s, bureau.cancel_s = 7, 10.0, 5.0
    house.upstream = lambda body: Answer(silent=True)
    await house.new_worker()
    batch_id = await house.create(chat(20), window_ms=WINDOW_S * 1000)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.state, batch.completed) == (BatchState.EXPIRED, 7)
    bureau.check()
    await house.check_whole(batch_id)


async def test_a_stop_lets_steps_end_and_begins_no_more() -> None:
    """What was submitted is known after the next start; a reply that does not come in the grace is looked for then."""
    for held_up in (False, True):
        house, bureau = batch_house()
        await house.new_worker()
        batch_id = await house.create(chat(5))
        await house.do(house.living.duties_once())
        await house.do(house.living.jobs_once())
        bureau.held_up = asyncio.Event()
        await house.living.jobs.begin()
        await house.settle()
        if not held_up:
            bureau.held_up.set()
        await house.stop(1.0)
        bureau.held_up.set()
        await house.new_worker()
        await house.run(batch_id)
        assert bureau.calls["find"] == int(held_up)
        await whole(house, bureau, batch_id)


async def test_only_as_many_jobs_step_at_once_as_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads that take their time leave room for none more, and the others wait their turn."""
    monkeypatch.setattr("batchrouter.engine.jobs.loop.STEPS_AT_ONCE", 3)
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=2)
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.do(house.living.duties_once())
    bureau.held_up = asyncio.Event()
    for _ in range(5):
        await house.living.jobs.begin()
        await house.settle()
    assert len(bureau.jobs) == 3
    bureau.held_up.set()
    await house.settle()
    await house.run(batch_id)
    assert len(bureau.jobs) == 10
    await whole(house, bureau, batch_id)


def test_the_bureau_itself_is_strict() -> None:
    """A double that would not notice a line that is run twice proves nothing."""

    async def run() -> None:
        house, bureau = batch_house()
        await house.new_worker()
        batch_id = await house.create(chat(3))
        await house.run(batch_id)
        (job,) = bureau.jobs.values()
        lines = [b'{"custom_id":"%s","body":%b}' % (key.replace("job", "x").encode(), body) for key, body in job.lines]
        bureau.file(type("Draft", (), {"tag": "x"})(), lines)
        assert len(bureau.crimes) == 3

    asyncio.run(run())
