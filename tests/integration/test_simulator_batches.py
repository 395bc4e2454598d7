"""Native batches of OpenAI, Azure and Groq as the simulator plays them, judged by OpenAI's own client."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch, FileObject

from batchrouter.simulator import Settings, Simulator, answer, expected_key, script_from
from batchrouter.simulator.jobs import Phase
from batchrouter.simulator.native.dialects import DIALECTS
from batchrouter.simulator.native.run import SLICE, Order, Run
from batchrouter.simulator.native.shelf import Shelf
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.spool import Part, Spool
from tests.integration.native_jobs import CHAT, chat, compact, greetings, jsonl, line, play, records, until

ENDED = ("completed", "failed", "expired", "cancelled")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator() as running:
        yield running


def talking(base_url: str, api_key: str = "any", **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=20, **more)


def talking_azure(simulator: SimulatorProcess, api_key: str) -> openai.AzureOpenAI:
    version = "2025-03-01-preview"
    return openai.AzureOpenAI(azure_endpoint=simulator.url, api_key=api_key, api_version=version, max_retries=0)


@pytest.fixture(scope="module")
def one_client(simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    with talking(simulator.base_url) as client:
        yield client


@pytest.fixture
def client(simulator: SimulatorProcess, one_client: openai.OpenAI) -> openai.OpenAI:
    """Nothing happened yet at the other side."""
    play(simulator)
    return one_client


def upload(client: openai.OpenAI, content: bytes) -> FileObject:
    return client.files.create(file=("input.jsonl", content), purpose="batch")


def submit(client: openai.OpenAI, lines: list[Any], **members: Any) -> Batch:
    asked: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h", **members}
    return client.batches.create(input_file_id=upload(client, jsonl(lines)).id, **asked)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    return until(lambda: client.batches.retrieve(batch.id), lambda seen: seen.status in ENDED)


def output(client: openai.OpenAI, batch: Batch) -> dict[str, dict[str, Any]]:
    return records(client.files.content(batch.output_file_id).content) if batch.output_file_id else {}


def errors(client: openai.OpenAI, batch: Batch) -> dict[str, dict[str, Any]]:
    return records(client.files.content(batch.error_file_id).content) if batch.error_file_id else {}


# --- the ordinary life ----------------------------------------------------------------------------------------------


def test_a_batch_runs_to_its_end_with_the_real_time_answers(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """Every line is answered once, with the bytes that the real-time endpoint sends for its body."""
    lines = greetings(5)
    batch = submit(client, lines, metadata={"tag": "job_1"})
    assert (batch.status, batch.metadata, batch.request_counts) == (
        "validating",
        {"tag": "job_1"},
        openai.types.BatchRequestCounts(completed=0, failed=0, total=0),
    )
    assert batch.expires_at == batch.created_at + 86_400
    batch = ended(client, batch)
    assert (batch.status, batch.model, batch.error_file_id) == ("completed", "m", None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"completed": 5, "failed": 0, "total": 5}
    answered = output(client, batch)
    assert {name: compact(record["response"]["body"]) for name, record in answered.items()} == {
        one["custom_id"]: answer(CHAT, compact(one["body"])) for one in lines
    }
    assert all(record["response"]["status_code"] == 200 and record["error"] is None for record in answered.values())
    usages = [record["response"]["body"]["usage"] for record in answered.values()]
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in usages)
    assert batch.usage.total_tokens == sum(usage["total_tokens"] for usage in usages)
    assert None not in (batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    assert not batch.model_extra


def test_every_endpoint_of_the_simulator_can_run_in_a_batch(client: openai.OpenAI) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/responses": {"model": "m", "input": "hi"},
        "/v1/embeddings": {"model": "m", "input": ["a", "b"]},
        "/v1/completions": {"model": "m", "prompt": "hi"},
        "/v1/moderations": {"model": "m", "input": "hi"},
        "/v1/images/generations": {"model": "m", "prompt": "a dot"},
    }
    for url, body in bodies.items():
        batch = ended(client, submit(client, [line("one", body, url)], endpoint=url))
        assert compact(output(client, batch)["one"]["response"]["body"]) == answer(url, compact(body))


async def test_the_asynchronous_client_can_do_the_same(simulator: SimulatorProcess) -> None:
    play(simulator, work_s=0.02)
    async with openai.AsyncOpenAI(base_url=simulator.base_url, api_key="any", max_retries=0) as client:
        file = await client.files.create(file=("input.jsonl", jsonl(greetings(3))), purpose="batch")
        file = await client.files.wait_for_processing(file.id)
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"a": "b"}
        )
        async with asyncio.timeout(10):
            while batch.status not in ENDED:
                batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        content = await client.files.content(batch.output_file_id)
        assert sorted(records(content.content)) == ["r0", "r1", "r2"]
        assert [one.id async for one in client.batches.list()] == [batch.id]


def test_the_log_tells_which_lines_a_batch_ran(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """A line that ran natively names its job and its id there; the same body in real time has the same key."""
    body = chat("hello 1")
    batch = ended(client, submit(client, greetings(3)))
    client.chat.completions.with_raw_response.create(**body)
    native = [entry for entry in simulator.log() if entry.end == "native"]
    assert {(entry.job, entry.custom_id) for entry in native} == {(batch.id, name) for name in ("r0", "r1", "r2")}
    assert {entry.custom_id: entry.key for entry in native}["r1"] == expected_key(compact(body))
    assert all((entry.path, entry.status, entry.model, entry.connection) == (CHAT, 200, "m", 0) for entry in native)
    real_time = [entry for entry in simulator.log() if entry.path == CHAT and entry.end == "sent"]
    assert [entry.job for entry in real_time] == [""]


# --- what the script lets happen to a job ---------------------------------------------------------------------------


def test_progress_is_seen_and_a_stalled_job_can_be_finished(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, lines_per_s=2000, stall_after=4)
    batch = submit(client, greetings(10))
    stuck = until(
        lambda: client.batches.retrieve(batch.id), lambda seen: seen.request_counts and seen.request_counts.completed
    )
    stuck = until(
        lambda: client.batches.retrieve(batch.id),
        lambda seen: seen.request_counts and seen.request_counts.completed == 4,
    )
    assert (stuck.status, stuck.output_file_id) == ("in_progress", None)
    assert [(job["phase"], job["total"], job["done"]) for job in simulator.jobs()] == [("in_progress", 10, 4)]
    assert simulator.steer(batch.id, "finish")["done"] == 10
    assert len(output(client, ended(client, batch))) == 10


def test_a_test_can_stop_a_job_in_the_middle(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, lines_per_s=200)
    batch = submit(client, greetings(2000))
    until(lambda: client.batches.retrieve(batch.id), lambda seen: seen.request_counts and seen.request_counts.completed)
    done = simulator.steer(batch.id, "stall")["done"]
    assert 0 < done < 2000
    simulator.steer(batch.id, "expire")
    batch = ended(client, batch)
    assert (batch.status, len(output(client, batch)), len(errors(client, batch))) == ("expired", done, 2000 - done)


class StandingClock:
    """A loop whose time stands still; some loops' does for a millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._now_s = loop.time()

    def time(self) -> float:
        return self._now_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def run_of(simulator: Simulator, lines: int, dialect: str = "openai") -> Run:
    """A job that nobody asked for over a connection."""
    content = Part(Spool(jsonl(greetings(lines))))
    order = Order(id="j", endpoint=CHAT, model="", input_file_id="f", content=content, window_s=60.0, window="24h")
    return Run(simulator, Shelf(), DIALECTS[dialect], order)


async def test_a_window_of_azure_is_only_a_target() -> None:
    """Where others expire, its jobs go on."""
    simulator = Simulator()
    await simulator.start()
    expiries = [run_of(simulator, 1, name).job.expires_s for name in ("azure", "openai")]
    assert [expiry is None for expiry in expiries] == [True, False]
    await simulator.stop()


async def test_lines_that_a_batch_ran_stand_in_the_log_file_too(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    simulator = Simulator(settings=Settings(log_path=path))
    await simulator.start()
    run = run_of(simulator, 5)
    async with asyncio.timeout(10):
        while run.phase(simulator.loop.time()) is not Phase.COMPLETED:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await simulator.stop()
    entries = [json.loads(text) for text in path.read_text().splitlines()]
    assert sorted((entry["job"], entry["custom_id"]) for entry in entries) == [("j", f"r{no}") for no in range(5)]


async def test_a_job_that_is_finished_while_it_works_runs_every_line() -> None:
    """Even when that happens between two lines, in what the clock calls the same moment."""
    simulator = Simulator(script_from({"batches": {"stall_after": SLICE}}))
    await simulator.start()
    simulator.loop = StandingClock(simulator.loop)  # type: ignore[assignment]
    simulator.script = simulator.script
    run = run_of(simulator, 2 * SLICE)
    async with asyncio.timeout(10):
        while run.completed < SLICE:  # noqa: ASYNC110 - turn by turn, so that it is met in the middle
            await asyncio.sleep(0)
        run.job.finish(simulator.loop.time())
        run.poke()
        while run.phase(simulator.loop.time()) is not Phase.COMPLETED:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert run.completed == 2 * SLICE
    await simulator.stop()


def test_failing_lines_stand_in_the_error_file(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """Also those that got no reply at all: their status is 0."""
    play(simulator, fail_lines=[{"every": 5, "status": 0}, {"every": 2, "status": 400, "code": "bad_day"}])
    batch = ended(client, submit(client, greetings(10)))
    failed = errors(client, batch)
    assert {name: record["response"]["status_code"] for name, record in failed.items()} == {
        **dict.fromkeys(("r1", "r3", "r5", "r7"), 400),
        **dict.fromkeys(("r4", "r9"), 0),
    }
    assert failed["r1"]["response"]["body"]["error"]["code"] == "bad_day"
    assert failed["r4"]["response"]["body"] is None
    assert {record["error"] for record in failed.values()} == {None}
    assert set(output(client, batch)) == {"r0", "r2", "r6", "r8"}
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"completed": 4, "failed": 6, "total": 10}


def test_a_batch_of_failures_completes_without_an_output_file(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    play(simulator, fail_lines=[{"share": 1.0}])
    batch = ended(client, submit(client, greetings(3)))
    assert (batch.status, batch.output_file_id, len(errors(client, batch))) == ("completed", None, 3)


def test_rules_decide_about_lines_as_about_requests(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """One rule for both lanes, and one for lines of batches alone."""
    simulator.set_script(
        script_from(
            {
                "rules": [
                    {"match": {"contains": "poison"}, "then": {"status": 500}},
                    {"match": {"contains": "only here", "native": True}, "then": {"status": 418}},
                    {"match": {"contains": "cut", "native": True}, "then": {"fault": "reset"}},
                ]
            }
        )
    )
    texts = ("poison", "only here", "cut", "fine")
    batch = ended(client, submit(client, [line(text, chat(text)) for text in texts]))
    statuses = {name: record["response"]["status_code"] for name, record in errors(client, batch).items()}
    assert (statuses, list(output(client, batch))) == ({"poison": 500, "only here": 418, "cut": 0}, ["fine"])
    assert client.chat.completions.create(**chat("only here")).model == "m"


def test_a_job_can_be_rejected_as_a_whole(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, validate_s=0.01, fail_job={"errors": [{"code": "a", "message": "b", "line": 3, "param": "c"}]})
    batch = ended(client, submit(client, greetings(3)))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.errors is not None
    assert batch.errors.to_dict() == {
        "object": "list",
        "data": [{"code": "a", "message": "b", "line": 3, "param": "c"}],
    }
    assert batch.failed_at is not None
    assert not [entry for entry in simulator.log() if entry.job]


def test_an_expired_batch_delivers_its_finished_part(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, stall_after=3, expire_after_s=0.05)
    batch = ended(client, submit(client, greetings(8)))
    left = errors(client, batch)
    assert (batch.status, len(output(client, batch)), len(left)) == ("expired", 3, 5)
    assert {record["error"]["code"] for record in left.values()} == {"batch_expired"}
    assert {record["response"] for record in left.values()} == {None}
    assert not set(left) & set(output(client, batch))
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"completed": 3, "failed": 0, "total": 8}


def test_an_expired_batch_may_keep_everything_to_itself(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, stall_after=3, expire_after_s=0.05, expire_keeps=False)
    batch = ended(client, submit(client, greetings(8)))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("expired", None, None)


def test_a_cancel_takes_its_time_and_keeps_what_was_finished(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    play(simulator, stall_after=2, cancel_s=0.1)
    batch = submit(client, greetings(5))
    until(
        lambda: client.batches.retrieve(batch.id),
        lambda seen: seen.request_counts and seen.request_counts.completed == 2,
    )
    cancelling = client.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.output_file_id, cancelling.cancelled_at) == ("cancelling", None, None)
    assert cancelling.cancelling_at is not None
    batch = ended(client, batch)
    left = errors(client, batch)
    assert (batch.status, len(output(client, batch)), len(left)) == ("cancelled", 2, 3)
    assert {record["error"]["code"] for record in left.values()} == {"batch_cancelled"}
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_cancelled_while_it_is_validated_ran_nothing(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    play(simulator, validate_s=60)
    batch = submit(client, greetings(3))
    client.batches.cancel(batch.id)
    batch = ended(client, batch)
    assert (batch.status, batch.output_file_id, sorted(errors(client, batch))) == (
        "cancelled",
        None,
        ["r0", "r1", "r2"],
    )
    assert not [entry for entry in simulator.log() if entry.job]


def test_a_finished_batch_cannot_be_cancelled(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """And says that trying again does not help."""
    batch = ended(client, submit(client, greetings(1)))
    before = len(simulator.log())
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        client.with_options(max_retries=2).batches.cancel(batch.id)
    assert len(simulator.log()) == before + 1


# --- what the script lets happen to calls ---------------------------------------------------------------------------


def test_a_lost_create_has_made_its_job(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """The client sees a broken connection; the list has the job, by its metadata."""
    play(simulator, lost_create=1)
    with pytest.raises(openai.APIConnectionError):
        submit(client, greetings(2), metadata={"tag": "lost"})
    [found] = client.batches.list().data
    assert found.metadata == {"tag": "lost"}
    assert len(output(client, ended(client, found))) == 2
    submit(client, greetings(2), metadata={"tag": "told"})
    assert [one.metadata for one in client.batches.list()] == [{"tag": "told"}, {"tag": "lost"}]


def test_a_lost_upload_has_kept_its_file(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, lost_uploads=1)
    with pytest.raises(openai.APIConnectionError):
        upload(client, jsonl(greetings(2)))
    [found] = client.files.list().data
    assert client.files.content(found.id).content == jsonl(greetings(2))


def test_a_new_job_appears_late_in_lists_only(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, list_delay_s=0.1)
    batch = submit(client, greetings(1))
    assert client.batches.list().data == []
    assert client.batches.retrieve(batch.id).id == batch.id
    until(lambda: client.batches.list().data, lambda data: [one.id for one in data] == [batch.id])


def test_creates_can_be_refused(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """So many times, with the code, the status and the time to wait that were asked for; nothing is made meanwhile."""
    play(simulator, refuse_create={"status": 429, "code": "rate_limit_exceeded", "retry_after_s": 7, "first": 2})
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as refused:
            submit(client, greetings(1))
        assert (refused.value.code, refused.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "7")
    assert client.batches.list().data == []
    assert ended(client, submit(client, greetings(1))).status == "completed"
    play(simulator, refuse_create={"status": 429, "code": "insufficient_quota", "type": "insufficient_quota"})
    with pytest.raises(openai.RateLimitError) as refused:
        submit(client, greetings(1))
    assert (refused.value.code, "retry-after" in refused.value.response.headers) == ("insufficient_quota", False)


def test_rules_decide_about_calls_of_the_batch_api_too(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """A poll fails now and then; a download breaks off in its middle, once."""
    batch = ended(client, submit(client, greetings(3)))
    simulator.set_script(
        script_from(
            {
                "rules": [
                    {"match": {"path": "/v1/batches/*", "first": 1}, "then": {"status": 503}},
                    {"match": {"path": "/v1/files/*/content", "first": 1}, "then": {"fault": "half_body"}},
                ]
            }
        )
    )
    with pytest.raises(openai.InternalServerError):
        client.batches.retrieve(batch.id)
    assert client.batches.retrieve(batch.id).status == "completed"
    with pytest.raises(openai.APIConnectionError):
        client.files.content(batch.output_file_id or "")
    assert len(output(client, batch)) == 3


def test_jobs_beyond_the_enqueued_tokens_fail(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """As OpenAI does it: created, then failed. There is room again when a job of the model has ended."""
    play(simulator, stall_after=0, enqueued_tokens=100)
    first = submit(client, greetings(4))
    until(lambda: simulator.jobs(), lambda jobs: jobs[0]["tokens"])
    assert 50 < simulator.jobs()[0]["tokens"] < 100
    second = ended(client, submit(client, greetings(4)))
    assert second.errors is not None
    assert second.errors.data is not None
    assert [(error.code, error.line, error.param) for error in second.errors.data] == [
        ("token_limit_exceeded", None, None)
    ]
    other = submit(client, [line("r", chat("x", model="other") | {"model": "other"})])
    assert until(lambda: client.batches.retrieve(other.id), lambda seen: seen.status != "validating").errors is None
    client.batches.cancel(first.id)
    ended(client, first)
    third = submit(client, greetings(4))
    until(lambda: client.batches.retrieve(third.id), lambda seen: seen.status == "in_progress")


def test_a_job_may_have_too_many_requests_or_bytes(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    play(simulator, max_requests=3)
    codes = []
    for count in (3, 4):
        batch = ended(client, submit(client, greetings(count)))
        codes.append(batch.errors.data[0].code if batch.errors and batch.errors.data else None)
    play(simulator, max_bytes=200)
    batch = ended(client, submit(client, greetings(3)))
    codes.append(batch.errors.data[0].code if batch.errors and batch.errors.data else None)
    assert codes == [None, "too_many_requests", "file_too_large"]


def test_each_job_keeps_the_life_that_it_was_given(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """The first job of a model stalls, its second does not; a new script changes neither."""
    play(simulator, jobs=[{"match": {"model": "m", "first": 1}, "then": {"stall_after": 1}}])
    stalled, fine = submit(client, greetings(3)), submit(client, greetings(3))
    assert ended(client, fine).status == "completed"
    simulator.set_script(script_from({}))
    assert client.batches.retrieve(stalled.id).status == "in_progress"


# --- what is wrong with the input -----------------------------------------------------------------------------------


def test_bad_lines_are_told_all_at_once(client: openai.OpenAI) -> None:
    """By code, line and member; a good line among them does not run."""
    lines: list[Any] = [
        line("good", chat("hi")),
        "{no json",
        {"custom_id": "a", "method": "POST", "url": CHAT},
        line("good", chat("again")),
        line("b", chat("hi"), "/v1/embeddings"),
        line("c", {"model": "other", "messages": []}),
        line("d", {"messages": []}),
        line("e", chat("hi", stream=True)),
        line("f", {"model": "m"}),
        line("g", chat("hi"), method="GET"),
        line(7, chat("hi")),  # type: ignore[arg-type]
    ]
    batch = ended(client, submit(client, lines))
    assert batch.errors is not None
    assert [(error.line, error.code, error.param) for error in batch.errors.data or []] == [
        (2, "invalid_json_line", None),
        (3, "missing_required_parameter", "body"),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "invalid_url", "url"),
        (6, "mismatched_model", "body.model"),
        (7, "invalid_request", "body.model"),
        (8, "streaming_unsupported", "body.stream"),
        (9, "invalid_request", "body.messages"),
        (10, "invalid_method", "method"),
        (11, "invalid_type", "custom_id"),
    ]


def test_blank_lines_and_other_line_ends_do_no_harm(client: openai.OpenAI) -> None:
    content = jsonl(greetings(3)).replace(b"\n", b"\r\n\r\n").rstrip()
    file = upload(client, content)
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert sorted(output(client, ended(client, batch))) == ["r0", "r1", "r2"]


@pytest.mark.parametrize("content", [b"", b"\n", b"no json\n", b"[1]\n"])
def test_what_is_no_jsonl_is_refused_at_once(client: openai.OpenAI, content: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        upload(client, content)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"endpoint": "/v1/audio/speech"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {"tags": ["a"]}}, "metadata.tags"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after"),
    ],
)
def test_a_create_that_cannot_be_is_refused_by_its_member(
    client: openai.OpenAI, members: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        submit(client, greetings(1), **members)
    assert refused.value.param == param


def test_a_file_that_is_not_there_is_noticed_at_work(client: openai.OpenAI) -> None:
    batch = client.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")
    batch = ended(client, batch)
    assert batch.errors is not None
    assert [(error.code, error.param) for error in batch.errors.data or []] == [("invalid_request", "file_id")]


def test_a_missing_member_or_purpose_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/batches", body={"endpoint": CHAT}, cast_to=object)
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "input_file_id")
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"{}", purpose="nonsense")  # type: ignore[arg-type]
    assert refused.value.param == "purpose"
    other = client.files.create(file=("a.txt", b"words"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.batches.create(input_file_id=other.id, endpoint=CHAT, completion_window="24h")


# --- files and lists ------------------------------------------------------------------------------------------------


def test_files_can_be_listed_looked_at_and_deleted(client: openai.OpenAI) -> None:
    files = [upload(client, jsonl(greetings(count + 1))) for count in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == [file.id for file in reversed(files)]
    assert [file.id for file in client.files.list(order="asc", limit=3)] == [file.id for file in files]
    file = client.files.retrieve(files[0].id)
    assert (file.bytes, file.filename, file.status, file.purpose) == (
        len(jsonl(greetings(1))),
        "input.jsonl",
        "processed",
        "batch",
    )
    assert file.expires_at == file.created_at + 2_592_000
    assert not file.model_extra
    assert client.files.delete(file.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            call(file.id)


def test_batches_are_listed_newest_first_in_pages(client: openai.OpenAI) -> None:
    batches = [submit(client, greetings(1)) for _ in range(5)]
    page = client.batches.list(limit=2)
    assert (page.has_more, [one.id for one in page.data]) == (True, [batches[4].id, batches[3].id])
    assert [one.id for one in client.batches.list(limit=2)] == [one.id for one in reversed(batches)]
    assert client.batches.list(limit=5).has_more is False
    with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_none'"):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.BadRequestError):
        client.batches.list(limit=1000)


def test_result_files_are_kept_as_long_as_was_asked(client: openai.OpenAI) -> None:
    batch = ended(client, submit(client, greetings(1), output_expires_after={"anchor": "created_at", "seconds": 3600}))
    file = client.files.retrieve(batch.output_file_id or "")
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.expires_at == file.created_at + 3600


def test_raw_bytes_and_streams_are_uploaded_as_well(client: openai.OpenAI) -> None:
    content = jsonl(greetings(2))
    for given in (content, io.BytesIO(content)):
        file = client.files.create(file=given, purpose="batch")
        assert (file.filename, client.files.content(file.id).content) == ("upload", content)


def test_a_large_call_of_a_model_is_answered_as_any_other(client: openai.OpenAI) -> None:
    body = compact(chat("x" * 3 * MEGABYTE))
    reply = client.post("/chat/completions", content=body, cast_to=object)
    assert expected_key(body) in str(reply)


def test_a_large_file_stays_out_of_memory(simulator: SimulatorProcess, client: openai.OpenAI, tmp_path: Path) -> None:
    """Up, through a job and down again: what the process holds does not grow by what the file holds."""
    text = "x" * 100_000
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        for number in range(400):
            file.write(jsonl([line(f"r{number}", chat(f"{number} {text}"))]))
    before = _resident(simulator.pid)
    uploaded = client.files.create(file=path, purpose="batch")
    assert uploaded.bytes == path.stat().st_size > 40 * MEGABYTE
    batch = client.batches.create(input_file_id=uploaded.id, endpoint=CHAT, completion_window="24h")
    assert len(output(client, ended(client, batch))) == 400
    digest = hashlib.sha256()
    with client.files.with_streaming_response.content(uploaded.id) as download:
        for piece in download.iter_bytes(MEGABYTE):
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
    assert _resident(simulator.pid) - before < 16 * MEGABYTE


def _resident(pid: int) -> int:
    """The most that the process ever held."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("needs /proc to see the memory of a process")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found.group(1)) * 1024


# --- Azure and Groq -------------------------------------------------------------------------------------------------


def test_azure_speaks_with_its_own_client_and_its_own_key() -> None:
    """Old paths by OpenAI's Azure client, the new ones by its ordinary one; keys go in a header of their own."""
    with (
        running_simulator(arguments=("--api-key", "secret")) as simulator,
        talking_azure(simulator, "secret") as old,
        talking(f"{simulator.url}/openai/v1", "?", default_headers={"api-key": "secret"}) as new,
        talking_azure(simulator, "wrong") as stranger,
        talking(simulator.base_url, "wrong") as other_stranger,
    ):
        for client in (old, new):
            batch = submit(client, [line("a", chat("hi"), "/chat/completions")], endpoint="/chat/completions")
            batch = ended(client, batch)
            assert list(output(client, batch)) == ["a"]
            assert batch.error_file_id is not None
            assert client.files.content(batch.error_file_id).content == b""
            assert client.chat.completions.create(**chat("hi")).model == "m"
        with pytest.raises(openai.AuthenticationError):
            stranger.batches.list()
        with pytest.raises(openai.AuthenticationError):
            stranger.chat.completions.create(**chat("hi"))
        with pytest.raises(openai.AuthenticationError) as refused:
            other_stranger.files.list()
        assert refused.value.code == "invalid_api_key"


def test_azure_has_its_own_words(simulator: SimulatorProcess) -> None:
    """A byte order mark is told of as a missing model."""
    play(simulator)
    lines = [line("a", chat("hi")), line("b", {"model": "n", "messages": []}), line("c", chat("hi"), "/v1/embeddings")]
    with talking(f"{simulator.url}/openai/v1") as client:
        batch = ended(client, submit(client, lines))
        assert batch.errors is not None
        assert [error.code for error in batch.errors.data or []] == ["model_mismatch", "url_mismatch"]
        marked = client.files.create(file=("bom.jsonl", b"\xef\xbb\xbf" + jsonl(greetings(1))), purpose="batch")
        batch = client.batches.create(input_file_id=marked.id, endpoint=CHAT, completion_window="24h")
        batch = ended(client, batch)
        assert batch.errors is not None
        assert [error.code for error in batch.errors.data or []] == ["model_not_found"]


def test_groq_takes_longer_windows_and_only_chats() -> None:
    with running_simulator(arguments=("--batch-dialect", "groq")) as simulator:
        for base_url in (f"{simulator.url}/openai/v1", simulator.base_url):
            with talking(base_url) as client:
                batch = submit(client, greetings(2), completion_window="7d")
                assert (batch.completion_window, batch.expires_at) == ("7d", batch.created_at + 7 * 86_400)
                assert len(output(client, ended(client, batch))) == 2
                assert client.chat.completions.create(**chat("hi")).model == "m"
                for members in ({"completion_window": "8d"}, {"endpoint": "/v1/embeddings"}):
                    with pytest.raises(openai.BadRequestError):
                        submit(client, greetings(1), **members)
