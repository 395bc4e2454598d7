"""How providers tell their limits: the headers of an answer, and the refusal (providers, section 2.1).

| dialect | an answer carries | a refusal adds |
|---|---|---|
| openai | x-ratelimit-* of requests and tokens, resets as Go durations | the time to wait as `retry_after` says |
| azure | x-ratelimit-limit and -remaining | retry-after-ms and retry-after |
| anthropic | anthropic-ratelimit-*, resets in RFC 3339, tokens rounded to 1,000 | the time to wait |
| groq | as openai, but requests are those of a day | the time to wait |
| gemini | nothing | RetryInfo and QuotaFailure in the body |
| together | nothing | x-ratelimit-reset, and error types of its own |
| none | nothing | nothing |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from batchrouter.simulator.limits import (
    DAILY_REQUESTS,
    DAILY_TOKENS,
    INPUT,
    OUTPUT,
    RAMP,
    REQUESTS,
    TOKENS,
    Bucket,
    LimitGate,
)

Headers = list[tuple[str, str]]
Buckets = dict[str, Bucket]

ROUNDED_TO = 1000
GEMINI_QUOTAS = {
    REQUESTS: ("generate_content_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
    TOKENS: ("generate_content_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
    INPUT: ("generate_content_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
    OUTPUT: ("generate_content_output_token_count", "GenerateContentOutputTokensPerModelPerMinute"),
    DAILY_REQUESTS: ("generate_content_requests", "GenerateRequestsPerDayPerProjectPerModel"),
    DAILY_TOKENS: ("generate_content_input_token_count", "GenerateContentInputTokensPerModelPerDay"),
    RAMP: ("generate_content_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
}
_TYPE_URL = "type.googleapis.com/google.rpc."


def told(gate: LimitGate, dialect: str, unix_s: Callable[[], float]) -> Headers:
    """The headers about the limits as they stand after this request."""
    maker = _TOLD.get(dialect)
    return list(maker(gate.buckets, unix_s)) if maker is not None else []


def waiting(dialect: str, wait_s: float | None, usual: Callable[[float], Headers]) -> Headers:
    """The headers of a refusal that tell when to come back; `usual` makes the script's. None: waiting does not help."""
    if wait_s is None or dialect in ("gemini", "none"):
        return []
    if dialect == "azure":
        return [("retry-after-ms", str(math.ceil(wait_s * 1000))), ("retry-after", str(math.ceil(wait_s)))]
    if dialect == "together":
        return [("x-ratelimit-reset", str(math.ceil(wait_s)))]
    return usual(wait_s)


def error_type(dialect: str, limit: str) -> tuple[str | None, str | None]:
    """Type and code of a refusal in OpenAI's envelope."""
    of_requests = limit in (REQUESTS, DAILY_REQUESTS, RAMP)
    if dialect == "together":
        return ("dynamic_request_limited" if of_requests else "dynamic_token_limited"), None
    if dialect == "azure":
        return None, "RateLimitReached"
    return ("requests" if of_requests else "tokens"), "rate_limit_exceeded"


def gemini_refusal(limit: str, value: float, wait_s: float | None, model: str, *, wrapped: bool) -> bytes:
    """Google's 429. `wrapped`: in an array, as the OpenAI-compatible endpoints send it.

    The message is the one that OpenAI uses for a dead account: only the details tell what is meant.
    """
    metric, quota = GEMINI_QUOTAS[limit]
    violation = {
        "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(int(value)),
    }
    details: list[dict[str, object]] = [{"@type": f"{_TYPE_URL}QuotaFailure", "violations": [violation]}]
    if wait_s is not None:
        details.append({"@type": f"{_TYPE_URL}RetryInfo", "retryDelay": seconds_of(wait_s)})
    error = {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "status": "RESOURCE_EXHAUSTED",
        "details": details,
    }
    return msgspec.json.encode([{"error": error}] if wrapped else {"error": error})


def go_duration(seconds: float) -> str:
    """Seconds in the form that OpenAI writes: `6m0s`, `1.5s`, `120ms`."""
    millis = math.ceil(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes < 60:
        return f"{minutes}m{tail}" if minutes else tail
    return f"{minutes // 60}h{minutes % 60}m{tail}"


def seconds_of(seconds: float) -> str:
    """A `google.protobuf.Duration` in JSON: `17s`, `3.7s`."""
    return f"{math.ceil(seconds * 1000) / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def rfc3339(unix_s: float) -> str:
    """Whole seconds, rounded up, so that nobody comes back too early."""
    return datetime.fromtimestamp(math.ceil(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what an answer carries -----------------------------------------------------------------------------------------


def _openai(buckets: Buckets, unix_s: Callable[[], float]) -> Iterator[tuple[str, str]]:
    for name, bucket in _first(buckets, (REQUESTS, DAILY_REQUESTS), (TOKENS, DAILY_TOKENS)):
        limit, left, reset = str(int(bucket.limit)), str(int(bucket.level)), go_duration(bucket.full_in_s())
        for kind in (TOKENS, "project-tokens") if name == TOKENS else (name,):
            yield f"x-ratelimit-limit-{kind}", limit
            yield f"x-ratelimit-remaining-{kind}", left
            yield f"x-ratelimit-reset-{kind}", reset


def _azure(buckets: Buckets, unix_s: Callable[[], float]) -> Iterator[tuple[str, str]]:
    for name, bucket in _first(buckets, (REQUESTS,), (TOKENS,)):
        yield f"x-ratelimit-limit-{name}", str(int(bucket.limit))
        yield f"x-ratelimit-remaining-{name}", str(int(bucket.level))


def _groq(buckets: Buckets, unix_s: Callable[[], float]) -> Iterator[tuple[str, str]]:
    for name, bucket in _first(buckets, (DAILY_REQUESTS,), (TOKENS,)):
        yield f"x-ratelimit-limit-{name}", str(int(bucket.limit))
        yield f"x-ratelimit-remaining-{name}", str(int(bucket.level))
        yield f"x-ratelimit-reset-{name}", go_duration(bucket.full_in_s())


def _anthropic(buckets: Buckets, unix_s: Callable[[], float]) -> Iterator[tuple[str, str]]:
    """`tokens` are those of the limit of both, or the sums of input and output."""
    now_s = unix_s()
    shown: list[tuple[str, float, float, float]] = []
    for name in (REQUESTS, TOKENS, INPUT, OUTPUT):
        bucket = buckets.get(name)
        if bucket is not None:
            shown.append((name, bucket.limit, bucket.level, bucket.full_in_s()))
    parts = [buckets[name] for name in (INPUT, OUTPUT) if name in buckets]
    if TOKENS not in buckets and len(parts) == 2:
        limit, level = sum(part.limit for part in parts), sum(part.level for part in parts)
        shown.append((TOKENS, limit, level, max(part.full_in_s() for part in parts)))
    for name, limit, level, reset_s in shown:
        left = int(level) if name == REQUESTS else round(level / ROUNDED_TO) * ROUNDED_TO
        yield f"anthropic-ratelimit-{name}-limit", str(int(limit))
        yield f"anthropic-ratelimit-{name}-remaining", str(left)
        yield f"anthropic-ratelimit-{name}-reset", rfc3339(now_s + reset_s)


def _first(buckets: Buckets, *choices: tuple[str, ...]) -> Iterator[tuple[str, Bucket]]:
    """Of each choice the first that is limited, under the name of its kind: requests or tokens."""
    for names in choices:
        for name in names:
            if name in buckets:
                yield (REQUESTS if name in (REQUESTS, DAILY_REQUESTS) else TOKENS), buckets[name]
                break


_TOLD: dict[str, Callable[[Buckets, Callable[[], float]], Iterator[tuple[str, str]]]] = {
    "openai": _openai,
    "azure": _azure,
    "anthropic": _anthropic,
    "groq": _groq,
}
