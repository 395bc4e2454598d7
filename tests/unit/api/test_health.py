"""Probes, and an application whose database is not there yet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.health import Probes, create_probe_app
from batchrouter.api.late import Late
from batchrouter.api.settings import ApiSettings
from batchrouter.errors import BlobError, BlobMissing, RecordsGone, StoreAway

REASON = "the database cannot be reached"


@pytest.fixture
def door() -> Door:
    return Door(ApiSettings(), RealClock(), RealChance())


async def get(app: ASGIApp, path: str) -> tuple[int, dict[str, str], Any]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"authorization", b"Bearer x")],
        "query_string": b"",
    }
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], headers, json.loads(body) if headers["content-type"] == "application/json" else body


async def test_a_process_is_alive_before_it_is_ready(door: Door) -> None:
    reasons: list[str | None] = [REASON, None]

    async def ready() -> str | None:
        return reasons.pop(0)

    async def metrics() -> bytes:
        return b"lines 1\n"

    app = create_probe_app(door, Probes(ready, metrics=metrics))
    assert (await get(app, "/healthz"))[::2] == (200, {"status": "ok"})
    assert (await get(app, "/readyz"))[::2] == (503, {"status": "not_ready", "reason": REASON})
    assert (await get(app, "/readyz"))[::2] == (200, {"status": "ok"})
    status, headers, text = await get(app, "/metrics")
    assert (status, text) == (200, b"lines 1\n")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    door.gate.closing = True
    assert (await get(app, "/readyz"))[::2] == (503, {"status": "stopping"})
    assert (await get(app, "/metrics"))[0] == 200


async def test_there_are_no_metrics_where_nobody_counts(door: Door) -> None:
    assert (await get(create_probe_app(door, Probes()), "/metrics"))[0] == 404


async def test_whoever_comes_too_early_is_told_to_come_back(door: Door) -> None:
    """In OpenAI's shape; and is let in when the database is there."""

    async def ready() -> str | None:
        return REASON

    late = Late(door, Probes(ready))
    for path in ("/v1/batches", "/docs"):
        status, headers, body = await get(late, path)
        assert (status, headers["retry-after"], body["error"]["code"]) == (503, "5", "database_unavailable")
        assert headers["x-request-id"]
    assert (await get(late, "/healthz"))[0] == 200
    assert (await get(late, "/readyz"))[0] == 503
    late.app = create_probe_app(door, Probes())
    assert (await get(late, "/readyz"))[0] == 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreAway("the database db.internal cannot be reached"), "database_unavailable"),
        (BlobError("the bucket s3.internal cannot be reached"), "storage_unavailable"),
        (BlobMissing("no blob internal/1"), None),
    ],
)
async def test_what_goes_away_is_no_fault_of_the_server(door: Door, error: Exception, code: str | None) -> None:
    """503 with a time to come back, and nothing of its words, which name hosts. What is lost is the server's fault."""

    class Away:
        def __getattr__(self, name: str) -> object:
            raise error

    status, headers, body = await get(create_app(door, Away(), list), "/v1/batches")  # type: ignore[arg-type]
    assert (status, body["error"]["type"], body["error"]["code"]) == (503 if code else 500, "server_error", code)
    assert headers.get("retry-after") == ("5" if code else None)
    assert "internal" not in json.dumps(body)


async def test_a_batch_of_a_former_version_has_files_and_no_lines(door: Door) -> None:
    """It is said so, and nobody asks again."""

    class Former:
        def __getattr__(self, name: str) -> object:
            raise RecordsGone("it ended under a former version")

    status, headers, body = await get(create_app(door, Former(), list), "/v1/batches")  # type: ignore[arg-type]
    assert (status, body["error"]["code"], headers["x-should-retry"]) == (409, "results_unavailable", "false")
