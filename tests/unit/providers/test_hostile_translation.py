"""Bodies that a careless or hostile user writes: each is refused here or taken by Anthropic, and soon."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from batchrouter.errors import ApiError, LineRefused
from batchrouter.providers.anthropic import AnthropicWire
from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.messages import say

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
USER: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
SAID = {"role": "assistant", "content": "Hello"}


def sent(body: dict[str, Any] | bytes, *, endpoint: str = CHAT, model: str = "claude-opus-5") -> dict[str, Any]:
    """What goes out for it, once Anthropic's rules have been asked, in real time and in a batch."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    wire = AnthropicWire("http://h/v1", model)
    for batched, encode in ((True, wire.encode_batch), (False, wire.encode)):
        made = encode(endpoint, raw).body
        try:
            say("key", made, PromptCache(), batched=batched)
        except ApiError as error:
            pytest.fail(f"Anthropic refuses what was sent: {error.message}")
    found: dict[str, Any] = json.loads(made)
    return found


def refused(body: dict[str, Any] | bytes, *, endpoint: str = CHAT, model: str = "claude-opus-5") -> str | None:
    """The place that the refusal names."""
    with pytest.raises(LineRefused) as caught:
        sent(body, endpoint=endpoint, model=model)
    assert caught.value.message.endswith(".")
    return caught.value.param


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*made: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def result(call_id: str, content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def function(name: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def allowed(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(tools)}}


# --- calls and their results ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([*USER, result("a")], "messages[1].tool_call_id"),
        ([*USER, calls(call("a")), *USER], "messages[1].tool_calls[0]"),
        ([*USER, calls(call("a"))], "messages[1].tool_calls[0]"),
        ([*USER, calls(call("a"), call("b")), result("b"), *USER], "messages[1].tool_calls[0]"),
        ([*USER, calls(call("a")), result("a"), result("a")], "messages[3].tool_call_id"),
        ([*USER, calls(call("a")), *USER, SAID, result("a")], "messages[1].tool_calls[0]"),
        ([*USER, calls(call("a"), call("a")), result("a")], "messages[1].tool_calls[1]"),
        ([*USER, calls(call("a")), result("b")], "messages[2].tool_call_id"),
        (
            [*USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, *USER],
            "messages[1].function_call",
        ),
    ],
)  # fmt: skip
def test_a_call_without_its_result_and_a_result_without_its_call_are_refused(
    messages: list[dict[str, Any]], place: str
) -> None:
    """Anthropic takes neither, and says so only when it has been asked."""
    assert refused({"messages": messages}) == place


def test_an_id_may_come_again_in_a_later_turn() -> None:
    """Hosts that number the calls of each answer from nought do that; Anthropic wants each id once."""
    turns = [*USER, calls(call("call_0")), result("call_0", "one"), calls(call("call_0")), result("call_0", "two")]
    blocks = [block for turn in sent({"messages": turns})["messages"] for block in turn["content"]]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert len(set(ids)) == 2
    assert [(b["tool_use_id"], b["content"]) for b in blocks if b["type"] == "tool_result"] == [
        (ids[0], "one"),
        (ids[1], "two"),
    ]


def test_ids_of_functions_and_of_tools_do_not_meet() -> None:
    """A `function_call` has no id of its own; the one it gets is no tool's."""
    turns = [
        *USER,
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        calls(call("function_1")),
        result("function_1", "2"),
    ]
    blocks = [block for turn in sent({"messages": turns})["messages"] for block in turn["content"]]
    assert len({block["id"] for block in blocks if block["type"] == "tool_use"}) == 2


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"tools": [function("f"), function("f")]}, "tools[1].function.name"),
        ({"tools": [function("f")], "functions": [{"name": "f"}]}, "functions[0].name"),
        ({"tools": [function("f", {"type": "array"})]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {"type": {}})]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {"type": "object", "properties": []})]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {"enum": ["a"]}, strict=True)]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {"properties": {"a": 1}}, strict=True)]}, "tools[0].function.parameters"),
        ({"tools": [function("f", {"$ref": "#/$defs/no"}, strict=True)]}, "tools[0].function.parameters"),
        ({"tools": [function("f")], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": allowed()}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": allowed(function("g"))}, "tool_choice"),
    ],
)  # fmt: skip
def test_tools_that_cannot_be_are_refused(more: dict[str, Any], place: str) -> None:
    """Twice the same name, a choice of what is not there, parameters that are no object."""
    assert refused({"messages": USER, **more}) == place


@pytest.mark.parametrize("parameters", [None, {}, {"additionalProperties": True}, {"type": "object", "anyOf": [{}]}])
def test_a_strict_tool_is_closed_however_little_it_says(parameters: Any) -> None:
    """Strictness without a type, or without any parameters at all."""
    tool = sent({"messages": USER, "tools": [function("f", parameters, strict=True)]})["tools"][0]
    assert tool["input_schema"]["additionalProperties"] is False


def test_a_strict_tool_may_be_a_definition_of_its_own() -> None:
    """What generators make of a type that holds itself."""
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    made = sent({"messages": USER, "tools": [function("f", schema, strict=True)]})["tools"][0]["input_schema"]
    assert made["properties"]["next"]["anyOf"][0] == {"$ref": "#/$defs/Node"}
    assert made["$defs"]["Node"]["additionalProperties"] is False


# --- schemas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": 1}},
        {"type": "object", "properties": {"a": None}},
        {"type": "object", "properties": {"a": False}},
        {"type": "object", "properties": [1]},
        {"type": "object", "required": "a"},
        {"type": "object", "required": [1]},
        {"anyOf": [{"type": "string"}, "x"]},
        {"type": "nothing"},
        {"type": 7},
        {"type": []},
        {"type": [{}]},
        {"$defs": {"a": 1}, "$ref": "#/$defs/a"},
    ],
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    """A property that is a word, a type that is none: no model could be held to it."""
    body = {"messages": USER, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    assert refused(body) == "response_format.json_schema.schema"


@pytest.mark.parametrize("odd", [{"format": {}}, {"format": [1]}, {"enum": "ab"}, {"title": 1}, {"description": [2]}])
def test_keywords_of_an_odd_kind_are_told_in_words(odd: dict[str, Any]) -> None:
    """They stand in the description, as everything does that Anthropic does not take."""
    schema = {"type": "object", "properties": {"a": {"type": "string", **odd}}}
    body = {"messages": USER, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    made = sent(body)["output_config"]["format"]["schema"]["properties"]["a"]
    assert next(iter(odd)) in made["description"]


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
    ],
)
def test_sampling_out_of_its_range_is_refused(more: dict[str, Any], place: str) -> None:
    """By the ranges that OpenAI and Anthropic have in common."""
    assert refused({"messages": USER, **more}, model="claude-haiku-4-5") == place


@pytest.mark.parametrize("data", ["", "!!!", "AAA", "QUJ-", "AAAA=", "é", "\ud83d"])
@pytest.mark.parametrize("media", ["image/png", "application/pdf"])
def test_base64_that_is_none_is_refused(data: str, media: str) -> None:
    """An image cut in half, one in the alphabet of urls, none at all."""
    url = f"data:{media};base64,{data}"
    part = (
        {"type": "image_url", "image_url": {"url": url}}
        if media == "image/png"
        else {"type": "file", "file": {"file_data": url}}
    )
    assert refused({"messages": [{"role": "user", "content": [part]}]}) is not None


def test_base64_may_have_line_breaks() -> None:
    """As command-line tools write it; Anthropic gets it without."""
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD\nREVG\n"}}
    block = sent({"messages": [{"role": "user", "content": [part]}]})["messages"][0]["content"][0]
    assert block["source"]["data"] == "QUJDREVG"


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, b'{"messages":[{"role":"user","content":"cut \\ud83d here"}]}'),
        (CHAT, b'{"messages":[{"role":"user","content":"\\u00e9 \\ud83d\\ude00 \\udc00\\ud800"}]}'),
        (RESPONSES, b'{"input":"cut \\uD83D here"}'),
        (MESSAGES, b'{"max_tokens":9,"messages":[{"role":"user","content":"cut \\ud83d here"}],"model":"x"}'),
        (MESSAGES, b'{"max_tokens":30000,"messages":[{"role":"user","content":"cut \\uDc00 here"}],"model":"x"}'),
    ],
)
def test_half_an_emoji_becomes_the_sign_for_what_cannot_be_shown(endpoint: str, body: bytes) -> None:
    """Anthropic takes the whole request for no JSON else, and with it the whole of a native batch."""
    text = json.dumps(sent(body, endpoint=endpoint)["messages"])
    assert "\\ufffd" in text
    assert ("\\ud83d\\ude00" in text) == (b"ude00" in body)


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 5000])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_numbers_out_of_every_range_are_refused(number: str, endpoint: str) -> None:
    """Where a body is translated it is read, and no such number can be."""
    refused(b'{"messages":[{"role":"user","content":"x"}],"input":"x","top_p":%s}' % number.encode(), endpoint=endpoint)


@pytest.mark.parametrize("number", ["1e400", "-1e999"])
def test_no_line_spoils_the_batch_it_is_in(number: str) -> None:
    """All lines of a Message Batch are one request, so that one number may fail them all; alone it harms nobody."""
    wire = AnthropicWire("http://h/v1", "claude-opus-5")
    body = b'{"max_tokens":9,"messages":[{"role":"user","content":"x"}],"temperature":%s}' % number.encode()
    assert number.encode() in wire.encode(MESSAGES, body).body
    with pytest.raises(LineRefused):
        wire.encode_batch(MESSAGES, body)


# --- sizes ------------------------------------------------------------------------------------------------------------


def _names(count: int) -> dict[str, Any]:
    return {"messages": USER, "tools": [function(chr(0x4E00 + number)) for number in range(count)]}


def _long_names(count: int) -> dict[str, Any]:
    names = ["x" * 100 + f"{number:028}{odd}" for number in range(count // 2) for odd in "éè"]
    return {"messages": USER, "tools": [function(name) for name in names]}


def _results(count: int) -> dict[str, Any]:
    made = calls(*(call(f"a{number}") for number in range(count)))
    return {"messages": [*USER, made, *(result(f"a{number}") for number in range(count))]}


def _same_ids(count: int) -> dict[str, Any]:
    return {"messages": [*USER, *(each for _ in range(count) for each in (calls(call("a")), result("a")))]}


def _typed(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": ["object", "object"], "properties": {"a": schema}}
    return {"messages": USER, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def _steps(body: dict[str, Any]) -> int:
    """Lines of Python that its translation runs through."""
    count = 0

    def step(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return step

    raw = json.dumps(body).encode()
    wire = AnthropicWire("http://h/v1", "claude-opus-5")
    before = sys.gettrace()
    sys.settrace(step)
    try:
        wire.encode(CHAT, raw)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("body", "size"), [(_names, 300), (_long_names, 300), (_results, 300), (_same_ids, 300), (_typed, 8)]
)
def test_work_grows_with_the_body_and_not_with_its_square(body: Callable[[int], dict[str, Any]], size: int) -> None:
    """A line of a megabyte that took minutes would hold up all others: nothing else runs while it is translated."""
    assert _steps(body(2 * size)) < 2.5 * _steps(body(size))


def test_parameters_that_nobody_knows_are_told_once_each_however_many() -> None:
    """A hundred thousand of them, which is a matter of a second and not of hours."""
    body = {"messages": USER, **{f"k{number}": 1 for number in range(100_000)}}
    made = AnthropicWire("http://h/v1", "claude-opus-5").encode(CHAT, json.dumps(body).encode())
    assert len(made.dropped) == len(set(made.dropped)) == 100_000


def test_a_string_of_thirty_megabytes_goes_through() -> None:
    """As it is."""
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 30_000_000}]}).encode()
    assert len(AnthropicWire("http://h/v1", "claude-opus-5").encode(CHAT, body).body) < 30_001_000
