"""Gemini's native batches as the simulator plays them: files judged by Google's client, batches by OpenAI's."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from openai.types import Batch

from batchrouter.simulator import answer
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.integration.native_jobs import CHAT, Reply, call, chat, compact, greetings, jsonl, line, play, records, until


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=("--api-key", "secret")) as running:
        yield running


@pytest.fixture(scope="module")
def one_client(simulator: SimulatorProcess) -> Iterator[genai.Client]:
    with google(simulator, "secret") as client:
        yield client


@pytest.fixture
def files(simulator: SimulatorProcess, one_client: genai.Client) -> genai.Client:
    """Nothing happened yet at the other side."""
    play(simulator)
    return one_client


@pytest.fixture(scope="module")
def gemini(simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator.url}/v1beta/openai/", api_key="secret", max_retries=0) as client:
        yield client


@contextlib.contextmanager
def google(simulator: SimulatorProcess, key: str, version: str = "v1beta") -> Iterator[genai.Client]:
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=simulator.url, api_version=version))
    with contextlib.closing(client):
        yield client


def submit(files: genai.Client, client: openai.OpenAI, lines: list[Any]) -> Batch:
    file = files.files.upload(file=io.BytesIO(jsonl(lines)), config={"mime_type": "jsonl", "display_name": "in"})
    assert file.name is not None
    return client.batches.create(
        input_file_id=file.name, endpoint=CHAT, completion_window="24h", metadata={"tag": "job_1"}
    )


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    return until(
        lambda: client.batches.retrieve(batch.id),
        lambda seen: seen.status in ("completed", "failed", "expired", "cancelled"),
    )


def test_a_batch_of_gemini_goes_through_two_apis(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    """Files by Google's client, the batch by OpenAI's; results in the order of the input."""
    batch = ended(gemini, submit(files, gemini, greetings(20)))
    assert (batch.status, batch.error_file_id, batch.metadata) == ("completed", None, {"tag": "job_1"})
    assert batch.id.startswith("batches/")
    assert batch.output_file_id is not None
    answered = records(files.files.download(file=batch.output_file_id))
    assert list(answered) == [f"r{number}" for number in range(20)]
    for one in greetings(20):
        assert compact(answered[one["custom_id"]]["response"]["body"]) == answer(CHAT, compact(one["body"]))
    assert [one.id for one in gemini.batches.list()] == [batch.id]
    assert gemini.chat.completions.create(**chat("hi")).model == "m"
    assert {entry.job for entry in simulator.log() if entry.end == "native"} == {batch.id}


def test_failing_lines_of_gemini_stand_among_the_others(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    play(simulator, fail_lines=[{"every": 2, "status": 500}])
    batch = ended(gemini, submit(files, gemini, greetings(4)))
    assert batch.error_file_id is None
    answered = records(files.files.download(file=batch.output_file_id or ""))
    assert [record["response"]["status_code"] for record in answered.values()] == [200, 500, 200, 500]


def test_an_expired_batch_of_gemini_delivers_nothing(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    play(simulator, stall_after=3, expire_after_s=0.03)
    batch = ended(gemini, submit(files, gemini, greetings(5)))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("expired", None, None)


@pytest.mark.parametrize("form", ["{id}/cancel", "{id}:cancel"])
def test_a_batch_of_gemini_is_cancelled_in_either_form(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess, form: str
) -> None:
    play(simulator, stall_after=2, cancel_s=0.03)
    batch = submit(files, gemini, greetings(5))
    until(
        lambda: gemini.batches.retrieve(batch.id),
        lambda seen: seen.request_counts and seen.request_counts.completed == 2,
    )
    path = "/" + form.format(id=batch.id)
    assert gemini.post(path, cast_to=Batch).status == "cancelling"
    batch = ended(gemini, batch)
    assert batch.status == "cancelled"
    ran = records(files.files.download(file=batch.output_file_id or ""))
    assert len(ran) == 2


def test_a_result_of_gemini_can_be_downloaded_but_not_looked_at(files: genai.Client, gemini: openai.OpenAI) -> None:
    """Its name is longer than its own API takes; an upload is the other way round."""
    batch = ended(gemini, submit(files, gemini, greetings(1)))
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


def test_uploads_to_gemini_can_be_resumed_or_come_whole(simulator: SimulatorProcess) -> None:
    """What Google's client does not do: ask how far it got, go on from there, and send all as one multipart body."""
    play(simulator)
    content = jsonl(greetings(3))
    start = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start", "x-goog-api-key": "secret"}
    reply = call(simulator, "POST", "/upload/v1beta/files", b'{"file":{"displayName":"d"}}', start)
    place = reply.headers["x-goog-upload-url"].removeprefix(simulator.url)

    def send(piece: bytes, command: str, offset: int) -> Reply:
        headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
        return call(simulator, "POST", place, piece, headers)

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
    whole = call(simulator, "POST", "/upload/v1beta/files?uploadType=multipart", parts, headers)
    assert (whole.json()["file"]["sizeBytes"], whole.json()["file"]["mimeType"]) == (
        str(len(content)),
        "application/jsonl",
    )


def test_the_newer_version_of_googles_paths() -> None:
    """Its list of files has OpenAI's path, so that it wants a simulator that is Gemini's."""
    with (
        running_simulator(arguments=("--batch-dialect", "gemini")) as simulator,
        google(simulator, "any", "v1") as client,
    ):
        file = client.files.upload(file=io.BytesIO(jsonl(greetings(1))), config={"mime_type": "jsonl"})
        assert [one.name for one in client.files.list()] == [file.name]


def test_both_ways_to_download_from_gemini(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    batch = ended(gemini, submit(files, gemini, greetings(2)))
    replies = [
        call(simulator, "GET", f"{prefix}/v1beta/{batch.output_file_id}:download?alt=media&key=secret", b"", {})
        for prefix in ("", "/download")
    ]
    assert [len(records(reply.body)) for reply in replies] == [2, 2]


def test_gemini_refuses_in_googles_words(
    files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    """A bad key is a 400 there, and the OpenAI-compatible API wraps its errors in a list."""
    with google(simulator, "wrong") as stranger, pytest.raises(google_errors.ClientError) as refused:
        list(stranger.files.list())
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    assert refused.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    with pytest.raises(openai.BadRequestError) as wrong:
        gemini.with_options(api_key="wrong").batches.list()
    assert isinstance(wrong.value.body, list)
    play(simulator, refuse_create={"status": 429, "retry_after_s": 17})
    with pytest.raises(openai.RateLimitError) as limited:
        submit(files, gemini, greetings(1))
    assert "retry-after" not in limited.value.response.headers
    assert isinstance(limited.value.body, list)
    error = limited.value.body[0]["error"]
    assert (error["status"], error["details"][0]["retryDelay"]) == ("RESOURCE_EXHAUSTED", "17s")


def test_lost_replies_of_gemini(files: genai.Client, gemini: openai.OpenAI, simulator: SimulatorProcess) -> None:
    play(simulator, lost_create=1)
    with pytest.raises(openai.APIConnectionError):
        submit(files, gemini, greetings(1))
    assert len(gemini.batches.list().data) == 1
    assert len(list(files.files.list())) == 1
