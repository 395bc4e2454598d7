"""A tenant that has as much as it may is refused in OpenAI's words, and nobody else is."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import requests

from tests.acceptance.api.rig import ADMIN_KEY, Rig

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def tenant(rig: Rig) -> str:
    return f"bound-{rig.chance.hex(8)}"


def bind(rig: Rig, tenant: str, **quotas: Any) -> dict[str, Any]:
    reply = requests.post(f"{rig.url}/admin/v1/tenants", json={"name": tenant, "quotas": quotas}, headers=ADMIN)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def client_of(rig: Rig, tenant: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=rig.key(tenant), base_url=f"{rig.url}/v1", max_retries=0)


def test_a_batch_that_does_not_fit_is_refused_until_there_is_room(rig: Rig, tenant: str) -> None:
    bind(rig, tenant, max_lines=5)
    with client_of(rig, tenant) as client:
        file = client.files.create(file=LINE * 2, purpose="batch")
        asked: Any = {"input_file_id": file.id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
        for _ in range(2):
            client.batches.create(**asked)
        with pytest.raises(openai.RateLimitError) as refused:
            client.batches.create(**asked)
        assert refused.value.code == "enqueued_quota_exceeded"
        assert refused.value.response.headers["retry-after"] == "60"
        assert len(client.batches.list().data) == 2
        bind(rig, tenant, max_lines=6)
        client.batches.create(**asked)
    listed = requests.get(f"{rig.url}/admin/v1/tenants", headers=ADMIN).json()["data"]
    told = next(each for each in listed if each["name"] == tenant)
    assert told["usage"] == {"lines": 6, "bytes": 6 * len(LINE), "storage_bytes": 2 * len(LINE)}


def test_a_file_that_does_not_fit_is_not_stored(rig: Rig, tenant: str) -> None:
    bind(rig, tenant, max_storage_bytes=3 * len(LINE))
    with client_of(rig, tenant) as client:
        first = client.files.create(file=LINE * 2, purpose="batch")
        with pytest.raises(openai.RateLimitError) as refused:
            client.files.create(file=LINE * 2, purpose="batch")
        assert refused.value.code == "storage_quota_exceeded"
        assert refused.value.response.headers["x-should-retry"] == "false"
        upload = client.uploads.create(filename="a", purpose="batch", bytes=2 * len(LINE), mime_type="text/jsonl")
        with pytest.raises(openai.RateLimitError):
            client.uploads.parts.create(upload.id, data=LINE * 2)
        assert [file.id for file in client.files.list().data] == [first.id]
        client.files.delete(first.id)
        part = client.uploads.parts.create(upload.id, data=LINE * 2)
        bind(rig, tenant, max_storage_bytes=len(LINE))
        with pytest.raises(openai.RateLimitError):
            client.uploads.complete(upload.id, part_ids=[part.id])
        bind(rig, tenant, max_storage_bytes=3 * len(LINE))
        assert client.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"


def test_requests_beyond_the_minutes_quota_wait_for_the_next(rig: Rig, tenant: str) -> None:
    """The admin's calls and other tenants' are not counted."""
    key = rig.key(tenant)
    bind(rig, tenant, max_requests=3)
    url, headers = f"{rig.url}/v1/models", {"Authorization": f"Bearer {key}"}
    replies = [requests.get(url, headers=headers) for _ in range(8)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(refused) >= 2, "at most two minutes were touched"
    assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60
    other = {"Authorization": f"Bearer {rig.key('unbound')}"}
    assert requests.get(url, headers=other).status_code == 200
    bind(rig, tenant, max_requests=None)
    assert requests.get(url, headers=headers).status_code == 200


def test_a_quota_is_changed_by_itself(rig: Rig, tenant: str) -> None:
    """What is not named stays; null takes a bound away."""
    bind(rig, tenant, max_lines=5, max_in_flight=2)
    told = bind(rig, tenant, max_lines=None)
    assert told["quotas"] == {
        "max_in_flight": 2,
        "max_lines": None,
        "max_bytes": None,
        "max_storage_bytes": None,
        "max_requests": None,
    }


@pytest.mark.parametrize("quotas", [{"max_line": 5}, {"max_lines": -1}, {"max_lines": "5"}, {"max_lines": True}, [1]])
def test_a_quota_that_is_asked_wrongly_is_refused(rig: Rig, tenant: str, quotas: object) -> None:
    """A misspelt one too: it would bind nobody."""
    body = {"name": tenant, "quotas": quotas}
    reply = requests.post(f"{rig.url}/admin/v1/tenants", json=body, headers=ADMIN)
    assert reply.status_code == 400
