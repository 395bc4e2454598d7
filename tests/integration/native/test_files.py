"""How files go up and come down, host by host."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from aiohttp import web

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.native.files import READY_EVERY_S, READY_LOOKS_MAX
from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeRefused, NativeUnknown
from tests.integration.native.server import KEY, LINES, TAG, Provider, api_at, batch, draft, stream

CONTENT = b"".join(line + b"\n" for line in LINES)
TOGETHER = NativeFacts(files="together", purpose="batch-api", unwrap="job")
GEMINI = NativeFacts(files="gemini")


async def test_a_form_goes_up_with_its_length() -> None:
    """Purpose first, then the file under our tag; the job names the file and carries the tag."""
    async with Provider({"POST /v1/files": {"id": "in"}, "POST /v1/batches": batch()}) as provider:
        api = api_at(provider.url + "/v1", NativeFacts(purpose="batch", url_rewrite={"/v1/chat/completions": "/v4/x"}))
        seen = await api.submit(draft(), stream())
        assert dict(seen.data) == {"input_file_id": "in"}
        upload, create = provider.asked
        assert upload.form == {"purpose": (None, b"batch"), "file": (f"{TAG}.jsonl", CONTENT)}
        assert "Content-Length" in upload.headers
        assert upload.headers["Authorization"] == f"Bearer {KEY}"
        assert create.body == (
            b'{"input_file_id":"in","endpoint":"/v4/x","completion_window":"24h",'
            b'"metadata":{"batchrouter_job":"%s"}}' % TAG.encode()
        )
        await api.aclose()


# --- Azure ------------------------------------------------------------------------------------------------------------


def file(*statuses: str) -> Any:
    """Of each look, one after the other; the last one stays."""
    left = list(statuses)
    return lambda _: web.json_response({"id": "in", "status": left.pop(0) if len(left) > 1 else left[0]})


async def ticking(clock: StepClock) -> None:
    """Time passes when somebody waits for it, and only then."""
    while True:
        await asyncio.sleep(0)
        due_s = clock.next_timer_s()
        if due_s is not None:
            clock.advance(due_s - clock.mono_s())


async def test_a_job_waits_until_its_file_was_read() -> None:
    """Azure refuses jobs of files that are still `pending`."""
    clock = StepClock()
    replies = {
        "POST /v1/files": {"id": "in", "status": "pending"},
        "GET /v1/files/in": file("pending", "running", "processed"),
        "POST /v1/batches": batch(),
    }
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1", clock=clock, headers={"api-key": KEY})
        time = asyncio.create_task(ticking(clock))
        await api.submit(draft(), stream())
        time.cancel()
        assert [call.split()[0] for call in provider.calls()] == ["POST", "GET", "GET", "GET", "POST"]
        assert clock.mono_s() - StepClock().mono_s() == 3 * READY_EVERY_S
        assert {asked.headers.get("api-key") for asked in provider.asked} == {KEY}
        await api.aclose()


@pytest.mark.parametrize("status", ["error", "pending"])
async def test_a_file_that_is_never_ready_makes_no_job(status: str) -> None:
    """One that cannot be read is refused, one that takes too long may come later."""
    clock = StepClock()
    replies = {"POST /v1/files": {"id": "in", "status": "pending"}, "GET /v1/files/in": file(status)}
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1", clock=clock)
        time = asyncio.create_task(ticking(clock))
        with pytest.raises((NativeRefused, NativeUnknown)) as raised:
            await api.submit(draft(), stream())
        time.cancel()
        if status == "error":
            assert isinstance(raised.value, NativeRefused)
            assert raised.value.code == "invalid_file"
        else:
            assert isinstance(raised.value, NativeUnknown)
            assert not raised.value.sent
            assert len(provider.asked) == READY_LOOKS_MAX + 1
        await api.aclose()


# --- SiliconFlow ------------------------------------------------------------------------------------------------------


async def test_a_file_may_come_wrapped_and_results_may_be_an_address() -> None:
    """SiliconFlow: `{code, data: {id}}`; what is not at its own host is fetched as a stranger."""
    async with Provider({"GET /results": b'{"a":1}\n'}) as store:
        replies = {
            "POST /v1/files": {"code": 20000, "message": "Ok", "status": True, "data": {"id": "file-1"}},
            "POST /v1/batches": batch("in_queue"),
            "GET /v1/batches/batch_1": batch("completed", output_file_id=f"{store.url}/results?sig=1"),
        }
        async with Provider(replies) as provider:
            api = api_at(provider.url + "/v1")
            seen = await api.submit(draft(), stream())
            assert (seen.phase, seen.data["input_file_id"]) == (JobPhase.RUNNING, "file-1")
            seen = await api.look(seen.ext_id, seen.data)
            assert [line async for line in api.results(seen)] == [b'{"a":1}']
            assert KEY not in str(store.asked[0].headers)
            await api.aclose()


# --- Together ---------------------------------------------------------------------------------------------------------


async def test_togethers_store_never_learns_the_key() -> None:
    """A form without the file, the bytes to a presigned address, and the file is made of them."""
    async with Provider({"PUT /bucket": b""}) as store:
        place = web.HTTPFound(store.url + "/bucket?X-Amz-Signature=s3cr3t", headers={"X-Together-File-Id": "file-1"})
        replies: dict[str, Any] = {
            "POST /v1/files": lambda _: place,
            "POST /v1/files/file-1/preprocess": {"id": "file-1", "processed": True},
            "POST /v1/batches": {"job": batch("VALIDATING"), "warning": ""},
        }
        async with Provider(replies) as provider:
            api = api_at(provider.url + "/v1", TOGETHER, headers={"authorization": f"Bearer {KEY}", "x-extra": KEY})
            seen = await api.submit(draft(), stream())
            assert (seen.ext_id, seen.data["input_file_id"]) == ("batch_1", "file-1")
            begin, _, create = provider.asked
            assert begin.form == {
                "purpose": (None, b"batch-api"),
                "file_name": (None, f"{TAG}.jsonl".encode()),
                "file_type": (None, b"jsonl"),
            }
            assert b"metadata" not in create.body
            assert store.asked[0].body == CONTENT
            assert store.asked[0].headers["Content-Length"] == str(len(CONTENT))
            assert KEY not in str(store.asked[0].headers)
            await api.aclose()


@pytest.mark.parametrize("step", ["no address", "store refuses", "store is gone"])
async def test_togethers_upload_fails_without_a_job_and_without_secrets(step: str) -> None:
    """Neither the key nor the signature of the address stands in what is told."""
    async with Provider({"PUT /bucket": 403}) as store:
        address = "http://127.0.0.1:1" if step == "store is gone" else store.url
        headers = {} if step == "no address" else {"X-Together-File-Id": "file-1"}
        replies: dict[str, Any] = {
            "POST /v1/files": lambda _: web.HTTPFound(address + "/bucket?X-Amz-Signature=s3cr3t", headers=headers)
        }
        async with Provider(replies) as provider:
            api = api_at(provider.url + "/v1", TOGETHER)
            with pytest.raises((NativeRefused, NativeUnknown)) as raised:
                await api.submit(draft(), stream())
            told = "".join(traceback.format_exception(raised.value))
            assert KEY not in told
            assert "s3cr3t" not in told
            if isinstance(raised.value, NativeUnknown):
                assert not raised.value.sent
            assert provider.calls() == ["POST /v1/files"]
            await api.aclose()


async def test_a_job_without_a_tag_is_found_by_the_name_of_its_file() -> None:
    """Together's list is a bare array in any order; a file that is gone is none of ours."""
    jobs = [
        batch("COMPLETED", id="old", created_at="2023-11-10T00:00:00Z", input_file_id="file-0"),
        batch("IN_PROGRESS", id="gone", created_at="2023-11-14T23:00:00Z", input_file_id="file-9"),
        batch("IN_PROGRESS", id="other", created_at="2023-11-14T23:00:00.123456789Z", input_file_id="file-1"),
        batch("IN_PROGRESS", id="ours", created_at="2023-11-14T23:00:00Z", input_file_id="file-2"),
    ]
    replies = {
        "GET /v1/batches": jobs,
        "GET /v1/files/file-1": {"id": "file-1", "filename": "job_another.jsonl"},
        "GET /v1/files/file-2": {"id": "file-2", "filename": f"{TAG}.jsonl"},
    }
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1", TOGETHER)
        found = await api.find(draft(), frozenset())
        assert found is not None
        assert (found.ext_id, found.data["input_file_id"]) == ("ours", "file-2")
        assert await api.find(draft(), frozenset({"ours"})) is None
        await api.aclose()


# --- Gemini -----------------------------------------------------------------------------------------------------------


async def test_geminis_files_go_through_the_api_beside_it() -> None:
    """The key as that API wants it, and not at all to the address of the upload."""
    async with Provider({"POST /any": {"file": {"name": "files/abc", "state": "ACTIVE"}}}) as store:
        begun = web.Response(headers={"X-Goog-Upload-URL": store.url + "/any?upload_id=1"})
        replies: dict[str, Any] = {
            "POST /upload/v1beta/files": lambda _: begun,
            "POST /v1beta/openai/batches": batch(id="batches/b1"),
            "GET /v1beta/openai/batches/batches/b1": batch(
                "completed", id="batches/b1", output_file_id="files/batch-b1", error_file_id="files/batch-b1"
            ),
            "GET /v1beta/files/batch-b1:download": b'{"a":1}\n',
        }
        async with Provider(replies) as provider:
            api = api_at(provider.url + "/v1beta/openai", GEMINI)
            seen = await api.submit(draft(), stream())
            assert dict(seen.data) == {"input_file_id": "files/abc"}
            seen = await api.look(seen.ext_id, seen.data)
            assert [line async for line in api.results(seen)] == [b'{"a":1}']
            begin, create, _, download = provider.asked
            assert begin.headers["x-goog-api-key"] == KEY
            assert "Authorization" not in begin.headers
            assert begin.headers["X-Goog-Upload-Header-Content-Length"] == str(len(CONTENT))
            assert create.headers["Authorization"] == f"Bearer {KEY}"
            assert b"metadata" not in create.body
            assert (download.path, download.headers["x-goog-api-key"]) == (
                "/v1beta/files/batch-b1:download?alt=media",
                KEY,
            )
            assert store.asked[0].body == CONTENT
            assert KEY not in str(store.asked[0].headers)
            await api.aclose()


# --- afterwards -------------------------------------------------------------------------------------------------------


async def test_what_can_be_deleted_is_and_the_rest_is_let_be() -> None:
    """One file that cannot be deleted keeps no other; nothing is raised."""
    replies: dict[str, Any] = {
        "DELETE /v1/files/in": 500,
        "DELETE /v1/files/out": {"deleted": True},
        "DELETE /v1/files/err": 404,
    }
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1")
        data = {"input_file_id": "in", "output_file_id": "out", "error_file_id": "err"}
        await api.discard(Seen(ext_id="batch_1", phase=JobPhase.ENDED, data=data))
        assert provider.calls() == ["DELETE /v1/files/in", "DELETE /v1/files/out", "DELETE /v1/files/err"]
        await api.aclose()


async def test_a_running_job_of_anthropic_is_not_deleted() -> None:
    """It would be refused."""
    async with Provider({"DELETE /v1/messages/batches/b": {}}) as provider:
        api = api_at(provider.url + "/v1", NativeFacts(dialect="anthropic"))
        await api.discard(Seen(ext_id="b", phase=JobPhase.RUNNING))
        assert provider.asked == []
        await api.discard(Seen(ext_id="b", phase=JobPhase.ENDED))
        assert provider.calls() == ["DELETE /v1/messages/batches/b"]
        await api.aclose()


@pytest.mark.parametrize(("status", "deleted"), [(400, True), (429, True), (502, False), (408, False), (409, False)])
@pytest.mark.parametrize("dialect", ["openai", "mistral"])
async def test_a_refused_creation_takes_its_file_back(dialect: str, status: int, deleted: bool) -> None:
    """Unless a job may have been made behind that answer: it needs its file. Another try uploads anew."""
    jobs = {"POST /v1/batches": status, "POST /v1/batch/jobs": status}
    replies = {"POST /v1/files": {"id": "in"}, "DELETE /v1/files/in": 500, **jobs}
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1", NativeFacts(dialect=dialect))
        with pytest.raises(NativeRefused) as refused:
            await api.submit(draft(), stream())
        assert refused.value.status == status
        assert (provider.calls()[-1] == "DELETE /v1/files/in") == deleted
        await api.aclose()
