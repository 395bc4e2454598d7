"""The official client, unmodified, against a whole server: every call of Files, Uploads and Batches, sync and async."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.flows.conftest import POISON
from tests.lines import (
    CHAT,
    Asked,
    chat,
    chats,
    check_output,
    counts,
    errors_of,
    finished,
    jsonl,
    output_of,
    records,
    upload,
)
from tests.serving import ServerProcess

MANY = 250


def test_upload_create_poll_download_delete(simulator: SimulatorProcess, client: openai.OpenAI, file: Path) -> None:
    asked = chats(50, "sync")
    file.write_bytes(jsonl(asked))
    with file.open("rb") as opened:
        uploaded = client.files.create(file=opened, purpose="batch")
    assert client.files.wait_for_processing(uploaded.id).status == "processed"
    made = client.batches.create(
        input_file_id=uploaded.id, endpoint=CHAT, completion_window="24h", metadata={"night": "shift"}
    )
    assert made.status == "validating"
    batch = finished(client, made.id)
    assert (batch.status, counts(batch), batch.metadata) == ("completed", (50, 50, 0), {"night": "shift"})
    assert (batch.error_file_id, batch.errors, batch.model) == (None, None, "test-model")
    stamps = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert all(stamps)
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    assert batch.expires_at == batch.created_at + 86_400
    check_output(asked, output_of(client, batch))
    keys = {each.key for each in asked}
    log = [entry for entry in simulator.log() if entry.key in keys]
    assert sorted(entry.key for entry in log) == sorted(keys)
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(entry.prompt_tokens for entry in log)
    assert batch.usage.output_tokens == sum(entry.completion_tokens for entry in log)
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens
    # What is gone is gone, and takes nothing else with it.
    assert client.files.delete(uploaded.id).deleted
    check_output(asked, output_of(client, batch))
    assert batch.output_file_id is not None
    assert client.files.delete(batch.output_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)
    assert client.batches.retrieve(made.id) == batch


def test_lines_that_fail_stand_in_the_error_file_and_in_the_count(client: openai.OpenAI) -> None:
    asked = chats(20, "mixed")
    bad = [Asked("bad-1", b'{"model":"m","messages":[]}'), chat("bad-2", POISON)]
    whole = [*asked[:7], bad[0], *asked[7:15], bad[1], *asked[15:]]
    batch = finished(client, upload(client, jsonl(whole)).id)
    assert (batch.status, counts(batch)) == ("completed", (22, 20, 2))
    check_output(asked, output_of(client, batch))
    failed = records(errors_of(client, batch))
    assert [(each["custom_id"], each["response"]["status_code"], each["error"]) for each in failed] == [
        ("bad-1", 400, None),
        ("bad-2", 500, None),
    ]
    assert failed[0]["response"]["body"] == bad[0].answer


def test_a_batch_whose_lines_all_fail_is_completed_without_an_output_file(client: openai.OpenAI) -> None:
    asked = [Asked(f"bad-{i}", b'{"model":"m","messages":[],"seed":%d}' % i) for i in range(5)]
    batch = finished(client, upload(client, jsonl(asked)).id)
    assert (batch.status, counts(batch), batch.output_file_id) == ("completed", (5, 0, 5), None)
    assert [each["custom_id"] for each in records(errors_of(client, batch))] == [each.custom_id for each in asked]


def test_a_file_of_bad_lines_fails_the_batch_with_each_of_them(client: openai.OpenAI) -> None:
    good = chats(1, "good")[0].line
    content = good + b"not json\n" + good + b'{"custom_id":"x","method":"GET","url":"%b","body":{}}\n' % CHAT.encode()
    batch = finished(client, upload(client, content).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.line for error in batch.errors.data] == sorted(error.line or 0 for error in batch.errors.data)
    assert {2, 3, 4} <= {error.line for error in batch.errors.data}
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_lists_of_250_files_and_batches_page_by_themselves(client: openai.OpenAI) -> None:
    def make(number: int) -> tuple[str, str]:
        batch = upload(client, chat("only", f"list {number}").line)
        return batch.input_file_id, batch.id

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(make, range(MANY)))
    files, batches = {file for file, _ in made}, {batch for _, batch in made}
    assert (len(files), len(batches)) == (MANY, MANY)
    for batch_id in batches:
        finished(client, batch_id)
    listed = [file.id for file in client.files.list(purpose="batch", limit=40)]
    assert len(listed) == MANY
    assert set(listed) == files
    outputs = [file.id for file in client.files.list(purpose="batch_output", limit=99, order="asc")]
    assert len(set(outputs)) == len(outputs) == MANY
    found = list(client.batches.list(limit=30))
    assert len(found) == MANY
    assert {batch.id for batch in found} == batches
    assert {batch.output_file_id for batch in found} == set(outputs)
    assert len(list(client.batches.list())) == MANY


def test_the_helper_for_large_files(client: openai.OpenAI, file: Path) -> None:
    asked = chats(300, "chunked")
    content = jsonl(asked)
    file.write_bytes(content)
    done = client.uploads.upload_file_chunked(
        file=file,
        mime_type="text/jsonl",
        purpose="batch",
        part_size=10_000,
        md5=hashlib.md5(content).hexdigest(),
    )
    assert done.status == "completed"
    assert done.file is not None
    assert done.file.bytes == len(content)
    made = client.batches.create(input_file_id=done.file.id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, made.id)
    assert counts(batch) == (300, 300, 0)
    check_output(asked, output_of(client, batch))


def test_parts_in_any_order_and_a_cancelled_upload(client: openai.OpenAI) -> None:
    content = jsonl(chats(100, "parts"))
    cuts = [content[start : start + 4_000] for start in range(0, len(content), 4_000)]
    made = client.uploads.create(bytes=len(content), filename="p.jsonl", mime_type="text/jsonl", purpose="batch")
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda cut: client.uploads.parts.create(made.id, data=cut).id, reversed(cuts)))
    done = client.uploads.complete(made.id, part_ids=parts[::-1])
    assert done.file is not None
    assert client.files.content(done.file.id).read() == content
    dropped = client.uploads.create(bytes=10, filename="p.jsonl", mime_type="text/jsonl", purpose="batch")
    assert client.uploads.cancel(dropped.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.uploads.parts.create(dropped.id, data=b"late")


async def test_the_async_client_runs_forty_batches_at_once(server: ServerProcess, key: str) -> None:
    async with openai.AsyncOpenAI(api_key=key, base_url=server.base_url, max_retries=0) as client:

        async def flow(number: int) -> None:
            asked = chats(10, f"async-{number}")
            file = await client.files.create(file=jsonl(asked), purpose="batch")
            await client.files.wait_for_processing(file.id)
            batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            async with asyncio.timeout(30):
                while batch.status != "completed":
                    await asyncio.sleep(0.1)
                    batch = await client.batches.retrieve(batch.id)
            assert batch.output_file_id is not None
            content = await client.files.content(batch.output_file_id)
            check_output(asked, content.read())
            assert (await client.files.delete(batch.output_file_id)).deleted

        await asyncio.gather(*(flow(number) for number in range(40)))
        assert len([batch async for batch in client.batches.list(limit=15)]) == 40
        assert len([file async for file in client.files.list(limit=15)]) == 40
        done = await client.uploads.upload_file_chunked(
            file=jsonl(chats(10, "async-chunked")),
            filename="a.jsonl",
            bytes=len(jsonl(chats(10, "async-chunked"))),
            mime_type="text/jsonl",
            purpose="batch",
            part_size=500,
        )
        assert done.file is not None
        models = [model.id async for model in client.models.list()]
        assert models
