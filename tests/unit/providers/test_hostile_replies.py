"""Replies that a broken or hostile upstream sends: one line of valid JSON comes of each, and soon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchrouter.providers.anthropic import AnthropicWire
from batchrouter.providers.base import Reply
from batchrouter.providers.hosts import HOSTS
from batchrouter.providers.openai import OpenAIWire
from tests.unit.providers.anthropic.judge import check_answer

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
WIRE = AnthropicWire("http://h/v1", "claude-opus-5", now_s=lambda: 1_760_000_000)
START = {"type": "message_start", "message": {"type": "message", "id": "msg_1", "model": "m", "content": []}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
STOP = {"type": "message_stop"}


def said(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


WHOLE = stream(START, TEXT, said("one "), said("two"), {"type": "content_block_stop", "index": 0}, END, STOP)


def test_a_stream_is_an_answer_only_from_its_last_event_on() -> None:
    """Wherever else it is cut, it is none, and its line is tried again."""
    last = WHOLE.index(b'{"type": "message_stop"}') + len(b'{"type": "message_stop"}')
    for cut in range(len(WHOLE) + 1):
        reply = WIRE.decode(CHAT, 200, WHOLE[:cut])
        assert reply.usable == (cut >= last)
        json.loads(reply.body)
        if reply.usable:
            assert json.loads(reply.body)["choices"][0]["message"]["content"] == "one two"


@pytest.mark.parametrize(
    "events",
    [
        (START, TEXT, said("a"), TEXT, said("b"), END, STOP),
        (START, TEXT, said("a"), START, END, STOP),
        (START, said("a"), END, STOP),
        (START, TEXT, said("a", 1), END, STOP),
        (START, TEXT, {**said("a"), "index": None}, END, STOP),
        (START, TEXT, {**said("a"), "index": {}}, END, STOP),
        (TEXT, said("a"), END, STOP),
        (START, {**TEXT, "content_block": None}, END, STOP),
        (START, {**TEXT, "index": "0"}, {**TEXT, "index": 0}, END, STOP),
        (START, TEXT, said("a"), {**END, "usage": [1]}, STOP),
    ],
)
def test_events_that_do_not_fit_together_are_no_answer(events: tuple[dict[str, Any], ...]) -> None:
    """Two blocks in one place, two messages, words for a block that is not there: nobody knows whose they are."""
    reply = WIRE.decode(CHAT, 200, stream(*events))
    assert not reply.usable
    json.loads(reply.body)


def test_blocks_may_come_interleaved() -> None:
    """Each piece says where it belongs."""
    other = {**TEXT, "index": 1}
    reply = WIRE.decode(
        CHAT, 200, stream(START, other, TEXT, said("c", 1), said("a"), said("d", 1), said("b"), END, STOP)
    )
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "abcd"


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize(
    "odd",
    [
        {"id": 7},
        {"id": None},
        {"model": {"a": 1}},
        {"usage": None},
        {"usage": {"input_tokens": True, "output_tokens": "x", "cache_read_input_tokens": 1e9}},
        {"stop_reason": ["x"]},
        {"stop_reason": "of_the_future"},
        {"stop_reason": "refusal", "stop_details": {"explanation": 3}},
        {"content": []},
        {"content": [None, 1, "x", {}, {"type": None}, {"type": "of_the_future", "text": "x"}]},
        {"content": [{"type": "text", "text": None}, {"type": "tool_use", "id": None, "name": "f", "input": 1}]},
        {"content": [{"type": "thinking", "thinking": 3, "signature": 4}]},
    ],
)
def test_odd_members_of_a_message_leave_an_answer_that_its_readers_understand(
    odd: dict[str, Any], endpoint: str
) -> None:
    """By OpenAI's own types."""
    message = {"type": "message", "id": "msg_1", "model": "m", "content": [], "usage": {}, **odd}
    reply = WIRE.decode(endpoint, 200, json.dumps(message).encode())
    assert reply.usable
    check_answer(endpoint, json.loads(reply.body))


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded_error"),
        (b'{"error":{"message":"no"}}', "invalid_reply"),
        (b"<html>200 OK</html>", None),
        (b"", None),
        (b"null", "invalid_reply"),
        (b"[]", "invalid_reply"),
        (b"\xff\xfe", None),
        (b'{"type":"message"}', "invalid_reply"),
        (b"[" * 100_000, None),
    ],
)
def test_a_200_that_is_no_answer_is_none(body: bytes, code: str | None, endpoint: str) -> None:
    """An error in the dress of an answer, a proxy's page, nothing: the line is tried again."""
    reply = WIRE.decode(endpoint, 200, body)
    assert not reply.usable
    assert "error" in json.loads(reply.body)
    assert code in (None, reply.code, json.loads(reply.body)["error"]["code"])


@pytest.mark.parametrize("inside", [" " * 5, "\n" * 5, " \n", "`\n"])
def test_white_space_without_end_takes_no_time_without_end(inside: str) -> None:
    """Models that were promised to write JSON are known for it."""

    note = _json_note()
    for begin in ("```json\n", "```", "\n```json"):
        text = begin + inside * 200_000
        message = {"type": "message", "content": [{"type": "text", "text": text}]}
        reply = WIRE.decode(CHAT, 200, json.dumps(message).encode(), note)
        assert json.loads(reply.body)["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("text", ['```json\n{"a": 1}\n```', '```\n{"a": 1}```', ' ```JSON \n\n{"a": 1}\n\n ```\n'])
def test_a_fence_around_json_is_taken_off(text: str) -> None:
    """However it is written."""
    note = _json_note()
    message = {"type": "message", "content": [{"type": "text", "text": text}]}
    reply = WIRE.decode(CHAT, 200, json.dumps(message).encode(), note)
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == '{"a": 1}'


def _json_note() -> object:
    """Of a request that was promised JSON."""
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
    return WIRE.encode(CHAT, json.dumps(body).encode()).note


def test_citations_by_the_thousand_are_put_together_once() -> None:
    """Each is looked at a bounded number of times."""
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"a": 1}}}
    body = stream(START, TEXT, *[event] * 30_000, END, STOP)
    message = json.loads(WIRE.decode(MESSAGES, 200, body).body)
    assert message["content"][0]["citations"] == [{"a": 1}] * 30_000


@pytest.mark.parametrize("error", [{"message": "no", "code": 502}, {}, "no", ["no"]])
def test_an_error_in_the_dress_of_an_answer_is_none(error: object) -> None:
    """As OpenRouter has them; a response that failed is an answer all the same."""
    wire = OpenAIWire("http://h/v1", "m")
    for endpoint in (CHAT, RESPONSES, "/v1/embeddings"):
        reply = wire.decode(endpoint, 200, json.dumps({"error": error, "user_id": "u"}).encode())
        assert not reply.usable
        assert "error" in json.loads(reply.body)
    failed = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "x"}}
    assert wire.decode(RESPONSES, 200, json.dumps(failed).encode()).usable
    whole = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "error": None}
    assert wire.decode(CHAT, 200, json.dumps(whole).encode()).usable


def _as_response(message: dict[str, Any]) -> Reply:
    wire = OpenAIWire("http://h/v1", "m", host=HOSTS["mistral"])
    note = wire.encode(RESPONSES, b'{"input":"x"}').note
    chat = {"id": "1", "created": 1, "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    return wire.decode(RESPONSES, 200, json.dumps(chat).encode(), note)


def test_an_answer_in_parts_becomes_a_response() -> None:
    """What thinks at Mistral answers in parts, and some servers write arguments as an object."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Yes"}]
    calls = [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]
    reply = _as_response({"role": "assistant", "content": parts, "tool_calls": calls})
    made = json.loads(reply.body)
    check_answer(RESPONSES, made)
    assert made["output"][0]["content"][0]["text"] == "Yes"
    assert made["output"][1]["arguments"] == '{"a":1}'
