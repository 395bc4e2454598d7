"""Native batches of Mistral, Gemini and Together as the simulator plays them.

Judges: Mistral's client; Google's for Gemini's files and OpenAI's for its batches. Together's client is not installed:
its upload is driven step by step as its client does it.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from mistralai.client.models import BatchJob
from openai.types import Batch

from batchrouter.simulator import answer, expected_key
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.integration.native_jobs import CHAT, chat, compact, greetings, jsonl, line, play, records, until

# --- Mistral --------------------------------------------------------------------------------------------------------

MISTRAL_ENDED = ("SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED")


@pytest.fixture(scope="module")
def mistral_simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=("--batch-dialect", "mistral", "--api-key", "secret")) as running:
        yield running


@pytest.fixture
def mistral(mistral_simulator: SimulatorProcess) -> Iterator[Mistral]:
    play(mistral_simulator)
    with Mistral(api_key="secret", server_url=mistral_simulator.url) as client:
        yield client


def bodies(count: int) -> list[dict[str, Any]]:
    """Mistral's lines: no method, no url, and the model stands in the job."""
    return [
        {"custom_id": f"r{number}", "body": {"messages": [{"role": "user", "content": f"hello {number}"}]}}
        for number in range(count)
    ]


def mistral_job(client: Mistral, lines: list[Any], **members: Any) -> BatchJob:
    file = client.files.upload(file={"file_name": "in.jsonl", "content": jsonl(lines)}, purpose="batch")
    return client.batch.jobs.create(
        input_files=[file.id], endpoint="/v1/chat/completions", **{"model": "mistral-small-latest", **members}
    )


def mistral_ended(client: Mistral, job: BatchJob) -> BatchJob:
    return until(lambda: client.batch.jobs.get(job_id=job.id), lambda seen: seen.status in MISTRAL_ENDED)


def mistral_file(client: Mistral, file_id: Any) -> dict[str, dict[str, Any]]:
    return records(client.files.download(file_id=file_id).read()) if file_id else {}


def test_a_job_of_mistral_runs_with_the_model_of_the_job(mistral: Mistral) -> None:
    job = mistral_job(mistral, bodies(4), metadata={"tag": "job_1"}, timeout_hours=48)
    assert (job.status, job.metadata, job.total_requests) == ("QUEUED", {"tag": "job_1"}, 0)
    job = mistral_ended(mistral, job)
    assert (job.status, job.error_file, job.errors) == ("SUCCESS", None, [])
    assert (job.total_requests, job.completed_requests, job.succeeded_requests, job.failed_requests) == (4, 4, 4, 0)
    assert job.started_at is not None
    assert job.completed_at is not None
    answered = mistral_file(mistral, job.output_file)
    for one in bodies(4):
        body = answered[one["custom_id"]]["response"]["body"]
        assert body["model"] == "mistral-small-latest"
        assert expected_key(compact(one["body"])) in body["choices"][0]["message"]["content"]


async def test_the_asynchronous_client_of_mistral_can_do_the_same(
    mistral: Mistral, mistral_simulator: SimulatorProcess
) -> None:
    async with Mistral(api_key="secret", server_url=mistral_simulator.url) as client:
        file = await client.files.upload_async(file={"file_name": "in.jsonl", "content": jsonl(bodies(1))})
        job = await client.batch.jobs.create_async(input_files=[file.id], endpoint="/v1/embeddings", model="m")
        assert (await client.batch.jobs.get_async(job_id=job.id)).id == job.id
        assert (await client.batch.jobs.list_async()).total == 1


def test_failing_lines_of_mistral_stand_in_its_error_file(
    mistral: Mistral, mistral_simulator: SimulatorProcess
) -> None:
    play(mistral_simulator, fail_lines=[{"every": 2, "status": 422}])
    job = mistral_ended(mistral, mistral_job(mistral, bodies(4)))
    assert (job.status, job.succeeded_requests, job.failed_requests) == ("SUCCESS", 2, 2)
    assert sorted(mistral_file(mistral, job.output_file)) == ["r0", "r2"]
    failed = mistral_file(mistral, job.error_file)
    assert {name: record["response"]["status_code"] for name, record in failed.items()} == {"r1": 422, "r3": 422}


def test_a_job_of_mistral_fails_times_out_and_is_cancelled(
    mistral: Mistral, mistral_simulator: SimulatorProcess
) -> None:
    """What was finished is delivered; lines that never ran are simply not there."""
    play(mistral_simulator, fail_job={"errors": [{"code": "a", "message": "no"}, {"code": "a", "message": "no"}]})
    job = mistral_ended(mistral, mistral_job(mistral, bodies(2)))
    assert (job.status, [(error.message, error.count) for error in job.errors]) == ("FAILED", [("no", 2)])

    play(mistral_simulator, stall_after=2, expire_after_s=0.03)
    job = mistral_ended(mistral, mistral_job(mistral, bodies(5)))
    assert (job.status, job.completed_requests, job.total_requests) == ("TIMEOUT_EXCEEDED", 2, 5)
    assert (len(mistral_file(mistral, job.output_file)), job.error_file) == (2, None)

    play(mistral_simulator, stall_after=3, cancel_s=0.03)
    job = mistral_job(mistral, bodies(5))
    until(lambda: mistral.batch.jobs.get(job_id=job.id), lambda seen: seen.completed_requests == 3)
    assert mistral.batch.jobs.cancel(job_id=job.id).status == "CANCELLATION_REQUESTED"
    job = mistral_ended(mistral, job)
    assert (job.status, len(mistral_file(mistral, job.output_file))) == ("CANCELLED", 3)


def test_jobs_of_mistral_are_found_by_what_they_carry(mistral: Mistral, mistral_simulator: SimulatorProcess) -> None:
    """By metadata, model, status and time, in pages; how a job is found again whose creation got no reply."""
    play(mistral_simulator, lost_create=1)
    with pytest.raises(Exception, match="disconnected"):
        mistral_job(mistral, bodies(1), metadata={"tag": "lost"})
    other = mistral_ended(mistral, mistral_job(mistral, bodies(1), metadata={"tag": "told"}, model="m"))
    [lost] = mistral.batch.jobs.list(metadata={"tag": "lost"}, created_by_me=True).data or []
    assert mistral_ended(mistral, lost).succeeded_requests == 1

    def listed(**asked: Any) -> list[str]:
        return [job.id for job in mistral.batch.jobs.list(**asked).data or []]

    assert listed() == [other.id, lost.id]
    assert listed(order_by="created") == [lost.id, other.id]
    assert listed(page=1, page_size=1) == [lost.id]
    assert listed(model="m") == [other.id]
    assert listed(status=["RUNNING", "QUEUED"]) == []
    assert listed(status=["SUCCESS"]) == [other.id, lost.id]
    now = datetime.now(UTC)
    assert listed(created_after=now + timedelta(minutes=1)) == []
    assert listed(created_after=now - timedelta(minutes=5)) == [other.id, lost.id]


def test_files_of_mistral_have_its_own_members(mistral: Mistral) -> None:
    uploaded = mistral.files.upload(file={"file_name": "in.jsonl", "content": jsonl(bodies(2))}, purpose="batch")
    file = mistral.files.retrieve(file_id=uploaded.id)
    assert (file.size_bytes, file.purpose, file.sample_type, file.source) == (
        len(jsonl(bodies(2))),
        "batch",
        "batch_request",
        "upload",
    )
    job = mistral_ended(mistral, mistral_job(mistral, bodies(1)))
    kinds = {one.id: one.sample_type for one in mistral.files.list().data}
    assert kinds[str(job.output_file)] == "batch_result"
    assert mistral.files.delete(file_id=uploaded.id).deleted
    with pytest.raises(SDKError) as refused:
        mistral.files.retrieve(file_id=uploaded.id)
    assert refused.value.raw_response.status_code == 404


def test_what_mistral_refuses(mistral: Mistral, mistral_simulator: SimulatorProcess) -> None:
    def status(**members: Any) -> int:
        with pytest.raises(SDKError) as refused:
            mistral_job(mistral, bodies(1), **members)
        return refused.value.raw_response.status_code

    assert status(timeout_hours=1000) == 422
    play(mistral_simulator, refuse_create={"status": 429})
    assert status() == 429
    with pytest.raises(SDKError) as refused:
        Mistral(api_key="wrong", server_url=mistral_simulator.url).batch.jobs.list()
    assert refused.value.raw_response.status_code == 401


def test_bad_lines_of_mistral_fail_the_job(mistral: Mistral) -> None:
    job = mistral_ended(mistral, mistral_job(mistral, [*bodies(1), {"custom_id": "x"}, bodies(1)[0]]))
    assert (job.status, len(job.errors)) == ("FAILED", 2)


# --- Gemini ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gemini_simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=("--api-key", "secret")) as running:
        yield running


@pytest.fixture
def files(gemini_simulator: SimulatorProcess) -> genai.Client:
    play(gemini_simulator)
    return google(gemini_simulator, "secret")


@pytest.fixture
def gemini(gemini_simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gemini_simulator.url}/v1beta/openai/", api_key="secret", max_retries=0) as client:
        yield client


def google(simulator: SimulatorProcess, key: str, version: str = "v1beta") -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=simulator.url, api_version=version))


def gemini_batch(files: genai.Client, client: openai.OpenAI, lines: list[Any]) -> Batch:
    file = files.files.upload(file=io.BytesIO(jsonl(lines)), config={"mime_type": "jsonl", "display_name": "in"})
    assert file.name is not None
    return client.batches.create(
        input_file_id=file.name, endpoint=CHAT, completion_window="24h", metadata={"tag": "job_1"}
    )


def gemini_ended(client: openai.OpenAI, batch: Batch) -> Batch:
    return until(
        lambda: client.batches.retrieve(batch.id),
        lambda seen: seen.status in ("completed", "failed", "expired", "cancelled"),
    )


def test_a_batch_of_gemini_goes_through_two_apis(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess
) -> None:
    """Files by Google's client, the batch by OpenAI's; results in the order of the input."""
    batch = gemini_ended(gemini, gemini_batch(files, gemini, greetings(20)))
    assert (batch.status, batch.error_file_id, batch.metadata) == ("completed", None, {"tag": "job_1"})
    assert batch.id.startswith("batches/")
    assert batch.output_file_id is not None
    answered = records(files.files.download(file=batch.output_file_id))
    assert list(answered) == [f"r{number}" for number in range(20)]
    for one in greetings(20):
        assert compact(answered[one["custom_id"]]["response"]["body"]) == answer(CHAT, compact(one["body"]))
    assert [one.id for one in gemini.batches.list()] == [batch.id]
    assert gemini.chat.completions.create(**chat("hi")).model == "m"
    assert {entry.job for entry in gemini_simulator.log() if entry.end == "native"} == {batch.id}


def test_failing_lines_of_gemini_stand_among_the_others(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess
) -> None:
    play(gemini_simulator, fail_lines=[{"every": 2, "status": 500}])
    batch = gemini_ended(gemini, gemini_batch(files, gemini, greetings(4)))
    assert batch.error_file_id is None
    answered = records(files.files.download(file=batch.output_file_id or ""))
    assert [record["response"]["status_code"] for record in answered.values()] == [200, 500, 200, 500]


def test_an_expired_batch_of_gemini_delivers_nothing(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess
) -> None:
    play(gemini_simulator, stall_after=3, expire_after_s=0.03)
    batch = gemini_ended(gemini, gemini_batch(files, gemini, greetings(5)))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("expired", None, None)


@pytest.mark.parametrize("form", ["{id}/cancel", "{id}:cancel"])
def test_a_batch_of_gemini_is_cancelled_in_either_form(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess, form: str
) -> None:
    play(gemini_simulator, stall_after=2, cancel_s=0.03)
    batch = gemini_batch(files, gemini, greetings(5))
    until(
        lambda: gemini.batches.retrieve(batch.id),
        lambda seen: seen.request_counts and seen.request_counts.completed == 2,
    )
    path = "/" + form.format(id=batch.id)
    assert gemini.post(path, cast_to=Batch).status == "cancelling"
    batch = gemini_ended(gemini, batch)
    assert batch.status == "cancelled"
    ran = records(files.files.download(file=batch.output_file_id or ""))
    assert len(ran) == 2


def test_a_result_of_gemini_can_be_downloaded_but_not_looked_at(files: genai.Client, gemini: openai.OpenAI) -> None:
    """Its name is longer than its own API takes; an upload is the other way round."""
    batch = gemini_ended(gemini, gemini_batch(files, gemini, greetings(1)))
    assert batch.output_file_id is not None
    assert batch.output_file_id == f"files/batch-{batch.id.removeprefix('batches/')}"
    with pytest.raises(google_errors.ClientError, match="40 characters"):
        files.files.get(name=batch.output_file_id)
    with pytest.raises(google_errors.ClientError, match="generated"):
        files.files.download(file=batch.input_file_id)
    assert files.files.get(name=batch.input_file_id).state == types.FileState.ACTIVE


def test_files_of_gemini_have_a_life(files: genai.Client, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(greetings(3)))
    named = files.files.upload(file=path, config={"mime_type": "jsonl", "name": "my-file", "display_name": "mine"})
    assert (named.name, named.display_name, named.size_bytes) == ("files/my-file", "mine", path.stat().st_size)
    assert named.expiration_time is not None
    assert named.create_time is not None
    assert named.expiration_time - named.create_time == timedelta(hours=48)
    others = [files.files.upload(file=path, config={"mime_type": "jsonl"}) for _ in range(12)]
    assert len(list(files.files.list())) == 13
    files.files.delete(name=others[0].name or "")
    with pytest.raises(google_errors.ClientError) as refused:
        files.files.get(name=others[0].name or "")
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


def test_a_large_file_of_gemini_comes_in_pieces(files: genai.Client, tmp_path: Path) -> None:
    """The client cuts it; every piece says where it belongs."""
    path = tmp_path / "large.jsonl"
    path.write_bytes(jsonl(line(f"r{number}", chat("x" * 100_000)) for number in range(180)))
    assert path.stat().st_size > 2 * 8 * 1024 * 1024  # that of the client
    file = files.files.upload(file=path, config={"mime_type": "jsonl"})
    assert file.size_bytes == path.stat().st_size


def test_uploads_to_gemini_can_be_resumed_or_come_whole(gemini_simulator: SimulatorProcess) -> None:
    """What Google's client does not do: ask how far it got, go on from there, and send all as one multipart body."""
    play(gemini_simulator)
    content = jsonl(greetings(3))
    start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start", "x-goog-api-key": "secret"}
    reply = call(gemini_simulator, "POST", "/upload/v1beta/files", b'{"file":{"displayName":"d"}}', start)
    place = reply.headers["x-goog-upload-url"].removeprefix(gemini_simulator.url)

    def send(piece: bytes, command: str, offset: int) -> Reply:
        headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
        return call(gemini_simulator, "POST", place, piece, headers)

    assert send(content[:50], "upload", 0).headers["x-goog-upload-status"] == "active"
    assert send(content[40:], "upload, finalize", 40).status == 400
    assert send(b"", "query", 0).headers["x-goog-upload-size-received"] == "50"
    done = send(content[50:], "upload, finalize", 50)
    assert (done.headers["x-goog-upload-status"], done.json()["file"]["sizeBytes"]) == ("final", str(len(content)))
    assert send(b"", "query", 0).status == 404

    parts = (
        b'--cut\r\ncontent-type: application/json\r\n\r\n{"file":{"displayName":"whole"}}\r\n'
        b"--cut\r\ncontent-type: application/jsonl\r\n\r\n" + content + b"\r\n--cut--\r\n"
    )
    headers = {"x-goog-api-key": "secret", "content-type": "multipart/related; boundary=cut"}
    whole = call(gemini_simulator, "POST", "/upload/v1beta/files?uploadType=multipart", parts, headers)
    assert (whole.json()["file"]["sizeBytes"], whole.json()["file"]["mimeType"]) == (
        str(len(content)),
        "application/jsonl",
    )


def test_the_newer_version_of_googles_paths(tmp_path: Path) -> None:
    """Its list of files has OpenAI's path, so that it wants a simulator that is Gemini's."""
    with running_simulator(arguments=("--batch-dialect", "gemini")) as simulator:
        client = google(simulator, "any", "v1")
        file = client.files.upload(file=io.BytesIO(jsonl(greetings(1))), config={"mime_type": "jsonl"})
        assert [one.name for one in client.files.list()] == [file.name]


def test_both_ways_to_download_from_gemini(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess
) -> None:
    batch = gemini_ended(gemini, gemini_batch(files, gemini, greetings(2)))
    replies = [
        call(gemini_simulator, "GET", f"{prefix}/v1beta/{batch.output_file_id}:download?alt=media&key=secret", b"", {})
        for prefix in ("", "/download")
    ]
    assert [len(records(reply.body)) for reply in replies] == [2, 2]


def test_gemini_refuses_in_googles_words(
    files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess
) -> None:
    """A bad key is a 400 there, and the OpenAI-compatible API wraps its errors in a list."""
    stranger = google(gemini_simulator, "wrong")
    with pytest.raises(google_errors.ClientError) as refused:
        list(stranger.files.list())
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    assert refused.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    with pytest.raises(openai.BadRequestError) as wrong:
        gemini.with_options(api_key="wrong").batches.list()
    assert isinstance(wrong.value.body, list)
    play(gemini_simulator, refuse_create={"status": 429, "retry_after_s": 17})
    with pytest.raises(openai.RateLimitError) as limited:
        gemini_batch(files, gemini, greetings(1))
    assert "retry-after" not in limited.value.response.headers
    assert isinstance(limited.value.body, list)
    error = limited.value.body[0]["error"]
    assert (error["status"], error["details"][0]["retryDelay"]) == ("RESOURCE_EXHAUSTED", "17s")


def test_lost_replies_of_gemini(files: genai.Client, gemini: openai.OpenAI, gemini_simulator: SimulatorProcess) -> None:
    play(gemini_simulator, lost_create=1)
    with pytest.raises(openai.APIConnectionError):
        gemini_batch(files, gemini, greetings(1))
    assert len(gemini.batches.list().data) == 1
    assert len(list(files.files.list())) == 1


# --- Together -------------------------------------------------------------------------------------------------------


class Reply:
    """A reply as it came."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.getheaders()}
        self.body = raw.read()

    def json(self) -> Any:
        return json.loads(self.body)


def call(simulator: SimulatorProcess, method: str, url: str, body: bytes, headers: dict[str, str]) -> Reply:
    """One request, no redirect followed."""
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=10)
    try:
        connection.request(method, url.removeprefix(simulator.url), body, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def together_simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=("--batch-dialect", "together", "--api-key", "secret")) as running:
        yield running


KEY = {"authorization": "Bearer secret"}


class Together:
    """The calls as Together's client makes them."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self.simulator = simulator

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        content = b"" if body is None else compact(body)
        return call(self.simulator, method, f"/v1{path}", content, KEY | {"content-type": "application/json"} | headers)

    def begin(self, **fields: str) -> Reply:
        told = {"purpose": "batch-api", "file_name": "in.jsonl", "file_type": "jsonl", **fields}
        boundary = base64.b16encode(b"boundary").decode()
        parts = "".join(
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in told.items()
        )
        headers = KEY | {"content-type": f"multipart/form-data; boundary={boundary}"}
        return call(self.simulator, "POST", "/v1/files", f"{parts}--{boundary}--\r\n".encode(), headers)

    def upload(self, content: bytes) -> str:
        begun = self.begin()
        assert begun.status == 302
        assert call(self.simulator, "PUT", begun.headers["location"], content, {}).status == 200
        file_id = begun.headers["x-together-file-id"]
        assert self.ask("POST", f"/files/{file_id}/preprocess").json()["processed"] is True
        return file_id

    def job(self, lines: list[Any]) -> dict[str, Any]:
        made = self.ask("POST", "/batches", {"input_file_id": self.upload(jsonl(lines)), "endpoint": CHAT})
        value: dict[str, Any] = made.json()
        assert (made.status, set(value)) == (201, {"job", "warning"})
        job: dict[str, Any] = value["job"]
        return job

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        ended: dict[str, Any] = until(
            lambda: self.ask("GET", f"/batches/{job['id']}").json(),
            lambda seen: seen["status"] in ("COMPLETED", "FAILED", "EXPIRED", "CANCELLED"),
        )
        return ended

    def file(self, file_id: str | None) -> dict[str, dict[str, Any]]:
        return records(self.ask("GET", f"/files/{file_id}/content").body) if file_id else {}


@pytest.fixture
def together(together_simulator: SimulatorProcess) -> Together:
    return Together(play(together_simulator))


def test_a_batch_of_together_runs_to_its_end(together: Together) -> None:
    job = together.job(greetings(5))
    assert (job["status"], job["progress"]) == ("VALIDATING", 0)
    assert datetime.fromisoformat(job["job_deadline"]) - datetime.fromisoformat(job["created_at"]) == timedelta(days=1)
    job = together.ended(job)
    assert (job["status"], job["progress"], job["model_id"], job["error_file_id"]) == ("COMPLETED", 100, "m", None)
    assert "metadata" not in job
    answered = together.file(job["output_file_id"])
    assert {name: compact(record["response"]["body"]) for name, record in answered.items()} == {
        one["custom_id"]: answer(CHAT, compact(one["body"])) for one in greetings(5)
    }
    listed = together.ask("GET", "/batches").json()
    assert [one["id"] for one in listed] == [job["id"]]
    told = together.ask("GET", f"/files/{job['input_file_id']}").json()
    assert (told["line_count"], told["purpose"]) == (5, "batch-api")


def test_the_client_of_openai_reads_a_job_of_together_after_its_creation(
    together: Together, together_simulator: SimulatorProcess
) -> None:
    """What comes back from a look is no wrapper; real-time calls are OpenAI's."""
    job = together.ended(together.job(greetings(1)))
    with openai.OpenAI(base_url=together_simulator.base_url, api_key="secret", max_retries=0) as client:
        seen = client.batches.retrieve(job["id"])
        assert (seen.id, seen.status, seen.output_file_id) == (job["id"], "COMPLETED", job["output_file_id"])
        assert client.chat.completions.create(**chat("hi")).model == "m"


def test_together_has_neither_finalizing_nor_cancelling(
    together: Together, together_simulator: SimulatorProcess
) -> None:
    play(together_simulator, stall_after=3, cancel_s=0.05)
    job = together.job(greetings(4))
    until(lambda: together.ask("GET", f"/batches/{job['id']}").json(), lambda seen: seen["progress"] == 75)
    assert together.ask("POST", f"/batches/{job['id']}/cancel").json()["status"] == "IN_PROGRESS"
    job = together.ended(job)
    assert (job["status"], len(together.file(job["output_file_id"]))) == ("CANCELLED", 3)
    assert next(iter(together.file(job["error_file_id"]).values()))["error"]["code"] == "batch_cancelled"
    completed = together.ended(Together(play(together_simulator)).job(greetings(1)))
    assert together.ask("POST", f"/batches/{completed['id']}/cancel").status == 400


def test_a_failed_batch_of_together_says_why(together: Together) -> None:
    job = together.ended(together.job([line("a", chat("x")), "{"]))
    assert (job["status"], job["output_file_id"]) == ("FAILED", None)
    assert "JSON" in job["error"]


def test_an_upload_to_together_has_its_order(together: Together, together_simulator: SimulatorProcess) -> None:
    """No file in the form, no key at the store, nothing to use before it was preprocessed, only for its purpose."""
    begun = together.begin()
    place, file_id = begun.headers["location"], begun.headers["x-together-file-id"]
    assert together.ask("GET", f"/files/{file_id}").status == 404
    assert together.ask("POST", f"/files/{file_id}/preprocess").status == 404
    assert call(together_simulator, "PUT", place, jsonl(greetings(1)), KEY).status == 400
    assert call(together_simulator, "PUT", place, jsonl(greetings(1)), {}).status == 200
    asked = {"input_file_id": file_id, "endpoint": CHAT}
    assert together.ask("POST", "/batches", asked).status == 400
    assert together.ask("POST", f"/files/{file_id}/preprocess").status == 200
    assert together.ask("POST", "/batches", asked | {"completion_window": "48h"}).status == 400
    assert together.ask("POST", "/batches", asked).status == 201
    encoded = urlencode({"purpose": "fine-tune", "file_name": "a", "file_type": "jsonl"}).encode()
    kind = KEY | {"content-type": "application/x-www-form-urlencoded"}
    other = call(together_simulator, "POST", "/v1/files", encoded, kind)
    call(together_simulator, "PUT", other.headers["location"], jsonl(greetings(1)), {})
    other_id = other.headers["x-together-file-id"]
    assert together.ask("POST", f"/files/{other_id}/preprocess").status == 200
    assert together.ask("POST", "/batches", {"input_file_id": other_id, "endpoint": CHAT}).status == 400
    assert together.begin(file_name="").status == 400
    whole = b'--c\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--c--\r\n'
    assert (
        call(
            together_simulator, "POST", "/v1/files", whole, KEY | {"content-type": "multipart/form-data; boundary=c"}
        ).status
        == 400
    )
    assert together.ask("DELETE", f"/files/{file_id}").json() == {"id": file_id, "deleted": True}


def test_lost_replies_of_together(together: Together, together_simulator: SimulatorProcess) -> None:
    """A lost upload is one whose bytes have arrived; a lost create is found by its input file."""
    play(together_simulator, lost_uploads=1, lost_create=1)
    begun = together.begin()
    with pytest.raises(http.client.RemoteDisconnected):
        call(together_simulator, "PUT", begun.headers["location"], jsonl(greetings(2)), {})
    file_id = begun.headers["x-together-file-id"]
    assert together.ask("POST", f"/files/{file_id}/preprocess").json()["bytes"] == len(jsonl(greetings(2)))
    with pytest.raises(http.client.RemoteDisconnected):
        together.ask("POST", "/batches", {"input_file_id": file_id, "endpoint": CHAT})
    [job] = together.ask("GET", "/batches").json()
    assert job["input_file_id"] == file_id
    assert len(together.file(together.ended(job)["output_file_id"])) == 2


def test_a_wrong_key_is_told_so_at_together(together: Together) -> None:
    assert together.ask("GET", "/batches", authorization="Bearer wrong").status == 401
