"""What a reply says about pace is read in every form the providers use, and nonsense is not believed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.rate_headers import NO_SIGNALS, WAIT_MAX_S, read_body_retry, read_signals

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def retry_after(value: bytes, name: bytes = b"retry-after", status: int = 429) -> float | None:
    return read_signals(status, [(name, value)], NOW).retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b" 0.25 ", 0.25),
        (b"0", 0.0),
        (b"Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        (b"Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        (b"2027-01-15T08:01:00Z", 60.0),
        (b"6m0s", 360.0),
        (b"1800000012", 12.0),
        (b"999999", WAIT_MAX_S),
    ],
)
def test_retry_after_is_read_in_every_form(value: bytes, seconds: float) -> None:
    """Seconds, dates, durations and moments all become seconds from now, never negative, never past a day."""
    assert retry_after(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [b"", b"nan", b"inf", b"-inf", b"-3", b"soon", b"1_0", b"1" * 400, b"\xff", b"3 apples", b"0001-99-99"]
)
def test_a_wait_that_makes_no_sense_is_not_said(value: bytes) -> None:
    """NaN, infinity, negative numbers and words neither stop nor hurry a lane."""
    assert retry_after(value) is None


def test_milliseconds_win_over_seconds() -> None:
    """`retry-after-ms` is the finer of the two."""
    assert read_signals(429, [(b"retry-after", b"2"), (b"retry-after-ms", b"1250")], NOW).retry_after_s == 1.25


def test_together_tells_its_wait_as_a_bare_reset() -> None:
    """`x-ratelimit-reset` alone stands for Retry-After on a refusal."""
    assert retry_after(b"3", b"x-ratelimit-reset") == 3.0


def test_retry_after_on_a_success_is_no_wait() -> None:
    """A 200 that carries Retry-After does not hold the lane up."""
    assert retry_after(b"60", status=200) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"6m0s", 360.0), (b"1s", 1.0), (b"120ms", 0.12), (b"2m59.56s", 179.56), (b"7.66s", 7.66), (b"1h2m", 3720.0)],
)
def test_openai_resets_are_go_durations(value: bytes, seconds: float) -> None:
    """OpenAI and Groq tell resets the way Go prints durations."""
    signals = read_signals(200, [(b"x-ratelimit-reset-requests", value)], NOW)
    assert signals.requests_reset_s == pytest.approx(seconds)


def test_openai_limits() -> None:
    """Limit, remaining and reset of requests and tokens come out under their own names."""
    signals = read_signals(
        200,
        [
            (b"content-type", b"application/json"),
            (b"x-ratelimit-limit-requests", b"5000"),
            (b"x-ratelimit-remaining-requests", b"4999"),
            (b"x-ratelimit-reset-requests", b"12ms"),
            (b"x-ratelimit-limit-tokens", b"160000"),
            (b"x-ratelimit-remaining-tokens", b"0"),
            (b"x-ratelimit-reset-tokens", b"6m0s"),
            (b"x-should-retry", b"false"),
        ],
        NOW,
    )
    assert (signals.requests_limit, signals.requests_remaining, signals.requests_reset_s) == (5000, 4999, 0.012)
    assert (signals.tokens_limit, signals.tokens_remaining, signals.tokens_reset_s) == (160000, 0, 360.0)
    assert signals.exhausted_s == 360.0
    assert signals.should_retry is False


def test_a_limit_with_something_left_is_not_waited_for() -> None:
    """A reset alone, or beside what remains, is no wait."""
    headers = [(b"x-ratelimit-remaining-requests", b"1"), (b"x-ratelimit-reset-requests", b"9s")]
    assert read_signals(200, headers, NOW).exhausted_s is None
    assert read_signals(200, headers[1:], NOW).exhausted_s is None


def test_anthropic_resets_are_moments_and_the_tightest_token_limit_counts() -> None:
    """Of input and output tokens the one with the smaller share left is told; `exhausted_s` sees them all."""
    signals = read_signals(
        200,
        [
            (b"anthropic-ratelimit-input-tokens-limit", b"100000"),
            (b"anthropic-ratelimit-input-tokens-remaining", b"90000"),
            (b"anthropic-ratelimit-input-tokens-reset", b"2027-01-15T08:00:05Z"),
            (b"anthropic-ratelimit-output-tokens-limit", b"8000"),
            (b"anthropic-ratelimit-output-tokens-remaining", b"0"),
            (b"anthropic-ratelimit-output-tokens-reset", b"2027-01-15T08:00:20Z"),
        ],
        NOW,
    )
    assert (signals.tokens_limit, signals.tokens_remaining) == (8000, 0)
    assert signals.tokens_reset_s == pytest.approx(20.0)
    assert signals.exhausted_s == pytest.approx(20.0)


def test_a_reply_without_signals_gives_the_one_empty_value() -> None:
    """Callers may test by identity, so nothing is made for a reply that says nothing."""
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", b"req_1"),
        (b"accept-ranges", b"none"),
        (b"", b""),
    ]
    assert read_signals(200, headers, NOW) is NO_SIGNALS
    assert read_signals(200, [(b"x-ratelimit-limit-requests", b"many")], NOW) is NO_SIGNALS


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"retry-after", b"retry-after-ms", b"x-ratelimit-reset-tokens", b"x-ratelimit-remaining-tokens"]
            ),
            st.binary(max_size=30) | st.from_regex(rb"[0-9.eEhmsTZ:+-]{1,20}", fullmatch=True),
        ),
        max_size=4,
    )
)
def test_no_header_value_raises_or_gives_a_wait_out_of_bounds(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever an upstream sends, a wait is None or a number in [0, a day]."""
    signals = read_signals(429, headers, NOW)
    for wait_s in (signals.retry_after_s, signals.tokens_reset_s, signals.exhausted_s):
        assert wait_s is None or (math.isfinite(wait_s) and 0 <= wait_s <= WAIT_MAX_S)


GEMINI = (
    b'{"error":{"code":429,"message":"You exceeded your current quota","details":['
    b'{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[]},'
    b'{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.7s"}]}}'
)


def test_gemini_tells_its_wait_in_the_body() -> None:
    """Bare, and wrapped in an array as on the OpenAI-compatible face."""
    assert read_body_retry(GEMINI) == pytest.approx(3.7)
    assert read_body_retry(b" [" + GEMINI + b"]") == pytest.approx(3.7)
    assert read_body_retry(GEMINI.replace(b"3.7s", b"52758s")) == 52758.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"RetryInfo",
        b"[" * 5000 + b"RetryInfo",
        GEMINI.replace(b'"3.7s"', b"[]"),
        GEMINI.replace(b"3.7s", b"-1s"),
        GEMINI.replace(b"RetryInfo", b"HelpInfo"),
    ],
)
def test_a_body_without_a_usable_wait_says_nothing(body: bytes) -> None:
    """Broken JSON, other shapes and other details are no wait."""
    assert read_body_retry(body) is None
