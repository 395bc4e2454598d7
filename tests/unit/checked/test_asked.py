"""What requests ask of the form of their answers, and which texts must have it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from batchrouter.domain.checked.asked import OBJECT, schema_asked, texts_of

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TEXT = json.dumps(SCHEMA)


@pytest.mark.parametrize(
    ("endpoint", "body", "schema"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}, TEXT),
        (CHAT, {"response_format": {"type": "json_object"}}, OBJECT.decode()),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}}, TEXT),
        (RESPONSES, {"text": {"format": {"type": "json_object"}}}, OBJECT.decode()),
        (MESSAGES, {"output_format": {"type": "json_schema", "schema": SCHEMA}}, TEXT),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, TEXT),
        (CHAT, {"response_format": {"type": "text"}, "messages": '"json_'}, None),
        (CHAT, {"response_format": {"type": "json_schema"}}, None),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, None),
        (CHAT, {"response_format": "json_schema"}, None),
        (CHAT, {"response_format": None, "x": '"json_object"'}, None),
        (RESPONSES, {"text": None, "x": '"json_object"'}, None),
        (RESPONSES, {"response_format": {"type": "json_object"}}, None),
        ("/v1/embeddings", {"response_format": {"type": "json_object"}}, None),
    ],
)
def test_what_a_body_asks(endpoint: str, body: dict[str, Any], schema: str | None) -> None:
    found = schema_asked(endpoint, json.dumps({"model": "m", **body}).encode())
    assert found == (None if schema is None else schema.encode())


def test_what_the_sdk_sends_is_found() -> None:
    """However it is written: with blanks or without."""

    class Verdict(BaseModel):
        good: bool

    schema = to_strict_json_schema(Verdict)
    body = {"response_format": {"type": "json_schema", "json_schema": {"name": "Verdict", "schema": schema}}}
    for data in (json.dumps(body), json.dumps(body, indent=1), msgspec.json.encode(body).decode()):
        found = schema_asked(CHAT, data.encode())
        assert found is not None
        assert json.loads(found) == schema


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"index": place, "message": message} for place, message in enumerate(messages)]}


def response(*items: dict[str, Any]) -> dict[str, Any]:
    return {"output": list(items)}


@pytest.mark.parametrize(
    ("endpoint", "body", "texts"),
    [
        (CHAT, chat({"content": "{}"}, {"content": "x"}), ["{}", "x"]),
        (CHAT, chat({"content": ""}), [""]),
        (CHAT, chat({"content": None}), []),
        (CHAT, chat({"content": None, "tool_calls": [{}]}), []),
        (CHAT, chat({"content": "no", "refusal": "no"}), []),
        (CHAT, chat({"content": [{"type": "text", "text": "{"}, {"type": "text", "text": "}"}]}), ["{}"]),
        (CHAT, {"choices": []}, []),
        (CHAT, {}, []),
        (CHAT, [], []),
        (CHAT, {"choices": 3}, []),
        (RESPONSES, response({"type": "reasoning", "content": None}, message := {
            "type": "message", "content": [{"type": "output_text", "text": "{}", "annotations": []}]
        }), ["{}"]),
        (RESPONSES, response(message, {"type": "message", "content": [{"type": "output_text", "text": "2"}]}), ["2"]),
        (RESPONSES, response({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}), []),
        (RESPONSES, response({"type": "function_call"}), []),
        (MESSAGES, {"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "{}"}]}, ["{}"]),
        (MESSAGES, {"content": [{"type": "text", "text": "no"}], "stop_reason": "refusal"}, []),
    ],
)  # fmt: skip
def test_which_texts_must_keep_it(endpoint: str, body: object, texts: list[str]) -> None:
    assert texts_of(endpoint, json.dumps(body).encode()) == texts
