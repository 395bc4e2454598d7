"""What a record says beside numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.outcome import Flag, error_mark


@given(st.text())
def test_an_error_mark_fits_beside_the_flags(code: str) -> None:
    """It touches none of them, is there for every code, and goes into a record."""
    mark = error_mark(code)
    assert mark & (Flag.INVALID_OUTPUT | Flag.REUSED | 0xF) == 0 < mark < 1 << 16
    assert mark == error_mark(code)


def test_codes_that_upstreams_use_have_marks_of_their_own() -> None:
    """Else lines that failed differently would be counted as one kind."""
    codes = [
        "rate_limit_exceeded", "insufficient_quota", "context_length_exceeded", "invalid_api_key",
        "model_not_found", "server_error", "invalid_request_error", "content_policy_violation", "overloaded_error",
        "api_error", "authentication_error", "timeout", "permission_error", "not_found_error", "connection_error",
        "invalid_reply", "reply_too_large", "invalid_value", "billing_error"
    ]  # fmt: skip
    assert len({error_mark(code) for code in codes} | {error_mark(None)}) == len(codes) + 1
