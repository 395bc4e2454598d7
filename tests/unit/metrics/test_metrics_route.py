"""Who may read `/metrics`, and what a request is told as."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.memory.clock import StepClock
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.health import Probes
from batchrouter.api.metrics_route import REMEMBERED_S
from batchrouter.api.settings import ApiSettings, StaticKey
from batchrouter.domain.tenant import Role
from batchrouter.errors import StoreAway
from batchrouter.service.caller import Caller


class Keys:
    away = False

    async def caller(self, secret: str) -> Caller | None:
        if self.away:
            raise StoreAway("the database is away")
        return {"sk-admin": Caller("t", "k1", Role.ADMIN), "sk-user": Caller("t", "k2", Role.USER)}.get(secret)


class Quotas:
    async def admit(self, caller: Caller) -> None: ...


class People:
    def __init__(self) -> None:
        self.keys = Keys()
        self.request_quotas = Quotas()


async def told() -> bytes:
    return b"lines 1\n"


@pytest.fixture
def door() -> Door:
    static = StaticKey("sk-static", Role.ADMIN)
    return Door(ApiSettings(static_keys=(static,)), StepClock(), RealChance())


async def get(app: ASGIApp, path: str, key: str | None = None, method: str = "GET") -> tuple[int, Any]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    await app({"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body.startswith(b"{") else body


async def test_metrics_are_for_admins_where_strangers_come_by(door: Door) -> None:
    app = create_app(door, People(), list, Probes(metrics=told, guarded=True))  # type: ignore[arg-type]
    assert await get(app, "/metrics", "sk-admin") == (200, b"lines 1\n")
    assert await get(app, "/metrics", "sk-static") == (200, b"lines 1\n")
    assert (await get(app, "/metrics"))[0] == (await get(app, "/metrics", "sk-wrong"))[0] == 401
    status, body = await get(app, "/metrics", "sk-user")
    assert (status, body["error"]["code"]) == (403, "insufficient_permissions")


async def test_metrics_may_be_open_and_may_be_off(door: Door) -> None:
    app = create_app(door, People(), list, Probes(metrics=told))  # type: ignore[arg-type]
    assert await get(app, "/metrics") == (200, b"lines 1\n")
    assert (await get(create_app(door, People(), list), "/metrics"))[0] == 404  # type: ignore[arg-type]


async def test_while_the_database_is_away_the_last_good_key_still_is(door: Door) -> None:
    """That is when the numbers are wanted; and no other key, and not for ever."""
    people, clock = People(), door.clock
    assert isinstance(clock, StepClock)
    app = create_app(door, people, list, Probes(metrics=told, guarded=True))  # type: ignore[arg-type]
    await get(app, "/metrics", "sk-admin")
    people.keys.away = True
    assert (await get(app, "/metrics", "sk-admin"))[0] == 200
    assert (await get(app, "/metrics", "sk-user"))[0] == 503
    clock.advance(REMEMBERED_S + 1)
    assert (await get(app, "/metrics", "sk-admin"))[0] == 503


async def test_requests_are_told_by_route_and_never_by_path(door: Door) -> None:
    app = create_app(door, People(), list, Probes(metrics=told))  # type: ignore[arg-type]
    await get(app, "/v1/files/file-secret-1")
    await get(app, "/v1/files/file-secret-2")
    await get(app, "/secret/path")
    await get(app, "/healthz", method="SECRET")
    assert door.meters.requests == {
        ("GET", "/v1/files/{file_id}", 401): 2,
        ("GET", "other", 404): 1,
        ("other", "/healthz", 405): 1,
    }
    assert sum(door.meters.request_s["GET", "/v1/files/{file_id}"].counts) == 2
