"""A fault that nobody foresaw is told by its kind and place: its message may hold a prompt or a key."""

from __future__ import annotations

import logging

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api.context import Door
from batchrouter.api.front import Front
from batchrouter.api.settings import ApiSettings


class KnownDoor(Door):
    def signature(self) -> dict[str, str]:
        return {"x-request-id": "req_1"}


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("sk-secret and a prompt")


async def failing_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await failing(scope, receive, send)


@pytest.mark.parametrize(("app", "statuses"), [(failing, [500]), (failing_late, [200])])
async def test_the_log_has_kind_and_place_and_no_message(
    app: ASGIApp, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    door = KnownDoor(ApiSettings(), RealClock(), RealChance())
    with caplog.at_level(logging.DEBUG):
        await Front(app, door)({"type": "http", "method": "GET", "path": "/v1/x"}, receive, send)
    assert [message["status"] for message in sent if "status" in message] == statuses
    assert (sent[-1]["type"] == "http.response.body") is (statuses == [500]), "a reply that broke off is not ended"
    assert "GET /v1/x failed (req_1): KeyError at " in caplog.text
    assert "test_faults.py" in caplog.text
    assert "secret" not in caplog.text
