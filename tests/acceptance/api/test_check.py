"""Files checked before a batch is made of them, and providers as an admin sees them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import requests

from batchrouter.domain.shard import LaneKey
from tests.acceptance.api.rig import ADMIN_KEY, USER_KEY, Rig

CHAT = "/v1/chat/completions"


def line(custom_id: str, **changes: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def ask(rig: Rig, method: str, path: str, key: str = USER_KEY, **sent: Any) -> requests.Response:
    return requests.request(method, rig.url + path, headers={"Authorization": f"Bearer {key}"}, **sent)


def upload(rig: Rig, *lines: Any, purpose: str = "batch") -> str:
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    made = ask(rig, "POST", "/v1/files", files={"file": text.encode()}, data={"purpose": purpose})
    return str(made.json()["id"])


def test_a_file_is_checked_as_a_batch_would_be(rig: Rig) -> None:
    """Every bad line with its number, and where the sound ones would go; nothing is made of it."""
    file = upload(
        rig,
        line("a"),
        '{"custom_id": "broken"',
        line("a"),
        line("other", body={"model": "other/x", "messages": []}),
        line("elsewhere", url="/v1/embeddings"),
    )
    before = ask(rig, "GET", "/v1/batches").json()
    told = ask(rig, "GET", f"/v1/files/{file}/check", params={"endpoint": CHAT}).json()
    assert (told["object"], told["file_id"], told["lines"], told["error_count"]) == ("file.check", file, 5, 3)
    assert [(error["line"], error["code"]) for error in told["errors"]] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (5, "invalid_url"),
    ]
    assert told["groups"] == [
        {"provider": "sim", "model": "m", "lines": 1},
        {"provider": "other", "model": "x", "lines": 1},
    ]
    assert ask(rig, "GET", "/v1/batches").json() == before
    made = ask(rig, "POST", "/v1/batches", json={"input_file_id": file, "endpoint": CHAT}).json()
    assert made["status"] == "validating"


def test_without_an_endpoint_the_first_lines_counts(rig: Rig) -> None:
    """As for the command line's check."""
    file = upload(rig, line("a"), line("b", url="/v1/responses"))
    told = ask(rig, "GET", f"/v1/files/{file}/check").json()
    assert [(error["line"], error["code"]) for error in told["errors"]] == [(2, "invalid_url")]


def test_what_cannot_be_checked_is_refused(rig: Rig) -> None:
    """A file of another purpose, an endpoint that no batch may have, a file that is not there."""
    file = upload(rig, "notes", purpose="user_data")
    refused = ask(rig, "GET", f"/v1/files/{file}/check")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "file_id")
    refused = ask(rig, "GET", f"/v1/files/{file}/check", params={"endpoint": "/v1/x"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "endpoint")
    assert ask(rig, "GET", "/v1/files/file-none/check").status_code == 404


def test_an_admin_sees_the_providers(rig: Rig) -> None:
    """How they are and what waits for them, and never a key; others do not."""
    assert ask(rig, "GET", "/admin/v1/providers").status_code == 403
    ledger = rig.store.ledger
    lane = ledger.lane(LaneKey("other", "y"))
    ledger.note_lanes([replace(lane, state="paused", reason="the key was refused", until_ms=9_000_000, limit=7)])
    told = ask(rig, "GET", "/admin/v1/providers", ADMIN_KEY).json()["data"]
    assert [(each["name"], each["default"]) for each in told] == [("sim", True), ("other", False)]
    other = told[1]
    assert (other["state"], other["key"], other["reason"]) == ("paused", "refused", "the key was refused")
    assert other["lanes"] == [
        {
            "model": "y", "mode": "realtime", "state": "paused", "reason": "the key was refused", "until": 9_000,
            "limit": 7, "waiting": 0, "in_flight": 0, "retrying": 0,
        }
    ]  # fmt: skip
