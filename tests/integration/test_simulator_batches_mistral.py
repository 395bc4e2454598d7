"""Mistral's native batch jobs as the simulator plays them, judged by Mistral's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from mistralai.client.models import BatchJob

from batchrouter.simulator import expected_key
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.integration.native_jobs import compact, jsonl, play, records, until

ENDED = ("SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED")


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=("--batch-dialect", "mistral", "--api-key", "secret")) as running:
        yield running


@pytest.fixture(scope="module")
def one_client(simulator: SimulatorProcess) -> Iterator[Mistral]:
    with Mistral(api_key="secret", server_url=simulator.url) as client:
        yield client


@pytest.fixture
def mistral(simulator: SimulatorProcess, one_client: Mistral) -> Mistral:
    """Nothing happened yet at the other side."""
    play(simulator)
    return one_client


def bodies(count: int) -> list[dict[str, Any]]:
    """Mistral's lines: no method, no url, and the model stands in the job."""
    return [
        {"custom_id": f"r{number}", "body": {"messages": [{"role": "user", "content": f"hello {number}"}]}}
        for number in range(count)
    ]


def submit(client: Mistral, lines: list[Any], **members: Any) -> BatchJob:
    file = client.files.upload(file={"file_name": "in.jsonl", "content": jsonl(lines)}, purpose="batch")
    return client.batch.jobs.create(
        input_files=[file.id], endpoint="/v1/chat/completions", **{"model": "mistral-small-latest", **members}
    )


def ended(client: Mistral, job: BatchJob) -> BatchJob:
    return until(lambda: client.batch.jobs.get(job_id=job.id), lambda seen: seen.status in ENDED)


def results(client: Mistral, file_id: Any) -> dict[str, dict[str, Any]]:
    return records(client.files.download(file_id=file_id).read()) if file_id else {}


def test_a_job_of_mistral_runs_with_the_model_of_the_job(mistral: Mistral) -> None:
    job = submit(mistral, bodies(4), metadata={"tag": "job_1"}, timeout_hours=48)
    assert (job.status, job.metadata, job.total_requests) == ("QUEUED", {"tag": "job_1"}, 0)
    job = ended(mistral, job)
    assert (job.status, job.error_file, job.errors) == ("SUCCESS", None, [])
    assert (job.total_requests, job.completed_requests, job.succeeded_requests, job.failed_requests) == (4, 4, 4, 0)
    assert job.started_at is not None
    assert job.completed_at is not None
    answered = results(mistral, job.output_file)
    for one in bodies(4):
        body = answered[one["custom_id"]]["response"]["body"]
        assert body["model"] == "mistral-small-latest"
        assert expected_key(compact(one["body"])) in body["choices"][0]["message"]["content"]


async def test_the_asynchronous_client_of_mistral_can_do_the_same(
    mistral: Mistral, simulator: SimulatorProcess
) -> None:
    async with Mistral(api_key="secret", server_url=simulator.url) as client:
        file = await client.files.upload_async(file={"file_name": "in.jsonl", "content": jsonl(bodies(1))})
        job = await client.batch.jobs.create_async(input_files=[file.id], endpoint="/v1/embeddings", model="m")
        assert (await client.batch.jobs.get_async(job_id=job.id)).id == job.id
        assert (await client.batch.jobs.list_async()).total == 1


def test_failing_lines_of_mistral_stand_in_its_error_file(mistral: Mistral, simulator: SimulatorProcess) -> None:
    play(simulator, fail_lines=[{"every": 2, "status": 422}])
    job = ended(mistral, submit(mistral, bodies(4)))
    assert (job.status, job.succeeded_requests, job.failed_requests) == ("SUCCESS", 2, 2)
    assert sorted(results(mistral, job.output_file)) == ["r0", "r2"]
    failed = results(mistral, job.error_file)
    assert {name: record["response"]["status_code"] for name, record in failed.items()} == {"r1": 422, "r3": 422}


def test_a_job_of_mistral_fails_times_out_and_is_cancelled(mistral: Mistral, simulator: SimulatorProcess) -> None:
    """What was finished is delivered; lines that never ran are simply not there."""
    play(simulator, fail_job={"errors": [{"code": "a", "message": "no"}, {"code": "a", "message": "no"}]})
    job = ended(mistral, submit(mistral, bodies(2)))
    assert (job.status, [(error.message, error.count) for error in job.errors]) == ("FAILED", [("no", 2)])

    play(simulator, stall_after=2, expire_after_s=0.03)
    job = ended(mistral, submit(mistral, bodies(5)))
    assert (job.status, job.completed_requests, job.total_requests) == ("TIMEOUT_EXCEEDED", 2, 5)
    assert (len(results(mistral, job.output_file)), job.error_file) == (2, None)

    play(simulator, stall_after=3, cancel_s=0.03)
    job = submit(mistral, bodies(5))
    until(lambda: mistral.batch.jobs.get(job_id=job.id), lambda seen: seen.completed_requests == 3)
    assert mistral.batch.jobs.cancel(job_id=job.id).status == "CANCELLATION_REQUESTED"
    job = ended(mistral, job)
    assert (job.status, len(results(mistral, job.output_file))) == ("CANCELLED", 3)


def test_jobs_of_mistral_are_found_by_what_they_carry(mistral: Mistral, simulator: SimulatorProcess) -> None:
    """By metadata, model, status and time, in pages; how a job is found again whose creation got no reply."""
    play(simulator, lost_create=1)
    with pytest.raises(Exception, match="disconnected"):
        submit(mistral, bodies(1), metadata={"tag": "lost"})
    other = ended(mistral, submit(mistral, bodies(1), metadata={"tag": "told"}, model="m"))
    [lost] = mistral.batch.jobs.list(metadata={"tag": "lost"}, created_by_me=True).data or []
    assert ended(mistral, lost).succeeded_requests == 1

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
    job = ended(mistral, submit(mistral, bodies(1)))
    kinds = {one.id: one.sample_type for one in mistral.files.list().data}
    assert kinds[str(job.output_file)] == "batch_result"
    assert mistral.files.delete(file_id=uploaded.id).deleted
    with pytest.raises(SDKError) as refused:
        mistral.files.retrieve(file_id=uploaded.id)
    assert refused.value.raw_response.status_code == 404


def test_what_mistral_refuses(mistral: Mistral, simulator: SimulatorProcess) -> None:
    def status(**members: Any) -> int:
        with pytest.raises(SDKError) as refused:
            submit(mistral, bodies(1), **members)
        return refused.value.raw_response.status_code

    assert status(timeout_hours=1000) == 422
    play(simulator, refuse_create={"status": 429})
    assert status() == 429
    with Mistral(api_key="wrong", server_url=simulator.url) as stranger, pytest.raises(SDKError) as refused:
        stranger.batch.jobs.list()
    assert refused.value.raw_response.status_code == 401


def test_bad_lines_of_mistral_fail_the_job(mistral: Mistral) -> None:
    job = ended(mistral, submit(mistral, [*bodies(1), {"custom_id": "x"}, bodies(1)[0]]))
    assert (job.status, len(job.errors)) == ("FAILED", 2)
