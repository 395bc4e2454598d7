"""Wires that translate: bodies are encoded, refused lines are never sent, and people are told what was left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchrouter.errors import LineRefused, ReplyTooLarge
from batchrouter.providers.base import Encoded, Reply
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, model_of, question, refuse


class Translating(OpenAIWire):
    """Sends every body anew, with the question turned round; drops `seed`; refuses `best_of`. Its reply is understood
    only with the request's note."""

    def passes(self, endpoint: str) -> bool:
        return False

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        asked = json.loads(body)
        if asked.get("best_of", 1) > 1:
            raise LineRefused("This model gives one answer.", code="unsupported_parameter", param="body.best_of")
        dropped = ("seed",) if asked.pop("seed", None) is not None else ()
        asked["model"] = self._model
        said = asked["messages"][-1]["content"]
        asked["messages"][-1]["content"] = said[::-1]
        return Encoded(json.dumps(asked).encode(), said, dropped)

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Reply:
        reply = super().decode(endpoint, status, body)
        if status != 200:
            return reply
        answer = json.loads(body)
        message = answer["choices"][0]["message"]
        assert message["content"][::-1] == note
        message["content"] = note
        return reply._replace(body=json.dumps(answer).encode())


def translating(upstream: Any = echo) -> House:
    house = House(upstream)
    house.wire = lambda key: Translating("http://upstream.invalid/v1", key.model)
    return house


async def test_every_body_is_encoded_and_every_reply_is_read_with_its_own_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries too; over several ranges."""
    cut_ranges(monkeypatch, 20)
    failed: set[str] = set()

    def upstream(body: bytes) -> Any:
        if question(body) not in failed and question(body).startswith("7"):
            failed.add(question(body))
            return refuse(500, delay_s=0.1)
        return echo(body, delay_s=0.1)

    house = translating(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run(batch_id)
    assert {question(body) for body in house.sent} == {f"question {i}"[::-1] for i in range(100)}
    assert len(failed) == 10
    await house.check_whole(batch_id)
    assert all("batchrouter" not in line for line in await house.output(batch_id))


async def test_a_line_that_the_wire_refuses_fails_at_once_and_is_never_sent() -> None:
    """In OpenAI's shape, with the refusal's status; the lane and the other lines go on."""
    house = translating()
    await house.new_worker()
    batch_id = await house.create([*chat(10), *chat(5, start=10, best_of=3), *chat(10, start=15)])
    await house.run(batch_id)
    assert len(house.log) == 20
    batch = house.batch(batch_id)
    assert (batch.completed, batch.failed) == (20, 5)
    for error in await house.errors(batch_id):
        assert error["error"] is None
        assert error["response"]["status_code"] == 400
        assert error["response"]["body"] == {
            "error": {
                "message": "This model gives one answer.",
                "type": "invalid_request_error",
                "param": "body.best_of",
                "code": "unsupported_parameter",
            }
        }
    assert house.share(batch_id, "m").state == "open"
    await house.check_whole(batch_id)


async def test_a_batch_of_nothing_but_refused_lines_ends() -> None:
    """However many there are, and without one call."""
    house = translating()
    await house.new_worker()
    batch_id = await house.create(chat(3000, best_of=2))
    await house.run(batch_id)
    assert house.log == []
    assert house.batch(batch_id).failed == 3000
    await house.check_whole(batch_id)


async def test_people_are_told_which_parameters_were_left_out() -> None:
    """On the lines that had them, and on no other; on good answers and bad ones."""
    ends = {"question 4": refuse(400, "bad"), "question 5": Answer(error=ReplyTooLarge("too large"))}
    house = translating(lambda body: ends.get(question(body)[::-1]) or echo(body))
    await house.new_worker()
    lines = [*chat(3), *chat(3, start=3, seed=1)]
    batch_id = await house.create(lines)
    await house.run(batch_id)
    output, errors = await house.output(batch_id), await house.errors(batch_id)
    assert [line.get("batchrouter") for line in output] == [None, None, None, {"dropped": ["seed"]}]
    assert [line.get("batchrouter") for line in errors] == [{"dropped": ["seed"]}] * 2
    assert [line["response"] is None for line in errors] == [False, True]
    assert [model_of(body) for body in house.sent] == ["m"] * 6
