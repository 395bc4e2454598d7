"""Native jobs from plan to output: cut by the provider's limits, made once, taken over, and what they leave goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.lane_choice import LaneOptions, Mode
from batchrouter.domain.lifecycle import BatchState, JobState
from batchrouter.domain.outcome import Record
from batchrouter.engine.jobs import collect, content
from batchrouter.errors import LineRefused
from batchrouter.providers.base import Encoded
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.bureau import OPTIONS, batch_house, quick
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, question, refuse


def jobs_of(house: House, batch_id: str) -> list[Any]:
    return house.store.jobs.jobs(batch_id)


def asked(house: House) -> list[str]:
    """What was sent in real time."""
    return sorted(question(body) for body in house.sent)


async def test_a_batch_runs_as_one_job_and_not_a_line_in_real_time() -> None:
    """Made once, looked at, taken over, discarded; the counts of the provider stand in the job's row."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert house.log == []
    (job,) = jobs_of(house, batch_id)
    assert (job.state, job.lines, job.completed, job.twice) == (JobState.COLLECTED, 30, 30, 0)
    assert bureau.jobs["ext-1"].discarded
    bureau.check()
    await house.check_whole(batch_id)


async def test_a_line_of_a_job_took_as_long_as_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt, and the time since the job was made."""
    house, _ = batch_house()
    worker = await house.new_worker()
    told: list[Any] = []
    add = worker.dispatcher.journal.add

    def noted(batch_id: str, text: bytes, fields: Any, *args: Any) -> None:
        told.append(fields)
        add(batch_id, text, fields, *args)

    monkeypatch.setattr(worker.dispatcher.journal, "add", noted)
    batch_id = await house.create(chat(6))
    await house.run(batch_id)
    records = [Record(*fields, 0, 0) for fields in told]
    assert {(each.attempts, each.status) for each in records} == {(1, 200)}
    assert all(10_000 <= each.latency_ms <= 15_000 for each in records)


async def test_lines_of_one_file_go_to_native_and_real_time_lanes_by_wish_model_and_worth() -> None:
    """A line's own mode goes before the batch's, and that before what is configured; people see one output."""
    house, bureau = batch_house()
    house.options_of = {"dear": LaneOptions(), "few": replace(OPTIONS, min_requests=3)}
    await house.new_worker()
    lines = chat(4) + chat(2, model="dear", start=4) + chat(2, model="few", start=6)
    lines[1]["mode"] = "realtime"
    lines[7]["mode"] = "batch"
    batch_id = await house.create(lines)
    await house.run(batch_id)
    assert asked(house) == ["question 1", "question 4", "question 5", "question 6"]
    assert sorted(len(job.lines) for job in bureau.jobs.values()) == [1, 3]
    bureau.check()
    await house.check_whole(batch_id)


@pytest.mark.parametrize(("mode", "jobs"), [("realtime", 0), ("batch", 1), ("auto", 0), ("nonsense", 1)])
async def test_the_batchs_metadata_may_wish_for_a_mode(mode: str, jobs: int) -> None:
    """Three words mean something; a batch asked for is made for a single line, auto looks at the worth."""
    house, bureau = batch_house()
    house.options = replace(OPTIONS, mode=Mode.BATCH, min_requests=100)
    await house.new_worker()
    batch_id = await house.create(chat(2), metadata={"mode": mode})
    await house.run(batch_id)
    assert len(bureau.jobs) == jobs
    await house.check_whole(batch_id)


async def test_a_wish_for_batch_where_there_is_none_is_served_in_real_time() -> None:
    """Of a batch or the configuration; a line that insists on it fails the batch."""
    house = House()
    house.options = LaneOptions(mode=Mode.BATCH)
    await house.new_worker()
    batch_id = await house.create(chat(2), metadata={"mode": "batch"})
    insisting = await house.create([chat(1)[0] | {"mode": "batch"}])
    await house.run(batch_id, insisting)
    await house.check_whole(batch_id)
    assert house.batch(insisting).state is BatchState.FAILED
    assert [error.code for error in house.batch(insisting).errors] == ["mode_unsupported"]


@pytest.mark.parametrize(
    ("facts", "sizes"),
    [
        ({"max_requests": 8}, [7, 7, 6]),
        ({"max_bytes": 2100}, [11, 9]),
        ({"enqueued_tokens": 400, "max_jobs": 1}, None),
        ({"max_requests": 8, "max_jobs": 1}, [7, 7, 6]),
    ],
)
async def test_lines_are_cut_by_the_providers_limits(
    facts: dict[str, Any], sizes: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards are split where a job is full; a twentieth of each limit stays in hand; every line is in one job."""
    cut_ranges(monkeypatch, 5)
    house, bureau = batch_house()
    bureau.facts = quick(**facts)
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run(batch_id)
    made = [job.lines for job in jobs_of(house, batch_id)]
    assert sum(made) == 20
    assert sizes is None or made == sizes
    assert all(job.bytes <= 0.95 * bureau.facts.max_bytes for job in jobs_of(house, batch_id))
    assert house.log == []
    bureau.check()
    await house.check_whole(batch_id)


async def test_a_line_that_fits_into_no_job_runs_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up none of the others."""
    cut_ranges(monkeypatch, 3)
    house, bureau = batch_house()
    bureau.facts = quick(max_bytes=3000)
    await house.new_worker()
    lines = chat(6)
    lines[4]["body"]["user"] = "x" * 4000
    batch_id = await house.create(lines)
    await house.run(batch_id)
    assert asked(house) == ["question 4"]
    assert [len(job.lines) for job in bureau.jobs.values()] == [5]
    bureau.check()
    await house.check_whole(batch_id)


class Picky(OpenAIWire):
    """Refuses line 2 and, as no batch, line 4; trips over line 3; and leaves a parameter out of the others."""

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        if question(body) == "question 2":
            raise LineRefused("not by me", code="unsupported_parameter", param="n")
        return super().encode(endpoint, body)

    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        match question(body):
            case "question 3":
                raise KeyError("ours")
            case "question 4":
                raise LineRefused("not in a batch", code="unsupported_parameter", param="speed")
        return self.encode(endpoint, body)._replace(dropped=("seed",))


async def test_a_line_that_its_provider_cannot_run_fails_and_is_left_out_of_the_job() -> None:
    """In the words that the provider would have used; what only a batch cannot have, and what we trip over, goes to
    real time; what was dropped is told."""
    house, bureau = batch_house()
    bureau.wire = lambda model: Picky("http://upstream.invalid/v1", model)
    await house.new_worker()
    batch_id = await house.create(chat(6))
    await house.run(batch_id)
    assert [len(job.lines) for job in bureau.jobs.values()] == [3]
    assert asked(house) == ["question 3", "question 4"]
    (line,) = await house.errors(batch_id)
    assert (line["custom_id"], line["response"]["status_code"]) == ("line-2", 400)
    assert line["response"]["body"]["error"]["code"] == "unsupported_parameter"
    assert (await house.output(batch_id))[0]["batchrouter"] == {"dropped": ["seed"]}
    assert (house.batch(batch_id).completed, house.batch(batch_id).failed) == (5, 1)
    bureau.check()


async def test_a_batch_of_refused_lines_alone_ends_without_a_job() -> None:
    """Nothing is left for one."""
    house, bureau = batch_house()
    bureau.wire = lambda model: Picky("http://upstream.invalid/v1", model)
    await house.new_worker()
    batch_id = await house.create(chat(1, start=2))
    await house.run(batch_id)
    assert (bureau.jobs, house.log, house.batch(batch_id).failed) == ({}, [], 1)


async def test_what_another_lane_may_answer_is_left_to_its_chain() -> None:
    """A refusal that a fallback is for, by the wire or by the provider, goes to real time, which sees to it; without a
    chain it is the line's outcome."""
    for chain in ((), ("spare",)):
        house, bureau = batch_house(lambda body: refuse(404, "model_not_found") if b'"m"' in body else echo(body))
        house.fallbacks = {"m": chain}
        bureau.wire = lambda model: Picky("http://upstream.invalid/v1", model)
        bureau.fate = lambda body: refuse(404, "model_not_found") if question(body) == "question 1" else echo(body)
        await house.new_worker()
        batch_id = await house.create(chat(3))
        await house.run(batch_id)
        failed = [line["custom_id"] for line in await house.errors(batch_id)]
        assert failed == ([] if chain else ["line-1", "line-2"])
        assert (house.log == []) is (not chain)
        await house.check_whole(batch_id)


def mixed_fate(body: bytes) -> Answer | None:
    """Line 1 is refused for good, 3 fails for a time, 5 was never run."""
    match int(question(body).split()[1]):
        case 1:
            return refuse(400, code="context_length_exceeded")
        case 3:
            return refuse(500)
        case 5:
            return None
        case _:
            return echo(body)


@pytest.mark.parametrize("omit", [False, True])
async def test_results_are_settled_or_left_by_whose_fault_they_are(omit: bool) -> None:
    """A refusal that lies in the line is its outcome; what may pass, what was not run and what is missing goes on in
    real time, a handful being no second job's worth."""
    house, bureau = batch_house()
    house.options = replace(OPTIONS, min_requests=5)
    bureau.fate, bureau.omit = mixed_fate, omit
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run(batch_id)
    assert asked(house) == ["question 3", "question 5"]
    assert [line["custom_id"] for line in await house.errors(batch_id)] == ["line-1"]
    (job,) = jobs_of(house, batch_id)
    assert why_of(job.reason) is Why.UNFINISHED
    bureau.check()
    await house.check_whole(batch_id)


async def test_what_a_job_leaves_gets_one_more_job_and_then_real_time() -> None:
    """A provider that expires its jobs half done is tried once more, if there is time, and not a third time."""
    house, bureau = batch_house()
    bureau.run_s, bureau.stall_at = 4.0, 4
    await house.new_worker()
    batch_id = await house.create(chat(12))

    def expire() -> None:
        for job in bureau.jobs.values():
            bureau.end(job)

    start_s = house.clock.mono_s()
    house.later = [(start_s + at_s, expire) for at_s in (8.0, 20.0)]
    await house.run(batch_id)
    assert [len(job.lines) for job in bureau.jobs.values()] == [12, 8]
    assert len(house.sent) == 4
    bureau.check()
    await house.check_whole(batch_id)


async def test_results_that_can_be_read_before_the_end_are_taken_over_as_they_come() -> None:
    """Lines are done while their job still runs; each is counted once."""
    house, bureau = batch_house()
    bureau.readable, bureau.run_s, bureau.facts = True, 20.0, quick(poll_max_s=0.5, poll_min_s=0.5)
    await house.new_worker()
    batch_id = await house.create(chat(20))
    done: list[int] = []
    for _ in range(18):
        await house.run_for(1.0)
        done.append(len(house.done(batch_id)))
    assert len(set(done)) > 3
    assert bureau.calls["results"] <= 10 < bureau.calls["look"]
    assert house.open_jobs(batch_id)
    await house.run(batch_id)
    assert house.log == []
    await house.check_whole(batch_id)


async def test_lines_of_a_job_cost_what_a_batch_costs() -> None:
    """Right to a billionth of a dollar, in the batch and in its lane."""
    house, _ = batch_house()
    house.card = RateCard((Tier(input=500_000, cached=0, written=0, output=2_000_000),))
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.tokens.input, batch.tokens.output) == (30, 20)
    assert (batch.cost_nano, batch.unpriced) == (10 * (3 * 500 + 2 * 2000), 0)
    share = house.share(batch_id, "m")
    assert (share.mode, share.done, share.cost_nano) == ("batch", 10, batch.cost_nano)


async def test_a_line_is_read_and_a_result_kept_only_with_a_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a job: of its input a portion is read at a time, of its results a portion waits to be
    written."""
    monkeypatch.setattr(content, "READ_LINES", 4)
    monkeypatch.setattr(collect, "PORTION_LINES", 3)
    house, bureau = batch_house(flush_s=1000.0)
    worker = await house.new_worker()
    reads: list[int] = []
    waiting: list[int] = []
    read_many, add = house.blobs.read_many, worker.dispatcher.journal.add

    async def counted(key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        reads.append(len(spans))
        return await read_many(key, spans)

    def noted(batch_id: str, *args: Any, **more: Any) -> None:
        add(batch_id, *args, **more)
        waiting.append(worker.dispatcher.journal._batches[batch_id].open.count)

    monkeypatch.setattr(house.blobs, "read_many", counted)
    monkeypatch.setattr(worker.dispatcher.journal, "add", noted)
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    assert (max(reads), max(waiting)) == (4, 3)
    bureau.check()
    await house.check_whole(batch_id)


async def test_a_lanes_row_tells_its_mode_and_what_a_job_has() -> None:
    """People see where their lines are."""
    house, _ = batch_house()
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run_for(3.0)
    share = house.share(batch_id, "m")
    assert (share.mode, share.in_job, share.waiting, share.state) == ("batch", 10, 0, "open")


async def test_tenants_share_a_lanes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one job at a time, a small batch of another tenant does not wait for all of a large one."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=6, max_jobs=1)
    bureau.run_s = 2.0
    house.add_tenant("other")
    await house.new_worker()
    large = await house.create(chat(40))
    await house.run_for(1.0)
    small = await house.create(chat(5, start=100), tenant="other")
    await house.run_until(lambda: house.batch(small, "other").state is BatchState.COMPLETED)
    assert len(house.done(large)) <= 15
    bureau.check()


async def test_a_batch_api_that_is_no_longer_configured_leaves_its_lines_to_real_time() -> None:
    """Lines that wait go at once; a job under way is given its time, and overtaken when that is over."""
    house, bureau = batch_house()
    bureau.facts = quick(max_requests=6, max_jobs=1)
    bureau.stall_at, bureau.run_s = 3, 5.0
    await house.new_worker()
    batch_id = await house.create(chat(10), window_ms=100_000)
    await house.run_for(3.0)
    assert len(bureau.jobs) == 1
    house.process.dead = True
    await house.bury()
    house.native = None
    house.options = LaneOptions(rate=10.0)
    await house.new_worker()
    await house.run_for(5.0)
    assert len(house.done(batch_id)) == 5
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    (job,) = jobs_of(house, batch_id)
    assert job.twice == 5
    await house.check_whole(batch_id)
