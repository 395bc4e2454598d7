"""Webhook endpoints over the API: made, shown, changed, bounded; and the log of what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from batchrouter.domain.webhook import PER_TENANT, Answer, judged, key_of
from tests.acceptance.api.rig import Rig

URL = "https://example.com/hook"


class Hooks:
    """A tenant's webhooks."""

    def __init__(self, rig: Rig, key: str) -> None:
        self._rig = rig
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
        reply = self._session.request(method, f"{self._rig.url}/v1/webhooks{path}", json=body)
        assert reply.status_code == status, reply.text
        return reply.json() if status == 200 else reply.json()["error"]

    def add(self, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ask("POST", "", {"url": URL, **body})
        return made

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def hooks(rig: Rig, tenant_key: str) -> Iterator[Hooks]:
    made = Hooks(rig, tenant_key)
    yield made
    made.close()


def test_an_endpoint_is_made_shown_changed_and_deleted(hooks: Hooks) -> None:
    """Its secret is in the reply that makes it, and in no other."""
    made = hooks.add(description="mine", events=["batch.failed", "batch.completed", "batch.failed"])
    secret = made.pop("secret")
    assert len(key_of(secret)) == 32
    assert made["events"] == ["batch.completed", "batch.failed"]
    assert (made["object"], made["enabled"], made["configured"]) == ("webhook_endpoint", True, False)
    assert (made["disabled_reason"], made["secret_expires_at"]) == (None, None)
    assert hooks.ask("GET", f"/{made['id']}") == made
    assert hooks.ask("GET") == {"object": "list", "data": [made], "has_more": False}
    changed = hooks.ask("POST", f"/{made['id']}", {"enabled": False, "url": URL + "2", "events": ["batch.in_progress"]})
    assert changed == made | {"enabled": False, "url": URL + "2", "events": ["batch.in_progress"]}
    assert hooks.ask("DELETE", f"/{made['id']}") == {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    hooks.ask("GET", f"/{made['id']}", status=404)
    hooks.ask("DELETE", f"/{made['id']}", status=404)


def test_a_rotation_tells_the_new_secret_and_when_the_old_one_ends(hooks: Hooks) -> None:
    """A secret may be brought; neither is shown again."""
    made = hooks.add()
    rotated = hooks.ask("POST", f"/{made['id']}/rotate")
    assert rotated["secret"] != made["secret"]
    assert rotated["secret_expires_at"] >= rotated["created_at"] + 86_000
    own = "whsec_" + "QUFB" * 10
    assert hooks.ask("POST", f"/{made['id']}/rotate", {"secret": own})["secret"] == own
    assert "secret" not in hooks.ask("GET", f"/{made['id']}")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "url", "missing_required_parameter"), ({"url": 5}, "url", "invalid_type"),
        ({"url": "http://example.com"}, "url", "invalid_value"), ({"url": "https://10.0.0.1"}, "url", "invalid_value"),
        ({"url": URL, "events": "batch.failed"}, "events", "invalid_type"),
        ({"url": URL, "events": []}, "events", "invalid_value"),
        ({"url": URL, "events": ["batch.validating"]}, "events[0]", "invalid_value"),
        ({"url": URL, "events": [5]}, "events[0]", "invalid_type"),
        ({"url": URL, "enabled": "yes"}, "enabled", "invalid_type"),
        ({"url": URL, "description": "x" * 201}, "description", "string_above_max_length"),
        ({"url": URL, "secret": "short"}, "secret", "invalid_value"),
    ],
)  # fmt: skip
def test_what_makes_no_endpoint_is_refused(hooks: Hooks, body: dict[str, Any], param: str, code: str) -> None:
    """In OpenAI's words, and nothing is made."""
    error = hooks.ask("POST", "", body, status=400)
    assert (error["param"], error["code"]) == (param, code)
    assert hooks.ask("GET")["data"] == []


def test_a_change_is_checked_as_a_create_is(hooks: Hooks) -> None:
    """And changes nothing where it is refused."""
    made = hooks.add()
    assert hooks.ask("POST", f"/{made['id']}", {"url": "http://x.example"}, status=400)["param"] == "url"
    assert hooks.ask("GET", f"/{made['id']}")["url"] == URL


def test_a_tenant_has_so_many_endpoints_and_no_more(hooks: Hooks) -> None:
    """Until one is deleted."""
    made = [hooks.add() for _ in range(PER_TENANT)]
    assert hooks.ask("POST", "", {"url": URL}, status=400)["code"] == "too_many_webhooks"
    hooks.ask("DELETE", f"/{made[0]['id']}")
    hooks.add()


def test_the_log_tells_each_delivery_with_its_attempts(rig: Rig, hooks: Hooks) -> None:
    """Paged, newest first; sent again on request."""
    made = hooks.add()
    path = f"/{made['id']}"
    tests = [hooks.ask("POST", f"{path}/test") for _ in range(3)]
    assert {each["type"] for each in tests} == {"webhook.test"}
    assert {each["state"] for each in tests} == {"waiting"}
    first = hooks.ask("GET", f"{path}/deliveries?limit=2")
    assert first["data"] == tests[:0:-1]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, tests[2]["id"], tests[1]["id"])
    rest = hooks.ask("GET", f"{path}/deliveries?after={first['last_id']}")
    assert (rest["data"], rest["has_more"]) == ([tests[0]], False)
    assert hooks.ask("GET", f"{path}/deliveries?after=wh_none", status=400)["param"] == "after"

    now_ms = rig.clock.unix_ms()
    ledger = rig.store.webhook_ledger
    (parcel,) = ledger.take_deliveries("s", {made["id"]: 1}, now_ms, now_ms + 60_000)
    sent = hooks.ask("GET", f"{path}/deliveries")["data"][-1]
    assert (sent["state"], sent["next_attempt_at"]) == ("waiting", None)
    verdict = judged(Answer(status=200, error=None), parcel.delivery, now_ms, now_ms + 5, 0.5)
    assert ledger.settle_delivery("s", parcel.delivery, verdict)
    done = hooks.ask("GET", f"{path}/deliveries")["data"][-1]
    assert (done["id"], done["state"], done["next_attempt_at"]) == (tests[0]["id"], "delivered", None)
    assert done["attempts"] == [{"at": now_ms // 1000, "status": 200, "error": None, "latency_ms": 5}]
    again = hooks.ask("POST", f"{path}/deliveries/{done['id']}/redeliver")
    assert (again["id"], again["state"], again["ended_at"]) == (done["id"], "waiting", None)
    assert again["next_attempt_at"] is not None
    hooks.ask("POST", f"{path}/deliveries/wh_none/redeliver", status=404)


def test_a_disabled_endpoint_is_sent_nothing(hooks: Hooks) -> None:
    """Neither a test nor anything again, until it is enabled."""
    made = hooks.add()
    test = hooks.ask("POST", f"/{made['id']}/test")
    hooks.ask("POST", f"/{made['id']}", {"enabled": False})
    for path in ("test", f"deliveries/{test['id']}/redeliver"):
        assert hooks.ask("POST", f"/{made['id']}/{path}", status=409)["code"] == "webhook_disabled"
    (ended,) = hooks.ask("GET", f"/{made['id']}/deliveries")["data"]
    assert ended["state"] == "ended"
    hooks.ask("POST", f"/{made['id']}", {"enabled": True})
    assert hooks.ask("POST", f"/{made['id']}/deliveries/{test['id']}/redeliver")["state"] == "waiting"
