"""What we send is what the vendors' own packages would send: their types, their forms, their paths, their headers.

Each vendor's client and our adapter do the same to one scripted provider; what it was asked is then compared.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import anthropic
import mistralai.client
import openai
import pytest
from aiohttp import web
from anthropic.types.messages.batch_create_params import BatchCreateParams as AnthropicCreate
from google import genai
from mistralai.client.models import CreateBatchJobRequest
from openai.types.batch_create_params import BatchCreateParams as OpenAICreate
from openai.types.batch_list_params import BatchListParams
from pydantic import TypeAdapter

from batchrouter.adapters.native.anthropic import VERSION
from batchrouter.domain.job import JobPhase, NativeFacts, Seen, line_key
from batchrouter.providers.job_lines import AnthropicLines
from tests.integration.native.server import CHAT, KEY, LINES, TAG, Asked, Provider, api_at, batch, draft, stream

CONTENT = b"".join(line + b"\n" for line in LINES)
FILE = {
    "id": "in",
    "object": "file",
    "bytes": len(CONTENT),
    "created_at": 1,
    "filename": f"{TAG}.jsonl",
    "purpose": "batch",
    "status": "processed",
}
JOB = batch(input_file_id="in", endpoint=CHAT, completion_window="24h", output_file_id="out", error_file_id=None)
MISTRAL_JOB = {
    "id": "job",
    "object": "batch",
    "input_files": ["in"],
    "endpoint": CHAT,
    "errors": [],
    "status": "QUEUED",
    "created_at": 1,
    "total_requests": 3,
    "completed_requests": 0,
    "succeeded_requests": 0,
    "failed_requests": 0,
    "output_file": "out",
}
MESSAGE_BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "ended",
    "created_at": "2026-11-20T00:00:00Z",
    "expires_at": "2026-11-21T00:00:00Z",
    "ended_at": None,
    "archived_at": None,
    "cancel_initiated_at": None,
    "request_counts": {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results",
}


def same(ours: list[Asked], theirs: list[Asked], *headers: str) -> None:
    """The same calls with the same bodies and forms, and these headers alike."""
    assert [f"{asked.method} {asked.path}" for asked in ours] == [f"{asked.method} {asked.path}" for asked in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert our.form == their.form
        if our.body != their.body:
            assert json.loads(our.body) == json.loads(their.body)
        assert [our.headers.get(name) for name in headers] == [their.headers.get(name) for name in headers]


async def test_openai() -> None:
    """Upload, create, look, cancel, list, download, delete."""
    replies: dict[str, Any] = {
        "POST /v1/files": FILE,
        "POST /v1/batches": JOB,
        "GET /v1/batches/batch_1": JOB,
        "POST /v1/batches/batch_1/cancel": {**JOB, "status": "cancelling"},
        "GET /v1/batches": {"object": "list", "data": [], "has_more": False},
        "GET /v1/files/out/content": b"{}\n",
        "DELETE /v1/files/in": {"id": "in", "object": "file", "deleted": True},
    }
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1")
        seen = await api.submit(draft(), stream())
        await api.look("batch_1", {})
        await api.cancel("batch_1", {})
        await api.find(draft(), frozenset())
        async for _ in api.results(Seen(ext_id="batch_1", phase=JobPhase.ENDED, data={"output_file_id": "out"})):
            pass
        await api.discard(Seen(ext_id="batch_1", phase=JobPhase.ENDED, data={"input_file_id": "in"}))
        await api.aclose()
        ours, provider.asked = provider.asked, []
        assert seen.data == {"input_file_id": "in", "output_file_id": "out"}
        TypeAdapter(OpenAICreate).validate_json(ours[1].body)
        TypeAdapter(BatchListParams).validate_python({"limit": 100})

        async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key=KEY, max_retries=0) as client:
            await client.files.create(file=(f"{TAG}.jsonl", CONTENT), purpose="batch")
            await client.batches.create(
                input_file_id="in", endpoint=CHAT, completion_window="24h", metadata={"batchrouter_job": TAG}
            )
            await client.batches.retrieve("batch_1")
            await client.batches.cancel("batch_1")
            await client.batches.list(limit=100)
            await client.files.content("out")
            await client.files.delete("in")
        same(ours, provider.asked, "authorization")


async def test_anthropic() -> None:
    """Create, look, cancel, list, results, delete; the results at our own host, not where `results_url` says."""
    replies: dict[str, Any] = {
        "POST /v1/messages/batches": MESSAGE_BATCH,
        "GET /v1/messages/batches/msgbatch_1": MESSAGE_BATCH,
        "POST /v1/messages/batches/msgbatch_1/cancel": MESSAGE_BATCH,
        "GET /v1/messages/batches": {"data": [], "has_more": False, "first_id": None, "last_id": None},
        "GET /v1/messages/batches/msgbatch_1/results": b"",
        "DELETE /v1/messages/batches/msgbatch_1": {"id": "msgbatch_1", "type": "message_batch_deleted"},
    }
    params: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "é"}], "model": "claude-haiku-4-5"}
    form = AnthropicLines()
    keys = [line_key(TAG, number) for number in range(3)]
    lines = [form.write(key, CHAT, json.dumps(params, ensure_ascii=False).encode()) for key in keys]
    async with Provider(replies) as provider:
        facts = NativeFacts(dialect="anthropic")
        api = api_at(provider.url + "/v1", facts, headers={"X-Api-Key": KEY})
        await api.submit(draft(lines), stream(lines))
        seen = await api.look("msgbatch_1", {})
        await api.cancel("msgbatch_1", {})
        await api.find(draft(), frozenset())
        async for _ in api.results(seen):
            pass
        await api.discard(seen)
        await api.aclose()
        ours, provider.asked = provider.asked, []
        TypeAdapter(AnthropicCreate).validate_json(ours[0].body)

        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key=KEY, max_retries=0) as client:
            batches = client.messages.batches
            await batches.create(requests=[{"custom_id": key, "params": params} for key in keys])
            await batches.retrieve("msgbatch_1")
            await batches.cancel("msgbatch_1")
            await batches.list(limit=100)
            provider.replies["GET /v1/messages/batches/msgbatch_1"] = {**MESSAGE_BATCH, "results_url": ours[4].path}
            async for _ in await batches.results("msgbatch_1"):
                pass
            await batches.delete("msgbatch_1")
        theirs = [asked for number, asked in enumerate(provider.asked) if number != 4]  # it looks before it reads
        same(ours, theirs)
        assert {asked.headers["content-type"] for asked in ours if asked.method == "POST"} == {"application/json"}
        # The package has a newer version than lines of real time have, and another header for the same key.
        assert {(asked.headers["x-api-key"], asked.headers["anthropic-version"]) for asked in ours} == {(KEY, VERSION)}
        assert {asked.headers["authorization"] for asked in theirs} == {f"Bearer {KEY}"}


async def test_mistral() -> None:
    """Upload, create, look, cancel, download."""
    file = {**FILE, "sample_type": "batch_request", "source": "upload"}
    replies: dict[str, Any] = {
        "POST /v1/files": file,
        "POST /v1/batch/jobs": MISTRAL_JOB,
        "GET /v1/batch/jobs/job": MISTRAL_JOB,
        "POST /v1/batch/jobs/job/cancel": MISTRAL_JOB,
        "GET /v1/files/out/content": b"{}\n",
        "DELETE /v1/files/in": {"id": "in", "object": "file", "deleted": True},
    }
    async with Provider(replies) as provider:
        api = api_at(provider.url + "/v1", NativeFacts(dialect="mistral"))
        seen = await api.submit(draft(), stream())
        await api.look("job", {})
        await api.cancel("job", {})
        async for _ in api.results(seen):
            pass
        await api.discard(Seen(ext_id="job", phase=JobPhase.ENDED, data={"input_file": "in"}))
        await api.aclose()
        ours, provider.asked = provider.asked, []
        CreateBatchJobRequest.model_validate_json(ours[1].body)

        async with mistralai.client.Mistral(api_key=KEY, server_url=provider.url) as client:
            await client.files.upload_async(
                file={"file_name": f"{TAG}.jsonl", "content": CONTENT}, purpose="batch", visibility=None
            )
            await client.batch.jobs.create_async(
                input_files=["in"], endpoint=CHAT, model="m", timeout_hours=24, metadata={"batchrouter_job": TAG}
            )
            await client.batch.jobs.get_async(job_id="job")
            await client.batch.jobs.cancel_async(job_id="job")
            await client.files.download_async(file_id="out")
            await client.files.delete_async(file_id="in")
        same(ours, provider.asked, "authorization")


async def test_gemini() -> None:
    """The Files API, as Google's client uses it: begin, send, download, look, delete."""
    content = {"file": {"name": "files/abc", "uri": "x", "state": "ACTIVE"}}
    done: Callable[[object], Any] = lambda _: _json(content, {"x-goog-upload-status": "final"})  # noqa: E731
    async with Provider({"POST /upload": done, "GET /v1beta/files/abc:download": b"{}\n"}) as provider:
        begun = lambda _: _json({}, {"x-goog-upload-url": provider.url + "/upload?upload_id=1"})  # noqa: E731
        provider.replies |= {
            "POST /upload/v1beta/files": begun,
            "POST /v1beta/openai/batches": 400,
            "DELETE /v1beta/files/abc": {},
        }
        api = api_at(provider.url + "/v1beta/openai", NativeFacts(files="gemini"))
        async for _ in api.results(Seen(ext_id="b", phase=JobPhase.ENDED, data={"output_file_id": "files/abc"})):
            pass
        with pytest.raises(Exception, match="status 400"):
            await api.submit(draft(), stream())
        await api.aclose()
        ours, provider.asked = provider.asked, []

        def vendor() -> None:
            with genai.Client(api_key=KEY, http_options={"base_url": provider.url, "api_version": "v1beta"}) as client:
                client.files.download(file="files/abc")
                told: Any = {"display_name": f"{TAG}.jsonl", "mime_type": "application/jsonl"}
                client.files.upload(file=io.BytesIO(CONTENT), config=told)
                client.files.delete(name="files/abc")

        await asyncio.to_thread(vendor)
        theirs = provider.asked
        ours = [asked for asked in ours if "/batches" not in asked.path]
        begin, their_begin = ours[1], theirs[1]
        told = json.loads(their_begin.body)["file"]
        assert json.loads(begin.body)["file"] == told
        for name in ("protocol", "command", "header-content-length", "header-content-type"):
            assert begin.headers[f"x-goog-upload-{name}"] == their_begin.headers[f"x-goog-upload-{name}"]
        del ours[1], theirs[1]
        assert [asked.headers.get("x-goog-api-key") for asked in ours] == [KEY, None, KEY]
        same(ours, theirs, "x-goog-upload-command", "x-goog-upload-offset")


def _json(value: object, headers: dict[str, str]) -> web.Response:
    return web.json_response(value, headers=headers)
