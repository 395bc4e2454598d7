"""What is another tenant's is not there; keys and tenants are managed by admins only."""

from __future__ import annotations

import openai
import pytest
import requests

from tests.acceptance.api.rig import ADMIN_KEY, USER_KEY, Rig

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_another_tenants_objects_are_not_there(rig: Rig, client: openai.OpenAI) -> None:
    file = client.files.create(file=LINE, purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    upload = client.uploads.create(filename="a", purpose="batch", bytes=3, mime_type="text/jsonl")
    stranger = bearer(rig.key("stranger"))
    for method, path in (
        ("GET", f"files/{file.id}"),
        ("GET", f"files/{file.id}/content"),
        ("DELETE", f"files/{file.id}"),
        ("GET", f"batches/{batch.id}"),
        ("POST", f"batches/{batch.id}/cancel"),
        ("POST", f"uploads/{upload.id}/cancel"),
    ):
        assert requests.request(method, f"{rig.url}/v1/{path}", headers=stranger).status_code == 404, path
    for path in ("files", "batches"):
        assert requests.get(f"{rig.url}/v1/{path}", headers=stranger).json()["data"] == []
        assert requests.get(f"{rig.url}/v1/{path}?after={file.id}", headers=stranger).status_code == 400
    parts = requests.post(f"{rig.url}/v1/uploads/{upload.id}/parts", files={"data": b"x"}, headers=stranger)
    assert parts.status_code == 404
    assert client.batches.retrieve(batch.id).status == "validating"


def test_an_admin_makes_lists_and_revokes_keys(rig: Rig) -> None:
    admin = bearer(ADMIN_KEY)
    made = requests.post(
        f"{rig.url}/admin/v1/keys", json={"tenant": "team-a", "label": "ci", "weight": 3}, headers=admin
    ).json()
    assert made["secret"].startswith("sk-br-")
    assert (made["tenant"], made["role"], made["tail"]) == ("team-a", "user", made["secret"][-4:])
    tenants = requests.get(f"{rig.url}/admin/v1/tenants", headers=admin).json()["data"]
    assert {tenant["name"]: tenant["weight"] for tenant in tenants}["team-a"] == 3
    listed = requests.get(f"{rig.url}/admin/v1/keys?tenant=team-a", headers=admin)
    assert made["secret"] not in listed.text
    assert [key["id"] for key in listed.json()["data"]] == [made["id"]]
    assert requests.get(f"{rig.url}/v1/models", headers=bearer(made["secret"])).status_code == 200
    revoked = requests.delete(f"{rig.url}/admin/v1/keys/{made['id']}", headers=admin).json()
    assert revoked["revoked_at"] is not None
    assert requests.get(f"{rig.url}/v1/models", headers=bearer(made["secret"])).status_code == 401


def test_a_weight_changes_only_when_one_is_given(rig: Rig) -> None:
    admin = bearer(ADMIN_KEY)
    url = f"{rig.url}/admin/v1/tenants"
    assert requests.post(url, json={"name": "team-b", "weight": 5}, headers=admin).json()["weight"] == 5
    assert requests.post(url, json={"name": "team-b"}, headers=admin).json()["weight"] == 5
    requests.post(f"{rig.url}/admin/v1/keys", json={"tenant": "team-b"}, headers=admin)
    tenants = requests.get(url, headers=admin).json()["data"]
    assert [tenant["weight"] for tenant in tenants if tenant["name"] == "team-b"] == [5]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "keys"), ("POST", "keys"), ("DELETE", "keys/x"), ("GET", "tenants")]
)
def test_a_users_key_manages_nothing(rig: Rig, method: str, path: str) -> None:
    reply = requests.request(method, f"{rig.url}/admin/v1/{path}", headers=bearer(USER_KEY))
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_permissions")
    assert requests.request(method, f"{rig.url}/admin/v1/{path}").status_code == 401


@pytest.mark.parametrize(
    "body", [{"role": "root"}, {"tenant": "a/b"}, {"tenant": ""}, {"weight": 0}, {"weight": "1"}, {"label": 1}]
)
def test_a_key_that_is_asked_wrongly_is_refused(rig: Rig, body: dict[str, object]) -> None:
    reply = requests.post(f"{rig.url}/admin/v1/keys", json=body, headers=bearer(ADMIN_KEY))
    assert reply.status_code == 400


def test_health_and_description_need_no_key(rig: Rig) -> None:
    assert requests.get(f"{rig.url}/healthz").text == '{"status":"ok"}'
    assert requests.get(f"{rig.url}/openapi.json").json()["openapi"] == "3.1.0"
    assert "BatchRouter" in requests.get(f"{rig.url}/docs").text
