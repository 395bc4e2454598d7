"""Webhooks end to end: real servers and receivers, OpenAI's own client that verifies, a server that is killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.webhooks import BatchCompletedWebhookEvent
from typer.testing import CliRunner, Result

from batchrouter.cli.main import app
from batchrouter.simulator.process import SimulatorProcess
from tests.lines import chats, finished, jsonl, upload
from tests.serving import KEY, ServerProcess, config_for

DEADLINE_S = 60.0
HERE = {"allow_http": True, "allow_private": ["127.0.0.0/8"]}


class Receiver:
    """Keeps what it is told. `answer` says with which status and fields; `held`: it does not answer until it is let
    go."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, str]] = (200, {})
        self.free = threading.Event()
        self.free.set()
        self._came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, fields = outer.answer
                with outer._came:
                    outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    outer._came.notify_all()
                outer.free.wait(DEADLINE_S)
                self.send_response(status)
                for name, value in {"content-length": "0", **fields}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] - whoever asked is dead
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def await_more(self, count: int) -> tuple[dict[str, str], bytes]:
        """Until so many came in all; the last."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.got) >= count, DEADLINE_S), f"{len(self.got)} came"
            return self.got[count - 1]

    def close(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def configured() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def verified(secret: str, told: tuple[dict[str, str], bytes]) -> Any:
    headers, body = told
    return openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(body, headers)


def run_batch(server: ServerProcess, name: str) -> str:
    with server.client() as client:
        made = upload(client, jsonl(chats(3, name)))
        return finished(client, made.id, DEADLINE_S).id


SECRET = "whsec_" + "QUFB" * 10 + "QUE="


def test_what_is_told_is_verified_while_secrets_are_replaced_and_after_a_kill(
    simulator: SimulatorProcess, receiver: Receiver, configured: Receiver, tmp_path: Path
) -> None:
    """One server for the whole story: told, rotated, tested, refused by the receiver, killed while the receiver thinks,
    started again. Beside it an endpoint of the configuration, which is gone when it is gone from there."""
    mine = {"url": configured.url, "secret": "${HOOK_SECRET}", "events": ["batch.in_progress"], "description": "mine"}
    config = {**config_for(simulator.base_url), "webhooks": {**HERE, "endpoints": [mine]}}
    server = ServerProcess(tmp_path, config)
    server.environment["HOOK_SECRET"] = SECRET
    try:
        server.start()
        made = server.ask("POST", "/v1/webhooks", {"url": receiver.url})
        batch = run_batch(server, "told")
        told = verified(made["secret"], receiver.await_more(1))
        assert isinstance(told, BatchCompletedWebhookEvent)
        assert told.data.id == batch
        events = server.ask("GET", f"/v1/batches/{batch}/events")["data"]
        assert told.id == next(each["id"] for each in events if each["type"] == "batch.completed")
        check_configured(server, configured)

        rotated = server.ask("POST", f"/v1/webhooks/{made['id']}/rotate")
        assert rotated["secret"] != made["secret"]
        assert server.ask("POST", f"/v1/webhooks/{made['id']}/test")["type"] == "webhook.test"
        for secret in (made["secret"], rotated["secret"]):
            assert verified(secret, receiver.await_more(2)).type == "webhook.test"

        receiver.answer = (503, {"retry-after": "1"})
        batch = run_batch(server, "refused")
        first = receiver.await_more(3)
        receiver.free.clear()  # the next attempt is under way when the server dies
        receiver.await_more(4)
        server.kill()
        receiver.answer = (200, {})
        receiver.free.set()
        server.config["webhooks"] = HERE
        server.start()
        last = receiver.await_more(5)
        assert {told[0]["webhook-id"] for told in receiver.got[2:]} == {first[0]["webhook-id"]}
        assert last[1] == first[1]
        assert last[0]["webhook-signature"] != first[0]["webhook-signature"]
        assert verified(rotated["secret"], last).data.id == batch
        log = await_log(server, made["id"], lambda log: log[0]["state"] == "delivered")
        tries = [each["status"] for each in log[0]["attempts"]]
        assert (log[0]["batch_id"], tries[0], tries[-1]) == (batch, 503, 200)
        assert [each["id"] for each in server.ask("GET", "/v1/webhooks")["data"]] == [made["id"]]
        assert [kept for kept in (SECRET, made["secret"], rotated["secret"], receiver.url) if kept in server.log] == []
    finally:
        server.close()
        print(server.log[-8000:])  # shown when the test failed


def check_configured(server: ServerProcess, receiver: Receiver) -> None:
    """It is told, shown without its secret, and changed by nobody."""
    made = server.ask("GET", "/v1/webhooks")["data"][0]
    assert (made["url"], made["configured"], made["description"]) == (receiver.url, True, "mine")
    assert "secret" not in made
    assert verified(SECRET, receiver.await_more(1)).type == "batch.in_progress"
    for method, path in (("DELETE", ""), ("POST", ""), ("POST", "/rotate")):
        status, text = server.fetch(method, f"/v1/webhooks/{made['id']}{path}", {"enabled": False})
        assert (status, json.loads(text)["error"]["code"]) == (409, "webhook_configured")
    assert server.ask("POST", f"/v1/webhooks/{made['id']}", {"enabled": True}) == made


def test_a_private_address_is_refused_in_the_log_unless_it_is_allowed(
    server: ServerProcess, key: str, receiver: Receiver
) -> None:
    """The server of the other flows allows none: as an address it is refused at once, as a name when it is asked."""
    status, text = server.fetch("POST", "/v1/webhooks", {"url": "https://127.0.0.1/"}, key)
    assert (status, "loopback" in json.loads(text)["error"]["message"]) == (400, True)
    status, _ = server.fetch("POST", "/v1/webhooks", {"url": receiver.url}, key)
    assert status == 400
    made = server.ask("POST", "/v1/webhooks", {"url": f"https://localhost:{receiver.url.split(':')[2]}"}, key)
    server.ask("POST", f"/v1/webhooks/{made['id']}/test", None, key)
    (told,) = await_log(server, made["id"], lambda log: bool(log[0]["attempts"]), key)
    assert told["state"] == "waiting"
    assert told["next_attempt_at"] is not None
    assert "loopback" in told["attempts"][0]["error"]
    assert receiver.got == []


def test_the_commands_of_webhooks(server: ServerProcess, key: str) -> None:
    """What people type, and what scripts read."""

    def typed(*words: str) -> Result:
        return CliRunner().invoke(app, ["webhooks", *words, "--url", server.url, "--key", key])

    assert "There are no webhooks" in typed("ls").stderr
    made = typed("add", "https://localhost:1/hook", "--event", "batch.failed", "--json")
    webhook = json.loads(made.stdout)["webhook"]
    assert (webhook["events"], webhook["secret"][:6]) == (["batch.failed"], "whsec_")
    listed = typed("ls").stdout
    assert webhook["id"] in listed
    assert "whsec_" not in listed
    shown = typed("rotate", webhook["id"][:8])
    assert shown.stdout.startswith("whsec_")
    assert shown.stdout.strip() != webhook["secret"]
    server.ask("POST", f"/v1/webhooks/{webhook['id']}", {"enabled": False}, key)
    assert "disabled (by hand)" in typed("ls").stdout
    assert "is disabled" in str(typed("test", webhook["id"]).exception)
    assert "enabled" in typed("enable", webhook["id"]).stdout
    assert "Nothing was told yet" in typed("log", webhook["id"]).stderr
    tried = typed("test", webhook["id"])
    assert (tried.exit_code, "loopback" in tried.stdout) == (1, True)
    assert "waiting, next" in typed("log", webhook["id"]).stdout
    assert typed("rm", webhook["id"]).stdout == f"{webhook['id']} is removed\n"
    assert "no webhook has an id" in str(typed("rm", webhook["id"]).exception)


def await_log(
    server: ServerProcess, endpoint: str, wanted: Callable[[list[dict[str, Any]]], bool], key: str = KEY
) -> list[dict[str, Any]]:
    """Until the log of deliveries is as wanted."""
    tick = threading.Event()
    for _ in range(int(DEADLINE_S / 0.1)):
        log: list[dict[str, Any]] = server.ask("GET", f"/v1/webhooks/{endpoint}/deliveries", key=key)["data"]
        if wanted(log):
            return log
        tick.wait(0.1)
    raise AssertionError(f"the log stayed {log}")
