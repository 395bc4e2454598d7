"""Together's native batches as the simulator plays them.

Together's client is not installed: its calls are made step by step as it makes them. OpenAI's reads what comes back.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import openai
import pytest

from batchrouter.simulator import answer
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.integration.native_jobs import CHAT, Reply, call, chat, compact, greetings, jsonl, line, play, records, until


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
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
        boundary = "the-boundary"
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
def together(simulator: SimulatorProcess) -> Together:
    return Together(play(simulator))


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
    together: Together, simulator: SimulatorProcess
) -> None:
    """What comes back from a look is no wrapper; real-time calls are OpenAI's."""
    job = together.ended(together.job(greetings(1)))
    with openai.OpenAI(base_url=simulator.base_url, api_key="secret", max_retries=0) as client:
        seen = client.batches.retrieve(job["id"])
        assert (seen.id, seen.status, seen.output_file_id) == (job["id"], "COMPLETED", job["output_file_id"])
        assert client.chat.completions.create(**chat("hi")).model == "m"


def test_together_has_neither_finalizing_nor_cancelling(together: Together, simulator: SimulatorProcess) -> None:
    play(simulator, stall_after=3, cancel_s=0.05)
    job = together.job(greetings(4))
    until(lambda: together.ask("GET", f"/batches/{job['id']}").json(), lambda seen: seen["progress"] == 75)
    assert together.ask("POST", f"/batches/{job['id']}/cancel").json()["status"] == "IN_PROGRESS"
    job = together.ended(job)
    assert (job["status"], len(together.file(job["output_file_id"]))) == ("CANCELLED", 3)
    assert next(iter(together.file(job["error_file_id"]).values()))["error"]["code"] == "batch_cancelled"
    completed = together.ended(Together(play(simulator)).job(greetings(1)))
    assert together.ask("POST", f"/batches/{completed['id']}/cancel").status == 400


def test_a_failed_batch_of_together_says_why(together: Together) -> None:
    job = together.ended(together.job([line("a", chat("x")), "{"]))
    assert (job["status"], job["output_file_id"]) == ("FAILED", None)
    assert "JSON" in job["error"]


def test_an_upload_to_together_has_its_order(together: Together, simulator: SimulatorProcess) -> None:
    """No file in the form, no key at the store, nothing to use before it was preprocessed, only for its purpose."""
    begun = together.begin()
    place, file_id = begun.headers["location"], begun.headers["x-together-file-id"]
    assert together.ask("GET", f"/files/{file_id}").status == 404
    assert together.ask("POST", f"/files/{file_id}/preprocess").status == 404
    assert call(simulator, "PUT", place, jsonl(greetings(1)), KEY).status == 400
    assert call(simulator, "PUT", place, jsonl(greetings(1)), {}).status == 200
    asked = {"input_file_id": file_id, "endpoint": CHAT}
    assert together.ask("POST", "/batches", asked).status == 400
    assert together.ask("POST", f"/files/{file_id}/preprocess").status == 200
    assert together.ask("POST", "/batches", asked | {"completion_window": "48h"}).status == 400
    assert together.ask("POST", "/batches", asked).status == 201
    encoded = urlencode({"purpose": "fine-tune", "file_name": "a", "file_type": "jsonl"}).encode()
    kind = KEY | {"content-type": "application/x-www-form-urlencoded"}
    other = call(simulator, "POST", "/v1/files", encoded, kind)
    call(simulator, "PUT", other.headers["location"], jsonl(greetings(1)), {})
    other_id = other.headers["x-together-file-id"]
    assert together.ask("POST", f"/files/{other_id}/preprocess").status == 200
    assert together.ask("POST", "/batches", {"input_file_id": other_id, "endpoint": CHAT}).status == 400
    assert together.begin(file_name="").status == 400
    whole = b'--c\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--c--\r\n'
    assert (
        call(simulator, "POST", "/v1/files", whole, KEY | {"content-type": "multipart/form-data; boundary=c"}).status
        == 400
    )
    assert together.ask("DELETE", f"/files/{file_id}").json() == {"id": file_id, "deleted": True}


def test_lost_replies_of_together(together: Together, simulator: SimulatorProcess) -> None:
    """A lost upload is one whose bytes have arrived; a lost create is found by its input file."""
    play(simulator, lost_uploads=1, lost_create=1)
    begun = together.begin()
    with pytest.raises(http.client.RemoteDisconnected):
        call(simulator, "PUT", begun.headers["location"], jsonl(greetings(2)), {})
    file_id = begun.headers["x-together-file-id"]
    assert together.ask("POST", f"/files/{file_id}/preprocess").json()["bytes"] == len(jsonl(greetings(2)))
    with pytest.raises(http.client.RemoteDisconnected):
        together.ask("POST", "/batches", {"input_file_id": file_id, "endpoint": CHAT})
    [job] = together.ask("GET", "/batches").json()
    assert job["input_file_id"] == file_id
    assert len(together.file(together.ended(job)["output_file_id"])) == 2


def test_a_wrong_key_is_told_so_at_together(together: Together) -> None:
    assert together.ask("GET", "/batches", authorization="Bearer wrong").status == 401
