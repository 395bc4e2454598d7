"""How a lane of Anthropic speaks: heads, what passes as it is, limits, faults."""

from __future__ import annotations

import json

import pytest

from batchrouter.errors import ConfigError, LineRefused
from batchrouter.providers.anthropic import AnthropicWire, Facts, Policy
from batchrouter.providers.anthropic.wire import STREAM_ABOVE

WIRE = AnthropicWire("https://api.anthropic.com/v1", "claude-opus-5", api_key="sk-ant-1", headers={"X-Team": "a"})
MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"


@pytest.mark.parametrize("endpoint", [MESSAGES, CHAT, RESPONSES])
def test_every_line_is_a_message(endpoint: str) -> None:
    """With the vendor's headers for key and version, not OpenAI's."""
    head = WIRE.head(endpoint)
    assert head.startswith(b"POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\n")
    assert b"\r\nx-api-key: sk-ant-1\r\n" in head
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in head
    assert b"\r\nx-team: a\r\n" in head
    assert b"authorization" not in head
    assert head.endswith(b"\r\ncontent-length: ")


def test_a_header_of_the_configuration_wins() -> None:
    """Another version, a beta."""
    wire = AnthropicWire("http://h:8080/v1", "m", headers={"Anthropic-Version": "2026-10-21", "anthropic-beta": "x"})
    assert b"\r\nanthropic-version: 2026-10-21\r\n" in wire.head(MESSAGES)
    assert wire.head(MESSAGES).count(b"anthropic-version") == 1
    assert (wire.origin.host, wire.origin.port) == ("h", 8080)


@pytest.mark.parametrize("base_url", ["gpu:8000", "ftp://h/v1", "http://h/v1?x=1", "http://h:port/v1", "http://h/a b"])
def test_a_base_url_that_cannot_work_is_refused(base_url: str) -> None:
    """With a sentence, when the configuration is read."""
    with pytest.raises(ConfigError):
        AnthropicWire(base_url, "m")


@pytest.mark.parametrize("headers", [{"x": "a\r\nhost: evil"}, {"bad name": "v"}, {"x": "\u2028"}])
def test_headers_cannot_split_a_request(headers: dict[str, str]) -> None:
    """A header from the configuration cannot smuggle another one in."""
    with pytest.raises(ConfigError):
        AnthropicWire("http://h/v1", "m", headers=headers)


def test_a_message_passes_byte_for_byte() -> None:
    """Odd spacing, numbers and members that nobody knows included; a model that is right already changes nothing."""
    body = b'{ "model" : "x","max_tokens": 9,"odd":1.0e2, "messages":[] }'
    assert WIRE.encode(MESSAGES, body).body == body.replace(b'"x"', b'"claude-opus-5"')
    same = body.replace(b'"x"', b'"claude-opus-5"')
    assert WIRE.encode(MESSAGES, same).body == same


def test_a_message_that_is_answered_passes_back_byte_for_byte() -> None:
    """As it came, but in one line."""
    body = b'{"type": "message",\n "content": [], "usage": {"input_tokens": 3, "output_tokens": 1.0e0}}'
    reply = WIRE.decode(MESSAGES, 200, body)
    assert reply.usable
    assert json.loads(reply.body) == json.loads(body)
    assert b"\n" not in reply.body
    assert b"1.0e0" in reply.body


@pytest.mark.parametrize("limit", [STREAM_ABOVE, STREAM_ABOVE + 1])
@pytest.mark.parametrize("endpoint", [MESSAGES, CHAT])
def test_only_what_may_take_long_is_streamed(endpoint: str, limit: int) -> None:
    """And nothing in a native batch, where there is no stream."""
    body = json.dumps({"max_tokens": limit, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    assert json.loads(WIRE.encode(endpoint, body).body).get("stream", False) is (limit > STREAM_ABOVE)
    assert "stream" not in json.loads(WIRE.encode_batch(endpoint, body).body)


def test_a_native_batch_has_no_stream() -> None:
    """Even where the line of /v1/messages asks for one."""
    body = b'{"model":"x","max_tokens":9,"stream":true,"messages":[]}'
    assert "stream" not in json.loads(WIRE.encode_batch(MESSAGES, body).body)


def test_facts_and_policy_can_be_given() -> None:
    """Facts from the provider's own list win over those of the name."""
    wire = AnthropicWire("http://h/v1", "m", facts=Facts(max_output=100), policy=Policy(max_tokens=300))
    body = b'{"messages":[{"role":"user","content":"Hi"}]}'
    assert json.loads(wire.encode(CHAT, body).body)["max_tokens"] == 100


def test_a_model_that_cannot_be_held_to_a_schema_is_asked_in_words() -> None:
    """What was asked for is told as left out, for tools and for the answer."""
    wire = AnthropicWire("http://h/v1", "m", facts=Facts(structured=False))
    schema = {"type": "object", "properties": {}}
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    }
    made = wire.encode(CHAT, json.dumps(body).encode())
    sent = json.loads(made.body)
    assert made.dropped == ("tools[].function.strict", "response_format")
    assert "output_config" not in sent
    assert "strict" not in sent["tools"][0]
    assert '{"type":"object","properties":{}}' in sent["system"][0]["text"]


def test_a_budget_is_not_given_to_a_model_that_does_not_think() -> None:
    """Where a list tells that it takes neither kind of thinking."""
    wire = AnthropicWire("http://h/v1", "m", facts=Facts(adaptive=False, always_thinks=False, efforts=()))
    made = wire.encode(CHAT, b'{"messages":[{"role":"user","content":"Hi"}],"reasoning_effort":"low"}')
    assert made.dropped == ("reasoning_effort",)
    assert "thinking" not in json.loads(made.body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"Hi"}],"temperature":1e400}',
        b'{"messages":[{"role":"user","content":"Hi"}],"tools":' + b'[{"a":' * 400 + b"1" + b"}]" * 400 + b"}",
    ],
)
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_body_that_cannot_be_translated_fails_its_line_alone(endpoint: str, body: bytes) -> None:
    """No other error than the line's own ever comes out of a wire."""
    with pytest.raises(LineRefused):
        WIRE.encode(endpoint, body)


def test_half_an_emoji_comes_back_as_it_is() -> None:
    """In an answer that was cut, which JSON allows and UTF-8 does not."""
    reply = WIRE.decode(CHAT, 200, b'{"type":"message","content":[{"type":"text","text":"\\ud83d"}]}')
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "\ud83d"


def test_counts_that_cannot_be_are_bounded() -> None:
    """A faulty upstream must not stop a flush."""
    usage = {"input_tokens": 2**40, "output_tokens": -5, "cache_read_input_tokens": "7", "output_tokens_details": 3}
    reply = WIRE.decode(CHAT, 200, json.dumps({"type": "message", "content": [], "usage": usage}).encode())
    assert reply.tokens == (2**32 - 1, 0, 0, 0)


def test_a_byte_order_mark_is_dropped() -> None:
    """Some proxies write one before their JSON."""
    body = b'{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":1}}'
    assert WIRE.decode(CHAT, 200, b"\xef\xbb\xbf" + body) == WIRE.decode(CHAT, 200, body)
