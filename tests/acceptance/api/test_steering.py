"""Pause, resume, retry, and what a batch may be asked to keep: on the wire, with every refusal in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
import requests

from batchrouter.domain.lifecycle import BatchEvent
from tests.acceptance.api.batches import Hand
from tests.acceptance.api.rig import Rig

EMBEDDINGS = "/v1/embeddings"


def lines(count: int = 10) -> bytes:
    bodies = [{"model": "m", "input": f"text {number}"} for number in range(count)]
    rows = [
        {"custom_id": f"r-{number}", "method": "POST", "url": EMBEDDINGS, "body": body}
        for number, body in enumerate(bodies)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Desk:
    """One tenant at the API."""

    def __init__(self, rig: Rig, key: str) -> None:
        self.rig = rig
        self.key = key

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self.key}", **headers}
        return requests.post(f"{self.rig.url}/v1{path}", data=data, headers=headers)

    def create(self, **more: Any) -> dict[str, Any]:
        reply = self.ask(**more)
        assert reply.status_code == 200, reply.text
        made: dict[str, Any] = reply.json()
        return made

    def ask(self, **more: Any) -> requests.Response:
        return self.post("/batches", {"input_file_id": self.file(), "endpoint": EMBEDDINGS, **more})

    def file(self) -> str:
        files = {"file": lines(), "purpose": (None, "batch")}
        reply = requests.post(f"{self.rig.url}/v1/files", files=files, headers={"Authorization": f"Bearer {self.key}"})
        made: str = reply.json()["id"]
        return made

    def ended(self) -> dict[str, Any]:
        """A batch of ten lines, of which three failed."""
        made = self.create(metadata={"team": "blue", "dedupe": "false", "mode": "realtime"})
        Hand(self.rig, made["id"]).complete()
        reply = requests.get(f"{self.rig.url}/v1/batches/{made['id']}", headers={"Authorization": f"Bearer {self.key}"})
        batch: dict[str, Any] = reply.json()
        assert batch["status"] == "completed"
        return batch


@pytest.fixture
def desk(rig: Rig, tenant_key: str) -> Desk:
    return Desk(rig, tenant_key)


def error_of(reply: requests.Response) -> tuple[int, str | None, str | None]:
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    return reply.status_code, error["code"], error["param"]


# --- pause ------------------------------------------------------------------------------------------------------------


def test_a_batch_is_paused_and_resumed_and_keeps_its_state(desk: Desk) -> None:
    """A repeat changes nothing; `paused_at` tells since when."""
    batch_id = desk.create()["id"]
    for path in ("pause", "pause", "resume", "resume"):
        reply = desk.post(f"/batches/{batch_id}/{path}")
        assert reply.status_code == 200, reply.text
        batch = reply.json()
        assert batch["status"] == "validating"
        assert (batch["batchrouter"]["paused_at"] is not None) is (path == "pause")
    reply = requests.get(
        f"{desk.rig.url}/v1/batches/{batch_id}/events", headers={"Authorization": f"Bearer {desk.key}"}
    )
    told = [event["type"] for event in reply.json()["data"]]
    assert told == ["batch.validating", "batch.paused", "batch.resumed"]


def test_a_paused_batch_says_so_in_each_lane_and_its_lines_are_claimed_by_nobody(desk: Desk) -> None:
    batch_id = desk.create()["id"]
    hand = Hand(desk.rig, batch_id)
    hand.plan()
    paused = desk.post(f"/batches/{batch_id}/pause").json()
    assert paused["status"] == "in_progress"
    (lane,) = paused["batchrouter"]["lanes"]
    assert (lane["state"], lane["reason"], lane["waiting"]) == ("paused", "paused_by_user", 10)
    assert not [group for group in hand.ledger.waiting(hand.now) if group.batch_id == batch_id]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_batch_that_closes_or_has_ended_is_neither_paused_nor_resumed(desk: Desk, verb: str) -> None:
    batch_id = desk.create()["id"]
    hand = Hand(desk.rig, batch_id)
    hand.plan()
    hand.answer()
    assert hand.ledger.close("worker-1", hand.duty(), BatchEvent.COMPLETE, hand.now)
    reply = desk.post(f"/batches/{batch_id}/{verb}")
    assert (reply.status_code, reply.headers["x-should-retry"]) == (409, "false")
    assert "finalizing" in reply.json()["error"]["message"]
    hand.end(None)
    assert desk.post(f"/batches/{batch_id}/{verb}").status_code == 409
    assert desk.post(f"/batches/batch_nobody/{verb}").status_code == 404


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_retry_is_a_new_batch_over_the_same_file(desk: Desk) -> None:
    """What is not said is as before, apart from the old limit on cost; the wish goes to the engine as it is."""
    old = desk.ended()
    body = {"where": {"outcome": ["failed"], "code": [500]}, "set": {"dimensions": 7, "user": None}}
    reply = desk.post(f"/batches/{old['id']}/retry", {"where": {"outcome": ["failed"]}, "set": body["set"]})
    assert reply.status_code == 200, reply.text
    new = reply.json()
    assert new["id"] != old["id"]
    assert (new["status"], new["input_file_id"], new["endpoint"]) == ("validating", old["input_file_id"], EMBEDDINGS)
    assert new["metadata"] == {"team": "blue", "mode": "realtime"}
    assert (new["batchrouter"]["retry_of"], new["batchrouter"]["max_cost"]) == (old["id"], None)
    duty = Hand(desk.rig, new["id"]).duty()
    assert duty.retry == {"where": {"outcome": ["failed"]}, "set": {"dimensions": 7, "user": None}}
    assert duty.retry_of == old["id"]


def test_a_retry_needs_no_body_and_may_say_its_own(desk: Desk) -> None:
    old = desk.ended()
    new = desk.post(f"/batches/{old['id']}/retry").json()
    assert Hand(desk.rig, new["id"]).duty().retry == {}
    body = {"metadata": {"a": "b"}, "priority": "high", "mode": "batch", "dedupe": True}
    new = desk.post(f"/batches/{old['id']}/retry", body).json()
    assert new["metadata"] == {"a": "b", "mode": "batch"}
    assert (new["batchrouter"]["priority"], new["batchrouter"]["dedupe"]) == ("high", True)
    other = desk.post(f"/batches/{old['id']}/retry", {"mode": "auto"}).json()
    assert other["metadata"] == {"team": "blue", "mode": "auto"}


def test_the_same_key_makes_one_retry(desk: Desk) -> None:
    """Also when the source's files are gone by then; another body is refused, another batch's retry is its own."""
    old, other = desk.ended(), desk.ended()
    key = {"Idempotency-Key": "again"}
    new = desk.post(f"/batches/{old['id']}/retry", {}, **key).json()
    assert desk.post(f"/batches/{other['id']}/retry", {}, **key).json()["id"] != new["id"]
    refused = desk.post(f"/batches/{old['id']}/retry", {"set": {"user": "x"}}, **key)
    assert error_of(refused) == (409, "idempotency_key_in_use", None)
    for name in ("input_file_id", "output_file_id", "error_file_id"):
        url = f"{desk.rig.url}/v1/files/{old[name]}"
        assert requests.delete(url, headers={"Authorization": f"Bearer {desk.key}"}).status_code == 200
    assert desk.post(f"/batches/{old['id']}/retry", {}, **key).json()["id"] == new["id"]


def test_a_batch_that_runs_is_not_retried(desk: Desk) -> None:
    made = desk.create()
    reply = desk.post(f"/batches/{made['id']}/retry")
    assert (*error_of(reply), reply.headers["x-should-retry"]) == (409, "batch_not_final", None, "false")
    assert desk.post("/batches/batch_nobody/retry").status_code == 404


@pytest.mark.parametrize(
    ("gone", "code"),
    [("input_file_id", "input_gone"), ("output_file_id", "results_gone"), ("error_file_id", "results_gone")],
)
def test_a_batch_whose_files_are_gone_is_not_retried(desk: Desk, gone: str, code: str) -> None:
    old = desk.ended()
    url = f"{desk.rig.url}/v1/files/{old[gone]}"
    assert requests.delete(url, headers={"Authorization": f"Bearer {desk.key}"}).status_code == 200
    assert error_of(desk.post(f"/batches/{old['id']}/retry")) == (409, code, None)
    assert error_of(desk.ask(resume_from=old["id"])) == (409, code, "resume_from")


@pytest.mark.parametrize(
    "where",
    [
        {"outcome": ["cancelled"]},
        {"finish_reason": ["content_filter"]},
        {"code": ["500"]},
        {"custom_id": ["r-99"]},
        {"text": "nothing says this"},
    ],
)
def test_where_nothing_matches_there_is_nothing_to_retry(desk: Desk, where: dict[str, Any]) -> None:
    old = desk.ended()
    assert error_of(desk.post(f"/batches/{old['id']}/retry", {"where": where})) == (400, "nothing_to_retry", "where")


def test_a_batch_of_which_all_succeeded_has_nothing_to_retry(desk: Desk) -> None:
    made = desk.create()
    hand = Hand(desk.rig, made["id"], lines=2)
    hand.complete()
    assert error_of(desk.post(f"/batches/{made['id']}/retry")) == (400, "nothing_to_retry", None)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"where": []}, "invalid_type", "where"),
        ({"wher": {"outcome": ["failed"]}}, "invalid_value", "body"),
        ({"where": {"outcomes": ["failed"]}}, "invalid_value", "where"),
        ({"where": {"custom_id": []}}, "invalid_value", "where.custom_id"),
        ({"where": {"text": ""}}, "invalid_value", "where.text"),
        ({"where": {"outcome": "failed"}}, "invalid_type", "where.outcome"),
        ({"where": {"outcome": ["unfinished"]}}, "invalid_value", "where.outcome"),
        ({"where": {"finish_reason": ["tired"]}}, "invalid_value", "where.finish_reason"),
        ({"where": {"code": [True]}}, "invalid_type", "where.code"),
        ({"where": {"custom_id": ["a" * 513]}}, "string_above_max_length", "where.custom_id"),
        ({"where": {"custom_id": ["a"] * 10_001}}, "array_above_max_length", "where.custom_id"),
        ({"where": {"text": 7}}, "invalid_type", "where.text"),
        ({"where": {"text": "a\x00"}}, "invalid_value", "where.text"),
        ({"set": [1]}, "invalid_type", "set"),
        ({"set": {"model": "other"}}, "invalid_value", "set.model"),
        ({"set": {"stream": True}}, "invalid_value", "set.stream"),
        ({"completion_window": "1y"}, "invalid_value", "completion_window"),
        ({"max_cost": "much"}, "invalid_type", "max_cost"),
        ({"max_cost": -1}, "invalid_max_cost", "max_cost"),
        ({"metadata": 1}, "invalid_type", "metadata"),
    ],
)
def test_a_retry_that_cannot_be_understood_is_refused(desk: Desk, body: Any, code: str, param: str) -> None:
    old = desk.ended()
    assert error_of(desk.post(f"/batches/{old['id']}/retry", body)) == (400, code, param)


def test_a_set_that_is_too_large_is_refused(desk: Desk) -> None:
    old = desk.ended()
    reply = desk.post(f"/batches/{old['id']}/retry", {"set": {"user": "x" * 70_000}})
    assert error_of(reply) == (413, "file_too_large", "set")


# --- create -----------------------------------------------------------------------------------------------------------


def test_wishes_stand_beside_metadata_or_in_it(desk: Desk) -> None:
    """Both ways say the same."""
    old = desk.ended()["id"]
    members = {"dedupe": True, "resume_from": old, "priority": "low", "mode": "batch"}
    as_text = {"dedupe": "true", "resume_from": old, "priority": "low", "mode": "batch"}
    for more in (members, {"metadata": as_text}, {**members, "metadata": as_text}):
        made = desk.create(**more)
        told = made["batchrouter"]
        assert (told["dedupe"], told["resume_from"], told["priority"]) == (True, old, "low")
        assert made["metadata"]["mode"] == "batch"
        duty = Hand(desk.rig, made["id"]).duty()
        assert (duty.dedupe, duty.resume_from) == (True, old)
        assert duty.resume_index_key is not None


def test_without_a_wish_there_is_none(desk: Desk) -> None:
    told = desk.create(metadata={"dedupe": "false"}, dedupe=None, resume_from=None)["batchrouter"]
    assert (told["dedupe"], told["resume_from"], told["retry_of"], told["reused"]) == (False, None, None, 0)


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"dedupe": True, "metadata": {"dedupe": "false"}}, "contradictory_values", "dedupe"),
        ({"priority": "low", "metadata": {"priority": "high"}}, "contradictory_values", "priority"),
        ({"mode": "batch", "metadata": {"mode": "auto"}}, "contradictory_values", "mode"),
        ({"max_cost": 1.5, "metadata": {"max_cost": "2"}}, "contradictory_values", "max_cost"),
        ({"resume_from": "a", "metadata": {"resume_from": "b"}}, "contradictory_values", "resume_from"),
        ({"dedupe": "yes"}, "invalid_type", "dedupe"),
        ({"metadata": {"dedupe": "yes"}}, "invalid_value", "metadata.dedupe"),
        ({"resume_from": 7}, "invalid_type", "resume_from"),
        ({"mode": "fast"}, "invalid_value", "mode"),
        ({"priority": "urgent"}, "invalid_priority", "priority"),
        ({"max_cost": "12.5"}, "invalid_type", "max_cost"),
        ({"max_cost": 2_000_000}, "invalid_max_cost", "max_cost"),
        ({"max_cost": 1}, "price_unknown", "max_cost"),
        ({"metadata": {"max_cost": "1"}}, "price_unknown", "metadata.max_cost"),
    ],
)
def test_wishes_that_contradict_or_mean_nothing_are_refused(
    desk: Desk, more: dict[str, Any], code: str, param: str
) -> None:
    assert error_of(desk.ask(**more)) == (400, code, param)


def test_answers_are_kept_of_no_batch_that_runs_or_is_not_there(desk: Desk, rig: Rig) -> None:
    """Another tenant's is not there."""
    running = desk.create()["id"]
    assert error_of(desk.ask(resume_from=running)) == (409, "batch_not_final", "resume_from")
    theirs = desk.ended()["id"]
    stranger = Desk(rig, rig.key(f"stranger-{rig.chance.hex(8)}"))
    replies = [stranger.ask(resume_from=batch_id) for batch_id in ("batch_nobody", "../odd", theirs)]
    assert [error_of(reply) for reply in replies] == [(404, None, "resume_from")] * 3
    assert replies[2].json()["error"]["message"] == f"No batch found with id '{theirs}'."


def test_the_official_client_sends_wishes_as_extra_members(client: openai.OpenAI, desk: Desk) -> None:
    made: Callable[..., Any] = client.batches.create
    file = client.files.create(file=lines(), purpose="batch")
    batch = made(input_file_id=file.id, endpoint=EMBEDDINGS, completion_window="24h", extra_body={"dedupe": True})
    assert batch.batchrouter["dedupe"] is True
