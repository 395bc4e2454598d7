"""Whose key it is, admins that act for a tenant, and lists of batches with filters."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from batchrouter.domain.tenant import Role
from tests.acceptance.api.rig import Rig

LINE = json.dumps(
    {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "a"}}
).encode()


def get(rig: Rig, key: str, path: str, **query: Any) -> requests.Response:
    return requests.get(f"{rig.url}/v1/{path}", params=query, headers={"Authorization": f"Bearer {key}"})


def batch(rig: Rig, key: str, **asked: Any) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    file = requests.post(
        f"{rig.url}/v1/files", headers=headers, files={"file": LINE}, data={"purpose": "batch"}
    ).json()["id"]
    body = {"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h", **asked}
    made = requests.post(f"{rig.url}/v1/batches", headers=headers, json=body).json()
    return str(made["id"])


@pytest.fixture(scope="module")
def admin(rig: Rig) -> str:
    _, secret = rig.run(rig.service.keys.create("ops", Role.ADMIN, "the boss"))
    return secret


def test_a_key_is_told_whose_it_is(rig: Rig, admin: str) -> None:
    """Role, tenant and label; an admin who acts for a tenant hears that one's name."""
    told = get(rig, admin, "me").json()
    assert (told["object"], told["role"], told["tenant"], told["label"]) == ("caller", "admin", "ops", "the boss")
    rig.key("me-team")
    assert get(rig, admin, "me", tenant="me-team").json()["tenant"] == "me-team"
    assert get(rig, rig.key("me-team"), "me").json()["role"] == "user"


def test_an_admin_acts_for_a_tenant_by_its_name(rig: Rig, admin: str) -> None:
    """On every route; what it makes is that tenant's."""
    mine = batch(rig, rig.key("acted-for"))
    assert get(rig, admin, f"batches/{mine}").status_code == 404
    told = get(rig, admin, f"batches/{mine}", tenant="acted-for").json()
    assert (told["id"], told["batchrouter"]["tenant"]) == (mine, "acted-for")
    cancelled = requests.post(
        f"{rig.url}/v1/batches/{mine}/cancel?tenant=acted-for", headers={"Authorization": f"Bearer {admin}"}
    )
    assert cancelled.json()["status"] == "cancelling"
    unknown = get(rig, admin, "batches", tenant="nobody-there")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "tenant")


@pytest.mark.parametrize("path", ["batches", "files", "models", "me"])
def test_a_user_acts_for_nobody_else(rig: Rig, path: str) -> None:
    """Its own tenant's name is no offence; those of others, and all, are."""
    key = rig.key("just-me")
    rig.key("somebody-else")
    assert get(rig, key, path, tenant="just-me").status_code == 200
    for other in ("somebody-else", "*", "nobody-there"):
        refused = get(rig, key, path, tenant=other)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_permissions")


def test_an_admin_lists_the_batches_of_all_tenants(rig: Rig, admin: str) -> None:
    """And of all only batches: no other list knows `*`."""
    made = {batch(rig, rig.key(name), metadata={"sweep": "all"}): name for name in ("one-team", "other-team")}
    told = get(rig, admin, "batches", tenant="*", **{"metadata[sweep]": "all"}).json()["data"]
    assert {each["id"]: each["batchrouter"]["tenant"] for each in told} == made
    assert get(rig, admin, "files", tenant="*").status_code == 404


def test_lists_are_filtered(rig: Rig) -> None:
    """By everything that the description names, together."""
    key = rig.key("filters")
    blue = batch(rig, key, metadata={"name": "Blue run"})
    red = batch(rig, key, metadata={"name": "Red run"})

    def found(**query: Any) -> list[str]:
        reply = get(rig, key, "batches", **query)
        assert reply.status_code == 200, reply.text
        return [each["id"] for each in reply.json()["data"]]

    assert found() == found(status="", search="", created_after="") == [red, blue]
    assert found(status="validating,failed") == [red, blue]
    assert found(status="completed") == []
    assert found(search="BLUE") == [blue]
    assert found(**{"metadata[name]": "Red run"}) == [red]
    assert found(endpoint="/v1/responses") == found(model="m*") == found(retry_of=blue) == []
    assert found(created_before=1) == []
    assert found(created_after=1, search="run", status="validating") == [red, blue]


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ({"status": "running"}, "status", "invalid_value"),
        ({"created_after": "yesterday"}, "created_after", "invalid_type"),
        ({"created_before": "-1"}, "created_before", "integer_below_min_value"),
        ({"created_before": "9" * 30}, "created_before", "integer_above_max_value"),
        ({"search": "x" * 513}, "search", None),
    ],
)
def test_a_bad_filter_is_refused(rig: Rig, query: dict[str, str], param: str, code: str | None) -> None:
    """In OpenAI's words, and before anything is looked up."""
    refused = get(rig, rig.key("filters"), "batches", **query)
    told = refused.json()["error"]
    assert (refused.status_code, told["param"], told["code"]) == (400, param, code)
