"""Answers in Anthropic's shape: budgets, prices of prompts, values that fit a schema, streams."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.simulator import answer, expected_key
from batchrouter.simulator.anthropic.cache import PREFIXES_MAX, Prompt, PromptCache
from batchrouter.simulator.anthropic.messages import Said, say
from batchrouter.simulator.anthropic.schema import check_closed, sample
from batchrouter.simulator.anthropic.stream import events_of
from batchrouter.simulator.anthropic.surface import answer_message

MODEL = "claude-sonnet-4-6"
TOOL = {
    "name": "look",
    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
}


def ask(cache: PromptCache | None = None, **members: Any) -> Said:
    whole = {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": "Hello there"}], **members}
    body = json.dumps(whole).encode()
    return say(expected_key(body), body, cache or PromptCache())


def kinds(said: Said) -> list[str]:
    return [block["type"] for block in said.blocks]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"thinking": {"type": "adaptive"}},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"tools": [TOOL], "messages": [{"role": "user", "content": "look at it"}]},
        {"thinking": {"type": "adaptive"}, "max_tokens": 10},
        {"max_tokens": 0},
        {"stop_sequences": ["echo"]},
    ],
)
def test_every_answer_is_a_message_and_streams_as_the_same(members: Any) -> None:
    said = ask(**members)
    assert Message.model_validate(said.message(), strict=True).id == f"msg_{said.key}"
    assert said.output_tokens <= members.get("max_tokens", 500)
    blocks: list[dict[str, Any]] = []
    texts: list[str] = []
    for data in [line[6:] for line in events_of(said).decode().splitlines() if line.startswith("data: ")]:
        event = json.loads(data)
        if event["type"] == "message_start":
            assert event["message"]["usage"]["output_tokens"] == 1
        elif event["type"] == "content_block_start":
            blocks.append(event["content_block"])
            texts.append("")
        elif event["type"] == "content_block_delta":
            delta = {name: value for name, value in event["delta"].items() if name not in ("type", "signature")}
            texts[-1] += "".join(delta.values())
            blocks[-1].update({name: value for name, value in event["delta"].items() if name == "signature"})
    for block, text in zip(blocks, texts, strict=True):
        block.update({"input": json.loads(text)} if block["type"] == "tool_use" else {block["type"]: text})
    assert blocks == said.blocks


def test_thinking_comes_out_of_max_tokens_and_may_leave_nothing() -> None:
    said = ask(thinking={"type": "adaptive"}, max_tokens=10)
    assert (kinds(said), said.stop_reason) == (["thinking"], "max_tokens")
    assert (said.thinking_tokens, said.output_tokens) == (10, 10)
    hidden = ask(thinking={"type": "adaptive", "display": "omitted"})
    assert hidden.blocks[0]["thinking"] == ""
    assert hidden.blocks[0]["signature"]


def test_a_call_that_does_not_fit_is_left_out_and_says_so() -> None:
    said = ask(tools=[TOOL], tool_choice={"type": "any"}, max_tokens=5)
    assert (said.blocks, said.stop_reason) == ([], "max_tokens")


def test_nothing_is_said_where_a_stop_sequence_comes_first() -> None:
    said = ask(stop_sequences=["there", "echo"])
    assert (said.blocks, said.stop_reason, said.stop_sequence) == ([], "stop_sequence", "echo")


def test_an_answer_can_be_known_beforehand() -> None:
    body = json.dumps({"model": MODEL, "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    assert json.loads(answer("/v1/messages", body))["id"] == f"msg_{expected_key(body)}"
    assert answer("/v1/messages", body) == answer("/v1/messages", bytes(bytearray(body)))


def test_a_message_has_at_most_32_megabytes() -> None:
    reply = answer_message(7, "", b" " * 32_000_001, "2023-06-01", PromptCache())
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == (413, "request_too_large")
    assert json.loads(reply.body)["request_id"] == f"req_{7:024d}"


# --- prompts --------------------------------------------------------------------------------------------------------


def marked(text: str, ttl: str = "5m") -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": ttl}}


def test_the_longest_known_prefix_is_read_and_the_rest_is_written() -> None:
    cache = PromptCache()
    first, second = marked("a" * 400), marked("b" * 800, "1h")
    assert ask(cache, system=[first]).prompt == Prompt(3 + 4 + 3, 0, 100, 0)
    assert ask(cache, system=[first, second]).prompt == Prompt(10, 100, 0, 200)
    assert ask(cache, system=[first, second]).prompt == Prompt(10, 300, 0, 0)
    assert ask(cache, system=[marked("c" * 400), second]).prompt == Prompt(10, 0, 100, 200)
    assert ask(cache, system=[first], model="claude-opus-4-6").prompt.read == 0


def test_a_prefix_is_its_content_and_not_its_marks() -> None:
    """Tools come before it, and a mark that has moved on finds what was written before."""
    cache = PromptCache()
    ask(cache, tools=[TOOL], system=[marked("a" * 400)])
    longer = [{"type": "text", "text": "a" * 400}, marked("b" * 400)]
    assert ask(cache, tools=[TOOL], system=longer).prompt.read == 0
    again = [marked("a" * 400), marked("b" * 400)]
    assert ask(cache, tools=[TOOL], system=again).prompt.written == 0
    other = PromptCache()
    whole = ask(other, system=longer).prompt.written
    assert ask(other, system=again).prompt == Prompt(10, whole, 0, 0)  # the whole is known, though its half is not
    assert ask(cache, system=[marked("a" * 400)]).prompt.read == 0


def test_a_mark_at_the_top_is_one_on_the_last_block() -> None:
    cache = PromptCache()
    assert ask(cache, cache_control={"type": "ephemeral"}).prompt == Prompt(3, 0, 7, 0)
    assert ask(cache, cache_control={"type": "ephemeral"}).prompt == Prompt(3, 7, 0, 0)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PREFIXES_MAX > 1
    monkeypatch.setattr("batchrouter.simulator.anthropic.cache.PREFIXES_MAX", 1)
    cache = PromptCache()
    ask(cache, system=[marked("a")])
    ask(cache, system=[marked("b")])
    assert ask(cache, system=[marked("a")]).prompt.read == 0


# --- schemas --------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "format": "date"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", 1]},
        {"const": 7},
        {"type": ["string", "null"]},
    ]
)


def _closed(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(_closed),
        inner.map(lambda one: {"type": "array", "items": one}),
        st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_a_value_fits_the_schema_it_was_made_for(schema: dict[str, Any]) -> None:
    check_closed(schema, "schema")
    jsonschema.validate(sample(schema, "text"), schema)


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    node = _closed({"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}})
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    value = sample(schema, "first")
    assert value["name"] == "first"
    jsonschema.validate(value, schema)
    endless = _closed({"a": {"$ref": "#"}, "b": {"$ref": "#"}})
    assert set(sample(endless, "")) == {"a", "b"}
    assert sample({"$ref": "#/nowhere"}, "") is None
