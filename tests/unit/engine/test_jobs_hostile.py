"""Providers that lie about their jobs: every line ends once with its own answer, and nobody is asked in a loop."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from batchrouter.domain.job import JobPhase
from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.errors import NativeError, NativeRefused, NativeUnknown
from tests.unit.engine.bureau import Filed, batch_house
from tests.unit.engine.house import House, chat, cut_ranges
from tests.unit.engine.test_jobs_refusals import failing, jobs_of, refused, whole

Results = Callable[[Filed], list[bytes]]


def answer(key: object, said: str, **more: Any) -> bytes:
    body = {"model": "m", "choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    return json.dumps(
        {"custom_id": key, "response": {"status_code": 200, "body": body}, "error": None, **more}
    ).encode()


async def own_answers(house: House, batch_id: str) -> None:
    """Each line that succeeded has the answer to its own question."""
    for line in await house.output(batch_id):
        said = line["response"]["body"]["choices"][0]["message"]["content"]
        assert said == f"question {line['custom_id'].rpartition('-')[2]}"


NO_ANSWERS: list[dict[str, Any]] = [
    {"response": None, "error": None},
    {"response": {"status_code": 0, "body": {}}},
    {"response": {"status_code": "x", "body": {}}},
    {"response": {"status_code": 2**70, "body": {}}},
    {"response": {"status_code": 200, "body": None}},
    {"response": []},
    {"error": {"code": {"a": 1}}},
    {"error": "batch_expired"},
    # These are answers, if none that counts: a second one for the same line is not waited for.
    {"response": {"status_code": 200, "body": {"error": {"message": "no", "code": 502}}}},
    {"response": {"status_code": 500, "body": {"error": {}}}},
    {"response": {"status_code": 401, "body": {"error": {"code": "invalid_api_key"}}}},
]
RUBBISH: dict[str, Callable[[str, Filed], list[bytes]]] = {
    "of nobody": lambda tag, job: [answer("r-1", "x"), answer("", "x"), answer(None, "x"), answer(7, "x")],
    "of another job": lambda tag, job: [answer(f"job_{'0' * 24}-{number}", "x") for number in range(15)],
    "of lines that were never sent": lambda tag, job: [
        answer(f"{tag}-{number}", "x") for number in (15, 16, 999, 10**10, 10**30, -1, "²", "1 ", "", "0x1")
    ],
    "no lines of results": lambda tag, job: [b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a":1e999}'],
    "without an answer": lambda tag, job: [
        json.dumps({"custom_id": f"{tag}-{number}", **odd}).encode() for number, odd in enumerate(NO_ANSWERS)
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", RUBBISH)
async def test_rubbish_among_the_results_settles_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that have their results keep them; those of which there is only rubbish are run in real time."""
    cut_ranges(monkeypatch, 4)
    house, bureau = batch_house()
    real = bureau.results

    def results(job: Filed) -> list[bytes]:
        rubbish = RUBBISH[name](job.tag, job)
        mixed = [*rubbish, *real(job), *rubbish]
        random.Random(3).shuffle(mixed)
        return mixed

    bureau.results = results  # type: ignore[method-assign]
    await house.new_worker()
    batch_id = await house.create(chat(15))
    await house.run(batch_id)
    await own_answers(house, batch_id)
    assert house.batch(batch_id).completed == 15
    if name != "without an answer":
        assert house.log == []
        bureau.check()
    await house.check_whole(batch_id)


async def test_what_is_told_twice_counts_once() -> None:
    """The first answer stands, whatever the second says; an end without an answer is none."""
    house, bureau = batch_house()
    real = bureau.results

    def results(job: Filed) -> list[bytes]:
        expired = [json.dumps({"custom_id": key, "error": {"code": "batch_expired"}}).encode() for key, _ in job.lines]
        return [*expired, *real(job), *[answer(key, "another") for key, _ in job.lines], *expired]

    bureau.results = results  # type: ignore[method-assign]
    await house.new_worker()
    batch_id = await house.create(chat(15))
    await house.run(batch_id)
    await own_answers(house, batch_id)
    assert house.log == []
    await whole(house, bureau, batch_id)


async def test_results_that_are_all_missing_are_run_once_more_and_then_in_real_time() -> None:
    """A job that has ended well, by its own word, and has nothing to show for it."""
    house, bureau = batch_house()
    bureau.results = lambda job: []  # type: ignore[method-assign]
    await house.new_worker()
    batch_id = await house.create(chat(15))
    await house.run(batch_id)
    assert len(jobs_of(house, batch_id)) == 2
    assert len(house.sent) == 15
    await own_answers(house, batch_id)
    await house.check_whole(batch_id)


async def test_an_answer_of_many_megabytes_is_one_answer() -> None:
    """Beside others, in its own line."""
    house, bureau = batch_house()
    real = bureau.results
    long = "x" * 20_000_000

    def results(job: Filed) -> list[bytes]:
        return [answer(job.lines[3][0], long), *real(job)]

    bureau.results = results  # type: ignore[method-assign]
    await house.new_worker()
    batch_id = await house.create(chat(6))
    await house.run(batch_id)
    said = [line["response"]["body"]["choices"][0]["message"]["content"] for line in await house.output(batch_id)]
    assert [len(each) for each in said] == [10, 10, 10, 20_000_000, 10, 10]
    assert house.log == []


@pytest.mark.parametrize("phases", [[JobPhase.RUNNING] * 3 + [JobPhase.CANCELLING] * 3, [JobPhase.CANCELLING] * 50])
async def test_a_job_that_changes_its_mind_is_followed_to_its_end(phases: list[JobPhase]) -> None:
    """Words in any order, a cancel that nobody asked for: only an end is an end."""
    house, bureau = batch_house()
    real, told = bureau.phase, list(phases)
    bureau.phase = lambda job: told.pop(0) if told else real(job)  # type: ignore[method-assign]
    await house.new_worker()
    batch_id = await house.create(chat(15))
    await house.run(batch_id)
    assert house.log == []
    await whole(house, bureau, batch_id)


# --- nobody is asked in a loop ----------------------------------------------------------------------------------------

WINDOW_S = 1800
UNANSWERED: dict[str, Callable[[str, bool], NativeError | None]] = {
    "pages instead of jobs": lambda verb, done: NativeUnknown("no JSON") if done and verb == "submit" else None,
    "no list": lambda verb, done: NativeUnknown("no list") if verb in ("submit", "find") else None,
    "redirects": lambda verb, done: NativeRefused("moved", status=302) if verb != "submit" else None,
    "results that are never there": lambda verb, done: refused(404) if verb == "results" else None,
    "results that break off": lambda verb, done: NativeUnknown("cut") if verb == "results" else None,
    "nothing is known": lambda verb, done: refused(404) if verb != "submit" else None,
    "faults of the server": lambda verb, done: refused(500) if verb != "submit" else None,
    "too many questions": lambda verb, done: refused(429) if verb != "submit" else None,
    "a key that is refused later": lambda verb, done: refused(401) if verb != "submit" else None,
    "nobody answers": lambda verb, done: NativeUnknown("away", sent=False),
}


@pytest.mark.parametrize("name", UNANSWERED)
async def test_a_window_is_kept_and_few_questions_are_asked(name: str) -> None:
    """Whatever befalls the questions: all lines have their answers in time, after at most one question in 3 s."""
    house, bureau = batch_house(lost_create_s=180.0)
    bureau.faults = UNANSWERED[name]
    bureau.lag_s = float("inf")
    await house.new_worker()
    batch_id = await house.create(chat(15), window_ms=WINDOW_S * 1000)
    start_s = house.clock.mono_s()
    await house.run(batch_id, limit=20_000)
    took_s = house.clock.mono_s() - start_s
    assert took_s < WINDOW_S
    assert bureau.calls.total() <= 10 + took_s / 3
    batch = house.batch(batch_id)
    assert (batch.state, batch.completed) == (BatchState.COMPLETED, 15)
    await own_answers(house, batch_id)
    await house.check_whole(batch_id)
    await house.run_until(lambda: not house.open_jobs(batch_id), limit=20_000)
    assert bureau.calls.total() <= 40 + (house.clock.mono_s() - start_s) / 3


async def test_a_job_that_never_ends_and_is_never_cancelled_costs_few_questions() -> None:
    """In progress for ever, deaf to every cancel."""
    house, bureau = batch_house()
    bureau.run_s, bureau.cancel_s, bureau.deaf = 1e9, None, 10**9
    await house.new_worker()
    batch_id = await house.create(chat(15), window_ms=WINDOW_S * 1000)
    await house.run(batch_id, limit=20_000)
    assert house.batch(batch_id).completed == 15
    assert bureau.calls.total() <= WINDOW_S / 3
    await house.check_whole(batch_id)
    await house.run_until(lambda: not house.open_jobs(batch_id), limit=20_000)


async def test_who_asks_to_come_back_tomorrow_does_not_keep_an_ended_batchs_job_open() -> None:
    """A job that counts as under way takes the room of others."""
    house, bureau = batch_house()
    bureau.run_s = 1e9
    bureau.faults = lambda verb, done: refused(429, None, 86_400.0) if verb in ("cancel", "look") else None
    await house.new_worker()
    batch_id = await house.create(chat(15), window_ms=WINDOW_S * 1000)
    await house.run_for(30.0)
    house.cancel(batch_id)
    await house.run_until(lambda: house.batch(batch_id).state in BATCH_FINAL, limit=20_000)
    begin_s = house.clock.mono_s()
    await house.run_until(lambda: not house.open_jobs(batch_id), limit=50_000, step_s=1.0)
    assert house.clock.mono_s() - begin_s < 2 * 3600


# --- jobs without a tag -----------------------------------------------------------------------------------------------


async def test_two_batches_alike_whose_creates_were_both_lost_find_their_own() -> None:
    """The same lines at the same time: each ends with answers of its own job, and none is made twice."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s = True, 3.0
    bureau.faults = failing("submit", NativeUnknown("lost"), NativeUnknown("lost"), done=True)
    await house.new_worker()
    first, second = await house.create(chat(5)), await house.create(chat(5, start=5))
    await house.run(first, second)
    assert bureau.calls["submit"] == 2
    for batch_id in (first, second):
        await own_answers(house, batch_id)
    assert house.log == []
    await whole(house, bureau, first, second)


async def test_a_cancelled_batch_takes_no_other_batchs_job_with_it() -> None:
    """What was found by count and time alone may be another's: it is not cancelled, and not deleted, before its
    results have proved whose it is."""
    house, bureau = batch_house()
    bureau.tagless, bureau.run_s = True, 10.0
    await house.new_worker()
    other = await house.create(chat(5))
    await house.run_for(1.0)
    bureau.faults = failing("submit", NativeUnknown("lost"))
    mine = await house.create(chat(5, start=5))
    await house.run_until(lambda: bool(jobs_of(house, mine) and jobs_of(house, mine)[0].ext_id))
    house.cancel(mine)
    await house.run(mine, other)
    assert house.batch(mine).state is BatchState.CANCELLED
    assert house.batch(other).completed == 5
    assert bureau.jobs["ext-1"].cancel_s is None
    (job,) = jobs_of(house, other)
    assert why_of(job.reason) not in (Why.GONE, Why.UNFINISHED)
    assert len(house.sent) == 0
    await own_answers(house, other)
