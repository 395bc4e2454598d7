"""Every route of the API, asked by a stranger with another tenant's ids: what is not the stranger's is not there.

The routes come from the table that the API is made of, so that a new one without an answer here fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import openai
import pytest
import requests

from batchrouter.api.endpoints import ENDPOINTS, Endpoint, Home
from tests.acceptance.api.batches import Hand
from tests.acceptance.api.rig import Rig

SECRET = "only-for-the-owner"
LINE = json.dumps(
    {"custom_id": SECRET, "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": SECRET}}
).encode()
PEOPLE = [endpoint for endpoint in ENDPOINTS if endpoint.home is Home.V1]


class Owned(NamedTuple):
    """What one tenant has: a file, a batch that ended with both files, a batch that waits, an upload with a part."""

    key: str
    file: str
    batch: str
    output: str
    error: str
    waiting: str
    upload: str
    part: str
    webhook: str
    delivery: str

    @property
    def ids(self) -> tuple[str, ...]:
        return self[1:]


@pytest.fixture(scope="module")
def owned(rig: Rig) -> Owned:
    key = rig.key("owner")
    with openai.OpenAI(api_key=key, base_url=f"{rig.url}/v1", max_retries=0) as client:
        file = client.files.create(file=(f"{SECRET}.jsonl", LINE), purpose="batch")
        hook = {"url": f"https://example.com/{SECRET}", "description": SECRET}
        webhook: str = client.post("/webhooks", body=hook, cast_to=dict[str, Any])["id"]
        asked: Any = {"input_file_id": file.id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
        batch = client.batches.create(**asked, metadata={"note": SECRET}, extra_headers={"Idempotency-Key": "mine"})
        Hand(rig, batch.id).complete()
        ended = client.batches.retrieve(batch.id)
        assert ended.output_file_id is not None
        assert ended.error_file_id is not None
        waiting = client.batches.create(**asked, metadata={"note": SECRET})
        upload = client.uploads.create(filename=SECRET, purpose="batch", bytes=len(LINE), mime_type="text/jsonl")
        part = client.uploads.parts.create(upload.id, data=LINE)
        (delivery,) = client.get(f"/webhooks/{webhook}/deliveries", cast_to=dict[str, Any])["data"]
    made = (upload.id, part.id, webhook, delivery["id"])
    return Owned(key, file.id, batch.id, ended.output_file_id, ended.error_file_id, waiting.id, *made)


def bodies(endpoint: Endpoint, owned: Owned) -> list[dict[str, Any]]:
    """What `requests` is to send: every way in which the route's body may name something of the owner's."""
    match endpoint.name:
        case "createFile":
            return [{"files": {"file": LINE}, "data": {"purpose": "batch"}}]
        case "createUpload":
            return [{"json": {"filename": "a", "purpose": "batch", "bytes": 3, "mime_type": "text/jsonl"}}]
        case "addUploadPart":
            return [{"files": {"data": b"x"}}]
        case "completeUpload":
            return [{"json": {"part_ids": [owned.part]}}]
        case "createWebhook":
            return [{"json": {"url": "https://example.com/theirs"}}]
        case "changeWebhook":
            return [{"json": {"description": "theirs", "enabled": False}}]
        case "createBatch":
            files = (owned.file, owned.output, f"batch-output-{owned.batch}.jsonl")
            wanted: list[dict[str, Any]] = [
                {"json": {"input_file_id": id, "endpoint": "/v1/embeddings"}} for id in files
            ]
            repeats = [{"Idempotency-Key": "mine"}, {"x-stainless-retry-count": "1"}]
            return wanted + [{**wanted[0], "headers": headers} for headers in repeats]
        case _:
            return [{}]


def paths(endpoint: Endpoint, owned: Owned) -> list[str]:
    """The route with every id of the owner's that could stand in it, under each of its prefixes."""
    filled = [endpoint.path]
    for parameter, ids in (
        ("{file_id}", (owned.file, owned.output, owned.error, f"batch-output-{owned.batch}.jsonl")),
        ("{batch_id}", (owned.batch, owned.waiting)),
        ("{upload_id}", (owned.upload,)),
        ("{model:path}", ("gpt-4.1-nano",)),
        ("{webhook_id}", (owned.webhook,)),
        ("{delivery_id}", (owned.delivery,)),
        ("{line}", ("0",)),
    ):
        filled = [path.replace(parameter, id) for path in filled for id in (ids if parameter in path else ("",))]
    assert not any("{" in path for path in filled), f"{endpoint.path}: say what stands in it"
    queries = [""]
    if any(query.name == "after" for query in endpoint.query):
        queries += [f"?after={id}" for id in owned.ids]
    return [prefix + path + query for prefix in endpoint.home.value for path in filled for query in queries]


@pytest.mark.parametrize("endpoint", PEOPLE, ids=lambda endpoint: endpoint.name)
def test_a_stranger_sees_and_changes_nothing_of_the_owner(rig: Rig, owned: Owned, endpoint: Endpoint) -> None:
    """An id of the owner's is answered word for word as one that nobody has; without one, nothing of the owner is in
    the reply. Whatever was asked, the owner's things are as before."""
    stranger = {"Authorization": f"Bearer {rig.key(f'stranger-{rig.chance.hex(8)}')}"}
    before = seen(rig, owned)
    for path in paths(endpoint, owned):
        for body in bodies(endpoint, owned):
            sent = {**body, "headers": {**stranger, **body.get("headers", {})}}
            reply = requests.request(endpoint.method, f"{rig.url}{path}", **sent)
            assert SECRET not in reply.text, path
            if endpoint.name == "createBatch":
                made = reply.json()["id"]
                assert made not in owned.ids
                assert Hand(rig, made).duty().input_blob_key is None, "it would read the owner's file"
            elif any(id in path for id in owned.ids):
                assert reply.status_code in (400, 404), (path, reply.text)
                nobody = requests.request(endpoint.method, f"{rig.url}{anonymous(path, owned)}", **sent)
                assert (reply.status_code, anonymous(reply.text, owned)) == (nobody.status_code, nobody.text), path
            else:
                assert reply.status_code < 300, (path, reply.text)
                assert not any(id in reply.text for id in owned.ids), path
    assert seen(rig, owned) == before


def anonymous(text: str, owned: Owned) -> str:
    """The text with ids that nobody has in the place of the owner's."""
    for id in owned.ids:
        text = text.replace(id, id[:-8] + "00000000")
    return text


def seen(rig: Rig, owned: Owned) -> list[tuple[int, bytes]]:
    """All that the owner sees."""
    headers = {"Authorization": f"Bearer {owned.key}"}
    get: Callable[[str], requests.Response] = lambda path: requests.get(f"{rig.url}/v1/{path}", headers=headers)  # noqa: E731
    replies = [get("files"), get("batches"), get("webhooks"), get(f"webhooks/{owned.webhook}/deliveries")]
    replies += [get(f"files/{id}/content") for id in (owned.file, owned.output, owned.error)]
    replies += [get(f"batches/{id}") for id in (owned.batch, owned.waiting)]
    assert {reply.status_code for reply in replies} == {200}
    return [(reply.status_code, reply.content) for reply in replies]
