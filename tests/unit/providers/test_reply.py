"""A reply enters JSONL only as one line of valid JSON, and keeps its meaning."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import Tokens
from batchrouter.providers.openai import OpenAIWire
from batchrouter.providers.reply import is_json, one_line

CHAT = "/v1/chat/completions"
WIRE = OpenAIWire("http://host:8000/v1", "m")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans())
def test_any_json_becomes_one_line_of_the_same_meaning(value: object, indent: int | None, ascii_only: bool) -> None:
    """However it was printed, `splitlines` sees one line, and it means the same."""
    body = json.dumps({"a": value}, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    reply = WIRE.decode(CHAT, 200, body)
    if not ascii_only:
        try:
            body.decode()
        except UnicodeDecodeError:
            assert not reply.usable
            return
    assert reply.usable
    assert len(reply.body.decode().splitlines()) == 1
    assert json.loads(reply.body) == {"a": value}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html>busy</html>",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\xff"}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": "\x0b"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32-be"),
    ],
)
def test_what_is_no_json_is_not_usable(body: bytes) -> None:
    """A 2xx that is not JSON is told apart, and never enters an output as it is."""
    reply = WIRE.decode(CHAT, 200, body)
    assert not reply.usable
    assert json.loads(reply.body)["error"]["code"] == "invalid_reply"


def test_a_cut_emoji_is_still_json() -> None:
    """Models that stop inside a surrogate pair send an escape that only the standard allows."""
    body = b'{"choices":[{"message":{"content":"\\ud83d"}}]}'
    assert is_json(body)
    reply = WIRE.decode(CHAT, 200, body)
    assert reply.usable
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "\ud83d"


@pytest.mark.parametrize("status", [200, 400])
def test_a_byte_order_mark_is_dropped(status: int) -> None:
    """Some servers write one before their JSON; inside an output line it would break it."""
    body = b'{"error":{"code":"c"},"usage":{"prompt_tokens":3}}'
    assert WIRE.decode(CHAT, status, b"\xef\xbb\xbf" + body) == WIRE.decode(CHAT, status, body)
    assert not WIRE.decode(CHAT, 200, b"\xef\xbb\xbf" * 100_000 + body).usable


def test_pretty_json_that_only_the_standard_allows_becomes_one_line() -> None:
    """A cut emoji, a number that no float holds, and one of more digits than Python reads."""
    body = b'{\n  "a": "\\ud83d",\r\n  "b": 1e400,\n  "c": %b\n}\n' % (b"9" * 5_000)
    reply = WIRE.decode(CHAT, 200, body)
    assert reply.usable
    assert reply.body == body.translate(None, b"\r\n")


def test_bytes_that_need_nothing_are_passed_as_they_are() -> None:
    """The usual reply is not rewritten: whitespace, order of keys and number formats stay."""
    body = b'{"b": 1.50,\t"a":1e3 , "\xc3\xa9":"\xe2\x82\xac"}'
    assert one_line(body) == body


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Tokens(5, 0, 7, 0)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Tokens(5, 4, 7, 6),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 1},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Tokens(5, 1, 7, 2),
        ),
        ({"prompt_tokens": 5, "total_tokens": 5}, Tokens(5, 0, 0, 0)),
        ({"prompt_tokens": None, "completion_tokens": -3}, Tokens(0, 0, 0, 0)),
        ({"prompt_tokens": 2**40, "completion_tokens": 1}, Tokens(2**32 - 1, 0, 1, 0)),
        ("a lot", Tokens()),
        (None, Tokens()),
    ],
)
def test_usage_of_every_endpoint_is_read(usage: object, tokens: Tokens) -> None:
    """Chat, completions, embeddings and responses name their tokens differently; nonsense counts nothing."""
    assert WIRE.decode(CHAT, 200, msgspec.json.encode({"model": "m-1", "usage": usage})).tokens == tokens


@pytest.mark.parametrize(
    ("body", "finish"),
    [
        ({"choices": [{"finish_reason": "stop"}]}, Finish.STOP),
        ({"choices": [{"finish_reason": "length"}]}, Finish.LENGTH),
        ({"choices": [{"finish_reason": "tool_calls"}]}, Finish.TOOL_CALLS),
        ({"choices": [{"finish_reason": "content_filter"}]}, Finish.CONTENT_FILTER),
        ({"choices": [{"finish_reason": "novel"}]}, Finish.OTHER),
        ({"choices": []}, Finish.NONE),
        ({"status": "completed"}, Finish.STOP),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, Finish.LENGTH),
        ({"data": []}, Finish.NONE),
    ],
)
def test_finish_reasons_are_read(body: object, finish: Finish) -> None:
    """Why the model stopped, of chat and of responses."""
    assert WIRE.decode(CHAT, 200, msgspec.json.encode(body)).finish is finish


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"message": "m", "type": "t", "code": "context_length_exceeded"}}, "context_length_exceeded"),
        ({"error": {"message": "m", "type": "overloaded_error"}}, "overloaded_error"),
        ({"error": {"message": "m", "code": 429}}, "429"),
        ({"error": {"message": "m", "type": "NotFoundError", "param": "model", "code": 400}}, "NotFoundError"),
        ([{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}], "400"),
        ({"error": "plain words"}, None),
        ({"detail": "Not Found"}, None),
    ],
)
def test_error_codes_are_read_in_every_shape(body: object, code: str | None) -> None:
    """OpenAI's object, Gemini's array around it, and shapes that tell none; the body is kept either way."""
    reply = WIRE.decode(CHAT, 400, msgspec.json.encode(body))
    assert reply.code == code
    assert json.loads(reply.body) == body


@pytest.mark.parametrize("body", [b"", b"<h1>Bad Gateway</h1>", b"\xff\xfe"])
def test_an_error_that_is_no_json_is_wrapped(body: bytes) -> None:
    """People get OpenAI's error shape whatever the upstream's proxy wrote."""
    error = json.loads(WIRE.decode(CHAT, 502, body).body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "502" in error["message"]
