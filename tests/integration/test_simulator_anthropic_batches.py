"""The simulator's Message Batches, judged by the vendor's own client: their whole life, and what may befall it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from batchrouter.simulator import Match, Rule, Script, Simulator, Then, expected_key
from batchrouter.simulator.anthropic.batch_run import SLICE, BatchRun, Line
from batchrouter.simulator.jobscript import Batches, FailJob, FailLines, JobMatch, JobRule, Life, RefuseCreate
from batchrouter.simulator.log import NATIVE
from batchrouter.simulator.process import SimulatorProcess, running_simulator

PATIENCE_S = 10.0
MODEL = "claude-haiku-4-5"


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=["--keep-bodies"]) as simulator:
        yield simulator


@pytest.fixture
def fresh(process: SimulatorProcess) -> SimulatorProcess:
    """The shared process with an empty log, an empty script and no jobs."""
    process.set_script(Script())
    process.reset()
    return process


@pytest.fixture
def client(fresh: SimulatorProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fresh.url, api_key="any", max_retries=0) as made:
        yield made


def params(text: str, **members: Any) -> Any:
    """In the order in which the client writes a message."""
    return {"max_tokens": 99, "messages": [{"role": "user", "content": text}], "model": MODEL, **members}


def requests(*texts: str) -> list[Any]:
    return [{"custom_id": f"line-{number}", "params": params(text)} for number, text in enumerate(texts)]


def live(simulator: SimulatorProcess, *, jobs: Sequence[JobRule] = (), **members: Any) -> None:
    simulator.set_script(Script(batches=Batches(jobs=tuple(jobs), **members)))


def ended(client: anthropic.Anthropic, batch_id: str) -> MessageBatch:
    """The batch once it has ended; whatever is told before then is whole as well."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        batch = client.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            return batch
        assert batch.results_url is None
        counts = batch.request_counts
        assert counts.processing > 0
        assert counts.succeeded == counts.errored == counts.canceled == counts.expired == 0
    raise AssertionError("the batch never ended")


def results(client: anthropic.Anthropic, batch_id: str) -> dict[str, MessageBatchIndividualResponse]:
    told = {one.custom_id: one for one in client.messages.batches.results(batch_id)}
    for one in told.values():
        MessageBatchIndividualResponse.model_validate_json(one.model_dump_json(), strict=True)
    return told


def counted(batch: MessageBatch) -> dict[str, int]:
    return {name: count for name, count in batch.request_counts.to_dict().items() if count}


# --- the whole life -------------------------------------------------------------------------------------------------


def test_a_batch_is_made_run_read_and_deleted(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    texts = [f"number {number}" for number in range(20)]
    made = client.messages.batches.create(requests=requests(*texts))
    assert (made.processing_status, made.results_url, counted(made)) == ("in_progress", None, {"processing": 20})
    assert (made.expires_at - made.created_at).total_seconds() == 86_400
    batch = ended(client, made.id)
    assert counted(batch) == {"succeeded": 20}
    assert batch.ended_at is not None
    assert batch.results_url == f"{fresh.url}/v1/messages/batches/{made.id}/results"
    told = list(client.messages.batches.results(made.id))
    assert [one.custom_id for one in told] != [f"line-{number}" for number in range(20)]
    for one in told:
        assert one.result.type == "succeeded"
        assert one.result.message.usage.service_tier == "batch"
        text: Any = one.result.message.content[0]
        assert text.text.endswith(f": number {one.custom_id.removeprefix('line-')}")
    assert client.messages.batches.delete(made.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(made.id)


def test_the_log_tells_each_line_that_ran_and_where(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    """By its key a line is the same natively and in real time, where its bytes are."""
    made = client.messages.batches.create(requests=requests("one", "two"))
    ended(client, made.id)
    client.messages.create(**params("two"))
    log = fresh.log()
    native = [entry for entry in log if entry.end == NATIVE]
    assert {(entry.job, entry.custom_id, entry.path, entry.model, entry.status) for entry in native} == {
        (made.id, "line-0", "/v1/messages", MODEL, 200),
        (made.id, "line-1", "/v1/messages", MODEL, 200),
    }
    by_line = {entry.custom_id: entry for entry in native}
    real_time = log[-1]
    assert real_time.job == ""
    assert by_line["line-1"].key == real_time.key == expected_key(str(real_time.text).encode())
    assert by_line["line-0"].completion_tokens > 0


async def test_the_asynchronous_client_drives_it_too(fresh: SimulatorProcess) -> None:
    async with anthropic.AsyncAnthropic(base_url=fresh.url, api_key="any", max_retries=0) as client:
        batches = client.messages.batches
        live(fresh, stall_after=0)
        made = await batches.create(requests=requests("a", "b"))
        assert [one.id async for one in batches.list()] == [made.id]
        canceled = await batches.cancel(made.id)
        assert canceled.cancel_initiated_at is not None
        until = time.monotonic() + PATIENCE_S
        while (await batches.retrieve(made.id)).processing_status != "ended":
            assert time.monotonic() < until
        kinds = [one.result.type async for one in await batches.results(made.id)]
        assert kinds == ["canceled", "canceled"]
        assert (await batches.delete(made.id)).id == made.id


def test_batches_are_listed_newest_first_page_by_page(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    made = [client.messages.batches.create(requests=requests(str(number))).id for number in range(5)]
    assert [one.id for one in client.messages.batches.list(limit=2)] == made[::-1]
    back = client.messages.batches.list(before_id=made[0], limit=2)
    assert ([one.id for one in back.data], back.has_more) == ([made[2], made[1]], True)
    live(fresh, list_delay_s=600)
    assert client.messages.batches.list().data == []


# --- what may befall it ---------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_line_is_told_in_its_result(client: anthropic.Anthropic) -> None:
    """And never at create."""
    lines = requests("good", "bad", "streamed", "none", "unknown")
    lines[1]["params"]["messages"] = []
    lines[2]["params"]["stream"] = True
    lines[3]["params"]["max_tokens"] = 0
    lines[4]["params"]["n"] = 2
    made = client.messages.batches.create(requests=lines)
    assert counted(ended(client, made.id)) == {"succeeded": 1, "errored": 4}
    told = results(client, made.id)
    for name, words in (
        ("line-1", "at least one message"),
        ("line-2", "streaming is not supported"),
        ("line-3", "max_tokens: 0"),
        ("line-4", "n: Extra inputs"),
    ):
        result = told[name].result
        assert result.type == "errored"
        assert (result.error.type, result.error.error.type) == ("error", "invalid_request_error")
        assert words in result.error.error.message
        assert result.error.request_id


def test_rules_and_failing_lines_decide_about_lines(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    fails = (FailLines(every=3, status=529), FailLines(share=0))
    poison = Rule(match=Match(contains="poison", native=True), then=Then(status=400, message="No."))
    garbled = Rule(match=Match(contains="garbled", native=True), then=Then(status=502, body="<html>"))
    fresh.set_script(Script(rules=(poison, garbled), batches=Batches(fail_lines=fails)))
    made = client.messages.batches.create(requests=requests("honey", "poison", "third", "garbled"))
    assert counted(ended(client, made.id)) == {"succeeded": 1, "errored": 3}
    errors = [one.result.error.error for one in results(client, made.id).values() if one.result.type == "errored"]
    assert sorted(error.type for error in errors) == ["api_error", "invalid_request_error", "overloaded_error"]


def test_a_cancel_takes_its_time_and_keeps_what_was_done(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    live(fresh, stall_after=2, cancel_s=0.1)
    made = client.messages.batches.create(requests=requests(*"abcde"))
    canceled = client.messages.batches.cancel(made.id)
    assert (canceled.processing_status, canceled.results_url) == ("canceling", None)
    assert client.messages.batches.cancel(made.id).cancel_initiated_at == canceled.cancel_initiated_at
    batch = ended(client, made.id)
    assert counted(batch) == {"succeeded": 2, "canceled": 3}
    assert batch.ended_at is not None
    assert batch.cancel_initiated_at is not None
    assert (batch.ended_at - batch.cancel_initiated_at).total_seconds() == pytest.approx(0.1, abs=1e-5)
    assert len(results(client, made.id)) == 5
    assert len([entry for entry in fresh.log() if entry.end == NATIVE]) == 2
    with pytest.raises(anthropic.BadRequestError, match="has ended already"):
        client.messages.batches.cancel(made.id)


@pytest.mark.parametrize(("keeps", "kept"), [(None, 3), (False, 0)])
def test_an_expired_batch_delivers_its_finished_lines(
    client: anthropic.Anthropic, fresh: SimulatorProcess, keeps: bool | None, kept: int
) -> None:
    live(fresh, stall_after=3, expire_after_s=0.05, expire_keeps=keeps)
    made = client.messages.batches.create(requests=requests(*"abcde"))
    batch = ended(client, made.id)
    assert batch.request_counts.expired == 5 - kept
    kinds = sorted(one.result.type for one in results(client, made.id).values())
    assert kinds == ["expired"] * (5 - kept) + ["succeeded"] * kept


def test_a_batch_can_stall_and_be_steered(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    """It neither ends by itself, nor can it be read or deleted before it has."""
    live(fresh, stall_after=1)
    made = client.messages.batches.create(requests=requests(*"abc"))
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        client.messages.batches.results(made.id)
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        client.messages.batches.delete(made.id)
    assert fresh.jobs()[0]["dialect"] == "anthropic"
    fresh.steer(made.id, "finish")
    assert counted(ended(client, made.id)) == {"succeeded": 3}


class StandingClock:
    """A loop whose time stands still; some loops' does for a millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._now_s = loop.time()

    def time(self) -> float:
        return self._now_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def test_a_batch_that_is_finished_while_it_works_runs_every_line() -> None:
    """Even when that happens between two lines, in what the clock calls the same moment."""
    simulator = Simulator(Script(batches=Batches(stall_after=SLICE)))
    await simulator.start()
    simulator.loop = StandingClock(simulator.loop)  # type: ignore[assignment]
    simulator.script = simulator.script
    lines = [Line(f"line-{number}", msgspec.Raw(json.dumps(params("a")).encode())) for number in range(2 * SLICE)]
    run = BatchRun(simulator, lines, 0, simulator.loop.time())
    async with asyncio.timeout(PATIENCE_S):
        while len(simulator.log) < SLICE:  # noqa: ASYNC110 - turn by turn, so that it is met in the middle
            await asyncio.sleep(0)
        run.job.finish(simulator.loop.time())
        run.poke()
        while not run.has_ended(simulator.loop.time()):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert run.counts["succeeded"] == 2 * SLICE
    await simulator.stop()


def test_lines_finish_one_after_the_other_but_show_only_at_the_end(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    live(fresh, lines_per_s=100)
    made = client.messages.batches.create(requests=requests(*"abcdefgh"))
    assert counted(ended(client, made.id)) == {"succeeded": 8}  # `ended` sees that nothing is counted before
    moments = [entry.ms for entry in fresh.log() if entry.end == NATIVE]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] >= 50


def test_the_reply_to_create_can_be_lost_though_the_batch_is_made(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    live(fresh, lost_create=1)
    with pytest.raises(anthropic.APIConnectionError):
        client.messages.batches.create(requests=requests("a"))
    (found,) = client.messages.batches.list()
    assert counted(ended(client, found.id)) == {"succeeded": 1}
    assert client.messages.batches.create(requests=requests("b")).id != found.id


def test_a_create_can_be_refused_and_the_queue_can_be_full(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    live(fresh, refuse_create=RefuseCreate(status=529, retry_after_s=7, first=1), enqueued_tokens=100, stall_after=0)
    with pytest.raises(anthropic.OverloadedError) as caught:
        client.messages.batches.create(requests=requests("a"))
    assert caught.value.response.headers["retry-after"] == "7"
    first = client.messages.batches.create(requests=requests("a"))
    with pytest.raises(anthropic.RateLimitError):
        client.messages.batches.create(requests=requests("a" * 400))
    client.messages.batches.cancel(first.id)
    ended(client, first.id)
    assert client.messages.batches.create(requests=requests("b")).processing_status == "in_progress"


def test_a_job_that_fails_as_a_whole_is_an_error_of_every_line(
    client: anthropic.Anthropic, fresh: SimulatorProcess
) -> None:
    live(fresh, jobs=[JobRule(match=JobMatch(model="claude-*"), then=Life(fail_job=FailJob()))])
    made = client.messages.batches.create(requests=requests("a", "b"))
    assert counted(ended(client, made.id)) == {"errored": 2}
    assert {one.result.type for one in results(client, made.id).values()} == {"errored"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "at least 1 item"),
        ([{"custom_id": "a b", "params": {}}], "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "x" * 65, "params": {}}], "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "a", "params": {}}] * 2, "requests.1.custom_id: 'a' is not unique"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([{"custom_id": "a", "params": {}, "url": "/v1"}], "requests.0.url: Extra inputs"),
        ([{"custom_id": str(number), "params": {}} for number in range(6)], "at most 5 items"),
    ],
)
def test_the_envelope_is_judged_at_create(
    client: anthropic.Anthropic, fresh: SimulatorProcess, lines: Any, words: str
) -> None:
    live(fresh, max_requests=5)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.batches.create(requests=lines)
    assert words in str(caught.value.api_message)
    assert client.messages.batches.list().data == []


def test_a_batch_may_be_too_large(client: anthropic.Anthropic, fresh: SimulatorProcess) -> None:
    live(fresh, max_bytes=500)
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        client.messages.batches.create(requests=requests("a" * 500))
    assert caught.value.type == "request_too_large"


@pytest.mark.parametrize("call", ["retrieve", "cancel", "delete"])
def test_a_batch_that_is_not_there_is_not_found(client: anthropic.Anthropic, call: str) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        getattr(client.messages.batches, call)("msgbatch_none")
    assert caught.value.type == "not_found_error"


def test_many_results_are_streamed(client: anthropic.Anthropic) -> None:
    """More than one piece of the file, and lines longer than what is read at once."""
    many = [{"custom_id": f"line-{number}", "params": params("word " * 20)} for number in range(3000)]
    made = client.messages.batches.create(requests=many)
    ended(client, made.id)
    names = {one.custom_id for one in client.messages.batches.results(made.id)}
    assert names == {f"line-{number}" for number in range(3000)}
