"""The official client, unmodified, does every call: sync and async, with paging over hundreds."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path

import openai
import pytest

from tests.acceptance.api.batches import Hand, expected
from tests.acceptance.api.rig import Rig

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}\n'
ENDPOINT = "/v1/chat/completions"


def test_a_file_lives_from_upload_to_deletion(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(LINE * 3)
    with path.open("rb") as opened:
        file = client.files.create(file=opened, purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose, file.status) == (
        "file",
        len(LINE) * 3,
        "requests.jsonl",
        "batch",
        "processed",
    )
    assert file.expires_at == file.created_at + 2_592_000
    extra = file.model_extra or {}
    assert (extra["file_id"], extra["num_rows"]) == (file.id, 3)
    assert extra["url"].endswith(f"/v1/files/{file.id}/content")
    assert client.files.wait_for_processing(file.id).id == file.id
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == LINE * 3
    assert client.files.content(file.id).text == (LINE * 3).decode()
    assert client.files.delete(file.id).deleted is True
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match=f"No such File object: {file.id}"):
            gone(file.id)


def test_bytes_without_a_name_and_an_expiry_are_taken(client: openai.OpenAI) -> None:
    file = client.files.create(
        file=io.BytesIO(LINE), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.filename == "upload"
    assert file.expires_at == file.created_at + 3600
    assert client.files.create(file=b"anything", purpose="user_data").expires_at is None


def test_a_batch_is_created_watched_and_its_files_downloaded(rig: Rig, client: openai.OpenAI) -> None:
    file = client.files.create(file=LINE, purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={"description": "ünï"}
    )
    assert batch.id.startswith("batch_")
    assert batch.status == "validating"
    assert batch.expires_at == batch.created_at + 86_400
    assert batch.metadata == {"description": "ünï"}
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.output_file_id, batch.errors) == (0, None, None)
    Hand(rig, batch.id).complete()
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert done.model == "m-2026-01-01"
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": 10, "completed": 7, "failed": 3}
    assert done.usage is not None
    assert done.usage.to_dict() == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 10},
        "total_tokens": 130,
        "cost": None,
    }
    assert done.output_file_id is not None
    assert done.error_file_id is not None
    assert client.files.content(done.output_file_id).read() == expected(10, True)
    assert client.files.content(done.error_file_id).read() == expected(10, False)
    assert client.files.retrieve(done.output_file_id).purpose == "batch_output"
    client.files.delete(file.id)
    client.files.delete(done.output_file_id)
    assert client.batches.retrieve(batch.id).status == "completed"


def test_lists_are_paged_to_their_end(client: openai.OpenAI) -> None:
    files = [client.files.create(file=LINE, purpose="batch").id for _ in range(250)]
    other = client.files.create(file=b"x", purpose="user_data").id
    batches = [client.batches.create(input_file_id=id, endpoint=ENDPOINT, completion_window="24h").id for id in files]
    assert [file.id for file in client.files.list(limit=40)] == [other, *files[::-1]]
    assert [file.id for file in client.files.list(limit=99, order="asc", purpose="batch")] == files
    assert [file.id for file in client.files.list()] == [other, *files[::-1]]
    assert [batch.id for batch in client.batches.list(limit=40)] == batches[::-1]
    assert [batch.id for batch in client.batches.list()] == batches[::-1]
    page = client.files.list(limit=251)
    assert (len(page.data), page.has_more) == (251, False)
    # A deleted file still holds its place for whoever is in the middle of a list.
    client.files.delete(files[100])
    after = client.files.list(limit=2, order="asc", after=files[100])
    assert [file.id for file in after.data] == files[101:103]


async def test_the_async_client_does_the_same_a_hundred_at_once(rig: Rig, tenant_key: str) -> None:
    async with openai.AsyncOpenAI(api_key=tenant_key, base_url=f"{rig.url}/api/v1", max_retries=0) as client:
        files = await asyncio.gather(*(client.files.create(file=LINE, purpose="batch") for _ in range(100)))
        made = await asyncio.gather(
            *(
                client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
                for file in files
            )
        )
        assert len({batch.id for batch in made}) == 100
        listed = [batch.id async for batch in client.batches.list(limit=30)]
        assert sorted(listed) == sorted(batch.id for batch in made)
        cancelled = await client.batches.cancel(made[0].id)
        assert cancelled.status == "cancelling"
        content = await client.files.content(files[0].id)
        assert content.read() == LINE


def test_an_upload_in_parts_becomes_a_file(client: openai.OpenAI) -> None:
    data = LINE * 50
    upload = client.uploads.create(filename="big.jsonl", purpose="batch", bytes=len(data), mime_type="text/jsonl")
    assert (upload.status, upload.expires_at) == ("pending", upload.created_at + 3600)
    cuts = [data[:1000], data[1000:1001], data[1001:]]
    parts = [client.uploads.parts.create(upload.id, data=cut).id for cut in reversed(cuts)]
    client.uploads.parts.create(upload.id, data=b"sent twice, not named")
    done = client.uploads.complete(upload.id, part_ids=parts[::-1], md5=hashlib.md5(data).hexdigest())
    assert done.status == "completed"
    assert done.file is not None
    assert (done.file.bytes, done.file.filename) == (len(data), "big.jsonl")
    assert (done.file.model_extra or {})["num_rows"] == 50
    assert client.files.content(done.file.id).read() == data


def test_the_clients_own_helper_for_large_files_works(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "chunked.jsonl"
    path.write_bytes(LINE * 100)
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="batch", part_size=1 << 10, md5=hashlib.md5(LINE * 100).hexdigest()
    )
    assert upload.file is not None
    assert client.files.content(upload.file.id).read() == LINE * 100


def test_models_are_listed_and_found_by_ids_with_slashes(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["gpt-4.1-nano", "Qwen/Qwen2.5-7B"]
    assert client.models.retrieve("Qwen/Qwen2.5-7B").owned_by == "local"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nope")
    assert caught.value.code == "model_not_found"


def test_every_reply_has_an_id_that_the_client_can_tell(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.batches.retrieve("batch_unknown")
    assert (caught.value.request_id or "").startswith("req_")
    assert (client.models.list()._request_id or "").startswith("req_")
