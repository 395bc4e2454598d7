"""The code of an error reply, in everybody's shape; nothing else of it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.adapters.native.refusal import error_code, refusal


def coded(status: int, value: Any) -> str | None:
    return error_code(status, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("status", "value", "code"),
    [
        # OpenAI
        (
            401,
            {"error": {"message": "m", "type": "invalid_request_error", "code": "invalid_api_key"}},
            "invalid_api_key",
        ),
        (409, {"error": {"message": "m", "type": "invalid_request_error", "code": None}}, "invalid_request_error"),
        # Anthropic, with the finer code of spend limits
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "overloaded_error"),
        (
            429,
            {"error": {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}},
            "enforced_spend_limit_reached",
        ),
        # Google, plain and as its compatible face wraps it
        (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}]}}, "RESOURCE_EXHAUSTED"),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], "RESOURCE_EXHAUSTED"),
        # Mistral and SiliconFlow
        (422, {"object": "error", "message": "m", "type": "invalid_request_error", "code": "3051"}, "3051"),
        (403, {"code": 20012, "message": "Model does not exist"}, "20012"),
        (422, {"detail": [{"loc": ["body"], "msg": "m"}]}, None),
        # FastRouter, and nothing that could be shown
        (402, {"error": {"code": "insufficient_credits", "status": 402}}, "insufficient_credits"),
        (500, {"error": "went wrong"}, None),
        (500, {"error": {"code": "Incorrect API key provided: sk-1"}}, None),
        (500, {"error": {"code": ["a"], "type": 7, "details": "x"}}, None),
        (500, [], None),
        (500, "text", None),
    ],
)
def test_codes_are_found(status: int, value: Any, code: str | None) -> None:
    """Codes, never messages."""
    assert coded(status, value) == code


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_reply_is_an_error_like_another(body: bytes) -> None:
    """Proxies answer with pages, and some with nothing."""
    error = refusal("host: the job", 502, [], body, 0.0)
    assert (error.status, error.retry_after_s) == (502, None)
    assert str(error).startswith("host: the job was answered with status 502")


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        ([(b"retry-after", b"7")], b"", 7.0),
        ([(b"retry-after-ms", b"1500")], b"", 1.5),
        ([], b'{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17s"}]}}', 17.0),
        ([], b"{}", None),
    ],
)
def test_when_to_come_back_is_told_in_headers_or_in_the_body(
    headers: list[tuple[bytes, bytes]], body: bytes, wait_s: float | None
) -> None:
    """Gemini has no header for it."""
    assert refusal("host", 429, headers, body, 0.0).retry_after_s == wait_s


def test_half_a_reply_has_no_code() -> None:
    """Only the beginning of a long one is read."""
    assert error_code(500, b'{"error":{"code":"a","message":"' + b"x" * 100) is None
    assert error_code(500, b"[" * 60_000) is None
